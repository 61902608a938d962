package guardexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// grace is how long a command may go on after it was asked to end, before it is killed; and how long its output is
// still read after it ended, should a process that it left behind hold it open.
const grace = 5 * time.Second

// Run executes the copies once and waits for the end. The command gets exactly the described arguments, directory
// and environment, and on Linux the copies as descriptors from 3 upwards and no other descriptors of ours but stdin,
// stdout and stderr.
//
// Interrupt and terminate signals that reach this process meanwhile are passed on to the command. When ctx ends the
// command is asked to terminate and killed 5 s later.
//
// A stdin that is not an *os.File is copied; if its Read still blocks when the command has ended, Run waits 5 s for it.
//
// The exit code is the command's own, or 128 + the signal that ended it; err is nil then, unless ctx ended first or
// input or output was cut off. If the command was never started, the code is -1 and err says why.
func (p *Prepared) Run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (exitCode int, err error) {
	if p.closed {
		return -1, ErrClosed
	}
	cmd, err := p.command(ctx)
	if err != nil {
		return -1, err
	}
	if err := keepOpenFiles(); err != nil {
		return -1, fmt.Errorf("guard: open files: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		signal.Stop(signals)
		return -1, fmt.Errorf("guard: start %s: %w", p.argv[0], err)
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended by itself
		}
	})
	waitErr := cmd.Wait()
	signal.Stop(signals)
	close(signals)
	forwarding.Wait()
	return outcome(ctx, cmd.ProcessState, waitErr)
}

// outcome turns the end of a process into the answer of Run.
func outcome(ctx context.Context, state *os.ProcessState, waitErr error) (int, error) {
	if state == nil {
		return -1, fmt.Errorf("guard: wait: %w", waitErr)
	}
	code, signalled := state.ExitCode(), false
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code, signalled = 128+int(status.Signal()), true
	}
	var exit *exec.ExitError
	switch {
	case waitErr == nil:
		return code, nil
	case signalled && ctx.Err() != nil:
		return code, fmt.Errorf("guard: stopped: %w", context.Cause(ctx))
	case errors.As(waitErr, &exit):
		return code, nil
	}
	return code, fmt.Errorf("guard: wait: %w", waitErr)
}

// command puts together what the kernel is told. It is made anew for each run.
func (p *Prepared) command(ctx context.Context) (_ *exec.Cmd, err error) {
	cmd := exec.CommandContext(ctx, p.executable.File.Path)
	give := func(a artifact) string {
		if !a.inherit {
			return a.path
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, a.content)
		return fmt.Sprintf("/proc/self/fd/%d", 2+len(cmd.ExtraFiles))
	}
	cmd.Path = give(p.executable)
	args := []string{p.argv[0]}
	if p.script != nil {
		args = append(append([]string{}, p.prefix...), give(*p.script))
	}
	paths := make([]string, len(p.bound))
	for i, a := range p.bound {
		paths[i] = give(a)
	}
	for _, arg := range p.argv[1:] {
		arg, err := substitute(arg, func(n int) (string, bool) {
			if n > len(paths) {
				return "", false
			}
			return paths[n-1], true
		})
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	cmd.Args = args
	if cmd.Dir, err = pathOf(p.dir, p.description.Dir); err != nil {
		return nil, err
	}
	cmd.Env = append([]string{}, p.description.Env...) // not nil: nil would mean our own environment
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd, nil
}
