package migration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
)

var (
	// ErrInUse is returned for a database with a write-ahead log or journal beside it: the file is not all there is.
	ErrInUse = errors.New("migration: the database has an open log or journal; close what uses it")
	// ErrChanged is returned for a database that is not the one that was voted on.
	ErrChanged = errors.New("migration: the database has changed since it was proposed")
)

// Source returns the data source name of the database file at path, for the driver "sqlite". The mode is ro, rw or rwc.
// SQL over it cannot harm the file's structure.
func Source(path, mode string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=" + mode + "&_defensive=1&_pragma=busy_timeout(2000)"}
	return u.String()
}

// Digest returns the SHA-256 of a database file, 64 hexadecimal digits. Errors: ErrInUse, those of the file.
func Digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("migration: %w", err)
	}
	defer file.Close()
	return digest(file)
}

// digest reads the whole file without moving or closing it.
func digest(file *os.File) (string, error) {
	for _, beside := range []string{"-wal", "-journal"} {
		info, err := os.Stat(file.Name() + beside)
		if err == nil && info.Size() > 0 {
			return "", fmt.Errorf("%w: %s", ErrInUse, file.Name()+beside)
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(file, 0, math.MaxInt64)); err != nil {
		return "", fmt.Errorf("migration: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
