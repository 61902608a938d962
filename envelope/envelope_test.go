package envelope

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestCheckAcceptsHonest(t *testing.T) {
	w := join(t)
	reply := w.request()
	reply.Purpose, reply.InReplyTo = Reply, wire.Digest{9}
	failed := reply
	failed.Purpose = Fault
	join := w.request()
	join.Purpose = Join
	bare := w.request()
	bare.Trace, bare.ContentType, bare.Content = "", "", nil
	for name, d := range map[string]Draft{
		"request": w.request(), "event": w.event(), "letter": w.letter(), "reply": reply, "fault": failed, "join": join,
		"bare": bare, "session": w.under(w.request(), w.direct), "sender key": w.under(w.event(), w.topic),
	} {
		if err := w.compose(d).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each case breaks one rule of an honest envelope.
func TestCheckRefuses(t *testing.T) {
	w := join(t)
	request, event, letter := w.compose(w.request()), w.compose(w.event()), w.compose(w.letter())
	session, keyed := w.compose(w.under(w.request(), w.direct)), w.compose(w.under(w.event(), w.topic))
	node := identity.NewID(identity.Node, w.alice.Public())
	cases := []struct {
		name   string
		honest Envelope
		breaks func(e *Envelope)
		want   error
	}{
		{"version 0", request, func(e *Envelope) { e.Version = 0 }, wire.ErrVersion},
		{"version 2", request, func(e *Envelope) { e.Version = 2 }, wire.ErrVersion},
		{"from a node", request, func(e *Envelope) { e.From = node }, wire.ErrMalformed},
		{"no credential", request, func(e *Envelope) { e.Credential = wire.Digest{} }, wire.ErrMalformed},
		{"no digest", request, func(e *Envelope) { e.Digest = wire.Digest{} }, wire.ErrMalformed},
		{"no place", request, func(e *Envelope) { e.To = Destination{} }, wire.ErrMalformed},
		{"process without agent", request, func(e *Envelope) { e.To.Agent = identity.ID{} }, wire.ErrMalformed},
		{"process of a node", request, func(e *Envelope) { e.To.Agent = node }, wire.ErrMalformed},
		{"process without credential", request, func(e *Envelope) { e.To.Instance = wire.Digest{} }, wire.ErrMalformed},
		{"process with topic", request, func(e *Envelope) { e.To.Topic = topic }, wire.ErrMalformed},
		{"inbox without id", letter, func(e *Envelope) { e.To.Instance = wire.Digest{} }, wire.ErrMalformed},
		{"topic with agent", event, func(e *Envelope) { e.To.Agent = w.bob.ID() }, wire.ErrMalformed},
		{"topic with instance", event, func(e *Envelope) { e.To.Instance = wire.Digest{1} }, wire.ErrMalformed},
		{"topic without name", event, func(e *Envelope) { e.To.Topic = "" }, wire.ErrMalformed},
		{"topic with wildcard", event, func(e *Envelope) { e.To.Topic = "a.*" }, wire.ErrMalformed},
		{"no subject", request, func(e *Envelope) { e.Subject = "" }, wire.ErrMalformed},
		{"long subject", request, func(e *Envelope) { e.Subject = strings.Repeat("a", maxSubject+1) }, wire.ErrMalformed},
		{"subject with wildcard", request, func(e *Envelope) { e.Subject = "a.>" }, wire.ErrMalformed},
		{"subject with star", request, func(e *Envelope) { e.Subject = "a.*.b" }, wire.ErrMalformed},
		{"subject with space", request, func(e *Envelope) { e.Subject = "a b" }, wire.ErrMalformed},
		{"subject with line end", request, func(e *Envelope) { e.Subject = "a\r\nPUB" }, wire.ErrMalformed},
		{"subject begins with dot", request, func(e *Envelope) { e.Subject = ".a" }, wire.ErrMalformed},
		{"subject ends with dot", request, func(e *Envelope) { e.Subject = "a." }, wire.ErrMalformed},
		{"subject with empty token", request, func(e *Envelope) { e.Subject = "a..b" }, wire.ErrMalformed},
		{"no purpose", request, func(e *Envelope) { e.Purpose = 0 }, wire.ErrMalformed},
		{"unknown purpose", request, func(e *Envelope) { e.Purpose = Fault + 1 }, wire.ErrMalformed},
		{"event to a process", request, func(e *Envelope) { e.Purpose = Event }, wire.ErrMalformed},
		{"request to a topic", event, func(e *Envelope) { e.Purpose = Request }, wire.ErrMalformed},
		{"join to an inbox", letter, func(e *Envelope) { e.Purpose = Join }, wire.ErrMalformed},
		{"reply to nothing", request, func(e *Envelope) { e.Purpose = Reply }, wire.ErrMalformed},
		{"fault in reply to nothing", request, func(e *Envelope) { e.Purpose = Fault }, wire.ErrMalformed},
		{"request in reply", request, func(e *Envelope) { e.InReplyTo = wire.Digest{1} }, wire.ErrMalformed},
		{"never issued", request, func(e *Envelope) { e.Issued, e.Expires = 0, 1 }, wire.ErrMalformed},
		{"expires when issued", request, func(e *Envelope) { e.Expires = e.Issued }, wire.ErrMalformed},
		{"live too long", request, func(e *Envelope) { e.Expires = e.Issued + MaxLiveLife + 1 }, wire.ErrMalformed},
		{"event too long", event, func(e *Envelope) { e.Expires = e.Issued + MaxLiveLife + 1 }, wire.ErrMalformed},
		{"mail too long", letter, func(e *Envelope) { e.Expires = e.Issued + MaxMailLife + 1 }, wire.ErrMalformed},
		{"counter 0", request, func(e *Envelope) { e.Counter = 0 }, wire.ErrMalformed},
		{"long content type", request, func(e *Envelope) { e.ContentType = strings.Repeat("a", maxContentType+1) },
			wire.ErrMalformed},
		{"content type not ASCII", request, func(e *Envelope) { e.ContentType = "text/plän" }, wire.ErrMalformed},
		{"plain to a process", request, func(e *Envelope) { e.Encryption, e.Enc = Plain, nil }, ErrPlain},
		{"plain to an inbox", letter, func(e *Envelope) { e.Encryption, e.Enc = Plain, nil }, ErrPlain},
		{"sealed to a topic", event, func(e *Envelope) { e.Encryption, e.Enc, e.Body = Sealed, request.Enc, request.Body },
			wire.ErrMalformed},
		{"no encryption", request, func(e *Envelope) { e.Encryption = 0 }, wire.ErrMalformed},
		{"unknown encryption", request, func(e *Envelope) { e.Encryption = SenderKey + 1 }, wire.ErrMalformed},
		{"session", request, func(e *Envelope) { e.Encryption = Session }, wire.ErrMalformed},
		{"sender key", event, func(e *Envelope) { e.Encryption = SenderKey }, wire.ErrMalformed},
		{"plain with key", event, func(e *Envelope) { e.Enc = request.Enc }, wire.ErrMalformed},
		{"plain with digest", event, func(e *Envelope) { e.Digest = wire.Digest{1} }, wire.ErrMalformed},
		{"plain with sender key", event, func(e *Envelope) { e.Key = wire.Digest{1} }, wire.ErrMalformed},
		{"sealed with session key", request, func(e *Envelope) { e.Key = wire.Digest{1} }, wire.ErrMalformed},
		{"session without key", session, func(e *Envelope) { e.Key = wire.Digest{} }, wire.ErrMalformed},
		{"session without digest", session, func(e *Envelope) { e.Digest = wire.Digest{} }, wire.ErrMalformed},
		{"session without tag", session, func(e *Envelope) { e.Body = e.Body[:saltSize+tagSize-1] }, wire.ErrMalformed},
		{"session with encapsulated key", session, func(e *Envelope) { e.Enc = request.Enc }, wire.ErrMalformed},
		{"session to an inbox", letter, func(e *Envelope) {
			e.Encryption, e.Key, e.Enc, e.Body = Session, session.Key, nil, session.Body
		}, wire.ErrMalformed},
		{"session on a topic", keyed, func(e *Envelope) { e.Encryption = Session }, wire.ErrMalformed},
		{"sender key, direct", session, func(e *Envelope) { e.Encryption = SenderKey }, wire.ErrMalformed},
		{"sender key to an inbox", letter, func(e *Envelope) {
			e.Encryption, e.Key, e.Enc, e.Body = SenderKey, keyed.Key, nil, keyed.Body
		}, wire.ErrMalformed},
		{"sender key without key", keyed, func(e *Envelope) { e.Key = wire.Digest{} }, wire.ErrMalformed},
		{"sender key without digest", keyed, func(e *Envelope) { e.Digest = wire.Digest{} }, wire.ErrMalformed},
		{"sender key without tag", keyed, func(e *Envelope) { e.Body = e.Body[:saltSize+tagSize-1] }, wire.ErrMalformed},
		{"sealed without key", request, func(e *Envelope) { e.Enc = nil }, wire.ErrMalformed},
		{"sealed without tag", request, func(e *Envelope) { e.Body = e.Body[:saltSize+tagSize-1] }, wire.ErrMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := c.honest
			must(t, e.Check())
			c.breaks(&e)
			if err := e.Check(); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if _, err := w.from.Sign(e); !errors.Is(err, c.want) {
				t.Errorf("signed: %v", err)
			}
			in := map[Place]Inbound{AtInbox: w.inboundLetter(), AtTopic: w.inboundEvent()}[c.honest.To.Place]
			if in.Process == nil {
				in = w.inbound()
			}
			w.refuse(w.sign(w.from, e), in, c.want)
		})
	}
}

func TestTrace(t *testing.T) {
	w := newWorld(t)
	good := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	e := w.compose(w.event())
	for _, c := range []struct {
		trace string
		ok    bool
	}{
		{"", true},
		{good, true},
		{strings.Replace(good, "00-", "01-", 1), false},
		{strings.ToUpper(good), false},
		{good + "-x", false},
		{good[:54], false},
		{strings.Replace(good, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1), false},
		{strings.Replace(good, "00f067aa0ba902b7", strings.Repeat("0", 16), 1), false},
		{strings.Replace(good, "-00f0", "_00f0", 1), false},
		{strings.Replace(good, "-01", "_01", 1), false},
		{strings.Replace(good, "-01", "-0g", 1), false},
	} {
		e.Trace = c.trace
		if err := e.Check(); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.trace, err)
		}
	}
}

