package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Caller is who asks, by the subject that the broker let it publish on. A handler may rely on it for what concerns
// this node only; whatever enters the ledger is signed.
type Caller struct {
	Principal identity.ID
	Process   bus.Token
	OneTime   bool // an enrolment key: may submit an enrolment, nothing else
}

// Handler answers one request. Its errors reach the caller with code, message and hint.
type Handler func(ctx context.Context, from Caller, body wire.Raw) (any, error)

// Server answers requests to one node, at most [MaxConcurrent] at a time and [MaxOfOne] of one caller; more are refused
// with fault.Rate.
type Server struct {
	conn     bus.Conn
	realm    bus.Realm
	handlers map[Op]Handler
	ctx      context.Context
	stop     context.CancelFunc
	subs     []bus.Subscription

	mu      sync.Mutex          // held while running grows: nothing is added once Close waits
	working map[identity.ID]int // requests by caller
	total   int                 // of them
	running sync.WaitGroup
}

// How many requests a node works on at a time: of all callers, and of one, so that nobody takes all the room.
const (
	MaxConcurrent = 256
	MaxOfOne      = 64
)

// ErrBusy is returned when a node works on too many requests.
var ErrBusy = fault.New(fault.Rate, "control: the node is busy")

// Serve begins to answer requests to node. An op that is absent from handlers is refused. Close ends it.
func Serve(conn bus.Conn, realm wire.Realm, node identity.ID, handlers map[Op]Handler) (*Server, error) {
	s := &Server{conn: conn, realm: bus.In(realm), handlers: handlers, working: map[identity.ID]int{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, pattern := range []string{s.realm.Controls(node), s.realm.Enrols(node)} {
		sub, err := conn.Subscribe(pattern, s.receive)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("control: serve: %w", err)
		}
		s.subs = append(s.subs, sub)
	}
	return s, nil
}

// Close ends the subscriptions, cancels what runs and waits for it.
func (s *Server) Close() {
	for _, sub := range s.subs {
		_ = sub.Unsubscribe() // fails only when the connection is gone, which ends it as well
	}
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) receive(subject string, data []byte) {
	parsed, err := s.realm.Parse(subject)
	if err != nil {
		return
	}
	caller := Caller{Principal: parsed.From, Process: parsed.Process}
	if parsed.Kind == bus.Enrol {
		caller = Caller{Principal: parsed.From, Process: bus.OneTimeProcess(parsed.From.Key()), OneTime: true}
	}
	reply := s.realm.ControlReply(caller.Principal, caller.Process, parsed.ID)
	started := s.start(caller.Principal, func() {
		out, err := s.handle(caller, data)
		s.answer(reply, out, err)
	})
	if !started {
		s.answer(reply, nil, ErrBusy) // lost if the server is closed; the caller asks again, or elsewhere
	}
}

// start runs fn, if there is room for one more request of the caller and the server is not closed.
func (s *Server) start(caller identity.ID, fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || s.total >= MaxConcurrent || s.working[caller] >= MaxOfOne {
		return false
	}
	s.total++
	s.working[caller]++
	s.running.Go(func() {
		defer s.finish(caller)
		fn()
	})
	return true
}

func (s *Server) finish(caller identity.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.working[caller]--; s.working[caller] == 0 {
		delete(s.working, caller)
	}
}

func (s *Server) handle(caller Caller, data []byte) (any, error) {
	var r Request
	if err := wire.Decode(data, &r); err != nil {
		return nil, err
	}
	handler, ok := s.handlers[r.Op]
	if !ok || (caller.OneTime && r.Op != OpSubmit && r.Op != OpRealm) {
		return nil, fmt.Errorf("%w: request %.32q", bus.ErrDenied, string(r.Op))
	}
	return handler(s.ctx, caller, r.Body)
}

func (s *Server) answer(subject string, out any, err error) {
	r := Reply{}
	if err == nil {
		r.Body, err = wire.Encode(out)
	}
	if err != nil {
		r = Reply{Code: fault.CodeOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
	}
	b, err := wire.Encode(r)
	if err != nil {
		return // a reply holds texts and bytes: cannot happen
	}
	err = s.conn.Publish(s.ctx, subject, b)
	if errors.Is(err, bus.ErrTooLarge) && r.Code == "" {
		s.answer(subject, nil, fmt.Errorf("answer of %d bytes: %w", len(b), err))
	}
	// Whatever else went wrong, the caller will time out, and ask again.
}

// Decode reads a request's body.
func Decode[T any](body wire.Raw) (T, error) {
	var v T
	err := wire.Decode(body, &v)
	return v, err
}
