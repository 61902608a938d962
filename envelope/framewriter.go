package envelope

import (
	"crypto/cipher"
	"io"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// frameWriter writes a frame's common fields and members behind room for its head.
type frameWriter struct {
	common *Envelope
	aead   cipher.AEAD // nil: Plain
	nonce  [nonceSize]byte
	salts  []byte // not used yet
	raw    []byte
	hasher *leafHasher
	leaves []merkle.Hash
}

func newFrameWriter(
	realm wire.Realm, e *Envelope, draft *Draft, members []Member, random io.Reader,
) (*frameWriter, error) {
	w := &frameWriter{common: e, hasher: newLeafHasher(realm, e), leaves: make([]merkle.Hash, len(members))}
	const own = 8 // heads of an array and its strings
	room := frameRoom + len(w.hasher.shared) + 64
	for i := range members {
		room += own + len(members[i].Content) + len(members[i].ContentType) + len(members[i].Trace)
	}
	if draft.Protection.key != nil {
		room += len(members) * (len(wire.Digest{}) + saltSize + tagSize)
		w.salts = make([]byte, len(members)*saltSize)
		if err := readSalt(random, w.salts); err != nil {
			return nil, err
		}
		var err error
		if w.aead, err = draft.Protection.key.aead(realm, e); err != nil {
			return nil, err
		}
	}
	w.raw = appendCommon(make([]byte, frameRoom, room), e)
	w.raw = wire.AppendArrayHead(w.raw, len(members))
	return w, nil
}

// add writes the member at index and its leaf.
func (w *frameWriter) add(index uint64, m *Member) error {
	p := part{kind: m.ContentType, trace: m.Trace}
	elements := 1
	if w.aead != nil {
		elements++
	}
	if p.kind != "" || p.trace != "" {
		elements += 2
	}
	if elements > 1 {
		w.raw = wire.AppendArrayHead(w.raw, elements)
	}
	if elements > 2 {
		w.raw = wire.AppendText(wire.AppendText(w.raw, p.kind), p.trace)
	}
	w.body(index, m.Content, &p)
	if err := checkPart(w.common, &p); err != nil {
		return err
	}
	w.hasher.leaf(&w.leaves[index], w.common.Counter+index, &p)
	return nil
}

// body writes digest and body, encrypted where they stand.
func (w *frameWriter) body(index uint64, content []byte, p *part) {
	if w.aead == nil {
		w.raw = append(wire.AppendBytesHead(w.raw, len(content)), content...)
		p.body = w.raw[len(w.raw)-len(content):]
		return
	}
	w.raw = wire.AppendBytes(w.raw, p.digest[:])
	digestEnd := len(w.raw)
	w.raw = wire.AppendBytesHead(w.raw, saltSize+len(content)+tagSize)
	start := len(w.raw)
	w.raw = append(append(w.raw, w.salts[:saltSize]...), content...)
	w.salts = w.salts[saltSize:]
	p.digest = wire.Hash(w.raw[start:])
	copy(w.raw[digestEnd-len(p.digest):], p.digest[:])
	w.nonce = nonce(w.common.Counter + index)
	w.raw = w.aead.Seal(w.raw[:start], w.nonce[:], w.raw[start:], nil)
	p.body = w.raw[start:]
}

// sign signs the leaves and returns the frame.
func (w *frameWriter) sign(p *identity.Process) ([]byte, error) {
	head, err := p.Sign(Batch{
		Version: 1, Credential: w.common.Credential, Size: uint64(len(w.leaves)), Root: merkle.Root(w.leaves),
	})
	if err != nil {
		return nil, err
	}
	before := wire.AppendUint(wire.AppendArrayHead(make([]byte, 0, frameRoom), 4), formFrame)
	before = wire.AppendBytes(before, head)
	start := frameRoom - len(before)
	copy(w.raw[start:], before)
	return w.raw[start:], nil
}
