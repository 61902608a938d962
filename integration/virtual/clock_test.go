package virtual

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// clock is one node's wall clock, which a schedule can set, speed up and stop. It is safe for concurrent use.
type clock struct {
	mu      sync.Mutex
	at      time.Time // what it showed when it was last set, without a monotonic reading
	since   time.Time // the bubble's time then
	rate    int64     // per mille of the bubble's time
	latest  int64     // the latest time that it has shown to anybody, Unix milliseconds
	strange int       // readings while it was not right
}

const right = 1000 // per mille

func newClock() *clock {
	now := time.Now()
	return &clock{at: now.Round(0), since: now, rate: right}
}

// now shows the time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := c.reads()
	c.latest = max(c.latest, shown.UnixMilli())
	if c.rate != right || !shown.Equal(time.Now()) {
		c.strange++
	}
	return shown
}

func (c *clock) reads() time.Time {
	return c.at.Add(time.Duration(int64(time.Since(c.since)) / 1000 * c.rate))
}

// step sets the clock forward or back, and its rate.
func (c *clock) step(by time.Duration, rate int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since, c.rate = c.reads().Add(by), time.Now(), rate
}

// mend sets the clock right.
func (c *clock) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
	c.at, c.rate = c.since.Round(0), right
}

// shown returns the latest time that the clock has shown, and how often it has shown a wrong one.
func (c *clock) shown() (latest int64, wrong int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, c.strange
}

func TestClockIsSetSpedUpAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		apart := func() time.Duration { return c.now().Sub(time.Now().Round(0)) }
		for _, test := range []struct {
			name string
			do   func()
			want time.Duration // from the right time, 10 s later
		}{
			{"right", func() {}, 0},
			{"an hour ahead", func() { c.step(time.Hour, right) }, time.Hour},
			{"two hours back", func() { c.step(-2*time.Hour, right) }, -time.Hour},
			{"mended", c.mend, 0},
			{"standing still", func() { c.step(0, 0) }, -10 * time.Second},
			{"going on", func() { c.step(0, right) }, -10 * time.Second},
			{"too fast", func() { c.mend(); c.step(0, 1500) }, 5 * time.Second},
			{"too slow", func() { c.mend(); c.step(0, 900) }, -time.Second},
		} {
			test.do()
			time.Sleep(10 * time.Second)
			if got := apart(); got != test.want {
				t.Errorf("%s: %v apart, want %v", test.name, got, test.want)
			}
		}
		if latest, wrong := c.shown(); latest < time.Now().Add(45*time.Minute).UnixMilli() || wrong != 6 {
			t.Errorf("latest %v, wrong %d times", time.UnixMilli(latest), wrong)
		}
	})
}
