package load

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
)

// Recorder collects a run's history and writes it as JSON lines. It is safe for concurrent use.
type Recorder struct {
	run  string
	seed uint64
	zero time.Time // of the monotonic clock
	wall int64     // Unix nanoseconds at zero

	mu      sync.Mutex
	w       io.Writer
	history []check.Event
	failed  error
}

// NewRecorder returns a recorder that writes to w, which may be nil.
func NewRecorder(w io.Writer, run string, seed uint64) *Recorder {
	now := time.Now()
	return &Recorder{run: run, seed: seed, zero: now, wall: now.UnixNano(), w: w}
}

// Now returns the time of events: nanoseconds that never go back, about those of the wall clock.
func (r *Recorder) Now() int64 { return r.wall + time.Since(r.zero).Nanoseconds() }

// Add records an event that ends now, unless it says when it ended.
func (r *Recorder) Add(e check.Event) {
	if e.End == 0 {
		e.End = r.Now()
	}
	e.Run, e.Seed = r.run, r.seed
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, e)
	if r.w != nil && r.failed == nil {
		r.failed = check.Append(r.w, e)
	}
}

// History returns a copy of what was recorded.
func (r *Recorder) History() []check.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.history)
}

// Err returns why the history could not be written, or nil.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Counts says how often each operation had each result.
type Counts map[check.Op]map[check.Result]int

// Count counts a history.
func Count(history []check.Event) Counts {
	c := Counts{}
	for _, e := range history {
		if c[e.Op] == nil {
			c[e.Op] = map[check.Result]int{}
		}
		c[e.Op][e.Result]++
	}
	return c
}

// Happened returns an error that names the operations of which none succeeded: a run without them shows nothing.
func (c Counts) Happened(ops ...check.Op) error {
	var err error
	for _, op := range ops {
		if c[op][check.OK] == 0 {
			err = errors.Join(err, fmt.Errorf("no %s succeeded: %v", op, c[op]))
		}
	}
	return err
}

// String lists the counts, an operation each.
func (c Counts) String() string {
	var parts []string
	for op, results := range c {
		parts = append(parts, fmt.Sprintf("%s %d ok, %d refused, %d unknown", op, results[check.OK], results[check.Refused], results[check.Unknown]))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// Longest returns the longest time in which no operation of a kind succeeded, between its first and its last success,
// and when it began, in nanoseconds of the history's clock.
func Longest(history []check.Event, op check.Op) (gap time.Duration, began int64) {
	var ends []int64
	for _, e := range history {
		if e.Op == op && e.Result == check.OK {
			ends = append(ends, e.End)
		}
	}
	slices.Sort(ends)
	for i := 1; i < len(ends); i++ {
		if d := time.Duration(ends[i] - ends[i-1]); d > gap {
			gap, began = d, ends[i-1]
		}
	}
	return gap, began
}
