package raftlog

import (
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

// How far a log is committed is written with the next entries (trackedLog). The last entry before a pause would so
// stay unknown to a follower that restarts alone, and the last one may be the one that shut somebody out. So the
// store writes by itself, once, when the machine is ahead of what is stored and no entry has come for a while. A
// no-op of the leader would tell the same, but only to those who hear it, and in every log for ever.

// idleCommit is how long a store of a cluster waits for entries before it writes how far it is committed.
const idleCommit = 20 * time.Millisecond

// noteCommits makes the store write how far it is committed, from now on, whenever it was idle for so long.
func (s *store) noteCommits(idle time.Duration) {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	s.idle = idle
}

// stopNoting ends what noteCommits began, and reports whether it had.
func (s *store) stopNoting() bool {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	noting := s.idle > 0
	s.idle = 0
	return noting
}

// note records that the machine has applied index.
func (s *store) note(index uint64) {
	s.applied.Store(index)
	s.quiet.Lock()
	defer s.quiet.Unlock()
	if s.idle > 0 && s.timer == nil {
		s.timer = time.AfterFunc(s.idle, s.settle)
	}
}

// busy records that entries are being stored.
func (s *store) busy() {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	s.stored = time.Now()
}

// settle writes how far the log is committed, or waits on if entries were stored meanwhile.
func (s *store) settle() {
	s.quiet.Lock()
	if s.timer == nil {
		s.quiet.Unlock()
		return
	}
	if since := time.Since(s.stored); since < s.idle {
		s.timer.Reset(s.idle - since)
		s.quiet.Unlock()
		return
	}
	s.timer = nil
	s.quiet.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeCommitted()
}

// writeCommitted writes how far the log is committed, if that is not stored yet. The caller holds mu.
func (s *store) writeCommitted() {
	if s.closed || s.failure() != nil {
		return
	}
	next := s.span
	next.committed = min(max(s.applied.Load(), s.staged.Load(), next.committed), next.last)
	if next == s.span {
		return
	}
	err := s.update(func(state, _ *bolt.Bucket) error { return state.Put(spanKey, seal(spanKey, next.encode())) })
	if err == nil {
		s.span = next
	}
}

// trackedLog is raft's log, cached, to which raft tells how far it is committed before it stores entries.
//
// Raft does so only with RestoreCommittedLogs, whose other half is harmful (see machine): that one is turned off by
// answering that nothing is known.
type trackedLog struct {
	*raft.LogCache
	store *store
}

var _ raft.CommitTrackingLogStore = trackedLog{}

// StageCommitIndex notes index for the next StoreLogs.
func (l trackedLog) StageCommitIndex(index uint64) error {
	l.store.staged.Store(index)
	return nil
}

// GetCommitIndex returns 0.
func (l trackedLog) GetCommitIndex() (uint64, error) { return 0, nil }
