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
	drafts, keys := make([]Draft, n), make([][]byte, n)
	for i := range drafts {
		drafts[i], keys[i] = w.request(), w.me.SealingKey()
		drafts[i].Counter, drafts[i].Content = uint64(i+1), fmt.Appendf(nil, "hello %d", i)
	}
	b, err := SealBatch(w.from, drafts, keys, rand.Reader)
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

func (w *world) frame(b *Bundle) frameForm {
	raw, err := b.Frame()
	must(w.t, err)
	var f frameForm
	must(w.t, wire.Decode(raw, &f))
	return f
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
	raw := w.sign(w.from, b.envelopes[1])
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

func TestFrame(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(5)
	raw, err := b.Frame()
	must(t, err)
	one, err := b.Member(2)
	must(t, err)
	_, err = OpenMember(one, w.inbound(), w.authority, w.windows, now)
	must(t, err)
	all, err := openFrame(raw, w.inbound(), w.authority, w.windows, now)
	must(t, err)
	for i, o := range all {
		if i == 2 {
			if !errors.Is(o.Err, ErrReplayed) || o.Message != nil {
				t.Errorf("member opened before: %v", o.Err)
			}
			continue
		}
		must(t, o.Err)
		want, err := b.Member(i)
		must(t, err)
		if o.Message.ID() != b.ID(i) || !bytes.Equal(o.Message.Raw(), want) {
			t.Errorf("member %d: id or evidence differs", i)
		}
		e, id, err := Attest(o.Message.Raw(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing)
		if err != nil || id != b.ID(i) || e.Counter != uint64(i+1) {
			t.Errorf("member %d: evidence: %v", i, err)
		}
	}
	all, err = openFrame(raw, w.inbound(), w.authority, w.windows, now)
	must(t, err)
	for i, o := range all {
		if !errors.Is(o.Err, ErrReplayed) {
			t.Errorf("member %d again: %v", i, o.Err)
		}
	}
}

func TestMemberRefuses(t *testing.T) {
	type at struct {
		w *world
		b *Bundle // of five; the member is number 2
	}
	root := func(a at) merkle.Hash { return merkle.Root(a.b.digests.leaves) }
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
		{"head signed by another key", func(a at, m *memberForm, _ *Inbound) {
			m.Head = a.w.head(a.w.mallory, Batch{Version: 1, Credential: credential(a), Size: 5, Root: root(a)})
		}, wire.ErrBadSignature},
		{"envelope as head", func(a at, m *memberForm, _ *Inbound) { m.Head = a.w.seal(a.w.request()) }, wire.ErrWrongKind},
		{"inner node as leaf", func(a at, m *memberForm, _ *Inbound) {
			left, right := a.b.digests.leaves[2], a.b.digests.leaves[3]
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
			e := a.b.envelopes[2]
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

func TestFrameRefuses(t *testing.T) {
	sign := func(w *world, payloads [][]byte, size int) []byte {
		leaves := digest(w.realm, payloads).leaves
		return w.head(w.from, Batch{Version: 1, Credential: w.from.Credential().ID(), Size: uint64(size),
			Root: merkle.Root(leaves)})
	}
	// again signs what the frame holds now, as a hostile sender would.
	again := func(w *world, f *frameForm) { f.Head = sign(w, f.Payloads, len(f.Payloads)) }
	change := func(w *world, f *frameForm, index int, breaks func(e *Envelope)) {
		e, err := decodePayload(f.Payloads[index])
		must(w.t, err)
		breaks(&e)
		f.Payloads[index] = encoded(w.t, e)
		again(w, f)
	}
	cases := []struct {
		name  string
		craft func(w *world, f *frameForm)
		want  error
	}{
		{"member missing", func(_ *world, f *frameForm) { f.Payloads = f.Payloads[1:] }, errBatch},
		{"member added", func(w *world, f *frameForm) { f.Payloads = append(f.Payloads, w.bundle(4).payloads[3]) }, errBatch},
		{"no members", func(_ *world, f *frameForm) { f.Payloads = nil }, errBatch},
		{"size signed wrong", func(w *world, f *frameForm) { f.Head = sign(w, f.Payloads, 4) }, errBatch},
		{"member twice", func(w *world, f *frameForm) { f.Payloads[1] = f.Payloads[0]; again(w, f) }, errMixed},
		{"counters descend", func(w *world, f *frameForm) {
			f.Payloads[0], f.Payloads[1] = f.Payloads[1], f.Payloads[0]
			again(w, f)
		}, errMixed},
		{"another subject", func(w *world, f *frameForm) { change(w, f, 1, func(e *Envelope) { e.Subject += ".x" }) }, errMixed},
		{"another destination", func(w *world, f *frameForm) {
			change(w, f, 1, func(e *Envelope) { e.To.Instance = wire.Digest{1} })
		}, errMixed},
		{"another sender", func(w *world, f *frameForm) {
			change(w, f, 1, func(e *Envelope) { e.From = w.bob.ID() })
		}, errMixed},
		{"another credential", func(w *world, f *frameForm) {
			change(w, f, 1, func(e *Envelope) { e.Credential = wire.Digest{1} })
		}, errMixed},
		{"head of another credential", func(w *world, f *frameForm) {
			f.Head = w.head(w.from, Batch{Version: 1, Credential: wire.Digest{1}, Size: 3,
				Root: merkle.Root(digest(w.realm, f.Payloads).leaves)})
		}, errBatch},
		{"envelope as head", func(w *world, f *frameForm) { f.Head = w.seal(w.request()) }, wire.ErrWrongKind},
		{"payload that is none", func(w *world, f *frameForm) { f.Payloads[2] = []byte{1}; again(w, f) }, wire.ErrMalformed},
		{"form of a member", func(_ *world, f *frameForm) { f.Form = formMember }, wire.ErrMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := w.frame(w.bundle(3))
			honest := encoded(t, f)
			c.craft(w, &f)
			got, err := openFrame(encoded(t, f), w.inbound(), w.authority, w.windows, now)
			if !errors.Is(err, c.want) || got != nil || w.windows.commits != 0 {
				t.Errorf("got %v, want %v; %d commits", err, c.want, w.windows.commits)
			}
			all, err := openFrame(honest, w.inbound(), w.authority, w.windows, now)
			must(t, err)
			for _, o := range all {
				must(t, o.Err)
			}
		})
	}
}

// What is wrong with the signature over a frame is wrong with each of its members.
func TestFrameSignature(t *testing.T) {
	for name, c := range map[string]struct {
		craft func(w *world, f *frameForm)
		want  error
	}{
		"another key": {func(w *world, f *frameForm) {
			f.Head = w.head(w.mallory, Batch{Version: 1, Credential: w.from.Credential().ID(), Size: 3,
				Root: merkle.Root(digest(w.realm, f.Payloads).leaves)})
		}, wire.ErrBadSignature},
		"another root":   {func(w *world, f *frameForm) { f.Head = w.bundle(3).head }, errBatch},
		"another member": {func(w *world, f *frameForm) { f.Payloads[1] = w.bundle(3).payloads[1] }, errBatch},
	} {
		w := newWorld(t)
		f := w.frame(w.bundle(3))
		c.craft(w, &f)
		all, err := openFrame(encoded(t, f), w.inbound(), w.authority, w.windows, now)
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, c.want) || o.Message != nil {
				t.Errorf("%s, member %d: %v, want %v", name, i, o.Err, c.want)
			}
		}
		if w.windows.commits != 0 {
			t.Errorf("%s: reached the replay windows", name)
		}
	}
}

func TestFrameLimit(t *testing.T) {
	w := newWorld(t)
	raw := encoded(t, w.frame(w.bundle(2)))
	in := w.inbound()
	in.Limit = len(raw) - 1
	if _, err := openFrame(raw, in, w.authority, w.windows, now); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	in.Limit = len(raw)
	_, err := openFrame(raw, in, w.authority, w.windows, now)
	must(t, err)
}

func TestOpenAny(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(4)
	frame, err := b.Frame()
	must(t, err)
	member, err := b.Member(0)
	must(t, err)
	alone := w.request()
	alone.Counter = 9
	for i, raw := range [][]byte{w.seal(alone), member, frame} {
		all, err := OpenAny(raw, w.inbound(), w.authority, w.windows, now)
		must(t, err)
		if len(all) != []int{1, 1, 4}[i] || (i < 2 && all[0].Message == nil) {
			t.Errorf("form %d: %d messages", i, len(all))
		}
	}
	for _, raw := range [][]byte{nil, {firstFrame}, {firstMember}, {firstSingle}, {0}} {
		if _, err := OpenAny(raw, w.inbound(), w.authority, w.windows, now); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%x: %v", raw, err)
		}
	}
}

func TestSealBatchRefuses(t *testing.T) {
	w := newWorld(t)
	twin, key := w.request(), w.me.SealingKey()
	second := twin
	second.Counter = 2
	elsewhere := second
	elsewhere.Subject += ".x"
	_, err := SealBatch(w.from, []Draft{twin, second}, [][]byte{key, key}, rand.Reader)
	must(t, err)
	large := second
	large.Limit = 1000
	for name, c := range map[string]struct {
		drafts []Draft
		keys   [][]byte
		want   error
	}{
		"none":        {nil, nil, wire.ErrMalformed},
		"keys":        {[]Draft{twin}, nil, wire.ErrMalformed},
		"too many":    {make([]Draft, MaxBatch+1), make([][]byte, MaxBatch+1), wire.ErrMalformed},
		"one counter": {[]Draft{twin, twin}, [][]byte{key, key}, wire.ErrMalformed},
		"no key":      {[]Draft{twin, second}, [][]byte{key, nil}, ErrPlain},
		"too large":   {[]Draft{twin, large}, [][]byte{key, key}, wire.ErrTooLarge},
	} {
		if _, err := SealBatch(w.from, c.drafts, c.keys, rand.Reader); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b, err := SealBatch(w.from, []Draft{twin, elsewhere}, [][]byte{key, key}, rand.Reader)
	must(t, err)
	if _, err := b.Frame(); !errors.Is(err, errMixed) {
		t.Errorf("frame of two subjects: %v", err)
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

// No byte of a member or frame can be changed.
func TestFlippedByteOfBatch(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(2)
	frame, err := b.Frame()
	must(t, err)
	member, err := b.Member(1)
	must(t, err)
	for name, raw := range map[string][]byte{"frame": frame, "member": member} {
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 0x01
			all, err := OpenAny(bad, w.inbound(), w.authority, w.windows, now)
			for _, o := range all {
				if o.Message != nil {
					t.Fatalf("%s: byte %d: accepted", name, i)
				}
			}
			if (err == nil && all == nil) || w.windows.commits != 0 {
				t.Fatalf("%s: byte %d reached the windows", name, i)
			}
		}
	}
	all, err := OpenAny(frame, w.inbound(), w.authority, w.windows, now)
	if err != nil || all[0].Err != nil || all[1].Err != nil {
		t.Errorf("honest twin: %v", err)
	}
}
