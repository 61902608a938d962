package sdk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// service is what an agent offers: capabilities with their handlers, topics, and the card that says so.
type service struct {
	link  *link
	cards lane // for publishing a card: they have a sequence

	mu         sync.RWMutex
	capability map[string]*served // by name
	topics     map[string]bool    // published on
	middleware []Middleware
	reserved   map[string]HandlerFunc // by the name of a capability that every agent has, and no card shows
}

func newService(l *link) *service {
	return &service{link: l, cards: newLane(), capability: map[string]*served{}, topics: map[string]bool{}}
}

// served is one capability with its handler.
type served struct {
	card    discovery.Capability
	handler HandlerFunc
}

func (v *service) use(mw []Middleware) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.middleware = append(v.middleware, mw...)
}

func (v *service) wrap(h HandlerFunc) HandlerFunc {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, mw := range slices.Backward(v.middleware) {
		h = mw(h)
	}
	return h
}

func (v *service) handle(card discovery.Capability, h HandlerFunc, opts []HandleOption) error {
	if err := identity.CheckCapability(card.Name); err != nil {
		return err
	}
	if v.reserved[card.Name] != nil {
		return Errorf(fault.Usage, "sdk: %s is reserved", card.Name)
	}
	for _, opt := range opts {
		opt(&card)
	}
	wrapped := v.wrap(h)
	v.mu.Lock()
	if _, twice := v.capability[card.Name]; twice {
		v.mu.Unlock()
		return Errorf(fault.Usage, "sdk: %s is served by this agent already", card.Name)
	}
	v.capability[card.Name] = &served{card: card, handler: wrapped}
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(v.link.crew.ctx, askTime)
	defer cancel()
	err := v.publishCard(ctx)
	if err == nil {
		err = v.link.current().presence.announce(ctx)
	}
	if err != nil {
		v.mu.Lock()
		delete(v.capability, card.Name)
		v.mu.Unlock()
	}
	return err
}

// offered returns the names of the capabilities and of the topics, sorted.
func (v *service) offered() (capabilities, topics []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.capability)), slices.Sorted(maps.Keys(v.topics))
}

func (v *service) publishes(topic string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.topics[topic]
}

// capabilities returns what is served, sorted by name.
func (v *service) capabilities() []discovery.Capability {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]discovery.Capability, 0, len(v.capability))
	for _, s := range v.capability {
		list = append(list, s.card)
	}
	slices.SortFunc(list, func(x, y discovery.Capability) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// publishCard puts the agent's card into the registry, unless the one there says the same.
func (v *service) publishCard(ctx context.Context) error {
	if err := v.cards.enter(ctx); err != nil {
		return err
	}
	defer v.cards.leave()
	list := v.capabilities()
	var card wire.Verified[discovery.Card]
	in := control.Who{ID: v.link.id()}
	err := vouched(ctx, v.link, nil, control.OpWho, in, func(p control.Principal, l lore) (err error) {
		if len(p.Card) > 0 {
			_, card, err = verifyPrincipal(p, l, v.link.now())
		}
		return err
	})
	if err != nil {
		return err
	}
	sequence := uint64(1)
	if !card.IsZero() {
		if slices.Equal(card.Statement().Capabilities, list) {
			return nil
		}
		sequence = card.Statement().Sequence + 1
	}
	raw, err := v.link.known.Signer.Sign(v.link.realm, discovery.Card{
		Version: 1, Agent: v.link.id(), Sequence: sequence, Capabilities: list, Issued: v.link.now(),
	})
	if err != nil {
		return err
	}
	_, err = command[registry.Change](ctx, v.link, registry.TypeCard, registry.PutCard{Card: raw})
	return err
}

// serve runs the handler of the capability that the request names, if the sender's level may call it.
func (v *service) serve(ctx context.Context, m *envelope.Message) ([]byte, error) {
	var r requestContent
	if err := wire.Decode(m.Content(), &r); err != nil {
		return nil, err
	}
	v.mu.Lock()
	h := v.capability[r.Capability]
	v.mu.Unlock()
	if reserved := v.reserved[r.Capability]; reserved != nil {
		h = &served{handler: reserved}
	}
	if h == nil {
		return nil, fmt.Errorf("%w: %.128q", ErrNoResponder, r.Capability)
	}
	if err := v.link.mayCall(m.From().Level, r.Capability); err != nil {
		return nil, err
	}
	d := &Delivery{From: peerOf(m.From()), Capability: r.Capability, Content: r.Body, Trace: m.Envelope().Trace, message: m}
	return h.handler(withTrace(ctx, d.Trace), d)
}

// advertise announces the process as a publisher on the topic, which the level must allow.
func (v *service) advertise(ctx context.Context, topic string, level identity.Level) error {
	if !identity.MatchCapability(v.link.rights(level).Publish, topic) {
		return fmt.Errorf("%w: %s does not publish on %s", bus.ErrDenied, level, topic)
	}
	v.mu.Lock()
	v.topics[topic] = true
	v.mu.Unlock()
	return v.link.current().presence.announce(ctx)
}
