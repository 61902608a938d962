package envelope

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// hostile is a frame on its way to be changed by somebody, the sender perhaps.
type hostile struct {
	*joined
	all []Envelope // as the honest sender signed them
	f   rawFrame   // what will be delivered
	in  Inbound
}

func (w *joined) hostile(k kind, n int) *hostile {
	frame := w.sealFrame(k.d, n)
	all := w.envelopes(frame)
	var f struct {
		_       struct{} `cbor:",toarray"`
		Form    uint64
		Head    []byte
		Common  wire.Raw
		Members wire.Raw
	}
	must(w.t, wire.Decode(frame.Raw(), &f))
	return &hostile{joined: w, all: all, f: rawOf(f.Head, all), in: k.in}
}

// resign makes the sender sign what the frame holds now.
func (h *hostile) resign() { h.f = rawOf(h.headOf(h.from, h.all), h.all) }

// tree signs, as the sender, a root and a size that need not be the frame's.
func (h *hostile) tree(leaves []merkle.Hash, size int) {
	h.f.Head = h.head(h.from, Batch{Version: 1, Credential: h.from.Credential().ID(), Size: uint64(size),
		Root: merkle.Root(leaves)})
}

type refusal struct {
	name  string
	craft func(h *hostile)
	want  error
}

// every holds for frames of each kind.
var every = []refusal{
	{"member missing", func(h *hostile) { h.f.Members = h.f.Members[1:] }, errBatch},
	{"last member missing", func(h *hostile) { h.f.Members = h.f.Members[:3] }, errBatch},
	{"member added", func(h *hostile) { h.f.Members = append(h.f.Members, h.f.Members[3]) }, errBatch},
	{"no members", func(h *hostile) { h.f.Members = []any{} }, errBatch},
	{"more members than any batch", func(h *hostile) {
		h.f.Members, h.in.Limit = slices.Repeat(h.f.Members, MaxBatch), 1<<20
	}, wire.ErrMalformed},
	{"smaller size signed", func(h *hostile) { h.tree(h.leaves(h.all), 3) }, errBatch},
	{"larger size signed", func(h *hostile) { h.tree(h.leaves(h.all), 5) }, errBatch},
	{"members in another order", func(h *hostile) { slices.Reverse(h.f.Members) }, errBatch},
	{"member twice", func(h *hostile) { h.f.Members[1] = h.f.Members[0] }, errBatch},
	{"one leaf twice", func(h *hostile) {
		leaves := h.leaves(h.all)
		leaves[1], h.f.Members[1] = leaves[0], h.f.Members[0]
		h.tree(leaves, 4)
	}, errBatch},
	{"members from another counter on", func(h *hostile) { h.f.Common.Counter += 4 }, errBatch},
	{"another batch's head", func(h *hostile) { h.f.Head = h.headOf(h.from, h.all[:1]) }, errBatch},
	{"another root", func(h *hostile) { h.tree(h.leaves(h.all)[:3], 4) }, errBatch},
	{"head of another credential", func(h *hostile) {
		h.f.Head = h.head(h.from, Batch{Version: 1, Credential: h.mallory.Credential().ID(), Size: 4,
			Root: merkle.Root(h.leaves(h.all))})
	}, errBatch},
	{"root that another process signs as its own", func(h *hostile) {
		h.f.Head = h.head(h.mallory, Batch{Version: 1, Credential: h.mallory.Credential().ID(), Size: 4,
			Root: merkle.Root(h.leaves(h.all))})
	}, errBatch},
	{"head signed by another key", func(h *hostile) { h.f.Head = h.headOf(h.mallory, h.all) }, wire.ErrBadSignature},
	{"envelope as head", func(h *hostile) { h.f.Head = h.seal(h.request()) }, wire.ErrWrongKind},
	{"form of a member", func(h *hostile) { h.f.Form = formMember }, wire.ErrMalformed},
	{"moved to another subject", func(h *hostile) { h.in.Subject += ".x" }, ErrMisaddressed},
	{"moved to another subject, and says so", func(h *hostile) {
		h.in.Subject += ".x"
		h.f.Common.Subject = h.in.Subject
	}, errBatch},
	{"moved to another process", func(h *hostile) { h.in.Process, h.in.Topic = h.process(h.bob), "" }, ErrMisaddressed},
	{"moved to another agent", func(h *hostile) { h.in.Process, h.in.Topic = h.mallory, "" }, ErrMisaddressed},
	{"moved to another topic", func(h *hostile) { h.in.Topic = "news.other" }, ErrMisaddressed},
	{"moved to an inbox", func(h *hostile) { h.in.Topic, h.in.Inbox = "", h.mail }, ErrMisaddressed},
	{"sender that nobody knows", func(h *hostile) { h.f.Common.Credential = wire.Digest{9}; h.recredential() }, errUnknown},
	{"from another agent", func(h *hostile) { h.f.Common.From = h.bob.ID() }, errSender},
	{"later than it was", func(h *hostile) { h.f.Common.Issued++ }, errBatch},
	{"longer than it was", func(h *hostile) { h.f.Common.Expires++ }, errBatch},
	{"expired an hour ago", func(h *hostile) { h.shift(-hour) }, identity.ErrExpired},
	{"from an hour ahead", func(h *hostile) { h.shift(hour) }, identity.ErrNotYet},
	{"no longer allowed", func(h *hostile) { h.authority.denial = ErrPlain }, ErrPlain},
	{"sender quarantined", func(h *hostile) { h.authority.refusal = errSilenced }, errSilenced},
	{"another realm's receiver", func(h *hostile) { h.in.Realm = wire.Realm{9} }, identity.ErrWrongRealm},
	{"version 2", func(h *hostile) { h.f.Common.Version = 2 }, wire.ErrVersion},
	{"counter 0", func(h *hostile) { h.f.Common.Counter = 0 }, wire.ErrMalformed},
	{"counters beyond the last", func(h *hostile) { h.f.Common.Counter = 1<<64 - 3 }, wire.ErrMalformed},
	{"no encryption", func(h *hostile) { h.f.Common.Encryption = 0 }, wire.ErrMalformed},
	{"sealed", func(h *hostile) { h.f.Common.Encryption, h.f.Common.Key = Sealed, wire.Digest{} }, wire.ErrMalformed},
	{"content type with line end", func(h *hostile) { h.all[2].ContentType = "a\n"; h.resign() }, wire.ErrMalformed},
	{"trace that is none", func(h *hostile) { h.all[2].Trace = "00"; h.resign() }, wire.ErrMalformed},
	{"member that is none", func(h *hostile) { h.f.Members[3] = 7 }, wire.ErrMalformed},
	{"member as text", func(h *hostile) { h.f.Members[3] = "hello" }, wire.ErrMalformed},
	{"empty member", func(h *hostile) { h.f.Members[3] = []any{} }, wire.ErrMalformed},
	{"too large", func(h *hostile) { h.in.Limit = 300 }, wire.ErrTooLarge},
	{"no receiver", func(h *hostile) { h.in.Process = nil }, errNoGuard},
}

