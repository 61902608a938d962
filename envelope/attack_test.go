package envelope

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Whoever has no key can make a receiver allocate no more than a fixed amount, and more bytes than that only by sending
// them, whatever lengths it claims.
func TestClaimedLengthsCostNothing(t *testing.T) {
	w := join(t)
	k := w.kinds()[0]
	honest := w.sealFrame(k.d, 1).Raw()
	claims := map[string][]byte{
		"frame of 1,024 empty members": w.emptyMembers(k, MaxBatch),
		"members cut off":              honest[:len(honest)-20],
	}
	for _, first := range []byte{firstFrame, firstMember, 0x94, 0x98, 0x9b, 0xd2, 0xbb} {
		for _, second := range []byte{0x01, 0x02, 0x3b, 0x5b, 0x7b, 0x9b, 0xbb, 0xdb} {
			claims[string([]byte{first, second})] = append([]byte{first, second}, bytes.Repeat([]byte{0xff}, 64)...)
		}
	}
	for name, raw := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 8 {
			_, _ = Peek(raw, DefaultLimit)
			if _, err := Check(raw, k.in, &fakeAuthority{}, now); err == nil {
				t.Fatalf("%q is taken", name)
			}
		}
		runtime.ReadMemStats(&after)
		if each := int(after.TotalAlloc-before.TotalAlloc) / 8; each > 128<<10 {
			t.Errorf("%q, of %d bytes: %d bytes allocated", name, len(raw), each)
		}
	}
}

// emptyMembers is an honest frame of the least that members can be.
func (w *joined) emptyMembers(k kind, n int) []byte {
	f, err := SealFrame(w.from, k.d, make([]Member, n), nil)
	must(w.t, err)
	w.openAll(f.Raw(), k.in, w.fresh())
	return f.Raw()
}

// The members of a frame cut out, signed again in other batches, or alone: each is accepted once, whatever it came in first.
func TestOneEnvelopeInManyForms(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		frame := w.sealFrame(k.d, 6)
		all := w.envelopes(frame)
		second := all[3]
		forms := [][]byte{
			encoded(t, rawOf(w.headOf(w.from, all[:2]), all[:2])), // a frame of the first two
			w.sign(w.from, second),
			frame.Raw(),
			encoded(t, rawOf(w.headOf(w.from, all[1:]), all[1:])),
		}
		for _, m := range w.openAll(frame.Raw(), k.in, w.fresh()) {
			forms = append(forms, m.Raw())
		}
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 20 {
			rng.Shuffle(len(forms), func(i, j int) { forms[i], forms[j] = forms[j], forms[i] })
			windows, got := w.fresh(), map[wire.Digest]uint64{}
			for _, raw := range forms {
				opened, err := OpenAny(raw, k.in, w.authority, windows, now)
				must(t, err)
				for _, o := range opened {
					if o.Err == nil {
						got[o.Message.ID()] += o.Message.Envelope().Counter
					} else if !errors.Is(o.Err, ErrReplayed) {
						t.Fatalf("%s, seed %d: %v", k.name, seed, o.Err)
					}
				}
			}
			for i := range all {
				if got[frame.ID(i)] != all[i].Counter {
					t.Fatalf("%s, seed %d: member %d came %d times", k.name, seed, i, got[frame.ID(i)])
				}
			}
			if len(got) != len(all) {
				t.Fatalf("%s, seed %d: %d ids of %d envelopes", k.name, seed, len(got), len(all))
			}
		}
	}
}

// What the envelopes of a frame do not share cannot decide over rights: the authority, asked once, does not see it.
func TestRightsDependOnWhatAFrameShares(t *testing.T) {
	w := join(t)
	d := w.event()
	d.Protection = Under(w.topic)
	asked := &askedAuthority{fakeAuthority: w.authority}
	shared := d
	shared.Content, shared.ContentType, shared.Trace = nil, "", ""
	frame, err := SealFrame(w.from, shared, []Member{{Content: d.Content, ContentType: "text/plain"}, {ContentType: "x"}}, nil)
	must(t, err)
	bundle, err := SealBatch(w.from, []Draft{d}, nil)
	must(t, err)
	member, err := bundle.Member(0)
	must(t, err)
	for _, raw := range [][]byte{w.seal(d), member, frame.Raw()} {
		_, err := Check(raw, w.with(w.inboundEvent()), asked, now)
		must(t, err)
	}
	want := Envelope{Version: 1, From: w.alice.ID(), Credential: w.from.Credential().ID(), To: d.To, Subject: d.Subject,
		Purpose: d.Purpose, Issued: d.Issued, Expires: d.Expires, Counter: 1, Encryption: SenderKey, Key: w.topic.ID()}
	for i, e := range asked.about {
		if !bytes.Equal(encoded(t, unchecked(e)), encoded(t, unchecked(want))) || e.Body != nil {
			t.Errorf("form %d: asked about %+v", i, e)
		}
	}
	if len(asked.about) != 3 {
		t.Errorf("asked %d times", len(asked.about))
	}
}

