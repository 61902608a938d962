package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Waits between attempts at one request to a node, and for one answer.
const (
	attemptTime = 4 * time.Second
	firstPause  = 50 * time.Millisecond
	longPause   = time.Second
)

// persist makes a request until it is answered, however often the node goes away meanwhile, or ctx ends; then it
// returns the last error, whose code says that it may be made again. Every request to a node can be made again, also to
// another one: questions change nothing, and a signed command that is handed in twice takes effect once. It does not
// wait longer once the connection stands again.
func persist(ctx context.Context, w *way, attempt func(ctx context.Context) error) error {
	pause := firstPause
	for {
		stands := w.up.next()
		limited, cancel := context.WithTimeout(ctx, attemptTime)
		err := attempt(limited)
		cancel()
		if !worthAnother(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-stands:
			timer.Stop()
			pause = firstPause
			continue
		case <-w.conn.Done():
			timer.Stop()
			return err
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		pause = min(2*pause, longPause)
	}
}

func worthAnother(err error) bool {
	if errors.Is(err, ErrClosed) {
		return false
	}
	switch fault.CodeOf(err) {
	case fault.Unreachable, fault.Uncertain, fault.Rate:
		return true
	}
	return false
}
