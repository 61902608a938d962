package envelope

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestHonest(t *testing.T) {
	w := newWorld(t)
	signed, err := Seal(w.from, w.request(), rand.Reader)
	must(t, err)
	raw, id := signed.Raw, signed.ID
	if bytes.Contains(raw, []byte("hello")) {
		t.Error("the content of a direct message is readable")
	}
	m, err := w.open(raw, w.inbound())
	must(t, err)
	want := From{ID: w.alice.ID(), Name: "alice", Operator: identity.NewID(identity.Operator, w.alice.Public()),
		Level: identity.Journeyer}
	if m.From() != want || m.Process() != w.from.Credential().ID() || m.ID() != id {
		t.Errorf("from %+v, process %s, id %s", m.From(), m.Process(), m.ID())
	}
	if m.Subject() != subject || m.Purpose() != Request || string(m.Content()) != "hello" || !bytes.Equal(m.Raw(), raw) {
		t.Errorf("subject %q, purpose %d, content %q", m.Subject(), m.Purpose(), m.Content())
	}
	if wire.Hash(append(bytes.Clone(m.Salt()), m.Content()...)) != m.Envelope().Digest {
		t.Error("salt and content do not give the signed digest")
	}
	wantUse := Uses{From: m.From().ID, Stream: Stream{Credential: m.Process(), To: m.Envelope().To}, First: 1, ID: id,
		Until: start + life + identity.Skew}
	if w.windows.last != wantUse || w.windows.commits != 1 {
		t.Errorf("committed %+v, %d times", w.windows.last, w.windows.commits)
	}
}

func TestHonestEvent(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.event())
	live := NewLiveWindows(4)
	must(t, live.Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life, now))
	m, err := Open(raw, w.inboundEvent(), w.authority, live, now)
	must(t, err)
	if string(m.Content()) != "hello" {
		t.Errorf("content %q", m.Content())
	}
}

func TestHonestReply(t *testing.T) {
	w := newWorld(t)
	for i, purpose := range []Purpose{Reply, Fault} {
		d := w.request()
		d.Purpose, d.InReplyTo, d.Counter = purpose, wire.Digest{5}, uint64(i+1)
		in := w.inbound()
		in.InReplyTo, in.ReplyFrom = d.InReplyTo, w.alice.ID()
		m, err := w.open(w.seal(d), in)
		must(t, err)
		if m.Purpose() != purpose || m.Envelope().InReplyTo != d.InReplyTo {
			t.Errorf("purpose %d", m.Purpose())
		}
	}
}

// A letter outlives its sender's credential, which must have been valid when it was issued.
func TestMail(t *testing.T) {
	w := newWorld(t)
	store, later := mailWindows{}, start+life+identity.Skew+1
	raw := w.seal(w.letter())
	m, err := Open(raw, w.inboundLetter(), w.authority, store, later)
	must(t, err)
	if string(m.Content()) != "hello" || !store[m.ID()] {
		t.Errorf("content %q", m.Content())
	}
	if _, err = Open(raw, w.inboundLetter(), w.authority, store, later); !errors.Is(err, ErrReplayed) {
		t.Errorf("opened twice: %v", err)
	}
	d := w.letter()
	d.Issued = later
	d.Expires = later + 1000
	if _, err = Open(w.seal(d), w.inboundLetter(), w.authority, store, later); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("issued after the credential's end: %v", err)
	}
	if _, err = Open(raw, w.inboundLetter(), w.authority, NewLiveWindows(9), now); !errors.Is(err, errVolatile) {
		t.Errorf("mail remembered in memory only: %v", err)
	}
	var use countingWindows
	use.Windows = mailWindows{}
	_, err = Open(raw, w.inboundLetter(), w.authority, &use, now)
	must(t, err)
	if use.last.Until != now+MaxMailLife+identity.Skew {
		t.Errorf("forgotten at %d", use.last.Until)
	}
}

