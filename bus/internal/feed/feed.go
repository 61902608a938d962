// Package feed is a subscription's bounded queue and the one goroutine that empties it, the same for every
// implementation of the bus.
package feed

import (
	"sync"
	"sync/atomic"
)

// Feed calls one function for every item put into its Queue, one at a time and in order. Make it with [Start].
type Feed[M any] struct {
	// Queue takes items. A send that would block means that the item is lost; the sender decides what that costs.
	Queue chan M

	fn       func(M)
	ended    atomic.Bool
	stop     chan struct{}
	drain    chan struct{}
	done     chan struct{}
	stopOnce sync.Once
	drainOne sync.Once
}

// Start begins a feed whose queue holds size items. Its goroutine ends after [Feed.End] or [Feed.Drain]; Done says
// when.
func Start[M any](size int, fn func(M)) *Feed[M] {
	f := New(size, fn)
	f.Run()
	return f
}

// New makes a feed that does not run yet: its queue fills.
func New[M any](size int, fn func(M)) *Feed[M] {
	return &Feed[M]{
		Queue: make(chan M, size), fn: fn,
		stop: make(chan struct{}), drain: make(chan struct{}), done: make(chan struct{}),
	}
}

// Run starts the goroutine, with items that go before those queued. It may be called once.
func (f *Feed[M]) Run(first ...M) { go f.loop(first) }

func (f *Feed[M]) loop(first []M) {
	defer close(f.done)
	for _, m := range first {
		f.call(m)
	}
	for !f.ended.Load() {
		select {
		case m := <-f.Queue:
			f.call(m)
		case <-f.stop:
			return
		case <-f.drain:
			f.empty()
			return
		}
	}
}

func (f *Feed[M]) empty() {
	for !f.ended.Load() {
		select {
		case m := <-f.Queue:
			f.call(m)
		default:
			return
		}
	}
}

func (f *Feed[M]) call(m M) {
	if !f.ended.Load() {
		f.fn(m)
	}
}

// End drops what is queued: the function is not called again once End has returned, though a call may be running. It
// does not wait, so the function itself may call it.
func (f *Feed[M]) End() {
	f.ended.Store(true)
	f.stopOnce.Do(func() { close(f.stop) })
}

// Drain has what is queued now handled and then ends the feed. It does not wait. The caller sees to it that nothing
// more is queued.
func (f *Feed[M]) Drain() { f.drainOne.Do(func() { close(f.drain) }) }

// Done is closed when the function does not run and will not run again.
func (f *Feed[M]) Done() <-chan struct{} { return f.done }
