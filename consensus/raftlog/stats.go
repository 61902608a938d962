package raftlog

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// slowWrite is how long one write may take before [Log.Writable] says that the disk does not answer.
const slowWrite = 2 * time.Second

// errSlow is why a log whose disk hangs is not writable. After [stallLimit] it fails.
var errSlow = fault.New(fault.Unreachable, "raftlog: the disk does not answer")

// Stats is where a log stands.
type Stats struct {
	Committed     uint64 // index of the last entry that is decided
	Applied       uint64 // index of the last entry that was given to the machine, or was raft's own
	Leader        bool   // this node may append
	SnapshotBytes uint64 // size of the newest snapshot; 0 if there is none
}

// Stats returns where the log stands. It is safe after [Log.Close] and takes no lock of the store's.
func (l *Log) Stats() Stats {
	// Raft notes what it gave to the machine a moment after the machine has answered, and the machine does not see
	// raft's own entries.
	applied := max(l.raft.AppliedIndex(), l.store.applied.Load())
	return Stats{
		Committed: l.raft.CommitIndex(), Applied: applied, Leader: l.raft.State() == raft.Leader,
		SnapshotBytes: l.store.snapshot.Load(),
	}
}

// Writable returns nil if an entry could be appended now: the log is open, this node leads it, and no write hangs.
// Errors: [ErrFailed] and [consensus.ErrClosed], [consensus.ErrNotLeader], one with the code fault.Unreachable.
func (l *Log) Writable() error {
	if err := l.ended(); err != nil {
		return err
	}
	if began := l.store.writing.Load(); began != nil && time.Since(*began) > slowWrite {
		return fmt.Errorf("%w for %v", errSlow, time.Since(*began).Round(time.Millisecond))
	}
	if l.raft.State() != raft.Leader {
		return consensus.ErrNotLeader
	}
	return nil
}
