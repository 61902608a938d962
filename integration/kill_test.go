package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// seeds are the schedules of the kill tests. A failure prints its seed; CONCLAVE_SEED plays one schedule alone,
// CONCLAVE_ROUNDS that many.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if text := os.Getenv("CONCLAVE_SEED"); text != "" {
		var seed uint64
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	if text := os.Getenv("CONCLAVE_ROUNDS"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = rand.Uint64()
	}
	return list
}

// TestKilledNodeResumes kills the node with -9 at random points of a decision, several times. The decision goes on by
// itself, and the action runs exactly once.
func TestKilledNodeResumes(t *testing.T) {
	w := newWorld(t)
	dir := w.solo()
	w.enrol("executor", "L3")
	for i, seed := range seeds(t, 6) {
		t.Logf("seed %d", seed)
		w.killDuringDecision(dir, i, rand.New(rand.NewPCG(seed, 0)))
	}
	if code := w.node.interrupt(t); code != 0 {
		t.Fatalf("the node ended with %d", code)
	}
}

func (w *world) killDuringDecision(dir string, round int, random *rand.Rand) {
	t := w.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := w.profile("executor")
	p.Addresses, p.StateDir = []string{w.node.address}, w.path("spent")
	executor, err := sdk.Connect(ctx, sdk.WithProfile(p))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = executor.Close(ctx) }()
	o := w.profile("operator")
	o.Addresses = p.Addresses
	operator, err := sdk.Connect(ctx, sdk.WithProfile(o))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = operator.Close(ctx) }()

	out := w.path(fmt.Sprintf("ran-%d", round))
	action := sdk.NewAction("test.append", out, nil)
	ended := make(chan error, 1)
	go func() { ended <- decide(ctx, executor, operator, action, fmt.Sprint("round ", round), out) }()
	kills := 1 + random.IntN(3)
	for range kills {
		select {
		case <-time.After(time.Duration(random.IntN(60_000)) * time.Microsecond):
		case err := <-ended:
			ended <- err
		}
		w.node.kill()
		w.start(dir, w.node.address)
	}
	if err := <-ended; err != nil {
		t.Fatalf("after %d kills: %v", kills, err)
	}
	content, err := os.ReadFile(out)
	if err != nil || string(content) != "ran\n" {
		t.Fatalf("after %d kills the action left %q: %v", kills, content, err)
	}
	t.Logf("%d kills", kills)
}

// decide proposes an R3 action, has the operator approve it, and executes it.
func decide(ctx context.Context, executor, operator *sdk.Agent, action sdk.Action, key, out string) error {
	d, err := executor.Propose(ctx, sdk.Proposal{Action: action, Key: key})
	if err != nil {
		return fmt.Errorf("propose: %w", err)
	}
	if err := approve(ctx, operator, d.ID().String()); err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	return executor.Execute(ctx, d, action, func(context.Context) error { return appendLine(out) })
}

// approve votes until the registry says that it has the vote, whatever happens to the node meanwhile.
func approve(ctx context.Context, operator *sdk.Agent, id string) error {
	for {
		v, err := operator.Ballots().View(ctx, id)
		if err == nil && v.State != "open" {
			return nil
		}
		if err == nil {
			_, err = operator.Ballots().Vote(ctx, v, ballot.Approve("test"))
		}
		if c := sdk.CodeOf(err); err == nil || c == code.Spent {
			return nil
		} else if !c.Retryable() || ctx.Err() != nil {
			return err
		}
	}
}

func appendLine(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString("ran\n"); err != nil {
		return err
	}
	return f.Close()
}

