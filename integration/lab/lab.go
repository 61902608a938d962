package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Lab is one bridge with hosts on it, each a network namespace with an address in 10.77.x.0/24; the caller's own
// namespace is on it too, as 10.77.x.1. It is safe for concurrent use.
type Lab struct {
	dir    string // artefacts: logs, histories
	number int    // the x
	lock   *os.File

	mu     sync.Mutex
	hosts  []*Host
	wires  []*Wires
	disks  []*Disk
	closed bool
}

// labs is how many may exist at a time on one machine.
const labs = 16

// Available says why there can be no lab here, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w (Debian: apt-get install iproute2 nftables)", err)
		}
	}
	const probe = "conclave-probe"
	name := fmt.Sprint(probe, os.Getpid())
	if err := run("ip", "netns", "add", name); err != nil {
		return err
	}
	return errors.Join(run("ip", "netns", "exec", name, "nft", "add", "table", "ip", "probe"), run("ip", "netns", "del", name))
}

// New makes an empty lab that leaves its logs in dir. What a killed run left behind in its place is removed first.
func New(dir string) (*Lab, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &Lab{dir: dir}
	if err := l.takePlace(); err != nil {
		return nil, err
	}
	err := errors.Join(
		l.sweep(),
		run("ip", "link", "add", l.bridge(), "type", "bridge"),
		run("ip", "addr", "add", l.Address().String()+"/24", "dev", l.bridge()),
		run("ip", "link", "set", l.bridge(), "up"),
	)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// takePlace takes the first number that no living process has.
func (l *Lab) takePlace() error {
	for n := 1; n <= labs; n++ {
		f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("conclave-lab-%d.lock", n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			l.number, l.lock = n, f
			return nil
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d labs exist already", labs)
}

// Dir returns the folder of the artefacts.
func (l *Lab) Dir() string { return l.dir }

// Address returns the caller's own address on the bridge, from which every host can be reached.
func (l *Lab) Address() netip.Addr { return l.address(1) }

func (l *Lab) address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(l.number), byte(n)})
}

func (l *Lab) bridge() string { return fmt.Sprintf("cl%d", l.number) }
func (l *Lab) prefix() string { return fmt.Sprintf("conclave-lab%d-", l.number) }

// Host adds a host. Names are short words of letters and digits, each used once.
func (l *Lab) Host(name string) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, fmt.Errorf("no name of a host: %q", name)
	}
	for _, h := range l.hosts {
		if h.name == name {
			return nil, fmt.Errorf("there is a host %s", name)
		}
	}
	number := len(l.hosts) + 2
	if number > firstWire {
		return nil, errors.New("the lab is full")
	}
	h := &Host{lab: l, name: name, number: number, processes: map[*Process]bool{}}
	l.hosts = append(l.hosts, h)
	if err := h.connect(); err != nil {
		return nil, err
	}
	return h, nil
}

// Close ends every process of the lab and removes its hosts and its bridge. It may be called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	for _, h := range l.hosts {
		h.end()
	}
	for _, w := range l.wires {
		err = errors.Join(err, w.end())
	}
	for _, d := range l.disks {
		err = errors.Join(err, d.unmount())
	}
	return errors.Join(err, l.sweep(), l.lock.Close())
}

// sweep removes every namespace and link that bears the lab's number. Links first: those of a namespace go later than it.
func (l *Lab) sweep() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range links {
		if link.Name == l.bridge() || strings.HasPrefix(link.Name, l.bridge()+"-") {
			err = errors.Join(err, run("ip", "link", "del", link.Name))
		}
	}
	out, failed := exec.Command("ip", "netns", "list").Output()
	if failed != nil {
		return errors.Join(err, failed)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], l.prefix()) {
			err = errors.Join(err, l.remove(fields[0]))
		}
	}
	return err
}

// remove ends whoever a killed run left in a namespace of this lab, and removes it.
func (l *Lab) remove(namespace string) error {
	out, err := exec.Command("ip", "netns", "pids", namespace).Output()
	if err != nil {
		return err
	}
	for _, text := range strings.Fields(string(out)) {
		var pid int
		if _, err := fmt.Sscan(text, &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	return run("ip", "netns", "del", namespace)
}

// run runs a program to its end; what it says to stderr is part of the error.
func run(name string, args ...string) error {
	var said strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}