const hour = int64(60 * 60 * 1000)

// recredential makes the head name the credential that the common fields name.
func (h *hostile) recredential() {
	h.f.Head = h.head(h.from, Batch{Version: 1, Credential: h.f.Common.Credential, Size: 4,
		Root: merkle.Root(h.leaves(h.all))})
}

// shift makes the sender's clock go wrong by so many milliseconds.
func (h *hostile) shift(by int64) {
	for i := range h.all {
		h.all[i].Issued += by
		h.all[i].Expires += by
	}
	h.resign()
}

// only holds for frames of one kind.
var only = map[string][]refusal{
	"plain": {
		{"another body", func(h *hostile) { h.f.Members[0] = []byte("hellO 0 ") }, errBatch},
		{"longer form without need", func(h *hostile) { h.f.Members[0] = longPlain{Body: h.all[0].Body} }, wire.ErrMalformed},
		{"member with a digest", func(h *hostile) {
			h.f.Members[0] = shortKeyed{Digest: wire.Digest{1}, Body: h.all[0].Body}
		}, wire.ErrMalformed},
		{"long member with a digest", func(h *hostile) {
			h.f.Members[0] = longKeyed{Kind: "a", Digest: wire.Digest{1}, Body: h.all[0].Body}
		}, wire.ErrMalformed},
		{"with a key", func(h *hostile) { h.f.Common.Key = wire.Digest{1} }, wire.ErrMalformed},
		{"inner nodes as leaves", func(h *hostile) {
			leaves := h.leaves(h.all) // a tree of four, whose inner nodes pass for the two members of a tree of two
			h.f.Members = []any{
				slices.Concat([]byte{1}, leaves[0][:], leaves[1][:]), slices.Concat([]byte{1}, leaves[2][:], leaves[3][:]),
			}
			h.tree(leaves, 2)
		}, errBatch},
		{"named a sender key's", func(h *hostile) {
			h.f.Common.Encryption, h.f.Common.Key = SenderKey, h.topic.ID()
		}, wire.ErrMalformed},
	},
	"session": {
		{"named plain", func(h *hostile) {
			h.f.Common.Encryption, h.f.Common.Key = Plain, wire.Digest{}
		}, ErrPlain},
		{"named a sender key's", func(h *hostile) { h.f.Common.Encryption = SenderKey }, wire.ErrMalformed},
		{"to an inbox", func(h *hostile) { h.f.Common.To.Place = AtInbox }, wire.ErrMalformed},
		{"key of another process", func(h *hostile) {
			foreign, err := Seal(h.mallory, h.request(), nil)
			must(h.t, err)
			h.keys[foreign.ID] = foreign.Session
			for i := range h.all {
				h.all[i].Key = foreign.ID
			}
			h.resign()
		}, ErrNoKey},
	},
	"sender key": {
		{"without key", func(h *hostile) { h.f.Common.Key = wire.Digest{} }, wire.ErrMalformed},
		{"without digest", func(h *hostile) { h.f.Members[0] = h.all[0].Body }, wire.ErrMalformed},
		{"with digest zero", func(h *hostile) { h.f.Members[0] = shortKeyed{Body: h.all[0].Body} }, wire.ErrMalformed},
		{"longer form without need", func(h *hostile) {
			h.f.Members[0] = longKeyed{Digest: h.all[0].Digest, Body: h.all[0].Body}
		}, wire.ErrMalformed},
		{"long member without digest", func(h *hostile) {
			h.f.Members[1] = longPlain{Kind: "text/plain", Body: h.all[1].Body}
		}, wire.ErrMalformed},
		{"body without salt and tag", func(h *hostile) { h.all[0].Body = make([]byte, 31); h.resign() }, wire.ErrMalformed},
		{"ciphertexts swapped on the way", func(h *hostile) {
			h.f.Members[0] = shortKeyed{Digest: h.all[0].Digest, Body: h.all[2].Body}
		}, errBatch},
		{"named a session's", func(h *hostile) { h.f.Common.Encryption = Session }, wire.ErrMalformed},
		{"key that is not known", func(h *hostile) { delete(h.keys, h.topic.ID()) }, ErrNoKey},
	},
}

