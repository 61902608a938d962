package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// Process is a process on a host. It is safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	log   *os.File
	ready chan string   // the ready line, once
	ended chan struct{} // closed when the process has been waited for
	code  int
	tail  tail
}

// begin starts the command, with its output in log, which the process owns from then on.
func begin(cmd *exec.Cmd, s Spec, log *os.File) (*Process, error) {
	p := &Process{cmd: cmd, log: log, ready: make(chan string, 1), ended: make(chan struct{})}
	cmd.Env, cmd.Dir = s.Env, s.Dir
	cmd.Stderr = io.MultiWriter(log, &p.tail)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if s.Ready == "" {
		p.ready <- ""
	}
	go p.watch(out, s.Ready) // ends with the process; Kill and Wait wait for it
	return p, nil
}

// watch copies stdout to the log, hands on the ready line, and waits for the end.
func (p *Process) watch(out io.Reader, ready string) {
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadString('\n')
		_, _ = p.log.WriteString(line) // a full disk of artefacts loses logs, nothing else
		if fields := strings.Fields(line); ready != "" && len(fields) > 0 && fields[0] == ready {
			p.ready <- strings.TrimSpace(line)
			ready = ""
		}
		if err != nil {
			break
		}
	}
	_ = p.cmd.Wait() // the exit code says how
	p.code = p.cmd.ProcessState.ExitCode()
	_ = p.log.Close()
	close(p.ended)
}

func (p *Process) awaitReady(ctx context.Context) error {
	select {
	case line := <-p.ready:
		p.ready <- line // for Ready
		return nil
	case <-p.ended:
		return fmt.Errorf("it ended with %d: %s", p.code, p.tail.String())
	case <-ctx.Done():
		return fmt.Errorf("it did not get ready: %w: %s", ctx.Err(), p.tail.String())
	}
}

// Ready returns the line that said that the process was ready.
func (p *Process) Ready() string {
	line := <-p.ready
	p.ready <- line
	return line
}

// Signal sends a signal to the process, and to no other.
func (p *Process) Signal(s syscall.Signal) error {
	select {
	case <-p.ended:
		return os.ErrProcessDone
	default:
		return p.cmd.Process.Signal(s)
	}
}

// Kill ends the process as a loss of power would, for this process, and waits for its end. A process that was stopped
// ends too. It does nothing if the process has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// Wait returns the exit code, -1 after a signal, once the process has ended.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stderr returns the end of what the process said to stderr.
func (p *Process) Stderr() string { return p.tail.String() }

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if over := len(t.last) - tailSize; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.last))
}