// Every case differs from an honest delivery in one thing. The honest delivery is accepted after it: the refusal used
// up nothing.
func TestOpenRefuses(t *testing.T) {
	other := wire.Digest{0xee}
	cases := []struct {
		name  string
		craft func(w *world, e *Envelope, in *Inbound) []byte // nil: alice signs e
		want  error
	}{
		{"another realm's receiver", func(w *world, _ *Envelope, in *Inbound) []byte {
			in.Realm = wire.Realm{9}
			return nil
		}, identity.ErrWrongRealm},
		{"another agent", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.To.Agent = w.mallory.Principal()
			return nil
		}, ErrMisaddressed},
		{"another process", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.To.Instance = w.process(w.bob).Credential().ID()
			return nil
		}, ErrMisaddressed},
		{"another place", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.To.Place = AtInbox // whose id happens to be the process's
			return nil
		}, ErrMisaddressed},
		{"another subject", func(_ *world, _ *Envelope, in *Inbound) []byte {
			in.Subject = subject + ".x"
			return nil
		}, ErrMisaddressed},
		{"direct message on a topic", func(_ *world, _ *Envelope, in *Inbound) []byte {
			in.Topic = topic
			return nil
		}, ErrMisaddressed},
		{"live message in an inbox", func(w *world, _ *Envelope, in *Inbound) []byte {
			in.Inbox, in.InboxKey = w.mail, w.mailPrivate
			return nil
		}, ErrMisaddressed},
		{"request where a reply is expected", func(w *world, _ *Envelope, in *Inbound) []byte {
			in.InReplyTo, in.ReplyFrom = other, w.alice.ID()
			return nil
		}, ErrMisaddressed},
		{"reply nobody asked for", func(_ *world, e *Envelope, _ *Inbound) []byte {
			e.Purpose, e.InReplyTo = Reply, other
			return nil
		}, ErrMisaddressed},
		{"reply to another request", func(w *world, e *Envelope, in *Inbound) []byte {
			e.Purpose, e.InReplyTo = Reply, other
			in.InReplyTo, in.ReplyFrom = wire.Digest{1}, w.alice.ID()
			return nil
		}, ErrMisaddressed},
		{"reply from another agent", func(w *world, e *Envelope, in *Inbound) []byte {
			e.Purpose, e.InReplyTo = Reply, other
			in.InReplyTo, in.ReplyFrom = other, w.mallory.Principal()
			return nil
		}, ErrMisaddressed},
		{"reply when it is not said who was asked", func(_ *world, e *Envelope, in *Inbound) []byte {
			e.Purpose, e.InReplyTo = Fault, other
			in.InReplyTo = other
			return nil
		}, ErrMisaddressed},
		{"unknown sender", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Credential = other
			return nil
		}, errUnknown},
		{"another principal's credential", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.From = w.bob.ID() // signed by alice, who would be bob
			return reseal(w, w.from, e)
		}, errSender},
		{"credential by another name", func(w *world, e *Envelope, _ *Inbound) []byte {
			sibling := w.process(w.alice)
			w.authority.senders[other] = Sender{Credential: sibling.Credential(), Level: identity.Steward}
			e.Credential = other
			return reseal(w, sibling, e)
		}, errSender},
		{"authority that answers with nobody", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Credential = other
			w.authority.senders[other] = Sender{Level: identity.Steward}
			return nil
		}, errSender},
		{"level L0", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Credential = w.mallory.Credential().ID()
			e.From = w.mallory.Principal()
			w.authority.senders[e.Credential] = Sender{Credential: w.mallory.Credential()}
			return reseal(w, w.mallory, e)
		}, errSilenced},
		{"expired", func(_ *world, e *Envelope, _ *Inbound) []byte {
			e.Issued, e.Expires = now-identity.Skew-2000, now-identity.Skew
			return nil
		}, identity.ErrExpired},
		{"from the future", func(_ *world, e *Envelope, _ *Inbound) []byte {
			e.Issued, e.Expires = now+identity.Skew+1, now+identity.Skew+1000
			return nil
		}, identity.ErrNotYet},
		{"signed by another key", func(w *world, e *Envelope, _ *Inbound) []byte {
			return w.sign(w.mallory, *e)
		}, wire.ErrBadSignature},
		{"sealed to another key", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Enc, e.Body = w.encrypt(*e, w.mallory.SealingKey())
			return nil
		}, errBody},
		{"ciphertext of another message", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Body = w.compose(w.request()).Body
			return nil
		}, errBody},
		{"ciphertext and key of another counter", func(w *world, e *Envelope, _ *Inbound) []byte {
			d := w.request()
			d.Counter = 77
			stolen := w.compose(d)
			e.Enc, e.Body, e.Digest = stolen.Enc, stolen.Body, stolen.Digest
			return nil
		}, errBody},
		{"ciphertext and key of another subject", func(w *world, e *Envelope, _ *Inbound) []byte {
			d := w.request()
			d.Subject += ".x"
			stolen := w.compose(d)
			e.Enc, e.Body, e.Digest = stolen.Enc, stolen.Body, stolen.Digest
			return nil
		}, errBody},
		{"ciphertext signed again by who stole it", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.From, e.Credential = w.mallory.Principal(), w.mallory.Credential().ID()
			return w.sign(w.mallory, *e)
		}, errBody},
		{"ciphertext cut", func(_ *world, e *Envelope, _ *Inbound) []byte {
			e.Body = e.Body[:len(e.Body)-1]
			return nil
		}, errBody},
		{"no key in the inbox", func(w *world, e *Envelope, in *Inbound) []byte {
			in.Inbox = w.mail
			*e = w.compose(w.letter())
			return nil
		}, errBody},
		{"another content than its digest", func(_ *world, e *Envelope, _ *Inbound) []byte {
			e.Digest = other
			return nil
		}, errContent},
		{"another statement", func(w *world, _ *Envelope, _ *Inbound) []byte {
			return w.from.Credential().Raw()
		}, wire.ErrWrongKind},
		{"nothing", func(*world, *Envelope, *Inbound) []byte { return []byte{} }, wire.ErrMalformed},
		{"too large", func(_ *world, _ *Envelope, in *Inbound) []byte {
			in.Limit = 1000
			return nil
		}, wire.ErrTooLarge},
		{"too large by default", func(w *world, e *Envelope, _ *Inbound) []byte {
			e.Enc, e.Body = w.encryptText(*e, make([]byte, DefaultLimit))
			return nil
		}, wire.ErrTooLarge},
		{"no receiver", func(_ *world, _ *Envelope, in *Inbound) []byte {
			in.Process = nil
			return nil
		}, errNoGuard},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			honest := w.seal(w.request())
			e, in := w.compose(w.request()), w.inbound()
			raw := c.craft(w, &e, &in)
			if raw == nil {
				raw = w.sign(w.from, e)
			}
			w.refuse(raw, in, c.want)
			if _, err := w.open(honest, w.inbound()); err != nil {
				t.Errorf("the honest twin afterwards: %v", err)
			}
		})
	}
}

