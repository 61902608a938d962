package sdk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
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

// Use puts middleware around every handler registered afterwards.
func (a *Agent) Use(mw ...Middleware) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.middleware = append(a.middleware, mw...)
}

func (a *Agent) wrap(h HandlerFunc) HandlerFunc {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, mw := range slices.Backward(a.middleware) {
		h = mw(h)
	}
	return h
}

// served is one capability with its handler.
type served struct {
	card    discovery.Capability
	handler HandlerFunc
}

// HandleOption describes a capability.
type HandleOption func(*discovery.Capability)

// Describe says in the agent's card what the capability does, in the agent's own words.
func Describe(text string) HandleOption {
	return func(c *discovery.Capability) { c.Description = text }
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

// HandleBytes serves a capability: it registers the handler, publishes the agent's card and announces the process.
// When it returns, others can find and call it. Errors: invalid name, one that is served already, denied where the
// agent was not granted the capability.
func (a *Agent) HandleBytes(capability string, h HandlerFunc, opts ...HandleOption) error {
	return a.handle(discovery.Capability{Name: capability}, h, opts)
}

func (a *Agent) handle(card discovery.Capability, h HandlerFunc, opts []HandleOption) error {
	if err := identity.CheckCapability(card.Name); err != nil {
		return err
	}
	for _, opt := range opts {
		opt(&card)
	}
	wrapped := a.wrap(h)
	a.mu.Lock()
	if _, twice := a.capability[card.Name]; twice {
		a.mu.Unlock()
		return Errorf(fault.Usage, "sdk: %s is served by this agent already", card.Name)
	}
	a.capability[card.Name] = &served{card: card, handler: wrapped}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	err := a.publishCard(ctx)
	if err == nil {
		err = a.announce(ctx)
	}
	if err != nil {
		a.mu.Lock()
		delete(a.capability, card.Name)
		a.mu.Unlock()
	}
	return err
}

// capabilities returns what is served, sorted by name.
func (a *Agent) capabilities() []discovery.Capability {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]discovery.Capability, 0, len(a.capability))
	for _, s := range a.capability {
		list = append(list, s.card)
	}
	slices.SortFunc(list, func(x, y discovery.Capability) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// publishCard puts the agent's card into the registry, unless the one there says the same.
func (a *Agent) publishCard(ctx context.Context) error {
	if err := a.cards.enter(ctx); err != nil {
		return err
	}
	defer a.cards.leave()
	list := a.capabilities()
	var p control.Principal
	if err := a.ask(ctx, control.OpWho, control.Who{ID: a.ID()}, &p); err != nil {
		return err
	}
	sequence := uint64(1)
	if len(p.Card) > 0 {
		_, card, err := verifyPrincipal(p, *a.lore.Load(), a.now())
		if err != nil {
			return err
		}
		if !card.IsZero() {
			if slices.Equal(card.Statement().Capabilities, list) {
				return nil
			}
			sequence = card.Statement().Sequence + 1
		}
	}
	raw, err := a.known.Signer.Sign(a.realm, discovery.Card{
		Version: 1, Agent: a.ID(), Sequence: sequence, Capabilities: list, Issued: a.now(),
	})
	if err != nil {
		return err
	}
	_, err = command[registry.Change](ctx, a, registry.TypeCard, registry.PutCard{Card: raw})
	return err
}

// announce signs a presence of the session in use and hands it to the node.
func (a *Agent) announce(ctx context.Context) error { return a.current().announce(ctx) }

// present announces the process once a connection, so that whoever it asks can find the key to seal the reply with.
func (s *session) present(ctx context.Context) error {
	if s.announced.Load() {
		return nil
	}
	if err := s.announcing.enter(ctx); err != nil {
		return err
	}
	defer s.announcing.leave()
	if s.announced.Load() {
		return nil
	}
	return s.announceNext(ctx)
}

func (s *session) announce(ctx context.Context) error {
	if err := s.announcing.enter(ctx); err != nil {
		return err
	}
	defer s.announcing.leave()
	return s.announceNext(ctx)
}

// announceNext hands in the next presence. The caller has entered s.announcing.
func (s *session) announceNext(ctx context.Context) error {
	a := s.agent
	p := discovery.Presence{
		Version: 1, Principal: a.ID(), Credential: s.process.Credential().ID(), Sealing: s.process.SealingKey(),
		Issued: a.now(),
	}
	p.Expires = p.Issued + presenceTime
	a.mu.Lock()
	if !a.closed {
		p.Serves = slices.Collect(maps.Keys(a.capability))
		p.Topics = slices.Collect(maps.Keys(a.topics))
	}
	a.mu.Unlock()
	slices.Sort(p.Serves)
	slices.Sort(p.Topics)
	s.sequence++
	p.Sequence = s.sequence
	raw, err := s.process.Sign(p)
	if err != nil {
		return err
	}
	if err := s.control.Ask(ctx, control.OpAnnounce, control.Announce{Presence: raw}, nil); err != nil {
		return err
	}
	s.announced.Store(true)
	return nil
}

// withdraw announces for a closed agent's sessions that they serve nothing any more, so that nobody picks them. It is
// best effort: a presence ends by itself.
func withdraw(ctx context.Context, sessions []*session) {
	ctx, cancel := context.WithTimeout(ctx, withdrawTime)
	defer cancel()
	for _, s := range sessions {
		if s.announced.Load() {
			_ = s.announce(ctx)
		}
	}
}

// presenceLoop announces the process as long as it serves or publishes anything, and keeps readers joined.
func (a *Agent) presenceLoop() {
	tick := time.NewTicker(announceTime)
	defer tick.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		there := len(a.capability)+len(a.topics) > 0
		a.mu.Unlock()
		ctx, cancel := context.WithTimeout(a.ctx, askTime)
		if there {
			if err := a.announce(ctx); err != nil && a.ctx.Err() == nil {
				a.options.logger.Warn("presence not announced", "error", err)
			}
		}
		a.rejoin(ctx)
		cancel()
	}
}

