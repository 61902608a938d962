package sdk

import (
	"context"
	"sync"
)

// crew is an agent's goroutines. Handlers are waited for before the agent disconnects, everything else ends after them.
type crew struct {
	ctx    context.Context // ends when the last handler has, or may run no longer
	stop   context.CancelFunc
	slots  chan struct{} // of handlers
	chores chan struct{} // of what handlers may wait for: new tickets, refusals, joins
	parked chan struct{} // holds one: a handler's goroutine that waits for the next
	idle   chan func()   // to that one

	mu       sync.Mutex // held while anything is started
	closed   bool
	handlers sync.WaitGroup // handlers and voter functions
	running  sync.WaitGroup // everything else
}

func newCrew() *crew {
	c := &crew{
		slots: make(chan struct{}, maxHandlers), chores: make(chan struct{}, maxHandlers),
		parked: make(chan struct{}, 1), idle: make(chan func()),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// keep runs a loop that ends with the crew's ctx, if the agent is not closing; it reports whether it did.
func (c *crew) keep(loop func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running.Go(loop)
	}
	return !c.closed
}

// spawn runs a handler in a goroutine that Close waits for, if a slot is free and the agent is not closing; it reports
// whether it did.
func (c *crew) spawn(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return false
	}
	c.handlers.Add(1)
	select {
	case c.idle <- fn:
	default:
		c.running.Go(func() { c.work(fn) })
	}
	return true
}

// work runs handlers, the first one and those that come while it is the one that waits for them: a goroutine that has
// run one has the stack that the next one needs.
func (c *crew) work(fn func()) {
	for fn != nil {
		c.handle(fn)
		fn = c.next()
	}
}

// handle runs one handler, which may end the goroutine.
func (c *crew) handle(fn func()) {
	defer c.handlers.Done()
	defer func() { <-c.slots }()
	fn()
}

func (c *crew) next() func() {
	select {
	case c.parked <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-c.parked }()
	select {
	case fn := <-c.idle:
		return fn
	case <-c.ctx.Done():
		return nil
	}
}

// chore runs what handlers may wait for, so that they cannot take all the room from it, and also while they end.
func (c *crew) chore(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	select {
	case c.chores <- struct{}{}:
	default:
		return false
	}
	c.running.Go(func() {
		defer func() { <-c.chores }()
		fn()
	})
	return true
}

// shut lets no more handlers start. It reports whether they could until now.
func (c *crew) shut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.closed
	c.closed = true
	return !before
}

func (c *crew) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// finish waits for handlers, whose replies still go out, and then ends everything that runs in the background.
func (c *crew) finish(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		c.handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	<-done
}

// wait returns when nothing runs any more.
func (c *crew) wait() { c.running.Wait() }
