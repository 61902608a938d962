//go:build netns

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/lab"
	"github.com/seed-3e86d5b2/conclave/integration/load"
)

// quiet is the bound on messages of a quarantined agent after the quarantine was answered: a node's lease, and what is
// under way.
const quiet = 5 * time.Second

// trial is a cluster under load, whose history is judged in the end.
type trial struct {
	*cluster
	load     *load.Load
	recorder *load.Recorder
}

// newTrial loads a cluster. The seed draws what the clients do.
func newTrial(c *cluster, seed uint64) *trial {
	t := c.t
	t.Helper()
	t.Logf("seed %d", seed)
	file, err := os.Create(filepath.Join(c.lab.Dir(), "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &trial{cluster: c, recorder: load.NewRecorder(file, t.Name(), seed)}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	if r.load, err = load.Start(ctx, r.realm(), load.Usual(), r.recorder); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.load.Stop() }) // again, if the test has failed before
	return r
}

func (c *cluster) realm() load.Realm {
	r := load.Realm{Operator: c.profile("operator"), StateDir: c.t.TempDir()}
	c.settled()
	list := c.awaitMembers("every node has told where clients find it", func(list []seat) bool {
		return c.whole(list) && !slices.ContainsFunc(list, func(s seat) bool { return s.Client == "" })
	})
	for i, h := range c.hosts {
		at := slices.IndexFunc(list, func(s seat) bool { return s.Client == c.door(i) })
		if at < 0 {
			c.t.Fatalf("no node at %s: %+v", c.door(i), list)
		}
		id, err := identity.ParseID(list[at].Node)
		if err != nil {
			c.t.Fatal(err)
		}
		r.Doors, r.Names, r.Keys = append(r.Doors, c.door(i)), append(r.Names, h.Name()), append(r.Keys, id)
	}
	return r
}

// under lets a fault last for a while, at least, and until commands have been answered that began after it did; then
// heals it and waits until the cluster is whole. The fault must have had effect.
func (r *trial) under(f lab.Fault, least time.Duration) {
	r.t.Helper()
	began := r.recorder.Now()
	r.note(f, "begins")
	if err := f.Start(); err != nil {
		r.t.Errorf("%s: %v", f.Name(), err)
	}
	<-time.After(least) // how long a fault lasts is its nature, not a guess at when something is ready
	r.progress(f.Name(), began)
	if err := f.Stop(); err != nil {
		r.t.Fatalf("%s: %v", f.Name(), err)
	}
	r.note(f, "ends")
	took, how := f.Took()
	if !took {
		r.t.Errorf("%s had no effect: %s", f.Name(), how)
	}
	ended := r.recorder.Now()
	r.settled()
	r.progress("after "+f.Name(), ended)
	gap, _ := load.Longest(since(r.recorder.History(), began), check.Write)
	r.t.Logf("%s: %s; longest time without a command: %v", f.Name(), how, gap.Round(time.Millisecond))
}

func (r *trial) note(f lab.Fault, what string) {
	now := r.recorder.Now()
	r.recorder.Add(check.Event{Op: check.Fault, Agent: "lab", Start: now, End: now, Result: check.OK, Key: f.Name(), Outcome: what})
}

func since(history []check.Event, began int64) []check.Event {
	for i, e := range history {
		if e.End >= began {
			return history[i:]
		}
	}
	return nil
}

// progress waits until commands have been answered, calls returned and a decision acted on that began after a moment.
func (r *trial) progress(when string, began int64) {
	r.t.Helper()
	const enough = 5
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	ctx, cancel := context.WithTimeout(r.t.Context(), recovery)
	defer cancel()
	for {
		done := map[check.Op]int{}
		for _, e := range since(r.recorder.History(), began) {
			if e.Start >= began && e.Result == check.OK {
				done[e.Op]++
			}
		}
		if done[check.Write] >= enough && done[check.Call] >= enough && done[check.Look] >= enough && done[check.Act] > 0 {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			r.t.Errorf("%s: no progress: %v", when, done)
			return
		}
	}
}

// judge ends the load, has every node say its last word, and runs every checker over the history.
func (r *trial) judge() {
	t := r.t
	t.Helper()
	if err := r.load.Stop(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	realm := r.realm()
	if err := r.load.Finals(ctx, realm); err != nil {
		t.Error(err)
	}
	history := r.recorder.History()
	counts := load.Count(history)
	t.Log(counts)
	if err := counts.Happened(check.Write, check.Look, check.Call, check.Publish, check.Handle, check.State, check.Certificate, check.Act); err != nil {
		t.Error(err)
	}
	for i, v := range check.All(history, check.Limits{Nodes: realm.Names, Silence: quiet}) {
		if i == 20 {
			t.Error("and more")
			break
		}
		t.Error(v)
	}
	if t.Failed() {
		t.Logf("seed %d; logs and history in %s", history[0].Seed, r.lab.Dir())
	}
}

// each runs a fault for every node in turn.
func (r *trial) each(least time.Duration, fault func(i int) lab.Fault) {
	r.t.Helper()
	for i := range r.nodes {
		r.under(fault(i), least)
	}
}

// seedOf is the test's seed: CONCLAVE_SEED, or any.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	return seeds(t, 1)[0]
}

func TestClusterOfFiveCommands(t *testing.T) {
	c := newCluster(t, 3, false)
	list := c.settled()
	for i := range c.nodes {
		only := c.knowOnly(i)
		told, err := c.members(only)
		if err != nil || len(told) != len(list) {
			t.Errorf("%s tells %+v: %v", c.hosts[i].Name(), told, err)
		}
	}
	// Through each node an agent is let in, and every node knows all of them.
	for i := range c.nodes {
		token := c.on(c.ops, "agent", "token", "--context", c.knowOnly(i), "--name", fmt.Sprint("agent-", i), "--level", "L1")
		c.on(c.ops, "agent", "enroll", token)
	}
	for i := range c.nodes {
		var names []string
		for j := range c.nodes {
			names = append(names, fmt.Sprintf("%q", fmt.Sprint("agent-", j)))
		}
		c.awaitText(names, "agent", "ls", "--json", "--context", c.knowOnly(i))
	}
	leader, err := c.leader()
	if err != nil {
		t.Fatal(err)
	}
	c.operate("cluster", "transfer")
	c.awaitMembers("nobody else leads", func(list []seat) bool {
		for _, m := range list {
			if leads(m) && m.Client != c.door(leader) {
				return true
			}
		}
		return false
	})
}

// TestClusterUnderFaults is one cluster under one load through all the faults that leave everybody's disk alone.
func TestClusterUnderFaults(t *testing.T) {
	c := newCluster(t, 3, true)
	r := newTrial(c, seedOf(t))
	r.each(0, func(i int) lab.Fault { return lab.NewKill("kill -9 "+c.hosts[i].Name(), lab.Fixed(c.nodes[i])) })
	r.under(lab.NewKill("kill -9 the leader", c.pickLeader), 0)
	r.under(lab.NewPause(c.pickLeader), 3*time.Second)
	r.each(4*time.Second, func(i int) lab.Fault { return lab.NewPartition(c.wires, c.hosts[i:i+1], c.rest(i)) })
	r.each(2*time.Second, func(i int) lab.Fault { return lab.NewOneWay(c.wires, c.hosts[i:i+1], c.rest(i)) })
	r.each(2*time.Second, func(i int) lab.Fault { return lab.NewOneWay(c.wires, c.rest(i), c.hosts[i:i+1]) })
	r.under(lab.NewLoss(c.wires, c.hosts, 5), 5*time.Second)
	r.under(lab.NewDelay(c.wires, c.hosts, 50*time.Millisecond, 10*time.Millisecond), 5*time.Second)
	r.judge()
}