// salted is some salt and the text.
func salted(text string) []byte { return append(bytes.Repeat([]byte{7}, saltSize), text...) }

// encrypt seals "hello" for e as it stands now.
func (w *world) encrypt(e Envelope, key []byte) (enc, body []byte) {
	enc, body, _, err := encrypt(w.realm, &e, key, salted("hello"))
	must(w.t, err)
	return enc, body
}

func (w *world) encryptText(e Envelope, text []byte) (enc, body []byte) {
	enc, body, _, err := encrypt(w.realm, &e, w.me.SealingKey(), text)
	must(w.t, err)
	return enc, body
}

// reseal encrypts e anew, so that nothing but what the case changes is wrong, and signs it as p.
func reseal(w *world, p *identity.Process, e *Envelope) []byte {
	text := salted("hello")
	e.Digest = wire.Hash(text)
	e.Enc, e.Body = w.encryptText(*e, text)
	return w.sign(p, *e)
}

// A ciphertext opens only for what it was sealed for, whoever signs around it.
func TestSealBinding(t *testing.T) {
	w := newWorld(t)
	honest := w.compose(w.request())
	_, _, err := decrypt(w.realm, &honest, w.me.Sealing())
	must(t, err)
	if _, _, err = decrypt(wire.Realm{9}, &honest, w.me.Sealing()); !errors.Is(err, errBody) {
		t.Errorf("realm: %v", err)
	}
	for name, change := range map[string]func(e *Envelope){
		"from":       func(e *Envelope) { e.From = w.mallory.Principal() },
		"credential": func(e *Envelope) { e.Credential = wire.Digest{1} },
		"place":      func(e *Envelope) { e.To.Place = AtInbox },
		"agent":      func(e *Envelope) { e.To.Agent = w.mallory.Principal() },
		"instance":   func(e *Envelope) { e.To.Instance = wire.Digest{1} },
		"subject":    func(e *Envelope) { e.Subject += ".x" },
		"counter":    func(e *Envelope) { e.Counter++ },
		"key":        func(e *Envelope) { e.Enc = w.compose(w.request()).Enc },
	} {
		e := honest
		change(&e)
		if _, _, err := decrypt(w.realm, &e, w.me.Sealing()); !errors.Is(err, errBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A process of another realm has the same keys' principal; its signature covers its own realm.
func TestOtherRealm(t *testing.T) {
	w := newWorld(t)
	there, err := identity.NewProcess(wire.Realm{9}, w.alice, 1, start, life)
	must(t, err)
	w.vouch(there) // an authority that confuses realms
	live := NewLiveWindows(4)
	must(t, live.Join(there.Principal(), Stream{there.Credential().ID(), ToTopic(topic)}, 1, start+life, now))
	signed, err := Seal(there, w.event(), rand.Reader)
	must(t, err)
	in := w.inboundEvent()
	if _, err := Open(signed.Raw, in, w.authority, live, now); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("got %v", err)
	}
}

func TestTopicRefuses(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.event())
	if _, err := w.open(raw, w.inboundEvent()); !errors.Is(err, ErrNotJoined) || fault.CodeOf(err) != fault.Unknown {
		t.Errorf("not joined: %v", err)
	}
	in := w.inboundEvent()
	in.Topic = "news.other"
	w.refuse(raw, in, ErrMisaddressed)
	w.refuse(raw, Inbound{Realm: w.realm, Process: w.me, Subject: topicOn}, ErrMisaddressed)

	e := w.compose(w.event())
	e.Body = append(bytes.Clone(e.Body), '!')
	if _, err := w.open(append(raw[:0:0], w.sign(w.from, e)...), w.inboundEvent()); !errors.Is(err, ErrNotJoined) {
		t.Errorf("another content, signed: %v", err)
	}
}

// What the authority says passes through, with its code.
func TestAuthorityRefuses(t *testing.T) {
	for _, code := range []fault.Code{fault.Unknown, fault.Quarantined, fault.Revoked, fault.Superseded, fault.Expired} {
		w := newWorld(t)
		raw := w.seal(w.request())
		w.authority.refusal = fault.New(code, "test: refused")
		w.refuse(raw, w.inbound(), w.authority.refusal)
		w.authority.refusal = nil
		w.authority.denial = fault.New(fault.Denied, "test: denied")
		w.refuse(raw, w.inbound(), w.authority.denial)
		w.authority.denial = nil
		if _, err := w.open(raw, w.inbound()); err != nil {
			t.Errorf("%s: honest twin: %v", code, err)
		}
	}
}

func TestNoGuard(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.request())
	if _, err := Open(raw, w.inbound(), nil, w.windows, now); !errors.Is(err, errNoGuard) {
		t.Errorf("no authority: %v", err)
	}
	if _, err := Open(raw, w.inbound(), w.authority, nil, now); !errors.Is(err, errNoGuard) {
		t.Errorf("no windows: %v", err)
	}
}

