package node

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// TestTheFirstNodeReturnsWithoutItsLog: the others have its register, and give its server a new name.
func TestTheFirstNodeReturnsWithoutItsLog(t *testing.T) {
	r := grown(t)
	first := r.nodes[0]
	dir, old := first.config.Dir, first.log.ServerID()
	r.stop(first)
	for _, name := range []string{"raft", "head.cbor", seatFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	n := r.open(dir)
	r.nodes = append(r.nodes, n)
	r.settled()
	if n.log.ServerID() == old {
		t.Error("the server has its old name")
	}
	if err := r.add(n, 60, "after").Err(); err != nil {
		t.Error(err)
	}
}

// TestAMemberJoinsAgain: all it has left is its key. It needs a token to be heard, but its place it has already.
func TestAMemberJoinsAgain(t *testing.T) {
	r := grown(t)
	lost := r.nodes[2]
	key, err := os.ReadFile(filepath.Join(lost.config.Dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	r.stop(lost)
	dir := filepath.Join(t.TempDir(), "again")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	number := r.nodes[0].registrar.Authority().Number
	if _, err := Join(t.Context(), dir, r.invite(), Place{Listen: anywhere, Cluster: anywhere}); err != nil {
		t.Fatal(err)
	}
	n := r.open(dir)
	r.nodes = append(r.nodes, n)
	r.settled()
	if n.ID() != lost.ID() || n.registrar.Authority().Number != number {
		t.Errorf("it is %s, roster %d", n.ID(), n.registrar.Authority().Number)
	}
}

// TestAJoiningNodeThatIsGone holds nobody up: the next two count without it.
func TestAJoiningNodeThatIsGone(t *testing.T) {
	r := begin(t)
	submit(t, r.nodes[0], r.operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	gone := r.join("gone")
	dir := gone.config.Dir
	r.stop(gone)
	r.join("b")
	r.join("c")
	for _, n := range r.nodes {
		until(t, "three count, one joins", func() bool {
			a := n.registrar.Authority()
			return len(a.Nodes) == 3 && slices.Equal(a.Joining, idsOf(gone)) && n.registrar.Ready() == nil
		})
	}
	n := r.open(dir)
	until(t, "it has caught up", func() bool { return n.registrar.Size() == r.nodes[0].registrar.Size() })
	if err := n.registrar.Ready(); err == nil {
		t.Error("it serves without counting")
	}
}

// TestTwoNodesJoinAtOnce hand in their admissions at the same time.
func TestTwoNodesJoinAtOnce(t *testing.T) {
	r := begin(t)
	submit(t, r.nodes[0], r.operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	dirs := []string{filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	errs := make([]error, len(dirs))
	var both sync.WaitGroup
	for i, token := range []string{r.invite(), r.invite()} {
		both.Go(func() {
			_, errs[i] = Join(t.Context(), dirs[i], token, Place{Listen: anywhere, Cluster: anywhere})
		})
	}
	both.Wait()
	for i, dir := range dirs {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		r.nodes = append(r.nodes, r.open(dir))
	}
	r.settled()
}

func idsOf(nodes ...*Node) (list []identity.ID) {
	for _, n := range nodes {
		list = append(list, n.ID())
	}
	return list
}
