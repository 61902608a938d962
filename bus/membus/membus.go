// Package membus is the bus in memory: the same contract and permissions as over a network, with loss, duplicates and
// disorder on demand, the same for the same seed. It is for tests and simulations.
package membus

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/internal/feed"
)

var _ bus.Conn = (*Conn)(nil)

// Faults is what a network does to messages, each in per mille of them, for every subscriber by itself. The zero value
// does nothing.
type Faults struct {
	Seed      uint64
	Drop      int // lost
	Duplicate int // delivered twice
	Reorder   int // held back until after the next one, or the next Flush
}

// Options of a network. The zero value is a network without faults and with the defaults.
type Options struct {
	Faults     Faults
	MaxPayload int // bytes of one message; 256 KiB if 0
	Queue      int // messages that a subscription holds beside the one being handled; 1,024 if 0
	QueueBytes int // bytes of their data; 32 MiB if 0
}

// Network joins connections. It is safe for concurrent use.
type Network struct {
	options Options

	mu     sync.Mutex
	random *rand.Rand
	conns  []*Conn
}

// New makes a network that nobody has joined.
func New(o Options) *Network {
	if o.MaxPayload == 0 {
		o.MaxPayload = 256 << 10
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	return &Network{options: o, random: rand.New(rand.NewPCG(o.Faults.Seed, 1))}
}

// SetFaults changes what the network does to messages from now on. The seed is that of [New].
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.options.Faults = f
}

// Join returns a connection that may do what p allows.
func (n *Network) Join(p bus.Permissions, o bus.Observer) *Conn {
	return n.join(p, o, feed.Bounds{Items: n.options.Queue, Bytes: n.options.QueueBytes})
}

func (n *Network) join(p bus.Permissions, o bus.Observer, queue feed.Bounds) *Conn {
	if queue.Bytes == 0 {
		queue.Bytes = 32 << 20
	}
	c := &Conn{network: n, permissions: p, observer: o, queue: queue, done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c
}

// Permit changes what a live connection may do. Subscriptions that p does not allow end.
func (n *Network) Permit(c *Conn, p bus.Permissions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.permissions = p
	c.subs = slices.DeleteFunc(c.subs, func(s *subscription) bool {
		if p.MaySubscribe(s.pattern) {
			return false
		}
		s.feed.End()
		return true
	})
}

// Expel ends a connection for the reason given, as a node does that refuses it: nothing it has queued is handled.
func (n *Network) Expel(c *Conn, reason error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.leave(c, reason) {
		s.feed.End()
	}
}

// leave takes the connection out of the network and returns the subscriptions it had. n.mu is held.
func (n *Network) leave(c *Conn, reason error) []*subscription {
	if c.err != nil {
		return nil
	}
	c.err = reason
	close(c.done)
	n.conns = slices.DeleteFunc(n.conns, func(other *Conn) bool { return other == c })
	subs := c.subs
	c.subs = nil
	return subs
}

// Conn is one connection to a [Network].
type Conn struct {
	network     *Network
	permissions bus.Permissions // these four under network.mu
	subs        []*subscription
	err         error
	observer    bus.Observer
	queue       feed.Bounds
	done        chan struct{}
}

type message struct {
	subject string
	data    []byte
}

type subscription struct {
	conn    *Conn
	pattern string
	feed    *feed.Feed[message]
	held    []message // by a fault, under network.mu
}

// Publish implements [bus.Conn].
func (c *Conn) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case c.err != nil:
		return bus.ErrClosed
	case !bus.ValidSubject(subject):
		return fmt.Errorf("publish: %w", bus.ErrSubject)
	case len(data) > n.options.MaxPayload:
		return fmt.Errorf("publish %d bytes: %w", len(data), bus.ErrTooLarge)
	case !c.permissions.MayPublish(subject):
		return fmt.Errorf("publish on %s: %w", subject, bus.ErrDenied)
	}
	for _, other := range n.conns {
		for _, s := range other.subs {
			if bus.Covers(s.pattern, subject) {
				n.deliver(s, message{subject, bytes.Clone(data)})
			}
		}
	}
	return nil
}

// deliver queues m for one subscription, with the network's faults. n.mu is held.
func (n *Network) deliver(s *subscription, m message) {
	f := n.options.Faults
	if f.Drop > 0 && n.random.IntN(1000) < f.Drop {
		return
	}
	if f.Reorder > 0 && n.random.IntN(1000) < f.Reorder {
		s.held = append(s.held, m)
		return
	}
	s.put(m)
	if f.Duplicate > 0 && n.random.IntN(1000) < f.Duplicate {
		s.put(message{m.subject, bytes.Clone(m.data)})
	}
	s.release()
}

func (s *subscription) release() {
	for _, m := range s.held {
		s.put(m)
	}
	s.held = nil
}

func (s *subscription) put(m message) {
	if lost := s.feed.Put(m, len(m.data)); lost > 0 && s.conn.observer.Dropped != nil {
		s.conn.observer.Dropped(s.pattern, lost)
	}
}

// Subscribe implements [bus.Conn].
func (c *Conn) Subscribe(pattern string, fn func(subject string, data []byte)) (bus.Subscription, error) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, bus.ErrClosed
	case !bus.ValidPattern(pattern):
		return nil, fmt.Errorf("subscribe: %w", bus.ErrSubject)
	case !c.permissions.MaySubscribe(pattern):
		return nil, fmt.Errorf("subscribe to %s: %w", pattern, bus.ErrDenied)
	}
	s := &subscription{conn: c, pattern: pattern}
	s.feed = feed.New(c.queue, func(m message) { fn(m.subject, m.data) })
	s.feed.Run()
	c.subs = append(c.subs, s)
	return s, nil
}

// Unsubscribe implements [bus.Subscription].
func (s *subscription) Unsubscribe() error {
	n := s.conn.network
	n.mu.Lock()
	defer n.mu.Unlock()
	s.conn.subs = slices.DeleteFunc(s.conn.subs, func(other *subscription) bool { return other == s })
	s.feed.End()
	return nil
}

// Drain implements [bus.Subscription].
func (s *subscription) Drain(ctx context.Context) error {
	n := s.conn.network
	n.mu.Lock()
	s.release()
	s.conn.subs = slices.DeleteFunc(s.conn.subs, func(other *subscription) bool { return other == s })
	n.mu.Unlock()
	s.feed.Drain()
	select {
	case <-s.feed.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Dropped implements [bus.Subscription].
func (s *subscription) Dropped() uint64 { return s.feed.Dropped() }

// Flush implements [bus.Conn]. It also lets go of what faults have held back anywhere in the network.
func (c *Conn) Flush(ctx context.Context) error {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.err != nil {
		return bus.ErrClosed
	}
	for _, other := range n.conns {
		for _, s := range other.subs {
			s.release()
		}
	}
	return ctx.Err()
}

// Close implements [bus.Conn].
func (c *Conn) Close(ctx context.Context) error {
	n := c.network
	n.mu.Lock()
	subs := n.leave(c, bus.ErrClosed)
	n.mu.Unlock()
	for _, s := range subs {
		s.feed.Drain()
	}
	for _, s := range subs {
		select {
		case <-s.feed.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Done implements [bus.Conn].
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err implements [bus.Conn].
func (c *Conn) Err() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return c.err
}
