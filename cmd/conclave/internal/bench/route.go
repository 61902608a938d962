package bench

import (
	"context"
	"time"
)

// How many messages may be under way, for ours and the peer alike: as many as a subscription of the SDK holds by
// default, so that nothing is dropped even if each comes alone, and no more bytes than a node keeps for one receiver.
const (
	mostUnderWay  = 8192
	bytesUnderWay = 4 << 20
	wrapping      = 256 // bytes that a message may have beside its content
)

func (b *bout) window() int { return min(mostUnderWay, bytesUnderWay/(b.Size+wrapping)) }

// route is one way from one sender to one receiver. One goroutine at a time uses it.
type route struct {
	send  func(ctx context.Context, content []byte) error // content stays as it is until it was heard
	flush func(ctx context.Context) error                 // hands over what was kept to go together
	heard *tally

	sent     uint64
	contents [][]byte // one for each that may be under way: whoever sends one more knows that the first was heard
}

// newRoute makes a route on which as many messages as said may be under way.
func newRoute(b *bout, underWay int) *route {
	return &route{heard: newTally(b, 1), contents: contents(underWay, b.Size)}
}

// contents makes n of the size.
func contents(n, size int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = filler(size)
	}
	return list
}

// flow sends n messages and returns when all of them were heard.
func (r *route) flow(ctx context.Context, n int) (sample, error) {
	r.heard.times()
	s, err := timed(n, func() error { return r.pour(ctx, n) })
	s.delays = r.heard.times()
	return s, err
}

func (r *route) pour(ctx context.Context, n int) error {
	window := uint64(len(r.contents))
	until := r.sent + uint64(n)
	free := r.heard.total() + window
	for ; r.sent < until; r.sent++ {
		if r.sent >= free {
			if err := r.heard.await(ctx, r.sent-window+1); err != nil {
				return err
			}
			free = r.heard.total() + window
		}
		var at time.Time
		if r.sent%timeEvery == 0 {
			at = time.Now()
		}
		content := r.contents[r.sent%window]
		write(content, 0, r.sent, at)
		if err := r.send(ctx, content); err != nil {
			return err
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.heard.await(ctx, until)
}

// one sends a single message and returns when it was heard, and nothing else.
func (r *route) one(ctx context.Context) error {
	if err := r.pour(ctx, 1); err != nil {
		return err
	}
	return r.heard.settled(r.sent)
}

// flows has the route's flows measured, n messages a round, and checked at the end.
func flows(b *bout, name string, r *route, n int) contender {
	b.check(func() error { return r.heard.settled(r.sent) })
	return contender{name: name, run: func(ctx context.Context) (sample, error) { return r.flow(ctx, n) }}
}