// Every case differs from an honest frame in one thing and is refused as a whole. The honest frame is accepted after
// it: the refusal used up nothing.
func TestFrameRefuses(t *testing.T) {
	for i, name := range []string{"plain", "sender key", "session"} {
		for _, c := range append(slices.Clone(every), only[name]...) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				w := join(t)
				k := w.kinds()[i]
				if k.name != name {
					t.Fatal("kinds are in another order")
				}
				h := w.hostile(k, 4)
				honest := encoded(t, h.f)
				c.craft(h)
				got, err := OpenAny(encoded(t, h.f), h.in, w.authority, w.windows, now)
				if !errors.Is(err, c.want) || got != nil || w.windows.commits != 0 {
					t.Errorf("got %v, want %v; %d commits", err, c.want, w.windows.commits)
				}
				w.authority.denial, w.authority.refusal, w.keys[w.topic.ID()] = nil, nil, w.topic
				w.openAll(honest, k.in, w.windows)
			})
		}
	}
}

// A member whose body does not open is refused by itself. It uses up no counter.
func TestFrameRefusesMembers(t *testing.T) {
	for name, c := range map[string]struct {
		craft func(h *hostile)
		want  []error
	}{
		"ciphertexts swapped": {func(h *hostile) {
			a, b := &h.all[0], &h.all[2]
			a.Body, b.Body, a.Digest, b.Digest = b.Body, a.Body, b.Digest, a.Digest
		}, []error{errBody, nil, errBody, nil}},
		"ciphertext truncated": {func(h *hostile) { h.all[1].Body = h.all[1].Body[:len(h.all[1].Body)-1] },
			[]error{nil, errBody, nil, nil}},
		"another content than its digest": {func(h *hostile) { h.all[3].Digest = wire.Digest{1} },
			[]error{nil, nil, nil, errContent}},
		"all wrong": {func(h *hostile) {
			for i := range h.all {
				h.all[i].Body = bytes.Repeat([]byte{1}, 40)
			}
		}, []error{errBody, errBody, errBody, errBody}},
	} {
		for i := range 2 {
			w := join(t)
			k := w.kinds()[1+i]
			h := w.hostile(k, 4)
			honest := encoded(t, h.f)
			c.craft(h)
			h.resign()
			got, err := OpenAny(encoded(t, h.f), k.in, w.authority, w.windows, now)
			must(t, err)
			again, err := OpenAny(honest, k.in, w.authority, w.windows, now)
			must(t, err)
			for j, want := range c.want {
				if !errors.Is(got[j].Err, want) || (got[j].Message == nil) != (want != nil) {
					t.Errorf("%s, %s, member %d: %v, want %v", name, k.name, j, got[j].Err, want)
				}
				if used := errors.Is(again[j].Err, ErrReplayed); used != (want == nil) {
					t.Errorf("%s, %s, member %d again: %v", name, k.name, j, again[j].Err)
				}
			}
		}
	}
}

