package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ErrTimeout is returned when a handler took longer than [Timeout] allows. Whether it did its work is unknown.
var ErrTimeout = fault.New(fault.Uncertain, "middleware: the handler took too long; it may have done its work")

// Timeout ends the handler's ctx d after it was called, with [ErrTimeout] as the cause, and gives the caller that error
// if the handler has not returned by then. A handler that goes on in spite of its ctx is awaited by the agent, in one
// of its bounded places ([sdk.Await]): Close returns after it. Where there is no such place, or no agent, the
// caller waits for the handler, and gets what it returns. A d of 0 or less denies everything.
//
// A handler's panic is raised again where it is waited for, so [Recover] has to stand inside.
func Timeout(d time.Duration) sdk.Middleware {
	if d <= 0 {
		return closed("no time allowed")
	}
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, delivery *sdk.Delivery) ([]byte, error) {
			limited, cancel := context.WithTimeoutCause(ctx, d, ErrTimeout)
			r := begin(limited, next, delivery)
			select {
			case <-r.done:
			case <-limited.Done():
				if sdk.Await(ctx, func() { defer cancel(); r.wait() }) {
					return nil, causeOf(limited)
				}
			}
			defer cancel()
			r.wait()
			if r.err != nil && errors.Is(r.err, limited.Err()) {
				return nil, causeOf(limited)
			}
			return r.out, r.err
		}
	}
}

// causeOf says why a context has ended.
func causeOf(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrTimeout) {
		return ErrTimeout
	}
	return sdk.Errorf(fault.Uncertain, "middleware: the handler's context ended: %w", ctx.Err())
}

// run is one handler at work in a goroutine of its own. What it left is there to read once done is closed.
type run struct {
	done     chan struct{}
	out      []byte
	err      error
	panicked bool
	value    any
}

func begin(ctx context.Context, h sdk.HandlerFunc, d *sdk.Delivery) *run {
	r := &run{done: make(chan struct{}), panicked: true}
	go func() {
		defer close(r.done)
		defer func() {
			if !r.panicked {
				return
			}
			if r.value = recover(); r.value == nil { // the handler ended its goroutine
				r.err, r.panicked = ErrPanicked, false
			}
		}()
		r.out, r.err = h(ctx, d)
		r.panicked = false
	}()
	return r
}

// wait returns when the handler has, or panics as it did.
func (r *run) wait() {
	<-r.done
	if r.panicked {
		panic(r.value)
	}
}
