package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// roleVar makes the test binary play an agent's process instead of running tests.
const roleVar = "CONCLAVE_TEST_ROLE"

// binary is the path of the built conclave.
var binary string

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(role))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conclave-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "conclave")
	build := exec.Command("go", "build", "-o", binary, "../cmd/conclave")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		return 1
	}
	return m.Run()
}

// world is one user's machine: a home of its own and, once started, a node.
type world struct {
	t    *testing.T
	home string
	node *node
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir()}
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(w.home, "config"))
	t.Setenv("XDG_DATA_HOME", filepath.Join(w.home, "data"))
	return w
}

func (w *world) path(names ...string) string {
	return filepath.Join(append([]string{w.home}, names...)...)
}

// result is how one run of the binary ended.
type result struct {
	stdout, stderr string
	code           int
}

// conclave runs the binary to its end.
func (w *world) conclave(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.finish(exec.CommandContext(ctx, binary, args...))
}

func (w *world) finish(cmd *exec.Cmd) result {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs the binary and wants exit code 0.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.conclave(args...)
	if r.code != 0 {
		w.t.Fatalf("conclave %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// node is a running `conclave server run`.
type node struct {
	cmd     *exec.Cmd
	address string
	stderr  *bytes.Buffer
}

// start runs the node of a data directory and returns when agents can connect. An empty address takes any port.
func (w *world) start(dir, address string) *node {
	w.t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	n := &node{cmd: exec.Command(binary, "server", "run", "--data", dir, "--listen", address), stderr: &bytes.Buffer{}}
	n.cmd.Stderr = n.stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 2 || fields[0] != "ready" {
		n.kill()
		w.t.Fatalf("node said %q: %v\n%s", line, err, n.stderr)
	}
	n.address = fields[1]
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
	w.node = n
	return n
}

// kill ends the node as a loss of power would, for this process, and waits for it.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended already
	_ = n.cmd.Wait()
}

// interrupt asks the node to stop and returns its exit code.
func (n *node) interrupt(t *testing.T) int {
	t.Helper()
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = n.cmd.Wait()
	return n.cmd.ProcessState.ExitCode()
}

// solo makes a solo realm, starts its node and points the operator's context at it.
func (w *world) solo() (dir string) {
	w.t.Helper()
	dir = w.path("node")
	w.must("server", "init", "--data", dir, "--listen", "127.0.0.1:0")
	w.start(dir, "")
	w.pointAt("operator", w.node.address)
	return dir
}

// pointAt changes a context's address: the node took any free port.
func (w *world) pointAt(name, address string) {
	w.t.Helper()
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := store.Load(name)
	if err != nil {
		w.t.Fatal(err)
	}
	c.Addresses = []string{address}
	if err := store.Save(name, c); err != nil {
		w.t.Fatal(err)
	}
}

// enrol invites and enrols an agent by two runs of the binary.
func (w *world) enrol(name, level string, serves ...string) {
	w.t.Helper()
	args := []string{"agent", "token", "--context", "operator", "--name", name, "--level", level}
	for _, s := range serves {
		args = append(args, "--serves", s)
	}
	w.must("agent", "enroll", w.must(args...))
}

// profile reads a context as a program would.
func (w *world) profile(name string) sdk.Profile {
	w.t.Helper()
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := store.Load(name)
	if err != nil {
		w.t.Fatal(err)
	}
	signer, err := agefile.Load(c.Key, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	realm, err := wire.ParseRealm(c.Realm)
	if err != nil {
		w.t.Fatal(err)
	}
	p := sdk.Profile{Realm: realm, Addresses: c.Addresses, Signer: signer}
	for _, text := range c.Pins {
		pin, err := identity.ParseID(text)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Pins = append(p.Pins, pin)
	}
	return p
}

// connect connects this process as the principal of a context.
func (w *world) connect(name string, opts ...sdk.Option) *sdk.Agent {
	w.t.Helper()
	a, err := sdk.Connect(context.Background(), append([]sdk.Option{sdk.WithProfile(w.profile(name))}, opts...)...)
	if err != nil {
		w.t.Fatalf("connect %s: %v", name, err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = a.Close(ctx) // the node may be gone
	})
	return a
}
