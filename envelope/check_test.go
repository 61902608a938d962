package envelope

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// forms returns one delivery of each form, with the envelopes that it holds.
func (w *joined) forms() map[string][]byte {
	d := w.event()
	d.Counter = 41
	bundle, err := SealBatch(w.from, []Draft{d, w.request()}, nil)
	must(w.t, err)
	one, err := bundle.Member(0)
	must(w.t, err)
	single := w.event()
	single.Counter = 31
	return map[string][]byte{"single": w.seal(single), "member": one, "frame": w.sealFrame(w.kinds()[0].d, 3).Raw()}
}

func TestCheckChangesNothing(t *testing.T) {
	w := join(t)
	for name, raw := range w.forms() {
		for range 3 {
			c, err := Check(raw, w.inboundEvent(), w.authority, now)
			must(t, err)
			if e := c.Envelope(); e.From != w.alice.ID() || e.To != ToTopic(topic) {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if w.windows.commits != 0 {
			t.Fatalf("%s: a check reached the windows", name)
		}
		c, err := Check(raw, w.inboundEvent(), w.authority, now)
		must(t, err)
		all := c.Commit(w.windows, now)
		for i, o := range all {
			if o.Err != nil || o.Message == nil {
				t.Errorf("%s, %d: %v", name, i, o.Err)
			}
		}
		if again := c.Commit(w.windows, now); len(all) == 0 || again != nil {
			t.Errorf("%s: committed twice", name)
		}
		w.windows.commits = 0
	}
}

// Without a guard nothing is accepted, in any form.
func TestNoGuardForAnyForm(t *testing.T) {
	w := join(t)
	for name, raw := range w.forms() {
		if _, err := Check(raw, w.inboundEvent(), nil, now); !errors.Is(err, errNoGuard) {
			t.Errorf("%s, no authority: %v", name, err)
		}
		if _, err := Check(raw, Inbound{Realm: w.realm, Topic: topic, Subject: topicOn}, w.authority, now); !errors.Is(err, errNoGuard) {
			t.Errorf("%s, no receiver: %v", name, err)
		}
		all, err := OpenAny(raw, w.inboundEvent(), w.authority, nil, now)
		must(t, err)
		for _, o := range all {
			if !errors.Is(o.Err, errNoGuard) || o.Message != nil {
				t.Errorf("%s, no windows: %v", name, o.Err)
			}
		}
		w.openAll(raw, w.inboundEvent(), w.windows)
	}
}

// Many may check one delivery at once; of those who commit, one gets each message.
func TestCommitOfOneFrameConcurrently(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		const n = 64
		raw, windows := w.sealFrame(k.d, n).Raw(), w.fresh()
		k.in.Roots = NewRoots(2)
		var opened atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c, err := Check(raw, k.in, w.authority, now)
				if err != nil {
					t.Error(err)
					return
				}
				for _, o := range c.Commit(windows, now) {
					if o.Err == nil {
						opened.Add(1)
						o.Message.Raw()
						o.Message.ID()
					}
				}
			})
		}
		wg.Wait()
		if opened.Load() != n {
			t.Errorf("%s: %d opened of %d", k.name, opened.Load(), n)
		}
	}
}

// The messages of a frame may be asked by several goroutines at once.
func TestMessagesAreSafe(t *testing.T) {
	w := join(t)
	k := w.kinds()[1]
	f := w.sealFrame(k.d, 8)
	all := w.openAll(f.Raw(), k.in, w.windows)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, m := range all {
				e, id, err := Attest(m.Raw(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing)
				if err != nil || id != f.ID(i) || e.Digest != wire.Hash(append(bytes.Clone(m.Salt()), m.Content()...)) {
					t.Errorf("member %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestPeek(t *testing.T) {
	w := join(t)
	for name, raw := range w.forms() {
		e, err := Peek(raw, DefaultLimit)
		if err != nil || e.From != w.alice.ID() || e.Credential != w.from.Credential().ID() || e.To.Topic != topic {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if _, err := Peek(raw, len(raw)-1); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%s, limit: %v", name, err)
		}
		if _, err := Peek(raw[:100], DefaultLimit); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s, cut: %v", name, err)
		}
	}
	for _, raw := range [][]byte{nil, {firstSingle}, {firstFrame}, {firstMember}, {0}} {
		if _, err := Peek(raw, DefaultLimit); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%x: %v", raw, err)
		}
	}
}

// One check of a signature serves all members of a batch, and nothing else.
func TestRoots(t *testing.T) {
	w := newWorld(t)
	b := w.bundle(5)
	in := w.inbound()
	in.Roots = NewRoots(2)
	for i := range 5 {
		raw, err := b.Member(i)
		must(t, err)
		_, err = OpenMember(raw, in, w.authority, w.windows, now)
		must(t, err)
		if len(in.Roots.known) != 1 {
			t.Fatalf("%d heads remembered", len(in.Roots.known))
		}
	}
	m := w.member(b, 2)
	key, other := w.from.Credential().Statement().Signing, w.mallory.Credential().Statement().Signing
	head, err := wire.Parse[Batch](m.Head, DefaultLimit)
	must(t, err)
	must(t, in.Roots.verify(head, m.Head, w.realm, key))
	if err := in.Roots.verify(head, m.Head, w.realm, other); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another credential: %v", err)
	}
	if err := in.Roots.verify(head, m.Head, wire.Realm{9}, key); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another realm: %v", err)
	}
	forged := w.head(w.mallory, head.Claim)
	claimed, err := wire.Parse[Batch](forged, DefaultLimit)
	must(t, err)
	if err := in.Roots.verify(claimed, forged, w.realm, key); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another signature: %v", err)
	}
	if len(in.Roots.known) != 1 {
		t.Error("what did not verify was remembered")
	}
	m.Path[0][0] ^= 1
	if _, err := OpenMember(encoded(t, m), in, w.authority, w.windows, now); !errors.Is(err, errBatch) {
		t.Errorf("under a head that is known, another path: %v", err)
	}
}

