package envelope

import (
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A frame is the array [1, head, common, members] of a whole batch, where what all its envelopes share stands once:
//
//	head     byte string: the signed Batch
//	common   map: an envelope's fields 0 to 9, 12 and 16, the counter being the first one's
//	members  array, as long as the batch; the counters ascend by one
//
// A member is, for Plain, its body, or [content type, trace, body]; else [digest, body], or [content type, trace,
// digest, body]. The longer form stands if and only if content type or trace is not empty.

// Member is what each envelope of a frame has for itself.
type Member struct {
	Content     []byte // not changed, not kept
	ContentType string // may be empty
	Trace       string // W3C traceparent, may be empty
}

// Frame is a signed batch of envelopes that differ in nothing but counter and content, at the sender. Make it with
// [SealFrame]. It does not change and is safe for concurrent use.
type Frame struct {
	raw   []byte
	realm wire.Realm
	size  int
	read  func() *frame // once, when it is first asked for
}

// frameRoom is kept free before a frame's common fields, for the head, which is signed last.
const frameRoom = 384

// SealFrame makes one envelope of each member as [Seal] does, the counters ascending from the draft's, and signs them
// together. The draft has no content, content type or trace of its own; its Limit bounds the frame. Nothing can be
// SealedTo in a frame. Errors: those of Seal, and [wire.ErrMalformed] for no member or more than [MaxBatch].
func SealFrame(p *identity.Process, draft Draft, members []Member, random io.Reader) (*Frame, error) {
	if len(members) < 1 || len(members) > MaxBatch {
		return nil, fmt.Errorf("%w: frame of %d members", wire.ErrMalformed, len(members))
	}
	if draft.Content != nil || draft.ContentType != "" || draft.Trace != "" {
		return nil, fmt.Errorf("%w: a frame's members have their own content", wire.ErrMalformed)
	}
	e, err := statement(p, &draft)
	if err != nil {
		return nil, err
	}
	if err := checkFrame(&e, len(members)); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	w, err := newFrameWriter(p.Realm(), &e, &draft, members, random)
	if err != nil {
		return nil, err
	}
	for i := range members {
		if err := w.add(uint64(i), &members[i]); err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
	}
	raw, err := w.sign(p)
	if err != nil {
		return nil, err
	}
	if len(raw) > orDefault(draft.Limit) {
		return nil, wire.ErrTooLarge
	}
	f := &Frame{raw: raw, realm: p.Realm(), size: len(members)}
	f.read = sync.OnceValue(func() *frame {
		read, err := parseFrame(raw, len(raw))
		if err != nil {
			panic("envelope: frame does not read itself: " + err.Error())
		}
		return read
	})
	return f, nil
}

// Raw returns what travels. The caller must not change it.
func (f *Frame) Raw() []byte { return f.raw }

// Len returns the number of members.
func (f *Frame) Len() int { return f.size }

// ID returns the id of the member at index, counted from 0. It is computed at each call.
func (f *Frame) ID(index int) wire.Digest { return f.read().id(f.realm, index) }

// checkFrame refuses what cannot stand in a frame of n members though it can stand alone.
func checkFrame(e *Envelope, n int) error {
	if e.Encryption == Sealed {
		return fmt.Errorf("%w: nothing is sealed in a frame", wire.ErrMalformed)
	}
	if e.Counter > math.MaxUint64-uint64(n-1) {
		return fmt.Errorf("%w: counters beyond the last", wire.ErrMalformed)
	}
	return nil
}

func appendCommon(dst []byte, e *Envelope) []byte {
	n := 10
	if !e.InReplyTo.IsZero() {
		n++
	}
	if !e.Key.IsZero() {
		n++
	}
	dst = appendShared(wire.AppendMapHead(dst, n), e)
	dst = wire.AppendUint(append(dst, labelCounter), e.Counter)
	dst = wire.AppendUint(append(dst, labelEncryption), uint64(e.Encryption))
	return appendKey(dst, e)
}

// frame is a whole batch, read but not verified.
type frame struct {
	head    wire.Claimed[Batch]
	headRaw []byte
	common  Envelope // with the first counter, and without what the parts have
	parts   []part
	leaves  []merkle.Hash // once verified

	tree func() *merkle.Tree // of leaves, once it is asked for
}

func parseFrame(raw []byte, limit int) (*frame, error) {
	f := &frame{}
	r, err := f.begin(raw, limit)
	if err != nil {
		return nil, err
	}
	if f.head, err = wire.Parse[Batch](f.headRaw, wire.MaxStatement); err != nil {
		return nil, err
	}
	n := r.Array(min(MaxBatch, r.Len())) // no member is shorter than a byte
	if r.Err() == nil && f.head.Claim.Size != uint64(n) {
		return nil, fmt.Errorf("%w: %d members in a batch of %d", errBatch, n, f.head.Claim.Size)
	}
	f.parts = make([]part, n)
	for i := range f.parts {
		if err := readPart(&r, f.common.Encryption, &f.parts[i]); err != nil {
			return nil, fmt.Errorf("frame: member %d: %w", i, err)
		}
		if err := checkPart(&f.common, &f.parts[i]); err != nil {
			return nil, fmt.Errorf("frame: member %d: %w", i, err)
		}
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	if err := checkFrame(&f.common, n); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	return f, checkHead(f.head, &f.common)
}

// begin reads a frame up to its members.
func (f *frame) begin(raw []byte, limit int) (wire.Reader, error) {
	if len(raw) > limit {
		return wire.Reader{}, wire.ErrTooLarge
	}
	r := wire.NewReader(raw)
	if r.Array(4) != 4 || r.Uint(formFrame) != formFrame {
		r.Refuse("not a frame")
	}
	f.headRaw = r.Bytes()
	readCommon(&r, &f.common)
	if err := r.Err(); err != nil {
		return r, fmt.Errorf("frame: %w", err)
	}
	if err := checkShared(&f.common); err != nil {
		return r, fmt.Errorf("frame: %w", err)
	}
	return r, nil
}

func readCommon(r *wire.Reader, e *Envelope) {
	read := fieldReader{Reader: r, left: r.Map(labelKey + 1)}
	read.shared(e)
	e.Encryption = Encryption(read.number(labelEncryption, math.MaxUint8))
	read.optionalDigest(labelKey, &e.Key)
	if read.left != 0 {
		r.Refuse("unknown, missing or repeated label")
	}
}

// readPart reads one member of a frame.
func readPart(r *wire.Reader, encryption Encryption, p *part) error {
	short, plain := 2, encryption == Plain
	if plain {
		short = 1
		if r.Next()>>5 == 2 { // a byte string
			p.body = r.Bytes()
			return r.Err()
		}
	}
	n := r.Array(short + 2)
	if n == short+2 {
		p.kind, p.trace = string(r.Text()), string(r.Text())
		if p.kind == "" && p.trace == "" {
			r.Refuse("longer form than needed")
		}
	} else if n != short || plain {
		r.Refuse("member of another form")
	}
	if !plain {
		r.Fixed(p.digest[:])
	}
	p.body = r.Bytes()
	return r.Err()
}

func (f *frame) first() *Envelope { return &f.common }

func (f *frame) len() int { return len(f.parts) }

func (f *frame) part(index int) *part { return &f.parts[index] }

func (f *frame) verify(realm wire.Realm, key wire.PublicKey, roots *Roots) error {
	if err := roots.verify(f.head, f.headRaw, realm, key); err != nil {
		return err
	}
	h := newLeafHasher(realm, &f.common)
	f.leaves = make([]merkle.Hash, len(f.parts))
	for i := range f.parts {
		h.leaf(&f.leaves[i], f.common.Counter+uint64(i), &f.parts[i])
	}
	if merkle.Root(f.leaves) != f.head.Claim.Root {
		return fmt.Errorf("%w: another root", errBatch)
	}
	f.tree = sync.OnceValue(func() *merkle.Tree {
		tree, err := merkle.Restore(f.leaves)
		if err != nil {
			panic("envelope: tree of a verified frame: " + err.Error()) // it has few leaves
		}
		return tree
	})
	return nil
}

func (f *frame) id(realm wire.Realm, index int) wire.Digest {
	return wire.ID(wire.Envelope, realm, envelopeAt(f, index).AppendPayload(nil))
}

func (f *frame) evidence(index int) []byte {
	raw, err := cut(f.headRaw, f.tree(), index, envelopeAt(f, index).AppendPayload(nil))
	if err != nil {
		panic("envelope: member of a verified frame: " + err.Error()) // bytes encode, and the index is in the tree
	}
	return raw
}
