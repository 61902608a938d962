//go:build !unix

package contexts

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock two processes could lower what the other has seen.
func lockFile(*os.File) error { return errors.ErrUnsupported }
