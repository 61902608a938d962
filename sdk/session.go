package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// session is one process identity's connection: keys, credential, counters and windows live and end together. An agent
// replaces its session before the credential ends.
type session struct {
	agent   *Agent
	process *identity.Process
	token   bus.Token
	conn    bus.Conn
	control *control.Client
	subject bus.Realm

	exchanges exchanges
	presence  presence
	hearing   hearing

	mu       sync.Mutex
	counters envelope.Counters
}

// openSession makes fresh keys, connects and verifies the realm.
func openSession(ctx context.Context, a *Agent) (*session, error) {
	process, err := a.link.newProcess()
	if err != nil {
		return nil, err
	}
	s := &session{
		agent: a, process: process, token: bus.TokenOf(process.Credential().ID()), subject: bus.In(a.link.realm),
	}
	s.exchanges = exchanges{session: s, waiting: map[bus.Token]*exchange{}}
	s.presence.session, s.presence.turn = s, newLane()
	s.hearing.session = s
	known, options := a.link.known, a.link.options
	presentation := natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}
	s.conn, err = options.transport(ctx, natsbus.Options{
		Addresses: known.Addresses, Pins: known.Pins, Name: options.name,
		Present:  func() (natsbus.Presentation, error) { return presentation, nil },
		Observer: bus.Observer{Dropped: a.link.onDropped, Refused: a.link.onRefused, Connected: s.onConnected},
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.conn.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *session) begin(ctx context.Context) error {
	a := s.agent
	var err error
	s.control, err = control.NewClient(s.conn, control.Party{
		Realm: a.link.realm, Node: a.link.known.Pins[0], Principal: a.ID(), Process: s.token,
	})
	if err != nil {
		return err
	}
	least := a.link.known.seen.Roster
	before := a.link.lore.Load()
	if before != nil {
		least = max(least, before.authority.Number)
	}
	learned, err := learn(ctx, s.control, a.link.realm, least)
	if err != nil {
		return err
	}
	if err := learned.follows(before); err != nil {
		return err
	}
	if err := a.link.remember(learned); err != nil {
		return err
	}
	a.link.lore.Store(&learned)
	if _, err := s.conn.Subscribe(s.subject.Hints(), s.onHint); err != nil {
		return err
	}
	if a.ID().Role() != identity.Agent {
		return nil
	}
	me, err := s.self(ctx)
	if err != nil {
		return err
	}
	if name := s.agent.link.options.name; name != "" && name != me.Name {
		return fmt.Errorf("%w: it is %s, not %s", ErrOtherName, me.Name, name)
	}
	return s.hearing.listen(me.Level)
}

// self asks what the realm says of this principal, over this session.
func (s *session) self(ctx context.Context) (Peer, error) {
	var p control.Principal
	if err := s.control.Ask(ctx, control.OpWho, control.Who{ID: s.agent.ID()}, &p); err != nil {
		return Peer{}, err
	}
	v, _, err := verifyPrincipal(p, *s.agent.link.lore.Load(), s.agent.link.now())
	if err != nil {
		return Peer{}, err
	}
	t := v.Statement()
	return Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()}, nil
}

// onConnected is called when the connection stands again: the node may be a new one that knows of no presence.
func (s *session) onConnected() {
	s.presence.current.Store(false)
	s.agent.link.news.ring()
}

func (s *session) close(ctx context.Context) error { return s.conn.Close(ctx) }

// onHint wakes those who wait for decisions, and renews what is known of principals that changed.
func (s *session) onHint(_ string, data []byte) {
	var h control.Hint
	if err := wire.Decode(data, &h); err != nil {
		return
	}
	a := s.agent
	if len(h.Members) > 0 {
		a.crew.chore(func() { a.circle.relearn(h.Members) })
	}
	if slices.Contains(h.Members, a.ID()) {
		a.crew.chore(s.hearing.relevel)
	}
	if len(h.Decisions) > 0 {
		a.link.news.ring()
	}
}

// send seals one envelope to a process or topic and publishes it. It returns the envelope's id.
func (s *session) send(ctx context.Context, d envelope.Draft, sealingKey []byte) (wire.Digest, error) {
	raw, id, err := s.seal(d, sealingKey)
	if err != nil {
		return wire.Digest{}, err
	}
	return id, s.conn.Publish(ctx, d.Subject, raw)
}

func (s *session) seal(d envelope.Draft, sealingKey []byte) ([]byte, wire.Digest, error) {
	d.Issued = s.agent.link.now()
	d.Expires = d.Issued + liveTime
	s.mu.Lock()
	d.Counter = s.counters.Next(d.To)
	s.mu.Unlock()
	return envelope.Seal(s.process, d, sealingKey, rand.Reader)
}

// open verifies one delivery; where the sender is not known yet, it asks the node once and verifies what it says.
func (s *session) open(ctx context.Context, raw []byte, in envelope.Inbound) (*envelope.Message, error) {
	a := s.agent
	in.Realm, in.Process = a.link.realm, s.process
	m, err := envelope.Open(raw, in, a.circle.peers, a.circle.windows, a.link.now())
	if err == nil || !unknownSender(err) {
		return m, err
	}
	claimed, parseErr := wire.Parse[envelope.Envelope](raw, envelope.DefaultLimit)
	if parseErr != nil {
		return nil, err
	}
	subject, parseErr := s.subject.Parse(in.Subject)
	if parseErr != nil || subject.From != claimed.Claim.From || !a.circle.strangers.admit(subject.From, a.link.now()) {
		return nil, err
	}
	if meetErr := a.circle.meet(ctx, claimed.Claim.From, claimed.Claim.Credential); meetErr != nil {
		return nil, errors.Join(err, meetErr)
	}
	if m, err = envelope.Open(raw, in, a.circle.peers, a.circle.windows, a.link.now()); err == nil {
		a.circle.strangers.forgive(subject.From)
	}
	return m, err
}

func unknownSender(err error) bool {
	return errors.Is(err, bus.ErrUnknown) || errors.Is(err, identity.ErrExpired)
}
