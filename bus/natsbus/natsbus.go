package natsbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
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

var _ bus.Conn = (*Conn)(nil)

// Conn is a connection over NATS. See [bus.Conn] for its contract.
type Conn struct {
	nc       *nats.Conn // set when connect returns; callbacks, which may come before, use their own
	options  Options
	dialer   *dialer     // nil in process
	up       atomic.Bool // as nats.go last said; asking it would wait for its dialling
	refusals atomic.Int32
	subjects lastSubject
	done     chan struct{}

	telling sync.Mutex // held while an observer's function runs

	mu     sync.Mutex
	subs   map[*subscription]struct{}
	closed bool  // by Close
	err    error // why it ended; set before done is closed
}

// Dial connects to one of the addresses, whichever answers first in the order given, and keeps the connection up until
// Close or until the nodes refuse it [Options.Refusals] times in a row. Errors: [ErrOptions], [ErrToken], [ErrRefused],
// [peertls.ErrPin], [bus.ErrUnreachable], ctx's.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if len(o.Addresses) == 0 || len(o.Pins) == 0 || o.Present == nil {
		return nil, ErrOptions
	}
	shown := &presenter{present: o.Present}
	if _, err := shown.certificate(); err != nil { // better now than as a failed handshake
		return nil, err
	}
	config, err := peertls.Client(o.Pins, shown.certificate)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c := newConn(o)
	c.dialer = newDialer(o.DialTimeout)
	err = c.connect(ctx, append(c.common(),
		nats.SetCustomDialer(c.dialer), nats.SkipHostLookup(), nats.Secure(config), nats.TLSHandshakeFirst(), nats.TokenHandler(shown.connectToken),
		nats.IgnoreDiscoveredServers(), nats.DontRandomize(),
	))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Pipe is a broker in this process; nats-server's Server is one.
type Pipe interface {
	// InProcessConn returns one end of a new connection.
	InProcessConn() (net.Conn, error)
}

// InProcess connects a node to the broker in its own process, with the secret that the broker made at its start. If
// the broker cuts it, because it was too slow, it comes back; when the broker has ended it ends.
func InProcess(ctx context.Context, pipe Pipe, secret string, o bus.Observer) (*Conn, error) {
	c := newConn(Options{Observer: o, MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond}.withDefaults())
	err := c.connect(ctx, append(c.common(), nats.InProcessServer(breakingPipe{pipe}), nats.Token(secret)))
	if err != nil {
		return nil, err
	}
	return c, nil
}

func newConn(o Options) *Conn {
	return &Conn{options: o, done: make(chan struct{}), subs: map[*subscription]struct{}{}}
}

// common returns the options that every connection has.
func (c *Conn) common() []nats.Option {
	return []nats.Option{
		nats.Name(c.options.Name), nats.ReconnectBufSize(-1), nats.FlusherTimeout(c.options.WriteTimeout),
		nats.Timeout(c.options.DialTimeout), nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2),
		nats.SkipSubjectValidation(), // Publish has done it
		nats.PermissionErrOnSubscribe(true), nats.ErrorHandler(c.onError), nats.ReconnectHandler(c.onConnected),
		nats.DisconnectErrHandler(c.onDisconnected), nats.ReconnectErrHandler(c.onFailedAttempt),
		nats.ClosedHandler(c.onClosed), nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(c.options.delay),
	}
}

func (c *Conn) connect(ctx context.Context, options []nats.Option) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	built := nats.GetDefaultOptions()
	for _, option := range options {
		if err := option(&built); err != nil {
			return fmt.Errorf("natsbus: %w", err)
		}
	}
	built.Servers = c.options.Addresses
	if c.dialer != nil {
		defer context.AfterFunc(ctx, c.dialer.abort)()
	}
	c.up.Store(true) // before any callback can say otherwise
	nc, err := built.Connect()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("natsbus: connect: %w", ctx.Err())
		}
		return connectError(err)
	}
	c.nc = nc
	return nil
}

// connectError gives a failed attempt its code.
func connectError(err error) error {
	var alert tls.AlertError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.As(err, &alert):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case fault.CodeOf(err) != fault.Internal:
		return err // ours, from the handshake
	}
	return fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
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

// tell runs one of the observer's functions, one at a time.
func (c *Conn) tell(f func()) {
	c.telling.Lock()
	defer c.telling.Unlock()
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
			c.tell(func() { o.Refused(fmt.Errorf("%w: %w", bus.ErrDenied, err)) })
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
		c.tell(func() { dropped(pattern, n) })
	}
}

// countRefusal ends the connection when the nodes have refused it too often. Once is not enough: a node may not have
// heard of the principal yet, or the credential was renewed a moment ago.
func (c *Conn) countRefusal(nc *nats.Conn) {
	if int(c.refusals.Add(1)) >= c.options.Refusals {
		nc.Close()
	}
}

func (c *Conn) onFailedAttempt(nc *nats.Conn, err error) {
	var alert tls.AlertError
	if c.dialer == nil || errors.As(err, &alert) || errors.Is(err, peertls.ErrPin) { // a pipe has no bad weather
		c.countRefusal(nc)
	}
}

func (c *Conn) onConnected(*nats.Conn) {
	c.refusals.Store(0)
	c.up.Store(true)
	if connected := c.options.Observer.Connected; connected != nil {
		c.tell(connected)
	}
}

func (c *Conn) onDisconnected(nc *nats.Conn, err error) {
	c.up.Store(false)
	if disconnected := c.options.Observer.Disconnected; disconnected != nil && !nc.IsClosed() {
		c.tell(func() { disconnected(err) })
	}
}

func (c *Conn) onClosed(*nats.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		c.err = bus.ErrClosed
	case c.dialer != nil && int(c.refusals.Load()) >= c.options.Refusals:
		c.err = ErrRefused
	default:
		c.err = bus.ErrUnreachable
	}
	for s := range c.subs {
		s.finish()
	}
	close(c.done)
}