// askedAuthority keeps what it was asked to authorise.
type askedAuthority struct {
	*fakeAuthority
	about []Envelope
}

func (a *askedAuthority) Authorise(s Sender, e Envelope) error {
	a.about = append(a.about, e)
	return a.fakeAuthority.Authorise(s, e)
}

// A delivery that was checked may wait for its turn. What changed meanwhile counts: the sender's standing, its rights,
// the time.
func TestWhatWaitedIsJudgedAgain(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		raw := w.sealFrame(k.d, 3).Raw()
		for _, c := range []struct {
			name   string
			change func()
			at     int64
			want   error
		}{
			{"quarantined", func() { w.authority.refusal = errSilenced }, now, errSilenced},
			{"rights lost", func() { w.authority.denial = ErrPlain }, now, ErrPlain},
			{"level 0", func() { w.level(identity.Quarantined) }, now, errSilenced},
			{"expired", func() {}, k.d.Expires + identity.Skew, identity.ErrExpired},
			{"credential ended", func() {}, start + life + identity.Skew, identity.ErrExpired},
			{"unknown by now", func() { delete(w.authority.senders, w.from.Credential().ID()) }, now, errUnknown},
		} {
			windows := &countingWindows{Windows: w.fresh()}
			checked, err := Check(raw, k.in, w.authority, now)
			must(t, err)
			c.change()
			for i, o := range checked.Commit(windows, c.at) {
				if !errors.Is(o.Err, c.want) || o.Message != nil {
					t.Errorf("%s, %s, member %d: %v", k.name, c.name, i, o.Err)
				}
			}
			if windows.commits != 0 {
				t.Errorf("%s, %s: the refusal reached the windows", k.name, c.name)
			}
			w.authority.refusal, w.authority.denial = nil, nil
			w.vouch(w.from)
			w.openAll(raw, k.in, windows)
		}
	}
	checked, err := Check(w.seal(w.event()), w.inboundEvent(), w.authority, now)
	must(t, err)
	w.level(identity.Observer)
	if all := checked.Commit(w.fresh(), now); all[0].Err != nil || all[0].Message.From().Level != identity.Observer {
		t.Errorf("the level it has by now: %+v", all[0])
	}
}

// level makes the authority say that alice has another level by now.
func (w *world) level(l identity.Level) {
	s := w.authority.senders[w.from.Credential().ID()]
	s.Level = l
	w.authority.senders[w.from.Credential().ID()] = s
}

// A session may be forgotten after a request under it was handled. If somebody then replays the request, its sender must
// not be told that it was not handled: it would send it once more.
func TestSpendTellsReplaysApart(t *testing.T) {
	w := join(t)
	k := w.kinds()[2]
	first, again := w.sealFrame(k.d, 2), k.d
	again.Counter = 3
	unknown := func(f *Frame) *UnknownKey {
		forgetful := k.in
		forgetful.Keys = keyring{}
		_, err := Check(f.Raw(), forgetful, w.authority, now)
		var u *UnknownKey
		if !errors.As(err, &u) {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name    string
		handled int // members of the frame that were accepted before
		want    error
	}{{"not handled", 0, nil}, {"handled", 2, ErrReplayed}, {"one of two handled", 1, ErrReplayed}} {
		windows := w.fresh()
		if c.handled > 0 {
			one := w.sealFrame(k.d, c.handled)
			w.openAll(one.Raw(), k.in, windows)
		}
		if err := unknown(first).Spend(windows, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		all, err := OpenAny(first.Raw(), k.in, w.authority, windows, now) // the key is found after all
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, ErrReplayed) {
				t.Errorf("%s: member %d after it was disowned: %v", c.name, i, o.Err)
			}
		}
		w.openAll(w.sealFrame(again, 2).Raw(), k.in, windows)
	}
	if err := unknown(first).Spend(nil, now); !errors.Is(err, errNoGuard) {
		t.Errorf("without windows: %v", err)
	}
}

