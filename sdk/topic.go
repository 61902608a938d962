package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// joinContent asks a publisher from which counter on its messages on a topic are to be accepted.
type joinContent struct {
	Topic string `cbor:"1,keyasint"`
}

// joinedContent is the answer.
type joinedContent struct {
	First uint64 `cbor:"1,keyasint"`
}

// Receipt is what a publisher gets for one message.
type Receipt struct {
	ID   Digest // names the envelope
	conn bus.Conn
}

// Wait returns when the node has taken the message. Topics are live: whether anybody reads it is not said.
func (r Receipt) Wait(ctx context.Context) error { return r.conn.Flush(ctx) }

// PublishBytes signs one message and hands it to the connection. Readers that have joined this process get it at most
// once. At the first message on a topic the process is announced as its publisher; readers that subscribed before
// then join within a few seconds, and miss what was published until then.
func (a *Agent) PublishBytes(ctx context.Context, topic string, content []byte) (Receipt, error) {
	if err := identity.CheckCapability(topic); err != nil {
		return Receipt{}, err
	}
	if err := a.Advertise(ctx, topic); err != nil {
		return Receipt{}, err
	}
	s := a.current()
	subject, err := s.subject.Topic(a.ID(), topic)
	if err != nil {
		return Receipt{}, err
	}
	id, err := s.send(ctx, envelope.Draft{
		To: envelope.ToTopic(topic), Purpose: envelope.Event, Subject: subject, Content: content,
	}, nil)
	return Receipt{ID: id, conn: s.conn}, err
}

// Advertise announces the process as a publisher on the topic, so that readers join it before the first message.
// Denied where the agent's level does not publish on it.
func (a *Agent) Advertise(ctx context.Context, topic string) error {
	a.mu.Lock()
	known := a.topics[topic]
	a.mu.Unlock()
	if known {
		return nil
	}
	me, err := a.Me(ctx)
	if err != nil {
		return err
	}
	if !identity.MatchCapability(a.lore.Load().policy.Rights(me.Level).Publish, topic) {
		return fmt.Errorf("%w: %s does not publish on %s", bus.ErrDenied, me.Level, topic)
	}
	a.mu.Lock()
	a.topics[topic] = true
	a.mu.Unlock()
	return a.announce(ctx)
}

// joined answers a join: the next counter on the topic, if the reader's level reads it.
func (s *session) joined(m *envelope.Message) ([]byte, error) {
	var j joinContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return nil, err
	}
	a := s.agent
	a.mu.Lock()
	publishes := a.topics[j.Topic]
	a.mu.Unlock()
	if !publishes {
		return nil, fmt.Errorf("%w: topic %.128q", ErrNoResponder, j.Topic)
	}
	if !identity.MatchCapability(a.lore.Load().policy.Rights(m.From().Level).Subscribe, j.Topic) {
		return nil, fmt.Errorf("%w: %s does not read %s", bus.ErrDenied, m.From().Level, j.Topic)
	}
	s.mu.Lock()
	first := s.counters.First(envelope.ToTopic(j.Topic))
	s.mu.Unlock()
	return wire.Encode(joinedContent{First: first})
}

// Subscription is one reading of a topic or pattern of topics.
type Subscription struct {
	agent   *Agent
	pattern string
	handler HandlerFunc

	turn lane // for handling a message: the next session's come after the last one's

	mu      sync.Mutex
	sub     bus.Subscription // at the session in use; nil once stopped
	dropped uint64           // by those before
	joined  map[envelope.Stream]bool
	stopped bool
}

// SubscribeBytes has fn called for every verified message on a topic, or on all topics that a pattern ("a.b.*", "*")
// covers, of every process that publishes on them. Messages of one process come in the order it sent them, one at a
// time; a slow fn makes the bounded queue drop, which the logger is told.
func (a *Agent) SubscribeBytes(pattern string, fn HandlerFunc) (*Subscription, error) {
	if err := identity.CheckCapabilities([]string{pattern}); err != nil {
		return nil, err
	}
	r := &Subscription{agent: a, pattern: pattern, handler: a.wrap(fn), turn: newLane(), joined: map[envelope.Stream]bool{}}
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	if err := r.attach(a.current()); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.readers = append(a.readers, r)
	a.mu.Unlock()
	return r, r.join(ctx)
}

