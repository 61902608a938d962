package raftlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

const testNode = "NAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func testConfig(dir string, machine consensus.Machine) Config {
	return Config{Dir: dir, NodeKey: testNode, Machine: machine}
}

// open opens the log in dir and closes it when the test ends.
func open(t *testing.T, dir string, machine consensus.Machine) *Log {
	t.Helper()
	log, err := Open(t.Context(), testConfig(dir, machine))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { shut(t, log) })
	return log
}

func shut(t *testing.T, log *Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// fill appends the padded numbers from (included) to to (excluded), all at once.
func fill(t *testing.T, log *Log, from, to int) {
	t.Helper()
	fails := make(chan error, to-from)
	for n := from; n < to; n++ {
		go func() {
			_, _, err := log.Append(t.Context(), padded(n))
			fails <- err
		}()
	}
	for range to - from {
		if err := <-fails; err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
}

func padded(n int) []byte { return fmt.Appendf(nil, "%-200d", n) }

// holds fails the test unless machine has applied the entries of fill from 0 to n-1, in any order.
func holds(t *testing.T, machine *logtest.Recorder, n int) {
	t.Helper()
	machine.Check(t)
	entries := machine.Entries()
	seen := make(map[string]bool)
	for _, entry := range entries {
		seen[string(entry.Data)] = true
	}
	for i := range n {
		if !seen[string(padded(i))] {
			t.Errorf("entry %d is missing", i)
		}
	}
	if len(entries) != n {
		t.Errorf("the machine has %d entries, want %d", len(entries), n)
	}
}

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T, machine consensus.Machine) consensus.Log {
		return open(t, t.TempDir(), machine)
	})
}

func TestRestart(t *testing.T) {
	tests := []struct {
		name      string
		snapshots []bool // one run each: whether to take a snapshot in its middle
	}{
		{"log only", []bool{false, false, false}},
		{"snapshot first", []bool{true, false, false}},
		{"snapshot last", []bool{false, false, true}},
		{"snapshots", []bool{true, true, true, true, true}},
	}
	const each = 60
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for run, snapshot := range test.snapshots {
				machine := new(logtest.Recorder)
				log := open(t, dir, machine)
				holds(t, machine, run*each)
				fill(t, log, run*each, run*each+each/2)
				if snapshot {
					if err := log.Snapshot(t.Context()); err != nil {
						t.Fatalf("Snapshot: %v", err)
					}
				}
				fill(t, log, run*each+each/2, run*each+each)
				holds(t, machine, (run+1)*each)
				shut(t, log)
			}
			machine := new(logtest.Recorder)
			open(t, dir, machine)
			holds(t, machine, len(test.snapshots)*each)
		})
	}
}

func TestRestartTwiceKeepsIndexes(t *testing.T) {
	dir := t.TempDir()
	machine := new(logtest.Recorder)
	log := open(t, dir, machine)
	fill(t, log, 0, 20)
	want := fmt.Sprint(machine.Entries())
	for range 2 {
		shut(t, log)
		machine = new(logtest.Recorder)
		log = open(t, dir, machine)
		if got := fmt.Sprint(machine.Entries()); got != want {
			t.Fatalf("after a restart the machine has\n%s\nwant\n%s", got, want)
		}
	}
}

// TestRestartWithLongTail has more entries after the last snapshot than raft's own queue holds, 128 batches of 64.
func TestRestartWithLongTail(t *testing.T) {
	const entries = 128*64 + 500
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	fill(t, log, 0, entries)
	shut(t, log)
	machine := new(logtest.Recorder)
	open(t, dir, machine)
	holds(t, machine, entries)
}

