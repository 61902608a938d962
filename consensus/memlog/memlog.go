// Package memlog is the consensus.Log in memory: one replica that always leads, for tests and simulations. It keeps
// nothing and uses no goroutine. [Log.FailNext] makes it misbehave as a replicated log may.
package memlog

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Fault is a way for the next Append to fail.
type Fault int

// The faults of FailNext.
const (
	// NotLeader makes Append return consensus.ErrNotLeader; the entry is not applied.
	NotLeader Fault = iota + 1
	// UncertainLost makes Append return consensus.ErrUncertain; the entry is never applied.
	UncertainLost
	// UncertainApplied makes Append return consensus.ErrUncertain; the entry has been applied.
	UncertainApplied
)

// Log is a [consensus.Log] in memory. Its methods are safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	machine consensus.Machine
	index   uint64
	faults  []Fault
	closed  bool
}

var _ consensus.Log = (*Log)(nil)

// New returns an empty log that drives machine.
func New(machine consensus.Machine) *Log { return &Log{machine: machine} }

// FailNext makes the next appends fail, one for each fault, in order, after those set before.
func (l *Log) FailNext(faults ...Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, faults...)
}

// Append implements [consensus.Log]. The machine is called with the log's lock held and must not use the log.
func (l *Log) Append(ctx context.Context, entry []byte) (result []byte, index uint64, err error) {
	if len(entry) > consensus.MaxEntry {
		return nil, 0, fmt.Errorf("%w: %d bytes", consensus.ErrTooLarge, len(entry))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuse(ctx); err != nil {
		return nil, 0, err
	}
	fault := l.nextFault()
	switch fault {
	case NotLeader:
		return nil, 0, consensus.ErrNotLeader
	case UncertainLost:
		return nil, 0, consensus.ErrUncertain
	}
	l.index++
	result = l.machine.Apply(l.index, bytes.Clone(entry))
	if fault == UncertainApplied {
		return nil, 0, consensus.ErrUncertain
	}
	return result, l.index, nil
}

// Barrier implements [consensus.Log].
func (l *Log) Barrier(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refuse(ctx)
}

// Close implements [consensus.Log].
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

func (l *Log) refuse(ctx context.Context) error {
	if l.closed {
		return consensus.ErrClosed
	}
	return ctx.Err()
}

// nextFault takes the next fault from the list, or 0.
func (l *Log) nextFault() Fault {
	if len(l.faults) == 0 {
		return 0
	}
	fault := l.faults[0]
	l.faults = l.faults[1:]
	return fault
}
