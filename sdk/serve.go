package sdk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Delivery is one verified request or message, as bytes.
type Delivery struct {
	ID         Digest // names the envelope, however it was carried
	From       Peer   // verified
	Capability string // of a request
	Topic      string // of a message
	Content    []byte // the handler may keep it
	Evidence   []byte // the signed envelope: shows to anybody who said this
}

// HandlerFunc handles one delivery. The bytes and the error's code and text go back to the caller of a request; both
// are dropped for a topic's message. ctx ends when the agent closes, and with the request's life.
type HandlerFunc func(ctx context.Context, d *Delivery) ([]byte, error)

// Middleware wraps handlers. The first one given is the outermost.
type Middleware func(HandlerFunc) HandlerFunc

// HandleOption describes a capability.
type HandleOption func(*discovery.Capability)

// Describe says in the agent's card what the capability does, in the agent's own words.
func Describe(text string) HandleOption {
	return func(c *discovery.Capability) { c.Description = text }
}

// Use puts middleware around every handler registered afterwards.
func (a *Agent) Use(mw ...Middleware) { a.service.use(mw) }

// HandleBytes serves a capability: it registers the handler, publishes the agent's card and announces the process.
// When it returns, others can find and call it. Errors: invalid name, one that is served already, denied where the
// agent was not granted the capability.
func (a *Agent) HandleBytes(capability string, h HandlerFunc, opts ...HandleOption) error {
	return a.service.handle(discovery.Capability{Name: capability}, h, opts)
}

// requestContent is what a request carries, encrypted.
type requestContent struct {
	Capability string `cbor:"1,keyasint"`
	Body       []byte `cbor:"2,keyasint"`
}

// faultContent is what a fault carries, encrypted.
type faultContent struct {
	Code    fault.Code `cbor:"1,keyasint"`
	Message string     `cbor:"2,keyasint,omitempty"`
}

// onRequest takes one request from the bus. Verification and handling run apart, so that one slow sender or handler
// holds nobody up.
func (s *session) onRequest(subject string, data []byte) {
	if !s.agent.crew.spawn(func() { s.receive(subject, data) }) {
		s.agent.link.options.logger.Warn("request dropped", "error", errBusy)
	}
}

func (s *session) receive(subject string, data []byte) {
	ctx, cancel := context.WithTimeout(s.agent.crew.ctx, liveTime*time.Millisecond)
	defer cancel()
	m, err := s.open(ctx, data, envelope.Inbound{Subject: subject})
	if err != nil {
		s.agent.link.options.logger.Warn("request refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	var body []byte
	switch m.Purpose() {
	case envelope.Request:
		body, err = s.agent.service.serve(ctx, m)
	case envelope.Join:
		body, err = s.joined(m)
	default:
		return // a reply on the request subject: authorised nowhere
	}
	if err := s.answer(ctx, m, body, err); err != nil {
		s.agent.link.options.logger.Warn("reply not sent", "error", err)
	}
}

// joined answers a join: the next counter on the topic, if the reader's level reads it.
func (s *session) joined(m *envelope.Message) ([]byte, error) {
	var j joinContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return nil, err
	}
	a := s.agent
	if !a.service.publishes(j.Topic) {
		return nil, fmt.Errorf("%w: topic %.128q", ErrNoResponder, j.Topic)
	}
	if !identity.MatchCapability(a.link.rights(m.From().Level).Subscribe, j.Topic) {
		return nil, fmt.Errorf("%w: %s does not read %s", bus.ErrDenied, m.From().Level, j.Topic)
	}
	s.mu.Lock()
	first := s.counters.First(envelope.ToTopic(j.Topic))
	s.mu.Unlock()
	return wire.Encode(joinedContent{First: first})
}

func peerOf(f envelope.From) Peer {
	return Peer{ID: f.ID, Name: f.Name, Operator: f.Operator, Level: f.Level, Status: "active"}
}

// maxFault bounds a fault's text, in bytes.
const maxFault = 1024

// answer sends the reply or fault to a request, bound to its id.
func (s *session) answer(ctx context.Context, m *envelope.Message, body []byte, failure error) error {
	content, purpose := body, envelope.Reply
	if failure != nil {
		f := faultContent{Code: fault.CodeOf(failure), Message: failure.Error()}
		if f.Code == fault.Internal {
			f.Code = fault.HandlerFailed
		}
		f.Message = strings.ToValidUTF8(f.Message[:min(len(f.Message), maxFault)], "")
		var err error
		if content, err = wire.Encode(f); err != nil {
			return err
		}
		purpose = envelope.Fault
	}
	to := envelope.ToProcess(m.From().ID, m.Process())
	key, err := s.agent.circle.sealingKey(ctx, m.From().ID, m.Process())
	if err != nil {
		return err
	}
	_, err = s.send(ctx, envelope.Draft{
		To: to, Purpose: purpose, InReplyTo: m.ID(), Content: content,
		Subject: s.subject.Reply(m.From().ID, bus.TokenOf(m.Process()), s.agent.ID(), bus.TokenOf(m.ID())),
	}, key)
	return err
}
