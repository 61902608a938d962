// Package datadir owns a program's data directory: one process at a time, readable by nobody else, of a format
// that this program knows.
//
// [Open] makes the directory if it is missing, refuses one that others may read or that a newer program wrote, and
// holds an exclusive lock until [Dir.Close]. [WritePrivate] and [ReadPrivate] handle single private files, inside
// such a directory or elsewhere.
//
// Modes are set explicitly, so the process's umask does not matter.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Names of the files that this package keeps in a data directory.
const (
	lockName    = "LOCK"
	versionName = "VERSION"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

var (
	// ErrInUse is returned by Open when another process, or another Dir of this one, holds the directory.
	ErrInUse = fault.New(fault.InUse, "datadir: in use")
	// ErrLooseMode is returned when a file or directory that must be private may be used by others.
	ErrLooseMode = fault.New(fault.LooseMode, "datadir: others have access")
	// ErrNewerVersion is returned by Open when a newer program has written the directory.
	ErrNewerVersion = fault.New(fault.Version, "datadir: written by a newer version")
	// ErrBadVersion is returned by Open when the directory's VERSION file does not hold a format number.
	ErrBadVersion = fault.New(fault.Malformed, "datadir: damaged VERSION file")
	// ErrNoSpace is returned by Probe when the file system has too little free space.
	ErrNoSpace = fault.New(fault.DiskFull, "datadir: too little free space")
	// ErrTooLarge is returned by ReadPrivate when the file is longer than the caller allows.
	ErrTooLarge = fault.New(fault.TooLarge, "datadir: file too large")
	// ErrNotRegular is returned when a path that must name a directory or a regular file names something else.
	ErrNotRegular = fault.New(fault.InvalidInput, "datadir: wrong kind of file")
)

// Dir is an open, locked data directory. Its methods are safe for concurrent use.
type Dir struct {
	path  string
	lock  *os.File
	close sync.Once
	err   error
}

// Open makes the directory at path if it is missing (mode 0700, parents too), checks it, locks it and returns it.
//
// Errors: [ErrLooseMode] when the directory, or a regular file of ours directly inside it, has any permission for
// group or others; [ErrInUse]; [ErrNewerVersion]; [ErrBadVersion]; [ErrNotRegular] when path is not a directory.
func Open(path string) (*Dir, error) {
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	if err := checkFiles(path); err != nil {
		return nil, err
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(filepath.Join(path, versionName)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Dir{path: path, lock: lock}, nil
}

// Path returns the directory's path as it was given to Open.
func (d *Dir) Path() string { return d.path }

// Sub makes the directory's subdirectory name (mode 0700) if it is missing and returns its path. Errors:
// [ErrLooseMode], [ErrNotRegular], or those of the file system. The name must be local to the directory.
func (d *Dir) Sub(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("datadir: make subdirectory %q: %w", name, fs.ErrInvalid)
	}
	path := filepath.Join(d.path, name)
	return path, makePrivate(path)
}

// Close releases the directory's lock. Calling it again does nothing and returns the same.
func (d *Dir) Close() error {
	d.close.Do(func() { d.err = d.lock.Close() })
	return d.err
}

// makePrivate makes path a private directory, or checks that it is one.
func makePrivate(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(path, dirMode); err != nil {
			return fmt.Errorf("datadir: make: %w", err)
		}
		if err := os.Chmod(path, dirMode); err != nil {
			return fmt.Errorf("datadir: make private: %w", err)
		}
		return syncDir(filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("datadir: open: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a directory", ErrNotRegular, path)
	}
	return checkMode(path, info, dirMode)
}

// checkFiles refuses a loose mode on a regular file of ours directly inside path.
func checkFiles(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("datadir: list: %w", err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the listing, by the process that holds the lock
		}
		if err != nil {
			return fmt.Errorf("datadir: list: %w", err)
		}
		if !owned(info) {
			continue
		}
		if err := checkMode(filepath.Join(path, entry.Name()), info, dirMode); err != nil {
			return err
		}
	}
	return nil
}

// checkMode refuses permission bits of info that allowed does not have.
func checkMode(path string, info fs.FileInfo, allowed fs.FileMode) error {
	if extra := info.Mode().Perm() &^ allowed; extra != 0 {
		return fmt.Errorf("%w: %s has mode %04o; run chmod %04o on it",
			ErrLooseMode, path, info.Mode().Perm(), info.Mode().Perm()&allowed)
	}
	return nil
}

// acquire opens and locks the lock file of the directory at path. The lock ends when the file is closed, also by
// the end of the process.
func acquire(path string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, fmt.Errorf("datadir: open the lock file: %w", err)
	}
	err = file.Chmod(fileMode)
	if err == nil {
		err = lockFile(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}
