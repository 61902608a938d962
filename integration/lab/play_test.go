package lab_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// diary is a fault that writes down when it was started and stopped.
type diary struct {
	name  string
	lines *[]string
	zero  time.Time
	fails error
}

func (d diary) note(what string) {
	*d.lines = append(*d.lines, time.Since(d.zero).String()+" "+what+" "+d.name)
}
func (d diary) Name() string         { return d.name }
func (d diary) Start() error         { d.note("start"); return d.fails }
func (d diary) Stop() error          { d.note("stop"); return nil }
func (d diary) Took() (bool, string) { return d.fails == nil, "diary" }

func twoFaults() lab.Schedule {
	return lab.Schedule{Steps: []lab.Step{
		{At: time.Second, For: 2 * time.Second, Kind: lab.Kill},
		{At: 5 * time.Second, For: time.Second, Kind: lab.Pause},
	}}
}

func TestPlayKeepsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		zero := time.Now()
		build := func(s lab.Step) (lab.Fault, error) { return diary{string(s.Kind), &lines, zero, nil}, nil }
		settle := func(context.Context) error { time.Sleep(10 * time.Second); return nil } // in a bubble: no time passes
		played, err := twoFaults().Play(t.Context(), build, settle)
		want := []string{"1s start kill", "3s stop kill", "15s start pause", "16s stop pause"}
		if err != nil || !slices.Equal(lines, want) {
			t.Errorf("%q: %v", lines, err)
		}
		if len(played) != 2 || !played[1].Took || played[1].Evidence != "diary" || played[1].Ended.Sub(zero) != 16*time.Second {
			t.Errorf("told %+v", played)
		}
	})
}

func TestPlayStopsWhatItStarted(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fails, settles, builds error
		ends                   time.Duration
		want                   []string
		err                    error
	}{
		"the fault fails":      {fails: broken, want: []string{"1s start kill", "1s stop kill"}, err: broken},
		"nobody recovers":      {settles: broken, want: []string{"1s start kill", "3s stop kill"}, err: broken},
		"there is no fault":    {builds: broken, err: broken},
		"it ends in a fault":   {ends: 2 * time.Second, want: []string{"1s start kill", "2s stop kill"}, err: context.DeadlineExceeded},
		"it ends in a rest":    {ends: 4 * time.Second, want: []string{"1s start kill", "3s stop kill"}, err: context.DeadlineExceeded},
		"it ends at the start": {ends: time.Millisecond, err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(c.ends, time.Hour))
				defer cancel()
				var lines []string
				zero := time.Now()
				build := func(s lab.Step) (lab.Fault, error) { return diary{string(s.Kind), &lines, zero, c.fails}, c.builds }
				_, err := twoFaults().Play(ctx, build, func(context.Context) error { return c.settles })
				if !errors.Is(err, c.err) || !slices.Equal(lines, c.want) {
					t.Errorf("%q: %v", lines, err)
				}
			})
		})
	}
}
