package bus

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const (
	began = int64(1_800_000_000_000)
	now   = began + 60_000
)

// fleet is a realm of one node and what its agents show.
type fleet struct {
	t         *testing.T
	node      identity.Signer
	authority *identity.Authority
	peers     *Peers
	rights    trust.Rights
}

func newFleet(t *testing.T, limit int) *fleet {
	t.Helper()
	f := &fleet{t: t, rights: allRights()}
	f.node = f.signer(identity.Node)
	f.authority = &identity.Authority{Realm: realmID, Nodes: []identity.ID{f.node.ID()}}
	f.peers = NewPeers(realmID, limit, func(l identity.Level) trust.Rights {
		if l < identity.Journeyer {
			return trust.Rights{}
		}
		return f.rights
	}, func(topic string) bool { return topic == "news.plain" })
	return f
}

func (f *fleet) signer(role identity.Role) identity.Signer {
	f.t.Helper()
	s, _, err := identity.GenerateSigner(role)
	f.must(err)
	return s
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) agent() identity.Signer { return f.signer(identity.Agent) }

func (f *fleet) process(s identity.Signer, epoch uint64) *identity.Process {
	f.t.Helper()
	p, err := identity.NewProcess(realmID, s, epoch, began, 60*60*1000)
	f.must(err)
	return p
}

// ticket returns a verified ticket of the agent, changed first.
func (f *fleet) ticket(s identity.Signer, change ...func(*trust.Ticket)) wire.Verified[trust.Ticket] {
	f.t.Helper()
	t := trust.Ticket{
		Version: 1, Principal: s.ID(), Name: "agent", Operator: operator, Status: trust.Active, Level: identity.Journeyer,
		Key: s.Public(), Epoch: 1, Policy: wire.Digest{1}, Index: 5, Issued: began, Expires: began + trust.MaxTicketLife,
	}
	for _, c := range change {
		c(&t)
	}
	raw, err := f.node.Cosign(realmID, t)
	f.must(err)
	v, err := trust.VerifyTicket(raw, f.authority, t.Issued)
	f.must(err)
	return v
}

func at(index uint64) func(*trust.Ticket)     { return func(t *trust.Ticket) { t.Index = index } }
func is(s trust.Status) func(*trust.Ticket)   { return func(t *trust.Ticket) { t.Status = s } }
func on(l identity.Level) func(*trust.Ticket) { return func(t *trust.Ticket) { t.Level = l } }