// attach subscribes at a session and ends what it had before.
func (r *Subscription) attach(s *session) error {
	subject, err := s.subject.Topics(r.pattern)
	if err != nil {
		return err
	}
	sub, err := s.conn.Subscribe(subject, func(subject string, data []byte) { r.receive(s, subject, data) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return sub.Unsubscribe()
	}
	old := r.sub
	r.sub = sub
	if old == nil {
		return nil
	}
	r.dropped += old.Dropped()
	_ = old.Unsubscribe() // fails only when the connection is gone, which ends it as well
	return nil
}

// Stop ends the subscription. The handler is not called any more once it returns, except by a call that is running.
func (r *Subscription) Stop() error {
	r.mu.Lock()
	r.stopped = true
	sub := r.sub
	r.sub = nil
	if sub != nil {
		r.dropped += sub.Dropped()
	}
	r.mu.Unlock()
	a := r.agent
	a.mu.Lock()
	a.readers = slices.DeleteFunc(a.readers, func(other *Subscription) bool { return other == r })
	a.mu.Unlock()
	if sub == nil {
		return nil
	}
	return sub.Unsubscribe()
}

// Dropped returns how many messages did not fit the queue.
func (r *Subscription) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sub == nil {
		return r.dropped
	}
	return r.dropped + r.sub.Dropped()
}

func (r *Subscription) receive(s *session, subject string, data []byte) {
	parsed, err := s.subject.Parse(subject)
	if err != nil {
		return
	}
	if r.turn.enter(s.agent.ctx) != nil {
		return // closed
	}
	defer r.turn.leave()
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped {
		return
	}
	m, err := s.open(s.agent.ctx, data, envelope.Inbound{Subject: subject, Topic: parsed.Topic})
	if errors.Is(err, envelope.ErrNotJoined) {
		r.greet(data, parsed.Topic)
		return
	}
	if err != nil {
		s.agent.options.logger.Warn("message refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	_, err = r.handler(s.agent.ctx, &Delivery{
		ID: m.ID(), From: peerOf(m.From()), Topic: parsed.Topic, Content: m.Content(), Evidence: m.Raw(),
	})
	if err != nil {
		s.agent.options.logger.Warn("message handler failed", "topic", parsed.Topic, "error", err)
	}
}

// greet joins a publisher that was heard before it was joined. The message itself is lost: without the publisher's own
// word nobody can tell whether it is new.
func (r *Subscription) greet(data []byte, topic string) {
	claimed, err := wire.Parse[envelope.Envelope](data, envelope.DefaultLimit)
	if err != nil {
		return
	}
	from := claimed.Claim.From
	if !r.agent.strangers.admit(from, r.agent.now()) {
		return // it is joined when publishers are next looked for
	}
	r.agent.chore(func() {
		ctx, cancel := context.WithTimeout(r.agent.ctx, askTime)
		defer cancel()
		if err := r.joinFound(ctx, control.Find{ID: from, Topic: topic}); err != nil {
			r.agent.options.logger.Debug("publisher not joined", "error", err)
		}
	})
}

// join joins every process that publishes on the topics now.
func (r *Subscription) join(ctx context.Context) error {
	return r.joinFound(ctx, control.Find{Topic: r.pattern})
}

func (r *Subscription) joinFound(ctx context.Context, f control.Find) error {
	found, err := r.agent.find(ctx, f)
	if err != nil {
		return err
	}
	s := r.agent.current()
	for _, i := range found {
		if i.credential.ID() == s.process.Credential().ID() {
			continue
		}
		for _, topic := range i.presence.Statement().Topics {
			if !identity.MatchCapability([]string{r.pattern}, topic) {
				continue
			}
			if err := r.joinOne(ctx, s, i, topic); err != nil {
				r.agent.options.logger.Warn("publisher not joined", "topic", topic, "error", err)
			}
		}
	}
	return nil
}

func (r *Subscription) joinOne(ctx context.Context, s *session, i instance, topic string) error {
	stream := envelope.Stream{Credential: i.credential.ID(), To: envelope.ToTopic(topic)}
	r.mu.Lock()
	done := r.joined[stream]
	r.mu.Unlock()
	if done {
		return nil
	}
	content, err := wire.Encode(joinContent{Topic: topic})
	if err != nil {
		return err
	}
	m, err := s.exchange(ctx, i, envelope.Join, content)
	if err != nil {
		return err
	}
	var j joinedContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return err
	}
	until := i.credential.Statement().Expires + identity.Skew
	if err := r.agent.windows.Join(stream, j.First, until, r.agent.now()); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined[stream] = true
	return nil
}

// rejoin looks for publishers that came since.
func (a *Agent) rejoin(ctx context.Context) {
	a.mu.Lock()
	readers := slices.Clone(a.readers)
	a.mu.Unlock()
	for _, r := range readers {
		if err := r.join(ctx); err != nil && a.ctx.Err() == nil {
			a.options.logger.Debug("publishers not looked for", "error", err)
		}
	}
}

// resubscribe attaches every reader to a session. What it has joined stays joined, and the windows let through once
// what both subscriptions heard.
func (a *Agent) resubscribe(to *session) error {
	a.mu.Lock()
	readers := slices.Clone(a.readers)
	a.mu.Unlock()
	for _, r := range readers {
		if err := r.attach(to); err != nil {
			return err
		}
	}
	return nil
}
