package natsbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
)

// Dial connects to one of the addresses, whichever answers first, and keeps the connection up, at whatever address,
// until Close or until all of them refuse it [Options.Refusals] times in a row: an address where nobody answers is a
// hope. Errors: [ErrOptions], [ErrToken], [bus.ErrUnreachable] if some address gave no answer, otherwise [ErrRefused] or
// [peertls.ErrPin]; ctx's.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if len(o.Addresses) == 0 || len(o.Pins) == 0 || o.Present == nil {
		return nil, ErrOptions
	}
	shown := &presenter{present: o.Present}
	if _, err := shown.certificate(); err != nil { // better now than as a failed handshake
		return nil, err
	}
	o = o.withDefaults()
	dialer, err := newDialer(o.DialTimeout, o.Pins, shown.certificate)
	if err != nil {
		return nil, err
	}
	c := newConn(o)
	c.dialer = dialer
	if redialling := o.Observer.Redialling; redialling != nil {
		dialer.before = redialling
	}
	c.addresses = o.order(nil, o.Addresses)
	err = c.connect(ctx, append(common(c),
		nats.SetCustomDialer(c.dialer), nats.SkipHostLookup(), nats.Secure(c.dialer.config), nats.TLSHandshakeFirst(),
		nats.TokenHandler(shown.connectToken), nats.IgnoreDiscoveredServers(), nats.DontRandomize(), // order did
	))
	if err != nil {
		c.dialer.abort()
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
	err := c.connect(ctx, append(common(c), nats.InProcessServer(breakingPipe{pipe}), nats.Token(secret)))
	if err != nil {
		return nil, err
	}
	return c, nil
}

func newConn(o Options) *Conn {
	return &Conn{options: o, done: make(chan struct{}), subs: map[*subscription]struct{}{}, addresses: []string{nats.DefaultURL}} // in process it stands for the pipe
}

// common returns the options that every connection has.
func common(c *Conn) []nats.Option {
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
	if c.dialer != nil {
		defer context.AfterFunc(ctx, c.dialer.abort)()
	}
	c.sweep.Store(int32(len(c.addresses)))
	c.up.Store(true) // before any callback can say otherwise
	var failed error
	for _, address := range c.addresses {
		built.Servers = []string{address}
		nc, err := built.Connect()
		if err == nil {
			c.nc = nc
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("natsbus: connect: %w", ctx.Err())
		}
		if err = connectError(err); failed == nil || errors.Is(err, bus.ErrUnreachable) {
			failed = err
		}
	}
	if c.nc == nil || c.dialer == nil {
		return failed
	}
	node := c.dialer.proved()
	c.node.CompareAndSwap(nil, &node) // a callback knows better
	if err := c.nc.SetServerPool(c.addresses); err != nil {
		c.nc.Close()
		return connectError(err)
	}
	return nil
}

// Node returns the node whose key the connection proved; zero in process and while there is no connection. It follows
// the connection to other nodes.
func (c *Conn) Node() identity.ID {
	if node := c.node.Load(); node != nil && c.up.Load() {
		return *node
	}
	return identity.ID{}
}

// Extend adds addresses of nodes to those known and replaces the pins, for all handshakes to come. A connection to a node
// that is not among the pins is broken and comes back at another. It waits for an attempt to connect that is under way,
// twice [Options.DialTimeout] at most, and must not be called by the observer. Errors: [ErrOptions] in process and without
// a pin, what is wrong with a pin, [bus.ErrClosed]; nothing has changed then.
func (c *Conn) Extend(addresses []string, pins []identity.ID) error {
	if c.dialer == nil || len(pins) == 0 {
		return ErrOptions
	}
	if _, err := peertls.Client(pins, nil); err != nil {
		return err
	}
	c.pool.Lock()
	defer c.pool.Unlock()
	all := c.options.order(c.addresses, addresses)
	if len(all) > len(c.addresses) {
		if err := c.nc.SetServerPool(all); err != nil {
			return callError("extend", err)
		}
		c.addresses = all
		c.sweep.Store(int32(len(all)))
	}
	return c.dialer.pin(pins)
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
