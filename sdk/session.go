package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

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

	exchanges  exchanges
	presence   presence
	hearing    hearing
	publishing publishing
	egress     *egress
	spelling   spelling
	keys       *keyring      // of sessions that others have opened with requests
	cuts       atomic.Uint64 // how often the connection has gone down
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
	s.exchanges = exchanges{session: s, waiting: map[string]*exchange{}}
	s.presence.session, s.presence.turn = s, newLane()
	s.hearing.session, s.publishing.session = s, s
	s.spelling.from, s.spelling.realm = a.ID(), s.subject
	s.keys = newKeyring(maxSessions, a.link.now)
	known, options := a.link.known, a.link.options
	presentation := natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}
	s.conn, err = options.transport(ctx, natsbus.Options{
		Addresses: known.Addresses, Pins: known.Pins, Name: options.name,
		Present: func() (natsbus.Presentation, error) { return presentation, nil },
		Observer: bus.Observer{
			Dropped: a.link.onDropped, Refused: a.link.onRefused, Connected: s.onConnected,
			Disconnected: func(error) { s.cuts.Add(1) },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.egress = newEgress(process, s.conn, &s.cuts, a.link.now, a.link.onUnsent)
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
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
	s.agent.circle.instances.clear()
	s.agent.link.news.ring()
}

// close lets out what is queued, until ctx ends, and disconnects.
func (s *session) close(ctx context.Context) error {
	return errors.Join(s.egress.close(ctx), s.conn.Close(ctx))
}

// onHint wakes those who wait for decisions, and renews what is known of principals that changed.
func (s *session) onHint(_ string, data []byte) {
	var h control.Hint
	if err := wire.Decode(data, &h); err != nil {
		return
	}
	a := s.agent
	if len(h.Members) > 0 {
		a.circle.hints.take(s, h.Members)
	}
	if len(h.Decisions) > 0 {
		a.link.news.ring()
	}
}

// check makes all checks of a delivery that change nothing.
func (s *session) check(raw []byte, in envelope.Inbound) (*envelope.Checked, error) {
	circle := s.agent.circle
	in.Realm, in.Process, in.Roots = s.agent.link.realm, s.process, circle.roots
	return envelope.Check(raw, in, circle.peers, s.agent.link.now())
}

// open verifies one delivery; where the sender is not known yet, it asks the node once and verifies what it says.
func (s *session) open(ctx context.Context, raw []byte, in envelope.Inbound) ([]envelope.Opened, error) {
	c, err := s.check(raw, in)
	if err != nil && unknownSender(err) {
		var subject bus.Subject
		if subject, err = s.meet(ctx, raw, in.Subject, err); err == nil {
			if c, err = s.check(raw, in); err == nil {
				s.agent.circle.strangers.forgive(subject.From)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return s.commit(c), nil
}

// meet has the node say who the sender of a delivery is that was refused with err, if that may be asked now. It returns
// the subject on which the delivery came.
func (s *session) meet(ctx context.Context, raw []byte, on string, err error) (bus.Subject, error) {
	circle := s.agent.circle
	claim, parseErr := envelope.Peek(raw, envelope.DefaultLimit)
	if parseErr != nil {
		return bus.Subject{}, err
	}
	subject, parseErr := s.subject.Parse(on)
	if parseErr != nil || subject.From != claim.From || !circle.strangers.admit(subject.From, s.agent.link.now()) {
		return bus.Subject{}, err
	}
	if meetErr := circle.meet(ctx, claim.From, claim.Credential); meetErr != nil {
		return bus.Subject{}, errors.Join(err, meetErr)
	}
	return subject, nil
}

func (s *session) commit(c *envelope.Checked) []envelope.Opened {
	return c.Commit(s.agent.circle.windows, s.agent.link.now())
}

func unknownSender(err error) bool {
	return errors.Is(err, bus.ErrUnknown) || errors.Is(err, identity.ErrExpired)
}
