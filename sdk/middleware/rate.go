package middleware

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ErrRate is returned to a sender that sends too often, or that there is no room to remember.
var ErrRate = fault.New(fault.Rate, "middleware: too many requests")

// Rate is a token bucket for each sender.
type Rate struct {
	Every   time.Duration // one token comes so often; 0 or less denies everything
	Burst   int           // tokens that a bucket holds; 0 or less denies everything
	Senders int           // remembered at a time; 4,096 if 0
}

const manySenders = 4096

// RateLimit lets each sender, by its verified id, through as often as r says, and refuses more with [ErrRate]. Senders
// whose bucket is full again are forgotten to make room; when there is none, a new sender is refused rather than one
// forgotten that has used up its share.
func RateLimit(r Rate) sdk.Middleware {
	if r.Every <= 0 || r.Burst <= 0 {
		return closed("no rate allowed")
	}
	if r.Senders <= 0 {
		r.Senders = manySenders
	}
	b := &buckets{rate: r, full: map[sdk.ID]time.Time{}}
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			if !b.take(d.From.ID, time.Now()) {
				return nil, ErrRate
			}
			return next(ctx, d)
		}
	}
}

// buckets remembers of each sender when its bucket will be full again: all that there is to know of one.
type buckets struct {
	rate Rate

	mu    sync.Mutex
	full  map[sdk.ID]time.Time
	swept time.Time
}

// take takes a token of the sender's bucket, if there is one.
func (b *buckets) take(id sdk.ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	full, known := b.full[id]
	if !known && len(b.full) >= b.rate.Senders && !b.sweep(now) {
		return false
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(b.rate.Every)
	if full.Sub(now) > time.Duration(b.rate.Burst)*b.rate.Every {
		return false
	}
	b.full[id] = full
	return true
}

// sweep forgets whose bucket is full, at most once in the time that a token takes. It reports whether there is room.
func (b *buckets) sweep(now time.Time) bool {
	if now.Sub(b.swept) < b.rate.Every {
		return false
	}
	b.swept = now
	maps.DeleteFunc(b.full, func(_ sdk.ID, full time.Time) bool { return !full.After(now) })
	return len(b.full) < b.rate.Senders
}
