package logtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Entry is one entry as a Recorder has seen it.
type Entry struct {
	Index uint64
	Data  []byte
}

// Recorder is a [consensus.Machine] that keeps every entry and answers with [Answer]. The zero value is empty and
// ready; its methods are safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	entries []Entry
}

var _ consensus.Machine = (*Recorder)(nil)

// Answer is what a Recorder answers to an entry that is the n-th it applied, counted from 1.
func Answer(n int, entry []byte) []byte { return fmt.Appendf(nil, "%d:%s", n, entry) }

// Apply implements [consensus.Machine].
func (r *Recorder) Apply(index uint64, entry []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, Entry{index, bytes.Clone(entry)})
	return Answer(len(r.entries), entry)
}

// Snapshot implements [consensus.Machine].
func (r *Recorder) Snapshot() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.Marshal(r.entries)
}

// Restore implements [consensus.Machine].
func (r *Recorder) Restore(snapshot []byte) error {
	var entries []Entry
	if err := json.Unmarshal(snapshot, &entries); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = entries
	return nil
}

// Entries returns the entries applied so far, in order. They must not be changed.
func (r *Recorder) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[:len(r.entries):len(r.entries)]
}

// Check fails the test unless the entries have ascending indexes and are all different.
func (r *Recorder) Check(t testing.TB) {
	t.Helper()
	seen := make(map[string]uint64)
	var last uint64
	for _, entry := range r.Entries() {
		if entry.Index <= last {
			t.Errorf("entry %d applied after %d", entry.Index, last)
		}
		last = entry.Index
		if before, ok := seen[string(entry.Data)]; ok {
			t.Errorf("entry %.40q applied at %d and %d", entry.Data, before, entry.Index)
		}
		seen[string(entry.Data)] = entry.Index
	}
}
