package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/internal/feed"
)

// Subscribe implements [bus.Conn].
func (c *Conn) Subscribe(pattern string, fn func(subject string, data []byte)) (bus.Subscription, error) {
	if !bus.ValidPattern(pattern) {
		return nil, fmt.Errorf("subscribe: %w", bus.ErrSubject)
	}
	s := &subscription{conn: c, pattern: pattern}
	s.feed = feed.New(c.options.Queue, func(m *nats.Msg) { fn(m.Subject, m.Data) })
	var err error
	if s.nats, err = c.nc.ChanSubscribe(pattern, s.feed.Queue); err != nil {
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
		s.feed.Run(m)
	} else {
		s.feed.Run()
	}
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

type subscription struct {
	conn     *Conn
	pattern  string
	nats     *nats.Subscription
	feed     *feed.Feed[*nats.Msg]
	dropped  atomic.Uint64
	reported uint64 // drops told to the observer; used by nats.go's callback goroutine alone
}

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
	if err := s.nats.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return callError("unsubscribe", err)
	}
	return nil
}

// Dropped implements [bus.Subscription].
func (s *subscription) Dropped() uint64 {
	s.count()
	return s.dropped.Load()
}

// count keeps nats.go's number, which is gone once the subscription has ended.
func (s *subscription) count() {
	if n, err := s.nats.Dropped(); err == nil && n > 0 {
		s.dropped.Store(uint64(n))
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
