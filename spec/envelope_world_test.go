package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// The agents of the envelope vectors. Each has the identity key n, and a process with the keys n+1 and n+2 and the
// sealing key n+3.
const (
	alice   = 1   // sends
	bob     = 101 // receives; its inbox has the sealing key 105
	mallory = 111 // another agent that sends
)

// The policy leaves the first topic plain, the second not.
const (
	topic  = "news.local"
	closed = "work.local"
)

var (
	inboxID   = wire.Digest{8}
	sessionID = wire.Digest{7}
	session   = secretOf(0x51)
	senderKey = secretOf(0x52)
)

// envelopeWorld is the realm of the envelope vectors.
type envelopeWorld struct {
	realm   wire.Realm
	genesis []byte
	rules   policy.Policy
	names   bus.Realm // makes subjects
}

func newEnvelopeWorld() envelopeWorld {
	rules, err := policy.Preset(policy.Standard)
	if err != nil {
		panic(err)
	}
	// These vectors stand as they were when the envelope was frozen, and the preset has grown since.
	rules.Emergency = nil
	for i := range rules.Classes {
		rules.Classes[i].Confidence, rules.Classes[i].Commit = 0, 0
	}
	// Of these rights each vector lacks one: apprentices only call, observers read and publish reports.
	rules.Levels[identity.Apprentice].Rights = trust.Rights{Call: []string{"*"}, Rate: 60, MaxPayload: 1024}
	rules.Levels[identity.Apprentice].Alone = 0
	rules.Plain = []string{"news.*"}
	genesis := changed(honestGenesis(), func(g *identity.Genesis) { g.Policy = rules.Digest() })
	realm := wire.Realm(idOf(wire.Realm{}, genesis))
	return envelopeWorld{
		realm: realm, genesis: cosigned(wire.Realm{}, genesis, keys(root, 2)...), rules: rules, names: bus.In(realm),
	}
}

func agent(n byte) identity.ID { return id(identity.Agent, n) }

