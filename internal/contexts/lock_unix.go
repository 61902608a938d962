//go:build unix

package contexts

import (
	"errors"
	"os"
	"syscall"
)

// lockFile waits for an exclusive lock on file. It ends when the file is closed, also by the end of the process.
func lockFile(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
