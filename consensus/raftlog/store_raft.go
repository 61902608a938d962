package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

// The store's two faces towards raft. It is not monotonic: bbolt does not mind gaps, and on a store that claims to,
// hashicorp/raft#697 is a panic.
var (
	_ raft.LogStore    = (*store)(nil)
	_ raft.StableStore = (*store)(nil)
)

// The keys that raft uses in its stable store.
const (
	termKey      = "CurrentTerm"
	voteTermKey  = "LastVoteTerm"
	candidateKey = "LastVoteCand"
)

// errNotFound says that a stable key has no value. Raft compares exactly this text.
var errNotFound = errors.New("not found")

// FirstIndex returns the index of the first entry, 0 if there is none.
func (s *store) FirstIndex() (uint64, error) {
	if seen := s.bounds.Load(); seen != nil {
		return seen.first, nil
	}
	return 0, nil
}

// LastIndex returns the index of the last entry, 0 if there is none.
func (s *store) LastIndex() (uint64, error) {
	if seen := s.bounds.Load(); seen != nil {
		return seen.last, nil
	}
	return 0, nil
}

// GetLog fills entry with the entry at index, or returns raft.ErrLogNotFound or ErrCorrupt.
func (s *store) GetLog(index uint64, entry *raft.Log) error {
	return guarded(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			key := entryKey(index)
			record := tx.Bucket(entriesBucket).Get(key)
			if record == nil {
				return raft.ErrLogNotFound
			}
			return decodeEntry(key, record, entry)
		})
	})
}

// StoreLog stores one entry durably.
func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores the entries in one durable transaction, and with them how far the machine has applied.
func (s *store) StoreLogs(batch []*raft.Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle.busy()
	var next span
	err := s.update(func(state, entries *bolt.Bucket) error {
		count := s.span.count
		for _, entry := range batch {
			key := entryKey(entry.Index)
			if entries.Get(key) == nil {
				count++
			}
			if err := entries.Put(key, encodeEntry(entry)); err != nil {
				return err
			}
		}
		next = s.measure(entries, count)
		return state.Put(spanKey, seal(spanKey, next.encode()))
	})
	if err == nil {
		s.setSpan(next)
	}
	return err
}

// DeleteRange removes the entries from low to high, both included, in one durable transaction.
func (s *store) DeleteRange(low, high uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next span
	err := s.update(func(state, entries *bolt.Bucket) error {
		cursor, start, count := entries.Cursor(), entryKey(low), s.span.count
		for {
			key, _ := cursor.Seek(start) // again after each deletion, which moves the cursor
			if key == nil || binary.BigEndian.Uint64(key) > high {
				break
			}
			if err := entries.Delete(bytes.Clone(key)); err != nil {
				return err
			}
			count--
		}
		next = s.measure(entries, count)
		return state.Put(spanKey, seal(spanKey, next.encode()))
	})
	if err == nil {
		s.setSpan(next)
	}
	return err
}

// measure returns the bounds of the count entries, and how far they are known to be committed: what the machine has
// applied and what raft has said.
func (s *store) measure(entries *bolt.Bucket, count uint64) span {
	cursor := entries.Cursor()
	first, _ := cursor.First()
	if first == nil {
		return span{}
	}
	next := span{first: binary.BigEndian.Uint64(first), count: count}
	last, _ := cursor.Last()
	next.last = binary.BigEndian.Uint64(last)
	next.committed = min(max(s.applied.Load(), s.staged.Load(), s.span.committed), next.last)
	return next
}

// setSpan makes next the store's. The caller holds mu.
func (s *store) setSpan(next span) {
	s.span = next
	s.bounds.Store(&next)
}

// Get returns the value of a stable key, or errNotFound.
func (s *store) Get(key []byte) ([]byte, error) {
	if string(key) != candidateKey {
		return nil, fmt.Errorf("raftlog: unknown stable key %q", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ballot.candidate) == 0 {
		return nil, errNotFound
	}
	return bytes.Clone(s.ballot.candidate), nil
}

// GetUint64 returns the value of a stable key, or errNotFound.
func (s *store) GetUint64(key []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var value uint64
	switch string(key) {
	case termKey:
		value = s.ballot.term
	case voteTermKey:
		value = s.ballot.voteTerm
	default:
		return 0, fmt.Errorf("raftlog: unknown stable key %q", key)
	}
	if value == 0 {
		return 0, errNotFound
	}
	return value, nil
}

// Set stores the candidate of a vote, together with the term that SetUint64 was given just before: a crash between
// raft's two calls must not leave the old candidate in the new term (hashicorp/raft#661).
func (s *store) Set(key, value []byte) error {
	if string(key) != candidateKey {
		return fmt.Errorf("raftlog: unknown stable key %q", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.ballot
	next.voteTerm, next.candidate = max(s.pendingTerm, next.voteTerm), bytes.Clone(value)
	return s.putBallot(next)
}

// SetUint64 stores the current term, or holds the term of a vote until Set brings its candidate.
//
// It never fails for the current term, because raft panics then. By that time the store has failed for good and has
// told its owner, who stops raft: no vote and no entry of the unsaved term can be acknowledged.
func (s *store) SetUint64(key []byte, value uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(key) {
	case termKey:
		if next := s.ballot; next.term != value {
			next.term = value
			_ = s.putBallot(next)
		}
		return nil
	case voteTermKey:
		s.pendingTerm = value
		return s.failure()
	}
	return fmt.Errorf("raftlog: unknown stable key %q", key)
}

// putBallot stores next. The caller holds mu.
func (s *store) putBallot(next ballot) error {
	err := s.update(func(state, _ *bolt.Bucket) error {
		return state.Put(ballotKey, seal(ballotKey, next.encode()))
	})
	if err == nil {
		s.ballot = next
	}
	return err
}
