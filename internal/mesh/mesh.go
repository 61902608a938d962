// Package mesh connects the nodes of one realm: TLS 1.3 connections whose both ends prove a node key of the roster, and
// calls over them.
//
// One listener serves three protocols, which ALPN tells apart. [RPC] carries calls: [Mesh.Call] on one side, a
// [Handler] on the other, many at a time over one connection to each node. [Raft] hands connections to a consensus log
// as they are ([Mesh.Streams]). [Join] takes one request of somebody who is no member yet and closes ([AskToJoin]).
//
// The dialler demands the node that it means, the listener demands a member. After the TLS handshake the dialler names
// its realm in one frame and the listener answers with one: welcome, or a refusal with its code. So a dial that
// succeeds was accepted by both ends. Members are asked for at every handshake and every call; [Mesh.Recheck] closes
// what is open with nodes that have been removed. Dates of certificates do not matter: a node whose clock is wrong
// stays connected.
//
// Refused: strangers, other realms, other TLS versions, resumed sessions, this node's own key, operations without a
// handler, frames over 1 MiB, more than the limits in this package allow. Nothing waits for a silent client.
package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Protocol names what is spoken over a connection; it is the connection's ALPN protocol.
type Protocol string

// The protocols.
const (
	Raft Protocol = "conclave-raft/1" // a consensus log's own bytes
	RPC  Protocol = "conclave-rpc/1"  // calls
	Join Protocol = "conclave-join/1" // one request of a node that asks to be admitted
)

var (
	// ErrConfig is returned by [Listen] when a field is missing or does not fit another.
	ErrConfig = fault.New(fault.Usage, "mesh: bad configuration")
	// ErrClosed is returned when the mesh was closed before anything was sent.
	ErrClosed = fault.New(fault.Unreachable, "mesh: closed")
	// ErrStranger is returned when the other end, or the node called, is not a member of the realm's roster.
	ErrStranger = fault.New(fault.Denied, "mesh: not a node of this realm's roster")
	// ErrSelf is returned when the other end proves this node's own key: two nodes run with one key, or an address
	// leads back to this node.
	ErrSelf = fault.New(fault.InUse, "mesh: the other end has this node's own key")
	// ErrRealm is returned when the other end is of another realm.
	ErrRealm = fault.New(fault.WrongRealm, "mesh: the other end is of another realm")
	// ErrUnreachable is returned when there is no connection, or none in time. Nothing was sent.
	ErrUnreachable = fault.New(fault.Unreachable, "mesh: node not reached, nothing was sent")
	// ErrUncertain is returned when a request was sent and no answer came. It may have taken effect.
	ErrUncertain = fault.New(fault.Uncertain, "mesh: no answer")
	// ErrBusy is returned when the other end works on too much, or has too many connections.
	ErrBusy = fault.New(fault.Rate, "mesh: too many at a time")
	// ErrOp is returned when the other end has no handler for an operation, or admits nobody.
	ErrOp = fault.New(fault.Denied, "mesh: no such operation here")
	// ErrFrame is returned when bytes are not a frame or message of this package.
	ErrFrame = fault.New(fault.Malformed, "mesh: malformed frame")
	// ErrTooLarge is returned when a body exceeds [MaxBody], or a request to join its own limit.
	ErrTooLarge = fault.New(fault.TooLarge, "mesh: over the size limit")
	// ErrHandler is returned to a caller whose handler panicked.
	ErrHandler = fault.New(fault.Internal, "mesh: the handler failed")
)

// Handler answers one call of a member. The context ends when the caller gives up, its connection breaks, the caller is
// removed, or the mesh closes. The body is the handler's to keep, of [MaxBody] bytes at most, as the answer may be. Its
// error reaches the caller with code, message and hint. Handlers run concurrently.
type Handler func(ctx context.Context, from identity.ID, body []byte) ([]byte, error)

// JoinHandler answers one request of somebody who proved the one-time key, and nothing more. The context ends after 30 s
// or when the mesh closes. Otherwise as [Handler].
type JoinHandler func(ctx context.Context, oneTime wire.PublicKey, body []byte) ([]byte, error)