// credential is that of the agent's process.
func (w envelopeWorld) credential(n byte, changes ...func(*identity.Credential)) identity.Credential {
	c := identity.Credential{
		Version: 1, Principal: agent(n), Epoch: 3, Connect: key(n + 1).Public(), Signing: key(n + 2).Public(),
		Sealing: wire.Hash(sealingKey(n + 3).Bytes()), Issued: now, Expires: now + hour,
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

// process is the id of the agent's credential.
func (w envelopeWorld) process(n byte) wire.Digest { return idOf(w.realm, w.credential(n)) }

// learns is the agent's ticket, edited, and its credential.
func (w envelopeWorld) learns(n byte, changes ...func(*trust.Ticket)) learned {
	l := w.updates(n, changes...)
	l.Credential = signed(key(n), w.realm, w.credential(n))
	return l
}

// updates is the agent's ticket alone.
func (w envelopeWorld) updates(n byte, changes ...func(*trust.Ticket)) learned {
	t := trust.Ticket{
		Version: 1, Principal: agent(n), Name: "alice", Operator: id(identity.Operator, root), Status: trust.Active,
		Level: identity.Journeyer, Key: key(n).Public(), Epoch: 3, Policy: w.rules.Digest(), Index: 100, Issued: now,
		Expires: now + trust.MaxTicketLife,
	}
	for _, change := range changes {
		change(&t)
	}
	return learned{At: now, Ticket: cosigned(w.realm, t, keys(node, 2)...)}
}

// context is what bob's process knows when alice's request comes, edited.
func (w envelopeWorld) context(changes ...func(*envelopeContext)) envelopeContext {
	c := envelopeContext{
		Genesis: w.genesis, Policy: w.rules.Encode(), Windows: 2, Learned: []learned{w.learns(alice)},
		Receiver: receiverContext{
			Realm: w.realm, Key: public(key(bob)), Credential: signed(key(bob), w.realm, w.credential(bob)),
			Sealing: sealingSeed(bob + 3),
		},
		Delivery: delivery{Subject: w.request(nil).Subject},
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}

// toInbox has the delivery be to bob's inbox.
func (w envelopeWorld) toInbox(c *envelopeContext) {
	c.Receiver.Inbox, c.Receiver.InboxKey = &inboxID, sealingSeed(bob+4)
	c.Delivery.Subject = w.letter(nil).Subject
}

// onTopic has the delivery be to a topic that bob joined at counter 1.
func (w envelopeWorld) onTopic(c *envelopeContext) {
	c.Delivery = delivery{Subject: w.event(nil).Subject, Topic: topic}
	c.Joined = []joinedTopic{{w.process(alice), topic, 1}}
}

// onClosed has the delivery be to a topic that bob joined at counter 1, and whose sender key he has.
func (w envelopeWorld) onClosed(c *envelopeContext) {
	c.Delivery = delivery{Subject: w.report(nil).Subject, Topic: closed}
	c.Joined = []joinedTopic{{w.process(alice), closed, 1}}
	c.SenderKeys = []hexBytes{senderKey}
}

// inSession has bob's process be in a session that alice's opened.
func (w envelopeWorld) inSession(c *envelopeContext) {
	c.Sessions = []sessionKey{{sessionID, w.process(alice), w.process(bob), session}}
}

// answering has the delivery be the answer of alice to bob's request {9}.
func (w envelopeWorld) answering(c *envelopeContext) {
	asked, from := wire.Digest{9}, agent(alice)
	c.Delivery = delivery{Subject: w.reply(nil).Subject, InReplyTo: &asked, ReplyFrom: &from}
}

// draft is an envelope of alice without body.
func (w envelopeWorld) draft() envelope.Envelope {
	return envelope.Envelope{
		Version: 1, From: agent(alice), Credential: w.process(alice), Issued: now, Expires: now + minute, Counter: 1,
		ContentType: "text/plain", Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

// made is e, edited if there is a change.
func made(e envelope.Envelope, change func(*envelope.Envelope)) envelope.Envelope {
	if change != nil {
		change(&e)
	}
	return e
}

// asked is alice's request to bob's process, edited, without body.
func (w envelopeWorld) asked(change func(*envelope.Envelope)) envelope.Envelope {
	e := w.draft()
	e.To, e.Purpose = envelope.ToProcess(agent(bob), w.process(bob)), envelope.Request
	e.Subject = w.names.Request(e.To.Agent, bus.TokenOf(e.To.Instance), e.From)
	return made(e, change)
}

// request is alice's request to bob's process, edited before it was sealed.
func (w envelopeWorld) request(change func(*envelope.Envelope)) envelope.Envelope {
	return filled(w.realm, w.asked(change), bob+3)
}

// talk is alice's request in the session, edited before it was encrypted.
func (w envelopeWorld) talk(change func(*envelope.Envelope)) envelope.Envelope {
	return locked(w.realm, w.asked(change), sessionID, session)
}

// letter is alice's mail to bob's inbox.
func (w envelopeWorld) letter(change func(*envelope.Envelope)) envelope.Envelope {
	e := w.draft()
	e.To, e.Purpose = envelope.ToInbox(agent(bob), inboxID), envelope.Request
	e.Subject = w.names.Mail(e.To.Agent, e.From)
	return filled(w.realm, made(e, change), bob+4)
}

// told is alice's message to a topic, edited, without body.
func (w envelopeWorld) told(to string, change func(*envelope.Envelope)) envelope.Envelope {
	e := w.draft()
	e.To, e.Purpose = envelope.ToTopic(to), envelope.Event
	e.Subject, _ = w.names.Topic(e.From, to)
	return made(e, change)
}

// event is alice's message to the plain topic.
func (w envelopeWorld) event(change func(*envelope.Envelope)) envelope.Envelope {
	return filled(w.realm, w.told(topic, change), 0)
}

// report is alice's message to the other topic, edited before it was encrypted.
func (w envelopeWorld) report(change func(*envelope.Envelope)) envelope.Envelope {
	return locked(w.realm, w.told(closed, change), senderKeyID(senderKey), senderKey)
}

// answer is alice's answer to bob's request {9}, edited, without body.
func (w envelopeWorld) answer(change func(*envelope.Envelope)) envelope.Envelope {
	e := w.draft()
	e.To, e.Purpose = envelope.ToProcess(agent(bob), w.process(bob)), envelope.Reply
	e.InReplyTo = wire.Digest{9}
	e.Subject = w.names.Reply(e.To.Agent, bus.TokenOf(e.To.Instance), e.From, bus.Token{1})
	return made(e, change)
}

// reply is that answer, sealed.
func (w envelopeWorld) reply(change func(*envelope.Envelope)) envelope.Envelope {
	return filled(w.realm, w.answer(change), bob+3)
}

// signed is an envelope signed by alice's process.
func (w envelopeWorld) signed(e envelope.Envelope) []byte { return signed(key(alice+2), w.realm, e) }

func level(l identity.Level) func(*trust.Ticket) { return func(t *trust.Ticket) { t.Level = l } }
