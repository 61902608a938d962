//go:build unix

package bench

import (
	"fmt"
	"syscall"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// cpuTime returns the processor time that this process has used so far, in user and kernel mode.
func cpuTime() time.Duration { return usage(syscall.RUSAGE_SELF) }

// childrenTime returns that of the processes it has waited for.
func childrenTime() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0 // cannot fail for one's own
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openFiles lets this process have as many open files as the system allows it, which must be need at least.
func openFiles(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: open files: %w", err)
	}
	if uint64(limit.Max) < need {
		return fault.New(fault.Usage, fmt.Sprintf("%d open files are needed, and this system allows %d", need, limit.Max)).
			WithHint(fmt.Sprintf("raise the limit (ulimit -Hn %d), or take fewer agents: --agents N", need))
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: open files: %w", err)
	}
	return nil
}
