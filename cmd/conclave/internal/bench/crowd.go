package bench

import (
	"context"
	"sync"
)

// crowd calls fn for 0 to n-1, some at a time, and returns when all calls have. The first error ends the ctx of the
// others, keeps more from starting, and is returned.
func crowd(ctx context.Context, n, atOnce int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	slots := make(chan struct{}, max(atOnce, 1))
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-slots }()
			if err := fn(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
