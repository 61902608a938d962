// Package feed is a subscription's bounded queue and the one goroutine that empties it, the same for every
// implementation of the bus.
package feed

import "sync"

// Bounds is what a feed's queue holds at most, beside the item being handled.
type Bounds struct {
	Items int // 1 or more
	Bytes int // of all items together, as Put is told; an item larger than this never fits
}

// Feed calls one function for every item put into it, one at a time and in order. What does not fit its bounds is
// dropped and counted. Make it with [New]. It is safe for concurrent use.
type Feed[M any] struct {
	bounds Bounds
	fn     func(M)
	done   chan struct{}

	mu      sync.Mutex
	changed sync.Cond // the queue got something, or state changed
	ring    []item[M] // grows to bounds.Items
	head    int
	items   int // queued
	bytes   int // queued
	state   state
	dropped uint64
	told    uint64 // drops that Put has reported
	losing  bool   // since a drop, until half of both bounds is free
	before  uint64 // drops before this losing began
	report  uint64 // how many of this losing's drops make the next report
}

type item[M any] struct {
	m     M
	bytes int
}

type state byte

const (
	open     state = iota
	draining       // takes nothing more
	ended          // and has dropped what it had
)

// New makes a feed that does not run yet: its queue fills.
func New[M any](b Bounds, fn func(M)) *Feed[M] {
	f := &Feed[M]{bounds: b, fn: fn, done: make(chan struct{})}
	f.changed.L = &f.mu
	return f
}

// Run starts the goroutine; it ends after [Feed.End] or [Feed.Drain], and Done says when. It may be called once.
func (f *Feed[M]) Run() {
	go func() {
		defer close(f.done)
		for {
			m, ok := f.next()
			if !ok {
				return
			}
			f.fn(m)
		}
	}()
}

// Put queues m, which counts as so many bytes, or drops it if it does not fit; it never waits. When losing begins, and
// at the 10th, 100th, 1000th and so on while it lasts, it returns how many were dropped since it last said so, and
// otherwise 0. Losing ends when half of both bounds is free again. A feed that was ended or drained takes nothing and
// counts nothing.
func (f *Feed[M]) Put(m M, bytes int) (lost uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.state != open:
		return 0
	case f.items == f.bounds.Items || bytes > f.bounds.Bytes-f.bytes:
		return f.drop()
	case f.items == len(f.ring):
		f.grow()
	}
	at := f.head + f.items
	if at >= len(f.ring) {
		at -= len(f.ring)
	}
	f.ring[at] = item[M]{m, bytes}
	f.items++
	f.bytes += bytes
	if f.items == 1 {
		f.changed.Signal()
	}
	return 0
}

func (f *Feed[M]) drop() (lost uint64) {
	f.dropped++
	if !f.losing {
		f.losing, f.before, f.report = true, f.dropped-1, 1
	}
	if f.dropped-f.before < f.report {
		return 0
	}
	f.report *= 10
	lost, f.told = f.dropped-f.told, f.dropped
	return lost
}

func (f *Feed[M]) grow() {
	ring := make([]item[M], min(max(2*len(f.ring), 16), f.bounds.Items))
	n := copy(ring, f.ring[f.head:])
	copy(ring[n:], f.ring[:f.head])
	f.ring, f.head = ring, 0
}

// next waits for an item; false says that none will come.
func (f *Feed[M]) next() (M, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.items == 0 {
		if f.state != open {
			return *new(M), false
		}
		f.changed.Wait()
	}
	taken := f.ring[f.head]
	f.ring[f.head] = item[M]{} // the queue must not keep it alive
	if f.head++; f.head == len(f.ring) {
		f.head = 0
	}
	f.items--
	f.bytes -= taken.bytes
	if f.losing && f.items <= f.bounds.Items/2 && f.bytes <= f.bounds.Bytes/2 {
		f.losing = false
	}
	return taken.m, true
}

// End drops what is queued: the function is not called again once End has returned, though a call may be running. It
// does not wait, so the function itself may call it.
func (f *Feed[M]) End() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.ring, f.items, f.bytes = ended, nil, 0, 0
	f.changed.Signal()
}

// Drain has what is queued now handled and then ends the feed; nothing more is taken. It does not wait.
func (f *Feed[M]) Drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = max(f.state, draining)
	f.changed.Signal()
}

// Done is closed when the function does not run and will not run again.
func (f *Feed[M]) Done() <-chan struct{} { return f.done }

// Dropped returns how many items did not fit.
func (f *Feed[M]) Dropped() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// Held returns how much is queued, beside the item being handled.
func (f *Feed[M]) Held() (items, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.items, f.bytes
}
