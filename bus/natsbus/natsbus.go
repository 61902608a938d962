package natsbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
)

var (
	// ErrRefused is returned when the nodes do not accept the credential: unknown, expired, quarantined or revoked.
	ErrRefused = fault.New(fault.Denied, "natsbus: the node refused the connection")
	// ErrOptions is returned when options lack an address, a pin or a credential.
	ErrOptions = fault.New(fault.Usage, "natsbus: addresses, pins and a credential are needed")
)

// roundTrip bounds calls that wait for the node and were given no deadline.
const roundTrip = 5 * time.Second

var (
	_ bus.Conn    = (*Conn)(nil)
	_ bus.Located = (*Conn)(nil)
)

// Conn is a connection over NATS. See [bus.Conn] for its contract.
type Conn struct {
	nc       *nats.Conn // set when connect returns; callbacks, which may come before, use their own
	options  Options
	dialer   *dialer     // nil in process
	up       atomic.Bool // as nats.go last said; asking it would wait for its dialling
	node     atomic.Pointer[identity.ID]
	refusals atomic.Int32 // in a row, by whichever address
	sweep    atomic.Int32 // how many addresses there are
	refused  atomic.Bool  // too often, so it ended
	subjects lastSubject
	done     chan struct{}

	telling teller

	pool      sync.Mutex // held while addresses and pins change
	addresses []string

	mu     sync.Mutex
	subs   map[*subscription]struct{}
	closed bool  // by Close
	err    error // why it ended; set before done is closed
}

// Publish implements [bus.Conn].
func (c *Conn) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !c.subjects.valid(subject) {
		return fmt.Errorf("publish: %w", bus.ErrSubject)
	}
	if err := c.standing(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := c.nc.Publish(subject, data); err != nil {
		return callError("publish", err)
	}
	return nil
}

func callError(call string, err error) error {
	switch {
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("%s: %w", call, bus.ErrClosed)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%s: %w", call, bus.ErrTooLarge)
	case errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("%s: %w", call, bus.ErrSubject)
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		return fmt.Errorf("%s: %w: %w", call, bus.ErrDenied, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", call, err)
	}
	return fmt.Errorf("%s: %w: %w", call, bus.ErrUnreachable, err)
}

// lastSubject remembers the subject that was published on last, because the next message mostly goes there too.
type lastSubject struct {
	mu   sync.Mutex
	last string
}

func (l *lastSubject) valid(subject string) bool {
	if !l.mu.TryLock() {
		return bus.ValidSubject(subject)
	}
	defer l.mu.Unlock()
	if subject == l.last && subject != "" {
		return true
	}
	ok := bus.ValidSubject(subject)
	if ok {
		l.last = subject
	}
	return ok
}

// standing refuses what cannot go out now, without waiting for anything.
func (c *Conn) standing() error {
	select {
	case <-c.done:
		return bus.ErrClosed
	default:
	}
	if !c.up.Load() {
		return bus.ErrUnreachable
	}
	return nil
}

// Flush implements [bus.Conn]. Without a deadline in ctx it waits 5 s at most.
func (c *Conn) Flush(ctx context.Context) error {
	if err := c.standing(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, roundTrip)
	defer cancel()
	err := c.nc.FlushWithContext(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && bounded.Err() != nil:
		return fmt.Errorf("flush: %w", bus.ErrUnreachable)
	}
	return callError("flush", err)
}

// Close implements [bus.Conn].
func (c *Conn) Close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closed && c.err == nil
	c.closed = true
	c.mu.Unlock()
	if first && c.up.Load() {
		for _, s := range c.live() {
			s.count()
			_ = s.nats.Unsubscribe() // the connection may be going down: then nothing more comes either
		}
		_ = c.Flush(ctx) // a broken connection has nothing to flush
	}
	if c.dialer != nil {
		c.dialer.abort()
	}
	c.nc.Close()
	for _, s := range c.live() {
		s.finish()
	}
	for _, s := range c.live() {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Conn) live() []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	subs := make([]*subscription, 0, len(c.subs))
	for s := range c.subs {
		subs = append(subs, s)
	}
	return subs
}

// Done implements [bus.Conn].
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err implements [bus.Conn].
func (c *Conn) Err() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// teller runs the observer's functions, one at a time.
type teller struct{ mu sync.Mutex }

func (t *teller) tell(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// The functions below run in nats.go's one goroutine for callbacks.

func (c *Conn) onError(nc *nats.Conn, sub *nats.Subscription, err error) {
	o := c.options.Observer
	switch {
	case sub != nil && errors.Is(err, nats.ErrSlowConsumer):
		c.reportMissed(sub)
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		if o.Refused != nil {
			c.telling.tell(func() { o.Refused(fmt.Errorf("%w: %w", bus.ErrDenied, err)) })
		}
	case errors.Is(err, nats.ErrAuthorization):
		c.countRefusal(nc)
	}
}

func (c *Conn) reportMissed(sub *nats.Subscription) {
	for _, s := range c.live() {
		if s.nats != sub {
			continue
		}
		s.count()
		total := s.missed.Load()
		if n := total - s.reported; n > 0 {
			s.reported = total
			c.reportDropped(s.pattern, n)
		}
	}
}

// reportDropped is called by subscriptions' goroutines too.
func (c *Conn) reportDropped(pattern string, n uint64) {
	if dropped := c.options.Observer.Dropped; dropped != nil {
		c.telling.tell(func() { dropped(pattern, n) })
	}
}

// countRefusal ends the connection when the nodes have refused it too often. Once is not enough: a node may not have
// heard of the principal yet, or the credential was renewed a moment ago. The addresses take turns, so so many refusals
// in a row are so many by each.
func (c *Conn) countRefusal(nc *nats.Conn) {
	if c.refusals.Add(1) >= int32(c.options.Refusals)*c.sweep.Load() {
		c.refused.Store(true)
		nc.Close()
	}
}

func (c *Conn) onFailedAttempt(nc *nats.Conn, err error) {
	var alert tls.AlertError
	if c.dialer == nil || errors.As(err, &alert) || errors.Is(err, peertls.ErrPin) { // a pipe has no bad weather
		c.countRefusal(nc)
		return
	}
	c.refusals.Store(0) // whoever did not answer may yet admit
}

func (c *Conn) onConnected(*nats.Conn) {
	c.refusals.Store(0)
	if c.dialer != nil {
		node := c.dialer.proved()
		c.node.Store(&node)
	}
	c.up.Store(true)
	if connected := c.options.Observer.Connected; connected != nil {
		c.telling.tell(connected)
	}
}

func (c *Conn) onDisconnected(nc *nats.Conn, err error) {
	c.up.Store(false)
	if disconnected := c.options.Observer.Disconnected; disconnected != nil && !nc.IsClosed() {
		c.telling.tell(func() { disconnected(err) })
	}
}

func (c *Conn) onClosed(*nats.Conn) {
	c.up.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		c.err = bus.ErrClosed
	case c.dialer != nil && c.refused.Load():
		c.err = ErrRefused
	default:
		c.err = bus.ErrUnreachable
	}
	for s := range c.subs {
		s.finish()
	}
	close(c.done)
}
