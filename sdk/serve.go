package sdk

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Delivery is one verified request or message, as bytes.
type Delivery struct {
	From       Peer   // verified
	Capability string // of a request
	Topic      string // of a message
	Content    []byte // the handler may keep it, and must not change it
	Trace      string // W3C traceparent that the sender gave, or ""

	message *envelope.Message
}

// ID names the envelope, however it was carried. It is computed at each call; zero of a Delivery that was not received.
func (d *Delivery) ID() Digest {
	if d.message == nil {
		return Digest{}
	}
	return d.message.ID()
}

// Evidence returns the signed envelope, which shows to anybody who said this. It may be made at each call; nil of a
// Delivery that was not received.
func (d *Delivery) Evidence() []byte {
	if d.message == nil {
		return nil
	}
	return d.message.Raw()
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
func HandleBytes(a *Agent, capability string, h HandlerFunc, opts ...HandleOption) error {
	return a.service.handle(discovery.Capability{Name: capability}, h, opts)
}

// requestContent is what a request carries, encrypted.
type requestContent struct {
	Capability string `cbor:"1,keyasint"`
	Body       []byte `cbor:"2,keyasint"`

	Window windowContent `cbor:"3,keyasint,omitzero"` // of who wants a stream
}

// faultContent is what a fault carries, encrypted.
type faultContent struct {
	Code    fault.Code `cbor:"1,keyasint"`
	Message string     `cbor:"2,keyasint,omitempty"`
	// Unhandled says that the request was not handled, for sure, and why; see unknownSession.
	Unhandled uint64 `cbor:"3,keyasint,omitempty"`
	Sequence  uint64 `cbor:"4,keyasint,omitempty"` // items of a stream before it
}

// onRequest takes one request from the bus. Verification and handling run apart, so that one slow sender or handler
// holds nobody up.
func (s *session) onRequest(subject string, data []byte) {
	crew := s.agent.crew
	if crew.spawn(func() { planted.Deliver(func() { s.receive(subject, data, s.serve) }) }) {
		return
	}
	if !crew.closing() || !crew.chore(func() { s.receive(subject, data, s.turnAway) }) {
		s.agent.link.options.logger.Warn("request dropped", "error", errBusy)
	}
}

// receive verifies one delivery of requests.
func (s *session) receive(subject string, data []byte, fn func(ctx context.Context, m *envelope.Message)) {
	ctx, cancel := context.WithTimeout(s.agent.crew.ctx, liveTime*time.Millisecond)
	defer cancel()
	opened, err := s.open(ctx, data, envelope.Inbound{Subject: subject, Keys: s.keys})
	if err != nil {
		s.refused(err)
		s.disown(ctx, err)
		return
	}
	for _, o := range opened {
		if o.Err != nil {
			s.refused(o.Err)
			continue
		}
		s.understand(o.Message)
		if !steered(ctx, s, o.Message) {
			fn(ctx, o.Message)
		}
	}
}

func (s *session) refused(err error) {
	s.agent.link.options.logger.Warn("request refused", "code", string(fault.CodeOf(err)), "error", err)
}

// understand remembers the session that a request opens.
func (s *session) understand(m *envelope.Message) {
	key := m.Session()
	if key == nil {
		return
	}
	now := s.agent.link.now()
	if sender, err := s.agent.circle.peers.Sender(m.From().ID, m.Process(), now); err == nil {
		s.keys.keep(key, sender.Credential.Statement().Expires)
	}
}

// serve handles a request or join.
func (s *session) serve(ctx context.Context, m *envelope.Message) {
	ctx, cancel := handlingContext(ctx, s, m)
	defer cancel()
	var body []byte
	var err error
	switch m.Purpose() {
	case envelope.Request:
		body, err = s.agent.service.serve(ctx, m)
	case envelope.Join:
		body, err = s.publishing.joined(m)
	default:
		return // a reply on the request subject: authorised nowhere
	}
	s.reply(ctx, m, body, err)
}

// turnAway answers a request that comes while the agent closes.
func (s *session) turnAway(ctx context.Context, m *envelope.Message) {
	if !m.Purpose().Answers() {
		s.reply(ctx, m, nil, &unhandled{why: processEnding, err: ErrNoResponder})
	}
}

func peerOf(f envelope.From) Peer {
	return Peer{ID: f.ID, Name: f.Name, Operator: f.Operator, Level: f.Level, Status: "active"}
}

// maxFault bounds a fault's text, in bytes.
const maxFault = 1024

// asked is what an answer has to name of a request.
type asked struct {
	from    identity.ID
	process wire.Digest
	id      wire.Digest
	session *envelope.Key // that the answer goes under; nil: sealed to the process
	trace   string
}

// reply answers a verified request.
func (s *session) reply(ctx context.Context, m *envelope.Message, body []byte, failure error) {
	s.answer(ctx, askedBy(s, m), body, failure)
}

// askedBy returns what answers to a verified request have to name.
func askedBy(s *session, m *envelope.Message) asked {
	e := m.Envelope()
	q := asked{from: m.From().ID, process: m.Process(), id: m.ID(), session: m.Session(), trace: e.Trace}
	if e.Encryption == envelope.Session {
		q.session = s.keys.Key(e.Key)
	}
	return q
}

// disown answers a request that cannot be read because its session is not known here, so that it is sent again. err is
// what it was refused with. The request's counter is used up first: one that was accepted before, when the session was
// still known, is not disowned, and one that is disowned is never accepted.
func (s *session) disown(ctx context.Context, err error) {
	var u *envelope.UnknownKey
	if !errors.As(err, &u) || u.Envelope.Purpose.Answers() ||
		!s.agent.circle.disowned.admit(u.Envelope.From, s.agent.link.now()) ||
		u.Spend(s.agent.circle.windows, s.agent.link.now()) != nil {
		return
	}
	q := asked{from: u.Envelope.From, process: u.Envelope.Credential, id: u.ID}
	s.answer(ctx, q, nil, &unhandled{why: unknownSession, err: envelope.ErrNoKey})
}

// answer sends the reply or fault to a request, bound to its id.
func (s *session) answer(ctx context.Context, q asked, body []byte, failure error) {
	content, purpose := body, envelope.Reply
	var err error
	if failure != nil {
		purpose = envelope.Fault
		content, err = encodeFault(failure)
	}
	if err == nil {
		err = s.send(ctx, q, purpose, content)
	}
	if err != nil {
		s.agent.link.options.logger.Warn("reply not sent", "error", err)
	}
}

func encodeFault(failure error) ([]byte, error) {
	f := faultContent{Code: fault.CodeOf(failure), Message: failure.Error()}
	if f.Code == fault.Internal {
		f.Code = fault.HandlerFailed
	}
	f.Sequence = sequenceOf(failure)
	f.Message = strings.ToValidUTF8(f.Message[:min(len(f.Message), maxFault)], "")
	if u, ok := failure.(*unhandled); ok { // not from a handler, whose errors may wrap such
		f.Unhandled = u.why
	}
	return wire.Encode(f)
}

func (s *session) send(ctx context.Context, q asked, purpose envelope.Purpose, content []byte) error {
	r, err := q.back(ctx, s, purpose)
	if err != nil {
		return err
	}
	l, stands := newLot(r), s.up.next()
	l.put(envelope.Member{Content: content, Trace: q.trace})
	l.lost = func(err error) bool { return s.again(err, stands, q, purpose, content) }
	return s.egress.send(ctx, l)
}

// again sends an answer once more that has not left, or is in doubt, because the connection went down: as soon as it
// stands again, if that is in the life that a request has. Whoever waits takes the first that comes. It reports whether
// it will.
func (s *session) again(err error, stands <-chan struct{}, q asked, purpose envelope.Purpose, content []byte) bool {
	if !errors.Is(err, bus.ErrUnreachable) {
		return false
	}
	crew := s.agent.crew
	return crew.chore(func() {
		ctx, cancel := context.WithTimeout(crew.ctx, liveTime*time.Millisecond)
		defer cancel()
		select {
		case <-stands:
			if err = s.send(ctx, q, purpose, content); err == nil {
				return
			}
		case <-s.conn.Done():
		case <-ctx.Done():
		}
		s.agent.link.options.logger.Warn("reply not sent", "error", err)
	})
}

// back is the way of answers.
func (q asked) back(ctx context.Context, s *session, purpose envelope.Purpose) (*route, error) {
	protection := envelope.Under(q.session)
	if q.session == nil {
		key, err := s.agent.circle.sealingKey(ctx, q.from, q.process)
		if err != nil {
			return nil, err
		}
		protection = envelope.SealedTo(key)
	}
	return &route{
		to: envelope.ToProcess(q.from, q.process), purpose: purpose, inReplyTo: q.id,
		subject: s.spelling.of(q.from, q.process).reply + bus.TokenOf(q.id).String(),
		protect: func(int64) (envelope.Protection, error) { return protection, nil }, limit: frameBytes,
	}, nil
}
