package spec_test

import (
	"fmt"
	"math"
	"slices"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// common is what the envelopes of a frame share, encoded as batch.md has it.
type common struct {
	Version    uint64               `cbor:"0,keyasint"`
	From       identity.ID          `cbor:"1,keyasint"`
	Credential wire.Digest          `cbor:"2,keyasint"`
	To         envelope.Destination `cbor:"3,keyasint"`
	Subject    string               `cbor:"4,keyasint"`
	Purpose    envelope.Purpose     `cbor:"5,keyasint"`
	InReplyTo  wire.Digest          `cbor:"6,keyasint,omitzero"`
	Issued     int64                `cbor:"7,keyasint"`
	Expires    int64                `cbor:"8,keyasint"`
	Counter    uint64               `cbor:"9,keyasint"`
	Encryption envelope.Encryption  `cbor:"12,keyasint"`
	Key        wire.Digest          `cbor:"16,keyasint,omitzero"`
}

func commonOf(e letter) common {
	return common{
		e.Version, e.From, e.Credential, e.To, e.Subject, e.Purpose, e.InReplyTo, e.Issued, e.Expires, e.Counter,
		e.Encryption, e.Key,
	}
}

// partOf is what the envelope has for itself in a frame.
func partOf(e letter) any {
	var part []any
	if e.ContentType != "" || e.Trace != "" {
		part = append(part, e.ContentType, e.Trace)
	}
	if e.Encryption != envelope.Plain {
		part = append(part, e.Digest)
	}
	if part = append(part, e.Body); len(part) == 1 {
		return e.Body
	}
	return part
}

// A shape is a frame in parts, which need not fit.
type shape struct {
	form   int
	head   []byte
	common any
	parts  []any
}

func (b *bundle) shape() shape {
	s := shape{form: 1, head: b.signed(), common: commonOf(b.letters[0])}
	for _, e := range b.letters {
		s.parts = append(s.parts, partOf(e))
	}
	return s
}

func (s shape) encode() []byte { return encode([]any{s.form, s.head, s.common, s.parts}) }

// frame is the form of four parts.
func (b *bundle) frame() []byte { return b.shape().encode() }

// framed is the batch's frame, edited.
func framed(b *bundle, change func(*shape)) []byte { return changed(b.shape(), change).encode() }

// run is n envelopes with the counters 1 to n and contents of different lengths, without content type and trace.
func run(n int, e func(change func(*letter)) letter) []letter {
	all := make([]letter, n)
	for i := range all {
		all[i] = e(func(e *letter) { e.Counter, e.ContentType, e.Trace = uint64(i+1), "", "" })
	}
	return all
}

// said is alice's message on the plain topic that tells its counter.
func (w envelopeWorld) said(change func(*letter)) letter {
	e := w.event(change)
	e.Body = fmt.Appendf(nil, "message %d", e.Counter)
	return e
}

func frameVectors() *group {
	w := newEnvelopeWorld()
	g := &group{folder: "frame", statement: "batch", realm: w.realm, context: w.context(w.onTopic)}
	w.framesAccepted(g)
	w.framesOfOtherForm(g)
	w.framesForged(g)
	w.framesOfEncrypted(g)
	w.framesReplayed(g)
	return g
}

func (w envelopeWorld) framesAccepted(g *group) {
	four := w.bundled(run(4, w.said)...)
	reports := w.bundled(run(3, w.report)...)
	onClosed, inSession := knowing(w.context(w.onClosed)), knowing(w.context(w.inSession))
	typed := run(5, w.said)
	typed[1].ContentType, typed[3].ContentType = "text/plain", "text/plain"
	typed[2].Trace, typed[3].Trace = w.draft().Trace, w.draft().Trace

	g.accept("ok", four.frame())
	g.accept("ok-one", w.bundled(run(1, w.said)...).frame())
	g.accept("ok-most", w.bundled(run(envelope.MaxBatch, w.said)...).frame())
	g.accept("ok-typed", w.bundled(typed...).frame())
	g.accept("ok-empty-contents", w.bundled(run(2, func(change func(*letter)) letter {
		return changed(w.event(change), func(e *letter) { e.Body = nil })
	})...).frame())
	g.accept("ok-sender-key", reports.frame(), onClosed)
	g.accept("ok-session", w.bundled(run(2, w.talk)...).frame(), inSession)
	g.accept("ok-session-typed", w.bundled(w.talk(nil), w.talk(func(e *letter) { e.Counter = 2 })).frame(), inSession)
	g.accept("ok-member-cut-out", four.member(2))
	g.accept("ok-encrypted-member-cut-out", reports.member(2), onClosed)
	g.accept("ok-head-again", four.frame(), knowing(w.context(w.onTopic, func(c *setting) {
		other := w.bundled(run(4, func(change func(*letter)) letter {
			return w.said(func(e *letter) { change(e); e.Counter += 4 })
		})...)
		c.Before = []hexBytes{other.frame()}
	})))
}

// framesOfOtherForm are frames that nobody may make.
func (w envelopeWorld) framesOfOtherForm(g *group) {
	four := w.bundled(run(4, w.said)...)
	refuse := func(name, check string, change func(*shape)) {
		g.refuse(name, check, fault.Malformed, framed(four, change))
	}
	// last is a frame whose last envelope, properly signed, may not be sent.
	last := func(name, check string, change func(*letter)) {
		all := run(3, w.said)
		change(&all[2])
		g.refuse(name, check, fault.Malformed, w.bundled(all...).frame())
	}
	// all is a frame, properly signed, whose envelopes may not be sent for what they share.
	all := func(name, check string, code fault.Code, change func(*letter)) {
		g.refuse(name, check, code, w.bundled(run(2, func(own func(*letter)) letter {
			return w.said(func(e *letter) { own(e); change(e) })
		})...).frame())
	}

	g.refuse("too-large", "frame-size", fault.TooLarge, four.frame(), zeros(envelope.DefaultLimit))
	refuse("another-form", "frame-form", func(s *shape) { s.form = 2 })
	g.refuse("envelope-for-head", "protected-header", fault.WrongKind,
		framed(four, func(s *shape) { s.head = w.signed(four.letters[0]) }))
	refuse("member-in-an-array", "frame-member", func(s *shape) { s.parts[2] = []any{s.parts[2]} })
	refuse("member-longer-than-needed", "frame-longer-member", func(s *shape) { s.parts[2] = []any{"", "", s.parts[2]} })
	last("content-type-long", "content-type-length", func(e *letter) { e.ContentType = string(make129()) })
	last("trace-version", "envelope-trace", func(e *letter) { e.Trace = "01" + w.draft().Trace[2:] })
	all("version", "envelope-version", fault.Version, func(e *letter) { e.Version = 2 })
	all("no-credential", "envelope-credential", fault.Malformed, func(e *letter) { e.Credential = wire.Digest{} })
	all("counter-zero", "envelope-counter", fault.Malformed, func(e *letter) { e.Counter-- })
	all("no-life", "envelope-expires", fault.Malformed, func(e *letter) { e.Expires = e.Issued })
	all("purpose", "envelope-purpose", fault.Malformed, func(e *letter) { e.Purpose = envelope.Request })

	const most = uint64(math.MaxUint64)
	g.refuse("counters-beyond-the-last", "frame-counters", fault.Malformed, w.bundled(run(3, func(own func(*letter)) letter {
		return w.said(func(e *letter) { own(e); e.Counter += most - 2 })
	})...).frame(), knowing(w.context(w.onTopic, func(c *setting) { c.Joined[0].First = most - 1 })))

	sealed := func(e *letter) {
		e.Encryption, e.Digest, e.Body = envelope.Sealed, wire.Hash(salted), w.request(nil).Body
	}
	g.refuse("sealed", "frame-sealed", fault.Malformed, w.bundled(run(2, func(own func(*letter)) letter {
		return changed(w.asked(own), sealed)
	})...).frame(), knowing(w.context()))
}

func make129() []byte { return slices.Repeat([]byte("a"), 129) }

// framesForged are frames whose members are not those that were signed.
func (w envelopeWorld) framesForged(g *group) {
	four := w.bundled(run(4, w.said)...)
	other := w.bundled(run(6, w.said)...)
	root := func(name string, change func(*shape)) {
		g.refuse(name, "frame-root", fault.BadSignature, framed(four, change))
	}
	headed := func(name, check string, code fault.Code, change func(*envelope.Batch)) {
		b := w.bundled(run(4, w.said)...)
		change(&b.head)
		g.refuse(name, check, code, b.frame())
	}
	headed("count-below", "frame-count", fault.BadSignature, func(b *envelope.Batch) { b.Size = 5 })
	headed("count-above", "frame-count", fault.BadSignature, func(b *envelope.Batch) { b.Size = 3 })
	headed("credential-of-another", "frame-sender", fault.BadSignature, func(b *envelope.Batch) { b.Credential = w.process(mallory) })
	headed("root-of-less", "frame-root", fault.BadSignature, func(b *envelope.Batch) { b.Root = merkle.Root(four.leaves[:3]) })
	g.refuse("no-members", "frame-count", fault.BadSignature, framed(four, func(s *shape) { s.parts = []any{} }))
	g.refuse("more-than-any-batch", "frame-limit", fault.Malformed,
		framed(w.bundled(run(envelope.MaxBatch+1, w.said)...), func(s *shape) {
			s.head = w.bundled(run(envelope.MaxBatch, w.said)...).signed()
		}))
	root("member-of-another-batch", func(s *shape) { s.parts[3] = partOf(other.letters[5]) })
	root("members-swapped", func(s *shape) { s.parts[1], s.parts[2] = s.parts[2], s.parts[1] })
	root("member-twice", func(s *shape) { s.parts[3] = s.parts[2] })
	root("content-changed", func(s *shape) { s.parts[3] = []byte("message 5") })
	root("content-type-added", func(s *shape) { s.parts[3] = []any{"text/plain", "", s.parts[3]} })
	root("first-counter-changed", func(s *shape) { s.common = commonOf(other.letters[1]) })
	root("later-end", func(s *shape) {
		s.common = commonOf(changed(four.letters[0], func(e *letter) { e.Expires++ }))
	})
	gap := run(4, w.said)
	gap[3] = w.said(func(e *letter) { e.Counter, e.ContentType, e.Trace = 5, "", "" })
	g.refuse("counters-with-a-gap", "frame-root", fault.BadSignature, w.bundled(gap...).frame())
	elsewhere := w.told("news.global", nil)
	g.refuse("moved-to-another-topic", "frame-root", fault.BadSignature, framed(four, func(s *shape) {
		s.common = commonOf(changed(four.letters[0], func(e *letter) { e.To, e.Subject = elsewhere.To, elsewhere.Subject }))
	}), knowing(w.context(w.onTopic, func(c *setting) {
		c.Delivery.Topic, c.Delivery.Subject = "news.global", elsewhere.Subject
		c.Joined[0].Topic = "news.global"
	})))
	g.refuse("by-another", "signature", fault.BadSignature, framed(four, func(s *shape) {
		s.head = signed(key(mallory+2), w.realm, four.head)
	}))
	g.refuse("in-another-realm", "signature", fault.BadSignature, framed(four, func(s *shape) {
		s.head = signed(key(alice+2), wire.Realm{1}, four.head)
	}))
	leaves := w.bundled(run(4, w.said)...)
	leaves.leaves = leavesOf(wire.Realm{1}, leaves.payloads)
	leaves.head.Root = merkle.Root(leaves.leaves)
	g.refuse("leaves-of-another-realm", "frame-root", fault.BadSignature, leaves.frame())
}

// framesOfEncrypted are frames under a key, in which each body stands or falls by itself.
func (w envelopeWorld) framesOfEncrypted(g *group) {
	onClosed := knowing(w.context(w.onClosed))
	three := w.bundled(run(3, w.report)...)
	signedWith := func(name, check string, change func(all []letter)) {
		all := run(3, w.report)
		change(all)
		g.refuse(name, check, fault.Malformed, w.bundled(all...).frame(), onClosed)
	}
	refuse := func(name, check string, code fault.Code, change func(*shape)) {
		g.refuse(name, check, code, framed(three, change), onClosed)
	}
	whole := three.frame()
	whole[len(whole)-len(encode(partOf(three.letters[2])))] = 0x83
	g.refuse("encrypted-member-of-three", "frame-member", fault.Malformed, whole, onClosed)
	refuse("encrypted-member-longer-than-needed", "frame-longer-member", fault.Malformed, func(s *shape) {
		s.parts[1] = append([]any{"", ""}, s.parts[1].([]any)...)
	})
	refuse("ciphertexts-swapped", "frame-root", fault.BadSignature, func(s *shape) {
		s.parts[0], s.parts[1] = s.parts[1], s.parts[0]
	})
	refuse("ciphertext-truncated", "frame-root", fault.BadSignature, func(s *shape) {
		p := slices.Clone(s.parts[1].([]any))
		p[1] = p[1].([]byte)[:len(p[1].([]byte))-1]
		s.parts[1] = p
	})
	refuse("under-another-key", "frame-root", fault.BadSignature, func(s *shape) {
		s.common = commonOf(changed(three.letters[0], func(e *letter) { e.Key = sessionID }))
	})
	g.refuse("key-not-known", "key-known", fault.Unknown, three.frame(),
		knowing(w.context(w.onClosed, func(c *setting) { c.SenderKeys = nil })))
	signedWith("signed-ciphertexts-swapped", "keyed-body", func(all []letter) {
		all[1].Body, all[2].Body = all[2].Body, all[1].Body
	})
	signedWith("signed-ciphertext-truncated", "keyed-body", func(all []letter) {
		all[1].Body = all[1].Body[:len(all[1].Body)-1]
	})
	signedWith("signed-content-of-another-digest", "keyed-content", func(all []letter) { all[2].Digest = wire.Digest{1} })
	signedWith("signed-without-digest", "digest-missing", func(all []letter) { all[2].Digest = wire.Digest{} })
	signedWith("signed-without-salt", "body-least", func(all []letter) {
		all[2] = lockedAs(w.realm, all[2], all[2], all[2].Key, senderKey, salted[:15])
	})
}

func (w envelopeWorld) framesReplayed(g *group) {
	four := w.bundled(run(4, w.said)...)
	after := func(before ...hexBytes) func(*vector) {
		return knowing(w.context(w.onTopic, func(c *setting) { c.Before = before }))
	}
	hourOff := func(from, to int64) []byte {
		return w.bundled(run(2, func(own func(*letter)) letter {
			return w.said(func(e *letter) { own(e); e.Issued, e.Expires = now+from, now+to })
		})...).frame()
	}
	g.refuse("again", "counter-used", fault.Replayed, four.frame(), after(four.frame()))
	g.refuse("after-its-member", "counter-used", fault.Replayed, four.frame(), after(four.member(2)))
	g.refuse("member-after-the-frame", "counter-used", fault.Replayed, four.member(2), after(four.frame()))
	g.refuse("before-the-join", "counter-first", fault.Replayed, four.frame(),
		knowing(w.context(w.onTopic, func(c *setting) { c.Joined[0].First = 3 })))
	g.refuse("expired", "expired", fault.Expired, hourOff(-hour-minute, -hour))
	g.refuse("not-yet", "not-yet", fault.NotYet, hourOff(hour, hour+minute))
}
