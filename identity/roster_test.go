package identity_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// chain is a realm of three roots, threshold two, and three nodes, with rosters that change one node each.
type chain struct {
	roots   []identity.Signer
	nodes   [][]identity.Signer // by roster number
	realm   wire.Realm
	genesis []byte
	rosters [][]byte
}

func honestGenesis() identity.Genesis {
	return identity.Genesis{
		Version: 1, Created: now, Roots: ids(signers(identity.Operator, 10, 3)), Threshold: 2,
		Nodes: ids(signers(identity.Node, 20, 3)), Policy: wire.Digest{1}, Nonce: [16]byte{1},
	}
}

func honestRoster() identity.Roster {
	return identity.Roster{
		Version: 1, Number: 1, Previous: wire.Digest{1}, Issued: now, Roots: ids(signers(identity.Operator, 10, 3)),
		Threshold: 2, Nodes: ids(signers(identity.Node, 21, 3)),
	}
}

// newChain makes an honest chain of n rosters after the genesis.
func newChain(t testing.TB, n int) *chain {
	t.Helper()
	c := &chain{roots: signers(identity.Operator, 10, 3), nodes: [][]identity.Signer{signers(identity.Node, 20, 3)}}
	c.genesis = must(wire.Cosign(wire.Realm{}, honestGenesis(), keys(c.roots[:2]...)...))(t)
	c.realm = must(identity.RealmOf(c.genesis))(t)
	for range n {
		r := c.next(t)
		c.rosters = append(c.rosters, c.sign(t, r, c.roots[1:], c.nodes[len(c.rosters)][:2]))
		c.nodes = append(c.nodes, signers(identity.Node, 20+byte(r.Number), 3))
	}
	return c
}

// authority returns who runs the realm after the chain's rosters.
func (c *chain) authority(t testing.TB) *identity.Authority {
	t.Helper()
	return must(identity.VerifyChain(c.realm, c.genesis, c.rosters, 0))(t)
}

// next returns the roster that would follow, unsigned.
func (c *chain) next(t testing.TB) identity.Roster {
	t.Helper()
	a := c.authority(t)
	r := honestRoster()
	r.Number, r.Previous, r.Issued = a.Number+1, a.Latest(), now+int64(a.Number)
	r.Nodes = ids(signers(identity.Node, 20+byte(a.Number)+1, 3))
	return r
}

func (c *chain) sign(t testing.TB, r identity.Roster, roots, nodes []identity.Signer) []byte {
	t.Helper()
	return must(wire.Cosign(c.realm, r, keys(append(slices.Clone(roots), nodes...)...)...))(t)
}

func TestGenesisCheck(t *testing.T) {
	type g = identity.Genesis
	runChecks(t, honestGenesis(), []checkRow[g]{
		{"version", func(g *g) { g.Version = 2 }, fault.Version},
		{"version zero", func(g *g) { g.Version = 0 }, fault.Version},
		{"no time", func(g *g) { g.Created = 0 }, fault.Malformed},
		{"no policy", func(g *g) { g.Policy = wire.Digest{} }, fault.Malformed},
		{"no nonce", func(g *g) { g.Nonce = [16]byte{} }, fault.Malformed},
		{"no roots", func(g *g) { g.Roots = nil }, fault.Malformed},
		{"threshold zero", func(g *g) { g.Threshold = 0 }, fault.Malformed},
		{"threshold above the roots", func(g *g) { g.Threshold = 4 }, fault.Malformed},
		{"threshold of 2^63", func(g *g) { g.Threshold = 1 << 63 }, fault.Malformed},
		{"all roots", func(g *g) { g.Threshold = 3 }, ""},
		{"no nodes", func(g *g) { g.Nodes = nil }, fault.Malformed},
		{"nodes unsorted", func(g *g) { g.Nodes = []identity.ID{g.Nodes[1], g.Nodes[0]} }, fault.Malformed},
		{"node twice", func(g *g) { g.Nodes = []identity.ID{g.Nodes[0], g.Nodes[0]} }, fault.Malformed},
		{"root among nodes", func(g *g) { g.Nodes = g.Roots }, fault.Malformed},
		{"agent as root", func(g *g) { g.Roots = ids(signers(identity.Agent, 10, 3)) }, fault.Malformed},
		{"weak root", func(g *g) { g.Roots, g.Threshold = []identity.ID{weakID(identity.Operator)}, 1 }, fault.BadKey},
		{"weak node", func(g *g) { g.Nodes = []identity.ID{weakID(identity.Node)} }, fault.BadKey},
		{"too many nodes", func(g *g) { g.Nodes = ids(signers(identity.Node, 30, wire.MaxCosigners+1)) }, fault.Malformed},
		{"solo with three roots", func(g *g) { g.Solo = true }, fault.Malformed},
		{"solo", func(g *g) { g.Solo, g.Roots, g.Threshold = true, g.Roots[:1], 1 }, ""},
	})
}

