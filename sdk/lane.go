package sdk

import "context"

// lane lets one through at a time, and others wait no longer than their contexts. It is a mutex for what waits for the
// network.
type lane chan struct{}

func newLane() lane { return make(lane, 1) }

// enter returns when the lane is the caller's, who leaves it again, or with ctx's error.
func (l lane) enter(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lane) leave() { <-l }
