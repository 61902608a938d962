package raftlog

import (
	"errors"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

func TestStatsFollowTheLog(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	before := log.Stats()
	if !before.Leader || before.SnapshotBytes != 0 {
		t.Fatalf("a new log: %+v", before)
	}
	fill(t, log, 0, 8)
	after := log.Stats()
	if after.Applied < before.Applied+8 || after.Committed < after.Applied || after.SnapshotBytes != 0 {
		t.Errorf("before %+v, after 8 entries %+v", before, after)
	}
	if err := log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken := log.Stats().SnapshotBytes
	if taken < 8*200 { // the padded entries are in it
		t.Errorf("a snapshot of %d bytes", taken)
	}
	shut(t, log)
	if now := log.Stats(); now.Leader || now.Applied != after.Applied {
		t.Errorf("closed: %+v", now)
	}
	if again := open(t, dir, new(logtest.Recorder)); again.Stats().SnapshotBytes != taken {
		t.Errorf("reopened: %+v, want a snapshot of %d bytes", again.Stats(), taken)
	}
}

func TestWritable(t *testing.T) {
	log := open(t, t.TempDir(), new(logtest.Recorder))
	fill(t, log, 0, 1)
	if err := log.Writable(); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * slowWrite)
	log.store.writing.Store(&long)
	if err := log.Writable(); fault.CodeOf(err) != fault.Unreachable || !errors.Is(err, errSlow) {
		t.Errorf("a hanging write: %v", err)
	}
	log.store.writing.Store(nil)
	if err := log.Writable(); err != nil {
		t.Errorf("after it: %v", err)
	}
	shut(t, log)
	if err := log.Writable(); !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAFailedLogIsNotWritable(t *testing.T) {
	log := open(t, t.TempDir(), new(logtest.Recorder))
	fill(t, log, 0, 1)
	if err := log.Writable(); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no such luck")
	log.store.mu.Lock()
	log.store.commit = func(*bolt.Tx) error { return broken }
	log.store.mu.Unlock()
	if _, _, err := log.Append(t.Context(), []byte("x")); !errors.Is(err, broken) {
		t.Fatalf("Append: %v", err)
	}
	if err := log.Writable(); !errors.Is(err, ErrFailed) || !errors.Is(err, broken) {
		t.Errorf("failed: %v", err)
	}
}

// TestAWriteIsNotedWhileItRuns looks at the mark from inside a commit.
func TestAWriteIsNotedWhileItRuns(t *testing.T) {
	s := newStore(t, t.TempDir()+"/"+storeName)
	var during *time.Time
	s.commit = func(tx *bolt.Tx) error {
		during = s.writing.Load()
		return tx.Commit()
	}
	if err := s.StoreLog(entry(2)); err != nil {
		t.Fatal(err)
	}
	if during == nil || s.writing.Load() != nil {
		t.Errorf("during the write %v, after it %v", during, s.writing.Load())
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}
