package filetrail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// SyncEvery is the longest that a record stays unsynced.
const SyncEvery = 200 * time.Millisecond

// segmentLimit is the size in bytes from which a segment takes no further record. Each holds one at least.
const segmentLimit = 16 << 20

const suffix = ".trail"

var (
	// ErrClosed is returned by Record after Close.
	ErrClosed = fault.New(fault.Internal, "filetrail: closed")
	// ErrWrite is what a failed write or sync wraps; it is final.
	ErrWrite = fault.New(fault.DiskFull, "filetrail: the trail cannot be written")
	// errLate is why a trail whose disk hangs is not flushed.
	errLate = fault.New(fault.Unreachable, "filetrail: the disk does not answer")
	// ErrLooseMode is returned when others may read or write a segment.
	ErrLooseMode = fault.New(fault.LooseMode, "filetrail: a segment's mode must be 0600")
)

// file is what a trail needs of an open segment.
type file interface {
	io.WriteCloser
	Sync() error
}

// opener opens a segment for appending, or makes it.
type opener func(path string, create bool) (file, error)

// Trail is an [audit.Trail] in one directory, which no other process may use meanwhile. It is safe for concurrent use.
type Trail struct {
	dir       string
	limit     int64
	open      opener
	recovered int64

	mu      sync.Mutex
	tree    peaks
	current file
	size    int64 // of current, bytes
	err     error // final
	closed  bool
	oldest  time.Time // when the oldest record that no sync has begun for was written; zero if there is none
	syncing time.Time // the same of the sync that runs now

	dirty   chan struct{} // holds one token while something is unsynced
	stop    chan struct{}
	flusher sync.WaitGroup
}

var _ audit.Trail = (*Trail)(nil)

// Open opens the trail in dir, an existing private directory, and checks all of it. The caller must close it. Errors:
// [*Corruption], [ErrLooseMode], or the file system's.
func Open(dir string) (*Trail, error) { return openTrail(dir, segmentLimit, openSegment) }

func openTrail(dir string, limit int64, open opener) (*Trail, error) {
	t := &Trail{dir: dir, limit: limit, open: open, dirty: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := t.resume(); err != nil {
		return nil, err
	}
	t.flusher.Go(t.flush)
	return t, nil
}

func openSegment(path string, create bool) (file, error) {
	flags := os.O_WRONLY | os.O_APPEND
	if create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	return os.OpenFile(path, flags, 0o600)
}

// resume reads all segments, cuts a torn tail away, and opens the last segment, or the first.
func (t *Trail) resume() error {
	names, err := segments(t.dir)
	if err != nil {
		return err
	}
	whole, torn, err := readAll(t.dir, names, &t.tree, func(audit.Entry) error { return nil })
	if err != nil {
		return err
	}
	t.recovered = torn
	if len(names) == 0 {
		return t.begin()
	}
	last := filepath.Join(t.dir, names[len(names)-1])
	if whole == 0 { // not even its header was written
		if err := os.Remove(last); err != nil {
			return err
		}
		return t.begin()
	}
	if torn > 0 {
		if err := os.Truncate(last, whole); err != nil {
			return err
		}
	}
	if t.current, err = t.open(last, false); err != nil {
		return err
	}
	t.size = whole
	if err := t.current.Sync(); err != nil {
		return errors.Join(err, t.current.Close())
	}
	return nil
}

// begin makes the next segment.
func (t *Trail) begin() error {
	f, err := t.open(filepath.Join(t.dir, segmentName(t.tree.size)), true)
	if err != nil {
		return err
	}
	if _, err := f.Write(encodeHeader(&t.tree)); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), syncDir(t.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	t.current, t.size = f, headerSize
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Recovered returns how many bytes of a torn tail Open has cut away.
func (t *Trail) Recovered() int64 { return t.recovered }

// Head returns how many entries there are and the root over them (RFC 9162 §2.1.1).
func (t *Trail) Head() (size uint64, root wire.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.size, t.tree.root()
}

// Entries returns how many entries there are.
func (t *Trail) Entries() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.size
}

// Flushed returns nil if all that was recorded is synced or will be within [SyncEvery], and else why not: [ErrClosed],
// [ErrWrite], or one with the code fault.Unreachable if the disk has not answered for ten times as long.
func (t *Trail) Flushed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return t.err
	case t.closed:
		return ErrClosed
	}
	oldest := t.syncing
	if oldest.IsZero() {
		oldest = t.oldest
	}
	if late := time.Since(oldest); !oldest.IsZero() && late > 10*SyncEvery {
		return fmt.Errorf("%w for %v", errLate, late.Round(time.Millisecond))
	}
	return nil
}

