package raftlog

import (
	"sync"
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

// idleness waits until the machine has moved and no entry was stored for a while, and then calls write.
type idleness struct {
	write func()

	mu     sync.Mutex
	length time.Duration // 0: it never writes
	timer  *time.Timer   // runs while the machine is ahead of what is stored; nil else
	stored time.Time     // when entries were last stored
}

// begin makes it write, from now on, once it was idle for so long.
func (i *idleness) begin(length time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.length = length
}

// end undoes begin, and reports whether it had begun.
func (i *idleness) end() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer.Stop()
		i.timer = nil
	}
	begun := i.length > 0
	i.length = 0
	return begun
}

// moved records that the machine has applied an entry.
func (i *idleness) moved() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.length > 0 && i.timer == nil {
		i.timer = time.AfterFunc(i.length, i.settle)
	}
}

// busy records that entries are being stored.
func (i *idleness) busy() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stored = time.Now()
}

// settle writes, or waits on if entries were stored meanwhile.
func (i *idleness) settle() {
	if i.due() {
		i.write()
	}
}

func (i *idleness) due() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer == nil {
		return false
	}
	if since := time.Since(i.stored); since < i.length {
		i.timer.Reset(i.length - since)
		return false
	}
	i.timer = nil
	return true
}

// writeCommitted writes how far the log is committed, if that is not stored yet.
func (s *store) writeCommitted() {
	s.mu.Lock()
	defer s.mu.Unlock()
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
		s.setSpan(next)
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
