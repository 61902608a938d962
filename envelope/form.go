package envelope

import (
	"fmt"
	"math"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What a delivery begins with tells the three forms apart: the tag of a COSE_Sign1, an array of four, an array of five.
const (
	formFrame  = 1
	formMember = 2

	firstSingle = 0xd2
	firstFrame  = 0x84
	firstMember = 0x85
)

// form is a way in which signed envelopes travel: one alone, a batch's member with its path, or a frame.
type form interface {
	// first returns what the first envelope says, or what all of them say with the first one's counter; not verified.
	first() *Envelope
	// len returns how many envelopes there are.
	len() int
	// part returns what one envelope has for itself.
	part(index int) *part
	// verify checks that key, the signing key of the credential claimed, has signed all of it.
	verify(realm wire.Realm, key wire.PublicKey, roots *Roots) error
	// id returns the name of one envelope, once it is verified.
	id(realm wire.Realm, index int) wire.Digest
	// evidence returns bytes that Attest accepts for one envelope, once it is verified.
	evidence(index int) []byte
}

// envelopeAt returns what one envelope of a form says.
func envelopeAt(f form, index int) Envelope {
	e, p := *f.first(), f.part(index)
	e.Counter += uint64(index)
	e.ContentType, e.Trace, e.Digest, e.Body = p.kind, p.trace, p.digest, p.body
	return e
}

// parseAny reads a delivery of whichever form.
func parseAny(raw []byte, limit int) (form, error) {
	if len(raw) > 0 && raw[0] == firstFrame {
		return parseFrame(raw, limit)
	}
	return parseLone(raw, limit)
}

// parseLone reads one envelope.
func parseLone(raw []byte, limit int) (form, error) {
	if len(raw) > 0 && raw[0] == firstMember {
		return parseMember(raw, limit)
	}
	return parseSingle(raw, limit)
}

// Peek returns what a delivery of any form claims, at most limit bytes, to find out who may have sent it: the envelope,
// or of a frame what its envelopes share. Nothing of it is verified.
func Peek(raw []byte, limit int) (Envelope, error) {
	if len(raw) > 0 && raw[0] == firstFrame {
		var f frame
		_, err := f.begin(raw, limit)
		return f.common, err
	}
	f, err := parseLone(raw, limit)
	if err != nil {
		return Envelope{}, err
	}
	return *f.first(), nil
}

// Attest checks evidence, what [Message.Raw] returned, at most limit bytes: that the signing key given has signed it in
// the realm. It says nothing about times, rights or replay, and opens nothing.
func Attest(raw []byte, limit int, realm wire.Realm, signing wire.PublicKey) (Envelope, wire.Digest, error) {
	f, err := parseLone(raw, limit)
	if err != nil {
		return Envelope{}, wire.Digest{}, err
	}
	if err := f.verify(realm, signing, nil); err != nil {
		return Envelope{}, wire.Digest{}, err
	}
	return *f.first(), f.id(realm, 0), nil
}

// lone is what the two forms of one envelope have in common.
type lone struct {
	claim Envelope
	own   part // of claim
	raw   []byte
	name  wire.Digest // once verified
}

func (l *lone) first() *Envelope               { return &l.claim }
func (l *lone) len() int                       { return 1 }
func (l *lone) part(int) *part                 { return &l.own }
func (l *lone) id(wire.Realm, int) wire.Digest { return l.name }
func (l *lone) evidence(int) []byte            { return l.raw }

// single is an envelope with a signature of its own.
type single struct {
	lone
	signed wire.Claimed[Envelope]
}

func parseSingle(raw []byte, limit int) (form, error) {
	c, err := wire.Parse[Envelope](raw, limit)
	if err != nil {
		return nil, err
	}
	return &single{lone: lone{claim: c.Claim, own: partOf(&c.Claim), raw: raw}, signed: c}, nil
}

func (s *single) verify(realm wire.Realm, key wire.PublicKey, _ *Roots) error {
	v, err := s.signed.Verify(realm, key)
	s.name = v.ID()
	return err
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

// maxPath bounds a member's path, in hashes: that of the deepest leaf of MaxBatch.
const maxPath = 10

// encode returns what [wire.Encode] returns.
func (m *memberForm) encode() []byte {
	raw := make([]byte, 0, 32+len(m.Head)+len(m.Path)*(2+len(merkle.Hash{}))+len(m.Payload))
	raw = wire.AppendUint(wire.AppendArrayHead(raw, 5), m.Form)
	raw = wire.AppendUint(wire.AppendBytes(raw, m.Head), m.Index)
	raw = wire.AppendArrayHead(raw, len(m.Path))
	for i := range m.Path {
		raw = wire.AppendBytes(raw, m.Path[i][:])
	}
	return wire.AppendBytes(raw, m.Payload)
}

// decode reads what encode has written and refuses all else, and paths that no batch has.
func (m *memberForm) decode(raw []byte) error {
	r := wire.NewReader(raw)
	if r.Array(5) != 5 {
		r.Refuse("not a member")
	}
	if m.Form = r.Uint(formMember); m.Form != formMember {
		r.Refuse("not a member")
	}
	m.Head, m.Index = r.Bytes(), r.Uint(math.MaxUint64)
	m.Path = make([]merkle.Hash, r.Array(maxPath))
	for i := range m.Path {
		r.Fixed(m.Path[i][:])
	}
	m.Payload = r.Bytes()
	return r.End()
}

// member is a batch's envelope with its path.
type member struct {
	lone
	form memberForm
	head wire.Claimed[Batch]
}

func parseMember(raw []byte, limit int) (form, error) {
	if len(raw) > limit {
		return nil, wire.ErrTooLarge
	}
	m := &member{lone: lone{raw: raw}}
	err := m.form.decode(raw)
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	if m.head, err = wire.Parse[Batch](m.form.Head, wire.MaxStatement); err != nil {
		return nil, err
	}
	if m.claim, err = decodePayload(m.form.Payload); err != nil {
		return nil, err
	}
	m.own = partOf(&m.claim)
	return m, checkHead(m.head, &m.claim)
}

// checkHead refuses a batch that names another credential than its member.
func checkHead(head wire.Claimed[Batch], e *Envelope) error {
	if head.Claim.Credential != e.Credential {
		return fmt.Errorf("%w: another credential", errBatch)
	}
	return nil
}

func (m *member) verify(realm wire.Realm, key wire.PublicKey, roots *Roots) error {
	if err := roots.verify(m.head, m.form.Head, realm, key); err != nil {
		return err
	}
	b := m.head.Claim
	leaf, id := leafAndID(realm, m.form.Payload)
	if err := merkle.VerifyInclusion(b.Root, b.Size, m.form.Index, leaf, m.form.Path); err != nil {
		return fmt.Errorf("%w: %w", errBatch, err)
	}
	m.name = id
	return nil
}
