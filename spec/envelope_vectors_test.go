package spec_test

import (
	"bytes"
	"strings"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/replay"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

type (
	letter  = envelope.Envelope
	setting = envelopeContext
)

func envelopeVectors() *group {
	w := newEnvelopeWorld()
	g := &group{folder: "envelope", statement: "envelope", realm: w.realm, context: w.context()}
	w.accepted(g)
	w.malformed(g)
	w.wrongDestination(g)
	w.wrongBody(g)
	w.keyed(g)
	w.wrongKey(g)
	w.wrongKeyedBody(g)
	w.misaddressed(g)
	w.wrongSender(g)
	w.forged(g)
	w.unauthorised(g)
	w.replayed(g)
	return g
}

func (w envelopeWorld) accepted(g *group) {
	request := w.signed(w.request(nil))
	inbox, onTopic, answering := knowing(w.context(w.toInbox)), knowing(w.context(w.onTopic)), knowing(w.context(w.answering))
	later := w.updates(alice, func(t *trust.Ticket) { t.Issued, t.Expires = now+2*hour, now+2*hour+minute })
	later.At, later.Credential = now+2*hour, w.learns(alice).Credential

	g.accept("ok", request)
	g.accept("ok-first-moment", request, at(now-identity.Skew))
	g.accept("ok-last-moment", request, at(now+minute+identity.Skew-1))
	g.accept("ok-longest-life", w.signed(w.request(func(e *letter) { e.Expires = now + envelope.MaxLiveLife })))
	g.accept("ok-bare", w.signed(w.request(func(e *letter) { e.ContentType, e.Trace = "", "" })))
	g.accept("ok-join", w.signed(w.request(func(e *letter) { e.Purpose = envelope.Join })))
	g.accept("ok-mail", w.signed(w.letter(func(e *letter) { e.Expires = now + envelope.MaxMailLife })), inbox)
	g.accept("ok-mail-outlives-credential", w.signed(w.letter(func(e *letter) { e.Expires = now + 3*hour })), at(now+2*hour),
		knowing(w.context(w.toInbox, func(c *setting) {
			c.Learned = []learned{later}
			c.Receiver.Credential = signed(key(bob), w.realm, w.credential(bob, func(c *identity.Credential) { c.Expires = now + 3*hour }))
		})))
	g.accept("ok-event", w.signed(w.event(nil)), onTopic)
	g.accept("ok-event-empty", w.signed(changed(w.event(nil), func(e *letter) { e.Body = nil })), onTopic)
	g.accept("ok-reply", w.signed(w.reply(nil)), answering)
	g.accept("ok-fault", w.signed(w.reply(func(e *letter) { e.Purpose = envelope.Fault })), answering)
	g.accept("ok-counter-skipped-earlier", w.signed(w.request(func(e *letter) { e.Counter = 3 })),
		knowing(w.context(func(c *setting) { c.Before = []hexBytes{w.signed(w.request(func(e *letter) { e.Counter = 5 }))} })))
}

// malformed are envelopes that nobody may sign.
func (w envelopeWorld) malformed(g *group) {
	with := func(name, check string, code fault.Code, change func(*letter), edits ...func(*vector)) {
		g.refuse(name, check, code, w.signed(w.request(change)), edits...)
	}
	asked := wire.Digest{9}
	g.refuse("too-large", "size", fault.TooLarge, w.signed(w.request(nil)), zeros(envelope.DefaultLimit))
	with("version", "envelope-version", fault.Version, func(e *letter) { e.Version = 2 })
	with("from-a-node", "envelope-from", fault.Malformed, func(e *letter) { e.From = id(identity.Node, alice) })
	with("no-credential", "envelope-credential", fault.Malformed, func(e *letter) { e.Credential = wire.Digest{} })
	with("no-purpose", "envelope-purpose", fault.Malformed, func(e *letter) { e.Purpose = 0 })
	with("unknown-purpose", "envelope-purpose", fault.Malformed, func(e *letter) { e.Purpose = 6 })
	with("event-to-a-process", "envelope-purpose", fault.Malformed, func(e *letter) { e.Purpose = envelope.Event })
	with("request-in-reply", "envelope-answers", fault.Malformed, func(e *letter) { e.InReplyTo = asked },
		knowing(w.context(func(c *setting) { c.Delivery.InReplyTo = &asked })))
	g.refuse("reply-to-nothing", "envelope-answers", fault.Malformed, w.signed(w.reply(func(e *letter) { e.InReplyTo = wire.Digest{} })),
		knowing(w.context(w.answering, func(c *setting) { c.Delivery.InReplyTo = nil })))
	with("no-time", "envelope-issued", fault.Malformed, func(e *letter) { e.Issued, e.Expires = 0, minute })
	with("no-life", "envelope-expires", fault.Malformed, func(e *letter) { e.Expires = e.Issued })
	with("long-life", "envelope-longest-live", fault.Malformed, func(e *letter) { e.Expires = e.Issued + envelope.MaxLiveLife + 1 })
	g.refuse("long-life-of-mail", "envelope-longest", fault.Malformed,
		w.signed(w.letter(func(e *letter) { e.Expires = e.Issued + envelope.MaxMailLife + 1 })), knowing(w.context(w.toInbox)))
	with("counter-zero", "envelope-counter", fault.Malformed, func(e *letter) { e.Counter = 0 })
	with("content-type-long", "content-type-length", fault.Malformed, func(e *letter) { e.ContentType = strings.Repeat("a", 129) })
	with("content-type-line-end", "content-type-characters", fault.Malformed, func(e *letter) { e.ContentType = "a\nb" })
	for name, trace := range map[string]string{
		"trace-long":       "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-010",
		"trace-version":    "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"trace-upper-case": "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"trace-zero":       "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"trace-span-zero":  "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"trace-flags":      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
	} {
		with(name, "envelope-trace", fault.Malformed, func(e *letter) { e.Trace = trace })
	}
	for name, subject := range map[string]string{
		"subject-empty": "", "subject-long": strings.Repeat("a", 513), "subject-star": "a.*.b", "subject-gt": "a.>",
		"subject-space": "a b", "subject-line-end": "a\r\nPUB", "subject-not-ascii": "a.ä",
		"subject-begins-with-dot": ".a", "subject-ends-with-dot": "a.", "subject-empty-word": "a..b",
	} {
		with(name, "envelope-subject", fault.Malformed, func(e *letter) { e.Subject = subject },
			knowing(w.context(func(c *setting) { c.Delivery.Subject = subject })))
	}
}

// wrongDestination are destinations that are none.
func (w envelopeWorld) wrongDestination(g *group) {
	request := func(name, check string, change func(*letter)) {
		g.refuse(name, check, fault.Malformed, w.signed(w.request(change)))
	}
	event := func(name, check string, change func(*letter)) {
		g.refuse(name, check, fault.Malformed, w.signed(w.event(change)), knowing(w.context(w.onTopic)))
	}
	request("unknown-place", "to-place", func(e *letter) { e.To.Place = 4 })
	request("to-a-node", "to-agent", func(e *letter) { e.To.Agent = id(identity.Node, bob) })
	request("to-no-process", "to-instance", func(e *letter) { e.To.Instance = wire.Digest{} })
	request("to-a-process-and-topic", "to-topic", func(e *letter) { e.To.Topic = topic })
	event("to-a-topic-and-agent", "topic-agent", func(e *letter) { e.To.Agent = agent(bob) })
	event("to-a-topic-and-process", "topic-instance", func(e *letter) { e.To.Instance = w.process(bob) })
	event("to-a-pattern", "topic-name", func(e *letter) { e.To.Topic = "news.*" })
}

// wrongBody are bodies whose form does not fit, or that do not hold what was signed. Those under a session's or sender
// key have their own.
func (w envelopeWorld) wrongBody(g *group) {
	late := func(name, check string, code fault.Code, change func(*letter)) {
		g.refuse(name, check, code, w.signed(changed(w.request(nil), change)))
	}
	onTopic := knowing(w.context(w.onTopic))
	sealedTo := func(n byte, change func(*letter)) letter { // and then put into the honest request
		other := w.draft()
		honest := w.request(nil)
		other.To, other.Subject = honest.To, honest.Subject
		other = filled(w.realm, made(other, change), n)
		honest.Enc, honest.Body = other.Enc, other.Body
		return honest
	}
	moved := func(name string, change func(*letter)) {
		g.refuse(name, "sealed", fault.Malformed, w.signed(sealedTo(bob+3, change)))
	}
	plain := func(e *letter) {
		e.Encryption, e.Enc, e.Digest, e.Body = envelope.Plain, nil, wire.Digest{}, salted[16:]
	}

	late("plain-request", "plain-direct", fault.Denied, plain)
	g.refuse("plain-mail", "plain-direct", fault.Denied, w.signed(changed(w.letter(nil), plain)), knowing(w.context(w.toInbox)))
	event := func(name, check string, change func(*letter)) {
		g.refuse(name, check, fault.Malformed, w.signed(changed(w.event(nil), change)), onTopic)
	}
	event("plain-with-enc", "enc-superfluous", func(e *letter) { e.Enc = []byte{1} })
	event("plain-with-key", "key-superfluous", func(e *letter) { e.Key = senderKeyID(senderKey) })
	event("plain-with-digest", "digest-superfluous", func(e *letter) { e.Digest = wire.Hash(e.Body) })
	late("sealed-with-key", "key-superfluous", fault.Malformed, func(e *letter) { e.Key = sessionID })
	late("sealed-without-digest", "digest-missing", fault.Malformed, func(e *letter) { e.Digest = wire.Digest{} })
	late("sealed-without-salt", "body-least", fault.Malformed, func(e *letter) {
		c := sealing.seal(sealingKey(bob+3), sealInfo(w.realm, *e), salted[:15])
		e.Enc, e.Body, e.Digest = c.Enc, c.Body, wire.Hash(salted[:15])
	})
	g.refuse("sealed-topic", "sealed-topic", fault.Malformed, w.signed(filled(w.realm, w.event(nil), bob+3)), onTopic)
	late("no-encryption", "encryption-unknown", fault.Malformed, func(e *letter) { e.Encryption, e.Enc = 0, nil })
	late("unknown-encryption", "encryption-unknown", fault.Malformed, func(e *letter) { e.Encryption, e.Enc = 5, nil })

	late("body-truncated", "sealed", fault.Malformed, func(e *letter) { e.Body = e.Body[:len(e.Body)-1] })
	late("body-flipped", "sealed", fault.Malformed, func(e *letter) { e.Body = changedAt(e.Body, 0) })
	late("key-flipped", "sealed", fault.Malformed, func(e *letter) { e.Enc = changedAt(e.Enc, 0) })
	moved("body-of-another-counter", func(e *letter) { e.Counter = 2 })
	moved("body-for-another-subject", func(e *letter) { e.Subject = w.letter(nil).Subject })
	moved("body-for-another-process", func(e *letter) { e.To.Instance = wire.Digest{1} })
	moved("body-for-another-agent", func(e *letter) { e.To.Agent = agent(mallory) })
	moved("body-of-another-sender", func(e *letter) { e.From = agent(mallory) })
	moved("body-of-another-process", func(e *letter) { e.Credential = w.process(mallory) })
	g.refuse("body-sealed-to-another", "sealed", fault.Malformed, w.signed(sealedTo(mallory+3, nil)))
	g.refuse("body-of-another-realm", "sealed", fault.Malformed, w.signed(changed(w.request(nil), func(e *letter) {
		*e = filled(wire.Realm{1}, *e, bob+3)
	})))
	late("content-of-another-digest", "content", fault.Malformed, func(e *letter) { e.Digest = wire.Digest{1} })
}

func changedAt(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}

// misaddressed are honest envelopes that came to the wrong receiver, place, or question.
func (w envelopeWorld) misaddressed(g *group) {
	to := func(name, check string, change func(*letter)) {
		e := w.request(func(e *letter) {
			change(e)
			e.Subject = w.names.Request(e.To.Agent, bus.TokenOf(e.To.Instance), e.From)
			if e.To.Place == envelope.AtInbox {
				e.Subject = w.names.Mail(e.To.Agent, e.From)
			}
		})
		g.refuse(name, check, fault.Misaddressed, w.signed(e), knowing(w.context(func(c *setting) { c.Delivery.Subject = e.Subject })))
	}
	answer := func(name, check string, change func(*setting)) {
		g.refuse(name, check, fault.Misaddressed, w.signed(w.reply(nil)), knowing(w.context(w.answering, change)))
	}
	to("for-another-agent", "address-agent", func(e *letter) { e.To.Agent = agent(mallory) })
	to("for-another-process", "address-instance", func(e *letter) { e.To.Instance = wire.Digest{1} })
	to("for-an-inbox", "address-place", func(e *letter) { e.To.Place = envelope.AtInbox })
	g.refuse("for-another-topic", "address-topic", fault.Misaddressed, w.signed(w.event(nil)),
		knowing(w.context(w.onTopic, func(c *setting) { c.Delivery.Topic = "news.global" })))
	g.refuse("on-another-subject", "address-subject", fault.Misaddressed, w.signed(w.request(nil)), knowing(w.context(func(c *setting) {
		c.Delivery.Subject = w.names.Request(agent(bob), bus.TokenOf(w.process(bob)), agent(mallory))
	})))
	answer("in-another-exchange", "address-subject", func(c *setting) {
		c.Delivery.Subject = w.names.Reply(agent(bob), bus.TokenOf(w.process(bob)), agent(alice), bus.Token{2})
	})
	answer("reply-to-another-request", "address-request", func(c *setting) { *c.Delivery.InReplyTo = wire.Digest{10} })
	answer("reply-by-another", "address-answerer", func(c *setting) { *c.Delivery.ReplyFrom = agent(mallory) })

	elsewhere := wire.Realm{1}
	credential := w.credential(bob)
	mine := idOf(elsewhere, credential)
	e := w.request(func(e *letter) {
		e.To.Instance = mine
		e.Subject = w.names.Request(e.To.Agent, bus.TokenOf(mine), e.From)
	})
	g.refuse("receiver-of-another-realm", "receiver-realm", fault.WrongRealm, w.signed(e), knowing(w.context(func(c *setting) {
		c.Receiver.Realm, c.Receiver.Credential = elsewhere, signed(key(bob), elsewhere, credential)
		c.Delivery.Subject = e.Subject
	})))
}

// wrongSender are senders that are unknown, silenced or superseded.
func (w envelopeWorld) wrongSender(g *group) {
	request := w.signed(w.request(nil))
	then := func(name, check string, code fault.Code, change func(*trust.Ticket)) {
		newer := w.updates(alice, func(t *trust.Ticket) { t.Index++ }, change)
		g.refuse(name, check, code, request, knowing(w.context(func(c *setting) { c.Learned = append(c.Learned, newer) })))
	}
	g.refuse("unknown-sender", "sender-known", fault.Unknown, request, knowing(w.context(func(c *setting) { c.Learned = nil })))
	g.refuse("unknown-process", "process-known", fault.Unknown, request,
		knowing(w.context(func(c *setting) { c.Learned = []learned{w.updates(alice)} })))
	then("quarantined", "sender-status", fault.Quarantined, func(t *trust.Ticket) { t.Status = trust.Quarantined })
	then("revoked", "sender-status", fault.Revoked, func(t *trust.Ticket) { t.Status = trust.Revoked })
	then("superseded-key", "sender-key", fault.Superseded, func(t *trust.Ticket) { t.Key = key(9).Public() })
	then("superseded-epoch", "sender-epoch", fault.Superseded, func(t *trust.Ticket) { t.Epoch = 4 })
	then("level-0", "sender-level", fault.Quarantined, level(identity.Quarantined))
	ended := now + trust.MaxTicketLife + identity.Skew
	g.refuse("ticket-ended", "sender-ticket", fault.Expired, w.signed(w.request(func(e *letter) {
		e.Issued, e.Expires = ended, ended+minute
	})), at(ended))

	short := w.credential(alice, func(c *identity.Credential) { c.Expires = now + minute })
	late := now + 2*minute
	g.refuse("credential-ended", "sender-credential", fault.Expired, w.signed(w.request(func(e *letter) {
		e.Credential, e.Issued, e.Expires = idOf(w.realm, short), late, late+minute
	})), at(late), knowing(w.context(func(c *setting) { c.Learned[0].Credential = signed(key(alice), w.realm, short) })))
}

// forged are envelopes whose time or signature does not hold.
func (w envelopeWorld) forged(g *group) {
	request := w.request(nil)
	body, head := encode(request), header(wire.Envelope)
	g.refuse("expired-an-hour-ago", "expired", fault.Expired, w.signed(w.request(func(e *letter) {
		e.Issued, e.Expires = now-hour-minute, now-hour
	})))
	g.refuse("not-yet-for-an-hour", "not-yet", fault.NotYet, w.signed(w.request(func(e *letter) {
		e.Issued, e.Expires = now+hour, now+hour+minute
	})))
	g.refuse("expired", "expired", fault.Expired, w.signed(request), at(now+minute+identity.Skew))
	g.refuse("not-yet", "not-yet", fault.NotYet, w.signed(w.request(func(e *letter) {
		e.Issued, e.Expires = now+identity.Skew+1, now+minute
	})))
	g.refuse("signature-flipped", "signature", fault.BadSignature,
		sign1(head, none, body, flipped(signature(key(alice+2), sigStructure(wire.Envelope, w.realm, head, body)))))
	g.refuse("signed-by-another", "signature", fault.BadSignature, signed(key(mallory+2), w.realm, request))
	g.refuse("signed-by-identity-key", "signature", fault.BadSignature, signed(key(alice), w.realm, request))
	g.refuse("signed-by-connect-key", "signature", fault.BadSignature, signed(key(alice+1), w.realm, request))
	g.refuse("signed-in-another-realm", "signature", fault.BadSignature, signed(key(alice+2), wire.Realm{1}, request))
	g.refuse("signed-as-batch", "signature", fault.BadSignature,
		sign1(head, none, body, signature(key(alice+2), sigStructure(wire.Batch, w.realm, head, body))))
}

// unauthorised are envelopes on a subject that is not theirs, or that the sender's level may not send.
func (w envelopeWorld) unauthorised(g *group) {
	on := func(name string, e letter, from func(*setting)) {
		g.refuse(name, "subject-form", fault.Malformed, w.signed(e), knowing(w.context(from, func(c *setting) { c.Delivery.Subject = e.Subject })))
	}
	nothing := func(*setting) {}
	on("request-on-mail-subject", w.request(func(e *letter) { e.Subject = w.names.Mail(e.To.Agent, e.From) }), nothing)
	on("request-as-another", w.request(func(e *letter) {
		e.Subject = w.names.Request(e.To.Agent, bus.TokenOf(e.To.Instance), agent(mallory))
	}), nothing)
	on("mail-on-request-subject", w.letter(func(e *letter) { e.Subject = w.request(nil).Subject }), w.toInbox)
	on("event-on-another-topic", w.event(func(e *letter) { e.Subject += ".global" }), w.onTopic)
	on("reply-on-request-subject", w.reply(func(e *letter) { e.Subject = w.request(nil).Subject }), w.answering)
	on("reply-without-exchange", w.reply(func(e *letter) {
		e.Subject = strings.TrimSuffix(e.Subject, bus.Token{1}.String()) + "x"
	}), w.answering)

	may := func(name, check string, l identity.Level, e letter, place func(*setting)) {
		g.refuse(name, check, fault.Denied, w.signed(e), knowing(w.context(place, func(c *setting) {
			c.Learned = []learned{w.learns(alice, level(l))}
		})))
	}
	may("level-that-does-not-call", "rights-call", identity.Observer, w.request(nil), nothing)
	may("level-that-does-not-mail", "rights-call", identity.Observer, w.letter(nil), w.toInbox)
	may("level-that-does-not-read", "rights-subscribe", identity.Apprentice, w.request(func(e *letter) { e.Purpose = envelope.Join }), nothing)
	may("level-that-does-not-answer", "rights-serve", identity.Apprentice, w.reply(nil), w.answering)
	may("topic-not-allowed", "rights-publish", identity.Observer, w.event(nil), w.onTopic)
	g.refuse("plain-on-another-topic", "plain-topic", fault.Denied,
		w.signed(filled(w.realm, w.told(closed, nil), 0)), knowing(w.context(w.onClosed)))
}

// replayed are envelopes whose counter is not new, and streams that nobody can remember.
func (w envelopeWorld) replayed(g *group) {
	counter := func(n uint64) []byte { return w.signed(w.request(func(e *letter) { e.Counter = n })) }
	after := func(name, check string, n uint64, before ...uint64) {
		g.refuse(name, check, fault.Replayed, counter(n), knowing(w.context(func(c *setting) {
			for _, b := range before {
				c.Before = append(c.Before, counter(b))
			}
		})))
	}
	after("replayed", "counter-used", 1, 1)
	after("replayed-later", "counter-used", 3, 3, 4, 900)
	after("counter-too-old", "counter-old", 1, 2+replay.Size)
	after("counter-too-far", "counter-far", 1+replay.MaxJump)
	g.refuse("counter-before-the-join", "counter-first", fault.Replayed, w.signed(w.event(func(e *letter) { e.Counter = 4 })),
		knowing(w.context(w.onTopic, func(c *setting) { c.Joined[0].First = 5 })))
	g.refuse("topic-not-joined", "topic-joined", fault.Unknown, w.signed(w.event(nil)),
		knowing(w.context(w.onTopic, func(c *setting) { c.Joined = nil })))
	g.refuse("no-room", "windows-full", fault.WindowFull, w.signed(w.request(nil)), knowing(w.context(func(c *setting) {
		c.Windows = 1
		c.Joined = []joinedTopic{{w.process(mallory), topic, 1}}
	})))
}