// The credential is judged by the receiver's clock, for live envelopes.
func TestCredentialTime(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		at   int64
		want error
	}{
		{start + life + identity.Skew - 1, nil},
		{start + life + identity.Skew, identity.ErrExpired},
		{start - identity.Skew, nil},
		{start - identity.Skew - 1, identity.ErrNotYet},
	} {
		d := w.request()
		d.Issued, d.Expires = c.at, c.at+1000
		live := NewLiveWindows(1)
		if _, err := Open(w.seal(d), w.inbound(), w.authority, live, c.at); !errors.Is(err, c.want) {
			t.Errorf("at %d: %v, want %v", c.at, err, c.want)
		}
	}
}

func TestEnvelopeTime(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.request()) // issued now, expires now + 5000
	for _, c := range []struct {
		at   int64
		want error
	}{
		{now - identity.Skew, nil},
		{now - identity.Skew - 1, identity.ErrNotYet},
		{now + 5000 + identity.Skew - 1, nil},
		{now + 5000 + identity.Skew, identity.ErrExpired},
		{now - hour, identity.ErrNotYet},
		{now + hour, identity.ErrExpired},
	} {
		if _, err := Open(raw, w.inbound(), w.authority, NewLiveWindows(1), c.at); !errors.Is(err, c.want) {
			t.Errorf("at now%+d: %v, want %v", c.at-now, err, c.want)
		}
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.request())
	_, err := w.open(raw, w.inbound())
	must(t, err)
	if _, err = w.open(raw, w.inbound()); !errors.Is(err, ErrReplayed) || fault.CodeOf(err) != fault.Replayed {
		t.Errorf("again: %v", err)
	}
	if _, err = w.open(w.seal(w.request()), w.inbound()); !errors.Is(err, ErrReplayed) {
		t.Errorf("another envelope with the counter: %v", err)
	}
	d := w.request()
	d.Counter = 2
	if _, err = w.open(w.seal(d), w.inbound()); err != nil {
		t.Errorf("the next counter: %v", err)
	}
}

