package admin

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// desk answers as a node does.
type desk struct {
	Registry
	cluster Cluster
	asked   [][]byte // rosters
	answer  registry.Answer
	err     error
	applies bool // the roster takes effect, whatever is answered
	realm   wire.Realm
	leads   identity.ID
}

func (d *desk) Cluster(context.Context) (Cluster, error) {
	c := d.cluster
	c.Nodes = slices.Clone(c.Nodes)
	return c, nil
}

func (d *desk) Seat(_ context.Context, raw []byte) (registry.Answer, error) {
	d.asked = append(d.asked, raw)
	if d.applies {
		c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
		if err != nil {
			return registry.Answer{}, err
		}
		d.cluster.Latest = c.ID(d.realm)
	}
	return d.answer, d.err
}

func (d *desk) Transfer(_ context.Context, to identity.ID) error {
	d.leads = to
	return nil
}

func signer(t *testing.T, role identity.Role) identity.Signer {
	t.Helper()
	s, _, err := identity.GenerateSigner(role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world is a realm that two roots govern and three nodes run, as an operator sees it.
type world struct {
	t        *testing.T
	roots    []identity.Signer
	stranger identity.Signer
	known    Known
	desk     *desk
}

func newWorld(t *testing.T, threshold uint64) *world {
	t.Helper()
	w := &world{t: t, stranger: signer(t, identity.Operator)}
	var nodes, roots []identity.ID
	for range 3 {
		nodes = append(nodes, signer(t, identity.Node).ID())
	}
	for range 2 {
		w.roots = append(w.roots, signer(t, identity.Operator))
		roots = append(roots, w.roots[len(w.roots)-1].ID())
	}
	slices.SortFunc(nodes, identity.ID.Compare)
	slices.SortFunc(roots, identity.ID.Compare)
	genesis, err := wire.Cosign(wire.Realm{}, identity.Genesis{
		Version: 1, Created: 1, Roots: roots, Threshold: threshold, Nodes: nodes, Policy: wire.Digest{1}, Nonce: [16]byte{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range w.roots {
		if genesis, err = identity.AddTo[identity.Genesis](r, wire.Realm{}, genesis); err != nil {
			t.Fatal(err)
		}
	}
	realm, err := identity.RealmOf(genesis)
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.VerifyChain(realm, genesis, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.known = Known{Realm: realm, Authority: a}
	w.desk = &desk{realm: realm}
	for i, id := range nodes {
		w.desk.cluster.Nodes = append(w.desk.cluster.Nodes, Machine{
			Node: id, Cluster: []string{"10.0.0.1:7416", "10.0.0.2:7416", "10.0.0.3:7416"}[i], State: "follower",
		})
	}
	return w
}

// as returns the administration by one operator.
func (w *world) as(s identity.Signer) Admin {
	k := w.known
	k.Signer = s
	return By(w.desk, func() Known { return k })
}

func TestARootInvitesANode(t *testing.T) {
	w := newWorld(t, 2)
	half, err := w.as(w.roots[0]).InviteNode(t.Context(), time.Hour)
	if err != nil || half.Lacks != 1 || len(half.Asks) != 3 {
		t.Fatalf("%+v %v", half, err)
	}
	whole, err := w.as(w.roots[1]).CosignNode(half.Text)
	if err != nil || whole.Lacks != 0 || whole.Expires != half.Expires {
		t.Fatalf("%+v %v", whole, err)
	}
	i, token, err := identity.ParseJoinInvitation(whole.Text)
	if err != nil || !slices.Equal(token.Pins, w.known.Authority.Nodes) || token.Roster != 0 {
		t.Fatalf("%+v %v", token, err)
	}
	if _, err := identity.VerifyJoinToken(i.Token, w.known.Realm, w.known.Authority.Roots, 2); err != nil {
		t.Error(err)
	}
	if again, err := w.as(w.roots[0]).CosignNode(half.Text); err == nil && again.Lacks != 1 {
		t.Errorf("one root's second signature counts: %+v", again)
	}
	if _, err := w.as(w.stranger).InviteNode(t.Context(), time.Hour); !errors.Is(err, ErrNotRoot) {
		t.Errorf("no root: %v", err)
	}
	if _, err := w.as(w.stranger).CosignNode(half.Text); !errors.Is(err, ErrNotRoot) {
		t.Errorf("no root: %v", err)
	}
	if _, err := w.as(w.roots[0]).InviteNode(t.Context(), 25*time.Hour); err == nil {
		t.Error("a token for longer than a day")
	}
	other := newWorld(t, 2)
	foreign, err := other.as(other.roots[0]).InviteNode(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.as(w.roots[1]).CosignNode(foreign.Text); !errors.Is(err, identity.ErrWrongRealm) {
		t.Errorf("another realm's: %v", err)
	}
}

func TestATokenNamesOnlyNodesOfTheRealm(t *testing.T) {
	w := newWorld(t, 2)
	forged := *w.known.Authority
	forged.Nodes = []identity.ID{signer(t, identity.Node).ID()}
	k := w.known
	k.Authority, k.Signer = &forged, w.roots[0]
	w.desk.cluster.Nodes[0].Node = forged.Nodes[0]
	i, err := By(w.desk, func() Known { return k }).InviteNode(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.as(w.roots[1]).CosignNode(i.Text); !errors.Is(err, errStrangers) {
		t.Errorf("signed: %v", err)
	}
}

func TestOnlyReachableNodesAreNamed(t *testing.T) {
	for _, row := range []struct {
		name, address string
		counts, want  bool
	}{
		{"an address", "10.0.0.9:7416", true, true},
		{"a name", "node.example.org:7416", true, true},
		{"IPv6", "[2001:db8::1]:7416", true, true},
		{"loopback", "127.0.0.1:7416", true, true},
		{"none", "", true, false},
		{"all addresses", "0.0.0.0:7416", true, false},
		{"all IPv6 addresses", "[::]:7416", true, false},
		{"no host", ":7416", true, false},
		{"no port", "10.0.0.9", true, false},
		{"one that joins", "10.0.0.9:7416", false, false},
	} {
		got := reachable(Cluster{Nodes: []Machine{{Cluster: row.address, Counts: row.counts}}})
		if (len(got) == 1) != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	w := newWorld(t, 1)
	for i := range w.desk.cluster.Nodes {
		w.desk.cluster.Nodes[i].Cluster = ""
	}
	if _, err := w.as(w.roots[0]).InviteNode(t.Context(), time.Hour); !errors.Is(err, ErrNoCluster) || fault.HintOf(err) == "" {
		t.Errorf("nowhere to join: %v", err)
	}
}

func TestNodesAreRemovedByTheRoots(t *testing.T) {
	w := newWorld(t, 2)
	gone := w.known.Authority.Nodes[1]
	raw, lacks, err := w.as(w.roots[0]).RemoveNode(gone)
	if err != nil || lacks != 1 {
		t.Fatalf("lacks %d: %v", lacks, err)
	}
	if raw, lacks, err = w.as(w.roots[1]).CosignRoster(raw); err != nil || lacks != 0 {
		t.Fatalf("lacks %d: %v", lacks, err)
	}
	if err := w.known.Authority.Consents(raw); err != nil {
		t.Errorf("the nodes do not consent: %v", err)
	}
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil || len(c.Claim.Nodes) != 2 || slices.Contains(c.Claim.Nodes, gone) || len(w.known.Authority.Nodes) != 3 {
		t.Fatalf("%+v %v", c.Claim, err)
	}
	result, err := wire.Encode(registry.Seated{Number: 1, Nodes: c.Claim.Nodes})
	if err != nil {
		t.Fatal(err)
	}
	w.desk.answer = registry.Answer{Result: result}
	if s, err := w.as(w.roots[0]).SeatRoster(t.Context(), raw); err != nil || s.Number != 1 || len(w.desk.asked) != 1 {
		t.Errorf("seated %+v %v", s, err)
	}
	if _, _, err := w.as(w.roots[0]).RemoveNode(signer(t, identity.Node).ID()); !errors.Is(err, ErrNoNode) {
		t.Errorf("no such node: %v", err)
	}
	if _, _, err := w.as(w.stranger).RemoveNode(gone); !errors.Is(err, ErrNotRoot) {
		t.Errorf("no root: %v", err)
	}
	if _, _, err := w.as(w.stranger).CosignRoster(raw); !errors.Is(err, ErrNotRoot) {
		t.Errorf("no root: %v", err)
	}
	last := *w.known.Authority
	last.Nodes, last.Joining = last.Nodes[:1], last.Nodes[1:]
	w.known.Authority = &last
	if _, _, err := w.as(w.roots[0]).RemoveNode(last.Nodes[0]); !errors.Is(err, ErrLastNode) {
		t.Errorf("the last that counts: %v", err)
	}
	if _, _, err := w.as(w.roots[0]).RemoveNode(last.Joining[0]); err != nil {
		t.Errorf("one that joins: %v", err)
	}
}

func TestARosterIsHandedInOnceItFollows(t *testing.T) {
	w := newWorld(t, 1)
	raw, _, err := w.as(w.roots[0]).RemoveNode(w.known.Authority.Nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	w.desk.err = fault.New(fault.Conflict, "asked twice")
	if _, err := w.as(w.roots[0]).SeatRoster(t.Context(), raw); !errors.Is(err, w.desk.err) {
		t.Errorf("a refusal: %v", err)
	}
	w.desk.applies = true
	if s, err := w.as(w.roots[0]).SeatRoster(t.Context(), raw); err != nil || s.Number != 1 || len(s.Nodes) != 2 {
		t.Errorf("the answer was lost, the roster is in force: %+v %v", s, err)
	}
	next := *w.known.Authority
	next.Number = 1
	w.known.Authority, w.desk.asked = &next, nil
	if _, err := w.as(w.roots[0]).SeatRoster(t.Context(), raw); !errors.Is(err, errOtherRoster) || w.desk.asked != nil {
		t.Errorf("an old one: %v", err)
	}
	if _, _, err := w.as(w.roots[1]).CosignRoster(raw); !errors.Is(err, errOtherRoster) {
		t.Errorf("an old one: %v", err)
	}
	if _, err := w.as(w.roots[0]).SeatRoster(t.Context(), []byte("text")); fault.CodeOf(err) != fault.Malformed {
		t.Errorf("no roster: %v", err)
	}
}

func TestClusterSaysWhichNodesCount(t *testing.T) {
	w := newWorld(t, 1)
	w.desk.cluster.Nodes = append(w.desk.cluster.Nodes, Machine{Node: signer(t, identity.Node).ID(), State: "joining"})
	c, err := w.as(w.roots[0]).Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range c.Nodes {
		if m.Counts != (i < 3) {
			t.Errorf("%d: %+v", i, m)
		}
	}
	if _, ok := c.Leader(); ok {
		t.Error("a leader among followers")
	}
	c.Nodes[1].State = "leader"
	if m, ok := c.Leader(); !ok || m.Node != c.Nodes[1].Node {
		t.Errorf("leader %+v", m)
	}
	to := w.known.Authority.Nodes[2]
	if err := w.as(w.roots[0]).Transfer(t.Context(), to); err != nil || w.desk.leads != to {
		t.Errorf("transferred to %s: %v", w.desk.leads, err)
	}
}