// TestKilledGuardNeverRunsTwice kills `conclave guard` with -9 at random points after the approval, and runs it again
// with the same key until it says how the decision ended.
func TestKilledGuardNeverRunsTwice(t *testing.T) {
	w := newWorld(t)
	w.solo()
	w.enrol("executor", "L3")
	w.pointAt("executor", w.node.address)
	operator := w.connect("operator")
	ran := 0
	for i, seed := range seeds(t, 8) {
		random := rand.New(rand.NewPCG(seed, 1))
		out := w.path(fmt.Sprintf("guarded-%d", i))
		args := []string{"guard", "--context", "executor", "--key", fmt.Sprint("guard-", i), "--",
			"/bin/sh", "-c", "echo ran >> " + out}
		code := w.killGuard(operator, args, random)
		content, err := os.ReadFile(out)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		lines := strings.Count(string(content), "ran\n")
		t.Logf("seed %d: ended with %d, ran %d times", seed, code, lines)
		if lines > 1 {
			t.Fatalf("seed %d: the command ran %d times", seed, lines)
		}
		if code == 0 && lines != 1 {
			t.Fatalf("seed %d: guard said done, and the command did not run", seed)
		}
		ran += lines
	}
	if ran == 0 {
		t.Fatal("no schedule let the command run: the test shows nothing")
	}
}

// killGuard starts the guard, approves what it waits for, kills it after a random time, and starts it again until it
// ends by itself. It returns the last exit code.
func (w *world) killGuard(operator *sdk.Agent, args []string, random *rand.Rand) int {
	t := w.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	first := exec.CommandContext(ctx, binary, args...)
	var stderr bytes.Buffer
	first.Stderr = &stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := waiting(ctx, operator)
	if err != nil {
		t.Fatalf("nothing to approve: %v\n%s", err, &stderr)
	}
	if err := approve(ctx, operator, id); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- first.Wait() }()
	select {
	case <-time.After(time.Duration(random.IntN(40_000)) * time.Microsecond):
		_ = first.Process.Kill()
		<-done
	case <-done:
	}
	r := w.finish(exec.CommandContext(ctx, binary, args...))
	if r.code != 0 && r.code != 125 {
		t.Fatalf("guard again: exit %d\n%s", r.code, r.stderr)
	}
	return r.code
}

// waiting returns the id of a decision that waits for the operator.
func waiting(ctx context.Context, operator *sdk.Agent) (string, error) {
	for ctx.Err() == nil {
		list, err := operator.Ballots().Waiting(ctx)
		if err != nil {
			return "", err
		}
		if len(list) > 0 {
			return list[0].ID.String(), nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return "", ctx.Err()
}

// TestKilledNodeKeepsWhatItAnswered kills a node right after answers and looks for everything that was answered.
func TestKilledNodeKeepsWhatItAnswered(t *testing.T) {
	w := newWorld(t)
	dir := w.solo()
	for i := range 4 {
		name := fmt.Sprint("agent-", i)
		w.pointAt("operator", w.node.address)
		w.enrol(name, "L1")
		w.node.kill()
		w.start(dir, "")
		w.pointAt("operator", w.node.address)
		list := w.must("agent", "ls", "--context", "operator", "--json")
		for j := range i + 1 {
			if !strings.Contains(list, fmt.Sprintf("%q", fmt.Sprint("agent-", j))) {
				t.Fatalf("agent-%d was answered and is gone: %s", j, list)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "raft")); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAgentIsNoLongerOffered kills an agent's process; the node stops offering it long before its presence ends.
func TestKilledAgentIsNoLongerOffered(t *testing.T) {
	w := newWorld(t)
	w.solo()
	w.enrol("server", "L3", "text.*")
	w.enrol("caller", "L3")
	w.pointAt("server", w.node.address)
	w.pointAt("caller", w.node.address)
	server := w.agent("server", "text.upper")
	caller := w.connect("caller")
	there := func() int {
		n := 0
		for _, err := range caller.Discover(t.Context(), sdk.Query{Capability: "text.upper"}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n := there(); n != 1 {
		t.Fatalf("%d processes before", n)
	}
	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for there() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("a killed process is still offered")
		}
	}
}
