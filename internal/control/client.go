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

var (
	// ErrNoAnswer is returned when a node does not answer in time. Whether a command took effect is then unknown.
	ErrNoAnswer = fault.New(fault.Uncertain, "control: the node did not answer in time")
	// ErrCut is returned when the connection goes down while a request is under way. Whether a command took effect is
	// then unknown; the same signed command can be handed in again, and takes effect once.
	ErrCut     = fault.New(fault.Uncertain, "control: the connection went down before the node answered")
	errNowhere = fmt.Errorf("control: %w", bus.ErrUnreachable)
)

// Client asks the node that its connection stands at. It is safe for concurrent use.
type Client struct {
	conn    bus.Conn
	node    func() identity.ID
	cut     func() <-chan struct{}
	subject func(node identity.ID, id bus.Token) string
	sub     bus.Subscription

	mu      sync.Mutex
	waiting map[bus.Token]chan Reply
}

// Party is who asks: a principal's process, or a one-time key that wants to enrol.
type Party struct {
	Realm     wire.Realm
	Node      identity.ID // who is asked, unless the connection is [bus.Located]
	Principal identity.ID
	Process   bus.Token
	OneTime   wire.PublicKey // instead of Principal and Process
	// Cut returns a channel that is closed when the connection goes down next: requests under way then end at once,
	// with [ErrCut]. nil: they wait as long as their contexts. It must be safe for concurrent use.
	Cut func() <-chan struct{}
}

// NewClient subscribes to the party's control replies. The connection stays the caller's.
func NewClient(conn bus.Conn, p Party) (*Client, error) {
	realm := bus.In(p.Realm)
	c := &Client{conn: conn, cut: p.Cut, waiting: map[bus.Token]chan Reply{}}
	if c.cut == nil {
		c.cut = func() <-chan struct{} { return nil }
	}
	c.node = func() identity.ID { return p.Node }
	if at, ok := conn.(bus.Located); ok {
		c.node = at.Node
	}
	replies := realm.ControlReplies(p.Principal, p.Process)
	c.subject = func(node identity.ID, id bus.Token) string { return realm.Control(node, p.Principal, p.Process, id) }
	if p.Principal.IsZero() {
		replies = realm.ControlReplies(bus.OneTime(p.OneTime), bus.OneTimeProcess(p.OneTime))
		c.subject = func(node identity.ID, id bus.Token) string { return realm.Enrol(node, p.OneTime, id) }
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

// Ask sends one request to the node that the connection stands at now, and decodes its answer into out, which may be
// nil. Errors: what the node refuses with; [ErrNoAnswer] when ctx ends first; [ErrCut]; [bus.ErrUnreachable] where the
// connection stands nowhere, and nothing was sent; the connection's.
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
	cut := c.cut() // before the node is looked at: a request that misses it for that does not wait
	node := c.node()
	if node.IsZero() {
		return fmt.Errorf("%s: %w", op, errNowhere)
	}
	if err := c.conn.Publish(ctx, c.subject(node, id), request); err != nil {
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
	case <-cut:
		return fmt.Errorf("%s: %w", op, ErrCut)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w: %w", op, ErrNoAnswer, ctx.Err())
	}
}
