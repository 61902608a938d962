package datadir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// BirthOf returns the birth of the file at path. It outlives a restart of the machine and another name for the file or its
// directory; a copy, and what is restored from a backup, has another. Whole disks that were copied cannot be told apart.
func BirthOf(path string) (Birth, error) {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &s)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // an old kernel, or a sandbox that does not know the call
		return Birth{}, nil
	case err != nil:
		return Birth{}, fmt.Errorf("datadir: when %s was made: %w", path, err)
	case s.Mask&unix.STATX_BTIME == 0:
		return Birth{}, nil
	}
	return birth(s.Ino, uint64(s.Btime.Sec), uint64(s.Btime.Nsec)), nil
}
