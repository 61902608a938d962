package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Waits between attempts at one request to a node, and for one answer.
const (
	attemptTime = 4 * time.Second
	firstPause  = 50 * time.Millisecond
	longPause   = time.Second
)

// persist makes a request until it is answered, however often the node goes away meanwhile, or ctx ends; then it
// returns the last error. Every request to a node can be made again: questions change nothing, and a command that is
// handed in twice takes effect once.
func persist(ctx context.Context, conn bus.Conn, attempt func(ctx context.Context) error) error {
	pause := firstPause
	for {
		limited, cancel := context.WithTimeout(ctx, attemptTime)
		err := attempt(limited)
		cancel()
		if !worthAnother(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-conn.Done():
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
