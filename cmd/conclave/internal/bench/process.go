package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// process is a program that runs beside this one. One goroutine at a time uses it.
type process struct {
	name      string
	cmd       *exec.Cmd
	complaint tail
	ended     chan struct{}
	err       error // of its end, once ended is closed
	wanted    bool  // its end was asked for
}

var errEnded = fault.New(fault.Internal, "bench: a process that is measured has ended by itself")

// launch starts a program, until the bout's end or ctx's. If hear is not nil it reads what the program says first, and
// launch returns when hear does.
func (b *bout) launch(ctx context.Context, name string, hear func(io.Reader) error, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, path, args...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.complaint
	var out io.Reader
	var err error
	if hear != nil {
		if out, err = p.cmd.StdoutPipe(); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	b.started.add(p.cmd.Process.Pid)
	if hear != nil {
		err = hear(out)
	}
	go func() { // ends with the process, for which whoever ends it waits
		p.err = p.cmd.Wait()
		b.started.remove(p.cmd.Process.Pid)
		close(p.ended)
	}()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s does not start: %w: %s", name, err, p.complaint.String()), p.kill())
	}
	b.later(p.end)
	return p, nil
}

// kill ends the process as a machine that fails does, and returns when it is gone.
func (p *process) kill() error { return p.signal(os.Kill) }

// stop asks the process to end and returns when it has. Error: it ended with another status than 0.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("bench: %s: %w: %s", p.name, p.err, p.complaint.String())
	}
	return nil
}

func (p *process) signal(s os.Signal) error {
	p.wanted = true
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("bench: %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// end kills the process if it still runs. Error: it had ended before without having been asked to.
func (p *process) end() error {
	select {
	case <-p.ended:
	default:
		return p.kill()
	}
	if p.wanted {
		return nil
	}
	return fmt.Errorf("%w: %s: %w: %s", errEnded, p.name, p.err, p.complaint.String())
}

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	last []byte
}

// tailSize is how many bytes of a process's complaints are kept.
const tailSize = 4096

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = bytes.Clone(t.last[max(0, len(t.last)-tailSize):])
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.last))
}

// processes are those that run beside this one on its behalf. It is safe for concurrent use.
type processes struct {
	mu   sync.Mutex
	pids map[int]struct{}
}

func (p *processes) add(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pids == nil {
		p.pids = map[int]struct{}{}
	}
	p.pids[pid] = struct{}{}
}

func (p *processes) remove(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pids, pid)
}

// used returns how much processor time they have used; 0 for those of which that is not known.
func (p *processes) used() (all time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid := range p.pids {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			all += processTime(string(text))
		}
	}
	return all
}

// processTime reads from /proc/PID/stat how long a process has worked; 0 if it has another form.
func processTime(text string) time.Duration {
	name := strings.LastIndex(text, ")")    // it may hold anything
	fields := strings.Fields(text[name+1:]) // state ppid … utime stime, the 12th and 13th
	if len(fields) < 13 {
		return 0
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	if userErr != nil || systemErr != nil {
		return 0
	}
	return time.Duration(user+system) * tick
}
