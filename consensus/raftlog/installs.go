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

// Create begins a snapshot. One that comes from elsewhere counts once all of it is here: a connection that breaks again
// and again says nothing about the snapshot.
func (s *installs) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	own := s.isOwn()
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil || own {
		return sink, err
	}
	return install{sink, s, index}, nil
}

// isOwn reports whether expectOwn was called since the last time.
func (s *installs) isOwn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.own
	s.own = false
	return own
}

// install is the sink of a snapshot that comes from another node.
type install struct {
	raft.SnapshotSink
	installs *installs
	index    uint64
}

// Close ends the snapshot, which is complete.
func (i install) Close() error {
	if i.installs.count(i.index, time.Now()) >= installLimit {
		i.installs.stuck(fmt.Errorf("%w: index %d", ErrStuck, i.index))
	}
	return i.SnapshotSink.Close()
}

// count notes a snapshot of index and returns how many of it have come lately.
func (s *installs) count(index uint64, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index != s.index {
		s.index, s.times = index, nil
	}
	s.times = append(s.times, now)
	for now.Sub(s.times[0]) > installWindow {
		s.times = s.times[1:]
	}
	return len(s.times)
}