// TestCatchUpBeforeRaft shows that a machine is at the last known commit before raft runs, that is before the node
// has heard from any other.
func TestCatchUpBeforeRaft(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	for n := range 50 {
		if _, _, err := log.Append(t.Context(), padded(n)); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, log)

	st, err := openStore(filepath.Join(dir, storeName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.close() }()
	recorder := new(logtest.Recorder)
	fsm := &machine{inner: recorder, store: st}
	if err := fsm.catchUp(raft.NewInmemSnapshotStore()); err != nil {
		t.Fatal(err)
	}
	// The commit index is written with the append that follows, so the last entry may be unknown.
	if got := len(recorder.Entries()); got < 49 {
		t.Errorf("%d of 50 entries are known to be committed", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	if _, err := Open(t.Context(), testConfig(dir, new(logtest.Recorder))); !errors.Is(err, ErrInUse) {
		t.Errorf("Open of a log in use: %v", err)
	}
	shut(t, log)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, testConfig(dir, new(logtest.Recorder))); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with an ended context: %v", err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"no directory", func(c *Config) { c.Dir = "" }, ErrConfig},
		{"no node key", func(c *Config) { c.NodeKey = "" }, ErrConfig},
		{"no nkey", func(c *Config) { c.NodeKey = "N.A" }, ErrConfig},
		{"no machine", func(c *Config) { c.Machine = nil }, ErrConfig},
		{"another node", func(c *Config) { c.NodeKey = strings.Replace(testNode, "A", "B", 1) }, ErrWrongNode},
	}
	for _, test := range tests {
		cfg := testConfig(dir, new(logtest.Recorder))
		test.change(&cfg)
		if _, err := Open(t.Context(), cfg); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	open(t, dir, new(logtest.Recorder)) // and without a fault it opens again
}

func TestOpenRefusesSnapshotsWithoutLog(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	fill(t, log, 0, 10)
	if err := log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, log)
	log = open(t, dir, new(logtest.Recorder))
	shut(t, log)
	if err := os.Remove(filepath.Join(dir, storeName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), testConfig(dir, new(logtest.Recorder))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open without the log: %v", err)
	}
}

func TestServerIDDiesWithTheDirectory(t *testing.T) {
	ids := make(map[string]bool)
	for range 2 {
		log := open(t, t.TempDir(), new(logtest.Recorder))
		id := string(log.store.owner.serverID())
		if !strings.HasPrefix(id, testNode+".") || len(id) != len(testNode)+1+16 {
			t.Errorf("server id %q", id)
		}
		ids[id] = true
	}
	if len(ids) != 2 {
		t.Errorf("two directories share the server id: %v", ids)
	}
}

// blocking is a machine that stops in Apply until it is released.
type blocking struct {
	logtest.Recorder
	entered, release chan struct{}
}

func (b *blocking) Apply(index uint64, entry []byte) []byte {
	b.entered <- struct{}{}
	<-b.release
	return b.Recorder.Apply(index, entry)
}

func TestAppendReturnsWhenContextEnds(t *testing.T) {
	machine := &blocking{entered: make(chan struct{}, 10), release: make(chan struct{})}
	log := open(t, t.TempDir(), machine)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := log.Append(ctx, []byte("a"))
		done <- err
	}()
	<-machine.entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	close(machine.release)
	if err := log.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(machine.Entries()); got != 1 {
		t.Errorf("%d entries applied: the entry was in the log already", got)
	}
}

func TestAppendsInFlightAreBounded(t *testing.T) {
	machine := &blocking{entered: make(chan struct{}, 2*maxInFlight), release: make(chan struct{})}
	log := open(t, t.TempDir(), machine)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, maxInFlight)
	for n := range maxInFlight {
		go func() {
			_, _, err := log.Append(ctx, padded(n))
			done <- err
		}()
	}
	<-machine.entered
	for len(log.slots) < maxInFlight {
		runtime.Gosched() // every caller is on its way to its slot
	}
	late, stop := context.WithCancel(t.Context())
	defer stop()
	refused := make(chan error, 1)
	go func() {
		_, _, err := log.Append(late, []byte("one too many"))
		refused <- err
	}()
	stop()
	if err := <-refused; !errors.Is(err, context.Canceled) {
		t.Errorf("one more entry: %v", err)
	}
	cancel()
	for range maxInFlight {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Append: %v", err)
		}
	}
	close(machine.release)
	if err := log.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, &machine.Recorder, maxInFlight)
}

// TestCloseWithStuckMachine closes a log whose machine does not answer. Raft drops what waits behind it, and leaves
// its futures open; the callers return all the same.
func TestCloseWithStuckMachine(t *testing.T) {
	machine := &blocking{entered: make(chan struct{}, maxInFlight), release: make(chan struct{})}
	log := open(t, t.TempDir(), machine)
	log.patience = time.Millisecond
	done := make(chan error, maxInFlight)
	for n := range maxInFlight {
		go func() {
			_, _, err := log.Append(t.Context(), padded(n))
			done <- err
		}()
	}
	<-machine.entered
	for len(log.slots) < maxInFlight {
		runtime.Gosched()
	}
	closed := make(chan error, 1)
	go func() { closed <- log.Close() }()
	for log.now().raft.State() != raft.Shutdown {
		runtime.Gosched()
	}
	close(machine.release)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	for range maxInFlight {
		if err := <-done; err != nil && !errors.Is(err, consensus.ErrUncertain) && !errors.Is(err, consensus.ErrClosed) {
			t.Errorf("Append: %v", err)
		}
	}
}

// TestGroupCommit shows that appends that wait for the disk share its next sync.
func TestGroupCommit(t *testing.T) {
	const callers = 65
	log := open(t, t.TempDir(), new(logtest.Recorder))
	var commits atomic.Int64
	log.store.mu.Lock()
	log.store.commit = func(tx *bolt.Tx) error {
		if commits.Add(1) == 1 {
			for len(log.slots) < callers {
				runtime.Gosched() // the first write lasts until all have come
			}
		}
		return tx.Commit()
	}
	log.store.mu.Unlock()
	fill(t, log, 0, callers)
	if n := commits.Load(); n > callers/3 {
		t.Errorf("%d commits for %d concurrent appends", n, callers)
	}
}

func BenchmarkAppend(b *testing.B) {
	log, err := Open(b.Context(), testConfig(b.TempDir(), discarding{}))
	if err != nil {
		b.Fatal(err)
	}
	entry := make([]byte, 512)
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := log.Append(b.Context(), entry); err != nil {
				b.Error(err)
			}
		}
	})
	if err := log.Close(); err != nil {
		b.Error(err)
	}
}
