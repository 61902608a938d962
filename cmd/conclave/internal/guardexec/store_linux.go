package guardexec

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// holdDir opens a directory so that it stays the same one, whatever becomes of its path.
func holdDir(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// pathOf returns a path to a held directory that a child can change to.
func pathOf(dir *os.File, _ string) (string, error) {
	return fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), nil
}

// keepOpenFiles keeps descriptors that this process itself inherited from its children.
func keepOpenFiles() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	list, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return err
	}
	for _, e := range list {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// allSeals forbids for ever to write, to shrink, to grow and to change the seals.
const allSeals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// memfdStore keeps copies as sealed memfds.
type memfdStore struct {
	maxBytes int64
	files    []*os.File
}

func openStore(maxBytes int64) (store, error) { return &memfdStore{maxBytes: maxBytes}, nil }

func (s *memfdStore) add(path string) (artifact, error) {
	source, info, err := openSource(path, s.maxBytes)
	if err != nil {
		return artifact{}, err
	}
	defer func() { _ = source.Close() }() // read only: nothing to lose
	writable, err := memfd(filepath.Base(path))
	if err != nil {
		return artifact{}, err
	}
	defer func() { _ = writable.Close() }() // sealed by then: nothing to lose
	if err := copyLimited(writable, source, s.maxBytes); err != nil {
		return artifact{}, err
	}
	content, err := seal(writable, info)
	if err != nil {
		return artifact{}, fmt.Errorf("guard: seal the copy of %s: %w", path, err)
	}
	s.files = append(s.files, content)
	file, err := describe(path, content) // of what is sealed, not of what was read
	return artifact{File: file, content: content, inherit: true}, err
}

func (s *memfdStore) sealed() bool { return true }

func (s *memfdStore) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// memfd returns an empty memfd that is closed on exec, may be executed and may be sealed.
func memfd(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	name = name[:min(len(name), 200)] // the kernel's limit is 249
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("guard: memfd: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal makes the memfd unchangeable and returns it opened anew for reading only.
func seal(writable *os.File, source os.FileInfo) (*os.File, error) {
	if err := writable.Chmod(copyMode(source)); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(writable.Fd(), unix.F_ADD_SEALS, allSeals); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", writable.Fd()))
}