// Counters at the very end: what is accepted there is accepted once, and nothing wraps around.
func TestLastCounters(t *testing.T) {
	w := join(t)
	k := w.kinds()[1]
	k.d.Counter = math.MaxUint64 - 9
	f := w.sealFrame(k.d, 10)
	windows := NewLiveWindows(4)
	must(t, windows.Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, k.d.Counter, start+life, now))
	w.openAll(f.Raw(), k.in, windows)
	low := w.kinds()[1]
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{{"again", f.Raw(), ErrReplayed}, {"from 1", w.sealFrame(low.d, 10).Raw(), errOutside}} {
		all, err := OpenAny(c.raw, k.in, w.authority, windows, now)
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, c.want) {
				t.Errorf("%s, member %d: %v", c.name, i, o.Err)
			}
		}
	}
	must(t, windows.Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life, now)) // lowers nothing
	if all, err := OpenAny(w.sealFrame(low.d, 1).Raw(), k.in, w.authority, windows, now); err != nil || all[0].Err == nil {
		t.Errorf("after joining from 1 again: %v, %v", all, err)
	}
}

// Times at the ends of their range are refused, and not by an overflow that lets them pass.
func TestExtremeTimes(t *testing.T) {
	w := newWorld(t)
	for _, issued := range []int64{math.MinInt64, -1, 0, math.MaxInt64 - 5_000, math.MaxInt64 - 1, math.MaxInt64} {
		for _, expires := range []int64{issued + 5_000, math.MaxInt64, math.MinInt64, now + 1} {
			e := w.compose(w.event())
			e.Issued, e.Expires = issued, expires
			m, err := w.open(w.sign(w.from, e), w.inboundEvent())
			if m != nil || !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, identity.ErrNotYet) && !errors.Is(err, identity.ErrExpired) {
				t.Errorf("from %d to %d: %v", issued, expires, err)
			}
		}
	}
	must(t, w.windows.Windows.(*LiveWindows).Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life, now))
	_, err := w.open(w.seal(w.event()), w.inboundEvent())
	must(t, err)
}

// A head that was remembered vouches for its own bytes, realm and key only, and never for who may send now.
func TestRootsDoNotVouchForSenders(t *testing.T) {
	w := join(t)
	k := w.kinds()[0]
	k.in.Roots = NewRoots(8)
	frame := w.sealFrame(k.d, 3)
	w.openAll(frame.Raw(), k.in, w.fresh())
	all := w.envelopes(frame)
	forged := rawOf(w.headOf(w.mallory, all), all) // another signature over the same batch
	if _, err := Check(encoded(t, forged), k.in, w.authority, now); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another signature: %v", err)
	}
	flipped := bytes.Clone(frame.Raw())
	flipped[bytes.Index(flipped, all[2].Body)] ^= 1
	if _, err := Check(flipped, k.in, w.authority, now); !errors.Is(err, errBatch) {
		t.Errorf("another body under a known head: %v", err)
	}
	if _, err := Check(frame.Raw(), k.in, w.authority, start+life+identity.Skew); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("credential ended: %v", err)
	}
	w.authority.refusal = errSilenced
	if _, err := Check(frame.Raw(), k.in, w.authority, now); !errors.Is(err, errSilenced) {
		t.Errorf("quarantined meanwhile: %v", err)
	}
	w.authority.refusal = nil
	w.openAll(frame.Raw(), k.in, w.fresh())
}

// A node of the tree, or another statement, is no leaf, wherever it stands.
func TestNodesAreNoLeaves(t *testing.T) {
	w := join(t)
	f := w.sealFrame(w.kinds()[0].d, 4)
	messages := w.openAll(f.Raw(), w.kinds()[0].in, w.fresh())
	var m memberForm
	must(t, m.decode(messages[0].Raw()))
	leaf, _ := leafAndID(w.realm, m.Payload)
	node := m
	node.Payload = append(append([]byte{}, leaf[:]...), m.Path[0][:]...)
	node.Path = m.Path[1:]
	b := m
	b.Payload = encoded(t, uncheckedBatch{Version: 1, Credential: wire.Digest{1}, Size: 1, Root: merkle.Hash{1}})
	for name, form := range map[string]memberForm{"inner node": node, "batch": b} {
		if _, _, err := Attest(form.encode(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, id, err := Attest(m.encode(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing)
	if must(t, err); id != f.ID(0) {
		t.Error("the honest member has another id")
	}
}
