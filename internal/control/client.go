package control

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// ErrNoAnswer is returned when a node does not answer in time. Whether a command took effect is then unknown.
var ErrNoAnswer = fault.New(fault.Uncertain, "control: the node did not answer in time")

// Client asks one node. It is safe for concurrent use.
type Client struct {
	conn    bus.Conn
	subject func(id bus.Token) string
	sub     bus.Subscription

	mu      sync.Mutex
	waiting map[bus.Token]chan Reply
}

// Party is who asks: a principal's process, or a one-time key that wants to enrol.
type Party struct {
	Realm     wire.Realm
	Node      identity.ID
	Principal identity.ID
	Process   bus.Token
	OneTime   wire.PublicKey // instead of Principal and Process
}

// NewClient subscribes to the party's control replies. The connection stays the caller's.
func NewClient(conn bus.Conn, p Party) (*Client, error) {
	realm := bus.In(p.Realm)
	c := &Client{conn: conn, waiting: map[bus.Token]chan Reply{}}
	replies := realm.ControlReplies(p.Principal, p.Process)
	c.subject = func(id bus.Token) string { return realm.Control(p.Node, p.Principal, p.Process, id) }
	if p.Principal.IsZero() {
		replies = realm.ControlReplies(bus.OneTime(p.OneTime), bus.OneTimeProcess(p.OneTime))
		c.subject = func(id bus.Token) string { return realm.Enrol(p.Node, p.OneTime, id) }
	}
	sub, err := conn.Subscribe(replies, func(subject string, data []byte) {
		s, err := realm.Parse(subject)
		if err != nil {
			return
		}
		c.deliver(s.ID, data)
	})
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	c.sub = sub
	return c, nil
}

func (c *Client) deliver(id bus.Token, data []byte) {
	var r Reply
	if err := wire.Decode(data, &r); err != nil {
		r = Reply{Code: fault.Malformed, Message: err.Error()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.waiting[id]; ok {
		ch <- r // holds one, and is taken out here
		delete(c.waiting, id)
	}
}

// Close ends the subscription. Requests under way end with their contexts.
func (c *Client) Close() error { return c.sub.Unsubscribe() }

// Ask sends one request and decodes its answer into out, which may be nil. Errors: what the node refuses with,
// [ErrNoAnswer] when ctx ends first, the connection's.
func (c *Client) Ask(ctx context.Context, op Op, in, out any) error {
	body, err := wire.Encode(in)
	if err != nil {
		return err
	}
	request, err := wire.Encode(Request{Op: op, Body: body})
	if err != nil {
		return err
	}
	id, err := bus.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	answer := make(chan Reply, 1)
	c.mu.Lock()
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if err := c.conn.Publish(ctx, c.subject(id), request); err != nil {
		return err
	}
	select {
	case r := <-answer:
		if err := r.Err(); err != nil || out == nil {
			return err
		}
		return wire.Decode(r.Body, out)
	case <-c.conn.Done():
		return fmt.Errorf("%s: %w", op, c.conn.Err())
	case <-ctx.Done():
		return fmt.Errorf("%s: %w: %w", op, ErrNoAnswer, ctx.Err())
	}
}