// No byte of the signed form can be changed or dropped.
func TestFlippedByte(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		raw []byte
		in  Inbound
	}{
		"sealed": {w.seal(w.request()), w.inbound()}, "plain": {w.seal(w.event()), w.inboundEvent()},
	} {
		for i := range c.raw {
			for _, mask := range []byte{0x01, 0x80} {
				bad := bytes.Clone(c.raw)
				bad[i] ^= mask
				if _, err := w.open(bad, c.in); err == nil || w.windows.commits != 0 {
					t.Fatalf("%s: byte %d ^ %#x accepted, or reached the windows: %v", name, i, mask, err)
				}
			}
			if _, err := w.open(c.raw[:i], c.in); err == nil {
				t.Fatalf("%s: first %d bytes accepted", name, i)
			}
		}
		if _, err := w.open(append(bytes.Clone(c.raw), 0), c.in); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: trailing byte: %v", name, err)
		}
	}
	_, err := w.open(w.seal(w.request()), w.inbound())
	must(t, err)
}

func TestSealRefuses(t *testing.T) {
	w := newWorld(t)
	key, err := NewSenderKey(rand.Reader)
	must(t, err)
	for _, c := range []struct {
		name  string
		draft func(d *Draft)
		want  error
	}{
		{"no protection", func(d *Draft) { d.Protection = Protection{} }, errProtection},
		{"topic without protection", func(d *Draft) { *d = w.event(); d.Protection = Protection{} }, errProtection},
		{"no key", func(d *Draft) { d.Protection = Under(nil) }, errProtection},
		{"direct unencrypted", func(d *Draft) { d.Protection = Unencrypted() }, ErrPlain},
		{"mail unencrypted", func(d *Draft) { *d = w.letter(); d.Protection = Unencrypted() }, ErrPlain},
		{"topic sealed", func(d *Draft) { *d = w.event(); d.Protection = SealedTo(w.me.SealingKey()) }, wire.ErrMalformed},
		{"direct under a sender key", func(d *Draft) { d.Protection = Under(key) }, wire.ErrMalformed},
		{"mail under a sender key", func(d *Draft) { *d = w.letter(); d.Protection = Under(key) }, wire.ErrMalformed},
		{"sealed to nobody", func(d *Draft) { d.Protection = SealedTo(nil) }, wire.ErrBadKey},
		{"short key", func(d *Draft) { d.Protection = SealedTo([]byte{1}) }, wire.ErrBadKey},
		{"counter 0", func(d *Draft) { d.Counter = 0 }, wire.ErrMalformed},
		{"content type with line end", func(d *Draft) { d.ContentType = "a\n" }, wire.ErrMalformed},
		{"too large", func(d *Draft) { d.Content = make([]byte, DefaultLimit) }, wire.ErrTooLarge},
		{"own limit", func(d *Draft) { d.Limit = 1000 }, wire.ErrTooLarge},
	} {
		d := w.request()
		_, err := Seal(w.from, d, rand.Reader)
		must(t, err)
		c.draft(&d)
		if _, err := Seal(w.from, d, rand.Reader); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := Seal(w.from, w.request(), bytes.NewReader(make([]byte, saltSize-1))); err == nil {
		t.Error("sealed with a short salt")
	}
	keyed := w.event()
	keyed.Protection = Under(key)
	first, err := Seal(w.from, keyed, nil)
	must(t, err)
	again, err := Seal(w.from, keyed, nil)
	must(t, err)
	if bytes.Equal(first.Raw, again.Raw) {
		t.Error("two salts are equal")
	}
}
