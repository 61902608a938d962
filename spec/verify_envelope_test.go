package spec_test

import (
	"crypto/hpke"
	"reflect"
	"unsafe"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// envelopeContext is what a receiver knows, and its own word on the delivery.
type envelopeContext struct {
	Genesis  hexBytes        `json:"genesis"`
	Policy   hexBytes        `json:"policy"` // encoded: what each level may do
	Learned  []learned       `json:"learned"`
	Receiver receiverContext `json:"receiver"`
	Delivery delivery        `json:"delivery"`
	// Keys that the receiver has, besides those of the sessions that Before opens.
	Sessions   []sessionKey  `json:"sessions,omitempty"`
	SenderKeys []hexBytes    `json:"sender_keys,omitempty"` // secrets, 32 bytes each
	Joined     []joinedTopic `json:"joined,omitempty"`
	Before     []hexBytes    `json:"before,omitempty"` // delivered and accepted before the input
	Windows    int           `json:"windows"`          // how many streams the receiver can remember
}

// learned is what the receiver was told of senders, in this order.
type learned struct {
	At         int64    `json:"at"`                   // the receiver's clock then
	Ticket     hexBytes `json:"ticket"`               // replaces an older one of the same principal
	Credential hexBytes `json:"credential,omitempty"` // one of its processes
}

// receiverContext is the process that opens, with what it decrypts with.
type receiverContext struct {
	Realm      wire.Realm   `json:"realm"`
	Key        hexBytes     `json:"key"` // its principal's identity key
	Credential hexBytes     `json:"credential"`
	Sealing    hexBytes     `json:"sealing"`                 // private key, 32 bytes
	Inbox      *wire.Digest `json:"inbox,omitempty"`         // delivered to: this inbox, not the process
	InboxKey   hexBytes     `json:"inbox_sealing,omitempty"` // its private key
}

type delivery struct {
	Subject   string       `json:"subject"`
	Topic     string       `json:"topic,omitempty"`       // delivered to: this topic, not the process
	InReplyTo *wire.Digest `json:"in_reply_to,omitempty"` // the request whose reply is expected
	ReplyFrom *identity.ID `json:"reply_from,omitempty"`  // who was asked
}

// sessionKey is the secret of a session.
type sessionKey struct {
	ID     wire.Digest `json:"id"`     // of the envelope that opened it
	Opener wire.Digest `json:"opener"` // the credential of that envelope's sender
	Other  wire.Digest `json:"other"`  // the credential of its recipient
	Secret hexBytes    `json:"secret"` // 32 bytes
}

// joinedTopic is the first counter that a sender's process gave for a topic.
type joinedTopic struct {
	Credential wire.Digest `json:"credential"`
	Topic      string      `json:"topic"`
	First      uint64      `json:"first"`
}

// verifyEnvelope opens the input as a process does that was delivered it, in whichever form it has. Of a frame, every
// member must be accepted.
func verifyEnvelope(v vector, raw []byte) error {
	c, err := contextOf[envelopeContext](v)
	if err != nil {
		return err
	}
	peers, err := c.peers(v.Realm)
	if err != nil {
		return err
	}
	in, err := c.inbound(v)
	if err != nil {
		return err
	}
	keys, err := c.keys()
	if err != nil {
		return err
	}
	in.Keys, in.Roots = keys, envelope.NewRoots(8)
	windows := &windowsOf{live: envelope.NewLiveWindows(c.Windows), mail: map[wire.Digest]bool{}}
	for _, j := range c.Joined {
		stream := envelope.Stream{Credential: j.Credential, To: envelope.ToTopic(j.Topic)}
		if err := windows.live.Join(identity.ID{}, stream, j.First, v.Now+hour, v.Now); err != nil {
			return err
		}
	}
	for _, b := range append(plain(c.Before), raw) {
		if err := openAll(b, in, peers, windows, v.Now, keys); err != nil {
			return err
		}
	}
	return nil
}

// openAll opens a delivery and keeps the keys of the sessions that it opens. The error is the first refusal.
func openAll(raw []byte, in envelope.Inbound, a envelope.Authority, w envelope.Windows, now int64, keys keysByID) error {
	opened, err := envelope.OpenAny(raw, in, a, w, now)
	for _, o := range opened {
		if err == nil {
			err = o.Err
		}
		if o.Message != nil && o.Message.Session() != nil {
			keys[o.Message.Session().ID()] = o.Message.Session()
		}
	}
	return err
}

// keysByID are the keys that the receiver knows.
type keysByID map[wire.Digest]*envelope.Key

func (k keysByID) Key(id wire.Digest) *envelope.Key { return k[id] }

func (c envelopeContext) keys() (keysByID, error) {
	all := keysByID{}
	for _, secret := range c.SenderKeys {
		key, err := envelope.ParseSenderKey(secret)
		if err != nil {
			return nil, err
		}
		all[key.ID()] = key
	}
	for _, s := range c.Sessions {
		all[s.ID] = s.key()
	}
	return all, nil
}

// key puts the secret of a vector into a session's key. The product makes such keys by HPKE only, so this reaches for
// the fields that opening reads.
func (s sessionKey) key() *envelope.Key {
	k := new(envelope.Key)
	put(k, "id", s.ID)
	put(k, "encryption", envelope.Session)
	put(k, "ends", [2]wire.Digest{s.Opener, s.Other})
	put(k, "secret", func() []byte { return s.Secret })
	return k
}

// peers learns, as a process does, who the senders are.
func (c envelopeContext) peers(realm wire.Realm) (*bus.Peers, error) {
	rules, err := policy.Parse(c.Policy)
	if err != nil {
		return nil, err
	}
	peers := bus.NewPeers(realm, 16, rules.Rights, rules.PlainTopic)
	for _, l := range c.Learned {
		a, err := chainContext{Genesis: c.Genesis}.authority(realm)
		if err != nil {
			return nil, err
		}
		ticket, err := trust.VerifyTicket(l.Ticket, a, l.At)
		if err != nil {
			return nil, err
		}
		if l.Credential == nil {
			err = peers.Learn(ticket, l.At)
		} else {
			err = peers.Add(l.Credential, ticket, l.At)
		}
		if err != nil {
			return nil, err
		}
	}
	return peers, nil
}

func (c envelopeContext) inbound(v vector) (envelope.Inbound, error) {
	in := envelope.Inbound{Realm: v.Realm, Subject: c.Delivery.Subject, Topic: c.Delivery.Topic}
	if c.Delivery.InReplyTo != nil {
		in.InReplyTo = *c.Delivery.InReplyTo
	}
	if c.Delivery.ReplyFrom != nil {
		in.ReplyFrom = *c.Delivery.ReplyFrom
	}
	var err error
	if c.Receiver.Inbox != nil {
		in.Inbox = *c.Receiver.Inbox
		if in.InboxKey, err = identity.SealingKEM().NewPrivateKey(c.Receiver.InboxKey); err != nil {
			return in, err
		}
	}
	in.Process, err = c.Receiver.process(v.Now)
	return in, err
}

// process puts the keys of a vector into a process. The product makes processes with fresh keys only, so this reaches
// for the fields that opening reads.
func (r receiverContext) process(now int64) (*identity.Process, error) {
	credential, err := identity.VerifyCredential(r.Credential, r.Realm, wire.PublicKey(r.Key), now)
	if err != nil {
		return nil, err
	}
	sealing, err := identity.SealingKEM().NewPrivateKey(r.Sealing)
	if err != nil {
		return nil, err
	}
	var p identity.Process
	put(&p, "realm", r.Realm)
	put(&p, "principal", credential.Statement().Principal)
	put[hpke.PrivateKey](&p, "sealing", sealing)
	put(&p, "credential", credential)
	return &p, nil
}

func put[T, S any](p *S, field string, value T) {
	f := reflect.ValueOf(p).Elem().FieldByName(field)
	if f.Type() != reflect.TypeFor[T]() {
		panic(field + " has another type")
	}
	*(*T)(unsafe.Pointer(f.UnsafeAddr())) = value
}

// windowsOf are a process's live windows, and a memory of mail.
type windowsOf struct {
	live *envelope.LiveWindows
	mail map[wire.Digest]bool
}

func (w *windowsOf) Commit(uses envelope.Uses, verdicts []error, now int64) {
	if uses.Stream.To.Place != envelope.AtInbox {
		w.live.Commit(uses, verdicts, now)
		return
	}
	if w.mail[uses.ID] {
		verdicts[0] = envelope.ErrReplayed
	}
	w.mail[uses.ID] = true
}
