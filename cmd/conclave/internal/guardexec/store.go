package guardexec

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A store holds the copies of one prepared command.
type store interface {
	// add copies the regular file at path and hashes the copy.
	add(path string) (artifact, error)
	// sealed says whether nobody, not even this user, can change the copies.
	sealed() bool
	// close frees the copies.
	close() error
}

// An artifact is one copy.
type artifact struct {
	File
	content *os.File // the copy, open for reading
	path    string   // where a child finds the copy, if inherit is false
	inherit bool     // the child gets the copy as an open descriptor
}

// openSource opens the regular file at path for copying and returns it with its size.
func openSource(path string, maxBytes int64) (*os.File, fs.FileInfo, error) {
	before, err := os.Stat(path) // before opening: opening a named pipe would block
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	case err != nil:
		return nil, nil, fmt.Errorf("guard: copy: %w", err)
	case !before.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%w: %s is not a regular file", ErrNotRunnable, path)
	}
	source, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("guard: copy: %w", err)
	}
	info, err := source.Stat()
	if err == nil && info.Size() > maxBytes {
		err = tooLarge(path, maxBytes)
	}
	if err != nil {
		return nil, nil, errors.Join(err, source.Close())
	}
	return source, info, nil
}

// copyLimited copies source to target and refuses a source that turns out longer than maxBytes.
func copyLimited(target io.Writer, source *os.File, maxBytes int64) error {
	n, err := io.Copy(target, io.LimitReader(source, maxBytes+1))
	if err != nil {
		return fmt.Errorf("guard: copy %s: %w", source.Name(), err)
	}
	if n > maxBytes {
		return tooLarge(source.Name(), maxBytes)
	}
	return nil
}

func tooLarge(path string, maxBytes int64) error {
	return fmt.Errorf("%w: %s is longer than %d bytes", ErrTooLarge, path, maxBytes)
}

// describe hashes the finished copy of path.
func describe(path string, content *os.File) (File, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, io.NewSectionReader(content, 0, 1<<62))
	if err != nil {
		return File{}, fmt.Errorf("guard: hash the copy of %s: %w", path, err)
	}
	return File{Path: path, Digest: [sha256.Size]byte(hash.Sum(nil)), Size: n}, nil
}

// copyMode is the mode of a copy: readable by the user, executable if the source is executable by anybody.
func copyMode(source fs.FileInfo) fs.FileMode {
	if source.Mode().Perm()&0o111 != 0 {
		return 0o500
	}
	return 0o400
}
