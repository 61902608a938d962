//go:build planted

package planted_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/load"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

const anywhere = "127.0.0.1:0"

// patience bounds what a healthy cluster does in much less time.
const patience = 20 * time.Second

// trio is a realm of three nodes in this process.
type trio struct {
	t        *testing.T
	signer   identity.Signer
	operator *sdk.Agent
	nodes    []*node.Node
	dirs     []string
}

// grow makes a realm of three nodes that all count and serve.
func grow(t *testing.T) *trio {
	t.Helper()
	signer, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	place := node.Place{Listen: anywhere, Cluster: anywhere}
	plan := node.Plan{
		Policy: rules, Roots: []identity.ID{signer.ID()}, Place: place, Nonce: [16]byte{1}, Now: time.Now().UnixMilli(),
	}
	r := &trio{t: t, signer: signer, nodes: make([]*node.Node, 3)}
	base := t.TempDir() // before the cleanup is asked for: the nodes end first, and then their files
	t.Cleanup(r.close)
	for i := range r.nodes {
		r.dirs = append(r.dirs, filepath.Join(base, fmt.Sprint("node-", i+1)))
		if i == 0 {
			if _, err := node.Init(r.dirs[0], plan); err != nil {
				t.Fatal(err)
			}
			if err := node.SignGenesis(r.dirs[0], signer); err != nil {
				t.Fatal(err)
			}
			r.open(0, anywhere)
			r.connect()
			continue
		}
		invited, err := r.operator.Admin().InviteNode(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.Join(t.Context(), r.dirs[i], invited.Text, place); err != nil {
			t.Fatal(err)
		}
		r.open(i, anywhere)
	}
	r.settled()
	return r
}

func (r *trio) open(i int, listen string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n, err := node.Open(ctx, node.Config{Dir: r.dirs[i], Listen: listen, Cluster: anywhere})
	if err != nil {
		r.t.Fatal(err)
	}
	r.nodes[i] = n
}

func (r *trio) connect() {
	r.t.Helper()
	agent, err := sdk.Connect(r.t.Context(), sdk.WithProfile(r.profile()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.operator = agent
}

func (r *trio) profile() sdk.Profile {
	p := sdk.Profile{Realm: r.nodes[0].Realm(), Signer: r.signer}
	for _, n := range r.nodes {
		if n != nil {
			p.Addresses, p.Pins = append(p.Addresses, n.Addr()), append(p.Pins, n.ID())
		}
	}
	return p
}

func (r *trio) realm() load.Realm {
	l := load.Realm{Operator: r.profile(), Names: []string{"n1", "n2", "n3"}, StateDir: r.t.TempDir()}
	for _, n := range r.nodes {
		l.Doors, l.Keys = append(l.Doors, n.Addr()), append(l.Keys, n.ID())
	}
	return l
}

func (r *trio) close() {
	if r.operator != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.operator.Close(ctx) // its node may be gone
	}
	for _, n := range r.nodes {
		if n == nil {
			continue
		}
		if err := n.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

// await asks again and again until ok.
func (r *trio) await(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-limit:
			r.t.Fatalf("still not: %s", what)
		}
	}
}

// cluster is what the node that the operator stands at knows of the nodes; nothing if it does not answer.
func (r *trio) cluster() admin.Cluster {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
	defer cancel()
	c, err := r.operator.Admin().Cluster(ctx)
	if err != nil {
		return admin.Cluster{}
	}
	return c
}

// settled waits until every node counts and is up.
func (r *trio) settled() {
	r.t.Helper()
	r.await("three nodes are up", func() bool {
		c := r.cluster()
		return len(c.Nodes) == len(r.nodes) && !slices.ContainsFunc(c.Nodes, func(m admin.Machine) bool {
			return !m.Counts || m.State != "leader" && m.State != "follower"
		})
	})
}

// leader returns which node leads.
func (r *trio) leader() (i int) {
	r.t.Helper()
	r.await("a node leads", func() bool {
		l, known := r.cluster().Leader()
		i = slices.IndexFunc(r.nodes, func(n *node.Node) bool { return known && n.ID() == l.Node })
		return i >= 0
	})
	return i
}

// spare has another node lead if node i does.
func (r *trio) spare(i int) {
	r.t.Helper()
	if r.leader() != i {
		return
	}
	if err := r.operator.Admin().Transfer(r.t.Context(), r.nodes[0].ID()); err != nil {
		r.t.Fatal(err)
	}
	r.await("another node leads", func() bool { return r.leader() != i })
}

// restart stops a node and starts it where it was.
func (r *trio) restart(i int, meanwhile func()) {
	r.t.Helper()
	at := r.nodes[i].Addr()
	if err := r.nodes[i].Close(); err != nil {
		r.t.Fatal(err)
	}
	meanwhile()
	r.open(i, at)
}
