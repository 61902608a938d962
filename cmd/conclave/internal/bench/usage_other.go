//go:build !unix

package bench

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }

// childrenTime likewise.
func childrenTime() time.Duration { return 0 }

// openFiles has nothing to raise here.
func openFiles(uint64) error { return nil }
