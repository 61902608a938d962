// Package logtest holds what every [consensus.Log] must do, as tests. An implementation calls [Run] from one of its
// own tests.
package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Open returns a new, empty log that drives machine and is ready for appends. Run closes it.
type Open func(t *testing.T, machine consensus.Machine) consensus.Log

// Run runs the suite, each test on a log of its own.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		run  func(*testing.T, consensus.Log, *Recorder)
	}{
		{"append in order", testOrder},
		{"append concurrently", testConcurrent},
		{"append the largest", testSize},
		{"append after return", testOwnership},
		{"context ended", testContext},
		{"barrier", testBarrier},
		{"close", testClose},
		{"close while appending", testCloseWhileAppending},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			machine := new(Recorder)
			log := open(t, machine)
			defer func() {
				if err := log.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				machine.Check(t)
			}()
			test.run(t, log, machine)
		})
	}
}

// testOrder: one after the other, each entry is applied once, in order; Append returns the machine's answer and an
// index that grows.
func testOrder(t *testing.T, log consensus.Log, machine *Recorder) {
	var last uint64
	for n := range 50 {
		entry := fmt.Appendf(nil, "entry %d", n)
		result, index, err := log.Append(t.Context(), entry)
		if err != nil {
			t.Fatalf("Append %d: %v", n, err)
		}
		if want := Answer(n+1, entry); !bytes.Equal(result, want) {
			t.Errorf("Append %d answered %q, want %q", n, result, want)
		}
		if index <= last {
			t.Errorf("Append %d: index %d after %d", n, index, last)
		}
		last = index
		entries := machine.Entries()
		if len(entries) != n+1 || entries[n].Index != index || !bytes.Equal(entries[n].Data, entry) {
			t.Fatalf("after Append %d at %d the machine has %v", n, index, entries)
		}
	}
}

// testConcurrent: appends from many goroutines are each applied once, and each caller gets the answer and the index
// of its own entry.
func testConcurrent(t *testing.T, log consensus.Log, machine *Recorder) {
	const callers, each = 16, 20
	type reply struct {
		entry, result []byte
		index         uint64
		err           error
	}
	replies := make([][each]reply, callers)
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for n := range each {
				r := &replies[c][n]
				r.entry = fmt.Appendf(nil, "caller %d entry %d", c, n)
				r.result, r.index, r.err = log.Append(t.Context(), r.entry)
			}
		})
	}
	wait.Wait()
	entries := machine.Entries()
	if len(entries) != callers*each {
		t.Fatalf("%d entries applied, want %d", len(entries), callers*each)
	}
	place := make(map[uint64]int)
	for i, entry := range entries {
		place[entry.Index] = i
	}
	for _, own := range replies {
		var last uint64
		for _, r := range own {
			if r.err != nil {
				t.Fatalf("Append: %v", r.err)
			}
			i, ok := place[r.index]
			if !ok || !bytes.Equal(entries[i].Data, r.entry) || !bytes.Equal(r.result, Answer(i+1, r.entry)) {
				t.Errorf("Append(%q) returned %q at %d, which is not where it was applied", r.entry, r.result, r.index)
			}
			if r.index <= last {
				t.Errorf("Append(%q) at %d, after the same caller's at %d", r.entry, r.index, last)
			}
			last = r.index
		}
	}
}

// testSize: an empty entry and one of the largest size are accepted, a larger one is refused and not applied.
func testSize(t *testing.T, log consensus.Log, machine *Recorder) {
	for _, size := range []int{0, consensus.MaxEntry} {
		if _, _, err := log.Append(t.Context(), make([]byte, size)); err != nil {
			t.Fatalf("Append of %d bytes: %v", size, err)
		}
	}
	if _, _, err := log.Append(t.Context(), make([]byte, consensus.MaxEntry+1)); !errors.Is(err, consensus.ErrTooLarge) {
		t.Errorf("Append of a larger entry: %v, want ErrTooLarge", err)
	}
	if got := len(machine.Entries()); got != 2 {
		t.Errorf("%d entries applied, want 2", got)
	}
}

