package raftlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// machine lets raft drive a consensus.Machine.
//
// A node that starts brings its machine up to the last entry that it knows to be committed, before raft runs: one
// that is cut off from its cluster must still know, say, whom it had to shut out. Raft's own way to do this,
// RestoreCommittedLogs, is not used (v1.8.0): it forgets the configuration entries that it replays, so that a voter
// without a snapshot never stands for election again, and it hangs when more entries wait than its queue holds,
// 128 batches. Raft then replays the same entries; the machine has seen them and passes over them.
//
// The machine's index is that of the last command or configuration that was applied: raft's own entries (no-ops,
// barriers) do not count, so it is the same on every node that has applied the same entries.
type machine struct {
	inner   consensus.Machine
	store   *store
	applied uint64 // the machine's index; only raft's FSM goroutine uses it once raft runs

	progress progress
	recent   answers
	remember bool // whether answers are kept

	committed func(index, term uint64) // called before an entry is applied; nil while raft does not run

	own     func()        // called before raft stores a snapshot of this machine
	members []raft.Server // as of the last configuration that catchUp has met, committed or not
}

var (
	_ raft.FSM                = (*machine)(nil)
	_ raft.ConfigurationStore = (*machine)(nil)
)

// Apply applies a committed entry, once, and returns the machine's answer as []byte.
func (m *machine) Apply(entry *raft.Log) any {
	if entry.Index <= m.applied {
		return []byte(nil)
	}
	if m.committed != nil {
		m.committed(entry.Index, entry.Term)
	}
	answer := m.inner.Apply(entry.Index, entry.Data)
	if m.remember {
		m.recent.put(entry.Index, entry.Data, answer)
	}
	m.advance(entry.Index)
	return answer
}

// StoreConfiguration notes the index of a configuration. Without it raft takes no snapshot between a change of
// members and the next entry.
func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	m.advance(max(index, m.applied))
}

// Snapshot returns the state after the last applied entry.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	state, err := m.inner.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshot of the machine: %w", err)
	}
	if m.own != nil {
		m.own()
	}
	return &snapshot{index: m.applied, state: state, written: m.store.snapshot.Store}, nil
}

// Restore replaces the machine's state by the snapshot in source, once that is proved intact. A state that is not
// older stays: both are of the same committed entries, and a machine must never forget one, not even until raft has
// replayed it.
func (m *machine) Restore(source io.ReadCloser) error {
	snap, err := readSnapshot(source)
	if err != nil {
		return err
	}
	m.store.snapshot.Store(snap.size())
	if m.applied > 0 && snap.index <= m.applied {
		return nil
	}
	if err := m.inner.Restore(snap.state); err != nil {
		return fmt.Errorf("raftlog: restore the machine: %w", err)
	}
	m.advance(snap.index)
	return nil
}

func (m *machine) advance(index uint64) {
	m.applied = index
	m.store.applied.Store(index)
	m.store.idle.moved()
	m.progress.set(index)
}

// catchUp brings the machine to the newest snapshot and then to the last entry that is known to be committed, checks
// that the log lacks no entry after the snapshot, and notes the members. Raft is not running yet.
func (m *machine) catchUp(snapshots raft.SnapshotStore) error {
	base, err := m.restoreNewest(snapshots)
	if err != nil {
		return err
	}
	span := m.store.span
	for index := base + 1; index <= span.last; index++ {
		var entry raft.Log
		if err := m.store.GetLog(index, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) {
				return fmt.Errorf("%w: entry %d is missing", ErrCorrupt, index)
			}
			return err
		}
		if entry.Type == raft.LogConfiguration {
			m.members = raft.DecodeConfiguration(entry.Data).Servers
		}
		switch {
		case index > span.committed:
		case entry.Type == raft.LogCommand:
			m.Apply(&entry)
		case entry.Type == raft.LogConfiguration:
			m.StoreConfiguration(index, raft.Configuration{})
		}
	}
	return nil
}

// restoreNewest restores the newest snapshot, if there is one, and returns the index that raft knows it by. A
// damaged one is refused, although an older one and the log might do: the operator should know of it.
func (m *machine) restoreNewest(snapshots raft.SnapshotStore) (uint64, error) {
	list, err := snapshots.List()
	if err != nil {
		return 0, fmt.Errorf("raftlog: list snapshots: %w", err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	meta, source, err := snapshots.Open(list[0].ID)
	if err != nil {
		return 0, fmt.Errorf("%w: snapshot %s: %w", ErrCorrupt, list[0].ID, err)
	}
	err = errors.Join(m.Restore(source), source.Close())
	if err != nil {
		return 0, fmt.Errorf("snapshot %s: %w", list[0].ID, err)
	}
	m.members = meta.Configuration.Servers
	return meta.Index, nil
}
