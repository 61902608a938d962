package envelope

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// under is an envelope to my process, or on my topic, under a key that was agreed before.
func (w *joined) under(d Draft, k *Key) Draft {
	d.Protection = Under(k)
	return d
}

func (w *joined) with(in Inbound) Inbound {
	in.Keys = w.keys
	return in
}

// What a Sealed envelope opened carries the conversation on, in both directions.
func TestSessionBothWays(t *testing.T) {
	w := join(t)
	mine := w.keys[w.direct.ID()]
	w.vouch(w.me)
	there, err := Seal(w.from, w.under(w.request(), w.direct), nil)
	must(t, err)
	m, err := Open(there.Raw, w.with(w.inbound()), w.authority, w.windows, now)
	must(t, err)
	if string(m.Content()) != "hello" || bytes.Contains(there.Raw, []byte("hello")) || there.Session != nil ||
		m.Session() != nil || len(there.Raw) > 700 {
		t.Errorf("content %q in %d bytes", m.Content(), len(there.Raw))
	}
	d := w.under(w.request(), mine)
	d.To, d.Purpose, d.InReplyTo = ToProcess(w.alice.ID(), w.from.Credential().ID()), Reply, m.ID()
	back, err := Seal(w.me, d, nil)
	must(t, err)
	in := Inbound{Realm: w.realm, Process: w.from, Subject: subject, InReplyTo: m.ID(), ReplyFrom: w.bob.ID(),
		Keys: keyring{w.direct.ID(): w.direct}}
	reply, err := Open(back.Raw, in, w.authority, NewLiveWindows(1), now)
	must(t, err)
	if string(reply.Content()) != "hello" {
		t.Errorf("content %q", reply.Content())
	}
}

// A letter opens no session: whoever has the inbox's key later is not the sender's partner.
func TestWhoOpensSessions(t *testing.T) {
	w := join(t)
	letter, err := Seal(w.from, w.letter(), nil)
	must(t, err)
	m, err := Open(letter.Raw, w.inboundLetter(), w.authority, mailWindows{}, now)
	must(t, err)
	if letter.Session != nil || m.Session() != nil {
		t.Error("a letter opened a session")
	}
	signed, err := Seal(w.from, w.request(), nil)
	must(t, err)
	m, err = Open(signed.Raw, w.inbound(), w.authority, w.windows, now)
	must(t, err)
	if signed.Session.ID() != signed.ID || m.Session().ID() != signed.ID {
		t.Error("a session is not named by the envelope that opened it")
	}
	if !bytes.Equal(signed.Session.secret(), m.Session().secret()) || signed.Session.Secret() != nil {
		t.Error("the two ends have different secrets, or show them")
	}
}

func TestSenderKeyTravels(t *testing.T) {
	w := join(t)
	again, err := ParseSenderKey(w.topic.Secret())
	must(t, err)
	if again.ID() != w.topic.ID() || len(w.topic.Secret()) != secretSize {
		t.Error("a sender key changes on its way")
	}
	w.topic.Secret()[0] ^= 1 // a copy
	signed, err := Seal(w.from, w.under(w.event(), w.topic), nil)
	must(t, err)
	in := w.inboundEvent()
	in.Keys = keyring{again.ID(): again}
	m, err := Open(signed.Raw, in, w.authority, w.windows, now)
	must(t, err)
	if string(m.Content()) != "hello" || bytes.Contains(signed.Raw, []byte("hello")) {
		t.Errorf("content %q", m.Content())
	}
	for _, secret := range [][]byte{nil, make([]byte, secretSize-1), make([]byte, secretSize+1)} {
		if _, err := ParseSenderKey(secret); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%d bytes: %v", len(secret), err)
		}
	}
	if _, err := NewSenderKey(bytes.NewReader(make([]byte, secretSize-1))); err == nil {
		t.Error("a key of a short reader")
	}
	fresh, err := NewSenderKey(nil)
	must(t, err)
	if fresh.ID() == again.ID() {
		t.Error("two fresh keys are equal")
	}
}

// The derivations are frozen.
func TestKeysAreFixed(t *testing.T) {
	k, err := ParseSenderKey(bytes.Repeat([]byte{1}, secretSize))
	must(t, err)
	agent := identity.NewID(identity.Agent, wire.PublicKey{1})
	e := Envelope{From: agent, Credential: wire.Digest{3}, To: ToTopic(topic)}
	aead, err := k.aead(wire.Realm{2}, &e)
	must(t, err)
	n := nonce(1<<63 + 5)
	body := aead.Seal(nil, n[:], []byte("hello"), nil)
	for what, pair := range map[string][2]string{
		"id":    {k.ID().String(), "45f09e4aad98420aec191107b0eb314252537d7439b926022129a40c7f311aeb"},
		"nonce": {fmt.Sprintf("%x", n), "000000008000000000000005"},
		"body":  {fmt.Sprintf("%x", body), "54c1d20f2af14808d3fd7291010a9df4da1a15bb0a"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s", what, pair[0])
		}
	}
}

