package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	maxQueued      = 8192    // messages that wait for the signer
	maxQueuedBytes = 8 << 20 // of their contents
	maxUnflushed   = 2       // frames or bundles that the node has not confirmed
	frameFrom      = 16      // messages from which on a lot is a frame of its own
	maxBundle      = 256     // envelopes that go each by itself under one signature
)

// errRetired is returned for messages of a session that another one has replaced.
var errRetired = errors.New("sdk: the session was replaced")

// egress is the one way out of a session: it counts, seals, signs and publishes. What cannot go at once is queued by
// destination and subject in lots; one goroutine at a time, which runs only while there is work, takes them in order
// whenever fewer than maxUnflushed frames are unconfirmed. So frames form under load, and a lone message never waits.
// It is safe for concurrent use.
type egress struct {
	sealer *sealer
	failed func(subject string, err error) // for what nobody waits for
	cuts   *atomic.Uint64                  // how often the connection has gone down

	ctx  context.Context // of flushing
	stop context.CancelFunc
	room *bell // rung when there is room again and somebody waits for it

	mu        sync.Mutex
	queue     []*lot // in the order in which they were begun
	messages  int    // in the queue
	bytes     int
	waiting   int      // callers who wait for room
	sealing   bool     // somebody seals and publishes now
	flushing  bool     // somebody waits for the node's confirmation now
	unflushed [][]*lot // published together, oldest first
	newest    *lot     // queued last
	failure   error    // the first since the last flush
	held      bool     // nothing may leave yet
	former    *egress  // of the session that this one's replaces: what it has queued was published before
	retired   bool     // events are refused
	closed    bool     // everything is refused
	running   sync.WaitGroup

	taken atomic.Bool // the node has confirmed all, and nothing follows
}