// testOwnership: the caller may change the entry as soon as Append has returned.
func testOwnership(t *testing.T, log consensus.Log, machine *Recorder) {
	buffer := []byte("0")
	for n := range 3 {
		buffer[0] = byte('0' + n)
		if _, _, err := log.Append(t.Context(), buffer); err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
	for n, entry := range machine.Entries() {
		if string(entry.Data) != fmt.Sprint(n) {
			t.Errorf("entry %d is %q", n, entry.Data)
		}
	}
}

// testContext: with a context that has ended, Append and Barrier return its error and nothing is applied.
func testContext(t *testing.T, log consensus.Log, machine *Recorder) {
	if _, _, err := log.Append(t.Context(), []byte("before")); err != nil {
		t.Fatalf("Append: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := log.Append(ctx, []byte("canceled")); !errors.Is(err, context.Canceled) {
		t.Errorf("Append with an ended context: %v", err)
	}
	if err := log.Barrier(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Barrier with an ended context: %v", err)
	}
	if err := log.Barrier(t.Context()); err != nil {
		t.Fatalf("Barrier: %v", err)
	}
	if got := len(machine.Entries()); got != 1 {
		t.Errorf("%d entries applied, want 1", got)
	}
}

// testBarrier: after a Barrier, all that was appended before is in the machine, whoever appended it; a Barrier
// itself reaches no machine.
func testBarrier(t *testing.T, log consensus.Log, machine *Recorder) {
	if err := log.Barrier(t.Context()); err != nil {
		t.Fatalf("Barrier on an empty log: %v", err)
	}
	for n := range 10 {
		if _, _, err := log.Append(t.Context(), fmt.Appendf(nil, "%d", n)); err != nil {
			t.Fatalf("Append: %v", err)
		}
		if err := log.Barrier(t.Context()); err != nil {
			t.Fatalf("Barrier: %v", err)
		}
		if got := len(machine.Entries()); got != n+1 {
			t.Fatalf("after the barrier the machine has %d entries, want %d", got, n+1)
		}
	}
}

// testClose: Close may be called again, and then everything else is refused.
func testClose(t *testing.T, log consensus.Log, machine *Recorder) {
	if _, _, err := log.Append(t.Context(), []byte("before")); err != nil {
		t.Fatalf("Append: %v", err)
	}
	for range 2 {
		if err := log.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if _, _, err := log.Append(t.Context(), []byte("after")); !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("Append after Close: %v, want ErrClosed", err)
	}
	if err := log.Barrier(t.Context()); !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("Barrier after Close: %v, want ErrClosed", err)
	}
	if got := len(machine.Entries()); got != 1 {
		t.Errorf("%d entries applied, want 1", got)
	}
}

// testCloseWhileAppending: every append that runs into Close returns, with success only if it was applied and else
// with ErrClosed or ErrUncertain.
func testCloseWhileAppending(t *testing.T, log consensus.Log, machine *Recorder) {
	const callers = 8
	started := make(chan struct{}, callers)
	acknowledged := make([][]string, callers)
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for n := 0; ; n++ {
				entry := fmt.Sprintf("caller %d entry %d", c, n)
				_, _, err := log.Append(t.Context(), []byte(entry))
				if errors.Is(err, consensus.ErrClosed) || errors.Is(err, consensus.ErrUncertain) {
					return
				}
				if err != nil {
					t.Errorf("Append during Close: %v", err)
					return
				}
				acknowledged[c] = append(acknowledged[c], entry)
				if n == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range callers {
		<-started
	}
	if err := log.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wait.Wait()
	applied := make(map[string]bool)
	for _, entry := range machine.Entries() {
		applied[string(entry.Data)] = true
	}
	for _, own := range acknowledged {
		for _, entry := range own {
			if !applied[entry] {
				t.Errorf("%q was acknowledged and is not applied", entry)
			}
		}
	}
}
