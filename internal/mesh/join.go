package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// joinOp is the operation of a request to join, and joinLimit how long it may take in all.
const (
	joinOp    = "join"
	joinLimit = 30 * time.Second
)

func (e *entrance) mayJoin(ip string) error {
	if e.mesh.config.Join == nil {
		return fmt.Errorf("%w: nobody joins here", ErrOp)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.joining >= maxJoining || !e.bucket.take(ip, time.Now()) {
		return ErrBusy.WithHint("wait a second, or ask another node")
	}
	e.joining++
	return nil
}

func (e *entrance) joined() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joining--
}

// serveJoin answers one request and closes.
func (e *entrance) serveJoin(conn *peerConn, ip string) {
	defer conn.under.cut()
	ctx, cancel := context.WithTimeout(e.mesh.ctx, joinLimit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return
	}
	answer := reply{ID: 1}
	frame, err := readFrame(conn, maxJoin)
	if err == nil {
		answer.Body, err = e.answerJoin(ctx, conn, frame)
	}
	if err != nil {
		answer = reply{ID: 1, Refusal: refuse(err)}
		e.mesh.config.Logger.Info("mesh: request to join refused", "from", ip, "error", err)
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return
	}
	if len(answer.Body) > MaxBody {
		answer = reply{ID: 1, Refusal: refuse(fmt.Errorf("%w: an answer of %d bytes", ErrTooLarge, len(answer.Body)))}
	}
	if err := sendOne(conn, answer, maxFrame); err != nil {
		e.mesh.config.Logger.Info("mesh: answer to join not sent", "from", ip, "error", err)
	}
	_ = conn.Close() // with TLS's farewell; the deadline bounds it
}

func (e *entrance) answerJoin(ctx context.Context, conn *peerConn, frame []byte) ([]byte, error) {
	r, err := parseRequest(frame)
	if err != nil {
		return nil, err
	}
	if r.Op != joinOp || r.ID != 1 {
		return nil, ErrOp
	}
	key, err := peerKey(conn)
	if err != nil {
		return nil, err
	}
	return e.mesh.guard(joinOp, func() ([]byte, error) { return e.mesh.config.Join(ctx, key, r.Body) })
}

// AskToJoin hands one request of 64 KiB at most to a node at address whose key is one of pins, proving the one-time
// key, and returns the answer. ctx bounds it, the node takes 30 s at most. Errors as of [Mesh.Call]; peertls.ErrPin if
// another key answers; peertls.ErrNoPins.
func AskToJoin(ctx context.Context, address string, pins []identity.ID, realm wire.Realm, oneTime wire.Key, body []byte) ([]byte, error) {
	if len(body) > maxJoin-maxOpening {
		return nil, fmt.Errorf("%w: a request to join of %d bytes, at most %d", ErrTooLarge, len(body), maxJoin-maxOpening)
	}
	own, err := peertls.Certificate(oneTime)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	config, err := peertls.Client(pins, func() (*tls.Certificate, error) { return own, nil })
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	greeting, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(greeting, "tcp", address)
	if err != nil {
		return nil, unreached("node", address, err)
	}
	s := &socket{Conn: raw}
	defer s.cut()
	conn, err := shake(greeting, s, peertls.WithProtocols(config, string(Join)), realm)
	if err != nil {
		return nil, fmt.Errorf("join at %s: %w", address, err)
	}
	answer, err := conn.ask(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("join at %s: %w", address, err)
	}
	return answer, nil
}

// ask sends one request and reads its answer.
func (c *peerConn) ask(ctx context.Context, body []byte) ([]byte, error) {
	stop := context.AfterFunc(ctx, c.under.cut)
	defer stop()
	before := c.under.sent.Load()
	if err := sendOne(c, request{ID: 1, Op: joinOp, Body: body}, maxJoin); err != nil {
		if c.under.sent.Load() == before {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(ctx.Err(), err))
		}
		return nil, fmt.Errorf("%w: %w", ErrUncertain, errors.Join(ctx.Err(), err))
	}
	frame, err := readFrame(c, maxFrame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUncertain, errors.Join(ctx.Err(), err))
	}
	r, err := parseReply(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return r.Body, r.Refusal.Err()
}