func (f *fleet) want(what string, err, target error) {
	f.t.Helper()
	if !errors.Is(err, target) {
		f.t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

func TestSenderIsWhatWasLearned(t *testing.T) {
	f := newFleet(t, 8)
	s := f.agent()
	p := f.process(s, 1)
	_, err := f.peers.Sender(s.ID(), p.Credential().ID(), now)
	f.want("before", err, ErrUnknown)
	f.must(f.peers.Add(p.Credential().Raw(), f.ticket(s), now))
	got, err := f.peers.Sender(s.ID(), p.Credential().ID(), now)
	f.must(err)
	if got.Credential.ID() != p.Credential().ID() || got.Name != "agent" || got.Operator != operator || got.Level != identity.Journeyer {
		t.Errorf("got %+v", got)
	}
	_, err = f.peers.Sender(s.ID(), wire.Digest{1}, now)
	f.want("another credential", err, ErrUnknown)
	_, err = f.peers.Sender(bob, p.Credential().ID(), now)
	f.want("another principal", err, ErrUnknown)
	_, err = f.peers.Sender(s.ID(), p.Credential().ID(), began+trust.MaxTicketLife+identity.Skew)
	f.want("ticket over", err, identity.ErrExpired)
	_, err = f.peers.Sender(s.ID(), p.Credential().ID(), began-identity.Skew-1)
	f.want("ticket of the future", err, identity.ErrNotYet)
}

func TestNewerTicketsDecide(t *testing.T) {
	f := newFleet(t, 8)
	s := f.agent()
	p := f.process(s, 1)
	successor := f.agent()
	f.must(f.peers.Add(p.Credential().Raw(), f.ticket(s), now))
	for _, row := range []struct {
		name   string
		change func(*trust.Ticket)
		want   error
	}{
		{"active", func(*trust.Ticket) {}, nil},
		{"quarantined", is(trust.Quarantined), trust.ErrQuarantined},
		{"revoked", is(trust.Revoked), trust.ErrRevoked},
		{"epoch", func(t *trust.Ticket) { t.Epoch = 2 }, trust.ErrSuperseded},
		{"another key", func(t *trust.Ticket) { t.Key = successor.Public() }, trust.ErrSuperseded},
		{"active again", func(*trust.Ticket) {}, nil},
	} {
		index := uint64(10)
		f.peers.mu.RLock()
		index += f.peers.peers[s.ID()].ticket.Index
		f.peers.mu.RUnlock()
		f.must(f.peers.Learn(f.ticket(s, at(index), row.change), now))
		_, err := f.peers.Sender(s.ID(), p.Credential().ID(), now)
		f.want(row.name, err, row.want)
	}
}

func TestOlderTicketsDoNotHeal(t *testing.T) {
	f := newFleet(t, 8)
	s := f.agent()
	p := f.process(s, 1)
	old := f.ticket(s, at(5))
	f.must(f.peers.Add(p.Credential().Raw(), old, now))
	f.must(f.peers.Learn(f.ticket(s, at(6), is(trust.Quarantined)), now))
	f.want("learn", f.peers.Learn(old, now), trust.ErrSuperseded)
	f.want("add", f.peers.Add(p.Credential().Raw(), old, now), trust.ErrQuarantined)
	_, err := f.peers.Sender(s.ID(), p.Credential().ID(), now)
	f.want("sender", err, trust.ErrQuarantined)
	f.want("zero ticket", f.peers.Learn(wire.Verified[trust.Ticket]{}, now), ErrUnknown)
	earlier := f.ticket(s, at(6), func(t *trust.Ticket) { t.Issued--; t.Expires-- })
	f.want("same index, earlier", f.peers.Learn(earlier, now), trust.ErrSuperseded)
}

func TestAddRefusesCredentials(t *testing.T) {
	f := newFleet(t, 8)
	s, other := f.agent(), f.agent()
	ticket := f.ticket(s, func(t *trust.Ticket) { t.Epoch = 3 })
	f.must(f.peers.Add(f.process(s, 3).Credential().Raw(), ticket, now))
	forged := f.process(identity.NewSigner(s.ID(), other.Key()), 3).Credential().Raw()
	f.want("forged", f.peers.Add(forged, ticket, now), wire.ErrBadSignature)
	f.want("another's", f.peers.Add(f.process(other, 3).Credential().Raw(), ticket, now), trust.ErrDenied)
	f.want("old epoch", f.peers.Add(f.process(s, 2).Credential().Raw(), ticket, now), trust.ErrSuperseded)
	f.want("garbage", f.peers.Add([]byte{0xd2, 1}, ticket, now), wire.ErrMalformed)
	f.want("no ticket", f.peers.Add(f.process(s, 3).Credential().Raw(), wire.Verified[trust.Ticket]{}, now), ErrUnknown)
}

func TestBounds(t *testing.T) {
	f := newFleet(t, 2)
	s := f.agent()
	first, err := identity.NewProcess(realmID, s, 1, began-1, 60*60*1000)
	f.must(err)
	f.must(f.peers.Add(first.Credential().Raw(), f.ticket(s), now))
	for range MaxProcesses - 1 {
		f.must(f.peers.Add(f.process(s, 1).Credential().Raw(), f.ticket(s), now))
	}
	known := func(p *identity.Process) error {
		_, err := f.peers.Sender(s.ID(), p.Credential().ID(), now)
		return err
	}
	f.must(known(first))
	ninth, err := identity.NewProcess(realmID, s, 2, began+1, 60*60*1000) // the newest, so that no tie may drop it
	f.must(err)
	f.must(f.peers.Add(ninth.Credential().Raw(), f.ticket(s), now))
	f.must(known(ninth))
	f.want("the oldest, after a ninth", known(first), ErrUnknown)
	f.must(f.peers.Add(first.Credential().Raw(), f.ticket(s), now)) // it is there after all
	f.must(known(first))
	f.must(known(ninth))
	raised := f.ticket(s, at(6), func(t *trust.Ticket) { t.Epoch = 2 })
	f.must(f.peers.Add(ninth.Credential().Raw(), raised, now)) // the eight are superseded
	f.must(f.peers.Learn(f.ticket(f.agent()), now))
	third := f.agent()
	f.want("third principal", f.peers.Learn(f.ticket(third), now), ErrFull)
	over := began + trust.MaxTicketLife + identity.Skew
	f.must(f.peers.Learn(f.ticket(third, func(t *trust.Ticket) { t.Issued, t.Expires = over, over+1000 }), over))
}

func TestAuthoriseBySubjectAndRights(t *testing.T) {
	f := newFleet(t, 8)
	sender := envelope.Sender{Level: identity.Journeyer}
	me := wire.Digest(append(proc[:], make([]byte, 16)...))
	request := envelope.Envelope{
		From: alice, To: envelope.ToProcess(bob, me), Purpose: envelope.Request, Subject: realm.Request(bob, proc, alice),
	}
	join, reply, failure, event, letter := request, request, request, request, request
	join.Purpose = envelope.Join
	reply.Purpose, reply.Subject = envelope.Reply, realm.Reply(bob, proc, alice, exchangeA)
	failure.Purpose, failure.Subject = envelope.Fault, reply.Subject
	event.Purpose, event.To, event.Subject = envelope.Event, envelope.ToTopic("news.eu"), topicOf(t, alice, "news.eu")
	letter.To, letter.Subject = envelope.ToInbox(bob, me), realm.Mail(bob, alice)
	for _, row := range []struct {
		name string
		e    envelope.Envelope
		need trust.Rights
	}{
		{"request", request, trust.Rights{Call: []string{"x"}}},
		{"mail", letter, trust.Rights{Call: []string{"x"}}},
		{"join", join, trust.Rights{Subscribe: []string{"x"}}},
		{"reply of a server", reply, trust.Rights{Serve: []string{"x"}}},
		{"reply of a publisher", reply, trust.Rights{Publish: []string{"x"}}},
		{"fault", failure, trust.Rights{Serve: []string{"x"}}},
		{"event", event, trust.Rights{Publish: []string{"news.*"}}},
	} {
		row.need.Rate = 1
		f.rights = row.need
		f.want(row.name, f.peers.Authorise(sender, row.e), nil)
		f.want(row.name+" at a low level", f.peers.Authorise(envelope.Sender{}, row.e), ErrDenied)
		f.rights.Rate = 0
		f.want(row.name+" without a rate", f.peers.Authorise(sender, row.e), ErrDenied)
		f.rights = trust.Rights{Rate: 1, Publish: []string{"other"}}
		if row.e.Purpose.Answers() {
			f.rights.Publish = nil
		}
		f.want(row.name+" without the right", f.peers.Authorise(sender, row.e), ErrDenied)
		f.rights = allRights()
		for _, s := range []string{
			"", realm.Request(alice, proc, alice), realm.Request(bob, exchangeA, alice), realm.Request(bob, proc, bob),
			In(wire.Realm{}).Request(bob, proc, alice), realm.Reply(bob, proc, bob, exchangeA), topicOf(t, alice, "news.us"),
			topicOf(t, bob, "news.eu"), realm.Mail(alice, bob), reply.Subject + ".x", reply.Subject[:len(reply.Subject)-1],
			realm.Hint(node),
		} {
			other := row.e
			other.Subject = s
			f.want(row.name+" on "+s, f.peers.Authorise(sender, other), ErrSubject)
		}
	}
}

// TestAuthoriseByEncryption refuses what anybody could read, except on topics that may be read by anybody.
func TestAuthoriseByEncryption(t *testing.T) {
	f := newFleet(t, 8)
	sender := envelope.Sender{Level: identity.Journeyer}
	event := func(topic string, e envelope.Encryption) error {
		return f.peers.Authorise(sender, envelope.Envelope{
			From: alice, To: envelope.ToTopic(topic), Purpose: envelope.Event, Subject: topicOf(t, alice, topic), Encryption: e,
		})
	}
	f.want("encrypted", event("news.eu", envelope.SenderKey), nil)
	f.want("encrypted where it need not be", event("news.plain", envelope.SenderKey), nil)
	f.want("plain where it may be", event("news.plain", envelope.Plain), nil)
	f.want("plain where it may not be", event("news.eu", envelope.Plain), ErrDenied)
	f.peers.plain = NewPeers(realmID, 1, f.peers.rights, nil).plain
	f.want("plain where nothing may be", event("news.plain", envelope.Plain), ErrDenied)
}

func TestTermEndsWithTicketAndCredential(t *testing.T) {
	f := newFleet(t, 8)
	s := f.agent()
	p := f.process(s, 1)
	id := p.Credential().ID()
	_, err := f.peers.Term(s.ID(), id, now)
	f.want("unknown", err, ErrUnknown)
	f.must(f.peers.Add(p.Credential().Raw(), f.ticket(s), now))
	got, err := f.peers.Term(s.ID(), id, now)
	f.must(err)
	ticket := f.ticket(s).Statement()
	if want := (Term{Level: ticket.Level, Renew: (ticket.Issued + ticket.Expires) / 2, Ends: ticket.Expires}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = f.peers.Term(s.ID(), id, ticket.Expires-1)
	f.want("just before the end", err, nil)
	_, err = f.peers.Term(s.ID(), id, ticket.Expires)
	f.want("within the skew", err, identity.ErrExpired)
	_, err = f.peers.Sender(s.ID(), id, ticket.Expires)
	f.want("as a sender", err, nil)
	_, err = f.peers.Term(s.ID(), wire.Digest{1}, now)
	f.want("another process", err, ErrUnknown)
}

// TestEnvelopeOpens shows the authority at work in a real opening.
func TestEnvelopeOpens(t *testing.T) {
	f := newFleet(t, 8)
	s, r := f.agent(), f.agent()
	from, me := f.process(s, 1), f.process(r, 1)
	f.must(f.peers.Add(from.Credential().Raw(), f.ticket(s), now))
	subject := realm.Request(r.ID(), TokenOf(me.Credential().ID()), s.ID())
	signed, err := envelope.Seal(from, envelope.Draft{
		To: envelope.ToProcess(r.ID(), me.Credential().ID()), Subject: subject, Purpose: envelope.Request,
		Issued: now, Expires: now + 5000, Counter: 1, Content: []byte("hello"),
		Protection: envelope.SealedTo(me.SealingKey()),
	}, rand.Reader)
	f.must(err)
	raw := signed.Raw
	in := envelope.Inbound{Realm: realmID, Process: me, Subject: subject}
	m, err := envelope.Open(raw, in, f.peers, envelope.NewLiveWindows(4), now)
	f.must(err)
	if string(m.Content()) != "hello" || m.From().ID != s.ID() {
		t.Errorf("opened %q of %s", m.Content(), m.From().ID)
	}
	f.must(f.peers.Learn(f.ticket(s, at(6), on(identity.Observer)), now))
	_, err = envelope.Open(raw, in, f.peers, envelope.NewLiveWindows(4), now)
	f.want("after a demotion", err, ErrDenied)
}