// Record implements [audit.Trail]. The entry is with the operating system when it returns, and synced at most
// [SyncEvery] later. Details over 256 bytes are cut, and subjects over 1,024. Errors: [ErrClosed], or [ErrWrite], which
// all later calls return too.
func (t *Trail) Record(e audit.Entry) error {
	record, leaf, err := encodeRecord(e)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	if t.closed {
		return ErrClosed
	}
	if t.size >= t.limit && t.size > headerSize {
		if err := t.rotate(); err != nil {
			return t.fail(err)
		}
	}
	if _, err := t.current.Write(record); err != nil {
		return t.fail(err)
	}
	t.size += int64(len(record))
	t.tree.add(leaf)
	if t.oldest.IsZero() {
		t.oldest = time.Now()
	}
	select {
	case t.dirty <- struct{}{}:
	default: // the flusher knows
	}
	return nil
}

// rotate ends the current segment durably and begins the next.
func (t *Trail) rotate() error {
	if err := errors.Join(t.current.Sync(), t.current.Close()); err != nil {
		return err
	}
	return t.begin()
}

// fail makes an error final. The lock is held.
func (t *Trail) fail(err error) error {
	if t.err == nil {
		t.err = fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return t.err
}

// flush syncs what was recorded, [SyncEvery] after the first record that was not. It ends with stop.
func (t *Trail) flush() {
	for {
		select {
		case <-t.stop:
			return
		case <-t.dirty:
		}
		timer := time.NewTimer(SyncEvery)
		select {
		case <-t.stop: // Close syncs
			timer.Stop()
			return
		case <-timer.C:
			select {
			case <-t.dirty: // of a record that this sync covers
			default:
			}
			t.sync()
		}
	}
}

// sync syncs the current segment without holding up who records. A segment that was closed meanwhile has been synced.
func (t *Trail) sync() {
	t.mu.Lock()
	f := t.current
	t.syncing, t.oldest = t.oldest, time.Time{}
	t.mu.Unlock()
	err := f.Sync()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.syncing = time.Time{}
	if err != nil && f == t.current {
		_ = t.fail(err) // later Records return it
	}
}

// Close implements [audit.Trail]: it syncs what was recorded. On a nil Trail it does nothing.
func (t *Trail) Close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	close(t.stop)
	t.flusher.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := errors.Join(t.current.Sync(), t.current.Close()); err != nil {
		return t.fail(err)
	}
	return t.err
}

// Read gives every entry of the trail in dir to fn, the oldest first, and stops at the first error that fn returns. It
// may run while a node writes: it leaves out a record that is not whole yet. Errors: [*Corruption], [ErrLooseMode], fn's,
// or the file system's.
func Read(dir string, fn func(audit.Entry) error) error {
	names, err := segments(dir)
	if err != nil {
		return err
	}
	_, _, err = readAll(dir, names, &peaks{}, fn)
	return err
}

// readAll reads the segments in order. It returns how many bytes of the last one are whole, and how many are not.
func readAll(dir string, names []string, p *peaks, fn func(audit.Entry) error) (whole, torn int64, err error) {
	for i, name := range names {
		if name != segmentName(p.size) {
			return 0, 0, &Corruption{Segment: name, Reason: "the segment " + segmentName(p.size) + " is missing"}
		}
		data, err := readPrivate(filepath.Join(dir, name))
		if err != nil {
			return 0, 0, err
		}
		if whole, err = scan(name, data, i == len(names)-1, p, fn); err != nil {
			return 0, 0, err
		}
		torn = int64(len(data)) - whole
	}
	return whole, torn, nil
}

func readPrivate(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeType != 0 || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s is %s", ErrLooseMode, filepath.Base(path), info.Mode())
	}
	return os.ReadFile(path)
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, suffix) }

// segments returns the names of the segments in dir, in order. Other files are not looked at.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), suffix)
		if _, err := strconv.ParseUint(number, 10, 64); ok && err == nil && len(number) == 20 {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
