//go:build !linux && !darwin

package datadir

import (
	"errors"
	"io/fs"
	"os"
)

// errUnsupported is returned where no lock and no free-space figure are implemented: a data directory cannot be
// opened there.
var errUnsupported = errors.New("datadir: not supported on this operating system")

func lockFile(*os.File) error { return errUnsupported }

func owned(fs.FileInfo) bool { return true }

func freeSpace(string) (uint64, error) { return 0, errUnsupported }
