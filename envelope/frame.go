package envelope

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What a delivery begins with tells the three forms apart: the tag of a COSE_Sign1, an array of three, an array of
// five.
const (
	formFrame  = 1
	formMember = 2

	firstSingle = 0xd2
	firstFrame  = 0x83
	firstMember = 0x85
)

// frameForm is the encoding of a whole batch of one destination and subject.
type frameForm struct {
	_        struct{} `cbor:",toarray"`
	Form     uint64   // 1
	Head     []byte   // signed Batch
	Payloads [][]byte // encoded envelopes, all of the batch's, in its order
}

// memberForm is the encoding of one of a batch's envelopes with its proof.
type memberForm struct {
	_       struct{} `cbor:",toarray"`
	Form    uint64   // 2
	Head    []byte   // signed Batch
	Index   uint64   // from 0
	Path    []merkle.Hash
	Payload []byte // encoded envelope
}

// Opened is one envelope of a delivery: either the message, or why it was refused.
type Opened struct {
	Message *Message // nil if refused
	Err     error    // nil if not
}

// OpenMember does what [Open] does for one member of a batch. What is not the member it claims to be has the code
// bad_signature.
func OpenMember(raw []byte, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	m, err := parseMember(raw, orDefault(in.Limit))
	if err != nil {
		return nil, err
	}
	return admit(m, in, authority, windows, now)
}

// openFrame does what [Open] does for every member of a frame, in order, each by itself.
func openFrame(raw []byte, in Inbound, authority Authority, windows Windows, now int64) ([]Opened, error) {
	f, err := parseFrame(raw, orDefault(in.Limit))
	if err != nil {
		return nil, err
	}
	all := make([]Opened, len(f.envelopes))
	for i := range all {
		all[i].Message, all[i].Err = admit(framed{frame: f, index: i}, in, authority, windows, now)
	}
	return all, nil
}

// OpenAny opens a delivery in whichever of the three forms it has: an envelope, a batch's member, or a frame with all
// of a batch's members. Each envelope passes the checks of [Open] by itself, in order: of a frame, members that were
// opened before are refused as replayed and the others opened. The error is of the delivery as a whole; then nothing
// was opened.
func OpenAny(raw []byte, in Inbound, authority Authority, windows Windows, now int64) ([]Opened, error) {
	if len(raw) > 0 && raw[0] == firstFrame {
		return openFrame(raw, in, authority, windows, now)
	}
	open := Open
	if len(raw) > 0 && raw[0] == firstMember {
		open = OpenMember
	}
	m, err := open(raw, in, authority, windows, now)
	if err != nil {
		return nil, err
	}
	return []Opened{{Message: m}}, nil
}

// Attest checks evidence, what [Message.Raw] returned, at most limit bytes: that the signing key given has signed it in
// the realm. It says nothing about times, rights or replay, and opens nothing.
func Attest(raw []byte, limit int, realm wire.Realm, signing wire.PublicKey) (Envelope, wire.Digest, error) {
	f, err := parseEvidence(raw, limit)
	if err != nil {
		return Envelope{}, wire.Digest{}, err
	}
	id, err := f.verify(realm, signing)
	if err != nil {
		return Envelope{}, wire.Digest{}, err
	}
	return f.claimed(), id, nil
}

func parseEvidence(raw []byte, limit int) (form, error) {
	if len(raw) > 0 && raw[0] == firstMember {
		return parseMember(raw, limit)
	}
	c, err := wire.Parse[Envelope](raw, limit)
	return single{claim: c, raw: raw}, err
}

// member is a batch's envelope with its path.
type member struct {
	head     wire.Claimed[Batch]
	index    uint64
	path     []merkle.Hash
	envelope Envelope
	payload  []byte
	raw      []byte
}

func parseMember(raw []byte, limit int) (*member, error) {
	if len(raw) > limit {
		return nil, wire.ErrTooLarge
	}
	var m memberForm
	if err := wire.Decode(raw, &m); err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	if m.Form != formMember {
		return nil, fmt.Errorf("%w: form %d", wire.ErrMalformed, m.Form)
	}
	head, err := wire.Parse[Batch](m.Head, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	e, err := decodePayload(m.Payload)
	if err != nil {
		return nil, err
	}
	if err := checkHead(head, e); err != nil {
		return nil, err
	}
	return &member{head: head, index: m.Index, path: m.Path, envelope: e, payload: m.Payload, raw: raw}, nil
}

// decodePayload reads what stands under a leaf. Nothing but an envelope passes, so no inner node of the tree does.
func decodePayload(payload []byte) (Envelope, error) {
	var e Envelope
	if err := wire.Decode(payload, &e); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w", err)
	}
	if err := e.Check(); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w", err)
	}
	return e, nil
}

