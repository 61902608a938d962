package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// end closes all nodes for good.
func (r *trio) end() {
	r.t.Helper()
	for _, n := range r.nodes {
		if err := n.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func signedBy(s identity.Signer) func(wire.Realm, identity.Roster) ([]byte, error) {
	return func(realm wire.Realm, r identity.Roster) ([]byte, error) { return s.Cosign(realm, r) }
}

func TestOneOfThreeGoesOnAlone(t *testing.T) {
	r := grown(t)
	size, left := r.nodes[1].registrar.Size(), r.dirs[1]
	quiet := slog.New(slog.DiscardHandler)
	if _, err := Inspect(left); fault.CodeOf(err) == "" {
		t.Error("inspected under a running node")
	}
	r.end()
	remains, err := Inspect(left)
	if err != nil || remains.Node != r.nodes[1].ID() || len(remains.Authority.Nodes) != 3 || len(remains.Log.Servers) != 3 ||
		remains.Log.LastIndex == 0 {
		t.Fatalf("remains %+v %v", remains, err)
	}
	if _, err := Inspect(t.TempDir()); !errors.Is(err, ErrNotInitialised) {
		t.Errorf("an empty directory: %v", err)
	}
	refused := errors.New("no")
	err = Recover(left, func(wire.Realm, identity.Roster) ([]byte, error) { return nil, refused }, quiet)
	if !errors.Is(err, refused) {
		t.Errorf("nobody signs: %v", err)
	}
	if err := Recover(left, signedBy(r.operator), quiet); err != nil {
		t.Fatal(err)
	}
	n := r.open(left)
	a := n.registrar.Authority()
	if a.Number != remains.Authority.Number+1 || !a.Recovered || len(a.Members()) != 1 || n.registrar.Size() != size+1 {
		t.Errorf("alone: %+v, %d commands, not %d", a, n.registrar.Size(), size+1)
	}
	if _, err := os.Stat(filepath.Join(left, RecoveryFile)); err == nil {
		t.Error("the file is still there")
	}
	answer := submit(t, n, r.operator, 30, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "later"})
	if err := answer.Err(); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Recover(left, signedBy(r.operator), quiet); !errors.Is(err, errNotNeeded) {
		t.Errorf("a node that is alone: %v", err)
	}
	r.nodes, r.dirs = []*Node{r.open(left)}, []string{left}
	r.join("d")
	r.join("e")
	r.settled()
}

func TestARecoveryThatNobodySignedIsRefused(t *testing.T) {
	r := grown(t)
	r.end()
	if err := Recover(r.dirs[0], signedBy(newSigner(t)), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Dir: r.dirs[0], Cluster: anywhere})
	if fault.CodeOf(err) != fault.NoQuorum || fault.HintOf(err) == "" {
		t.Errorf("opened: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.dirs[0], RecoveryFile)); err != nil {
		t.Errorf("the file is to be signed: %v", err)
	}
	if err := Recover(r.dirs[0], signedBy(r.operator), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if a := r.open(r.dirs[0]).registrar.Authority(); len(a.Members()) != 1 {
		t.Errorf("alone: %+v", a)
	}
}

func newSigner(t *testing.T) identity.Signer {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTheLeadMovesFromAnyNode asks nodes that follow as well as the one that leads.
func TestTheLeadMovesFromAnyNode(t *testing.T) {
	r := grown(t)
	for i, asked := range r.nodes {
		to := r.nodes[(i+2)%3]
		if err := (overview{asked.cluster}).Transfer(t.Context(), to.ID()); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		until(t, "the one named leads", to.log.Leads)
		until(t, "the others know", func() bool {
			for _, n := range r.nodes {
				if leader, known := n.log.Leader(); !known || leader != to.ID().String() {
					return false
				}
			}
			return true
		})
	}
	if err := (overview{r.nodes[0].cluster}).Transfer(t.Context(), newNodeID(t)); fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("to a node that is none: %v", err)
	}
}

func newNodeID(t *testing.T) identity.ID {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}