func newEgress(
	p *identity.Process, conn bus.Conn, cuts *atomic.Uint64, now func() int64, failed func(subject string, err error),
) *egress {
	e := &egress{sealer: &sealer{process: p, conn: conn, now: now}, failed: failed, cuts: cuts, room: newBell()}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// post queues an event. It blocks while the queue is full.
func (e *egress) post(ctx context.Context, r *route, m envelope.Member) (Receipt, error) {
	l, index, err := e.enqueue(ctx, r, m, true)
	return Receipt{lot: l, index: index}, err
}

// enqueue queues one message of a route, which leaves with those before and after it if they wait. It returns its lot,
// which somebody awaits unless it is of events.
func (e *egress) enqueue(ctx context.Context, r *route, m envelope.Member, event bool) (*lot, int, error) {
	if len(m.Content) > envelope.DefaultLimit {
		return nil, 0, wire.ErrTooLarge
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.await(ctx, weight(m), event); err != nil {
		return nil, 0, err
	}
	l := r.open
	if l == nil || len(l.members) >= envelope.MaxBatch || l.size+weight(m) > r.limit {
		l = newLot(r)
		l.event, l.awaited = event, !event
		r.open = l
		e.push(l)
	}
	index := l.add(m)
	e.messages++
	e.bytes += weight(m)
	e.kick()
	return l, index, nil
}

// send lets one envelope out: at once, in the caller's goroutine, if nothing else is under way, and otherwise after what
// is queued. The outcome is the lot's.
func (e *egress) send(ctx context.Context, l *lot) error {
	e.mu.Lock()
	if !e.closed && !e.held && !e.sealing && len(e.queue) == 0 {
		e.sealing = true
		e.running.Add(1)
		e.mu.Unlock()
		if len(e.dispatch([]*lot{l})) > 0 {
			l.finish(nil)
		}
		e.mu.Lock()
		e.sealing = false
		e.kick()
		e.mu.Unlock()
		e.running.Done()
		return nil
	}
	defer e.mu.Unlock()
	if err := e.await(ctx, l.size, false); err != nil {
		return err
	}
	e.push(l)
	e.messages++
	e.bytes += l.size
	e.kick()
	return nil
}

// await returns when there is room for so many bytes. e.mu is held, and let go meanwhile.
func (e *egress) await(ctx context.Context, size int, event bool) error {
	for {
		switch {
		case e.closed:
			return ErrClosed
		case e.retired && event:
			return errRetired
		case size > maxQueuedBytes:
			return wire.ErrTooLarge // there will never be room
		case e.messages < maxQueued && e.bytes+size <= maxQueuedBytes:
			return ctx.Err()
		}
		room := e.room.next()
		e.waiting++
		e.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		e.mu.Lock()
		e.waiting--
		if err != nil {
			return err
		}
	}
}

// push queues a lot. e.mu is held.
func (e *egress) push(l *lot) {
	e.queue = append(e.queue, l)
	e.newest = l
}

// kick starts the signer if it has something to do. e.mu is held.
func (e *egress) kick() {
	if e.sealing || !e.ready() {
		return
	}
	e.sealing = true
	e.running.Go(e.seal)
}

func (e *egress) ready() bool { return !e.held && len(e.queue) > 0 && len(e.unflushed) < maxUnflushed }

// seal is the signer: it runs while there is something to do.
func (e *egress) seal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.ready() {
		lots := e.take()
		e.mu.Unlock()
		published := e.dispatch(lots)
		e.mu.Lock()
		if len(published) == 0 || published[0].confirm != nil {
			continue
		}
		e.unflushed = append(e.unflushed, published)
		if !e.flushing {
			e.flushing = true
			e.running.Go(e.flush)
		}
	}
	e.sealing = false
}

// take removes from the queue what is to be signed next: a lot that fills a frame, or several small ones. e.mu is held.
func (e *egress) take() []*lot {
	n, members, size := 0, 0, 0
	for n < len(e.queue) {
		l := e.queue[n]
		frame := len(l.members) >= frameFrom
		if n > 0 && (frame || members+len(l.members) > maxBundle || size+l.size > 2*frameBytes) {
			break
		}
		members += len(l.members)
		size += l.size
		n++
		if l.route.open == l {
			l.route.open = nil
		}
		if frame {
			break
		}
	}
	lots := append([]*lot(nil), e.queue[:n]...)
	clear(e.queue[:n])
	e.queue = e.queue[n:]
	e.messages -= members
	e.bytes -= size
	if e.waiting > 0 {
		e.room.ring()
	}
	return lots
}

// dispatch seals and publishes lots, each exactly once or not at all. It returns those that were published; the others
// have been told why not. A lone message is finished: only who asks for it has it confirmed, because for most that would
// cost more than the message.
func (e *egress) dispatch(lots []*lot) (published []*lot) {
	out := e.sealer.lone
	if len(lots) > 1 {
		if members, ok := e.sealer.bundle(lots); ok {
			out = members
		} // else each by itself, so that one that cannot be sealed does not hinder the others
	}
	for _, l := range lots {
		lone := len(lots) == 1 && len(l.members) == 1 && l.event
		l.cuts = e.cuts.Load()
		err := out(l)
		l.sealed()
		l.left = err == nil
		if err == nil && lone {
			l.confirm = e.confirm
			l.finish(nil)
		}
		if err != nil {
			e.end(l, err)
			continue
		}
		published = append(published, l)
	}
	return published
}

// flush has what was published confirmed by the node, while there is anything.
func (e *egress) flush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.unflushed) > 0 {
		batch := e.unflushed[:len(e.unflushed):len(e.unflushed)]
		e.mu.Unlock()
		err := e.sealer.conn.Flush(e.ctx)
		if e.ctx.Err() != nil {
			err = ErrClosed
		}
		cuts := e.cuts.Load()
		for _, lots := range batch {
			for _, l := range lots {
				if err == nil && l.cuts != cuts {
					e.end(l, errCut)
					continue
				}
				e.end(l, doubtful(err))
			}
		}
		e.mu.Lock()
		e.unflushed = e.unflushed[len(batch):]
		e.kick()
	}
	e.flushing, e.unflushed = false, nil
}

