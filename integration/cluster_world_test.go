//go:build netns

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/lab"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// The ports of every node: for agents, for other nodes, for their brokers.
const (
	agentPort   = 7415
	clusterPort = 7416
	routePort   = 7417
)

// recovery is how long a cluster may take to be whole again after a fault was healed.
const recovery = time.Minute

// cluster is a realm of several nodes, each the built binary on a host of its own, and one host for the operator.
type cluster struct {
	*world
	lab   *lab.Lab
	wires *lab.Wires // nil: the hosts see each other directly
	hosts []*lab.Host
	nodes []*lab.Node
	ops   *lab.Host

	contexts int // made so far
}

// newCluster makes a realm of some nodes by the commands that a user types. Wired, everything between nodes passes
// proxies, which can delay and change it.
func newCluster(t *testing.T, size int, wired bool) *cluster {
	t.Helper()
	if err := lab.Available(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := &cluster{world: newWorld(t)}
	l, err := lab.New(artefacts(t))
	if err != nil {
		t.Fatal(err)
	}
	c.lab = l
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if c.ops, err = l.Host("ops"); err != nil {
		t.Fatal(err)
	}
	for i := range size {
		h, err := l.Host(fmt.Sprint("n", i+1))
		if err != nil {
			t.Fatal(err)
		}
		c.hosts = append(c.hosts, h)
		spec := lab.Spec{Args: []string{binary, "server", "run", "--data", c.data(i)}, Ready: "ready"}
		c.nodes = append(c.nodes, lab.NewNode(h, c.data(i), spec, recovery))
	}
	if wired {
		if c.wires, err = l.Wire(c.hosts, clusterPort, routePort); err != nil {
			t.Fatal(err)
		}
	}
	c.on(c.hosts[0], "server", "init", "--data", c.data(0), "--listen", c.door(0), "--cluster", c.at(0, clusterPort))
	c.run(0)
	for i := 1; i < size; i++ {
		c.join(i)
	}
	c.settled()
	c.knowAll()
	return c
}

// artefacts returns a folder for logs and histories: below CONCLAVE_ARTEFACTS if that is set, and kept then.
func artefacts(t *testing.T) string {
	t.Helper()
	if base := os.Getenv("CONCLAVE_ARTEFACTS"); base != "" {
		dir := filepath.Join(base, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	return t.TempDir()
}

func (c *cluster) data(i int) string { return c.path(fmt.Sprint("data-", i+1)) }

func (c *cluster) at(i, port int) string {
	return netip.AddrPortFrom(c.hosts[i].Address(), uint16(port)).String()
}

func (c *cluster) door(i int) string { return c.at(i, agentPort) }

// try runs the binary on a host to its end.
func (c *cluster) try(h *lab.Host, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	return c.finish(h.Command(ctx, binary, args...))
}

// on runs the binary on a host and wants exit code 0.
func (c *cluster) on(h *lab.Host, args ...string) string {
	c.t.Helper()
	r := c.try(h, args...)
	if r.code != 0 {
		c.t.Fatalf("%s: conclave %s: exit %d\n%s%s", h.Name(), strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// operate runs the binary as the operator.
func (c *cluster) operate(args ...string) string {
	c.t.Helper()
	return c.on(c.ops, append(args, "--context", "operator")...)
}

// run starts a node that has a data directory.
func (c *cluster) run(i int) {
	c.t.Helper()
	if err := c.nodes[i].Start(); err != nil {
		c.t.Fatal(err)
	}
}

// join makes the data directory of a new node, has it admitted, and starts it.
func (c *cluster) join(i int) {
	c.t.Helper()
	token := c.operate("server", "token")
	c.on(c.hosts[i], "server", "join", token, "--data", c.data(i), "--listen", c.door(i), "--cluster", c.at(i, clusterPort))
	c.run(i)
}

// seat is what the cluster tells of one node.
type seat struct {
	Node     string
	Client   string
	Cluster  string
	State    string
	Commands uint64
}

// members asks the cluster who belongs to it. It may fail while a majority is missing.
func (c *cluster) members(context string) ([]seat, error) {
	c.t.Helper()
	r := c.try(c.ops, "cluster", "members", "--context", context, "--json", "--timeout", "5s")
	var told struct{ Nodes []seat }
	if r.code != 0 {
		return nil, fmt.Errorf("members: exit %d: %s", r.code, strings.TrimSpace(r.stderr))
	}
	if err := json.Unmarshal([]byte(r.stdout), &told); err != nil {
		return nil, fmt.Errorf("members: %w: %s", err, r.stdout)
	}
	return told.Nodes, nil
}

// awaitMembers asks until the condition holds and fails the test if that takes too long.
func (c *cluster) awaitMembers(what string, holds func([]seat) bool) []seat {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	list, err := c.pollMembers(ctx, holds)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	return list
}

func (c *cluster) pollMembers(ctx context.Context, holds func([]seat) bool) ([]seat, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := c.members("operator")
		if err == nil && holds(list) {
			return list, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%+v: %w", list, errors.Join(err, ctx.Err()))
		}
	}
}

// whole says whether all nodes are there: one leads, the others follow.
func (c *cluster) whole(list []seat) bool {
	leaders, followers := 0, 0
	for _, m := range list {
		switch m.State {
		case "leader":
			leaders++
		case "follower":
			followers++
		}
	}
	return leaders == 1 && leaders+followers == len(c.nodes) && len(list) == len(c.nodes)
}

// settled waits until the cluster is whole.
func (c *cluster) settled() []seat {
	c.t.Helper()
	list, err := c.heal(c.t.Context())
	if err != nil {
		c.t.Fatalf("the cluster does not get whole: %v", err)
	}
	return list
}

// heal waits until all nodes are there and each of them lets clients in: one that counts since just now has no lease yet.
func (c *cluster) heal(ctx context.Context) ([]seat, error) {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	list, err := c.pollMembers(ctx, c.whole)
	if err != nil {
		return nil, err
	}
	p := c.profile("operator")
	for _, m := range list {
		id, err := identity.ParseID(m.Node)
		if err != nil {
			return nil, err
		}
		p.Pins = append(p.Pins, id) // a replaced node has another key
	}
	for i, h := range c.hosts {
		a, err := c.dial(ctx, i, p)
		if err != nil {
			return nil, fmt.Errorf("%s lets nobody in: %w", h.Name(), err)
		}
		if err := a.Close(ctx); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// leader returns the number of the node that leads.
func (c *cluster) leader() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	list, err := c.pollMembers(ctx, func(list []seat) bool { return slices.ContainsFunc(list, leads) })
	if err != nil {
		return 0, err
	}
	m := list[slices.IndexFunc(list, leads)]
	for i := range c.nodes {
		if m.Client == c.door(i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s leads, which is none of the lab", m.Client)
}

func leads(m seat) bool { return m.State == "leader" }

// pickLeader returns whoever leads when a fault begins.
func (c *cluster) pickLeader() (*lab.Node, error) {
	i, err := c.leader()
	if err != nil {
		return nil, err
	}
	return c.nodes[i], nil
}

// id returns the key of a node.
func (c *cluster) id(i int) string {
	c.t.Helper()
	list, err := c.members("operator")
	if err != nil {
		c.t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(m seat) bool { return m.Client == c.door(i) })
	if at < 0 {
		c.t.Fatalf("no node at %s: %+v", c.door(i), list)
	}
	return list[at].Node
}

// knowAll writes the addresses and keys of all nodes into the operator's context.
func (c *cluster) knowAll() {
	c.t.Helper()
	list := c.settled()
	c.rewrite("operator", "operator", func(x *contexts.Context) {
		x.Addresses, x.Pins = nil, nil
		for i := range c.nodes {
			x.Addresses = append(x.Addresses, c.door(i))
		}
		for _, m := range list {
			x.Pins = append(x.Pins, m.Node)
		}
	})
}

// knowOnly makes a context of the operator that knows one node alone.
func (c *cluster) knowOnly(i int) (name string) {
	c.t.Helper()
	c.contexts++ // a new one each time: a context never forgets what it has seen
	name = fmt.Sprintf("only-%d-%d", i+1, c.contexts)
	c.rewrite("operator", name, func(x *contexts.Context) { x.Addresses = []string{c.door(i)} })
	return name
}

func (c *cluster) rewrite(from, to string, change func(*contexts.Context)) {
	c.t.Helper()
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		c.t.Fatal(err)
	}
	x, err := store.Load(from)
	if err != nil {
		c.t.Fatal(err)
	}
	change(&x)
	if err := store.Save(to, x); err != nil {
		c.t.Fatal(err)
	}
}

// rest returns all hosts but one.
func (c *cluster) rest(i int) []*lab.Host {
	return slices.Concat(c.hosts[:i], c.hosts[i+1:])
}

// connectTo connects this process to one node alone.
func (c *cluster) connectTo(i int, signer identity.Signer) *sdk.Agent {
	c.t.Helper()
	p := c.profile("operator")
	p.Signer = signer
	ctx, cancel := context.WithTimeout(c.t.Context(), recovery)
	defer cancel()
	a, err := c.dial(ctx, i, p)
	if err != nil {
		c.t.Fatalf("connect to %s: %v", c.hosts[i].Name(), err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = a.Close(ctx) // the node may be gone
	})
	return a
}

// dial connects to one node alone as soon as it lets clients in.
func (c *cluster) dial(ctx context.Context, i int, p sdk.Profile) (*sdk.Agent, error) {
	p.Addresses = []string{c.door(i)}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		a, err := sdk.Connect(ctx, sdk.WithProfile(p))
		if err == nil {
			return a, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// command returns a program that will run where the operator is.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.ops.Command(ctx, name, args...)
}
