package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Fault is one thing that is wrong for a while. Start and Stop are called once each, in this order, by one goroutine.
// After Stop everything is as before, as far as the kernel and the lab are concerned: nodes need time to recover.
type Fault interface {
	Name() string
	Start() error
	Stop() error
	// Took says whether the fault had an effect, and how that is known. It is asked after Stop.
	Took() (bool, string)
}

// Played is what became of one step.
type Played struct {
	Step     Step
	Name     string
	Began    time.Time
	Ended    time.Time
	Took     bool
	Evidence string
}

// Play plays the schedule against the wall clock: it has build make each fault when its time has come, starts it, and
// stops it. Between two faults it calls settle, which may wait until the nodes have recovered; the timeline then moves
// back by as long as that took. Whatever happens, a fault that was started is stopped. It ends early with ctx, or with
// the first error.
func (s Schedule) Play(ctx context.Context, build func(Step) (Fault, error), settle func(context.Context) error) ([]Played, error) {
	var played []Played
	now := time.Duration(0)
	for _, step := range s.Steps {
		if err := pause(ctx, step.At-now); err != nil {
			return played, err
		}
		f, err := build(step)
		if err != nil {
			return played, fmt.Errorf("%v: %w", step, err)
		}
		p := Played{Step: step, Name: f.Name(), Began: time.Now()}
		err = f.Start()
		if err == nil {
			err = pause(ctx, step.For)
		}
		err = errors.Join(err, f.Stop())
		p.Ended = time.Now()
		p.Took, p.Evidence = f.Took()
		played = append(played, p)
		if err != nil {
			return played, fmt.Errorf("%v: %w", step, err)
		}
		if err := settle(ctx); err != nil {
			return played, fmt.Errorf("after %v: %w", step, err)
		}
		now = step.At + step.For
	}
	return played, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
