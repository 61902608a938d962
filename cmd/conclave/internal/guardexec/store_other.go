//go:build !linux

package guardexec

import (
	"fmt"
	"os"
)

func openStore(maxBytes int64) (store, error) { return openPrivateStore(maxBytes) }

// holdDir opens a directory so that it can be recognised later.
func holdDir(dir string) (*os.File, error) { return os.Open(dir) }

// pathOf returns the directory's path, if it still leads to the directory that is held.
func pathOf(dir *os.File, path string) (string, error) {
	held, err := dir.Stat()
	if err != nil {
		return "", fmt.Errorf("guard: directory: %w", err)
	}
	now, err := os.Stat(path)
	if err != nil || !os.SameFile(held, now) {
		return "", fmt.Errorf("%w: another directory %s than was described", ErrNotRunnable, path)
	}
	return path, nil
}

// keepOpenFiles does nothing: descriptors that this process inherited reach the command.
func keepOpenFiles() error { return nil }
