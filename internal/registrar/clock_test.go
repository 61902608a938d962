package registrar

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestWatch(t *testing.T) {
	start := time.UnixMilli(1_790_000_000_000)
	for _, c := range []struct {
		name    string
		passed  time.Duration // on the monotonic clock
		wall    time.Duration // on the wall clock
		tripped bool
	}{
		{"both alike", time.Hour, time.Hour, false},
		{"slewed forward", time.Hour, time.Hour + 30*time.Second, false},
		{"a minute ahead", time.Hour, time.Hour + time.Minute, false},
		{"more than a minute ahead", time.Hour, time.Hour + time.Minute + time.Millisecond, true},
		{"a year ahead", time.Second, 365 * 24 * time.Hour, true},
		{"a little behind", time.Hour, time.Hour - time.Second, false},
		{"stepped back", time.Hour, time.Hour - time.Second - time.Millisecond, true},
		{"before the start", time.Hour, -time.Minute, true},
		{"stands still", time.Hour, 0, true},
	} {
		wall, passed := start, time.Duration(0)
		w := newWatch(func() time.Time { return wall }, func() time.Duration { return passed })
		if now, err := w.now(); err != nil || now != start.UnixMilli() {
			t.Fatalf("%s: at the start: %d %v", c.name, now, err)
		}
		wall, passed = start.Add(c.wall), c.passed
		now, err := w.now()
		if errors.Is(err, ErrClock) != c.tripped || now != wall.UnixMilli() {
			t.Errorf("%s: %d %v", c.name, now, err)
		}
		wall = start.Add(c.passed) // put right again
		if _, err := w.now(); errors.Is(err, ErrClock) != c.tripped {
			t.Errorf("%s: put right: %v", c.name, err)
		}
	}
}

func TestASteppedClockStopsCommands(t *testing.T) {
	for name, step := range map[string]time.Duration{"back": -2 * time.Second, "forth": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				alice := w.agent("alice")
				w.serve()
				time.Sleep(time.Hour) // of the bubble's clock, which the wall clock follows
				quarantine := registry.SetStatus{Principal: alice.ID(), Status: trust.Quarantined}
				w.must(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: alice.ID(), Level: identity.Observer})
				w.offset = step
				before := w.r.ledger.Size()
				_, err := w.submit(w.Roots[0], registry.TypeStatus, quarantine)
				wantCode(t, err, fault.Conflict)
				w.offset = 0
				if _, err := w.submit(w.Roots[0], registry.TypeStatus, quarantine); !errors.Is(err, ErrClock) {
					t.Errorf("after it was put right: %v", err)
				}
				if got := w.r.ledger.Size(); got != before {
					t.Errorf("%d commands were applied meanwhile", got-before)
				}
				var s control.Status
				if err := w.admitted(w.Roots[0]).Ask(t.Context(), control.OpStatus, control.Nothing{}, &s); err != nil || s.Stopped == "" {
					t.Errorf("status %+v %v", s, err)
				}
			})
		})
	}
}
