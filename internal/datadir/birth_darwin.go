package datadir

import (
	"fmt"
	"os"
	"syscall"
)

// BirthOf returns the birth of the file at path. It outlives a restart of the machine and another name for the file or its
// directory; a copy, and what is restored from a backup, has another. Whole disks that were copied cannot be told apart.
func BirthOf(path string) (Birth, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Birth{}, fmt.Errorf("datadir: when %s was made: %w", path, err)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Birth{}, nil
	}
	return birth(s.Ino, uint64(s.Birthtimespec.Sec), uint64(s.Birthtimespec.Nsec)), nil
}
