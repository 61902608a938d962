package sdk

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

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
	r.agent.reading.remove(r)
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
	if r.turn.enter(s.agent.crew.ctx) != nil {
		return // closed
	}
	defer r.turn.leave()
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped {
		return
	}
	m, err := s.open(s.agent.crew.ctx, data, envelope.Inbound{Subject: subject, Topic: parsed.Topic})
	if errors.Is(err, envelope.ErrNotJoined) {
		r.greet(data, parsed.Topic)
		return
	}
	if err != nil {
		s.agent.link.options.logger.Warn("message refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	_, err = r.handler(s.agent.crew.ctx, &Delivery{
		ID: m.ID(), From: peerOf(m.From()), Topic: parsed.Topic, Content: m.Content(), Evidence: m.Raw(),
	})
	if err != nil {
		s.agent.link.options.logger.Warn("message handler failed", "topic", parsed.Topic, "error", err)
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
	if !r.agent.circle.unjoined.admit(from, r.agent.link.now()) {
		return // it is joined when publishers are next looked for
	}
	r.agent.crew.chore(func() {
		ctx, cancel := context.WithTimeout(r.agent.crew.ctx, askTime)
		defer cancel()
		if err := r.joinFound(ctx, control.Find{ID: from, Topic: topic}); err != nil {
			r.agent.link.options.logger.Debug("publisher not joined", "error", err)
		}
	})
}

// join joins every process that publishes on the topics now.
func (r *Subscription) join(ctx context.Context) error {
	return r.joinFound(ctx, control.Find{Topic: r.pattern})
}

func (r *Subscription) joinFound(ctx context.Context, f control.Find) error {
	found, err := r.agent.circle.find(ctx, f)
	if err != nil {
		return err
	}
	s := r.agent.link.current()
	for _, i := range found {
		if i.credential.ID() == s.process.Credential().ID() {
			continue
		}
		for _, topic := range i.presence.Statement().Topics {
			if !identity.MatchCapability([]string{r.pattern}, topic) {
				continue
			}
			if err := r.joinOne(ctx, s, i, topic); err != nil {
				r.agent.link.options.logger.Warn("publisher not joined", "topic", topic, "error", err)
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
	m, err := s.exchanges.ask(ctx, i, envelope.Join, content)
	if err != nil {
		return err
	}
	var j joinedContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return err
	}
	until := i.credential.Statement().Expires + identity.Skew
	if err := r.agent.circle.windows.Join(stream, j.First, until, r.agent.link.now()); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined[stream] = true
	return nil
}
