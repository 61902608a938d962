package spec_test

import (
	"bytes"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// bundle is a batch that alice's process signs, whatever it says.
type bundle struct {
	realm    wire.Realm
	head     envelope.Batch
	payloads [][]byte
	leaves   []merkle.Hash
}

// bundled is the batch of the envelopes.
func (w envelopeWorld) bundled(all ...letter) *bundle {
	b := &bundle{realm: w.realm}
	for _, e := range all {
		b.payloads = append(b.payloads, encode(e))
	}
	b.leaves = leavesOf(w.realm, b.payloads)
	b.head = envelope.Batch{
		Version: 1, Credential: w.process(alice), Size: uint64(len(all)), Root: merkle.Root(b.leaves),
	}
	return b
}

func leavesOf(realm wire.Realm, payloads [][]byte) []merkle.Hash {
	leaves := make([]merkle.Hash, len(payloads))
	for i, p := range payloads {
		leaves[i] = merkle.LeafHash(sigStructure(wire.Envelope, realm, header(wire.Envelope), p))
	}
	return leaves
}

func (b *bundle) signed() []byte { return signed(key(alice+2), b.realm, b.head) }

func (b *bundle) path(index int) []merkle.Hash {
	paths, err := merkle.Paths(b.leaves)
	if err != nil {
		panic(err)
	}
	return paths[index]
}

// member is the form of five parts.
func (b *bundle) member(index int) []byte {
	return member(b.signed(), uint64(index), b.path(index), b.payloads[index])
}

func member(head []byte, index uint64, path []merkle.Hash, payload []byte) []byte {
	if path == nil {
		path = []merkle.Hash{}
	}
	return encode([]any{2, head, index, path, payload})
}

// frame is the form of three parts.
func (b *bundle) frame() []byte { return frame(b.signed(), b.payloads) }

func frame(head []byte, payloads [][]byte) []byte { return encode([]any{1, head, payloads}) }

// counted are n requests with the counters 1 to n.
func (w envelopeWorld) counted(n int) []letter {
	all := make([]letter, n)
	for i := range all {
		all[i] = w.request(func(e *letter) { e.Counter = uint64(i + 1) })
	}
	return all
}

func batchVectors() *group {
	w := newEnvelopeWorld()
	g := &group{folder: "batch", statement: "batch", realm: w.realm, context: w.context()}
	w.members(g)
	w.proofs(g)
	w.frames(g)
	return g
}

func (w envelopeWorld) members(g *group) {
	five := w.bundled(w.counted(5)...)
	one := w.bundled(w.counted(1)...)
	with := func(name, check string, code fault.Code, change func(*envelope.Batch)) {
		b := w.bundled(w.counted(5)...)
		change(&b.head)
		g.refuse(name, check, code, b.member(2))
	}
	g.accept("ok-single", w.signed(w.request(nil)))
	g.accept("ok-member", five.member(2))
	g.accept("ok-last-member", five.member(4))
	g.accept("ok-only-member", one.member(0))
	g.accept("ok-member-again-alone", five.member(2), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{five.member(1), five.member(3)}
	})))
	g.refuse("member-too-large", "member-size", fault.TooLarge, five.member(2), zeros(envelope.DefaultLimit))
	g.refuse("member-of-another-form", "member-form", fault.Malformed, encode([]any{1, five.signed(), 2, five.path(2), five.payloads[2]}))
	g.refuse("envelope-for-head", "protected-header", fault.WrongKind, member(w.signed(w.request(nil)), 2, five.path(2), five.payloads[2]))
	g.refuse("member-replayed", "counter-used", fault.Replayed, five.member(2), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{five.member(2)}
	})))
	g.refuse("member-replayed-as-single", "counter-used", fault.Replayed, w.signed(w.counted(3)[2]), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{five.member(2)}
	})))
	twice := w.bundled(w.request(nil), w.request(nil))
	g.refuse("leaf-twice", "counter-used", fault.Replayed, twice.member(1), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{twice.member(0)}
	})))
	with("version", "batch-version", fault.Version, func(b *envelope.Batch) { b.Version = 2 })
	with("no-credential", "batch-credential", fault.Malformed, func(b *envelope.Batch) { b.Credential = wire.Digest{} })
	with("size-zero", "batch-size", fault.Malformed, func(b *envelope.Batch) { b.Size = 0 })
	with("credential-of-another", "batch-sender", fault.BadSignature, func(b *envelope.Batch) { b.Credential = w.process(mallory) })
	var many []letter
	for range envelope.MaxBatch + 1 {
		many = append(many, w.request(nil))
	}
	g.refuse("too-many", "batch-limit", fault.Malformed, w.bundled(many...).member(0))
	g.refuse("head-by-another", "signature", fault.BadSignature,
		member(signed(key(mallory+2), w.realm, five.head), 2, five.path(2), five.payloads[2]))
	g.refuse("head-of-another-realm", "signature", fault.BadSignature,
		member(signed(key(alice+2), wire.Realm{1}, five.head), 2, five.path(2), five.payloads[2]))
	g.refuse("member-not-an-envelope", "member-check", fault.Malformed,
		w.bundled(append(w.counted(2), w.request(func(e *letter) { e.Counter = 0 }))...).member(2))
}