// A frame is one message a member, however often and in whichever form it comes.
func TestFrameReplayed(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		f := w.sealFrame(k.d, 5)
		alone := w.openAll(f.Raw(), k.in, w.fresh())[2].Raw()
		windows := w.fresh()
		_, err := OpenMember(alone, k.in, w.authority, windows, now)
		must(t, err)
		all, err := OpenAny(f.Raw(), k.in, w.authority, windows, now)
		must(t, err)
		for i, o := range all {
			if replayed := errors.Is(o.Err, ErrReplayed); replayed != (i == 2) || (o.Message == nil) != replayed {
				t.Errorf("%s, member %d after the third came alone: %v", k.name, i, o.Err)
			}
		}
		all, err = OpenAny(f.Raw(), k.in, w.authority, windows, now)
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, ErrReplayed) || o.Message != nil {
				t.Errorf("%s, member %d again: %v", k.name, i, o.Err)
			}
		}
		if _, err := OpenMember(alone, k.in, w.authority, windows, now); !errors.Is(err, ErrReplayed) {
			t.Errorf("%s, alone again: %v", k.name, err)
		}
	}
}

func TestFrameOfATopicNotJoined(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds()[:2] {
		f := w.sealFrame(k.d, 3)
		windows := NewLiveWindows(4)
		c, err := Check(f.Raw(), k.in, w.authority, now)
		must(t, err)
		for _, o := range c.Commit(windows, now) {
			if !errors.Is(o.Err, ErrNotJoined) {
				t.Errorf("%s: %v", k.name, o.Err)
			}
		}
		if e := c.Envelope(); e.From != w.alice.ID() || e.To.Topic != topic {
			t.Errorf("%s: does not say whom to join", k.name)
		}
		must(t, windows.Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, 3, start+life, now))
		all, err := OpenAny(f.Raw(), k.in, w.authority, windows, now)
		must(t, err)
		if !errors.Is(all[1].Err, errOutside) || all[2].Err != nil {
			t.Errorf("%s: joined from 3 on: %v, %v", k.name, all[1].Err, all[2].Err)
		}
	}
}

// A frame that was half delivered is none, wherever it was cut, and so is a member.
func TestTruncated(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		frame := w.sealFrame(k.d, 3).Raw()
		one := w.openAll(frame, k.in, w.fresh())[1].Raw()
		for name, raw := range map[string][]byte{"frame": frame, "member": one} {
			for i := range raw {
				all, err := OpenAny(raw[:i:i], k.in, w.authority, w.windows, now)
				if err == nil || all != nil {
					t.Fatalf("%s %s: first %d bytes accepted", k.name, name, i)
				}
			}
			if _, err := OpenAny(append(bytes.Clone(raw), 0), k.in, w.authority, w.windows, now); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s %s: trailing byte: %v", k.name, name, err)
			}
		}
		if w.windows.commits != 0 {
			t.Fatalf("%s: reached the windows", k.name)
		}
		w.openAll(frame, k.in, w.fresh())
	}
}

// No byte of a member or frame can be changed.
func TestFlippedByteOfBatch(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		frame := w.sealFrame(k.d, 3).Raw()
		one := w.openAll(frame, k.in, w.fresh())[1].Raw()
		for name, raw := range map[string][]byte{"frame": frame, "member": one} {
			for i := range raw {
				for _, mask := range []byte{0x01, 0x80} {
					bad := bytes.Clone(raw)
					bad[i] ^= mask
					all, err := OpenAny(bad, k.in, w.authority, w.windows, now)
					if err == nil || all != nil || w.windows.commits != 0 {
						t.Fatalf("%s %s: byte %d ^ %#x accepted, or reached the windows", k.name, name, i, mask)
					}
				}
			}
		}
		w.openAll(frame, k.in, w.fresh())
	}
}

