package raftlog

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// installLimit snapshots of one index from a leader within installWindow show that none of them takes hold: an
	// entry that contradicts them stays (hashicorp/raft#697), and raft would go on for ever.
	installLimit  = 3
	installWindow = 10 * time.Second
)

// installs is a snapshot store that counts the snapshots which come from other nodes.
type installs struct {
	raft.SnapshotStore
	stuck func(error) // called when one index came too often

	mu    sync.Mutex
	own   bool // the next snapshot is of the local machine
	index uint64
	times []time.Time // of the installs of index, oldest first
}

// expectOwn says that the next Create stores a snapshot of the local machine.
func (s *installs) expectOwn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = true
}

// Create begins a snapshot.
func (s *installs) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	if s.count(index, time.Now()) >= installLimit {
		s.stuck(fmt.Errorf("%w: index %d", ErrStuck, index))
	}
	return s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
}

// count notes a snapshot of index and returns how many of it have come from elsewhere lately.
func (s *installs) count(index uint64, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own {
		s.own = false
		return 0
	}
	if index != s.index {
		s.index, s.times = index, nil
	}
	s.times = append(s.times, now)
	for now.Sub(s.times[0]) > installWindow {
		s.times = s.times[1:]
	}
	return len(s.times)
}