// onRequest takes one request from the bus. Verification and handling run apart, so that one slow sender or handler
// holds nobody up.
func (s *session) onRequest(subject string, data []byte) {
	if !s.agent.spawn(func() { s.receive(subject, data) }) {
		s.agent.options.logger.Warn("request dropped", "error", errBusy)
	}
}

func (s *session) receive(subject string, data []byte) {
	ctx, cancel := context.WithTimeout(s.agent.ctx, liveTime*time.Millisecond)
	defer cancel()
	m, err := s.open(ctx, data, envelope.Inbound{Subject: subject})
	if err != nil {
		s.agent.options.logger.Warn("request refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	var body []byte
	switch m.Purpose() {
	case envelope.Request:
		body, err = s.serve(ctx, m)
	case envelope.Join:
		body, err = s.joined(m)
	default:
		return // a reply on the request subject: authorised nowhere
	}
	if err := s.answer(ctx, m, body, err); err != nil {
		s.agent.options.logger.Warn("reply not sent", "error", err)
	}
}

// serve runs the handler of the capability that the request names, if the sender's level may call it.
func (s *session) serve(ctx context.Context, m *envelope.Message) ([]byte, error) {
	var r requestContent
	if err := wire.Decode(m.Content(), &r); err != nil {
		return nil, err
	}
	a := s.agent
	a.mu.Lock()
	h := a.capability[r.Capability]
	a.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("%w: %.128q", ErrNoResponder, r.Capability)
	}
	if !identity.MatchCapability(a.lore.Load().policy.Rights(m.From().Level).Call, r.Capability) {
		return nil, fmt.Errorf("%w: %s may not call %s", bus.ErrDenied, m.From().Level, r.Capability)
	}
	return h.handler(ctx, &Delivery{
		ID: m.ID(), From: peerOf(m.From()), Capability: r.Capability, Content: r.Body, Evidence: m.Raw(),
	})
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
	key, err := s.agent.sealingKey(ctx, m.From().ID, m.Process())
	if err != nil {
		return err
	}
	_, err = s.send(ctx, envelope.Draft{
		To: to, Purpose: purpose, InReplyTo: m.ID(), Content: content,
		Subject: s.subject.Reply(m.From().ID, bus.TokenOf(m.Process()), s.agent.ID(), bus.TokenOf(m.ID())),
	}, key)
	return err
}

var errNoSealingKey = fault.New(fault.Unknown, "sdk: the process announced no sealing key of its credential")
