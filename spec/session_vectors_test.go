package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// keyed are envelopes under a session's or sender key that are to be accepted.
func (w envelopeWorld) keyed(g *group) {
	first := w.request(nil)
	second := w.asked(func(e *letter) { e.Counter = 2 })
	second = locked(w.realm, second, idOf(w.realm, first), exported(w.realm, first, bob+3))
	onTopic := w.told(topic, nil)

	g.accept("ok-session", w.signed(w.talk(nil)), knowing(w.context(w.inSession)))
	g.accept("ok-session-opened-before", w.signed(second), knowing(w.context(func(c *setting) {
		c.Before = []hexBytes{w.signed(first)}
	})))
	g.accept("ok-session-opened-by-the-other", w.signed(w.talk(nil)), knowing(w.context(w.inBobsSession)))
	g.accept("ok-session-reply", w.signed(locked(w.realm, w.answer(nil), sessionID, session)),
		knowing(w.context(w.answering, w.inBobsSession)))
	g.accept("ok-sender-key", w.signed(w.report(nil)), knowing(w.context(w.onClosed)))
	g.accept("ok-sender-key-on-plain-topic", w.signed(locked(w.realm, onTopic, senderKeyID(senderKey), senderKey)),
		knowing(w.context(w.onTopic, w.knowingSenderKey)))
}

// inBobsSession has bob's process be in a session that it opened itself.
func (w envelopeWorld) inBobsSession(c *envelopeContext) {
	c.Sessions = []sessionKey{{sessionID, w.process(bob), w.process(alice), session}}
}

func (w envelopeWorld) knowingSenderKey(c *envelopeContext) { c.SenderKeys = []hexBytes{senderKey} }

// ends has bob's process know a session of two others.
func ends(opener, other wire.Digest) func(*envelopeContext) {
	return func(c *envelopeContext) { c.Sessions = []sessionKey{{sessionID, opener, other, session}} }
}

// wrongKey are envelopes whose key is missing, unknown, or of another use. Where it can, the body opens.
func (w envelopeWorld) wrongKey(g *group) {
	refuse := func(name, check string, code fault.Code, e letter, knows ...func(*setting)) {
		g.refuse(name, check, code, w.signed(e), knowing(w.context(knows...)))
	}
	as := func(e letter, encryption envelope.Encryption) letter {
		e.Encryption = encryption
		return e
	}
	toInbox := w.letter(nil)
	toInbox.Enc = nil

	refuse("session-on-a-topic", "session-place", fault.Malformed,
		as(locked(w.realm, w.told(closed, nil), sessionID, session), envelope.Session),
		w.onClosed, ends(w.process(alice), wire.Digest{}))
	refuse("session-at-an-inbox", "session-place", fault.Malformed, locked(w.realm, toInbox, sessionID, session),
		w.toInbox, ends(w.process(alice), inboxID))
	refuse("sender-key-on-a-request", "sender-key-place", fault.Malformed,
		as(locked(w.realm, w.asked(nil), senderKeyID(senderKey), senderKey), envelope.SenderKey), w.knowingSenderKey)
	refuse("sender-key-at-an-inbox", "sender-key-place", fault.Malformed,
		as(locked(w.realm, toInbox, senderKeyID(senderKey), senderKey), envelope.SenderKey), w.toInbox, w.knowingSenderKey)
	refuse("session-without-key", "key-missing", fault.Malformed,
		changed(w.talk(nil), func(e *letter) { e.Key = wire.Digest{} }), w.inSession)
	refuse("sender-key-without-key", "key-missing", fault.Malformed,
		changed(w.report(nil), func(e *letter) { e.Key = wire.Digest{} }), w.onClosed)

	refuse("session-not-known", "key-known", fault.Unknown, w.talk(nil))
	refuse("sender-key-not-known", "key-known", fault.Unknown, w.report(nil), w.onClosed,
		func(c *setting) { c.SenderKeys = []hexBytes{secretOf(0x53)} })
	refuse("sender-key-as-session", "key-kind", fault.Unknown,
		locked(w.realm, w.asked(nil), senderKeyID(senderKey), senderKey), w.knowingSenderKey)
	refuse("session-of-another-sender", "key-ends", fault.Unknown, w.talk(nil), ends(w.process(mallory), w.process(bob)))
	refuse("session-with-another-recipient", "key-ends", fault.Unknown, w.talk(nil), ends(w.process(alice), w.process(mallory)))
	refuse("session-of-two-others", "key-ends", fault.Unknown, w.talk(nil), ends(w.process(mallory), wire.Digest{1}))
	refuse("session-with-itself", "key-ends", fault.Unknown, w.talk(nil), ends(w.process(alice), w.process(alice)))
}

