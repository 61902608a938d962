package middleware

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Backoff says how often and when something is tried again. The zero value is three attempts.
type Backoff struct {
	Attempts int           // in all, 1 to 16; 3 if 0, and 16 if more
	First    time.Duration // most that is waited before the second attempt, doubled for each one after; 50 ms if 0
	Longest  time.Duration // most that is ever waited; 2 s if 0

	// Each bounds one attempt; 0: only the whole is bounded, by its context. An attempt that it ends is uncertain.
	Each time.Duration
	// Again makes another attempt also after "uncertain", when the effect may have happened. What is called must be fit
	// to be called twice with the same content; [Dedup] makes it so.
	Again bool
}

const (
	mostAttempts = 16
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Retry has the handler called again after an error that may pass: one whose code is retryable, except "uncertain", of
// which the effect may have happened, unless b.Again is set. Between attempts it waits a random time up to the bound that b gives (full
// jitter), so that many who failed together do not come back together. It gives up, with the last error, after
// b.Attempts, and when ctx ends. The handler must be fit to be called again.
func Retry(b Backoff) sdk.Middleware {
	b = b.filled()
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			return b.try(ctx, func(ctx context.Context) ([]byte, error) { return next(ctx, d) })
		}
	}
}

// RetryCalls does the same for an agent's own calls ([sdk.Agent.UseCalls]). A call that timed out is uncertain and is
// not made again, unless b.Again is set.
//
// It hides that a node goes away, where the handlers on the other side are idempotent. The caller's own connection is
// back at another node within a second or two, and so is that of who was called, but the caller is not told of the
// latter: b.Each has to say for how long a reply is worth waiting for.
//
//	caller.UseCalls(middleware.RetryCalls(middleware.Backoff{Attempts: 8, Each: 3 * time.Second, Again: true}))
//	server.Use(middleware.Dedup(middleware.Window{}))
//
// Each attempt picks a process anew. Dedup's memory is one process's: where several serve, what they do must bear being
// done twice.
func RetryCalls(b Backoff) sdk.CallMiddleware {
	b = b.filled()
	return func(next sdk.CallFunc) sdk.CallFunc {
		return func(ctx context.Context, to sdk.Target, content []byte) ([]byte, error) {
			return b.try(ctx, func(ctx context.Context) ([]byte, error) { return next(ctx, to, content) })
		}
	}
}

func (b Backoff) filled() Backoff {
	if b.Attempts <= 0 {
		b.Attempts = 3
	}
	b.Attempts = min(b.Attempts, mostAttempts)
	if b.First <= 0 {
		b.First = firstPause
	}
	if b.Longest <= 0 {
		b.Longest = longestPause
	}
	return b
}

func (b Backoff) try(ctx context.Context, attempt func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	for i := 1; ; i++ {
		out, err := b.once(ctx, attempt)
		another := passing(err) || b.Again && fault.CodeOf(err) == fault.Uncertain
		if err == nil || i == b.Attempts || !another || !pause(ctx, b.bound(i)) {
			return out, err
		}
	}
}

// once makes one attempt within its time.
func (b Backoff) once(ctx context.Context, attempt func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	if b.Each <= 0 {
		return attempt(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, b.Each)
	defer cancel()
	out, err := attempt(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && fault.CodeOf(err) == fault.Internal {
		err = errors.Join(sdk.ErrTimeout, err) // of who returns its context's error
	}
	return out, err
}

// bound returns the most that is waited after attempt i, from 1.
func (b Backoff) bound(i int) time.Duration {
	bound := b.First
	for ; i > 1 && bound < b.Longest; i-- {
		bound *= 2
	}
	return min(bound, b.Longest)
}

// passing reports whether the same attempt may succeed later, and has done nothing until now.
func passing(err error) bool {
	code := fault.CodeOf(err)
	return code.Retryable() && code != fault.Uncertain
}

// pause waits a random time up to bound and reports whether ctx lasted.
func pause(ctx context.Context, bound time.Duration) bool {
	timer := time.NewTimer(rand.N(bound + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
