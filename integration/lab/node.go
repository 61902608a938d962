package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Node is a server that can be started again and again on its host. It is safe for concurrent use.
type Node struct {
	host    *Host
	dir     string // its data
	spec    Spec
	patient time.Duration

	mu      sync.Mutex
	process *Process
}

// NewNode returns a node that is not started: what to run, and the directory that its disk's faults damage. A start that
// takes longer than patience fails.
func NewNode(h *Host, dir string, s Spec, patience time.Duration) *Node {
	return &Node{host: h, dir: dir, spec: s, patient: patience}
}

// Host returns where the node runs.
func (n *Node) Host() *Host { return n.host }

// Dir returns the node's data directory.
func (n *Node) Dir() string { return n.dir }

// Start starts the node if it does not run.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.runs() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.patient)
	defer cancel()
	p, err := n.host.Start(ctx, "node", n.spec)
	if err != nil {
		return err
	}
	n.process = p
	return nil
}

func (n *Node) runs() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.Ended():
		return false
	default:
		return true
	}
}

// Running returns the process, or nil if the node does not run.
func (n *Node) Running() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runs() {
		return nil
	}
	return n.process
}

// Kill ends the node with -9 and says whether it had been running.
func (n *Node) Kill() bool {
	p := n.Running()
	if p == nil {
		return false
	}
	p.Kill()
	return true
}

// Stop asks the node to end and waits for it. The code is that of its exit.
func (n *Node) Stop(ctx context.Context) (code int, err error) {
	p := n.Running()
	if p == nil {
		return 0, fmt.Errorf("the node on %s does not run", n.host.name)
	}
	if err := p.Signal(syscall.SIGINT); err != nil {
		return 0, err
	}
	return p.Wait(ctx)
}

// outage kills a node, does something to its disk, and starts it again.
type outage struct {
	name   string
	pick   func() (*Node, error)
	damage func(*Node) (string, error) // nil: nothing
	again  func(*Node) error

	node *Node
	took bool
	what string
}

// NewKill kills whom pick names when the fault starts, with -9, and starts it again when it stops. Took: it ran before.
func NewKill(name string, pick func() (*Node, error)) Fault {
	return &outage{name: name, pick: pick, again: (*Node).Start}
}

// NewDamage is a kill with something done to the node's disk before it is started again; damage says what it did, and
// again starts the node: [Node.Start], or something that lets it join anew.
func NewDamage(name string, n *Node, damage func(dir string) (string, error), again func(*Node) error) Fault {
	return &outage{
		name: name, pick: func() (*Node, error) { return n, nil }, again: again,
		damage: func(n *Node) (string, error) { return damage(n.dir) },
	}
}

func (o *outage) Name() string { return o.name }

// Start implements Fault.
func (o *outage) Start() error {
	n, err := o.pick()
	if err != nil {
		return err
	}
	o.node = n
	o.took = n.Kill()
	o.what = "killed " + n.host.name
	if o.damage == nil {
		return nil
	}
	what, err := o.damage(n)
	o.what += ", " + what
	return err
}

// Stop implements Fault.
func (o *outage) Stop() error {
	if o.node == nil {
		return nil
	}
	return o.again(o.node)
}

// Took implements Fault.
func (o *outage) Took() (bool, string) { return o.took, o.what }

// nap stops a node with SIGSTOP.
type nap struct {
	pick    func() (*Node, error)
	process *Process
	began   time.Time
	slept   time.Duration
}

// NewPause stops whom pick names with SIGSTOP when the fault starts, and lets it go on when it stops. Took: the process
// did not end meanwhile, and was stopped for a while.
func NewPause(pick func() (*Node, error)) Fault { return &nap{pick: pick} }

func (n *nap) Name() string { return "pause" }

// Start implements Fault.
func (n *nap) Start() error {
	node, err := n.pick()
	if err != nil {
		return err
	}
	p := node.Running()
	if p == nil {
		return errors.New("the node does not run")
	}
	n.process, n.began = p, time.Now()
	return p.Signal(syscall.SIGSTOP)
}

// Stop implements Fault.
func (n *nap) Stop() error {
	if n.process == nil {
		return nil
	}
	n.slept = time.Since(n.began)
	return n.process.Signal(syscall.SIGCONT)
}

// Took implements Fault.
func (n *nap) Took() (bool, string) { return n.slept > 0, fmt.Sprint("stopped for ", n.slept) }

// Fixed picks a node whoever leads.
func Fixed(n *Node) func() (*Node, error) { return func() (*Node, error) { return n, nil } }
