//go:build hostile

package hostile

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

const anywhere = "127.0.0.1:0"

// patience is how long anything may take that is not stopped by an attack.
const patience = 30 * time.Second

// until asks again and again until ok, and fails the test if that takes too long.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}

// rounds calls fn so many times, a moment apart: time in which an attack might take hold.
func rounds(n int, fn func(round int)) {
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for i := range n {
		fn(i)
		<-every.C
	}
}

// realm is a realm of three honest nodes, of which one may be replaced.
type realm struct {
	t        *testing.T
	id       wire.Realm
	operator identity.Signer
	dirs     map[identity.ID]string
	nodes    []*node.Node // those that are honest and up
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newSigner(t *testing.T, role identity.Role) identity.Signer {
	t.Helper()
	s, _, err := identity.GenerateSigner(role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// grown makes a realm of one node and lets two others join.
func grown(t *testing.T) *realm {
	t.Helper()
	r := &realm{t: t, operator: newSigner(t, identity.Operator), dirs: map[identity.ID]string{}}
	dir := filepath.Join(t.TempDir(), "a")
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	r.id, err = node.Init(dir, node.Plan{
		Policy: p, Roots: []identity.ID{r.operator.ID()}, Place: node.Place{Listen: anywhere}, Nonce: [16]byte{1}, Now: time.Now().UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.SignGenesis(dir, r.operator); err != nil {
		t.Fatal(err)
	}
	r.open(dir)
	r.tick("first")
	for _, name := range []string{"b", "c"} {
		dir := filepath.Join(t.TempDir(), name)
		text, err := r.invite().Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.Join(t.Context(), dir, text, node.Place{Listen: anywhere, Cluster: anywhere}); err != nil {
			t.Fatal(err)
		}
		r.open(dir)
	}
	r.settled()
	return r
}

// open starts the node of a directory.
func (r *realm) open(dir string) *node.Node {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n, err := node.Open(ctx, node.Config{Dir: dir, Cluster: anywhere})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = n.Close() }) // under attack it may not end in order
	r.nodes = append(r.nodes, n)
	r.dirs[n.ID()] = dir
	return n
}

// stop closes a node.
func (r *realm) stop(n *node.Node) {
	r.t.Helper()
	if err := n.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.nodes = slices.DeleteFunc(r.nodes, func(o *node.Node) bool { return o == n })
}

// token makes a join token that names the first node.
func (r *realm) token() identity.JoinToken {
	n, now := r.nodes[0], time.Now().UnixMilli()
	return identity.JoinToken{
		Version: 1, Issued: now, Expires: now + time.Hour.Milliseconds(), Addresses: []string{n.ClusterAddr()},
		Pins: []identity.ID{n.ID()}, Roster: r.cluster(n).Roster,
	}
}

func (r *realm) invite() identity.JoinInvitation {
	r.t.Helper()
	i, err := identity.MakeJoinInvitation(r.operator, r.id, r.token())
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// plain hides where a connection stands, so that any node can be asked over it.
type plain struct{ bus.Conn }

// try asks a node over its own connection, as the operator would.
func (r *realm) try(n *node.Node, op control.Op, in, out any) error {
	process, err := bus.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	c, err := control.NewClient(plain{n.Conn()}, control.Party{
		Realm: r.id, Node: n.ID(), Principal: r.operator.ID(), Process: process,
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return c.Ask(ctx, op, in, out)
}

func (r *realm) ask(n *node.Node, op control.Op, in, out any) {
	r.t.Helper()
	if err := r.try(n, op, in, out); err != nil {
		r.t.Fatalf("%s: %v", op, err)
	}
}

func (r *realm) cluster(n *node.Node) (c control.Cluster) {
	r.t.Helper()
	r.ask(n, control.OpCluster, control.Nothing{}, &c)
	return c
}

func (r *realm) status(n *node.Node) (s control.Status) {
	r.t.Helper()
	r.ask(n, control.OpStatus, control.Nothing{}, &s)
	return s
}

// learn returns the realm as a node shows it to clients.
func (r *realm) learn(n *node.Node) (out control.Realm) {
	r.t.Helper()
	r.ask(n, control.OpRealm, control.Nothing{}, &out)
	return out
}

// authority returns who runs the realm, verified.
func (r *realm) authority() *identity.Authority {
	r.t.Helper()
	l := r.learn(r.nodes[0])
	a, err := identity.VerifyChain(r.id, l.Genesis, l.Rosters, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// whole reports whether a node counts the other honest ones among those heard and has a lease.
func (r *realm) whole(n *node.Node) bool {
	var c control.Cluster
	if r.try(n, control.OpCluster, control.Nothing{}, &c) != nil || c.Lease <= 0 {
		return false
	}
	for _, o := range r.nodes {
		i := slices.IndexFunc(c.Nodes, func(m control.Machine) bool { return m.Node == o.ID() })
		if i < 0 || c.Nodes[i].State != "leader" && c.Nodes[i].State != "follower" {
			return false
		}
	}
	return true
}

// settled waits until all honest nodes are whole.
func (r *realm) settled() {
	r.t.Helper()
	for _, n := range r.nodes {
		until(r.t, "the cluster is whole", func() bool { return r.whole(n) })
	}
}

// command signs a command that adds an operator: one that only a root can give, and of which all nodes can tell.
func (r *realm) command(author identity.Signer, name string) []byte {
	r.t.Helper()
	return r.commandOf(author, registry.TypeOperator, registry.AddOperator{Operator: newSigner(r.t, identity.Operator).ID(), Name: name})
}

func (r *realm) commandOf(author identity.Signer, typ registry.Type, body any) []byte {
	r.t.Helper()
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	c, err := registry.New(author.ID(), typ, body, nonce, time.Now().UnixMilli())
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := author.Cosign(r.id, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// submit hands a command in at a node.
func (r *realm) submit(n *node.Node, raw []byte) (registry.Answer, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return n.Submit(ctx, raw)
}

// tick shows that honest commands work at every honest node: the honest twin of every attack.
func (r *realm) tick(name string) {
	r.t.Helper()
	for i, n := range r.nodes {
		answer, err := r.submit(n, r.command(r.operator, name+"-"+string(rune('a'+i))))
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			r.t.Fatalf("an honest command at node %d: %v", i, err)
		}
		for _, o := range r.nodes {
			until(r.t, "all nodes know", func() bool { return r.status(o).Size >= answer.Index })
		}
	}
}

// leader returns the honest node that leads, or nil.
func (r *realm) leader() *node.Node {
	for _, n := range r.nodes {
		var c control.Cluster
		if r.try(n, control.OpCluster, control.Nothing{}, &c) != nil {
			continue
		}
		if slices.ContainsFunc(c.Nodes, func(m control.Machine) bool { return m.Self && m.State == "leader" }) {
			return n
		}
	}
	return nil
}

// follower returns a node that does not lead, after one of the others does.
func (r *realm) follower() *node.Node {
	r.t.Helper()
	var leader *node.Node
	until(r.t, "a node leads", func() bool { leader = r.leader(); return leader != nil })
	for _, n := range slices.Backward(r.nodes) {
		if n != leader {
			return n
		}
	}
	r.t.Fatal("no follower")
	return nil
}

// profile enrols an agent and returns how it connects to a node.
func (r *realm) profile(name string, at *node.Node) sdk.Profile {
	r.t.Helper()
	now := time.Now().UnixMilli()
	i, err := identity.NewInvitation(r.operator, r.id, identity.Token{
		Version: 1, Operator: r.operator.ID(), Name: name, Level: identity.Journeyer, Issued: now, Expires: now + 60_000,
		Addresses: []string{at.Addr()}, Pins: []identity.ID{at.ID()}, Serves: []string{"*"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := i.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	_, p, err := sdk.Enrol(r.t.Context(), text, sdk.KeepNothing())
	if err != nil {
		r.t.Fatal(err)
	}
	p.Addresses = []string{at.Addr()}
	return p
}

func (r *realm) connect(p sdk.Profile) *sdk.Agent {
	r.t.Helper()
	a, err := sdk.Connect(r.t.Context(), sdk.WithProfile(p))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

// wantCode fails the test unless err has the code.
func wantCode(t *testing.T, what string, err error, codes ...fault.Code) {
	t.Helper()
	if !slices.Contains(codes, fault.CodeOf(err)) {
		t.Errorf("%s: %v has code %q, want one of %q", what, err, fault.CodeOf(err), codes)
	}
}

// openAt starts the node of a directory where it was before, by its key.
func (r *realm) openAt(dir string, fixed map[identity.ID]string) *node.Node {
	r.t.Helper()
	signer, err := agefile.Load(filepath.Join(dir, "node.key"), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	settings := "listen: 127.0.0.1:0\ncluster: 127.0.0.1:0\nroutes: 127.0.0.1:0\n"
	if err := os.WriteFile(filepath.Join(dir, "conclave.yaml"), []byte(settings), 0o600); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n, err := node.Open(ctx, node.Config{Dir: dir, Cluster: fixed[signer.ID()]})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = n.Close() })
	r.nodes = append(r.nodes, n)
	return n
}

const upper = "text.upper"

// serve has an agent answer calls.
func serve(t *testing.T, a *sdk.Agent) {
	t.Helper()
	err := sdk.Handle(a, upper, func(_ context.Context, q *sdk.Request[string]) (string, error) {
		return strings.ToUpper(q.Data), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// call makes one call to whoever serves.
func call(t *testing.T, a *sdk.Agent) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := sdk.Call[string, string](ctx, a, sdk.Any(upper), "x")
	return err
}