// The format is frozen: these ids change only with the version.
func TestFormatIsFixed(t *testing.T) {
	agent := identity.NewID(identity.Agent, wire.PublicKey{1})
	realm := wire.Realm{2}
	for _, c := range []struct {
		name string
		of   wire.Statement
		want string
	}{
		{"reply", Envelope{Version: 1, From: agent, Credential: wire.Digest{3}, To: ToProcess(agent, wire.Digest{4}),
			Subject: subject, Purpose: Reply, InReplyTo: wire.Digest{5}, Issued: start, Expires: now, Counter: 6,
			ContentType: "text/plain", Trace: "00-01-02-03", Encryption: Sealed, Enc: []byte{7}, Digest: wire.Digest{8},
			Body: []byte{9}}, "df3f035e17cbaad45fb1a17baa91dc2f6e1d964fba34d87f738f31a74776d666"},
		{"event", Envelope{Version: 1, From: agent, Credential: wire.Digest{3}, To: ToTopic(topic), Subject: topicOn,
			Purpose: Event, Issued: start, Expires: now, Counter: 6, Encryption: Plain, Digest: wire.Digest{8},
			Body: []byte{9}}, "19de58fdee46d5deb01c8773872e7d204f33230563d07913c0e1264e9714c285"},
		{"batch", Batch{Version: 1, Credential: wire.Digest{3}, Size: 4, Root: [32]byte{5}}, "773247a416b27b336913d44f87bdb9774479fe624d03513d7880961c8d7d87ac"},
		{"session", Envelope{Version: 1, From: agent, Credential: wire.Digest{3}, To: ToProcess(agent, wire.Digest{4}),
			Subject: subject, Purpose: Request, Issued: start, Expires: now, Counter: 6, Encryption: Session,
			Digest: wire.Digest{8}, Body: []byte{9}, Key: wire.Digest{10}}, "1b6a4c140783f3a37db41166684ffc476abef88d60047a20161d16fd30e64613"},
		{"plain event", Envelope{Version: 1, From: agent, Credential: wire.Digest{3}, To: ToTopic(topic), Subject: topicOn,
			Purpose: Event, Issued: start, Expires: now, Counter: 6, Encryption: Plain, Body: []byte{9}}, "1b9a500af7883e6fda3852a8892dfa77592cc3b8f59853eef8c60324274c0c8e"},
	} {
		id, err := wire.IDOf(realm, c.of)
		must(t, err)
		if id.String() != c.want {
			t.Errorf("%s: %s", c.name, id)
		}
	}
}
