package sdk

import (
	"context"
	"errors"
	"fmt"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"slices"
	"sync/atomic"
)

// session is one process identity's connection: keys, credential, counters and windows live and end together. An agent
// replaces its session before the credential ends.
type session struct {
	agent   *Agent
	process *identity.Process
	token   bus.Token
	subject bus.Realm
	*way

	exchanges  exchanges
	presence   presence
	hearing    hearing
	publishing publishing
	egress     *egress
	spelling   spelling
	keys       *keyring    // of sessions that others have opened with requests
	told       nodes       // that the connection knows; under the link's turn for learning
	begun      atomic.Bool // all of the above is there
	limited    atomic.Bool // its node only lets through what is R0
}

// openSession makes fresh keys, connects and verifies the realm.
func openSession(ctx context.Context, a *Agent) (*session, error) {
	process, err := a.link.newProcess()
	if err != nil {
		return nil, err
	}
	s := &session{
		agent: a, process: process, token: bus.TokenOf(process.Credential().ID()), subject: bus.In(a.link.realm),
		way: newWay(),
	}
	s.exchanges = exchanges{session: s, waiting: map[string]*exchange{}}
	s.presence.session, s.presence.turn = s, newLane()
	s.hearing.session, s.publishing.session = s, s
	s.spelling.from, s.spelling.realm = a.ID(), s.subject
	s.keys = newKeyring(maxSessions, a.link.now)
	known, options := a.link.nodes.Load(), a.link.options
	s.told = *known
	presentation := natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}
	s.conn, err = options.transport(ctx, natsbus.Options{
		Addresses: known.addresses, Pins: known.pins, Name: options.name,
		Present: func() (natsbus.Presentation, error) { return presentation, nil },
		Observer: bus.Observer{
			Dropped: a.link.onDropped, Refused: a.link.onRefused, Connected: s.onConnected,
			Disconnected: s.onDisconnected, Redialling: s.way.redial,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.egress = newEgress(process, s.conn, &s.way.cuts, a.link.now, a.link.onUnsent)
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	s.begun.Store(true)
	return s, nil
}

func (s *session) begin(ctx context.Context) error {
	a := s.agent
	var err error
	s.control, err = control.NewClient(s.conn, control.Party{
		Realm: a.link.realm, Node: a.link.known.Pins[0], Principal: a.ID(), Process: s.token, Cut: s.down.next,
	})
	if err != nil {
		return err
	}
	if err := a.link.learning.first(ctx, s); err != nil {
		return err
	}
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
	a.levels.now(me.Level)
	return s.hearing.listen(me.Level)
}

// self asks what the realm says of this principal, over this session.
func (s *session) self(ctx context.Context) (me Peer, err error) {
	link := s.agent.link
	err = vouched(ctx, link, s, control.OpWho, control.Who{ID: s.agent.ID()}, func(p control.Principal, l lore) error {
		v, _, err := verifyPrincipal(p, l, link.now())
		if err == nil {
			me = vouchedPeer(v.Statement())
		}
		return err
	})
	return me, err
}

// ask puts a control request over this session until it is answered or ctx ends, 30 s if it has no deadline.
func (s *session) ask(ctx context.Context, op control.Op, in, out any) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	return persist(ctx, s.way, func(ctx context.Context) error { return s.control.Ask(ctx, op, in, out) })
}

// onDisconnected is called when the connection went down. It comes back by itself, at this node or another.
func (s *session) onDisconnected(err error) {
	s.presence.current.Store(false)
	s.limit(false) // a node that is cut off lets nobody in
	s.cut(err)
}

// limit notes whether the node only lets through what is R0. The link counts the sessions where it is so.
func (s *session) limit(on bool) {
	switch {
	case s.limited.Swap(on) == on:
	case on:
		s.agent.link.limited.Add(1)
	default:
		s.agent.link.limited.Add(-1)
	}
}

// onConnected is called when the connection stands again: the node may be a new one that knows of no presence, and what
// nodes have broadcast meanwhile was not heard. What is known stays.
func (s *session) onConnected() {
	a := s.agent
	s.presence.current.Store(false)
	a.circle.instances.clear()
	a.link.following.missed()
	a.link.news.ring()
	s.up.ring()
	a.link.reminding.soon()
	if s.begun.Load() && !a.crew.chore(s.comeBack) {
		a.link.options.logger.Warn("presence not announced at once", "error", errBusy)
	}
}

// comeBack tells the node that the process is there, and looks at what has changed in the realm.
func (s *session) comeBack() {
	a := s.agent
	ctx, cancel := context.WithTimeout(a.crew.ctx, askTime)
	defer cancel()
	if s.presence.due() {
		if err := persist(ctx, s.way, s.presence.once); err != nil && a.crew.ctx.Err() == nil {
			a.link.options.logger.Warn("presence not announced", "code", string(fault.CodeOf(err)), "error", err)
		}
	}
	if s != a.link.current() {
		return
	}
	a.link.learning.quietly(s)
	s.hearing.relevel()
	a.reading.rejoin(ctx)
}

// close lets out what is queued, until ctx ends, and disconnects.
func (s *session) close(ctx context.Context) error {
	defer s.limit(false) // nothing comes over it any more
	return errors.Join(s.egress.close(ctx), s.conn.Close(ctx))
}

// elsewhere reports whether a hint is of another node than the one that the connection stands at.
func (s *session) elsewhere(subject string) bool {
	at, ok := s.conn.(bus.Located)
	if !ok {
		return false
	}
	node := at.Node()
	hint, err := s.subject.Parse(subject)
	return err == nil && !node.IsZero() && hint.From != node
}

// onHint wakes those who wait for decisions, and renews what is known of principals that changed.
func (s *session) onHint(subject string, data []byte) {
	if s.elsewhere(subject) {
		return // the node that is asked tells it too, once it has applied it
	}
	var h control.Hint
	if err := wire.Decode(data, &h); err != nil {
		return
	}
	a := s.agent
	s.limit(h.Restricted)
	if len(h.Members) > 0 {
		a.circle.hints.take(s, h.Members)
		a.link.reminding.soon()
	}
	if slices.ContainsFunc(h.Members, func(id identity.ID) bool { return id.Role() == identity.Node }) {
		a.link.learning.soon(s)
	}
	a.link.following.told(h)
	if len(h.Opened) > 0 || h.More {
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
	if planted.Fault(planted.HandlesTwice) {
		return c.Commit(envelope.NewLiveWindows(maxStreams), s.agent.link.now())
	}
	return c.Commit(s.agent.circle.windows, s.agent.link.now())
}

func unknownSender(err error) bool {
	return errors.Is(err, bus.ErrUnknown) || errors.Is(err, identity.ErrExpired)
}
