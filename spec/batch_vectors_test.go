package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// bundle is a batch that alice's process signs, whatever it says.
type bundle struct {
	realm    wire.Realm
	head     envelope.Batch
	letters  []letter
	payloads [][]byte
	leaves   []merkle.Hash
}

// bundled is the batch of the envelopes.
func (w envelopeWorld) bundled(all ...letter) *bundle {
	b := &bundle{realm: w.realm, letters: all}
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
	w.remembered(g)
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
	// Two processes of alice, with one signing key: what one of them signed is not the other's.
	sibling := w.credential(alice, func(c *identity.Credential) { c.Connect = key(9).Public() })
	shared := changed(five.head, func(b *envelope.Batch) { b.Credential = idOf(w.realm, sibling) })
	g.refuse("root-under-two-credentials", "batch-sender", fault.BadSignature,
		member(signed(key(alice+2), w.realm, shared), 2, five.path(2), five.payloads[2]),
		knowing(w.context(func(c *setting) {
			other := w.updates(alice)
			other.Credential = signed(key(alice), w.realm, sibling)
			c.Learned = append(c.Learned, other)
		})))
	var many []letter
	for range envelope.MaxBatch + 1 {
		many = append(many, w.request(nil))
	}
	g.refuse("too-many", "batch-limit", fault.Malformed, w.bundled(many...).member(envelope.MaxBatch))
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
	refuse("longer-than-any-tree", member(head, 2, append(bytesOf(path), make([]merkle.Hash, 7)...), payload))
	g.refuse("path-too-long", "path-limit", fault.Malformed,
		member(head, 2, append(bytesOf(path), make([]merkle.Hash, 8)...), payload))
	toAnother := w.counted(5)
	toAnother[2].To.Instance = wire.Digest{1}
	moved := w.bundled(toAnother...)
	refuse("moved-from-another-process", member(moved.signed(), 2, moved.path(2), payload))
	there := w.bundled(w.reply(func(e *letter) {
		e.Subject = w.names.Reply(e.To.Agent, bus.TokenOf(e.To.Instance), e.From, bus.Token{2})
	}))
	g.refuse("moved-from-another-exchange", "batch-inclusion", fault.BadSignature,
		member(there.signed(), 0, nil, encode(w.reply(nil))), knowing(w.context(w.answering)))
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

// remembered are heads that come again, which a verifier need not check twice.
func (w envelopeWorld) remembered(g *group) {
	five := w.bundled(w.counted(5)...)
	before := knowing(w.context(func(c *setting) { c.Before = []hexBytes{five.member(1)} }))
	head := five.signed()
	forged := changedAt(head, len(head)-1)
	g.accept("ok-head-again", five.member(2), before)
	g.refuse("head-again-with-another-signature", "head-remembered", fault.BadSignature,
		member(forged, 2, five.path(2), five.payloads[2]), before)
}
