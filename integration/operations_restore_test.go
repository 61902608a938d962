package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// restored is a realm of one node in a terminal that is taken back to a backup of its whole directory.
type restored struct {
	terminals
}

// told runs a command that must succeed and returns what it prints on stdout.
func (r *restored) told(line string) string {
	r.Helper()
	out, code := r.shell(line + " 2>stderr")
	if code != 0 {
		why, _ := os.ReadFile(filepath.Join(r.dir, "stderr"))
		r.Fatalf("%s: exit %d\n%s%s%s", line, code, out, why, r.logs())
	}
	return out
}

func (r *restored) start() { r.launch("a", "server", "run", "--data", "./a") }

func (r *restored) stop() {
	r.Helper()
	if code := r.end("a", os.Interrupt); code != 0 {
		r.Fatalf("ended with %d\n%s", code, r.logs())
	}
}

// back takes the node's directory back to the backup, heads and kept tightenings included. The context has seen more
// and has to forget that.
func (r *restored) back() {
	r.Helper()
	r.stop()
	r.told("cp a/tightenings.cbor saved.cbor && rm -r a && cp -r backup a")
	r.start()
	r.told("conclave context forget operator")
}

// agent enrols and connects an agent whose process is this test.
func (r *restored) agent(name string) *sdk.Agent {
	r.Helper()
	invitation := strings.TrimSpace(r.told("conclave agent token --name " + name))
	_, profile, err := sdk.Enrol(r.Context(), invitation, sdk.KeepNothing())
	if err != nil {
		r.Fatal(err)
	}
	profile.StateDir = filepath.Join(r.dir, name+".spent")
	a, err := sdk.Connect(r.Context(), sdk.WithProfile(profile))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = a.Close(context.WithoutCancel(r.Context())) }) // closed before, or the test is over
	return a
}

func (r *restored) status(name string) string {
	r.Helper()
	var peer struct{ Status string }
	if err := json.Unmarshal([]byte(r.told("conclave agent show "+name+" --json")), &peer); err != nil {
		r.Fatal(err)
	}
	return peer.Status
}

// TestRestoredRealmIsReminded: a realm whose only node was restored, with its head and everything else in its directory,
// learns again who was quarantined and whose epoch was raised since: from an agent that comes back by itself, and then
// from its operator and a file.
func TestRestoredRealmIsReminded(t *testing.T) {
	r := &restored{terminals: newTerminals(t)}
	r.told(r.here("conclave server init --data ./a --listen 127.0.0.1:7415"))
	r.start()
	innocent, leaky := r.agent("innocent"), r.agent("leaky")
	r.agent("bad")
	r.stop()
	r.told("cp -r a backup")
	r.start()

	epoch := uint64(time.Now().Unix() + 3600) // ends every credential there is
	raise, err := leaky.Admin().Prepare(registry.TypeEpoch, registry.RaiseEpoch{Principal: leaky.ID(), Epoch: epoch}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaky.Admin().Submit(t.Context(), raise); sdk.CodeOf(err) != "" && !sdk.CodeOf(err).Retryable() {
		t.Fatal(err) // the answer may be lost with the connection, which this ends
	}
	if err := leaky.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.told("conclave agent quarantine bad --reason drill")
	kept := func(file string) int {
		raw, err := os.ReadFile(filepath.Join(r.dir, file))
		if err != nil {
			return 0
		}
		k, err := registry.ParseKept(raw)
		if err != nil {
			t.Fatal(err)
		}
		return len(k.Commands)
	}
	const agents, nodes = "innocent.spent.tightenings", "a/tightenings.cbor"
	r.await(func() string { return fmt.Sprintf("the agent keeps %d", kept(agents)) }, func() bool { return kept(agents) == 2 })

	r.back()
	r.await(func() string { return fmt.Sprintf("the node was reminded of %d", kept(nodes)) }, func() bool { return kept(nodes) == 2 })
	if bad := r.status("bad"); bad != "quarantined" {
		t.Errorf("bad is %s", bad)
	}
	if out := r.told("conclave cluster remind --from saved.cbor"); !strings.Contains(out, fmt.Sprintf("epoch %d", epoch)) ||
		!strings.Contains(out, "0 took effect, 2 known, 0 refused") {
		t.Errorf("after the agent has come back: %s", out)
	}

	if err := innocent.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.back()
	if bad := r.status("bad"); bad != "active" {
		t.Fatalf("nobody is there, and bad is %s", bad)
	}
	if out := r.told("conclave cluster remind"); !strings.Contains(out, "took effect") || r.status("bad") != "quarantined" {
		t.Errorf("the operator: %s", out)
	}
	if out := r.told("conclave cluster remind --from saved.cbor"); !strings.Contains(out, ", 0 refused") {
		t.Errorf("the operator, by a node's file: %s", out)
	}
	if out := r.told("conclave cluster remind --from saved.cbor --json"); !strings.Contains(out, `"news":0,"known":2,"refused":0`) {
		t.Errorf("then nothing is new: %s", out)
	}
	if out, code := r.shell("conclave cluster remind --from ./a/genesis.cbor"); code == 0 || !strings.Contains(out, "malformed") {
		t.Errorf("a file of something else: exit %d, %s", code, out)
	}
}
