package envelope

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// bundle signs n requests to my process together, with counters from 1.
func (w *world) bundle(n int) *Bundle {
	drafts := make([]Draft, n)
	for i := range drafts {
		drafts[i] = w.request()
		drafts[i].Counter, drafts[i].Content = uint64(i+1), fmt.Appendf(nil, "hello %d", i)
	}
	b, err := SealBatch(w.from, drafts, rand.Reader)
	must(w.t, err)
	return b
}

// head signs a batch statement as p, whatever it says.
func (w *world) head(p *identity.Process, b Batch) []byte {
	raw, err := p.Sign(b)
	must(w.t, err)
	return raw
}

func (w *world) member(b *Bundle, index int) memberForm {
	raw, err := b.Member(index)
	must(w.t, err)
	var m memberForm
	must(w.t, wire.Decode(raw, &m))
	return m
}

func encoded(t testing.TB, v any) []byte {
	raw, err := wire.Encode(v)
	must(t, err)
	return raw
}

func TestMembers(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		w := newWorld(t)
		b := w.bundle(n)
		for i := n - 1; i >= 0; i-- {
			raw, err := b.Member(i)
			must(t, err)
			m, err := OpenMember(raw, w.inbound(), w.authority, w.windows, now)
			must(t, err)
			if m.ID() != b.ID(i) || string(m.Content()) != fmt.Sprintf("hello %d", i) || !bytes.Equal(m.Raw(), raw) {
				t.Errorf("%d of %d: %s", i, n, m.Content())
			}
			if _, err := OpenMember(raw, w.inbound(), w.authority, w.windows, now); !errors.Is(err, ErrReplayed) {
				t.Errorf("%d of %d again: %v", i, n, err)
			}
		}
	}
}

// A batch's member has the id that the same envelope has when it is signed alone: it is one message.
func TestMemberIsTheEnvelope(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(3)
	e, err := decodePayload(b.payloads[1])
	must(t, err)
	raw := w.sign(w.from, e)
	m, err := w.open(raw, w.inbound())
	must(t, err)
	if m.ID() != b.ID(1) {
		t.Error("ids differ")
	}
	again, err := b.Member(1)
	must(t, err)
	if _, err := OpenMember(again, w.inbound(), w.authority, w.windows, now); !errors.Is(err, ErrReplayed) {
		t.Errorf("the same envelope in a batch: %v", err)
	}
}

func TestMemberRefuses(t *testing.T) {
	type at struct {
		w *world
		b *Bundle // of five; the member is number 2
	}
	root := func(a at) merkle.Hash { return a.b.tree.Root() }
	credential := func(a at) wire.Digest { return a.w.from.Credential().ID() }
	cases := []struct {
		name  string
		craft func(a at, m *memberForm, in *Inbound)
		want  error
	}{
		{"another index", func(_ at, m *memberForm, _ *Inbound) { m.Index = 3 }, errBatch},
		{"index outside", func(_ at, m *memberForm, _ *Inbound) { m.Index = 5 }, errBatch},
		{"index that wraps", func(_ at, m *memberForm, _ *Inbound) { m.Index = 1<<63 + 2 }, errBatch},
		{"path cut", func(_ at, m *memberForm, _ *Inbound) { m.Path = m.Path[1:] }, errBatch},
		{"path longer", func(_ at, m *memberForm, _ *Inbound) { m.Path = append(m.Path, m.Path[0]) }, errBatch},
		{"path changed", func(_ at, m *memberForm, _ *Inbound) { m.Path[0][0] ^= 1 }, errBatch},
		{"path of a sibling", func(a at, m *memberForm, _ *Inbound) { m.Path = a.w.member(a.b, 3).Path }, errBatch},
		{"another member's payload", func(a at, m *memberForm, _ *Inbound) { m.Payload = a.b.payloads[1] }, errBatch},
		{"larger size", func(a at, m *memberForm, _ *Inbound) {
			m.Head = a.w.head(a.w.from, Batch{Version: 1, Credential: credential(a), Size: 9, Root: root(a)})
		}, errBatch},
		{"smaller size", func(a at, m *memberForm, _ *Inbound) {
			m.Head = a.w.head(a.w.from, Batch{Version: 1, Credential: credential(a), Size: 3, Root: root(a)})
		}, errBatch},
		{"another root", func(a at, m *memberForm, _ *Inbound) {
			m.Head = a.w.head(a.w.from, Batch{Version: 1, Credential: credential(a), Size: 5, Root: merkle.Hash{1}})
		}, errBatch},
		{"another batch's head", func(a at, m *memberForm, _ *Inbound) { m.Head = a.w.bundle(5).head }, errBatch},
		{"head of another credential", func(a at, m *memberForm, _ *Inbound) {
			id := a.w.mallory.Credential().ID()
			m.Head = a.w.head(a.w.from, Batch{Version: 1, Credential: id, Size: 5, Root: root(a)})
		}, errBatch},
		{"head that another process signs as its own", func(a at, m *memberForm, _ *Inbound) {
			id := a.w.mallory.Credential().ID()
			m.Head = a.w.head(a.w.mallory, Batch{Version: 1, Credential: id, Size: 5, Root: root(a)})
		}, errBatch},
		{"head signed by another key", func(a at, m *memberForm, _ *Inbound) {
			m.Head = a.w.head(a.w.mallory, Batch{Version: 1, Credential: credential(a), Size: 5, Root: root(a)})
		}, wire.ErrBadSignature},
		{"envelope as head", func(a at, m *memberForm, _ *Inbound) { m.Head = a.w.seal(a.w.request()) }, wire.ErrWrongKind},
		{"inner node as leaf", func(a at, m *memberForm, _ *Inbound) {
			left, right := a.b.tree.Leaves()[2], a.b.tree.Leaves()[3]
			m.Index, m.Payload, m.Path = 1, append(left[:], right[:]...), m.Path[1:]
		}, wire.ErrMalformed},
		{"moved to another subject", func(_ at, _ *memberForm, in *Inbound) { in.Subject += ".x" }, ErrMisaddressed},
		{"moved to another process", func(a at, _ *memberForm, in *Inbound) { in.Process = a.w.process(a.w.bob) },
			ErrMisaddressed},
		{"moved to another agent", func(a at, _ *memberForm, in *Inbound) { in.Process = a.w.mallory }, ErrMisaddressed},
		{"moved to a topic", func(_ at, _ *memberForm, in *Inbound) { in.Topic = topic }, ErrMisaddressed},
		{"form of a frame", func(_ at, m *memberForm, _ *Inbound) { m.Form = formFrame }, wire.ErrMalformed},
		{"too large", func(_ at, _ *memberForm, in *Inbound) { in.Limit = 1000 }, wire.ErrTooLarge},
		{"unknown sender", func(a at, _ *memberForm, _ *Inbound) { delete(a.w.authority.senders, credential(a)) }, errUnknown},
		{"no longer allowed", func(a at, _ *memberForm, _ *Inbound) { a.w.authority.denial = ErrPlain }, ErrPlain},
		{"payload that its Check refuses", func(a at, m *memberForm, _ *Inbound) {
			e, err := decodePayload(a.b.payloads[2])
			must(a.w.t, err)
			e.Counter = 0
			m.Payload = encoded(a.w.t, e)
		}, wire.ErrMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a := at{w, w.bundle(5)}
			m, in := w.member(a.b, 2), w.inbound()
			honest := encoded(t, m)
			senders := w.authority.senders[credential(a)]
			c.craft(a, &m, &in)
			if _, err := OpenMember(encoded(t, m), in, w.authority, w.windows, now); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if w.windows.commits != 0 {
				t.Error("the refusal reached the replay windows")
			}
			w.authority.denial, w.authority.senders[credential(a)] = nil, senders
			if _, err := OpenMember(honest, w.inbound(), w.authority, w.windows, now); err != nil {
				t.Errorf("the honest twin afterwards: %v", err)
			}
		})
	}
}

