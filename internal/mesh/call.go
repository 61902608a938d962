package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// Call asks a node for an operation and returns its answer, of [MaxBody] bytes at most, as body may be. A slow call
// does not hold up others, and one whose ctx ends returns at once; the other end is then told to stop.
//
// Errors: what the other end refuses with, by its code, message and hint; [ErrStranger] and [ErrSelf] for nodes that
// may not be called; [ErrUnreachable] or another error of connecting, with nothing sent; [ErrUncertain] when the
// request was sent and no answer came; [ErrTooLarge]. An end of ctx is wrapped beside. A call of which nothing could be
// sent over the connection at hand is tried again over a fresh one; nothing else is tried twice.
func (m *Mesh) Call(ctx context.Context, to identity.ID, op string, body []byte) ([]byte, error) {
	if op == "" || len(op) > maxOp {
		return nil, fmt.Errorf("%w: operation %.80q", ErrConfig, op)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("%w: a body of %d bytes, at most %d", ErrTooLarge, len(body), MaxBody)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", op, ErrUnreachable, err)
		}
		c, fresh, err := m.callee(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		answer, err := c.call(ctx, op, body)
		if err == nil {
			return answer, nil
		}
		if !errors.Is(err, ErrUnreachable) || fresh {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
	}
}

// attempt is one connection to a node that is called: being made, open, or broken.
type attempt struct {
	done   chan struct{} // closed when caller and err are set
	caller *caller
	err    error
}

func (a *attempt) usable() bool {
	select {
	case <-a.done:
		return a.err == nil && !a.caller.ended()
	default:
		return true
	}
}

// callee returns the open connection for calls to a node, made now if there is none. All who want it meanwhile wait for
// the same attempt, which goes on if one of them gives up. fresh reports that it was not open before.
func (m *Mesh) callee(ctx context.Context, to identity.ID) (c *caller, fresh bool, err error) {
	if err := m.admit(to); err != nil {
		return nil, true, err
	}
	a, fresh := m.attempt(to)
	if a == nil {
		return nil, true, ErrClosed
	}
	select {
	case <-a.done:
		return a.caller, fresh, a.err
	case <-ctx.Done():
		return nil, true, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
}

func (m *Mesh) attempt(to identity.ID) (a *attempt, fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a = m.callees[to.Key()]; a != nil && a.usable() {
		return a, a.caller == nil
	}
	a = &attempt{done: make(chan struct{})}
	if !m.startLocked(func() { m.hold(a, to) }) {
		return nil, true
	}
	m.callees[to.Key()] = a
	return a, true
}

// hold makes a connection for calls and carries it until it ends.
func (m *Mesh) hold(a *attempt, to identity.ID) {
	ctx, cancel := context.WithTimeout(m.ctx, handshakeLimit)
	conn, err := m.dial(ctx, to, RPC)
	cancel()
	if err != nil {
		a.err = err
		close(a.done)
		m.config.Logger.Debug("mesh: not connected", "node", to.String(), "error", err)
		return
	}
	defer m.sockets.forget(conn.under)
	c := newCaller(newLine(conn.Conn, conn.under))
	m.mu.Lock() // attempt reads it under the lock before done is closed
	a.caller = c
	m.mu.Unlock()
	close(a.done)
	err = c.carry()
	m.config.Logger.Debug("mesh: connection for calls ended", "node", to.String(), "cause", err)
}

// caller is the calling end of a line.
type caller struct {
	*line

	calls   sync.Mutex
	last    uint64                // newest call
	answers map[uint64]chan reply // of calls under way; each holds one
}

func newCaller(l *line) *caller { return &caller{line: l, answers: map[uint64]chan reply{}} }

// carry runs the line until it ends, and returns why.
func (c *caller) carry() error {
	ping, err := pack(request{}, maxFrame)
	if err != nil {
		return err // a constant: cannot happen
	}
	return c.run(ping, c.deliver)
}

// deliver hands an answer to who waits for it. Answers to calls that were given up are dropped.
func (c *caller) deliver(frame []byte) error {
	r, err := parseReply(frame)
	if err != nil {
		return err
	}
	c.calls.Lock()
	defer c.calls.Unlock()
	if answer, ok := c.answers[r.ID]; ok {
		answer <- r
		delete(c.answers, r.ID)
	}
	return nil
}

func (c *caller) enter() (uint64, chan reply) {
	answer := make(chan reply, 1)
	c.calls.Lock()
	defer c.calls.Unlock()
	c.last++
	c.answers[c.last] = answer
	return c.last, answer
}

func (c *caller) leave(id uint64) {
	c.calls.Lock()
	defer c.calls.Unlock()
	delete(c.answers, id)
}

func (c *caller) call(ctx context.Context, op string, body []byte) ([]byte, error) {
	id, answer := c.enter()
	defer c.leave(id)
	frame, err := pack(request{ID: id, Op: op, Left: left(ctx), Body: body}, maxFrame)
	if err != nil {
		return nil, err
	}
	p := &parcel{frame: frame}
	select {
	case c.out <- p:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	case <-c.done:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, c.cause)
	}
	select {
	case r := <-answer:
		return r.Body, r.Refusal.Err()
	case <-ctx.Done():
		return nil, c.giveUp(id, p, ctx.Err())
	case <-c.done:
	}
	select {
	case r := <-answer: // it came last
		return r.Body, r.Refusal.Err()
	default:
		return nil, lost(p, c.cause)
	}
}

// giveUp tells the other end that nobody waits for a call any more, unless it was never asked.
func (c *caller) giveUp(id uint64, p *parcel, cause error) error {
	err := lost(p, cause)
	if errors.Is(err, ErrUnreachable) {
		return err
	}
	if frame, packErr := pack(request{ID: id}, maxFrame); packErr == nil {
		c.pass(frame)
	}
	return err
}

// lost says what is known of a call without an answer.
func lost(p *parcel, cause error) error {
	if p.withdraw() {
		return fmt.Errorf("%w: %w", ErrUnreachable, cause)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, cause)
}

// left returns how many milliseconds a call has, or 0 if it has no deadline.
func left(ctx context.Context) uint64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return uint64(max(time.Until(deadline).Milliseconds(), 1))
}