// A body opens on its own line only: each row changes one thing that its key was derived from, or its nonce.
func TestLinesAreApart(t *testing.T) {
	w := join(t)
	e := w.compose(w.under(w.request(), w.direct))
	open := func(realm wire.Realm, e Envelope) error {
		aead, err := w.direct.aead(realm, &e)
		must(t, err)
		n := nonce(e.Counter)
		_, err = aead.Open(nil, n[:], e.Body, nil)
		return err
	}
	must(t, open(w.realm, e))
	if open(wire.Realm{9}, e) == nil {
		t.Error("opens in another realm")
	}
	for name, change := range map[string]func(e *Envelope){
		"from":       func(e *Envelope) { e.From = w.mallory.Principal() },
		"credential": func(e *Envelope) { e.Credential = wire.Digest{1} },
		"place":      func(e *Envelope) { e.To.Place = AtInbox },
		"agent":      func(e *Envelope) { e.To.Agent = w.alice.ID() },
		"instance":   func(e *Envelope) { e.To.Instance = wire.Digest{1} },
		"direction": func(e *Envelope) {
			e.From, e.Credential = w.bob.ID(), w.me.Credential().ID()
			e.To = ToProcess(w.alice.ID(), w.from.Credential().ID())
		},
		"counter":  func(e *Envelope) { e.Counter++ },
		"body cut": func(e *Envelope) { e.Body = e.Body[:len(e.Body)-1] },
		"body":     func(e *Envelope) { e.Body = append(bytes.Clone(e.Body[1:]), e.Body[0]) },
	} {
		changed := e
		change(&changed)
		if open(w.realm, changed) == nil {
			t.Errorf("%s: opens elsewhere", name)
		}
	}
	must(t, open(w.realm, e)) // after more lines than the key keeps
}

