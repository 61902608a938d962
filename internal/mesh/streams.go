package mesh

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// Streams are the connections of one protocol, for a user who speaks it: a net.Listener whose connections are with
// members, and a way to dial them by name. It is safe for concurrent use.
type Streams struct {
	mesh     *Mesh
	protocol Protocol
	offered  chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

var _ net.Listener = (*Streams)(nil)

func newStreams(m *Mesh, p Protocol) *Streams {
	return &Streams{mesh: m, protocol: p, offered: make(chan net.Conn), closed: make(chan struct{})}
}

// offer hands over a connection to Accept. If nobody takes it in time, it is closed.
func (s *Streams) offer(conn *peerConn) {
	limit := time.NewTimer(handshakeLimit)
	defer limit.Stop()
	stream := &stream{Conn: conn.Conn, under: conn.under, mesh: s.mesh}
	select {
	case s.offered <- stream:
		return
	case <-limit.C:
		s.mesh.config.Logger.Warn("mesh: nobody takes connections", "protocol", string(s.protocol))
	case <-s.closed:
	}
	conn.under.cut()
	s.mesh.sockets.forget(conn.under)
}

// Accept returns the next connection that a member has opened. Errors: net.ErrClosed after Close, of these streams or
// of the mesh.
func (s *Streams) Accept() (net.Conn, error) {
	if s.ended() {
		return nil, net.ErrClosed
	}
	select {
	case conn := <-s.offered:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. Connections accepted or dialled before stay open until their users or the mesh close them. It
// never fails.
func (s *Streams) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *Streams) ended() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Addr names this node: its String is the node's ID, whatever host and port it listens at.
func (s *Streams) Addr() net.Addr { return nodeAddr(s.mesh.config.Self) }

// DialNode connects with a member, named by its ID (N…), within timeout, or 5 s if that is less. When it succeeds, the
// other end has accepted. Errors: those of [Mesh.Call] with nothing sent, identity.ErrBadID.
func (s *Streams) DialNode(node string, timeout time.Duration) (net.Conn, error) {
	id, err := identity.ParseID(node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.mesh.ctx, min(timeout, handshakeLimit))
	defer cancel()
	conn, err := s.mesh.dial(ctx, id, s.protocol)
	if err != nil {
		return nil, err
	}
	return &stream{Conn: conn.Conn, under: conn.under, mesh: s.mesh}, nil
}

// nodeAddr is a node's ID as an address.
type nodeAddr identity.ID

// Network returns "conclave".
func (nodeAddr) Network() string { return "conclave" }

// String returns the node's ID.
func (a nodeAddr) String() string { return identity.ID(a).String() }

// stream is a connection in the hands of the streams' user.
type stream struct {
	*tls.Conn
	under *socket
	mesh  *Mesh
}

// Peer returns the node at the other end of a connection that [Streams] made, and whether it is one.
func Peer(conn net.Conn) (identity.ID, bool) {
	s, ok := conn.(*stream)
	if !ok {
		return identity.ID{}, false
	}
	return s.under.peer, true
}

// Read reads, but nothing of a connection that was cut, also if TLS holds some of it.
func (s *stream) Read(b []byte) (int, error) {
	if s.under.gone.Load() {
		return 0, net.ErrClosed
	}
	return s.Conn.Read(b)
}

// Close says farewell, waiting 5 s at most, and closes.
func (s *stream) Close() error {
	s.mesh.sockets.forget(s.under)
	return s.Conn.Close()
}
