package raftlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

func encodeSnapshot(t testing.TB, index uint64, state []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := (&snapshot{index: index, state: state}).writeTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadSnapshotRefusesEveryChange(t *testing.T) {
	intact := encodeSnapshot(t, 7, []byte("some state"))
	got, err := readSnapshot(bytes.NewReader(intact))
	if err != nil || got.index != 7 || string(got.state) != "some state" {
		t.Fatalf("intact: %+v, %v", got, err)
	}
	for at := range intact {
		damaged := bytes.Clone(intact)
		damaged[at] ^= 1
		if _, err := readSnapshot(bytes.NewReader(damaged)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", at, err)
		}
		if _, err := readSnapshot(bytes.NewReader(intact[:at])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", at, err)
		}
	}
	if _, err := readSnapshot(bytes.NewReader(append(intact, 0))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
}

// resum replaces the digest at the end by one that fits.
func resum(snapshot []byte) []byte {
	body := snapshot[:len(snapshot)-sha256.Size]
	digest := sha256.Sum256(body)
	return append(bytes.Clone(body), digest[:]...)
}

func TestReadSnapshotRefusesWellSummedNonsense(t *testing.T) {
	intact := encodeSnapshot(t, 7, []byte("some state"))
	if _, err := readSnapshot(bytes.NewReader(resum(intact))); err != nil {
		t.Fatalf("intact: %v", err)
	}
	for name, at := range map[string]int{"magic": 0, "version": 7, "length": 23} {
		damaged := bytes.Clone(intact)
		damaged[at]++
		if _, err := readSnapshot(bytes.NewReader(resum(damaged))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add(encodeSnapshot(f, 1, nil))
	f.Add(encodeSnapshot(f, 1<<63, []byte("state")))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readSnapshot(bytes.NewReader(resum(append(data, make([]byte, sha256.Size)...))))
		if err != nil {
			return
		}
		if again := encodeSnapshot(t, got.index, got.state); !bytes.Equal(again[:len(again)-sha256.Size], data) {
			t.Errorf("%x was read as %x", data, again)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(uint64(1), encodeEntry(entry(1))[sumSize:])
	f.Add(uint64(2), encodeEntry(&raft.Log{Index: 2, Extensions: []byte("x")})[sumSize:])
	f.Fuzz(func(t *testing.T, index uint64, body []byte) {
		var got raft.Log
		record := seal(entryKey(index), body)
		if err := decodeEntry(entryKey(index), record, &got); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v, want ErrCorrupt", err)
			}
			return
		}
		if again := encodeEntry(&got); !bytes.Equal(again, record) {
			t.Errorf("%x was read as %x", record, again)
		}
	})
}

func TestMachineRestore(t *testing.T) {
	recorder := new(logtest.Recorder)
	m := &machine{inner: recorder, store: new(store)}
	m.Apply(&raft.Log{Index: 3, Data: []byte("a")})
	m.Apply(&raft.Log{Index: 4, Data: []byte("b")})
	state, err := recorder.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	older, newer := encodeSnapshot(t, 4, state), encodeSnapshot(t, 6, state)
	m.Apply(&raft.Log{Index: 5, Data: []byte("c")})

	for name, bad := range map[string][]byte{
		"damaged":          append(bytes.Clone(newer), 0),
		"not of a machine": encodeSnapshot(t, 6, []byte("no JSON")),
	} {
		if err := m.Restore(io.NopCloser(bytes.NewReader(bad))); err == nil {
			t.Errorf("%s: restored", name)
		}
		if got := len(recorder.Entries()); got != 3 || m.applied != 5 {
			t.Errorf("%s: the machine has %d entries up to %d", name, got, m.applied)
		}
	}
	// An older state is passed over, and so is what raft replays after it: nothing is forgotten in between.
	if err := m.Restore(io.NopCloser(bytes.NewReader(older))); err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: 5, Data: []byte("c")})
	if got := len(recorder.Entries()); got != 3 || m.applied != 5 {
		t.Errorf("the machine has %d entries up to %d", got, m.applied)
	}
	if err := m.Restore(io.NopCloser(bytes.NewReader(newer))); err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: 6, Data: []byte("d")}) // in the snapshot
	m.Apply(&raft.Log{Index: 7, Data: []byte("e")})
	if got := len(recorder.Entries()); got != 3 || m.applied != 7 {
		t.Errorf("the machine has %d entries up to %d", got, m.applied)
	}
	recorder.Check(t)
}

// TestOpenRefusesDamagedSnapshot changes one byte of the newest snapshot's state on the disk.
func TestOpenRefusesDamagedSnapshot(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	fill(t, log, 0, 10)
	if err := log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, log)
	shut(t, open(t, dir, new(logtest.Recorder)))

	found, err := filepath.Glob(filepath.Join(dir, snapsName, "*", "state.bin"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots: %v, %v", found, err)
	}
	state, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	state[len(state)/2] ^= 1
	if err := os.WriteFile(found[0], state, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), testConfig(dir, new(logtest.Recorder))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open with a damaged snapshot: %v", err)
	}

	// Without it, the log alone still has everything.
	if err := os.RemoveAll(filepath.Dir(found[0])); err != nil {
		t.Fatal(err)
	}
	recorder := new(logtest.Recorder)
	open(t, dir, recorder)
	holds(t, recorder, 10)
}

// TestOpenRefusesGap removes a snapshot whose entries the log no longer has.
func TestOpenRefusesGap(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir, new(logtest.Recorder))
	fill(t, log, 0, 10)
	shut(t, log)
	st := reopen(t, filepath.Join(dir, storeName))
	if err := errors.Join(st.DeleteRange(1, 5), st.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), testConfig(dir, new(logtest.Recorder))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open with a gap: %v", err)
	}
}