// Alice signs all of these: what is wrong is the key, or what it was used for.
func TestKeyedRefuses(t *testing.T) {
	w := join(t)
	other, err := NewSenderKey(nil)
	must(t, err)
	foreign, err := Seal(w.mallory, w.request(), nil) // opens a session between mallory and me
	must(t, err)
	w.keys[foreign.ID], w.keys[other.ID()] = foreign.Session, other
	request, event := w.under(w.request(), w.direct), w.under(w.event(), w.topic)
	stolen := w.under(w.event(), w.topic)
	stolen.To = ToTopic("news.other")
	for name, c := range map[string]struct {
		d     Draft
		in    Inbound
		craft func(e *Envelope, in *Inbound)
		want  error
	}{
		"no keys":                    {request, w.inbound(), func(_ *Envelope, in *Inbound) { in.Keys = nil }, ErrNoKey},
		"no keys, topic":             {event, w.inboundEvent(), func(_ *Envelope, in *Inbound) { in.Keys = nil }, ErrNoKey},
		"unknown session":            {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Key = wire.Digest{1} }, ErrNoKey},
		"unknown key":                {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) { e.Key = wire.Digest{1} }, ErrNoKey},
		"session's key on a topic":   {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) { e.Key = w.direct.ID() }, ErrNoKey},
		"topic's key in a session":   {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Key = w.topic.ID() }, ErrNoKey},
		"session of another process": {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Key = foreign.ID }, ErrNoKey},
		"another key than it was encrypted under": {event, w.inboundEvent(),
			func(e *Envelope, _ *Inbound) { e.Key = other.ID() }, errBody},
		"keys that answer with another": {event, w.inboundEvent(),
			func(_ *Envelope, in *Inbound) { in.Keys = keyring{w.topic.ID(): other} }, ErrNoKey},
		"truncated ciphertext":          {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Body = e.Body[:len(e.Body)-1] }, errBody},
		"ciphertext of another counter": {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Counter++ }, errBody},
		"ciphertext of the other direction": {request, w.inbound(), func(e *Envelope, _ *Inbound) {
			d := w.request()
			d.To = ToProcess(w.alice.ID(), w.from.Credential().ID())
			back, _, err := compose(w.me, ptr(w.under(d, w.keys[w.direct.ID()])), nil)
			must(t, err)
			e.Body, e.Digest = back.Body, back.Digest
		}, errBody},
		"ciphertext of another topic": {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) {
			there := w.compose(stolen)
			e.Body, e.Digest = there.Body, there.Digest
		}, errBody},
		"another content than its digest": {event, w.inboundEvent(),
			func(e *Envelope, _ *Inbound) { e.Digest = wire.Digest{1} }, errContent},
		"no digest":          {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) { e.Digest = wire.Digest{} }, wire.ErrMalformed},
		"no key named":       {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) { e.Key = wire.Digest{} }, wire.ErrMalformed},
		"session on a topic": {event, w.inboundEvent(), func(e *Envelope, _ *Inbound) { e.Encryption = Session }, wire.ErrMalformed},
		"sender key, direct": {request, w.inbound(), func(e *Envelope, _ *Inbound) { e.Encryption = SenderKey }, wire.ErrMalformed},
	} {
		e, in := w.compose(c.d), w.with(c.in)
		twin := w.sign(w.from, e)
		c.craft(&e, &in)
		w.windows.Windows, w.windows.commits = w.fresh(), 0
		w.t = t
		t.Run(name, func(t *testing.T) {
			w.world.t = t
			w.refuse(w.sign(w.from, e), in, c.want)
			if _, err := Open(twin, w.with(c.in), w.authority, w.windows, now); err != nil {
				t.Errorf("the honest twin afterwards: %v", err)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// That a key is not known is said to authentic senders only, with what it takes to help them.
func TestUnknownKey(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds()[1:] {
		frame := w.sealFrame(k.d, 3)
		forged := w.envelopes(frame)
		bad := encoded(t, rawOf(w.headOf(w.mallory, forged), forged))
		in := k.in
		in.Keys = keyring{}
		if _, err := Check(bad, in, w.authority, now); !errors.Is(err, wire.ErrBadSignature) {
			t.Errorf("%s: not authentic: %v", k.name, err)
		}
		_, err := Check(frame.Raw(), in, w.authority, now)
		var unknown *UnknownKey
		if !errors.As(err, &unknown) || !errors.Is(err, ErrNoKey) || fault.CodeOf(err) != fault.Unknown {
			t.Fatalf("%s: %v", k.name, err)
		}
		if e := unknown.Envelope; e.From != w.alice.ID() || e.Credential != w.from.Credential().ID() || e.To != k.d.To ||
			unknown.ID != frame.ID(0) || e.Body != nil || !strings.Contains(err.Error(), e.Key.String()) {
			t.Errorf("%s: %+v", k.name, unknown)
		}
		w.openAll(frame.Raw(), k.in, w.fresh()) // once the key is known
	}
}

func TestSealUnderRefuses(t *testing.T) {
	w := join(t)
	_, err := Seal(w.from, w.under(w.request(), w.direct), nil)
	must(t, err)
	elsewhere := w.request()
	elsewhere.To.Instance = wire.Digest{9}
	for name, c := range map[string]struct {
		p *identity.Process
		d Draft
		k *Key
	}{
		"another process's session": {w.mallory, w.request(), w.direct},
		"session to another":        {w.from, elsewhere, w.direct},
	} {
		if _, err := Seal(c.p, w.under(c.d, c.k), nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, d := range map[string]Draft{
		"session on a topic": w.under(w.event(), w.direct), "session to an inbox": w.under(w.letter(), w.direct),
		"sender key to a process": w.under(w.request(), w.topic), "sender key to an inbox": w.under(w.letter(), w.topic),
	} {
		if _, err := Seal(w.from, d, nil); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// However a key is printed, its secret is not.
func TestKeysPrintAsTheirIDs(t *testing.T) {
	secret := bytes.Repeat([]byte{0xA7}, secretSize)
	k, err := ParseSenderKey(secret)
	must(t, err)
	for _, v := range []any{k, Draft{Protection: Under(k)}, Signed{Session: k}, []*Key{k}, struct{ K *Key }{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := strings.ToLower(fmt.Sprintf(verb, v))
			for _, shape := range []string{"a7a7", "167 167", "0xa7, 0xa7", "\xa7\xa7"} {
				if strings.Contains(text, shape) {
					t.Errorf("%T as %s shows the secret", v, verb)
				}
			}
		}
	}
	if text := fmt.Sprint(k); text != "key "+k.ID().String() {
		t.Errorf("prints as %s", text)
	}
}

// No counter is given twice for one destination: with it a nonce would be.
func TestCountersNeverRepeat(t *testing.T) {
	var c Counters
	used := map[Destination]map[uint64]bool{}
	places := []Destination{toTopic, toProcess, ToTopic("other")}
	take := []int{1, 3, 1, MaxBatch, 2, 1, 7}
	for round := range 300 {
		to, n := places[round%len(places)], take[round%len(take)]
		if used[to] == nil {
			used[to] = map[uint64]bool{}
		}
		before := c.First(to)
		first := c.Take(to, n)
		if first != before || c.First(to) != first+uint64(n) {
			t.Fatalf("round %d: took %d from %d, now %d", round, n, first, c.First(to))
		}
		for i := range n {
			if counter := first + uint64(i); counter == 0 || used[to][counter] {
				t.Fatalf("round %d: counter %d twice", round, counter)
			}
			used[to][first+uint64(i)] = true
		}
		if next := c.Next(to); used[to][next] {
			t.Fatalf("round %d: next %d was used", round, next)
		} else {
			used[to][next] = true
		}
	}
	if nonce(1) == nonce(2) || nonce(1<<32) == nonce(1) {
		t.Error("two counters have one nonce")
	}
}

// A frame refuses what would use a counter twice, or one that does not exist.
func TestFrameCounters(t *testing.T) {
	w := join(t)
	d := w.kinds()[1].d
	d.Counter = 1<<64 - 2
	_, err := SealFrame(w.from, d, members(2), rand.Reader)
	must(t, err)
	if _, err := SealFrame(w.from, d, members(3), rand.Reader); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("counters beyond the last: %v", err)
	}
	d.Counter = 0
	if _, err := SealFrame(w.from, d, members(1), rand.Reader); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("counter 0: %v", err)
	}
}
