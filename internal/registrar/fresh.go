package registrar

import (
	"context"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// catching has this node apply all that was committed before a moment. Who asks while another waits is served by the same
// wait, if that began later. It is safe for concurrent use.
type catching struct {
	barrier func(context.Context) error
	turn    chan struct{} // capacity 1: one barrier at a time, however many ask

	begun, done atomic.Uint64 // barriers, by number
}

func newCatching(barrier func(context.Context) error) *catching {
	return &catching{barrier: barrier, turn: make(chan struct{}, 1)}
}

// up returns nil once everything is applied here that was committed before the call. Errors: ctx's and the log's.
func (c *catching) up(ctx context.Context) error {
	mine := c.begun.Load() + 1
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	if c.done.Load() >= mine {
		return nil
	}
	number := c.begun.Add(1)
	if err := c.barrier(ctx); err != nil {
		return err
	}
	c.done.Store(number)
	return nil
}

// fresh asks this node's ledger, and where that does not know, asks again once it has applied what was committed before:
// the caller may have heard of it at another node.
func fresh[T any](ctx context.Context, r *Registrar, ask func() (T, error)) (T, error) {
	v, err := ask()
	if fault.CodeOf(err) != fault.Unknown || r.alone() {
		return v, err
	}
	if r.catching.up(ctx) != nil {
		return v, err
	}
	return ask()
}
