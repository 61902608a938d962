package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// Version is the format number of the data directories that this program writes, and the newest that it reads.
const Version = 1

// maxVersionFile is the size in bytes of the longest VERSION file: a decimal number and a newline.
const maxVersionFile = 11

// checkVersion compares the format number in the file at path with Version; a missing file is written.
func checkVersion(path string) error {
	content, err := ReadPrivate(path, maxVersionFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return WritePrivate(path, []byte(strconv.Itoa(Version)+"\n"))
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w: %s", ErrBadVersion, path)
	case err != nil:
		return err
	}
	found, err := parseVersion(content)
	if err != nil {
		return fmt.Errorf("%w: %s", err, path)
	}
	if found > Version {
		return fmt.Errorf("%w: %s holds format %d and this program knows up to %d; "+
			"install the newer program again, or restore a backup that this one made", ErrNewerVersion, path, found, Version)
	}
	return nil
}

// parseVersion reads a number ≥ 1 in the one form that is written: decimal, no leading zero, one newline.
func parseVersion(content []byte) (int, error) {
	n, err := strconv.Atoi(string(content[:max(0, len(content)-1)]))
	if err != nil || n < 1 || strconv.Itoa(n)+"\n" != string(content) {
		return 0, ErrBadVersion
	}
	return n, nil
}
