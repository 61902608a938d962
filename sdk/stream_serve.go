package sdk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// streams are those that an agent serves at the moment. It is safe for concurrent use.
type streams struct {
	mu   sync.Mutex
	open map[wire.Digest]*outflow // by the id of the request
	of   map[identity.ID]int
}

// outflow is one stream that is served: its handler's goroutine sends, those that receive requests steer it.
type outflow struct {
	handling *handling
	way      *route // to the reader
	cancel   context.CancelCauseFunc
	silence  *time.Timer
	turn     lane   // for sending: what is sent is in order
	leaving  []*lot // that may not have been sent yet; who has turn

	mu      sync.Mutex
	sent    windowContent
	granted windowContent
	running bool
	failure error
	more    chan struct{} // holds one: more was granted
}

// serving makes a handler of a stream's.
func (v *streams) serving(h StreamFunc) HandlerFunc {
	return func(ctx context.Context, d *Delivery) ([]byte, error) {
		o, err := v.begin(ctx)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if err := v.enter(o, cancel); err != nil {
			return nil, err
		}
		defer v.leave(o)
		return o.run(ctx, h, d)
	}
}

// begin returns the stream that a request is to become, or the one that it became before, if middleware has the handler
// called once more.
func (v *streams) begin(ctx context.Context) (*outflow, error) {
	h := handlingOf(ctx)
	if h == nil || h.message.Envelope().ContentType != streamType {
		return nil, ErrNoStream
	}
	var r requestContent
	if err := wire.Decode(h.message.Content(), &r); err != nil {
		return nil, err
	}
	way, err := askedBy(h.session, h.message).back(ctx, h.session, envelope.Reply)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if h.flow == nil {
		h.flow = &outflow{handling: h, way: way, turn: newLane(), granted: r.Window, more: make(chan struct{}, 1)}
	}
	return h.flow, nil
}

// enter takes a stream in, if there is room.
func (v *streams) enter(o *outflow, cancel context.CancelCauseFunc) error {
	from := o.handling.message.From().ID
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) >= maxServed || v.of[from] >= maxServedFor {
		return errServed
	}
	if err := o.claim(); err != nil {
		return err
	}
	if v.open == nil {
		v.open, v.of = map[wire.Digest]*outflow{}, map[identity.ID]int{}
	}
	v.open[o.id()] = o
	v.of[from]++
	o.cancel = cancel
	o.handling.limit.Stop()
	o.silence = time.AfterFunc(silentTime, func() { cancel(ErrSilent) })
	return nil
}

func (v *streams) leave(o *outflow) {
	from := o.handling.message.From().ID
	o.silence.Stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.open, o.id())
	if v.of[from]--; v.of[from] == 0 {
		delete(v.of, from)
	}
}

// steer does what a reader says about its stream. Others are not heard.
func (v *streams) steer(ctx context.Context, m *envelope.Message) error {
	var f flowContent
	if err := wire.Decode(m.Content(), &f); err != nil {
		return err
	}
	v.mu.Lock()
	o := v.open[f.Stream]
	v.mu.Unlock()
	if o == nil {
		return nil // it has ended meanwhile
	}
	if asked := o.handling.message; asked.Process() != m.Process() || asked.From().ID != m.From().ID {
		return Errorf(fault.Denied, "sdk: the stream is another process's")
	}
	o.silence.Reset(silentTime)
	if f.Stop {
		o.cancel(errCancelled)
		return nil
	}
	o.grant(f.Granted)
	if f.Ping {
		return o.alive(ctx)
	}
	return nil
}

func (o *outflow) id() wire.Digest { return o.handling.message.ID() }

// claim refuses to run a stream beside itself, or again after its reader has got items of it.
func (o *outflow) claim() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running || o.sent.Items > 0 {
		return errors.Join(o.failure, errBegun)
	}
	o.running = true
	return nil
}

// run sends the handler's sequence to the reader and returns its end, or why it has none.
func (o *outflow) run(ctx context.Context, h StreamFunc, d *Delivery) ([]byte, error) {
	var failure error
	for item, err := range h(ctx, d) {
		if failure = err; err == nil {
			failure = o.send(ctx, item)
		}
		if failure != nil {
			break
		}
	}
	if failure == nil && o.turn.enter(ctx) == nil {
		failure = o.unsent()
		o.turn.leave()
	}
	if ctx.Err() != nil { // whatever the sequence made of it
		failure = context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running, o.failure = false, failure
	if failure != nil {
		return nil, &brokenStream{sequence: o.sent.Items, err: failure}
	}
	return wire.Encode(partContent{Sequence: o.sent.Items, Part: endPart})
}

// send sends one item once the reader takes more.
func (o *outflow) send(ctx context.Context, item []byte) error {
	if len(item) > maxItem {
		return wire.ErrTooLarge
	}
	for !o.open() {
		select {
		case <-o.more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := o.turn.enter(ctx); err != nil {
		return context.Cause(ctx)
	}
	defer o.turn.leave()
	if err := o.publish(ctx, itemPart, item); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent.Items++
	o.sent.Bytes += uint64(len(item))
	return nil
}

func (o *outflow) open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent.Items < o.granted.Items && o.sent.Bytes < o.granted.Bytes
}

// grant lets the stream send more. What is less than was granted before comes too late and says nothing.
func (o *outflow) grant(g windowContent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.granted.Items, o.granted.Bytes = max(o.granted.Items, g.Items), max(o.granted.Bytes, g.Bytes)
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// alive tells the reader that the stream goes on, and after how many items, unless an item that says so is being sent.
func (o *outflow) alive(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		defer o.turn.leave()
		return o.publish(ctx, alivePart, nil)
	default:
		return nil
	}
}

// publish sends one part. The caller has o.turn.
func (o *outflow) publish(ctx context.Context, part uint8, item []byte) error {
	if err := o.unsent(); err != nil {
		return err
	}
	o.mu.Lock()
	sequence := o.sent.Items
	o.mu.Unlock()
	content, err := wire.Encode(partContent{Sequence: sequence, Part: part, Item: item})
	if err != nil {
		return err
	}
	m := envelope.Member{Content: content, Trace: o.handling.message.Envelope().Trace}
	l, _, err := o.handling.session.egress.enqueue(ctx, o.way, m, false)
	if err == nil && (len(o.leaving) == 0 || o.leaving[len(o.leaving)-1] != l) {
		o.leaving = append(o.leaving, l)
	}
	return err
}

// unsent returns why something that was to leave has not, and forgets what has left. The caller has o.turn.
func (o *outflow) unsent() error {
	for len(o.leaving) > 0 {
		select {
		case <-o.leaving[0].done:
		default:
			return nil
		}
		if err := o.leaving[0].err; err != nil {
			return err
		}
		o.leaving = o.leaving[1:]
	}
	return nil
}
