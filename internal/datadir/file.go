package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// WritePrivate writes data to the file at path with mode 0600, replacing what was there. When it returns nil the
// new content survives a power cut; after an error, or a crash before it returns, the file holds either the old
// content or the new one, never a part.
func WritePrivate(path string, data []byte) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	temp, err := os.CreateTemp(dir, "."+name+".tmp-*")
	if err != nil {
		return fmt.Errorf("datadir: write: %w", noRoom(err))
	}
	err = fill(temp, data)
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("datadir: write %s: %w", path, noRoom(err)), os.Remove(temp.Name()))
	}
	return syncDir(dir)
}

// noRoom adds [ErrNoSpace] to what a full disk says.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// ReadPrivate returns the content of the regular file at path. Errors: [ErrLooseMode] when its mode allows more
// than 0600, [ErrTooLarge] when it is longer than limit bytes, [ErrNotRegular], or those of the file system.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	before, err := os.Stat(path) // before opening: opening a named pipe would block
	if err != nil {
		return nil, fmt.Errorf("datadir: read: %w", err)
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrNotRegular, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("datadir: read: %w", err)
	}
	defer func() { _ = file.Close() }() // read only: nothing to lose
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("datadir: read: %w", err)
	}
	if err := checkMode(path, info, fileMode); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("datadir: read: %w", err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrTooLarge, path, limit)
	}
	return content, nil
}

// Probe proves that the directory can be written now: at least minFree bytes are free on its file system (0 skips
// this), and a small file can be written, synced and removed. Errors: [ErrNoSpace], or those of the file system.
func (d *Dir) Probe(minFree uint64) error {
	free, err := freeSpace(d.path)
	if err != nil {
		return fmt.Errorf("datadir: free space of %s: %w", d.path, err)
	}
	if free < minFree {
		return fmt.Errorf("%w: %s has %d bytes left and needs %d", ErrNoSpace, d.path, free, minFree)
	}
	temp, err := os.CreateTemp(d.path, ".probe.tmp-*")
	if err != nil {
		return fmt.Errorf("datadir: probe: %w", err)
	}
	if err := errors.Join(fill(temp, make([]byte, 4096)), os.Remove(temp.Name())); err != nil {
		return fmt.Errorf("datadir: probe %s: %w", d.path, err)
	}
	return nil
}

// fill writes data to file, makes it private and durable, and closes it in any case.
func fill(file *os.File, data []byte) error {
	err := file.Chmod(fileMode)
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir makes the names in the directory at path durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("datadir: sync directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("datadir: sync directory %s: %w", path, err)
	}
	return nil
}
