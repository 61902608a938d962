package mesh

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
)

// acceptPause is how long the mesh waits after the system refused it a connection, for want of descriptors say.
const acceptPause = 50 * time.Millisecond

// entrance is the listening end of a mesh: who comes in, and how many at a time.
type entrance struct {
	mesh   *Mesh
	config *tls.Config

	mu      sync.Mutex
	gate    gate   // handshakes under way
	bucket  bucket // requests to join
	joining int    // of them, under way
}

// accept takes connections until the mesh closes. Whatever a client does or does not say happens elsewhere.
func (e *entrance) accept(listener net.Listener) {
	for {
		raw, err := listener.Accept()
		if e.mesh.ctx.Err() != nil {
			if err == nil {
				_ = raw.Close() // the mesh is closing
			}
			return
		}
		if err != nil {
			e.mesh.config.Logger.Warn("mesh: no connection accepted", "error", err)
			pause := time.NewTimer(acceptPause)
			select {
			case <-pause.C:
			case <-e.mesh.ctx.Done():
				pause.Stop()
			}
			continue
		}
		e.take(raw)
	}
}

// take starts the handshake with a client, if there is room for one more.
func (e *entrance) take(raw net.Conn) {
	ip, s := source(raw), &socket{Conn: raw}
	e.mu.Lock()
	room := e.gate.enter(ip)
	e.mu.Unlock()
	if !room {
		_ = raw.Close() // nothing to do about it
		e.mesh.config.Logger.Debug("mesh: too many handshakes", "from", ip)
		return
	}
	leave := func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.gate.leave(ip)
	}
	started := e.mesh.sockets.track(s) && e.mesh.start(func() {
		conn, protocol, err := e.greet(s, ip)
		leave()
		if err != nil {
			s.cut()
			e.mesh.sockets.forget(s)
			e.mesh.config.Logger.Log(e.mesh.ctx, refusalLevel(err), "mesh: connection refused", "from", ip, "error", err)
			return
		}
		e.dispatch(conn, protocol, ip)
	})
	if !started {
		leave()
		s.cut()
		e.mesh.sockets.forget(s)
	}
}

// refusalLevel is low for what any port scanner can cause.
func refusalLevel(err error) slog.Level {
	switch fault.CodeOf(err) {
	case fault.Internal, fault.Version, fault.BadKey, fault.Malformed, fault.TooLarge, fault.Rate:
		return slog.LevelDebug
	case fault.InUse:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// dispatch gives an accepted connection to who speaks its protocol.
func (e *entrance) dispatch(conn *peerConn, protocol Protocol, ip string) {
	switch protocol {
	case Raft:
		e.mesh.raft.offer(conn)
	case RPC:
		defer e.mesh.sockets.forget(conn.under)
		err := e.mesh.serve(conn)
		e.mesh.config.Logger.Debug("mesh: connection served ended", "node", conn.under.peer.String(), "cause", err)
	case Join:
		defer e.mesh.sockets.forget(conn.under)
		defer e.joined()
		e.serveJoin(conn, ip)
	}
}

// greet makes the listener's handshake. The other end learns why it is refused, if it speaks the protocol so far.
func (e *entrance) greet(s *socket, ip string) (*peerConn, Protocol, error) {
	if err := s.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return nil, "", err
	}
	conn := &peerConn{Conn: tls.Server(s, e.config), under: s}
	if err := conn.HandshakeContext(e.mesh.ctx); err != nil {
		return nil, "", err
	}
	var o opening
	if err := receiveOne(conn, maxOpening, &o); err != nil {
		return nil, "", err
	}
	protocol := Protocol(conn.ConnectionState().NegotiatedProtocol)
	if err := e.welcome(conn, protocol, o, ip); err != nil {
		_ = sendOne(conn, welcome{Refusal: refuse(err)}, maxWelcome) // as far as it is heard
		_ = conn.Close()
		return nil, "", err
	}
	err := sendOne(conn, welcome{Realm: e.mesh.config.Realm}, maxWelcome)
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	if err != nil && protocol == Join {
		e.joined()
	}
	return conn, protocol, err
}

// welcome decides whether a client may stay. For [Join] it takes a place that joined gives back.
func (e *entrance) welcome(conn *peerConn, protocol Protocol, o opening, ip string) error {
	if o.Realm != e.mesh.config.Realm {
		return ErrRealm
	}
	if protocol == Join {
		return e.mayJoin(ip)
	}
	if protocol == Raft && e.mesh.raft.ended() {
		return fmt.Errorf("%w: %s", ErrOp, protocol)
	}
	key, err := peertls.Peer(conn.ConnectionState())
	if err != nil {
		return err
	}
	return e.mesh.name(conn.under, identity.NewID(identity.Node, key))
}
