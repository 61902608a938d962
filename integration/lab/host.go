package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Host is one network namespace with an address on the lab's bridge. It is safe for concurrent use.
type Host struct {
	lab    *Lab
	name   string
	number int

	mu        sync.Mutex
	processes map[*Process]bool
	started   int
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Address returns the host's address on the bridge.
func (h *Host) Address() netip.Addr { return h.lab.address(h.number) }

func (h *Host) namespace() string { return h.lab.prefix() + h.name }

func (h *Host) connect() error {
	ns, outer := h.namespace(), fmt.Sprintf("cl%d-%d", h.lab.number, h.number)
	return errors.Join(
		run("ip", "netns", "add", ns),
		run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", ns),
		run("ip", "link", "set", outer, "master", h.lab.bridge(), "up"),
		h.inside("ip", "addr", "add", h.Address().String()+"/24", "dev", "eth0"),
		h.inside("ip", "link", "set", "eth0", "up"),
		h.inside("ip", "link", "set", "lo", "up"),
		h.inside("ip", "route", "add", "default", "via", h.lab.Address().String()), // for what multicasts
		h.prepareRules(),
	)
}

// inside runs a program in the namespace, to its end.
func (h *Host) inside(args ...string) error {
	return run("ip", append([]string{"netns", "exec", h.namespace()}, args...)...)
}

// Command returns a command that will run on the host. It is not owned by the lab: the caller waits for it, or it ends
// with ctx.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.namespace(), name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Spec says what to start.
type Spec struct {
	Args  []string // program and arguments
	Env   []string // nil: the caller's
	Dir   string   // working directory, the caller's if empty
	Ready string   // first word of the line of stdout that says it is ready; empty: it is at once
}

// Start starts a process that the lab owns and returns when it is ready. Its output goes to a file of the artefacts
// named for host and process. It fails if the process ends before, or if ctx does.
func (h *Host) Start(ctx context.Context, name string, s Spec) (*Process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started++
	path := filepath.Join(h.lab.dir, fmt.Sprintf("%s-%s-%d.log", h.name, name, h.started))
	log, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p, err := begin(h.Command(context.Background(), s.Args[0], s.Args[1:]...), s, log)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	h.processes[p] = true
	if err := p.awaitReady(ctx); err != nil {
		p.Kill()
		delete(h.processes, p)
		return nil, fmt.Errorf("%s on %s: %w (see %s)", name, h.name, err, path)
	}
	return p, nil
}

// end kills what still runs.
func (h *Host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.processes {
		p.Kill()
	}
	clear(h.processes)
}
