package sdk

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
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
	s := a.link.current()
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
// covers, of every process that publishes on them. Messages of one process come in the order it sent them, one at a
// time; a slow fn makes the bounded queue drop, which the logger is told.
func (a *Agent) SubscribeBytes(pattern string, fn HandlerFunc) (*Subscription, error) {
	if err := identity.CheckCapabilities([]string{pattern}); err != nil {
		return nil, err
	}
	r := &Subscription{agent: a, pattern: pattern, handler: a.service.wrap(fn), turn: newLane(), joined: map[envelope.Stream]bool{}}
	ctx, cancel := context.WithTimeout(a.crew.ctx, askTime)
	defer cancel()
	if err := r.attach(a.link.current()); err != nil {
		return nil, err
	}
	a.reading.add(r)
	return r, r.join(ctx)
}