// wrongKeyedBody are bodies that are not what the key, the line and the counter make.
func (w envelopeWorld) wrongKeyedBody(g *group) {
	inSession, onClosed := knowing(w.context(w.inSession)), knowing(w.context(w.onClosed))
	talk := func(name, check string, change func(*letter)) {
		g.refuse(name, check, fault.Malformed, w.signed(changed(w.talk(nil), change)), inSession)
	}
	report := func(name, check string, change func(*letter)) {
		g.refuse(name, check, fault.Malformed, w.signed(changed(w.report(nil), change)), onClosed)
	}
	// talkAs and reportAs are the honest envelopes with the bodies that others have.
	talkAs := func(name string, realm wire.Realm, change func(*letter)) {
		e := w.asked(nil)
		g.refuse(name, "keyed-body", fault.Malformed,
			w.signed(lockedAs(realm, e, changed(e, change), sessionID, session, salted)), inSession)
	}
	reportAs := func(name string, change func(*letter)) {
		e := w.told(closed, nil)
		g.refuse(name, "keyed-body", fault.Malformed,
			w.signed(lockedAs(w.realm, e, changed(e, change), senderKeyID(senderKey), senderKey, salted)), onClosed)
	}
	nothing := func(*letter) {}

	talk("session-with-enc", "enc-superfluous", func(e *letter) { e.Enc = w.request(nil).Enc })
	talk("session-without-digest", "digest-missing", func(e *letter) { e.Digest = wire.Digest{} })
	report("sender-key-without-digest", "digest-missing", func(e *letter) { e.Digest = wire.Digest{} })
	talk("session-without-salt", "body-least", func(e *letter) {
		*e = lockedAs(w.realm, *e, *e, sessionID, session, salted[:15])
	})
	report("sender-key-without-salt", "body-least", func(e *letter) {
		*e = lockedAs(w.realm, *e, *e, e.Key, senderKey, salted[:15])
	})
	talk("session-body-truncated", "keyed-body", func(e *letter) { e.Body = e.Body[:len(e.Body)-1] })
	talk("session-body-flipped", "keyed-body", func(e *letter) { e.Body = changedAt(e.Body, 0) })
	talk("session-other-direction", "keyed-body", func(e *letter) {
		back := changed(*e, func(b *letter) {
			b.From, b.Credential, b.To = e.To.Agent, e.To.Instance, envelope.ToProcess(e.From, e.Credential)
		})
		*e = lockedAs(w.realm, *e, back, sessionID, session, salted)
	})
	talk("session-under-another-secret", "keyed-body", func(e *letter) { *e = locked(w.realm, *e, sessionID, senderKey) })
	talkAs("session-body-of-another-realm", wire.Realm{1}, nothing)
	talkAs("session-body-of-another-agent", w.realm, func(e *letter) { e.From = agent(mallory) })
	talkAs("session-body-of-another-process", w.realm, func(e *letter) { e.Credential = w.process(mallory) })
	talkAs("session-body-of-another-counter", w.realm, func(e *letter) { e.Counter = 2 })
	reportAs("sender-key-body-of-another-process", func(e *letter) { e.Credential = w.process(mallory) })
	reportAs("sender-key-body-of-another-topic", func(e *letter) { e.To = envelope.ToTopic(topic) })
	reportAs("sender-key-body-of-another-counter", func(e *letter) { e.Counter = 2 })
	talk("session-content-of-another-digest", "keyed-content", func(e *letter) { e.Digest = wire.Digest{1} })
	report("sender-key-content-of-another-digest", "keyed-content", func(e *letter) { e.Digest = wire.Digest{1} })
}
