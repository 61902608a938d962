package filetrail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func entry(n int) audit.Entry {
	return audit.Entry{
		Time: int64(n), Door: audit.Commanding, Subject: fmt.Sprint("subject-", n), Object: wire.Digest{byte(n)},
		Detail: strings.Repeat("d", n%40),
	}
}

// filled makes a trail of n entries in segments of about limit bytes, and closes it.
func filled(t testing.TB, n int, limit int64) (dir string) {
	t.Helper()
	dir = t.TempDir()
	trail := reopened(t, dir, limit)
	for i := range n {
		record(t, trail, entry(i))
	}
	closed(t, trail)
	return dir
}

func reopened(t testing.TB, dir string, limit int64) *Trail {
	t.Helper()
	trail, err := openTrail(dir, limit, openSegment)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func record(t testing.TB, trail *Trail, e audit.Entry) {
	t.Helper()
	if err := trail.Record(e); err != nil {
		t.Fatal(err)
	}
}

func closed(t testing.TB, trail *Trail) {
	t.Helper()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
}

func entries(t testing.TB, dir string) []audit.Entry {
	t.Helper()
	var all []audit.Entry
	if err := Read(dir, func(e audit.Entry) error { all = append(all, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	names, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRecordAndRead(t *testing.T) {
	for _, limit := range []int64{segmentLimit, 400, 1} {
		dir := t.TempDir()
		var want []audit.Entry
		var tree merkle.Tree
		for start := 0; start < 60; start += 20 { // opened three times
			trail := reopened(t, dir, limit)
			for i := range 20 {
				e := entry(start + i)
				record(t, trail, e)
				want = append(want, e)
				body, err := wire.Encode(e)
				if err != nil {
					t.Fatal(err)
				}
				if err := tree.Append(merkle.LeafHash(body)); err != nil {
					t.Fatal(err)
				}
				if size, root := trail.Head(); size != tree.Size() || root != wire.Digest(tree.Root()) {
					t.Fatalf("limit %d: head %d %s, want %d %s", limit, size, root, tree.Size(), tree.Root())
				}
			}
			closed(t, trail)
		}
		if got := entries(t, dir); !slices.Equal(got, want) {
			t.Errorf("limit %d: got %d entries, want %d", limit, len(got), len(want))
		}
		if n := len(files(t, dir)); (limit == segmentLimit) != (n == 1) {
			t.Errorf("limit %d: %d segments", limit, n)
		}
	}
}

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	trail, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if size, root := trail.Head(); size != 0 || root != wire.Digest(merkle.EmptyRoot()) || trail.Recovered() != 0 {
		t.Errorf("got %d %s", size, root)
	}
	closed(t, trail)
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if _, err := Open(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := Read(filepath.Join(dir, "nowhere"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestTextsAreCut(t *testing.T) {
	for _, row := range []struct {
		name      string
		in, want  audit.Entry
		shortened bool
	}{
		{"longest", audit.Entry{Detail: strings.Repeat("x", 256), Subject: strings.Repeat("y", 1024)},
			audit.Entry{Detail: strings.Repeat("x", 256), Subject: strings.Repeat("y", 1024)}, false},
		{"longer", audit.Entry{Detail: strings.Repeat("x", 257), Subject: strings.Repeat("y", 99999)},
			audit.Entry{Detail: strings.Repeat("x", 256), Subject: strings.Repeat("y", 1024)}, true},
		{"inside a letter", audit.Entry{Detail: strings.Repeat("x", 255) + "é"}, audit.Entry{Detail: strings.Repeat("x", 255)}, true},
		{"not text", audit.Entry{Detail: "a\xffb", Subject: "\xfe"}, audit.Entry{Detail: "a\uFFFDb", Subject: "\uFFFD"}, true},
		{"door and code", audit.Entry{Door: audit.Door(strings.Repeat("d", 65)), Code: strings.Repeat("c", 65)},
			audit.Entry{Door: audit.Door(strings.Repeat("d", 64)), Code: strings.Repeat("c", 64)}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			trail := reopened(t, dir, segmentLimit)
			record(t, trail, row.in)
			closed(t, trail)
			if got := entries(t, dir); len(got) != 1 || got[0] != row.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestModes(t *testing.T) {
	dir := filled(t, 20, 400)
	for _, name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	loose := filepath.Join(dir, files(t, dir)[1])
	if err := os.Chmod(loose, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); fault.CodeOf(err) != fault.LooseMode {
		t.Errorf("got %v", err)
	}
	if err := Read(dir, func(audit.Entry) error { return nil }); fault.CodeOf(err) != fault.LooseMode {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(loose, filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", loose); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); fault.CodeOf(err) != fault.LooseMode {
		t.Errorf("a link: %v", err)
	}
}

// Wherever the last segment is cut, the whole records before the cut remain and the trail goes on.
func TestTornTail(t *testing.T) {
	for _, limit := range []int64{segmentLimit, 900} {
		dir := filled(t, 12, limit)
		names := files(t, dir)
		last := filepath.Join(dir, names[len(names)-1])
		data, err := os.ReadFile(last)
		if err != nil {
			t.Fatal(err)
		}
		all := entries(t, dir)
		for _, tail := range []string{"", "\x00", strings.Repeat("\x00", 5000)} { // what lost writes leave
			for cut := range len(data) {
				torn := append(slices.Clone(data[:cut]), tail...)
				if err := os.WriteFile(last, torn, 0o600); err != nil {
					t.Fatal(err)
				}
				var before []audit.Entry
				readErr := Read(dir, func(e audit.Entry) error { before = append(before, e); return nil })
				trail, err := openTrail(dir, limit, openSegment)
				if err != nil && len(tail) > 0 && fault.CodeOf(err) == fault.Malformed {
					continue // zeros after half a record may make it a whole one, and a wrong one
				}
				if err != nil || readErr != nil {
					t.Fatalf("cut at %d: %v, %v", cut, err, readErr)
				}
				size, _ := trail.Head()
				if !slices.Equal(before, all[:size]) || trail.Recovered() < 0 || trail.Recovered() > int64(len(torn)) {
					t.Fatalf("cut at %d: %d entries, %d bytes cut away", cut, size, trail.Recovered())
				}
				record(t, trail, entry(99))
				closed(t, trail)
				if got := entries(t, dir); uint64(len(got)) != size+1 || got[size] != entry(99) {
					t.Fatalf("cut at %d: got %d entries", cut, len(got))
				}
				for _, name := range files(t, dir)[len(names)-1:] {
					if err := os.Remove(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// Some file systems leave zeros where a write was lost.
func TestZerosAtTheEnd(t *testing.T) {
	zeros := make([]byte, 5000)
	for _, keep := range []bool{true, false} {
		dir := filled(t, 3, segmentLimit)
		path := filepath.Join(dir, files(t, dir)[0])
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(3)
		if !keep {
			data, want = nil, 0
		}
		if err := os.WriteFile(path, append(data, zeros...), 0o600); err != nil {
			t.Fatal(err)
		}
		trail := reopened(t, dir, segmentLimit)
		if size, _ := trail.Head(); size != want || trail.Recovered() != int64(len(zeros)) {
			t.Errorf("%d entries, %d bytes cut away", size, trail.Recovered())
		}
		closed(t, trail)
	}
}

// framed returns a record of any body, checksums and all.
func framed(body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	return append(binary.BigEndian.AppendUint32(b, checksum(body)), body...)
}

func TestForgedRecords(t *testing.T) {
	honest, err := wire.Encode(entry(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		body []byte
		want fault.Code
	}{
		{"honest", honest, ""},
		{"empty", nil, fault.Malformed},
		{"not an entry", []byte{1}, fault.Malformed},
		{"a longer form of an entry", append([]byte{0xb8, honest[0] & 0x1f}, honest[1:]...), fault.Malformed},
		{"more than an entry", append(slices.Clone(honest), 0), fault.Malformed},
		{"too long", make([]byte, maxBody+1), fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			data := append(encodeHeader(&peaks{}), framed(row.body)...)
			_, err := scan("s", data, true, &peaks{}, func(audit.Entry) error { return nil })
			if fault.CodeOf(err) != row.want {
				t.Errorf("got %v", err)
			}
		})
	}
	long := append(encodeHeader(&peaks{}), framed(make([]byte, maxBody+1))[:recordSize+5]...) // and torn
	if _, err := scan("s", long, true, &peaks{}, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestRecoveredIsReported(t *testing.T) {
	dir := filled(t, 3, segmentLimit)
	path := filepath.Join(dir, files(t, dir)[0])
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := reopened(t, dir, segmentLimit)
	if whole.Recovered() != 0 {
		t.Errorf("cut %d bytes of a whole trail", whole.Recovered())
	}
	closed(t, whole)
	last, _, err := encodeRecord(entry(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	trail := reopened(t, dir, segmentLimit)
	defer trail.Close()
	if got := trail.Recovered(); got != int64(len(last))-1 {
		t.Errorf("cut %d bytes, want %d", got, len(last)-1)
	}
	if size, _ := trail.Head(); size != 2 {
		t.Errorf("got %d entries", size)
	}
}

// Any one byte changed anywhere is refused, and where is said.
func TestFlippedByte(t *testing.T) {
	dir := filled(t, 15, 900)
	names := files(t, dir)
	if len(names) < 2 {
		t.Fatalf("only %d segments", len(names))
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			flipped := slices.Clone(data)
			flipped[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir)
			var c *Corruption
			if !errors.As(err, &c) || fault.CodeOf(err) != fault.Malformed || c.Segment != name {
				t.Fatalf("%s at %d: %v", name, i, err)
			}
			if c.Offset > int64(i) || (c.Offset == 0) != (i < headerSize) || !strings.Contains(c.Error(), fmt.Sprint(c.Offset)) {
				t.Fatalf("%s at %d: said to be at %d", name, i, c.Offset)
			}
			if err := Read(dir, func(audit.Entry) error { return nil }); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s at %d: %v", name, i, err)
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries(t, dir)
}

func TestSegmentsMissingOrSwapped(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string, names []string) error{
		"first missing": func(_ *testing.T, dir string, n []string) error { return os.Remove(filepath.Join(dir, n[0])) },
		"one missing":   func(_ *testing.T, dir string, n []string) error { return os.Remove(filepath.Join(dir, n[1])) },
		"one cut": func(t *testing.T, dir string, n []string) error {
			return os.Truncate(filepath.Join(dir, n[0]), headerSize+20)
		},
		"one empty": func(t *testing.T, dir string, n []string) error { return os.Truncate(filepath.Join(dir, n[1]), 0) },
		"of another trail": func(t *testing.T, dir string, n []string) error {
			other := t.TempDir()
			trail := reopened(t, other, 900)
			for i := range 40 {
				e := entry(i)
				e.Time++
				record(t, trail, e)
			}
			closed(t, trail)
			return os.Rename(filepath.Join(other, n[1]), filepath.Join(dir, n[1]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 40, 900)
			names := files(t, dir)
			entries(t, dir)
			if err := spoil(t, dir, names); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A record may be dropped and all checksums made to fit, but then the root is another.
func TestHeadTellsARewrittenTrail(t *testing.T) {
	full, short := filled(t, 3, segmentLimit), filled(t, 2, segmentLimit)
	a, b := reopened(t, full, segmentLimit), reopened(t, short, segmentLimit)
	defer a.Close()
	defer b.Close()
	record(t, b, entry(77))
	sizeA, rootA := a.Head()
	if sizeB, rootB := b.Head(); sizeA != sizeB || rootA == rootB {
		t.Errorf("got %d %s and %d %s", sizeA, rootA, sizeB, rootB)
	}
}

func TestReadStops(t *testing.T) {
	dir := filled(t, 10, 300)
	stop, n := errors.New("enough"), 0
	err := Read(dir, func(audit.Entry) error {
		if n++; n == 4 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 4 {
		t.Errorf("got %v after %d", err, n)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := filled(t, 3, segmentLimit)
	for _, name := range []string{"notes.txt", "1.trail", "x0000000000000000000.trail"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := entries(t, dir); len(got) != 3 {
		t.Errorf("got %d entries", len(got))
	}
}

func TestClose(t *testing.T) {
	trail := reopened(t, t.TempDir(), segmentLimit)
	record(t, trail, entry(1))
	closed(t, trail)
	closed(t, trail)
	if err := trail.Record(entry(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	var none *Trail
	closed(t, none)
}

func TestConcurrentRecords(t *testing.T) {
	dir := t.TempDir()
	trail := reopened(t, dir, 2000)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 50 {
				if err := trail.Record(entry(w*50 + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	size, root := trail.Head()
	closed(t, trail)
	again := reopened(t, dir, 2000)
	defer again.Close()
	if s, r := again.Head(); size != 400 || s != size || r != root {
		t.Errorf("got %d %s, want %d %s", s, r, size, root)
	}
}

// disk is a file whose writes and syncs are counted, and fail when told to.
type disk struct {
	mu            sync.Mutex
	written       []byte
	writes, syncs int
	failWrite     bool
	failSync      bool
	closed        int
}

var errDisk = errors.New("disk gone")

func (d *disk) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failWrite {
		return 0, errDisk
	}
	d.writes++
	d.written = append(d.written, b...)
	return len(b), nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.failSync {
		return errDisk
	}
	return nil
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) counts() (writes, syncs, closed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes, d.syncs, d.closed
}

func onDisk(t *testing.T, limit int64) (*Trail, *disk) {
	t.Helper()
	d := &disk{}
	trail, err := openTrail(t.TempDir(), limit, func(string, bool) (file, error) { return d, nil })
	if err != nil {
		t.Fatal(err)
	}
	return trail, d
}

func TestFlusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail, d := onDisk(t, segmentLimit)
		_, begun, _ := d.counts()
		for i := range 5 {
			record(t, trail, entry(i))
			if writes, _, _ := d.counts(); writes != i+2 {
				t.Fatalf("%d writes after %d records and a header", writes, i+1)
			}
		}
		advance(SyncEvery - 1)
		if _, syncs, _ := d.counts(); syncs != begun {
			t.Errorf("synced %d times before its time", syncs-begun)
		}
		advance(1)
		if _, syncs, _ := d.counts(); syncs != begun+1 {
			t.Errorf("synced %d times, want once for five records", syncs-begun)
		}
		advance(10 * SyncEvery)
		if _, syncs, _ := d.counts(); syncs != begun+1 {
			t.Errorf("synced %d times with nothing to sync", syncs-begun)
		}
		record(t, trail, entry(6))
		closed(t, trail)
		if _, syncs, ends := d.counts(); syncs != begun+2 || ends != 1 {
			t.Errorf("closing synced %d times, closed %d", syncs-begun-1, ends)
		}
	})
}

func TestFailedWriteIsFinal(t *testing.T) {
	trail, d := onDisk(t, segmentLimit)
	record(t, trail, entry(1))
	size, root := trail.Head()
	d.set(func() { d.failWrite = true })
	if err := trail.Record(entry(2)); !errors.Is(err, errDisk) || fault.CodeOf(err) != fault.DiskFull {
		t.Errorf("got %v", err)
	}
	d.set(func() { d.failWrite = false })
	if err := trail.Record(entry(3)); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	if s, r := trail.Head(); s != size || r != root {
		t.Error("what was not written is in the tree")
	}
	if err := trail.Close(); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail, d := onDisk(t, segmentLimit)
		record(t, trail, entry(1))
		d.set(func() { d.failSync = true })
		advance(SyncEvery)
		if err := trail.Record(entry(2)); !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
		if err := trail.Close(); !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
	})
	trail, d := onDisk(t, segmentLimit)
	record(t, trail, entry(1))
	d.set(func() { d.failSync = true })
	if err := trail.Close(); !errors.Is(err, errDisk) || fault.CodeOf(err) != fault.DiskFull {
		t.Errorf("got %v", err)
	}
}

func TestFailedRotationIsFinal(t *testing.T) {
	trail, d := onDisk(t, 1)
	record(t, trail, entry(1))
	record(t, trail, entry(2))
	d.set(func() { d.failSync = true })
	if err := trail.Record(entry(3)); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	d.set(func() { d.failSync = false })
	if err := trail.Record(entry(4)); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	trail.Close()

	first, second := &disk{}, &disk{}
	disks := []*disk{first, second}
	trail, err := openTrail(t.TempDir(), 1, func(string, bool) (file, error) {
		next := disks[0]
		disks = disks[1:]
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	record(t, trail, entry(1))
	first.set(func() { first.failSync = true }) // the old segment cannot be made durable
	if err := trail.Record(entry(2)); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	trail.Close()
}

func TestFailedOpen(t *testing.T) {
	old := filled(t, 1, segmentLimit)
	for name, open := range map[string]opener{
		"open":  func(string, bool) (file, error) { return nil, errDisk },
		"sync":  func(string, bool) (file, error) { return &disk{failSync: true}, nil },
		"write": func(string, bool) (file, error) { return &disk{failWrite: true}, nil },
	} {
		if _, err := openTrail(t.TempDir(), 1, open); !errors.Is(err, errDisk) {
			t.Errorf("%s of a new trail: %v", name, err)
		}
		trail, err := openTrail(old, 1, open)
		if (err == nil) != (name == "write") || (err != nil && !errors.Is(err, errDisk)) {
			t.Errorf("%s of an old trail: %v", name, err)
		}
		closed(t, trail) // where it opened: it wrote nothing yet
	}
}

func TestPeaks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	var p peaks
	var tree merkle.Tree
	for range 300 {
		if got, want := p.root(), wire.Digest(tree.Root()); got != want || p.size != tree.Size() {
			t.Fatalf("size %d: got %s, want %s", p.size, got, want)
		}
		var leaf merkle.Hash
		leaf[0], leaf[1] = byte(random.Uint32()), byte(random.Uint32())
		p.add(leaf)
		if err := tree.Append(leaf); err != nil {
			t.Fatal(err)
		}
	}
}