// proofs are members whose path does not lead from leaf to root.
func (w envelopeWorld) proofs(g *group) {
	five := w.bundled(w.counted(5)...)
	head, path, payload := five.signed(), five.path(2), five.payloads[2]
	refuse := func(name string, input []byte) { g.refuse(name, "batch-inclusion", fault.BadSignature, input) }
	sized := func(size uint64) []byte {
		b := w.bundled(w.counted(5)...)
		b.head.Size = size
		return b.member(2)
	}
	refuse("index", member(head, 3, path, payload))
	refuse("index-above-size", member(head, 5, path, payload))
	refuse("path-of-another", member(head, 2, five.path(3), payload))
	refuse("path-shorter", member(head, 2, path[:len(path)-1], payload))
	refuse("path-longer", member(head, 2, append(bytesOf(path), merkle.Hash{}), payload))
	refuse("no-path", member(head, 2, nil, payload))
	refuse("size-below", sized(4))
	refuse("size-above", sized(9))
	refuse("moved-from-another-batch", member(w.bundled(w.counted(4)...).signed(), 2, path, payload))
	refuse("not-in-the-batch", member(head, 2, path, encode(w.request(func(e *letter) { e.Counter = 6 }))))
	refuse("leaf-of-another-realm", func() []byte {
		b := w.bundled(w.counted(5)...)
		b.leaves = leavesOf(wire.Realm{1}, b.payloads)
		b.head.Root = merkle.Root(b.leaves)
		return b.member(2)
	}())
	// The parent of the leaves 2 and 3 as if it were a leaf, in a tree of half the height.
	inner := append(append([]byte{1}, five.leaves[2][:]...), five.leaves[3][:]...)
	g.refuse("inner-node-as-leaf", "member-payload", fault.Malformed, member(head, 1, path[1:], inner))
}

func bytesOf(path []merkle.Hash) []merkle.Hash { return append([]merkle.Hash{}, path...) }

func (w envelopeWorld) frames(g *group) {
	four := w.bundled(w.counted(4)...)
	head := four.signed()
	mixed := func(name string, change func(*letter)) {
		all := w.counted(2)
		all[1] = w.request(func(e *letter) { e.Counter = 2; change(e) })
		g.refuse(name, "frame-uniform", fault.Malformed, w.bundled(all...).frame())
	}
	resized := func(n uint64) []byte {
		b := w.bundled(w.counted(4)...)
		b.head.Size = n
		return b.frame()
	}
	g.accept("ok-frame", four.frame())
	g.accept("ok-frame-of-one", w.bundled(w.counted(1)...).frame())
	g.refuse("frame-too-large", "frame-size", fault.TooLarge, four.frame(), zeros(envelope.DefaultLimit))
	g.refuse("frame-of-another-form", "frame-form", fault.Malformed, encode([]any{2, head, four.payloads}))
	g.refuse("frame-count-below", "frame-count", fault.BadSignature, resized(3))
	g.refuse("frame-count-above", "frame-count", fault.BadSignature, resized(5))
	g.refuse("frame-member-moved-in", "frame-root", fault.BadSignature,
		frame(head, append(append([][]byte{}, four.payloads[:3]...), encode(w.request(func(e *letter) { e.Counter = 5 })))))
	g.refuse("frame-root-of-another", "frame-root", fault.BadSignature, frame(func() []byte {
		b := w.bundled(w.counted(4)...)
		b.head.Root = merkle.Root(four.leaves[:3])
		return b.signed()
	}(), four.payloads))
	g.refuse("frame-by-another", "signature", fault.BadSignature, frame(signed(key(mallory+2), w.realm, four.head), four.payloads))
	g.refuse("frame-credential-of-another", "frame-sender", fault.BadSignature, func() []byte {
		b := w.bundled(w.counted(2)...)
		b.head.Credential = w.process(mallory)
		return b.frame()
	}())
	g.refuse("frame-not-an-envelope", "member-check", fault.Malformed, func() []byte {
		all := w.counted(2)
		all[0] = w.request(func(e *letter) { e.Counter = 0 })
		return w.bundled(all...).frame()
	}())
	mixed("frame-of-two-subjects", func(e *letter) { e.Subject = w.letter(nil).Subject })
	mixed("frame-of-two-destinations", func(e *letter) { e.To.Instance = wire.Digest{1} })
	mixed("frame-of-two-senders", func(e *letter) { e.From = agent(mallory) })
	mixed("frame-of-two-processes", func(e *letter) { e.Credential = w.process(mallory) })
	backwards := w.counted(2)
	backwards[0], backwards[1] = backwards[1], backwards[0]
	g.refuse("frame-counters-descend", "frame-counters", fault.Malformed, w.bundled(backwards...).frame())
	g.refuse("frame-replayed", "counter-used", fault.Replayed, four.frame(), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{four.member(2)}
	})))
	g.refuse("frame-leaf-twice", "frame-counter-twice", fault.Malformed, w.bundled(w.request(nil), w.request(nil)).frame())
	g.refuse("frame-payload-trailing", "trailing", fault.Malformed, func() []byte {
		b := w.bundled(w.counted(2)...)
		b.payloads[1] = append(bytes.Clone(b.payloads[1]), 0)
		b.leaves = leavesOf(w.realm, b.payloads)
		b.head.Root = merkle.Root(b.leaves)
		return b.frame()
	}())
}