func TestSealBatchRefuses(t *testing.T) {
	w := newWorld(t)
	twin := w.request()
	second := twin
	second.Counter = 2
	_, err := SealBatch(w.from, []Draft{twin, second}, rand.Reader)
	must(t, err)
	large, bare, event := second, second, w.event()
	large.Limit, bare.Protection = 1000, Protection{}
	event.Protection = SealedTo(w.me.SealingKey())
	for name, c := range map[string]struct {
		drafts []Draft
		want   error
	}{
		"none":          {nil, wire.ErrMalformed},
		"too many":      {make([]Draft, MaxBatch+1), wire.ErrMalformed},
		"one counter":   {[]Draft{twin, twin}, wire.ErrMalformed},
		"no protection": {[]Draft{twin, bare}, errProtection},
		"sealed topic":  {[]Draft{twin, event}, wire.ErrMalformed},
		"too large":     {[]Draft{twin, large}, wire.ErrTooLarge},
	} {
		if _, err := SealBatch(w.from, c.drafts, rand.Reader); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b, err := SealBatch(w.from, []Draft{twin, w.event(), w.letter()}, rand.Reader)
	must(t, err)
	if b.Session(0) == nil || b.Session(1) != nil || b.Session(2) != nil {
		t.Error("what is sealed to a process opens a session, and nothing else does")
	}
	for _, index := range []int{-1, b.Len()} {
		if _, err := b.Member(index); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("member %d: %v", index, err)
		}
	}
}

func TestAttest(t *testing.T) {
	w := newWorld(t)
	key := w.from.Credential().Statement().Signing
	single := w.seal(w.request())
	member, err := w.bundle(3).Member(1)
	must(t, err)
	for name, raw := range map[string][]byte{"single": single, "member": member} {
		e, _, err := Attest(raw, DefaultLimit, w.realm, key)
		if err != nil || e.From != w.alice.ID() {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := Attest(raw, DefaultLimit, wire.Realm{9}, key); !errors.Is(err, wire.ErrBadSignature) {
			t.Errorf("%s, another realm: %v", name, err)
		}
		other := w.mallory.Credential().Statement().Signing
		if _, _, err := Attest(raw, DefaultLimit, w.realm, other); !errors.Is(err, wire.ErrBadSignature) {
			t.Errorf("%s, another key: %v", name, err)
		}
		if _, _, err := Attest(raw, len(raw)-1, w.realm, key); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%s, limit: %v", name, err)
		}
	}
}

func TestBatchCheck(t *testing.T) {
	honest := Batch{Version: 1, Credential: wire.Digest{1}, Size: 1}
	must(t, honest.Check())
	for name, c := range map[string]struct {
		breaks func(b *Batch)
		want   error
	}{
		"version":       {func(b *Batch) { b.Version = 2 }, wire.ErrVersion},
		"no credential": {func(b *Batch) { b.Credential = wire.Digest{} }, wire.ErrMalformed},
		"empty":         {func(b *Batch) { b.Size = 0 }, wire.ErrMalformed},
		"too many":      {func(b *Batch) { b.Size = MaxBatch + 1 }, wire.ErrMalformed},
	} {
		b := honest
		c.breaks(&b)
		if err := b.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