// Config is how [Listen] makes a mesh. It is not changed afterwards; functions and handlers are called concurrently.
type Config struct {
	Self   identity.ID // this node
	Key    wire.Key    // its key
	Realm  wire.Realm  // both ends must name the same
	Listen string      // host:port; port 0 takes a free one

	// Members returns who may connect and be called, this node or not. It must not block; its result is not changed.
	Members func() []identity.ID
	// Locate returns where a node listens, host:port, and whether that is known. It must not block.
	Locate func(identity.ID) (string, bool)

	Handlers map[string]Handler // by operation, of 1 to 64 bytes; an absent one is refused
	Join     JoinHandler        // nil: nobody joins here
	Logger   *slog.Logger       // nil: none
	// Dialer opens raw connections; nil stands for a net.Dialer.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

// Mesh is one node's end of the connections with all others. It is safe for concurrent use.
type Mesh struct {
	config   Config
	present  func() (*tls.Certificate, error)
	listener net.Listener
	raft     *Streams
	ctx      context.Context // ends with Close
	stop     context.CancelFunc

	sockets  *sockets
	entrance *entrance

	mu      sync.Mutex // held briefly
	running sync.WaitGroup
	callees map[wire.PublicKey]*attempt // newest rpc connection to each node
	serving map[wire.PublicKey]int      // calls under way, by caller
}

// Listen begins to take connections. Close ends it. Errors: [ErrConfig], what is wrong with the key, fault.InUse if
// another process holds the address.
func Listen(c Config) (*Mesh, error) {
	m, err := build(c)
	if err != nil {
		return nil, err
	}
	m.listener, err = net.Listen("tcp", c.Listen)
	if err != nil {
		m.stop()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &fault.Error{Code: fault.InUse, Message: "mesh: another process listens at " + c.Listen,
			Hint: "end it, or choose another address for the cluster", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("mesh: listen: %w", err)
	}
	m.start(func() { m.entrance.accept(m.listener) })
	return m, nil
}

// build makes a mesh that does not listen.
func build(c Config) (*Mesh, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dialer == nil {
		c.Dialer = new(net.Dialer).DialContext
	}
	server, err := peertls.Server(c.Key)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	own, err := peertls.Certificate(c.Key)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	m := &Mesh{
		config:  c,
		present: func() (*tls.Certificate, error) { return own, nil },
		sockets: &sockets{open: map[*socket]struct{}{}},
		callees: map[wire.PublicKey]*attempt{},
		serving: map[wire.PublicKey]int{},
	}
	m.raft = newStreams(m, Raft)
	m.entrance = &entrance{mesh: m, config: peertls.WithProtocols(server, string(Raft), string(RPC), string(Join))}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m, nil
}

func (c Config) check() error {
	wrong := func(what string) error { return fmt.Errorf("%w: %s", ErrConfig, what) }
	switch {
	case c.Self.Role() != identity.Node || c.Key.IsZero() || c.Key.Public() != c.Self.Key():
		return wrong("the key is not that of a node named as itself")
	case c.Realm == wire.Realm{}:
		return wrong("no realm")
	case c.Members == nil || c.Locate == nil:
		return wrong("nobody says who the members are and where")
	}
	for op, handler := range c.Handlers {
		if op == "" || len(op) > maxOp || handler == nil {
			return wrong(fmt.Sprintf("operation %.80q", op))
		}
	}
	return nil
}

// Addr returns the address where the mesh listens, host:port.
func (m *Mesh) Addr() string { return m.listener.Addr().String() }

// Streams returns the connections of a protocol that is not the mesh's own: the same value for every call, nil for any
// protocol but [Raft].
func (m *Mesh) Streams(p Protocol) *Streams {
	if p != Raft {
		return nil
	}
	return m.raft
}

// Recheck closes every connection with a node that is no longer a member, which ends the calls under way over it. To be
// called after the members have changed.
func (m *Mesh) Recheck() {
	members := m.config.Members()
	m.sockets.cut(func(peer identity.ID) bool { return !peer.IsZero() && !slices.Contains(members, peer) })
}

// Drop closes all connections with a node. It may connect again, if it is a member.
func (m *Mesh) Drop(id identity.ID) {
	m.sockets.cut(func(peer identity.ID) bool { return !id.IsZero() && peer == id })
}

// Close stops listening, closes all connections, cancels the handlers that run, and waits for them and everything else
// that the mesh started. Calls under way end with [ErrUncertain] or [ErrUnreachable]. It may be called again.
func (m *Mesh) Close() error {
	m.mu.Lock()
	m.stop()
	m.mu.Unlock()
	err := m.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	_ = m.raft.Close() // never fails
	m.sockets.close()
	m.running.Wait()
	return err
}

// start runs fn in a goroutine that Close waits for. It reports false, and runs nothing, if the mesh is closed.
func (m *Mesh) start(fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.startLocked(fn)
}

func (m *Mesh) startLocked(fn func()) bool {
	if m.ctx.Err() != nil {
		return false
	}
	m.running.Go(fn)
	return true
}

// admit says whether a node may be connected with.
func (m *Mesh) admit(id identity.ID) error {
	if id.Key() == m.config.Self.Key() {
		return ErrSelf.WithHint("two nodes must not run with one key, nor an address lead back to its own node: " +
			"stop the copy, or correct the address")
	}
	if !slices.Contains(m.config.Members(), id) {
		return fmt.Errorf("%s: %w", id, ErrStranger.WithHint("admit the node first, or remove its address"))
	}
	return nil
}

// name notes who is at the other end of a connection, so that Recheck and Drop find it, and only then looks whether it
// may be: a removal that the look misses comes before a Recheck that finds it.
func (m *Mesh) name(s *socket, id identity.ID) error {
	open := m.sockets.name(s, id)
	if err := m.admit(id); err != nil {
		return err
	}
	if open >= maxOpen {
		return ErrBusy
	}
	return nil
}
