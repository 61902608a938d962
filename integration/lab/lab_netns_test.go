//go:build netns

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// roleVar makes the test binary play a server or a client on a host instead of running tests.
const roleVar = "CONCLAVE_LAB_ROLE"

func TestMain(m *testing.M) {
	role, address, _ := strings.Cut(os.Getenv(roleVar), " ")
	switch role {
	case "":
		os.Exit(m.Run())
	case "serve":
		os.Exit(serve(address))
	case "ask":
		os.Exit(ask(address))
	}
}

// serve echoes what comes, for ever.
func serve(address string) int {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready", address)
	for {
		c, err := l.Accept()
		if err != nil {
			return 1
		}
		go func() { _, _ = io.Copy(c, c); _ = c.Close() }() // ends with the process
	}
}

// ask has 64 KiB echoed within some seconds.
func ask(address string) int {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // a TCP connection takes deadlines
	content := strings.Repeat("x", 64<<10)
	go func() { _, _ = io.WriteString(c, content) }() // ends with the process
	got := make([]byte, len(content))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != content {
		fmt.Fprintln(os.Stderr, "other bytes came back", err)
		return 2
	}
	return 0
}

const port = 7400

// bench is a lab with three hosts that serve.
type bench struct {
	t     *testing.T
	lab   *lab.Lab
	hosts []*lab.Host
	nodes []*lab.Node
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if err := lab.Available(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	l, err := lab.New(filepath.Join(t.TempDir(), "artefacts"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, lab: l}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"a", "b", "c"} {
		h, err := l.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		b.hosts = append(b.hosts, h)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		spec := lab.Spec{Args: []string{self}, Env: []string{fmt.Sprintf("%s=serve %s:%d", roleVar, h.Address(), port)}, Ready: "ready"}
		n := lab.NewNode(h, t.TempDir(), spec, 20*time.Second)
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		b.nodes = append(b.nodes, n)
	}
	return b
}

// reaches says whether a client on one host is served by another.
func (b *bench) reaches(from, to int) bool {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := b.hosts[from].Command(b.t.Context(), self)
	cmd.Env = []string{fmt.Sprintf("%s=ask %s:%d", roleVar, b.hosts[to].Address(), port)}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return err == nil
}

// during runs a function while the fault lasts, and wants the fault to have had effect.
func (b *bench) during(f lab.Fault, do func()) {
	b.t.Helper()
	if err := f.Start(); err != nil {
		b.t.Errorf("%s: %v", f.Name(), err)
	}
	do()
	if err := f.Stop(); err != nil {
		b.t.Errorf("%s: %v", f.Name(), err)
	}
	took, how := f.Took()
	if !took {
		b.t.Errorf("%s had no effect: %s", f.Name(), how)
	}
	b.t.Logf("%s: %s", f.Name(), how)
}

func (b *bench) want(reached bool, from, to int, when string) {
	b.t.Helper()
	if b.reaches(from, to) != reached {
		b.t.Errorf("%s: that %s reaches %s is %v", when, b.hosts[from].Name(), b.hosts[to].Name(), !reached)
	}
}

func TestPartitionCutsAndHeals(t *testing.T) {
	b := newBench(t)
	b.want(true, 0, 2, "before")
	b.during(lab.NewPartition(nil, b.hosts[:2], b.hosts[2:]), func() {
		b.want(true, 0, 1, "inside the majority")
		b.want(false, 0, 2, "across")
		b.want(false, 2, 1, "across")
	})
	b.want(true, 0, 2, "after")
	b.want(true, 2, 1, "after")
}

func TestOneWayCutsOneWay(t *testing.T) {
	b := newBench(t)
	f := lab.NewOneWay(nil, b.hosts[:1], b.hosts[1:2])
	b.during(f, func() {
		b.want(false, 0, 1, "its request is lost")
		b.want(false, 1, 0, "its answer is lost")
		b.want(true, 0, 2, "another host")
	})
	if _, how := f.Took(); !strings.Contains(how, "a→b:") || strings.Contains(how, "b→a") {
		t.Errorf("dropped: %s", how)
	}
}

// TestFaultThatDidNothingSaysSo is why every test under a fault asks whether it took.
func TestFaultThatDidNothingSaysSo(t *testing.T) {
	b := newBench(t)
	w, err := b.lab.Wire(b.hosts, port)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []lab.Fault{
		lab.NewPartition(nil, b.hosts[:2], b.hosts[2:]),
		lab.NewLoss(nil, b.hosts, 50),
		lab.NewDelay(w, b.hosts, time.Millisecond, 0),
		lab.NewStorm(w, b.hosts, b.hosts, lab.Weather{Corrupt: 10}),
		lab.NewKill("kill", func() (*lab.Node, error) { b.nodes[0].Kill(); return b.nodes[0], nil }),
	} {
		if err := errors.Join(f.Start(), f.Stop()); err != nil {
			t.Fatal(err)
		}
		if took, how := f.Took(); took {
			t.Errorf("%s, while nobody spoke: %s", f.Name(), how)
		}
	}
}

func TestLossLosesSome(t *testing.T) {
	b := newBench(t)
	b.during(lab.NewLoss(nil, b.hosts, 10), func() {
		for range 5 {
			b.reaches(0, 1) // most often it does; a lost SYN takes a second
		}
	})
	b.want(true, 0, 1, "after")
}

func TestWiresCarryWeather(t *testing.T) {
	b := newBench(t)
	w, err := b.lab.Wire(b.hosts, port)
	if err != nil {
		t.Fatal(err)
	}
	b.want(true, 0, 1, "over wires")
	b.during(lab.NewDelay(w, b.hosts, 20*time.Millisecond, 5*time.Millisecond), func() {
		began := time.Now()
		b.want(true, 0, 1, "delayed")
		if took := time.Since(began); took < 40*time.Millisecond {
			t.Errorf("there and back took %v", took)
		}
	})
	b.during(lab.NewStorm(w, b.hosts[:1], b.hosts[1:2], lab.Weather{Corrupt: 1000}), func() {
		b.want(false, 0, 1, "what a says to b is corrupted")
		b.want(false, 1, 0, "what a answers b is corrupted")
		b.want(true, 1, 2, "another pair")
	})
	b.during(lab.NewPartition(w, b.hosts[:2], b.hosts[2:]), func() {
		b.want(true, 1, 0, "inside the majority")
		b.want(false, 1, 2, "across, over wires")
		b.want(false, 2, 0, "across, over wires")
	})
	b.want(true, 2, 0, "after")
}

func TestKillAndPause(t *testing.T) {
	b := newBench(t)
	victim := lab.Fixed(b.nodes[1])
	b.during(lab.NewKill("kill -9", victim), func() {
		b.want(false, 0, 1, "killed")
		if b.nodes[1].Running() != nil {
			t.Error("it runs")
		}
	})
	b.want(true, 0, 1, "started again")
	before := b.nodes[1].Running()
	b.during(lab.NewPause(victim), func() {
		if state := stateOf(t, before); state != "T" {
			t.Errorf("its state is %s", state)
		}
	})
	b.want(true, 0, 1, "goes on")
	if b.nodes[1].Running() != before {
		t.Error("it was started again")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if code, err := b.nodes[1].Stop(ctx); err != nil || code == 0 {
		t.Errorf("it does not handle an interrupt, and ended with %d: %v", code, err)
	}
	if _, err := b.nodes[1].Stop(ctx); err == nil {
		t.Error("it was stopped twice")
	}
}

// stateOf waits until a process that was signalled is no longer about to run, and returns its state's letter.
func stateOf(t *testing.T, p *lab.Process) string {
	t.Helper()
	for range 1000 {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", lab.PID(p)))
		if err != nil {
			t.Fatal(err)
		}
		if state := strings.Fields(string(raw))[2]; state == "T" {
			return state
		}
	}
	return "not T"
}

func TestDamageBetweenKillAndStart(t *testing.T) {
	b := newBench(t)
	n := b.nodes[0]
	path := filepath.Join(n.Dir(), "x.log")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := lab.NewDamage("torn", n, lab.Tear("x.log", 4, 1), (*lab.Node).Start)
	b.during(f, func() { b.want(false, 1, 0, "damaged") })
	b.want(true, 1, 0, "started again")
	if content, err := os.ReadFile(path); err != nil || len(content) >= 10 {
		t.Errorf("%q: %v", content, err)
	}
	if _, how := f.Took(); !strings.Contains(how, "killed a, cut ") {
		t.Error(how)
	}
	if err := lab.NewDamage("torn", n, lab.Tear("none", 4, 1), (*lab.Node).Start).Start(); err == nil {
		t.Error("nothing to tear, and no error")
	}
}

func TestFullDisk(t *testing.T) {
	b := newBench(t)
	d, err := b.lab.Disk(filepath.Join(t.TempDir(), "small"), 4)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.Path(), "file")
	b.during(lab.NewFull(d), func() {
		if err := os.WriteFile(file, make([]byte, 8192), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("there is room: %v", err)
		}
	})
	if err := os.WriteFile(file, make([]byte, 8192), 0o600); err != nil {
		t.Error(err)
	}
}

func TestStartTellsWhatFailed(t *testing.T) {
	b := newBench(t)
	for want, c := range map[string]struct {
		script   string
		patience time.Duration
	}{
		"ended with 3: why": {"echo why >&2; exit 3", time.Minute},
		"ended with 0":      {"echo not ready", time.Minute},
		"did not get ready": {"exec sleep 60", 300 * time.Millisecond},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.patience)
		spec := lab.Spec{Args: []string{"/bin/sh", "-c", c.script}, Ready: "ready"}
		if _, err := b.hosts[0].Start(ctx, "x", spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		cancel()
	}
	for _, name := range []string{"a", "", "A", "../x", "x y"} {
		if _, err := b.lab.Host(name); err == nil {
			t.Errorf("there is a host %q", name)
		}
	}
}

// TestNothingStaysBehind looks for what the kernel keeps of a lab that was closed, and of one whose run was killed.
func TestNothingStaysBehind(t *testing.T) {
	b := newBench(t)
	p, bridge := b.nodes[0].Running(), lab.Bridge(b.lab)
	if !kept(bridge) {
		t.Fatal("there is no such bridge before")
	}
	if err := lab.Abandon(b.lab); err != nil {
		t.Fatal(err)
	}
	again, err := lab.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := again.Host("a"); err != nil {
		t.Errorf("the place is not clean: %v", err)
	}
	for range 2 {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	if kept(bridge) {
		t.Error("the bridge is still there")
	}
	if _, err := again.Host("b"); err == nil {
		t.Error("a closed lab has a new host")
	}
}

// kept says whether the kernel has a link of this name, or namespaces of its lab.
func kept(bridge string) bool {
	_, err := net.InterfaceByName(bridge)
	return err == nil
}
