package filetrail

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// hanging is a disk whose syncs wait once it is told to.
type hanging struct {
	disk
	wait chan struct{} // nil: they do not
}

func (h *hanging) Sync() error {
	h.mu.Lock()
	wait := h.wait
	h.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return h.disk.Sync()
}

func TestFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &hanging{}
		trail, err := openTrail(t.TempDir(), segmentLimit, func(string, bool) (file, error) { return d, nil })
		if err != nil {
			t.Fatal(err)
		}
		fine := func(when string) {
			t.Helper()
			if err := trail.Flushed(); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		fine("nothing recorded")
		for i := range 20 { // an entry may wait for its sync, however many there are
			record(t, trail, entry(i))
			fine("recorded")
			advance(SyncEvery)
		}
		fine("synced")
		hold := make(chan struct{})
		d.set(func() { d.wait = hold })
		record(t, trail, entry(20))
		advance(SyncEvery)
		fine("a sync that lasts")
		record(t, trail, entry(21)) // does not make the wait look shorter
		advance(10 * SyncEvery)
		if err := trail.Flushed(); fault.CodeOf(err) != fault.Unreachable {
			t.Errorf("a sync that hangs: %v", err)
		}
		d.set(func() { d.wait = nil })
		close(hold)
		advance(2 * SyncEvery)
		fine("after it")
		if n := trail.Entries(); n != 22 {
			t.Errorf("%d entries", n)
		}
		closed(t, trail)
		if err := trail.Flushed(); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestAFailedTrailIsNotFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail, d := onDisk(t, segmentLimit)
		record(t, trail, entry(1))
		if err := trail.Flushed(); err != nil {
			t.Fatal(err)
		}
		d.set(func() { d.failSync = true })
		advance(SyncEvery)
		if err := trail.Flushed(); !errors.Is(err, ErrWrite) || fault.CodeOf(err) != fault.DiskFull {
			t.Errorf("failed: %v", err)
		}
		_ = trail.Close() // says so again
	})
}
