package raftlog

import (
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// slowWrite is how long one write may take before [Log.Writable] says that the disk does not answer.
const slowWrite = 2 * time.Second

// errSlow is why a log whose disk hangs is not writable. After [stallLimit] it fails.
var errSlow = fault.New(fault.Unreachable, "raftlog: the disk does not answer")

// staleLeader is how long ago a follower may have heard the leader for [Log.Writable].
const staleLeader = 2 * time.Second

// Stats is where a log stands.
type Stats struct {
	Committed     uint64 // index of the last entry that is decided
	Applied       uint64 // index of the last entry that was given to the machine, or was raft's own
	Leader        bool   // this node leads
	Voters        int    // in the latest configuration
	Followers     int    // servers without a vote in it
	SnapshotBytes uint64 // size of the newest snapshot; 0 if there is none
}

// Stats returns where the log stands. It is safe after [Log.Close] and takes no lock of the store's.
func (l *Log) Stats() Stats {
	// Raft notes what it gave to the machine a moment after the machine has answered, and the machine does not see
	// raft's own entries.
	node := l.now().raft
	stats := Stats{
		Committed: node.CommitIndex(), Applied: max(node.AppliedIndex(), l.store.applied.Load()), Leader: l.leads(),
		SnapshotBytes: l.store.snapshot.Load(),
	}
	for _, s := range l.Servers() {
		if s.Voter {
			stats.Voters++
		} else {
			stats.Followers++
		}
	}
	return stats
}

// Writable returns nil if an entry could be appended now: the log is open, no write hangs, and this node leads or has
// heard of the leader within 2 seconds.
// Errors: [ErrFailed] and [consensus.ErrClosed], [consensus.ErrNotLeader], one with the code fault.Unreachable.
func (l *Log) Writable() error {
	if err := l.ended(); err != nil {
		return err
	}
	if began := l.store.writing.Load(); began != nil && time.Since(*began) > slowWrite {
		return fmt.Errorf("%w for %v", errSlow, time.Since(*began).Round(time.Millisecond))
	}
	if l.leads() {
		return nil
	}
	node := l.now().raft
	if _, known := l.Leader(); !known || time.Since(node.LastContact()) > staleLeader {
		return consensus.ErrNotLeader
	}
	return nil
}
