package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
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

	mu       sync.Mutex
	counters envelope.Counters
	calls    map[bus.Token]*exchange // waiting for a reply

	announcing lane        // for handing in a presence: they must come in order
	announced  atomic.Bool // since it connected last
	sequence   uint64      // of presences, under announcing

	listening sync.Mutex // held while subscriptions change
	level     identity.Level
	requests  bus.Subscription
	replies   bus.Subscription
}

// exchange is one request that waits for its reply.
type exchange struct {
	id    wire.Digest
	to    identity.ID
	reply chan *envelope.Message // holds one
}

// dial makes fresh keys, connects and verifies the realm.
func (a *Agent) dial(ctx context.Context) (*session, error) {
	process, err := a.newProcess()
	if err != nil {
		return nil, err
	}
	s := &session{
		agent: a, process: process, token: bus.TokenOf(process.Credential().ID()), subject: bus.In(a.realm),
		calls: map[bus.Token]*exchange{}, announcing: newLane(),
	}
	presentation := natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}
	s.conn, err = a.options.transport(ctx, natsbus.Options{
		Addresses: a.known.Addresses, Pins: a.known.Pins, Name: a.options.name,
		Present:  func() (natsbus.Presentation, error) { return presentation, nil },
		Observer: bus.Observer{Dropped: a.onDropped, Refused: a.onRefused, Connected: s.onConnected},
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.conn.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// newProcess makes a process whose credential's epoch is its time of issue, in seconds: "refuse credentials older than
// this moment" is then one number.
func (a *Agent) newProcess() (*identity.Process, error) {
	now := a.now()
	return identity.NewProcess(a.realm, a.known.Signer, uint64(now/1000), now, a.options.life.Milliseconds())
}

func (s *session) begin(ctx context.Context) error {
	a := s.agent
	var err error
	s.control, err = control.NewClient(s.conn, control.Party{
		Realm: a.realm, Node: a.known.Pins[0], Principal: a.ID(), Process: s.token,
	})
	if err != nil {
		return err
	}
	least := a.known.seen.Roster
	before := a.lore.Load()
	if before != nil {
		least = max(least, before.authority.Number)
	}
	learned, err := learn(ctx, s.control, a.realm, least)
	if err != nil {
		return err
	}
	if err := learned.follows(before); err != nil {
		return err
	}
	if err := a.remember(learned); err != nil {
		return err
	}
	a.lore.Store(&learned)
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
	return s.listen(me.Level)
}

// listen subscribes to what the level may hear. What it was subscribed to at another level is subscribed to anew: the
// node ends subscriptions that a lower level may not have.
func (s *session) listen(level identity.Level) error {
	s.listening.Lock()
	defer s.listening.Unlock()
	a := s.agent
	for _, sub := range []bus.Subscription{s.replies, s.requests} {
		if sub != nil {
			_ = sub.Unsubscribe() // fails only when the connection is gone, which ends it as well
		}
	}
	s.replies, s.requests, s.level = nil, nil, level
	rights := a.lore.Load().policy.Rights(level)
	if rights.Rate == 0 {
		return nil
	}
	var err error
	if len(rights.Call)+len(rights.Subscribe) > 0 {
		if s.replies, err = s.conn.Subscribe(s.subject.Replies(a.ID(), s.token), s.onReply); err != nil {
			return err
		}
	}
	if len(rights.Serve)+len(rights.Publish) > 0 {
		s.requests, err = s.conn.Subscribe(s.subject.Requests(a.ID(), s.token), s.onRequest)
	}
	return err
}

// self asks what the realm says of this principal, over this session.
func (s *session) self(ctx context.Context) (Peer, error) {
	var p control.Principal
	if err := s.control.Ask(ctx, control.OpWho, control.Who{ID: s.agent.ID()}, &p); err != nil {
		return Peer{}, err
	}
	v, _, err := verifyPrincipal(p, *s.agent.lore.Load(), s.agent.now())
	if err != nil {
		return Peer{}, err
	}
	t := v.Statement()
	return Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()}, nil
}

// remember keeps the newest roster and head seen in the context, and refuses older ones.
func (a *Agent) remember(l lore) error {
	if a.known.store == nil || l.head.IsZero() {
		return nil
	}
	h := l.head.Statement()
	if err := a.known.store.Advance(a.known.context, l.authority.Number, h.Size, h.Root.String()); err != nil {
		return fmt.Errorf("realm: %w", err)
	}
	return nil
}

// onConnected is called when the connection stands again: the node may be a new one that knows of no presence.
func (s *session) onConnected() {
	s.announced.Store(false)
	s.agent.news.ring()
}

func (s *session) close(ctx context.Context) error { return s.conn.Close(ctx) }

func (a *Agent) onDropped(pattern string, n uint64) {
	a.options.logger.Warn("messages dropped: the handler is slower than the senders", "subject", pattern, "count", n)
}

func (a *Agent) onRefused(err error) {
	a.options.logger.Warn("the node refused a publication or subscription", "error", err)
}

// onHint wakes those who wait for decisions, and renews what is known of principals that changed.
func (s *session) onHint(_ string, data []byte) {
	var h control.Hint
	if err := wire.Decode(data, &h); err != nil {
		return
	}
	a := s.agent
	if len(h.Members) > 0 {
		a.chore(func() { a.relearn(h.Members) })
	}
	if slices.Contains(h.Members, a.ID()) {
		a.chore(s.relevel)
	}
	if len(h.Decisions) > 0 {
		a.news.ring()
	}
}

// listens returns the level by which the session listens; L0 for who is no agent.
func (s *session) listens() identity.Level {
	s.listening.Lock()
	defer s.listening.Unlock()
	return s.level
}

// relevel listens anew where the agent's level has changed.
func (s *session) relevel() {
	a := s.agent
	if a.ID().Role() != identity.Agent {
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	me, err := s.self(ctx)
	if err == nil && s.listens() != me.Level {
		if err = s.listen(me.Level); err == nil && s == a.current() {
			err = a.resubscribe(s)
		}
	}
	if err != nil && a.ctx.Err() == nil {
		a.options.logger.Warn("level not followed", "code", string(fault.CodeOf(err)), "error", err)
	}
}

// relearn fetches new tickets of principals that this agent has dealt with.
func (a *Agent) relearn(ids []identity.ID) {
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	for _, id := range ids {
		if !a.peers.Knows(id) {
			continue
		}
		var p control.Principal
		if err := a.ask(ctx, control.OpWho, control.Who{ID: id}, &p); err != nil {
			continue // its ticket will end by itself
		}
		v, _, err := verifyPrincipal(p, *a.lore.Load(), a.now())
		if err != nil || v.Statement().Principal != id {
			continue
		}
		if err := a.peers.Learn(v, a.now()); err != nil {
			a.options.logger.Debug("ticket not taken", "principal", id.String(), "error", err)
		}
	}
}

// spawn runs a handler in a goroutine that Close waits for, if a slot is free and the agent is not closing; it reports
// whether it did.
func (a *Agent) spawn(fn func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.closed && start(&a.handlers, a.slots, fn)
}

// chore runs what handlers may wait for, so that they cannot take all the room from it, and also while they end.
func (a *Agent) chore(fn func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ctx.Err() == nil && start(&a.running, a.chores, fn)
}

func start(group *sync.WaitGroup, slots chan struct{}, fn func()) bool {
	select {
	case slots <- struct{}{}:
	default:
		return false
	}
	group.Go(func() {
		defer func() { <-slots }()
		fn()
	})
	return true
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
	d.Issued = s.agent.now()
	d.Expires = d.Issued + liveTime
	s.mu.Lock()
	d.Counter = s.counters.Next(d.To)
	s.mu.Unlock()
	return envelope.Seal(s.process, d, sealingKey, rand.Reader)
}

// prepare seals a request and files the exchange under its id before anybody can answer.
func (s *session) prepare(d envelope.Draft, sealingKey []byte, e *exchange) ([]byte, error) {
	raw, id, err := s.seal(d, sealingKey)
	if err != nil {
		return nil, err
	}
	e.id = id
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[bus.TokenOf(id)] = e
	return raw, nil
}

// open verifies one delivery; where the sender is not known yet, it asks the node once and verifies what it says.
func (s *session) open(ctx context.Context, raw []byte, in envelope.Inbound) (*envelope.Message, error) {
	a := s.agent
	in.Realm, in.Process = a.realm, s.process
	m, err := envelope.Open(raw, in, a.peers, a.windows, a.now())
	if err == nil || !unknownSender(err) {
		return m, err
	}
	claimed, parseErr := wire.Parse[envelope.Envelope](raw, envelope.DefaultLimit)
	if parseErr != nil {
		return nil, err
	}
	subject, parseErr := s.subject.Parse(in.Subject)
	if parseErr != nil || subject.From != claimed.Claim.From || !a.strangers.admit(subject.From, a.now()) {
		return nil, err
	}
	if meetErr := a.meet(ctx, claimed.Claim.From, claimed.Claim.Credential); meetErr != nil {
		return nil, errors.Join(err, meetErr)
	}
	return envelope.Open(raw, in, a.peers, a.windows, a.now())
}

func unknownSender(err error) bool {
	return errors.Is(err, bus.ErrUnknown) || errors.Is(err, identity.ErrExpired)
}

// meet asks the node who a process is, verifies the answer and remembers it.
func (a *Agent) meet(ctx context.Context, from identity.ID, credential wire.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var v control.Vouched
	if err := a.ask(ctx, control.OpSender, control.Process{Principal: from, Credential: credential}, &v); err != nil {
		return err
	}
	v.Presence = nil // that of a process that only calls may be over
	i, err := verifyInstance(v, *a.lore.Load(), a.now())
	if err != nil {
		return err
	}
	return a.peers.Add(v.Credential, i.ticket, a.now())
}

// renewLoop replaces the session when three quarters of its credential's life are over. The old one goes on receiving
// until nothing that was addressed to it can be under way.
func (a *Agent) renewLoop() {
	wait := a.options.life * 3 / 4
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = a.options.life * 3 / 4
		if err := a.renew(); err != nil {
			wait = a.options.life / 32 // some more attempts before the credential ends
			a.options.logger.Error("credential not renewed", "code", string(fault.CodeOf(err)), "error", err)
		}
	}
}

func (a *Agent) renew() error {
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	fresh, err := a.dial(ctx)
	if err != nil {
		return err
	}
	if err := a.resubscribe(fresh); err != nil {
		return errors.Join(err, fresh.close(ctx))
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return fresh.close(ctx)
	}
	old := a.session
	ended := a.retired
	a.session, a.retired = fresh, []*session{old}
	a.mu.Unlock()
	for _, s := range ended {
		err = errors.Join(err, s.close(ctx))
	}
	return errors.Join(err, a.announce(ctx))
}
