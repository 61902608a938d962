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
	// whose subject does not belong to their purpose, sender and destination. It is asked once for all envelopes of a
	// frame, so it is given only what they share, with the first one's counter: no content type, trace or body.
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
	Keys      Keys              // of sessions and topics; nil knows none
	Roots     *Roots            // heads of batches that were verified before; nil remembers none
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
	Level    identity.Level // when the message was opened: at Commit
}

func fromOf(e *Envelope, s Sender) From {
	return From{ID: e.From, Name: s.Name, Operator: s.Operator, Level: s.Level}
}

// delivered is what the messages of one delivery share.
type delivered struct {
	form    form
	realm   wire.Realm
	from    From
	session *Key
}

// Message is an envelope that passed every check. Only [Open], [OpenMember], [OpenAny] and [Checked.Commit] make one.
// It does not change and is safe for concurrent use; the caller must not change the slices that it returns. The messages
// of one frame keep the whole frame in memory.
type Message struct {
	delivered *delivered
	index     int
	body      []byte // the content, after its salt unless Plain
}

// ID returns the envelope's name: what a reply to it names, and what is the same however it was carried. Of a message
// that came in a frame it is computed at each call.
func (m *Message) ID() wire.Digest { return m.delivered.form.id(m.delivered.realm, m.index) }

// From returns who sent it.
func (m *Message) From() From { return m.delivered.from }

// Process returns the id of the sender's credential, which names its process.
func (m *Message) Process() wire.Digest { return m.delivered.form.first().Credential }

// Envelope returns what was signed.
func (m *Message) Envelope() Envelope { return envelopeAt(m.delivered.form, m.index) }

// Subject returns the subject on which it was published and delivered.
func (m *Message) Subject() string { return m.delivered.form.first().Subject }

// Purpose returns what it is for.
func (m *Message) Purpose() Purpose { return m.delivered.form.first().Purpose }

// Trace returns the W3C traceparent that the sender gave, or "".
func (m *Message) Trace() string { return m.delivered.form.part(m.index).trace }

// Content returns the content, decrypted.
func (m *Message) Content() []byte { return m.body[m.saltSize():] }

// Salt returns the salt that, before the content, gives the signed digest. It is empty if the content itself was signed.
func (m *Message) Salt() []byte { return m.body[:m.saltSize()] }

func (m *Message) saltSize() int {
	if m.delivered.form.first().Encryption == Plain {
		return 0
	}
	return saltSize
}

// Session returns the session that a Sealed envelope to this process opened, for replies and what follows; nil for
// others.
func (m *Message) Session() *Key { return m.delivered.session }

// Raw returns the signed form for evidence: what was opened, or, for a message that came in a frame, its member form,
// which is made at each call and may be some hundred bytes longer than the frame was. [Attest] checks either.
func (m *Message) Raw() []byte { return m.delivered.form.evidence(m.index) }