func TestRosterCheck(t *testing.T) {
	type r = identity.Roster
	runChecks(t, honestRoster(), []checkRow[r]{
		{"version", func(r *r) { r.Version = 2 }, fault.Version},
		{"number zero", func(r *r) { r.Number = 0 }, fault.Malformed},
		{"no time", func(r *r) { r.Issued = -1 }, fault.Malformed},
		{"no predecessor", func(r *r) { r.Previous = wire.Digest{} }, fault.Malformed},
		{"no roots", func(r *r) { r.Roots = nil }, fault.Malformed},
		{"threshold zero", func(r *r) { r.Threshold = 0 }, fault.Malformed},
		{"no nodes", func(r *r) { r.Nodes = nil }, fault.Malformed},
		{"roots unsorted", func(r *r) { r.Roots = []identity.ID{r.Roots[2], r.Roots[0]} }, fault.Malformed},
		{"joining", func(r *r) { r.Joining = ids(signers(identity.Node, 50, 2)) }, ""},
		{"joining unsorted", func(r *r) {
			r.Joining = ids(signers(identity.Node, 50, 2))
			slices.Reverse(r.Joining)
		}, fault.Malformed},
		{"agent joining", func(r *r) { r.Joining = ids(signers(identity.Agent, 50, 1)) }, fault.Malformed},
		{"weak node joining", func(r *r) { r.Joining = []identity.ID{weakID(identity.Node)} }, fault.BadKey},
		{"node in both lists", func(r *r) { r.Joining = r.Nodes[1:2] }, fault.Malformed},
		{"most members", func(r *r) { r.Joining = ids(signers(identity.Node, 50, wire.MaxCosigners-3)) }, ""},
		{"too many members", func(r *r) { r.Joining = ids(signers(identity.Node, 50, wire.MaxCosigners-2)) }, fault.Malformed},
		{"admission", func(r *r) { r.Admission = []byte{1} }, ""},
		{"recovery that admits", func(r *r) { r.Admission, r.Recovery = []byte{1}, true }, fault.Malformed},
	})
}

func TestVerifyGenesis(t *testing.T) {
	c := newChain(t, 0)
	v := must(identity.VerifyGenesis(c.genesis, c.realm))(t)
	if wire.Realm(v.ID()) != c.realm || v.Statement().Threshold != 2 {
		t.Errorf("verified %+v", v.Statement())
	}
	genesis := honestGenesis()
	for _, row := range []struct {
		name string
		raw  []byte
		want fault.Code
	}{
		{"all three roots", must(wire.Cosign(wire.Realm{}, genesis, keys(c.roots...)...))(t), ""},
		{"one root", must(wire.Cosign(wire.Realm{}, genesis, keys(c.roots[:1]...)...))(t), fault.NoQuorum},
		{"one root and a stranger", must(wire.Cosign(wire.Realm{}, genesis, c.roots[0].Key(), key(99)))(t), fault.NoQuorum},
		{"one root and a node", must(wire.Cosign(wire.Realm{}, genesis, c.roots[0].Key(), c.nodes[0][0].Key()))(t), fault.NoQuorum},
		{"signed under its own realm", must(wire.Cosign(c.realm, genesis, keys(c.roots...)...))(t), fault.BadSignature},
		{"another genesis", must(wire.Cosign(wire.Realm{}, changed(genesis, func(g *identity.Genesis) { g.Nonce[0]++ }),
			keys(c.roots...)...))(t), fault.WrongRealm},
		{"not a genesis", c.sign(t, honestRoster(), c.roots, nil), fault.WrongKind},
		{"nothing", nil, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := identity.VerifyGenesis(row.raw, c.realm)
			wantCode(t, err, row.want)
		})
	}
	_, err := identity.RealmOf(nil)
	wantCode(t, err, fault.Malformed)
	unsigned := must(wire.Cosign(wire.Realm{}, genesis))(t)
	if r := must(identity.RealmOf(unsigned))(t); r != c.realm {
		t.Error("the realm id depends on signatures")
	}
}

func TestHonestChain(t *testing.T) {
	c := newChain(t, 3)
	for n := range 4 {
		a := must(identity.VerifyChain(c.realm, c.genesis, c.rosters[:n], uint64(n)))(t)
		if a.Number != uint64(n) || !slices.Equal(a.Nodes, ids(c.nodes[n])) || a.Recovered || a.Majority() != 2 ||
			a.Realm != c.realm || a.Threshold != 2 || a.Policy != (wire.Digest{1}) || a.Solo {
			t.Errorf("after %d rosters: %+v", n, a)
		}
		_, err := identity.VerifyChain(c.realm, c.genesis, c.rosters[:n], uint64(n)+1)
		wantCode(t, err, fault.Superseded)
	}
	_, err := identity.VerifyChain(otherRealm, c.genesis, nil, 0)
	wantCode(t, err, fault.WrongRealm)
}

