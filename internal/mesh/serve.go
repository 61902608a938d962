package mesh

import (
	"context"
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// maxServing is how many calls of one node are answered at a time.
const maxServing = 256

// server is the answering end of a line.
type server struct {
	*line
	mesh *Mesh
	from identity.ID
	ctx  context.Context // ends with the line; set before it runs

	calls   sync.Mutex
	running map[uint64]context.CancelFunc // by call
}

// serve answers calls until the connection ends, and returns why.
func (m *Mesh) serve(conn *peerConn) error { return m.newServer(conn.Conn, conn.under).carry() }

func (m *Mesh) newServer(conn net.Conn, under *socket) *server {
	return &server{line: newLine(conn, under), mesh: m, from: under.peer, running: map[uint64]context.CancelFunc{}}
}

// carry runs the line until it ends, and returns why.
func (s *server) carry() error {
	ctx, cancel := context.WithCancel(s.mesh.ctx)
	defer cancel()
	s.ctx = ctx
	return s.run(nil, s.receive)
}

// receive begins what one frame asks for. An error ends the line.
func (s *server) receive(frame []byte) error {
	r, err := parseRequest(frame)
	if err != nil {
		return err
	}
	switch {
	case r.Op != "":
		return s.begin(r)
	case r.ID != 0:
		s.cancel(r.ID)
	default:
		s.answer(reply{}) // a sign of life
	}
	return nil
}

// begin starts to answer a call. The caller must still be a member: the removal of one that sent before counts.
func (s *server) begin(r request) error {
	if err := s.mesh.admit(s.from); err != nil {
		return err
	}
	handler, ok := s.mesh.config.Handlers[r.Op]
	if !ok {
		s.answer(reply{ID: r.ID, Refusal: refuse(fmt.Errorf("%w: %q", ErrOp, r.Op))})
		return nil
	}
	ctx, err := s.enter(r)
	if err != nil {
		return err
	}
	started := s.mesh.startServing(s.from, func() {
		body, err := s.mesh.guard(r.Op, func() ([]byte, error) { return handler(ctx, s.from, r.Body) })
		s.cancel(r.ID)
		s.answer(reply{ID: r.ID, Refusal: refuse(err), Body: body})
	})
	if !started {
		s.cancel(r.ID)
		s.answer(reply{ID: r.ID, Refusal: refuse(ErrBusy)})
	}
	return nil
}

func (s *server) enter(r request) (context.Context, error) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if _, twice := s.running[r.ID]; twice {
		return nil, fmt.Errorf("%w: call %d begun twice", ErrFrame, r.ID)
	}
	limit := time.Duration(math.MaxInt64) // none
	if r.Left > 0 && r.Left < uint64(limit.Milliseconds()) {
		limit = time.Duration(r.Left) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	s.running[r.ID] = cancel
	return ctx, nil
}

// cancel ends a call's context, if it still runs.
func (s *server) cancel(id uint64) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if cancel, ok := s.running[id]; ok {
		cancel()
		delete(s.running, id)
	}
}

// answer queues a reply. What does not fit a frame becomes a refusal.
func (s *server) answer(r reply) {
	if r.Refusal.Code != "" {
		r.Body = nil
	}
	if len(r.Body) > MaxBody {
		r = reply{ID: r.ID, Refusal: refuse(fmt.Errorf("%w: an answer of %d bytes", ErrTooLarge, len(r.Body)))}
	}
	frame, err := pack(r, maxFrame)
	if err != nil {
		s.end(err) // bytes and short texts: cannot happen
		return
	}
	s.post(frame) // or the line has ended, and the caller knows
}

// startServing runs fn, if the caller has room for one more call and the mesh is open.
func (m *Mesh) startServing(from identity.ID, fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := from.Key()
	if m.serving[key] >= maxServing {
		return false
	}
	started := m.startLocked(func() {
		defer m.served(from)
		fn()
	})
	if started {
		m.serving[key]++
	}
	return started
}

func (m *Mesh) served(from identity.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving[from.Key()]--; m.serving[from.Key()] == 0 {
		delete(m.serving, from.Key())
	}
}

// guard runs a handler; one that panics fails its caller, not the process.
func (m *Mesh) guard(op string, handler func() ([]byte, error)) (body []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			m.config.Logger.Error("mesh: handler panicked", "op", op, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			body, err = nil, ErrHandler
		}
	}()
	return handler()
}
