//go:build upgrade

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ancestor is the commit whose binary runs side by side with today's. It moves when a format changes that nobody has
// been given yet, and never again after a release.
const ancestor = "19621afb0ed65245e5b6efd1d4de6c0ce2828ee1"

// buildAncestor builds the binary of the ancestor from this repository's history.
func buildAncestor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree, old := filepath.Join(dir, "tree"), filepath.Join(dir, "conclave")
	if out, err := exec.Command("git", "cat-file", "-e", ancestor+"^{commit}").CombinedOutput(); err != nil {
		t.Fatalf("this clone has no commit %s, whose binary this test runs: fetch the whole history: git fetch --unshallow\n%s", ancestor, out)
	}
	for _, line := range []string{
		"mkdir -p " + tree, "git -C .. archive " + ancestor + " | tar -x -C " + tree, "cd " + tree + " && go build -o " + old + " ./cmd/conclave",
	} {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	return old
}

// fleet is three nodes on this machine, each run by one binary or another.
type fleet struct {
	*world
	today string
	dirs  []string
	nodes []*node
}

// restart stops a node, if it runs, and runs its directory by a binary.
func (f *fleet) restart(i int, by string) {
	f.t.Helper()
	if f.nodes[i] != nil {
		if code := f.nodes[i].interrupt(f.t); code != 0 {
			f.t.Fatalf("node %d ended with %d:\n%s", i, code, f.nodes[i].stderr)
		}
	}
	binary = by
	f.nodes[i] = f.start(f.dirs[i], "")
	binary = f.today
}

type seatLine struct {
	Node     string `json:"node"`
	State    string `json:"state"`
	Client   string `json:"client"`
	Commands uint64 `json:"commands"`
	Version  string `json:"version"`
}

// whole waits until all three nodes follow one leader and have applied the same.
func (f *fleet) whole() []seatLine {
	f.t.Helper()
	limit := time.Now().Add(time.Minute)
	for {
		r := f.conclave("cluster", "members", "--context", "operator", "--json")
		var said struct {
			Nodes []seatLine `json:"nodes"`
		}
		if r.code == 0 && json.Unmarshal([]byte(r.stdout), &said) == nil && together(said.Nodes) {
			return said.Nodes
		}
		if time.Now().After(limit) {
			f.t.Fatalf("the cluster is not whole:\n%s%s", r.stdout, r.stderr)
		}
	}
}

func together(nodes []seatLine) bool {
	leaders := 0
	for _, n := range nodes {
		if n.State == "leader" {
			leaders++
		} else if n.State != "follower" {
			return false
		}
		if n.Commands != nodes[0].Commands {
			return false
		}
	}
	return len(nodes) == 3 && leaders == 1
}

// writer raises the least epoch of one agent again and again, and keeps the newest that was acknowledged.
type writer struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	acked   uint64
	refused error
}

func (f *fleet) write(agent identity.ID) *writer {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	w := &writer{stop: stop}
	operator, err := sdk.Connect(ctx, sdk.WithProfile(f.profile("operator")))
	if err != nil {
		f.t.Fatal(err)
	}
	w.done.Go(func() {
		defer func() { _ = operator.Close(context.Background()) }()
		for n := uint64(1); ctx.Err() == nil; n++ {
			raw, err := operator.Admin().Prepare(registry.TypeEpoch, registry.RaiseEpoch{Principal: agent, Epoch: n}, 0)
			if err == nil {
				_, err = operator.Admin().Submit(ctx, raw)
			}
			w.mu.Lock()
			if err == nil {
				w.acked = n
			} else if ctx.Err() == nil {
				w.refused = fmt.Errorf("epoch %d: %w", n, err)
			}
			w.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // an operator's rate
			}
		}
	})
	return w
}

func (w *writer) end() (acked uint64, err error) {
	w.stop()
	w.done.Wait()
	return w.acked, w.refused
}

// TestUpgradeAndBackUnderWrites rolls a cluster from the ancestor's binary to today's, one node at a time, and one node
// back again, while commands go on: none fails, and everything acknowledged stands.
func TestUpgradeAndBackUnderWrites(t *testing.T) {
	f := &fleet{world: newWorld(t), today: binary, nodes: make([]*node, 3)}
	old := buildAncestor(t)
	defer func() { binary = f.today }()
	for i := range 3 {
		f.dirs = append(f.dirs, f.path(fmt.Sprint("node-", i)))
	}
	binary = old
	f.must("server", "init", "--data", f.dirs[0], "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0")
	f.restart(0, old)
	f.pointAt("operator", f.nodes[0].address)
	for i := 1; i < 3; i++ {
		binary = old
		token := f.must("server", "token", "--context", "operator")
		f.must("server", "join", token, "--data", f.dirs[i], "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0")
		f.restart(i, old)
	}
	f.whole()
	f.enrol("worker", "L2")
	worker := f.profile("worker").Signer.ID()
	w := f.write(worker)
	for i := range 3 {
		f.restart(i, f.today)
		f.whole()
	}
	f.restart(1, old)
	f.whole()
	f.restart(1, f.today)
	f.whole()
	acked, err := w.end()
	if err != nil {
		t.Errorf("a command failed: %v", err)
	}
	if acked == 0 {
		t.Fatal("nothing was written")
	}
	shown := f.must("agent", "ls", "--context", "operator", "--json")
	if !strings.Contains(shown, worker.String()) {
		t.Errorf("the worker is not there: %s", shown)
	}
	f.acknowledged(worker, acked)
	t.Logf("%d commands acknowledged while five restarts went on", acked)
}

// acknowledged checks that the newest acknowledged command stands: the same epoch again is refused as no news.
func (f *fleet) acknowledged(agent identity.ID, epoch uint64) {
	f.t.Helper()
	operator, err := sdk.Connect(f.t.Context(), sdk.WithProfile(f.profile("operator")))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = operator.Close(context.Background()) }()
	raw, err := operator.Admin().Prepare(registry.TypeEpoch, registry.RaiseEpoch{Principal: agent, Epoch: epoch}, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := operator.Admin().Submit(f.t.Context(), raw); err == nil {
		f.t.Errorf("epoch %d was acknowledged and then lost", epoch)
	}
}
