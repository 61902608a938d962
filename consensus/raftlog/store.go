package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	entriesBucket = []byte("entries")
	stateBucket   = []byte("state")

	ownerKey  = []byte("owner")
	spanKey   = []byte("span")
	ballotKey = []byte("ballot")
)

const (
	// lockWait bounds the wait for the file lock of a process that is just ending.
	lockWait = 200 * time.Millisecond
	// stallLimit is how long one write may take before the store counts as failed: a hanging disk would freeze the
	// leader while its heartbeats go on (hashicorp/raft#503).
	stallLimit = 10 * time.Second
	// fillPercent suits keys that only ever grow.
	fillPercent = 0.95
)

var errStalled = fmt.Errorf("%w: a write took more than %v", ErrFailed, stallLimit)

// store keeps raft's log and its ballot in one bbolt file. Its first failed write is final: every later one fails
// with the same error, because nobody can say what a failed sync has left on the disk.
type store struct {
	db     *bolt.DB
	owner  owner
	commit func(*bolt.Tx) error // (*bolt.Tx).Commit; guarded by mu
	stall  time.Duration

	applied  atomic.Uint64             // highest index that the machine has applied
	staged   atomic.Uint64             // highest index that raft said is committed
	snapshot atomic.Uint64             // bytes of the newest snapshot
	bounds   atomic.Pointer[span]      // as span, for those who must not wait for the disk
	writing  atomic.Pointer[time.Time] // when the write that runs now began; nil if none does

	mu          sync.Mutex // one writer at a time; guards what follows
	span        span
	ballot      ballot
	pendingTerm uint64 // set by SetUint64(LastVoteTerm), written with the candidate
	closed      bool

	idle idleness // see commits.go

	failOnce sync.Once
	onFail   func() // called once, before failed is closed
	failed   chan struct{}
	err      error // set before failed is closed
}

// boltOptions returns how every file of ours is opened; file receives the descriptor as soon as there is one.
func boltOptions(file **os.File) *bolt.Options {
	return &bolt.Options{
		Timeout:      lockWait,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			opened, err := os.OpenFile(name, flag, mode)
			*file = opened
			return opened, err
		},
	}
}

// createStore makes the file at path, holding the owner and the entry that bootstraps the log (index 1, term 1); nil:
// none, and no term. The file appears under its name complete and durable, or not at all.
func createStore(path string, own owner, first *raft.Log) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var file *os.File
	db, err := bolt.Open(temp, fileMode, boltOptions(&file))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		entries, err := tx.CreateBucket(entriesBucket)
		if err != nil {
			return err
		}
		state, err := tx.CreateBucket(stateBucket)
		if err != nil {
			return err
		}
		var all span
		var vote ballot
		if first != nil {
			all, vote = span{first.Index, first.Index, 1, first.Index}, ballot{term: first.Term}
			err = entries.Put(entryKey(first.Index), encodeEntry(first))
		}
		return errors.Join(err,
			state.Put(ownerKey, seal(ownerKey, own.encode())),
			state.Put(spanKey, seal(spanKey, all.encode())),
			state.Put(ballotKey, seal(ballotKey, vote.encode())))
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// openStore opens the file at path and reads all of it: a store that it returns holds what was written, apart from
// what bbolt itself drops when the newer of its two meta pages is damaged (it then takes the state before the last
// write, as after a power cut). Errors: [ErrInUse], [ErrCorrupt], or those of the file system.
func openStore(path string) (*store, error) {
	s := &store{commit: (*bolt.Tx).Commit, stall: stallLimit, failed: make(chan struct{}), onFail: func() {}}
	s.idle.write = s.writeCommitted
	var file *os.File
	err := guarded(func() (err error) {
		s.db, err = bolt.Open(path, fileMode, boltOptions(&file))
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		if file != nil {
			_ = file.Close() // a panic inside bbolt leaves it open; else it is closed already
		}
		return nil, err
	}
	if err := guarded(func() error { return s.db.View(s.load) }); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// guarded runs read, which may follow damaged offsets inside the memory map, and turns its panics and faults into
// ErrCorrupt.
func guarded(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%w: reading the store: %v", ErrCorrupt, problem)
		}
	}()
	return read()
}

// load reads the state and checks every entry and their bounds.
func (s *store) load(tx *bolt.Tx) error {
	state, entries := tx.Bucket(stateBucket), tx.Bucket(entriesBucket)
	if state == nil || entries == nil {
		return fmt.Errorf("%w: a bucket is missing", ErrCorrupt)
	}
	if err := s.loadState(state); err != nil {
		return err
	}
	var found span
	cursor := entries.Cursor()
	for key, record := cursor.First(); key != nil; key, record = cursor.Next() {
		var entry raft.Log
		if err := decodeEntry(key, record, &entry); err != nil {
			return err
		}
		if !bytes.Equal(entries.Get(key), record) { // by way of the branch pages, which the cursor may not read
			return fmt.Errorf("%w: entry %d cannot be found by its index", ErrCorrupt, entry.Index)
		}
		if entry.Index <= found.last {
			return fmt.Errorf("%w: entry %d follows %d", ErrCorrupt, entry.Index, found.last)
		}
		if found.first == 0 {
			found.first = entry.Index
		}
		found.last = entry.Index
		found.count++
	}
	if found.committed = s.span.committed; found != s.span {
		return fmt.Errorf("%w: the log holds %d entries, %d to %d, and should hold %d, %d to %d", ErrCorrupt,
			found.count, found.first, found.last, s.span.count, s.span.first, s.span.last)
	}
	return nil
}

func (s *store) loadState(state *bolt.Bucket) error {
	body, err := unseal(ownerKey, state.Get(ownerKey))
	if err == nil {
		s.owner, err = decodeOwner(body)
	}
	if err != nil {
		return err
	}
	if body, err = unseal(spanKey, state.Get(spanKey)); err == nil {
		s.span, err = decodeSpan(body)
	}
	if err != nil {
		return err
	}
	s.setSpan(s.span)
	if body, err = unseal(ballotKey, state.Get(ballotKey)); err == nil {
		s.ballot, err = decodeBallot(body)
	}
	return err
}

// close releases the file. No method may be called during or after it.
func (s *store) close() error {
	if s.idle.end() {
		s.writeCommitted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.db.Close()
}

// update runs write in one durable transaction. The caller holds mu.
func (s *store) update(write func(state, entries *bolt.Bucket) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	began := time.Now()
	s.writing.Store(&began)
	defer s.writing.Store(nil)
	watch := time.AfterFunc(s.stall, func() { s.fail(errStalled) })
	defer watch.Stop()
	tx, err := s.db.Begin(true)
	if err == nil {
		entries := tx.Bucket(entriesBucket)
		entries.FillPercent = fillPercent
		if err = write(tx.Bucket(stateBucket), entries); err == nil {
			err = s.commit(tx)
		}
		if err != nil {
			_ = tx.Rollback() // does nothing if the commit has ended it
		}
	}
	if err != nil {
		s.fail(fmt.Errorf("%w: %w", ErrFailed, err))
	}
	return s.failure()
}

// fail makes err the store's last word.
func (s *store) fail(err error) {
	s.failOnce.Do(func() {
		s.err = err
		s.onFail()
		close(s.failed)
	})
}

// failure returns the error that has ended the store, or nil.
func (s *store) failure() error {
	select {
	case <-s.failed:
		return s.err
	default:
		return nil
	}
}
