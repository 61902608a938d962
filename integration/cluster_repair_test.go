//go:build netns

package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// awaitText runs the binary as the operator until its output has all the texts.
func (c *cluster) awaitText(texts []string, args ...string) {
	c.t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	ctx, cancel := context.WithTimeout(c.t.Context(), recovery)
	defer cancel()
	for {
		r := c.try(c.ops, args...)
		if r.code == 0 && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(r.stdout, text) }) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			c.t.Fatalf("conclave %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
	}
}

// replace takes a node whose disk is gone out of the cluster, and has the machine join as a new node.
func (c *cluster) replace(i int, old string) func(*lab.Node) error {
	return func(*lab.Node) error {
		c.operate("cluster", "remove", old)
		c.join(i)
		return nil
	}
}

// TestClusterNodeWithoutDiskJoinsAgain wipes each node's disk in turn, under load. It comes back as a new node.
func TestClusterNodeWithoutDiskJoinsAgain(t *testing.T) {
	c := newCluster(t, 3, false)
	r := newTrial(c, seedOf(t))
	for i := range c.nodes {
		old := c.id(i)
		r.under(lab.NewDamage("wipe "+c.hosts[i].Name(), c.nodes[i], lab.Erase, c.replace(i, old)), 0)
		if c.id(i) == old {
			t.Errorf("%s has the key that it lost", c.hosts[i].Name())
		}
		c.knowAll()
	}
	r.judge()
}

// TestClusterRefusesDamagedFiles flips bits and cuts tails in a stopped node's log. Either nothing of what was answered
// is missing when it is back, or it refuses to start and joins anew; the others go on.
func TestClusterRefusesDamagedFiles(t *testing.T) {
	c := newCluster(t, 3, false)
	seed := seedOf(t)
	r := newTrial(c, seed)
	for i, damage := range []func(string) (string, error){
		lab.Flip("*.db", 8, seed), lab.Tear("*.db", 64<<10, seed), lab.Flip("*.cbor", 1, seed),
	} {
		old, refused := c.id(i), false
		again := func(n *lab.Node) error {
			err := n.Start()
			if err == nil {
				return nil
			}
			refused = true
			t.Logf("%s refuses: %v", c.hosts[i].Name(), err)
			if _, err := lab.Erase(n.Dir()); err != nil {
				return err
			}
			return c.replace(i, old)(n)
		}
		r.under(lab.NewDamage("damage "+c.hosts[i].Name(), c.nodes[i], damage, again), 0)
		t.Logf("%s refused to start: %v", c.hosts[i].Name(), refused)
		c.knowAll()
	}
	r.judge()
}

// TestClusterRemovedNodeStaysOut removes a node that is down. It comes back, and nobody speaks with it or believes it.
func TestClusterRemovedNodeStaysOut(t *testing.T) {
	c := newCluster(t, 3, false)
	gone, only := c.id(2), c.knowOnly(2)
	if r := c.try(c.ops, "agent", "ls", "--context", only, "--timeout", "5s"); r.code != 0 {
		t.Fatalf("it does not serve while it belongs: exit %d\n%s", r.code, r.stderr)
	}
	if !c.nodes[2].Kill() {
		t.Fatal("it did not run")
	}
	c.operate("cluster", "remove", gone)
	left := func(list []seat) bool {
		return len(list) == 2 && !slices.ContainsFunc(list, func(m seat) bool { return m.Node == gone })
	}
	c.awaitMembers("it is still listed", left)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	p, err := c.hosts[2].Start(ctx, "removed", lab.Spec{Args: []string{binary, "server", "run", "--data", c.data(2)}, Ready: "ready"})
	if err == nil { // it believes that it belongs until somebody tells it; nobody may believe it
		r := c.try(c.ops, "server", "status", "--context", only, "--timeout", "10s", "--json")
		if r.code == 0 && strings.Contains(r.stdout, gone) { // otherwise a node that the context has learnt of answers
			t.Errorf("a removed node serves: %s", r.stdout)
		}
		t.Logf("asked at its address: exit %d %s%s", r.code, r.stdout, r.stderr)
		p.Kill()
	} else {
		t.Logf("it does not get ready: %v", err)
	}
	c.awaitMembers("it is back", left)
	for i := range 2 {
		token := c.on(c.ops, "agent", "token", "--context", c.knowOnly(i), "--name", "after-"+c.hosts[i].Name(), "--level", "L1")
		c.on(c.ops, "agent", "enroll", token)
	}
}

// TestClusterFullDisk fills the disk of each node in turn: it stops, the others go on, and with room it is back.
func TestClusterFullDisk(t *testing.T) {
	c := newCluster(t, 3, false)
	d, err := c.lab.Disk(c.path("small"), 128)
	if err != nil {
		t.Fatal(err)
	}
	old := c.id(2)
	c.nodes[2].Kill()
	c.operate("cluster", "remove", old)
	dir := d.Path() + "/node"
	c.nodes[2] = lab.NewNode(c.hosts[2], dir, lab.Spec{Args: []string{binary, "server", "run", "--data", dir}, Ready: "ready"}, recovery)
	c.on(c.hosts[2], "server", "join", c.operate("server", "token"), "--data", dir, "--listen", c.door(2), "--cluster", c.at(2, clusterPort))
	c.run(2)
	c.knowAll()
	r := newTrial(c, seedOf(t))
	r.under(&fullNode{Fault: lab.NewFull(d), node: c.nodes[2]}, 0)
	r.judge()
}

// fullNode is a full disk until the node on it has stopped, and a start when there is room again.
type fullNode struct {
	lab.Fault
	node *lab.Node
}

// Start fills the disk and waits until the node has ended.
func (f *fullNode) Start() error {
	p := f.node.Running()
	if err := f.Fault.Start(); err != nil || p == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	_, err := p.Wait(ctx)
	return err
}

// Stop makes room and starts the node.
func (f *fullNode) Stop() error {
	if err := f.Fault.Stop(); err != nil {
		return err
	}
	return f.node.Start()
}