// checkHead refuses a batch that names another credential than its member.
func checkHead(head wire.Claimed[Batch], e Envelope) error {
	if head.Claim.Credential != e.Credential {
		return fmt.Errorf("%w: another credential", errBatch)
	}
	return nil
}

func (m *member) claimed() Envelope { return m.envelope }

func (m *member) verify(realm wire.Realm, key wire.PublicKey) (wire.Digest, error) {
	head, err := m.head.Verify(realm, key)
	if err != nil {
		return wire.Digest{}, err
	}
	b, message := head.Statement(), wire.SigStructure(wire.Envelope, realm, m.payload)
	if err := merkle.VerifyInclusion(b.Root, b.Size, m.index, merkle.LeafHash(message), m.path); err != nil {
		return wire.Digest{}, fmt.Errorf("%w: %w", errBatch, err)
	}
	return wire.Hash(message), nil
}

func (m *member) evidence(wire.Realm) []byte { return m.raw }

// frame is a whole batch. It is used by one goroutine until its members are opened, and does not change after.
type frame struct {
	head      wire.Claimed[Batch]
	headRaw   []byte
	envelopes []Envelope
	payloads  [][]byte
	verified  *verdict // of the last key asked for, nil before
}

// verdict is the outcome of a frame's one signature check.
type verdict struct {
	realm   wire.Realm
	key     wire.PublicKey
	digests digests
	err     error
}

func parseFrame(raw []byte, limit int) (*frame, error) {
	if len(raw) > limit {
		return nil, wire.ErrTooLarge
	}
	var body frameForm
	if err := wire.Decode(raw, &body); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	if body.Form != formFrame {
		return nil, fmt.Errorf("%w: form %d", wire.ErrMalformed, body.Form)
	}
	head, err := wire.Parse[Batch](body.Head, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	if head.Claim.Size != uint64(len(body.Payloads)) {
		return nil, fmt.Errorf("%w: %d members in a batch of %d", errBatch, len(body.Payloads), head.Claim.Size)
	}
	f := &frame{head: head, headRaw: body.Head, payloads: body.Payloads}
	for _, payload := range body.Payloads {
		e, err := decodePayload(payload)
		if err != nil {
			return nil, err
		}
		f.envelopes = append(f.envelopes, e)
	}
	if err := checkHead(head, f.envelopes[0]); err != nil {
		return nil, err
	}
	return f, checkUniform(f.envelopes)
}

// checkUniform refuses members that differ in sender, destination or subject, and counters that do not ascend: so no
// leaf stands twice.
func checkUniform(all []Envelope) error {
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if a.From != b.From || a.Credential != b.Credential || a.To != b.To || a.Subject != b.Subject {
			return fmt.Errorf("%w: member %d", errMixed, i)
		}
		if a.Counter >= b.Counter {
			return fmt.Errorf("%w: counter %d after %d", errMixed, b.Counter, a.Counter)
		}
	}
	return nil
}

// verify checks the signature over all members, once for each realm and key.
func (f *frame) verify(realm wire.Realm, key wire.PublicKey) *verdict {
	if f.verified != nil && f.verified.realm == realm && f.verified.key == key {
		return f.verified
	}
	v := &verdict{realm: realm, key: key}
	f.verified = v
	head, err := f.head.Verify(realm, key)
	if err != nil {
		v.err = err
		return v
	}
	v.digests = digest(realm, f.payloads)
	if merkle.Root(v.digests.leaves) != head.Statement().Root {
		v.err = fmt.Errorf("%w: another root", errBatch)
	}
	return v
}

// framed is one envelope of a frame.
type framed struct {
	frame *frame
	index int
}

func (m framed) claimed() Envelope { return m.frame.envelopes[m.index] }

func (m framed) verify(realm wire.Realm, key wire.PublicKey) (wire.Digest, error) {
	v := m.frame.verify(realm, key)
	if v.err != nil {
		return wire.Digest{}, v.err
	}
	return v.digests.ids[m.index], nil
}

func (m framed) evidence(realm wire.Realm) []byte {
	leaves := digest(realm, m.frame.payloads).leaves
	raw, err := cut(m.frame.headRaw, m.frame.payloads, leaves, m.index)
	if err != nil {
		panic("envelope: member of a verified frame: " + err.Error()) // bytes encode, and the index is in the tree
	}
	return raw
}
