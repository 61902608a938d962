package mesh

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// handshakeLimit is how long a connection may take until both ends have accepted it.
const handshakeLimit = 5 * time.Second

// peerConn is a connection that both ends have accepted.
type peerConn struct {
	*tls.Conn
	under *socket
}

// dial connects with a node. The connection is tracked. Errors: those of admit, [ErrUnreachable], [ErrRealm],
// peertls.ErrPin if the address leads to another key, what the other end refuses with.
func (m *Mesh) dial(ctx context.Context, to identity.ID, p Protocol) (*peerConn, error) {
	if err := m.admit(to); err != nil {
		return nil, err
	}
	address, ok := m.config.Locate(to)
	if !ok {
		return nil, fmt.Errorf("%s: %w", to, ErrUnreachable.WithHint("no address of the node is known"))
	}
	config, err := peertls.Client([]identity.ID{to}, m.present)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	raw, err := m.config.Dialer(ctx, "tcp", address)
	if err != nil {
		return nil, unreached(to.String(), address, err)
	}
	s := &socket{Conn: raw}
	if !m.sockets.track(s) {
		return nil, ErrClosed
	}
	conn, err := shake(ctx, s, peertls.WithProtocols(config, string(p)), m.config.Realm)
	if err == nil {
		err = m.name(s, to)
	}
	if err != nil {
		s.cut()
		m.sockets.forget(s)
		if key, keyErr := peerKey(conn); keyErr == nil && key == m.config.Self.Key() {
			err = m.admit(m.config.Self)
		}
		return nil, fmt.Errorf("%s at %s: %w", to, address, err)
	}
	return conn, nil
}

func peerKey(conn *peerConn) (wire.PublicKey, error) { return peertls.Peer(conn.ConnectionState()) }

func unreached(who, address string, cause error) error {
	return fmt.Errorf("%s at %s: %w: %w", who, address, ErrUnreachable.WithHint("is the node up, and the address right?"), cause)
}

// shake makes the dialler's handshake, by TLS and by the first frames. The connection comes back also with an error, to
// ask it whose key was shown.
func shake(ctx context.Context, s *socket, config *tls.Config, realm wire.Realm) (*peerConn, error) {
	conn := &peerConn{Conn: tls.Client(s, config), under: s}
	stop := context.AfterFunc(ctx, s.cut)
	err := conn.HandshakeContext(ctx)
	if err == nil {
		err = conn.introduce(realm)
	}
	if !stop() && ctx.Err() != nil {
		return conn, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
	if err != nil && fault.CodeOf(err) == fault.Internal {
		err = fmt.Errorf("%w: %w", ErrUnreachable.WithHint("a firewall, another program, or a node that is being stopped"), err)
	}
	return conn, err
}

// introduce names the realm and waits to be welcome.
func (c *peerConn) introduce(realm wire.Realm) error {
	if err := sendOne(c, opening{Realm: realm}, maxOpening); err != nil {
		return err
	}
	var w welcome
	if err := receiveOne(c, maxWelcome, &w); err != nil {
		return err
	}
	if err := w.Refusal.Err(); err != nil {
		return err
	}
	if w.Realm != realm {
		return ErrRealm
	}
	return nil
}
