package natsbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
)

// dialer dials and shakes hands for nats.go. It can be told to stop at once, which nats.go cannot, because it holds its
// locks meanwhile; its pins can change; and it knows which node answered.
type dialer struct {
	net.Dialer
	config *tls.Config
	ctx    context.Context // the life of all dialling, not of one call
	cancel context.CancelFunc

	before func() // is told of each attempt

	mu     sync.Mutex
	pins   []identity.ID
	verify func(tls.ConnectionState) error // compares with the pins
	conn   net.Conn                        // the newest
	node   identity.ID                     // whose key it proved
}

// newDialer returns a dialer that talks to the pinned nodes and presents what certificate returns. Errors: those of
// [peertls.Client].
func newDialer(timeout time.Duration, pins []identity.ID, certificate func() (*tls.Certificate, error)) (*dialer, error) {
	d := &dialer{Dialer: net.Dialer{Timeout: timeout}, before: func() {}}
	if err := d.pin(pins); err != nil {
		return nil, err
	}
	config, err := peertls.Client(pins, certificate)
	if err != nil {
		return nil, err
	}
	d.config = config.Clone()
	d.config.VerifyConnection = d.check
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// pin replaces the pins and cuts a connection to a node that is not among them. Errors: those of [peertls.Client].
func (d *dialer) pin(pins []identity.ID) error {
	config, err := peertls.Client(pins, nil)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pins, d.verify = append([]identity.ID{}, pins...), config.VerifyConnection
	if d.conn != nil && !d.node.IsZero() && !d.pinned(d.node) {
		_ = d.conn.Close() // whoever uses it sees the error
	}
	return nil
}

func (d *dialer) pinned(node identity.ID) bool {
	for _, pin := range d.pins {
		if pin == node {
			return true
		}
	}
	return false
}

// check is the end of every handshake.
func (d *dialer) check(state tls.ConnectionState) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.verify(state); err != nil {
		return err
	}
	key, err := peertls.Peer(state)
	d.node = identity.NewID(identity.Node, key)
	return err
}

// SkipTLSHandshake tells nats.go that Dial returns what is TLS already.
func (d *dialer) SkipTLSHandshake() bool { return true }

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.before()
	conn, err := d.DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := d.hold(conn); err != nil {
		return nil, err
	}
	secure := tls.Client(breaking{conn}, d.config)
	ctx, cancel := context.WithTimeout(d.ctx, d.Timeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error says more
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: no TLS handshake in time: %w", bus.ErrUnreachable, err)
		}
		return nil, fmt.Errorf("natsbus: handshake: %w", err)
	}
	return secure, nil
}

// hold makes a connection the newest.
func (d *dialer) hold(conn net.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return errors.Join(d.ctx.Err(), conn.Close())
	}
	d.conn, d.node = conn, identity.ID{}
	return nil
}

// proved returns the node that the newest connection proved, or zero.
func (d *dialer) proved() identity.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node
}

// abort ends dialling for good and cuts the connection made last.
func (d *dialer) abort() {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close() // whoever uses it sees the error
	}
}

// breaking is a connection that a failed write ends. nats.go goes on with one of which a write has failed before its
// first byte went out, over TLS until the node has missed some pings, and loses what is published meanwhile.
type breaking struct{ net.Conn }

// Write implements net.Conn.
func (b breaking) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	if err != nil {
		_ = b.Close() // who reads it sees the error
	}
	return n, err
}

// breakingPipe is a pipe whose connections are breaking.
type breakingPipe struct{ Pipe }

// InProcessConn implements [Pipe].
func (p breakingPipe) InProcessConn() (net.Conn, error) {
	conn, err := p.Pipe.InProcessConn()
	if err != nil {
		return nil, err
	}
	return breaking{conn}, nil
}
