package sdk

import (
	"context"
	"errors"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// joinContent asks a publisher from which counter on its messages on a topic are to be accepted, and for the keys that
// they are encrypted under.
type joinContent struct {
	Topic string `cbor:"1,keyasint"`
}

// joinedContent is the answer. It travels encrypted.
type joinedContent struct {
	First   uint64   `cbor:"1,keyasint"`
	Secrets [][]byte `cbor:"2,keyasint,omitempty"` // of sender keys, the one in use last; none of a plain topic
}

// PublishBytes queues one message to be signed and sent, and returns at once; it blocks while the queue is full. The
// content is copied. Who must know that the message has left calls [Receipt.Wait] or [Agent.Flush]. Readers that have
// joined this process get it at most once, those of one topic in the order in which it was published. It is encrypted
// for them, unless the policy leaves the topic plain.
//
// At the first message on a topic the process is announced as its publisher; readers that subscribed before then join
// within a few seconds, and miss what was published until then.
//
// Errors: an invalid topic, denied where the agent's level does not publish on it, too_large, [ErrClosed], ctx's.
func PublishBytes(ctx context.Context, a *Agent, topic string, content []byte) (Receipt, error) {
	m := envelope.Member{Content: content, Trace: traceOf(ctx)}
	for {
		s := a.link.current()
		t := s.publishing.known(topic)
		if t == nil {
			var err error
			if t, err = a.publication(ctx, s, topic); err != nil {
				return Receipt{}, err
			}
		}
		r, err := s.egress.post(ctx, &t.route, m)
		if !errors.Is(err, errRetired) {
			return r, err
		}
	}
}

// publication makes a session's publication of a topic, once the process is announced as its publisher.
func (a *Agent) publication(ctx context.Context, s *session, topic string) (*publication, error) {
	if err := identity.CheckCapability(topic); err != nil {
		return nil, err
	}
	if err := a.Advertise(ctx, topic); err != nil {
		return nil, err
	}
	return s.publishing.to(topic)
}

// Flush returns when the node has taken all that was published before. The error is the first of a message published
// since the last Flush, or ctx's.
func (a *Agent) Flush(ctx context.Context) error { return a.link.current().egress.drained(ctx) }

// Advertise announces the process as a publisher on the topic, so that readers join it before the first message.
// Denied where the agent's level does not publish on it.
func (a *Agent) Advertise(ctx context.Context, topic string) error {
	if a.service.publishes(topic) {
		return nil
	}
	me, err := a.circle.who(ctx, control.Who{ID: a.ID()})
	if err != nil {
		return err
	}
	return a.service.advertise(ctx, topic, me.Level)
}

// SubscribeBytes has fn called for every verified message on a topic, or on all topics that a pattern ("a.b.*", "*")
// covers, of every process that publishes on them, one at a time. Messages of one process on one topic come in the
// order in which it sent them. A slow fn makes the bounded queue drop, which the logger is told.
func SubscribeBytes(a *Agent, pattern string, fn HandlerFunc) (*Subscription, error) {
	if err := identity.CheckCapabilities([]string{pattern}); err != nil {
		return nil, err
	}
	r := newSubscription(a, pattern, a.service.wrap(fn))
	ctx, cancel := context.WithTimeout(a.crew.ctx, askTime)
	defer cancel()
	if err := r.attach(a.link.current()); err != nil {
		return nil, err
	}
	a.reading.add(r)
	return r, r.join(ctx)
}
