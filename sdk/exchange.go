package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// exchanges are a session's requests that wait for their replies.
type exchanges struct {
	session *session
	agreed  understandings

	mu      sync.Mutex
	waiting map[string]*exchange // by the id's text in the reply's subject
}

// maxArrivals bounds what may wait at one exchange to be verified: one honest reply, and what others make up.
const maxArrivals = 4

// exchange is one request that waits for its reply.
type exchange struct {
	to      identity.ID
	process wire.Digest
	arrived chan arrival
	stream  *inflow         // takes all that arrives instead, if it is one
	silent  chan struct{}   // closed when no reply can come any more
	down    <-chan struct{} // closed when the connection goes down
	began   time.Time

	id    wire.Digest   // these under exchanges.mu until something arrives
	text  string        // of the id, as in the reply's subject
	key   *envelope.Key // what the reply may be encrypted under
	fresh bool          // this request has made the key
	over  bool          // nobody waits any more
}

// errSilenced is returned when the process that was asked is not heard any more.
var errSilenced = fault.New(fault.Uncertain, "sdk: the process that was asked lost its right to answer; it may have handled the request")

var (
	// errUnconfirmed is returned when a request has left, but the connection went down before the reply came.
	errUnconfirmed = fault.New(fault.Uncertain, "sdk: the connection went down; the request may have been handled").
			WithHint("call again if the handler may be called twice: see middleware.RetryCalls and middleware.Dedup")
	// errUnasked is returned when the node was asked in vain about whom to call.
	errUnasked = fault.New(fault.Unreachable, "sdk: the node did not answer; the request was not sent")
)

// shortPatience is the least time for which a reply is awaited after the connection went down.
const shortPatience = 2 * time.Second

// patience returns for how long a reply is awaited after the connection went down, when it has not come yet: as long
// again as until then. A reply that was under way is lost; one that is only being made will come.
func (e *exchange) patience() time.Duration { return max(time.Since(e.began), shortPatience) }

// unsent returns the error of a call that has ended before its request left.
func unsent(err error) error {
	if fault.CodeOf(err) == fault.Uncertain {
		return fmt.Errorf("%w: %w", errUnasked, err)
	}
	return err
}

// unasked returns why a request that ended with an error was not sent, or that it may have been.
func (l *lot) unasked() error {
	if l.left {
		return fmt.Errorf("%w: %w", errUnconfirmed, l.err)
	}
	return l.err
}

// arrival is what came on the subject of an exchange's reply. It is not verified.
type arrival struct {
	subject string
	data    []byte
}

// Key implements [envelope.Keys]: the reply comes under the key of the request.
func (e *exchange) Key(id wire.Digest) *envelope.Key {
	if e.key != nil && e.key.ID() == id {
		return e.key
	}
	return nil
}

// ask sends a request or join to a process and waits for its reply. What the process has not handled because it does
// not know the session any more is sent once again, with a new one.
func (x *exchanges) ask(ctx context.Context, i *instance, purpose envelope.Purpose, content []byte) (*envelope.Message, error) {
	if err := x.session.presence.once(ctx); err != nil {
		return nil, unsent(err)
	}
	process := i.credential.ID()
	key := x.agreed.use(process, x.session.agent.link.now())
	m, err := x.once(ctx, i, purpose, content, key)
	if refused := (*unhandled)(nil); key != nil && errors.As(err, &refused) && refused.why == unknownSession {
		x.agreed.forget(process, key)
		return x.once(ctx, i, purpose, content, nil)
	}
	return m, err
}

// once sends a request under a session's key, or, if it is nil, sealed to the process.
func (x *exchanges) once(
	ctx context.Context, i *instance, purpose envelope.Purpose, content []byte, key *envelope.Key,
) (*envelope.Message, error) {
	s, c := x.session, i.credential.Statement()
	protection := envelope.SealedTo(i.presence.Statement().Sealing)
	if key != nil {
		protection = envelope.Under(key)
	}
	process := i.credential.ID()
	l := newLot(&route{
		to: envelope.ToProcess(c.Principal, process), purpose: purpose, subject: s.spelling.of(c.Principal, process).request,
		protect: func(int64) (envelope.Protection, error) { return protection, nil },
	})
	l.put(envelope.Member{Content: content, Trace: traceOf(ctx)})
	e := &exchange{
		to: c.Principal, process: process, key: key, arrived: make(chan arrival, maxArrivals), silent: make(chan struct{}),
		down: s.down.next(), began: time.Now(),
	}
	l.awaited, l.signed = true, func(signed envelope.Signed) { x.file(e, signed) }
	kept := witness(ctx, s, i, l, content)
	defer x.forget(e)
	if err := s.egress.send(ctx, l); err != nil {
		return nil, err
	}
	m, err := x.await(ctx, e, l)
	kept.answered(m)
	if err != nil {
		return nil, err
	}
	if e.fresh && m.Envelope().Encryption == envelope.Session {
		x.agreed.confirm(process, e.key, c.Expires, s.agent.link.now())
	}
	return m, faultOf(m)
}

