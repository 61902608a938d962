//go:build netns

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/lab"
	"github.com/seed-3e86d5b2/conclave/integration/load"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// TestClusterCutOffNodeSilencesTheQuarantined has a publisher and a reader at one node, cuts that node off, and
// quarantines the publisher at the others. The node cannot know, and after its lease delivers nothing all the same.
func TestClusterCutOffNodeSilencesTheQuarantined(t *testing.T) {
	c := newCluster(t, 3, false)
	rec := load.NewRecorder(nil, t.Name(), 0)
	publisher, reader := c.connectTo(2, c.newAgent("publisher")), c.connectTo(2, c.newAgent("reader"))
	const topic = "cluster.news"
	if err := publisher.Advertise(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	heard := make(chan int64, 1<<16)
	if _, err := sdk.SubscribeBytes(reader, topic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		now := rec.Now()
		rec.Add(check.Event{Op: check.Handle, Agent: "reader", Start: now, End: now, Result: check.OK, ID: string(d.Content), From: d.From.Name, Topic: topic})
		heard <- now
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	speaking := make(chan struct{})
	go func() { // ends with ctx; waited for below
		defer close(speaking)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			bounded, cancel := context.WithTimeout(ctx, time.Second)
			_, _ = sdk.PublishBytes(bounded, publisher, topic, fmt.Appendf(nil, "publisher/%d", n)) // refused later on
			cancel()
			<-pace.C
		}
	}()
	defer func() { stop(); <-speaking }()
	await := func(what string, after int64) {
		t.Helper()
		for {
			select {
			case at := <-heard:
				if at > after {
					return
				}
			case <-time.After(recovery):
				t.Fatal(what)
			}
		}
	}
	await("nothing is heard before", rec.Now())
	f := lab.NewPartition(nil, c.hosts[2:], c.hosts[:2])
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	start := rec.Now()
	only := c.knowOnly(0)
	c.awaitText([]string{"quarantined"}, "agent", "quarantine", "publisher", "--reason", "test", "--context", only)
	rec.Add(check.Event{
		Op: check.Write, Agent: "operator", Start: start, Result: check.OK, Key: "publisher", Index: 1,
		Fields: map[string]string{check.FieldStatus: check.Quarantined},
	})
	<-time.After(2 * quiet) // how long nothing must be heard
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if took, how := f.Took(); !took {
		t.Error(how)
	}
	c.settled()
	<-time.After(quiet) // also when the node is back
	for _, v := range check.Silent(rec.History(), quiet) {
		t.Error(v)
	}
	if r := c.try(c.ops, "agent", "show", "publisher", "--context", c.knowOnly(2)); !strings.Contains(r.stdout, "quarantined") {
		t.Errorf("the node that was cut off says: exit %d %s%s", r.code, r.stdout, r.stderr)
	}
}

// newAgent enrols an agent that may publish.
func (c *cluster) newAgent(name string) identity.Signer {
	c.t.Helper()
	token := c.operate("agent", "token", "--name", name, "--level", "L3", "--serves", "cluster.*")
	signer, _, err := sdk.Enrol(c.t.Context(), token, sdk.KeepNothing())
	if err != nil {
		c.t.Fatal(err)
	}
	return signer
}

// TestClusterMigratesWhileANodeIsKilled runs the example program once for each node: it waits for its approval while
// that node is killed, and the change is made exactly once.
func TestClusterMigratesWhileANodeIsKilled(t *testing.T) {
	c := newCluster(t, 3, false)
	migrate := c.path("migrate")
	build := exec.Command("go", "build", "-o", migrate, "../examples/migrate")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := range c.nodes {
		db, change := c.path(fmt.Sprintf("app-%d.db", i)), c.path(fmt.Sprintf("change-%d.sql", i))
		if r := c.finish(exec.Command(migrate, "--sample", db)); r.code != 0 {
			t.Fatalf("sample: exit %d %s", r.code, r.stderr)
		}
		if err := os.WriteFile(change, []byte("CREATE TABLE made_by_conclave (id INTEGER);\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.migrateDuringKill(i, migrate, "--db", db, "--sql", change, "--key", fmt.Sprint("change-", i), "--context", "operator", "--timeout", "2m")
		if content, err := os.ReadFile(db); err != nil || !strings.Contains(string(content), "made_by_conclave") {
			t.Errorf("%s was killed: the change is not in %s: %v", c.hosts[i].Name(), filepath.Base(db), err)
		}
	}
}

func (c *cluster) migrateDuringKill(i int, program string, args ...string) {
	t := c.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := c.command(ctx, program, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	operator := c.connect("operator")
	id, err := waiting(ctx, operator)
	if err != nil {
		t.Fatalf("nothing to approve: %v\n%s", err, said.String())
	}
	if !c.nodes[i].Kill() {
		t.Fatal("the node did not run")
	}
	killed := time.Now()
	if err := approve(ctx, operator, id); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("while %s was down: %v\n%s", c.hosts[i].Name(), err, said.String())
	}
	t.Logf("%s was killed: migrated %v later", c.hosts[i].Name(), time.Since(killed).Round(time.Millisecond))
	c.run(i)
	c.settled()
}