func TestRootsForgetTheOldest(t *testing.T) {
	w := newWorld(t)
	key := w.from.Credential().Statement().Signing
	var raws [][]byte
	var heads []wire.Claimed[Batch]
	for i := range 4 {
		raws = append(raws, w.head(w.from, Batch{Version: 1, Credential: wire.Digest{1}, Size: uint64(i + 1)}))
		c, err := wire.Parse[Batch](raws[i], DefaultLimit)
		must(t, err)
		heads = append(heads, c)
	}
	for _, c := range []struct{ limit, kept int }{{-1, 0}, {0, 0}, {1, 1}, {3, 3}, {9, 4}} {
		r := NewRoots(c.limit)
		for range 2 {
			for i := range heads {
				must(t, r.verify(heads[i], raws[i], w.realm, key))
			}
		}
		if len(r.known) != c.kept {
			t.Errorf("of 4 heads %d kept, limit %d", len(r.known), c.limit)
		}
		if _, newest := r.known[rootName(raws[3], w.realm, key)]; newest != (c.kept > 0) {
			t.Errorf("limit %d: the newest is not kept", c.limit)
		}
	}
	var none *Roots
	must(t, none.verify(heads[0], raws[0], w.realm, key))
}

// A member's own path cannot be longer than the deepest batch's.
func TestLongPath(t *testing.T) {
	w := newWorld(t)
	m := w.member(w.bundle(2), 1)
	in := w.inbound()
	for n, want := range map[int]error{2: errBatch, maxPath: errBatch, maxPath + 1: wire.ErrMalformed} {
		long := m
		for len(long.Path) < n {
			long.Path = append(long.Path[:len(long.Path):len(long.Path)], m.Path[0])
		}
		if _, err := OpenMember(encoded(t, long), in, w.authority, w.windows, now); !errors.Is(err, want) {
			t.Errorf("%d hashes: %v, want %v", n, err, want)
		}
	}
	_, err := OpenMember(encoded(t, m), in, w.authority, w.windows, now)
	must(t, err)
}

// A full window's worth of members is remembered: replays of all of them are refused.
func TestLargestFrameFitsTheWindow(t *testing.T) {
	w := join(t)
	k := w.kinds()[0]
	k.in.Limit = 1 << 20
	windows := w.fresh()
	var frames []*Frame
	for i := range 3 {
		d := k.d
		d.Counter = uint64(1 + i*MaxBatch)
		frames = append(frames, w.sealFrame(d, MaxBatch))
	}
	for _, i := range []int{2, 0, 1} { // out of order
		w.openAll(frames[i].Raw(), k.in, windows)
	}
	for i, f := range frames {
		all, err := OpenAny(f.Raw(), k.in, w.authority, windows, now)
		must(t, err)
		for j, o := range all {
			if !errors.Is(o.Err, ErrReplayed) {
				t.Fatalf("frame %d, member %d again: %v", i, j, o.Err)
			}
		}
	}
}

func TestWindowsTakeVerdictsAsTheyAre(t *testing.T) {
	w, s := NewLiveWindows(4), Stream{sender, toProcess}
	uses := Uses{Stream: s, First: 10, Until: 1000}
	verdicts := []error{nil, errBody, nil}
	w.Commit(uses, verdicts, 0)
	if verdicts[0] != nil || !errors.Is(verdicts[1], errBody) || verdicts[2] != nil {
		t.Errorf("first time: %v", verdicts)
	}
	verdicts = []error{nil, nil, errContent}
	w.Commit(uses, verdicts, 0)
	if !errors.Is(verdicts[0], ErrReplayed) || verdicts[1] != nil || !errors.Is(verdicts[2], errContent) {
		t.Errorf("second time: %v", verdicts)
	}
	letter := []error{errBody, nil}
	w.Commit(Uses{Stream: Stream{sender, ToInbox(toProcess.Agent, wire.Digest{1})}, First: 1, Until: 1000}, letter, 0)
	if !errors.Is(letter[0], errBody) || !errors.Is(letter[1], errVolatile) {
		t.Errorf("mail: %v", letter)
	}
	late := []error{nil}
	w.Commit(Uses{Stream: Stream{wire.Digest{1}, toProcess}, First: 1, Until: 5}, late, 5)
	if !errors.Is(late[0], identity.ErrExpired) {
		t.Errorf("of the past: %v", late)
	}
}
