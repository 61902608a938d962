package envelope

import (
	"crypto/hpke"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Sender is who the sender of an envelope is now, by verified statements. The zero value is nobody and is refused.
type Sender struct {
	Credential wire.Verified[identity.Credential] // signed by the principal's current identity key
	Name       string                             // by the ticket
	Operator   identity.ID                        // who answers for it, by the ticket
	Level      identity.Level                     // by the ticket
}

// Authority says who a sender is now and what it may do. It must be safe for concurrent use.
type Authority interface {
	// Sender returns the verified credential and the facts of the ticket that is current at now (Unix milliseconds).
	//
	// It answers for the credential's signature by the principal's current identity key, the succession to that key,
	// the epoch, the ticket's signatures and time, and the status; it does not refuse a credential for its own time,
	// which [Open] judges, because mail may outlive its sender's credential. Its errors carry a code, among them
	// unknown, quarantined, revoked, superseded, expired.
	Sender(from identity.ID, credential wire.Digest, now int64) (Sender, error)

	// Authorise refuses, with a coded error, envelopes that the sender's rights at its level do not allow, and those
	// whose subject does not belong to their purpose, sender and destination.
	Authorise(s Sender, e Envelope) error
}

// Inbound is the receiver's own word on one delivery: nothing in it may come from the message. What is delivered is
// accepted for one destination: the topic if Topic is set, else the inbox if Inbox is set, else the process.
type Inbound struct {
	Realm     wire.Realm
	Process   *identity.Process // who receives
	Inbox     wire.Digest       // for mail: the id of the receiver's inbox
	InboxKey  hpke.PrivateKey   // for mail: of the inbox's epoch
	Topic     string            // for what a topic's subscription delivers
	Subject   string            // on which it was delivered
	InReplyTo wire.Digest       // of the request whose reply is expected; zero if none is
	ReplyFrom identity.ID       // who was asked
	Limit     int               // bytes of what was delivered; 0 stands for DefaultLimit
}

// destination returns the one that an accepted envelope must name.
func (in Inbound) destination() Destination {
	switch {
	case in.Topic != "":
		return ToTopic(in.Topic)
	case !in.Inbox.IsZero():
		return ToInbox(in.Process.Principal(), in.Inbox)
	}
	return ToProcess(in.Process.Principal(), in.Process.Credential().ID())
}

// key returns what opens sealed bodies for the destination.
func (in Inbound) key() hpke.PrivateKey {
	if !in.Inbox.IsZero() {
		return in.InboxKey
	}
	return in.Process.Sealing()
}

// From is a verified sender.
type From struct {
	ID       identity.ID
	Name     string         // by its ticket
	Operator identity.ID    // who answers for it
	Level    identity.Level // when the message was opened
}

// Message is an envelope that passed every check. Only [Open], [OpenMember] and [OpenAny] make one. It does not
// change and is safe for concurrent use; the caller must not change the slices that it returns.
type Message struct {
	id       wire.Digest
	from     From
	envelope Envelope
	salted   []byte
	evidence func() []byte
}

// ID returns the envelope's name: what a reply to it names, and what is the same however it was carried.
func (m *Message) ID() wire.Digest { return m.id }

// From returns who sent it.
func (m *Message) From() From { return m.from }

// Process returns the id of the sender's credential, which names its process.
func (m *Message) Process() wire.Digest { return m.envelope.Credential }

// Envelope returns what was signed.
func (m *Message) Envelope() Envelope { return m.envelope }

// Subject returns the subject on which it was published and delivered.
func (m *Message) Subject() string { return m.envelope.Subject }

// Purpose returns what it is for.
func (m *Message) Purpose() Purpose { return m.envelope.Purpose }

// Content returns the content, decrypted.
func (m *Message) Content() []byte { return m.salted[saltSize:] }

// Salt returns the salt that, before the content, gives the signed digest.
func (m *Message) Salt() []byte { return m.salted[:saltSize] }

// Raw returns the signed form for evidence: what was opened, or, for a message that came in a frame, its member form.
// [Attest] checks either.
func (m *Message) Raw() []byte { return m.evidence() }
