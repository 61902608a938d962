package consensus

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Log is the replicated log that a realm's ledger stands on, as its users see it. Implementations:
// consensus/raftlog (durable, hashicorp/raft) and consensus/memlog (in memory). All methods are safe for
// concurrent use.
type Log interface {
	// Append replicates one entry (at most [MaxEntry] bytes), waits until the local machine has applied it and
	// returns what [Machine.Apply] answered, with the entry's index. The caller keeps entry and must not change it
	// until Append returns. On a node that does not lead the entry goes to the leader; the answer is always the local
	// machine's. A context that ends, or [ErrUncertain], leaves the entry's fate unknown: it may still
	// be applied, so entries carry ids that the machine remembers. Errors: [ErrTooLarge], [ErrNotLeader],
	// [ErrClosed], [ErrUncertain] or the context's.
	Append(ctx context.Context, entry []byte) (result []byte, index uint64, err error)

	// Barrier returns once every entry that was committed before the call has been applied to the local machine,
	// confirmed by a write through the log: what a decision reads after it is not stale. Errors: [ErrNotLeader] if no
	// leader confirmed it, [ErrClosed] or the context's.
	Barrier(ctx context.Context) error

	// Close stops the log and waits for its goroutines. Appends in flight fail with [ErrClosed] or [ErrUncertain].
	// Calling it again does nothing.
	Close() error
}

// Machine is the deterministic state machine that a [Log] drives. Its methods are called from one goroutine at a
// time, never concurrently with one another.
type Machine interface {
	// Apply changes the state by one entry and answers. It must depend on nothing but the state and its arguments,
	// and must not panic on any input. It must not keep entry after returning.
	Apply(index uint64, entry []byte) []byte

	// Snapshot returns the whole state, encoded. It blocks Apply, so it must be quick.
	Snapshot() ([]byte, error)

	// Restore replaces the whole state by one that Snapshot returned; on an error the state is unchanged.
	Restore(snapshot []byte) error
}

// MaxEntry is the size in bytes of the largest entry that a [Log] accepts.
const MaxEntry = 64 << 10

var (
	// ErrTooLarge is returned when an entry exceeds [MaxEntry] bytes; it was not appended.
	ErrTooLarge = fault.New(fault.TooLarge, "consensus: entry too large for the log")
	// ErrNotLeader is returned when this node cannot append now and nothing was appended; try again, or elsewhere.
	ErrNotLeader = fault.New(fault.Unreachable, "consensus: this node does not lead the log")
	// ErrClosed is returned when the log was closed before the entry was appended.
	ErrClosed = fault.New(fault.Unreachable, "consensus: log closed")
	// ErrUncertain is returned when it is not known whether the entry was, or will be, applied.
	ErrUncertain = fault.New(fault.Uncertain, "consensus: fate of the entry unknown")
)
