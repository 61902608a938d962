package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// How often a disk's fsync is tried, and with how many bytes each time.
const (
	fsyncTries = 200
	fsyncSize  = 4096
)

// fsyncTime returns how long the disk of a directory takes to make 4 KiB more durable: the median, in microseconds.
func fsyncTime(dir string) (median50 float64, err error) {
	path := filepath.Join(dir, "fsync")
	file, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()
	block, times := make([]byte, fsyncSize), make([]float64, fsyncTries)
	for i := range times {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		times[i] = micros(time.Since(began))
	}
	return percentile(times, 50), nil
}
