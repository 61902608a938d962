package node

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
)

const anywhere = "127.0.0.1:0"

// until asks again and again until ok, and fails the test if that takes too long.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}

// trio is a realm of three nodes, grown from one.
type trio struct {
	t        *testing.T
	operator identity.Signer
	dirs     []string
	nodes    []*Node
}

func begin(t *testing.T) *trio {
	t.Helper()
	dir, operator := solo(t)
	r := &trio{t: t, dirs: []string{dir}, operator: operator}
	r.nodes = []*Node{r.open(r.dirs[0])}
	return r
}

func (r *trio) open(dir string) *Node {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	n, err := Open(ctx, Config{Dir: dir, Cluster: anywhere})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return n
}

// invite makes a join token that the realm's root has signed.
func (r *trio) invite() string {
	r.t.Helper()
	n := r.nodes[0]
	now := time.Now().UnixMilli()
	i, err := identity.MakeJoinInvitation(r.operator, n.Realm(), identity.JoinToken{
		Version: 1, Issued: now, Expires: now + time.Hour.Milliseconds(), Addresses: []string{n.cluster.mesh.Addr()},
		Pins: []identity.ID{n.ID()}, Roster: n.registrar.Authority().Number,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := i.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// join adds a node.
func (r *trio) join(name string) *Node {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), name)
	if _, err := Join(r.t.Context(), dir, r.invite(), Place{Listen: anywhere, Cluster: anywhere}); err != nil {
		r.t.Fatal(err)
	}
	n := r.open(dir)
	r.dirs, r.nodes = append(r.dirs, dir), append(r.nodes, n)
	return n
}

// three waits until all of the nodes count and the log has as many voters.
func (r *trio) settled() {
	r.t.Helper()
	for _, n := range r.nodes {
		until(r.t, "every node counts", func() bool {
			a := n.registrar.Authority()
			return len(a.Nodes) == len(r.nodes) && len(a.Joining) == 0
		})
		until(r.t, "every node votes and has a lease", func() bool {
			voters := 0
			for _, s := range n.log.Servers() {
				if s.Voter {
					voters++
				}
			}
			return voters == len(r.nodes) && n.registrar.Ready() == nil
		})
	}
}

func grown(t *testing.T) *trio {
	t.Helper()
	r := begin(t)
	submit(t, r.nodes[0], r.operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	r.join("b")
	r.join("c")
	r.settled()
	return r
}

func TestOneGrowsToThree(t *testing.T) {
	r := grown(t)
	for i, n := range r.nodes {
		added := newOperator(t)
		answer := submit(t, n, r.operator, byte(10+i), registry.TypeOperator, registry.AddOperator{Operator: added, Name: "op" + string(rune('a'+i))})
		if err := answer.Err(); err != nil {
			t.Fatal(err)
		}
		for _, other := range r.nodes {
			until(t, "all nodes know", func() bool {
				return other.registrar.Size() >= answer.Index
			})
		}
		raw, err := n.registrar.SignedHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.VerifyHead(raw, n.registrar.Authority()); err != nil {
			t.Fatalf("a head of three: %v", err)
		}
	}
	heads := map[string]bool{}
	for _, n := range r.nodes {
		h := n.registrar.Authority()
		heads[h.Latest().String()] = true
		if !slices.Equal(h.Nodes, r.nodes[0].registrar.Authority().Nodes) {
			t.Error("the nodes differ on who runs the realm")
		}
	}
	if len(heads) != 1 {
		t.Error("the nodes have different rosters")
	}
}

// leader waits until one node leads, and returns it.
func (r *trio) leader() *Node {
	r.t.Helper()
	var leader *Node
	until(r.t, "a node leads", func() bool {
		for _, n := range r.nodes {
			if n.log.Leads() {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// stop closes a node and forgets it.
func (r *trio) stop(n *Node) {
	r.t.Helper()
	if err := n.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.nodes = slices.DeleteFunc(r.nodes, func(o *Node) bool { return o == n })
}

func (r *trio) add(n *Node, nonce byte, name string) registry.Answer {
	r.t.Helper()
	return submit(r.t, n, r.operator, nonce, registry.TypeOperator, registry.AddOperator{Operator: newOperator(r.t), Name: name})
}

func TestAnyNodeMayStop(t *testing.T) {
	r := grown(t)
	for i := range 3 { // the leader each time
		stopped := r.leader()
		dir := stopped.config.Dir
		r.stop(stopped)
		if err := r.add(r.nodes[0], byte(20+i), "while-"+string(rune('a'+i))).Err(); err != nil {
			t.Fatal(err)
		}
		n := r.open(dir)
		r.nodes = append(r.nodes, n)
		until(t, "the node has caught up and has a lease", func() bool {
			return n.registrar.Size() == r.nodes[0].registrar.Size() && n.registrar.Ready() == nil
		})
		if _, err := n.registrar.SignedHead(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range r.nodes {
		if _, err := audit.VerifyHead(must(n.registrar.SignedHead(t.Context())), n.registrar.Authority()); err != nil {
			t.Error(err)
		}
	}
}

func must(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}

func TestMinorityServesNobody(t *testing.T) {
	r := grown(t)
	last := r.leader()
	for len(r.nodes) > 1 {
		for _, n := range slices.Clone(r.nodes) {
			if n != last {
				r.stop(n)
			}
		}
	}
	until(t, "the node left alone has no lease", func() bool { return fault.CodeOf(last.registrar.Ready()) == fault.Unreachable })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c, err := registry.New(r.operator.ID(), registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "nobody"},
		[16]byte{99}, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.operator.Cosign(last.Realm(), c)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := last.Submit(ctx, raw); err == nil {
		t.Fatalf("a command took effect without a majority: %+v", answer)
	}
}