// errCut is returned when the connection has gone down since something was published: what stands again says nothing
// about it, least of all at another node.
var errCut = doubtful(fmt.Errorf("sdk: the connection went down before the node confirmed it: %w", bus.ErrUnreachable))

// doubtful returns the error of what was published, and not confirmed for want of a connection: nobody knows whether it
// arrived.
func doubtful(err error) error {
	if fault.CodeOf(err) != fault.Unreachable || errors.Is(err, ErrClosed) {
		return err
	}
	return &fault.Error{Code: fault.Uncertain, Message: err.Error(), Err: err}
}

// confirm asks the node whether it has taken what was published before, when the connection had gone down so often.
func (e *egress) confirm(ctx context.Context, cuts uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	if e.taken.Load() && e.cuts.Load() == cuts {
		return nil
	}
	err := e.sealer.conn.Flush(ctx)
	switch {
	case e.ctx.Err() != nil:
		return ErrClosed
	case err == nil && e.cuts.Load() != cuts:
		return errCut
	}
	return doubtful(err)
}

// end tells a lot its outcome, and the logger of a failure that nobody is sure to look at.
func (e *egress) end(l *lot, err error) {
	l.finish(err)
	if err == nil || l.awaited {
		return
	}
	if l.lost != nil && l.lost(err) {
		return
	}
	e.mu.Lock()
	if e.failure == nil && l.event {
		e.failure = err
	}
	e.mu.Unlock()
	e.failed(l.route.subject, err)
}

// drained returns when all that was queued before has left, here and at the session that this one's replaces, with the
// first error since the last call, or ctx's.
func (e *egress) drained(ctx context.Context) error {
	e.mu.Lock()
	former := e.former
	e.mu.Unlock()
	if former == nil {
		return e.emptied(ctx)
	}
	err := former.emptied(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if own := e.emptied(ctx); err == nil {
		err = own
	}
	return err
}

// emptied is drained for what was queued here.
func (e *egress) emptied(ctx context.Context) error {
	newest, last := e.idle(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.failure
	e.failure = nil
	if err == nil && newest != nil && newest.confirm != nil { // the others' outcomes are in failure
		err = last
	}
	return err
}

// idle returns when all that was queued before has left, or ctx ends: with what was queued last, and its outcome.
func (e *egress) idle(ctx context.Context) (*lot, error) {
	e.mu.Lock()
	newest := e.newest
	e.mu.Unlock()
	if newest == nil {
		return nil, nil
	}
	return newest, newest.settled(ctx)
}

// follow makes this the egress of the session that replaces the former's.
func (e *egress) follow(former *egress) {
	former.mu.Lock()
	former.former = nil // it has long been emptied, and closes
	former.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.former = former
}

// hold keeps everything back until release.
func (e *egress) hold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = true
}

func (e *egress) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = false
	e.kick()
}

// retire refuses further events, with errRetired: they go to the session that replaces this one.
func (e *egress) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retired = true
	e.room.ring()
}

// close takes nothing more, lets out what is queued until ctx ends, and returns when nothing runs any more.
func (e *egress) close(ctx context.Context) error {
	e.mu.Lock()
	e.closed, e.held = true, false
	e.kick()
	e.room.ring()
	e.mu.Unlock()
	e.taken.Store(e.emptied(ctx) == nil) // who published has the receipts
	if ctx.Err() != nil {
		e.stop()
	}
	e.mu.Lock()
	dropped := e.queue
	e.queue, e.newest = nil, nil
	e.mu.Unlock()
	for _, l := range dropped {
		e.end(l, ErrClosed)
	}
	e.running.Wait()
	e.stop()
	return ctx.Err()
}
