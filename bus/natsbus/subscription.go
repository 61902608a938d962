package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/internal/feed"
)

// handover is how many messages nats.go may be ahead of the goroutine that queues them, which never waits for a
// handler: some milliseconds at full rate, for when the scheduler is busy.
const handover = 8192

// Subscribe implements [bus.Conn].
func (c *Conn) Subscribe(pattern string, fn func(subject string, data []byte)) (bus.Subscription, error) {
	if !bus.ValidPattern(pattern) {
		return nil, fmt.Errorf("subscribe: %w", bus.ErrSubject)
	}
	s := &subscription{conn: c, pattern: pattern, in: make(chan *nats.Msg, handover)}
	bounds := feed.Bounds{Items: c.options.Queue, Bytes: c.options.QueueBytes}
	s.feed = feed.New(bounds, func(m *nats.Msg) { fn(m.Subject, m.Data) })
	var err error
	if s.nats, err = c.nc.ChanSubscribe(pattern, s.in); err != nil {
		return nil, callError("subscribe", err)
	}
	if err := c.Flush(context.Background()); err != nil {
		_ = s.nats.Unsubscribe() // the flush's error says more
		return nil, err
	}
	// The node answers a refused subscription before the flush. Asking for a message is nats.go's only way to learn of
	// it; a message that is there already goes first.
	m, err := s.nats.NextMsg(time.Nanosecond)
	if errors.Is(err, nats.ErrPermissionViolation) {
		_ = s.nats.Unsubscribe() // the node has none
		return nil, callError("subscribe to "+pattern, err)
	}
	if !c.add(s) {
		_ = s.nats.Unsubscribe() // the connection is closing
		return nil, fmt.Errorf("subscribe: %w", bus.ErrClosed)
	}
	if m != nil {
		s.put(m)
	}
	s.feed.Run()
	go s.receive()
	return s, nil
}

func (c *Conn) add(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.err != nil {
		return false
	}
	c.subs[s] = struct{}{}
	return true
}

// A subscription has two goroutines: receive takes from nats.go as fast as it can and queues within the bounds, because
// nats.go bounds a channel's messages but not their bytes; the feed's runs the handler.
type subscription struct {
	conn     *Conn
	pattern  string
	nats     *nats.Subscription
	in       chan *nats.Msg // from nats.go; closed by finish
	finished sync.Once
	feed     *feed.Feed[*nats.Msg]
	missed   atomic.Uint64 // dropped by nats.go, because in was full
	reported uint64        // of those, told to the observer; used by nats.go's callback goroutine alone
}

func (s *subscription) receive() {
	for m := range s.in {
		s.put(m)
	}
	s.feed.Drain()
	<-s.feed.Done()
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	delete(s.conn.subs, s)
}

func (s *subscription) put(m *nats.Msg) {
	if lost := s.feed.Put(m, len(m.Data)); lost > 0 {
		s.conn.reportDropped(s.pattern, lost)
	}
}

// finish has what has come so far handled. nats.go must have let go of the channel: the subscription or the connection
// has ended there.
func (s *subscription) finish() { s.finished.Do(func() { close(s.in) }) }

// Unsubscribe implements [bus.Subscription].
func (s *subscription) Unsubscribe() error {
	s.conn.mu.Lock()
	_, live := s.conn.subs[s]
	delete(s.conn.subs, s)
	s.conn.mu.Unlock()
	s.feed.End()
	if !live {
		return nil
	}
	s.count()
	err := s.nats.Unsubscribe()
	s.finish() // whatever err says: nats.go lets go first, or had done so when the connection ended
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return callError("unsubscribe", err)
	}
	return nil
}

// Drain implements [bus.Subscription].
func (s *subscription) Drain(ctx context.Context) error {
	err := s.conn.Flush(ctx) // what the node sent before its answer has come
	s.count()
	_ = s.nats.Unsubscribe() // fails only when the connection has ended, and the subscription with it
	s.finish()
	return errors.Join(err, s.wait(ctx))
}

// Dropped implements [bus.Subscription].
func (s *subscription) Dropped() uint64 {
	s.count()
	return s.missed.Load() + s.feed.Dropped()
}

// count keeps nats.go's number, which is gone once the subscription has ended.
func (s *subscription) count() {
	if n, err := s.nats.Dropped(); err == nil && n > 0 {
		s.missed.Store(uint64(n))
	}
}

func (s *subscription) wait(ctx context.Context) error {
	select {
	case <-s.feed.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
