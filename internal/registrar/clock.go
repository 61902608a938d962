package registrar

import (
	"fmt"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// ErrClock is returned for commands while the wall clock is not to be trusted.
var ErrClock = fault.New(fault.Conflict, "registrar: the clock stepped while the node ran; commands are stopped").
	WithHint("check the machine's clock, then restart the node")

// maxDrift is how far the wall clock may run ahead of the monotonic clock while the node runs.
const maxDrift = time.Minute

// maxBack is how far it may fall behind: what a disciplined clock does when it slews, not when it steps.
const maxBack = time.Second

// meanwhile measures time that never stands still: by the monotonic clock, which rests while the machine is suspended,
// or by the wall clock, which an administrator may set, whichever has gone further since the last look. It is safe for
// concurrent use.
type meanwhile struct {
	wall  func() time.Time
	since func() time.Duration // monotonic

	mu     sync.Mutex
	seen   time.Time     // by the wall clock, at the last look
	before time.Duration // by the monotonic one
	total  time.Duration
}

func newMeanwhile(wall func() time.Time, since func() time.Duration) *meanwhile {
	return &meanwhile{wall: wall, since: since, seen: wall(), before: since()}
}

// now returns the time since the start.
func (m *meanwhile) now() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wall, since := m.wall(), m.since()
	m.total += max(since-m.before, wall.Round(0).Sub(m.seen.Round(0)))
	m.seen, m.before = wall, since
	return m.total
}

// watch compares the wall clock with the monotonic one, which no administrator can set. Once they part it stays
// tripped: log time may only be told by a clock that an operator has looked at. It is safe for concurrent use.
type watch struct {
	mu      sync.Mutex
	wall    func() time.Time     // the wall clock
	since   func() time.Duration // monotonic, since the start
	began   time.Time
	tripped error
}

func newWatch(wall func() time.Time, since func() time.Duration) *watch {
	return &watch{wall: wall, since: since, began: wall()}
}

// now returns the wall clock in Unix milliseconds, or [ErrClock] once it has stepped.
func (w *watch) now() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wall := w.wall()
	apart := wall.Round(0).Sub(w.began.Round(0)) - w.since()
	if w.tripped == nil && (apart > maxDrift || apart < -maxBack) {
		w.tripped = fmt.Errorf("%w: %s apart", ErrClock, apart.Round(time.Millisecond))
	}
	return wall.UnixMilli(), w.tripped
}