// What is sealed to a process that was replaced opens nowhere else.
func TestSupersededCredential(t *testing.T) {
	w := join(t)
	older := w.process(w.bob)
	d := w.request()
	d.To.Instance, d.Protection = older.Credential().ID(), SealedTo(older.SealingKey())
	raw := w.seal(d)
	_, err := Open(raw, Inbound{Realm: w.realm, Process: older, Subject: subject}, w.authority, w.fresh(), now)
	must(t, err)
	w.refuse(raw, w.inbound(), ErrMisaddressed)
	d = w.request()
	d.Protection = SealedTo(older.SealingKey()) // addressed to the new one
	w.refuse(w.seal(d), w.inbound(), errBody)
	bundle, err := SealBatch(w.from, []Draft{d}, nil)
	must(t, err)
	one, err := bundle.Member(0)
	must(t, err)
	if _, err := OpenMember(one, w.inbound(), w.authority, w.windows, now); !errors.Is(err, errBody) || w.windows.commits != 0 {
		t.Errorf("in a batch: %v", err)
	}
	_, err = w.open(w.seal(w.request()), w.inbound())
	must(t, err)
}

// The receiver's clock may be off by the tolerated skew, not by an hour.
func TestFrameClockSkew(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		f := w.sealFrame(k.d, 2) // issued now, expires now + 5000
		for _, c := range []struct {
			by   int64
			want error
		}{
			{0, nil}, {-identity.Skew, nil}, {5000 + identity.Skew - 1, nil},
			{-hour, identity.ErrNotYet}, {hour - 61_000, identity.ErrExpired}, {-identity.Skew - 1, identity.ErrNotYet},
			{5000 + identity.Skew, identity.ErrExpired},
		} {
			if _, err := Check(f.Raw(), k.in, w.authority, now+c.by); !errors.Is(err, c.want) {
				t.Errorf("%s, clock off by %d: %v, want %v", k.name, c.by, err, c.want)
			}
		}
		if _, err := Check(f.Raw(), k.in, w.authority, now+hour); !errors.Is(err, identity.ErrExpired) {
			t.Errorf("%s, an hour late: %v", k.name, err)
		}
	}
}

func TestSealFrameRefuses(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		for name, c := range map[string]struct {
			draft func(d *Draft)
			all   []Member
			want  error
		}{
			"no member":        {nil, nil, wire.ErrMalformed},
			"too many":         {nil, make([]Member, MaxBatch+1), wire.ErrMalformed},
			"own content":      {func(d *Draft) { d.Content = []byte{1} }, members(2), wire.ErrMalformed},
			"own content type": {func(d *Draft) { d.ContentType = "a" }, members(2), wire.ErrMalformed},
			"own trace":        {func(d *Draft) { d.Trace = "a" }, members(2), wire.ErrMalformed},
			"no protection":    {func(d *Draft) { d.Protection = Protection{} }, members(2), errProtection},
			"sealed": {func(d *Draft) { *d = w.request(); d.Content, d.ContentType, d.Trace = nil, "", "" }, members(2),
				wire.ErrMalformed},
			"bad subject": {func(d *Draft) { d.Subject = "a b" }, members(2), wire.ErrMalformed},
			"bad type":    {nil, []Member{{}, {ContentType: "\n"}}, wire.ErrMalformed},
			"bad trace":   {nil, []Member{{}, {Trace: "x"}}, wire.ErrMalformed},
			"too large":   {func(d *Draft) { d.Limit = 300 }, members(2), wire.ErrTooLarge},
		} {
			d := k.d
			_, err := SealFrame(w.from, d, members(2), nil)
			must(t, err)
			if c.draft != nil {
				c.draft(&d)
			}
			if _, err := SealFrame(w.from, d, c.all, nil); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", k.name, name, err, c.want)
			}
		}
	}
	d := w.kinds()[1].d
	if _, err := SealFrame(w.from, d, members(3), bytes.NewReader(make([]byte, 3*saltSize-1))); err == nil {
		t.Error("sealed with a short salt")
	}
}

// Random changes of an envelope's encoding: the two codecs agree on each.
func TestCodecsAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := join(t)
	var honest [][]byte
	for _, d := range []Draft{w.request(), w.event(), w.letter()} {
		honest = append(honest, encoded(t, unchecked(w.compose(d))))
	}
	for _, k := range w.kinds() {
		for _, e := range w.envelopes(w.sealFrame(k.d, 4)) {
			honest = append(honest, encoded(t, unchecked(e)))
		}
	}
	for range 20_000 {
		payload := bytes.Clone(honest[rng.IntN(len(honest))])
		at := rng.IntN(len(payload))
		switch rng.IntN(4) {
		case 0:
			payload[at] = byte(rng.Uint32())
		case 1:
			payload = slices.Delete(payload, at, at+1)
		case 2:
			payload = slices.Insert(payload, at, byte(rng.IntN(32)))
		case 3: // of two encodings, the beginning of one and the end of the other
			other := honest[rng.IntN(len(honest))]
			payload = append(payload[:at], other[min(at, len(other)):]...)
		}
		sameCodec(t, payload)
	}
}
