package sdk

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
)

// Subscription is one reading of a topic or pattern of topics.
type Subscription struct {
	agent   *Agent
	pattern string
	handler HandlerFunc
	ingress *ingress
	turn    lane // for handling a message

	mu      sync.Mutex
	sub     bus.Subscription // at the session in use; nil once stopped
	dropped uint64           // by those before
	streams map[envelope.Stream]*heard
	stopped atomic.Bool  // changed under mu
	overlap atomic.Int64 // until when, Unix milliseconds, messages may come twice because two sessions heard them
}

func newSubscription(a *Agent, pattern string, handler HandlerFunc) *Subscription {
	r := &Subscription{
		agent: a, pattern: pattern, handler: handler, turn: newLane(), streams: map[envelope.Stream]*heard{},
	}
	r.ingress = newIngress(a.crew, a.pool, r.accept, func() { a.link.onDropped(pattern, 1) })
	return r
}

// attach subscribes at a session and ends what it had before.
func (r *Subscription) attach(s *session) error {
	subject, err := s.subject.Topics(r.pattern)
	if err != nil {
		return err
	}
	first := make(chan struct{}) // closed when all that the old session heard was taken
	defer close(first)
	sub, err := s.conn.Subscribe(subject, func(subject string, data []byte) {
		<-first
		r.receive(s, subject, data)
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.stopped.Load() {
		r.mu.Unlock()
		return sub.Unsubscribe()
	}
	old := r.sub
	r.sub = sub
	r.mu.Unlock()
	if old == nil {
		return nil
	}
	r.overlap.Store(r.agent.link.now() + overlapTime)
	ctx, cancel := context.WithTimeout(r.agent.crew.ctx, askTime)
	defer cancel()
	if err := old.Drain(ctx); err != nil { // the connection is gone, and what it had with it
		_ = old.Unsubscribe()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += old.Dropped()
	return nil
}

// overlapTime is for how many milliseconds after a change of sessions what both have heard may still come twice.
const overlapTime = 5_000

// Stop ends the subscription. The handler is not called any more once it returns, except by a call that is running.
func (r *Subscription) Stop() error {
	r.ingress.end()
	r.mu.Lock()
	r.stopped.Store(true)
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

// Dropped returns how many deliveries did not fit the bounded queues so far. One may have held many messages.
func (r *Subscription) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.dropped + r.ingress.dropped()
	if r.sub != nil {
		n += r.sub.Dropped()
	}
	return n
}

// receive takes one delivery from the bus.
func (r *Subscription) receive(s *session, subject string, data []byte) {
	parsed, err := s.subject.Parse(subject)
	if err != nil {
		return
	}
	planted.DeliverMessage(func() { r.ingress.take(parsed.From, newDelivery(s, subject, parsed.Topic, data)) })
}

// accept handles a delivery that was checked, in its sender's line.
func (r *Subscription) accept(d *delivery) {
	if d.err != nil && d.known != d.line.learned.Load() {
		d.again() // what was missing may have been learned since
	}
	opened := commit(d)
	if unknownSender(d.err) && r.learn(d, func(ctx context.Context) error { return r.meet(ctx, d) }) {
		if d.err == nil || errors.Is(d.err, envelope.ErrNoKey) { // it was authentic
			r.agent.circle.strangers.forgive(d.line.from)
		}
		opened = commit(d)
	}
	joined := false
	if u := (*envelope.UnknownKey)(nil); errors.As(d.err, &u) {
		if joined = r.learn(d, func(ctx context.Context) error { return r.greet(ctx, u.Envelope) }); joined {
			opened = commit(d)
		}
	}
	if len(opened) > 0 && errors.Is(opened[0].Err, envelope.ErrNotJoined) {
		e := d.checked.Envelope()
		if joined = r.learn(d, func(ctx context.Context) error { return r.greet(ctx, e) }); joined {
			opened = commit(d)
		}
	}
	if d.err != nil {
		r.refuse(d.err, joined)
	}
	fresh := slices.ContainsFunc(opened, func(o envelope.Opened) bool { return o.Err == nil })
	if fresh && !planted.Fault(planted.HandlesLate) && r.late(d.checked.Envelope(), uint64(len(opened))) {
		return
	}
	r.hand(opened, d.topic, joined)
}

// late reports whether messages, the first of which is given, are older than what was handed over of their publisher's
// process on this topic. They took another way, one that a fault had held up: a reader that handles them now would see
// the past again, so they count as lost. Two sessions that hear the same, while one replaces the other, are no such case.
func (r *Subscription) late(first envelope.Envelope, count uint64) bool {
	h := r.heard(envelope.Stream{Credential: first.Credential, To: first.To})
	r.mu.Lock()
	defer r.mu.Unlock()
	last := first.Counter + count - 1
	if last < h.newest && r.agent.link.now() >= r.overlap.Load() {
		r.dropped += count
		r.agent.link.options.logger.Warn("messages came too late and are not delivered", "pattern", r.pattern, "count", count)
		return true
	}
	h.newest = max(h.newest, last)
	return false
}

// commit lets a delivery that was checked be handled. What has changed about its sender while it waited is d.err.
func commit(d *delivery) []envelope.Opened {
	if d.err != nil {
		return nil
	}
	opened := d.session.commit(d.checked)
	if len(opened) > 0 && unknownSender(opened[0].Err) {
		d.err, opened = opened[0].Err, nil
	}
	return opened
}

// learn does what teaches this agent something about the sender of a delivery, and then checks the delivery anew. It
// reports whether that was done.
func (r *Subscription) learn(d *delivery, ask func(ctx context.Context) error) bool {
	if !r.ingress.park(d.line) {
		return false
	}
	defer r.ingress.unpark(d.line)
	ctx, cancel := context.WithTimeout(r.agent.crew.ctx, askTime)
	defer cancel()
	if err := ask(ctx); err != nil {
		if r.agent.crew.ctx.Err() == nil {
			r.agent.link.options.logger.Debug("sender not learned", "subject", d.subject, "error", err)
		}
		return false
	}
	d.line.learned.Add(1)
	d.again()
	return true
}

// meet learns who the sender of a delivery is.
func (r *Subscription) meet(ctx context.Context, d *delivery) error {
	_, err := d.session.meet(ctx, d.data, d.subject, d.err)
	return err
}

// refuse reports a message that is not handled. Those from before a join are refused as a matter of course: without
// the publisher's own word nobody can tell whether they are new.
func (r *Subscription) refuse(err error, joined bool) {
	l := r.agent.link
	twice := errors.Is(err, envelope.ErrReplayed) && l.now() < r.overlap.Load()
	if joined || twice || errors.Is(err, envelope.ErrNotJoined) || errors.Is(err, envelope.ErrNoKey) || l.crew.ctx.Err() != nil {
		l.options.logger.Debug("message not delivered", "pattern", r.pattern, "error", err)
		return
	}
	l.options.logger.Warn("message refused", "code", string(fault.CodeOf(err)), "error", err)
}

// hand has the messages of one delivery handled, one after the other, when other senders' lines hand over none.
func (r *Subscription) hand(opened []envelope.Opened, topic string, joined bool) {
	if len(opened) == 0 {
		return // what nobody is to handle waits for no handler
	}
	ctx := r.agent.crew.ctx
	if r.turn.enter(ctx) != nil {
		return // closed
	}
	defer r.turn.leave()
	var from Peer // of all: a delivery has one sender
	for _, o := range opened {
		if o.Err != nil {
			r.refuse(o.Err, joined)
			continue
		}
		if r.stopped.Load() || ctx.Err() != nil {
			return
		}
		if from.ID.IsZero() {
			from = peerOf(o.Message.From())
		}
		d := &Delivery{From: from, Topic: topic, Content: o.Message.Content(), Trace: o.Message.Trace(), message: o.Message}
		if _, err := r.handler(withTrace(ctx, d.Trace), d); err != nil {
			r.agent.link.options.logger.Warn("message handler failed", "topic", topic, "error", err)
		}
	}
}

// own reports whether an envelope is this agent's own process's, which does not read what it publishes.
func (r *Subscription) own(e envelope.Envelope) bool {
	for _, s := range r.agent.link.sessions() {
		if s.process.Credential().ID() == e.Credential {
			return true
		}
	}
	return false
}

func covers(pattern, topic string) bool { return identity.MatchCapability([]string{pattern}, topic) }