func TestChainRefusals(t *testing.T) {
	c := newChain(t, 2)
	outgoing, incoming := c.nodes[2], signers(identity.Node, 40, 3)
	stranger := signer(identity.Operator, 99)
	type r = identity.Roster
	for _, row := range []struct {
		name   string
		change func(*r)
		roots  []identity.Signer
		nodes  []identity.Signer
		want   fault.Code
	}{
		{"honest", func(*r) {}, c.roots[:2], outgoing[:2], ""},
		{"everybody signs", func(*r) {}, c.roots, outgoing, ""},
		{"wrong previous", func(r *r) { r.Previous = wire.Digest(c.realm) }, c.roots, outgoing, fault.Malformed},
		{"skipped number", func(r *r) { r.Number++ }, c.roots, outgoing, fault.Malformed},
		{"repeated number", func(r *r) { r.Number-- }, c.roots, outgoing, fault.Malformed},
		{"too few roots", func(*r) {}, c.roots[:1], outgoing, fault.NoQuorum},
		{"root and a stranger", func(*r) {}, []identity.Signer{c.roots[0], stranger}, outgoing, fault.NoQuorum},
		{"no roots", func(*r) {}, nil, outgoing, fault.NoQuorum},
		{"its own threshold does not count", func(r *r) { r.Threshold = 1 }, c.roots[:1], outgoing, fault.NoQuorum},
		{"minority of nodes", func(*r) {}, c.roots, outgoing[:1], fault.NoQuorum},
		{"no nodes", func(*r) {}, c.roots, nil, fault.NoQuorum},
		{"incoming nodes only", func(r *r) { r.Nodes = ids(incoming) }, c.roots, incoming, fault.NoQuorum},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := c.sign(t, changed(c.next(t), row.change), row.roots, row.nodes)
			_, err := identity.VerifyChain(c.realm, c.genesis, append(slices.Clone(c.rosters), raw), 0)
			wantCode(t, err, row.want)
		})
	}
	_, err := identity.VerifyChain(c.realm, c.genesis, [][]byte{c.rosters[1], c.rosters[0]}, 0)
	wantCode(t, err, fault.Malformed)
	_, err = identity.VerifyChain(c.realm, c.genesis, [][]byte{c.rosters[0], c.genesis}, 0)
	wantCode(t, err, fault.WrongKind)
	foreign := must(wire.Cosign(otherRealm, c.next(t), keys(append(slices.Clone(c.roots), outgoing...)...)...))(t)
	_, err = identity.VerifyChain(c.realm, c.genesis, append(slices.Clone(c.rosters), foreign), 0)
	wantCode(t, err, fault.BadSignature)
}

func TestRecoveryIsMarked(t *testing.T) {
	c := newChain(t, 1)
	recovery := changed(c.next(t), func(r *identity.Roster) { r.Recovery = true })
	_, err := identity.VerifyChain(c.realm, c.genesis, append(c.rosters, c.sign(t, recovery, c.roots[:1], c.nodes[1])), 0)
	wantCode(t, err, fault.NoQuorum)
	c.rosters = append(c.rosters, c.sign(t, recovery, c.roots[:2], nil))
	c.nodes = append(c.nodes, signers(identity.Node, 22, 3))
	if a := c.authority(t); !a.Recovered {
		t.Error("roots alone replaced the nodes, unmarked")
	}
	c.rosters = append(c.rosters, c.sign(t, c.next(t), c.roots[:2], c.nodes[2]))
	if a := c.authority(t); !a.Recovered || a.Number != 3 {
		t.Error("the mark was lost by a later roster")
	}
}

func TestSoloEndsWithASecondRoot(t *testing.T) {
	roots, nodes := signers(identity.Operator, 10, 2), signers(identity.Node, 20, 1)
	g := changed(honestGenesis(), func(g *identity.Genesis) {
		g.Solo, g.Roots, g.Threshold, g.Nodes = true, ids(roots[:1]), 1, ids(nodes)
	})
	raw := must(wire.Cosign(wire.Realm{}, g, roots[0].Key()))(t)
	realm := must(identity.RealmOf(raw))(t)
	alone := must(identity.VerifyChain(realm, raw, nil, 0))(t)
	if !alone.Solo || alone.Majority() != 1 {
		t.Errorf("%+v", alone)
	}
	r := changed(honestRoster(), func(r *identity.Roster) {
		r.Previous, r.Roots, r.Threshold, r.Nodes = wire.Digest(realm), ids(roots), 2, ids(nodes)
	})
	next := must(wire.Cosign(realm, r, roots[0].Key(), nodes[0].Key()))(t)
	if two := must(identity.VerifyChain(realm, raw, [][]byte{next}, 1))(t); two.Solo {
		t.Error("two roots, still solo")
	}
}