// await verifies what arrives until one is the reply. That the verification is the waiting caller's work saves it a
// change of goroutines.
func (x *exchanges) await(ctx context.Context, e *exchange, l *lot) (*envelope.Message, error) {
	sent, down, tired := l.done, e.down, (<-chan time.Time)(nil)
	for {
		select {
		case a := <-e.arrived:
			if m := x.accept(ctx, e, a); m != nil {
				return m, nil
			}
		case <-sent:
			if l.err != nil {
				return nil, l.unasked()
			}
			sent = nil
		case <-e.silent:
			return nil, errSilenced
		case <-down:
			down, tired = nil, time.After(e.patience())
		case <-tired:
			return nil, errUnconfirmed
		case <-x.session.conn.Done():
			return nil, x.session.conn.Err()
		case <-ctx.Done():
			return nil, errors.Join(ErrTimeout, ctx.Err())
		}
	}
}

// file keeps an exchange under its request's id before anybody can answer.
func (x *exchanges) file(e *exchange, signed envelope.Signed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.id, e.text = signed.ID, bus.TokenOf(signed.ID).String()
	if signed.Session != nil {
		e.key, e.fresh = signed.Session, true
	}
	if !e.over {
		x.waiting[e.text] = e
	}
}

// review ends the exchanges with principals of whom nothing is accepted any more.
func (x *exchanges) review(ids []identity.ID) {
	peers, now := x.session.agent.circle.peers, x.session.agent.link.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	for text, e := range x.waiting {
		if !slices.Contains(ids, e.to) {
			continue
		}
		if _, err := peers.Sender(e.to, e.process, now); err != nil {
			delete(x.waiting, text)
			close(e.silent)
		}
	}
}

func (x *exchanges) forget(e *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.over = true
	delete(x.waiting, e.text)
}

// onReply hands what came to the exchange that waits for it. Everything else is dropped.
func (x *exchanges) onReply(subject string, data []byte) {
	x.mu.Lock()
	e := x.waiting[subject[strings.LastIndexByte(subject, '.')+1:]] // whoever takes it checks the whole subject
	x.mu.Unlock()
	if e == nil {
		return
	}
	if e.stream != nil {
		e.stream.put(arrival{subject, data})
		return
	}
	select {
	case e.arrived <- arrival{subject, data}:
	default:
		x.session.agent.link.options.logger.Warn("reply dropped", "error", errBusy)
	}
}

func (x *exchanges) accept(ctx context.Context, e *exchange, a arrival) *envelope.Message {
	opened, err := x.session.open(ctx, a.data, envelope.Inbound{
		Subject: a.subject, InReplyTo: e.id, ReplyFrom: e.to, Keys: e,
	})
	for _, o := range opened {
		if o.Err == nil {
			return o.Message
		}
		err = o.Err
	}
	x.session.agent.link.options.logger.Warn("reply refused", "code", string(fault.CodeOf(err)), "error", err)
	return nil
}

// Why a process has not handled a request, as faults say. The list is append-only.
const (
	unknownSession = 1 // it does not know the session's key
	processEnding  = 2 // it takes no more requests
)

// unhandled is the error of a request that was not handled, for sure.
type unhandled struct {
	why uint64
	err error
}

func (u *unhandled) Error() string { return u.err.Error() }

func (u *unhandled) Unwrap() error { return u.err }

// faultOf returns the error that a fault carries, or nil for a reply.
func faultOf(m *envelope.Message) error {
	if m.Purpose() != envelope.Fault {
		return nil
	}
	var f faultContent
	if err := wire.Decode(m.Content(), &f); err != nil || f.Code == "" {
		return errForm
	}
	err := error(fault.New(f.Code, f.Message))
	if f.Unhandled != 0 {
		err = &unhandled{f.Unhandled, err}
	}
	return err
}
