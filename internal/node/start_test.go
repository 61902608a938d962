package node

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// TestAClusterAddressInUse is refused with a code, and leaves the directory free.
func TestAClusterAddressInUse(t *testing.T) {
	dir, _ := solo(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for range 2 { // it lets go of the directory
		if _, err := Open(t.Context(), Config{Dir: dir, Cluster: taken.Addr().String()}); fault.CodeOf(err) != fault.InUse {
			t.Fatalf("started: %v", err)
		}
	}
	n, err := Open(t.Context(), Config{Dir: dir, Cluster: anywhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// TestTheFirstNodeWithoutItsLog comes back with the roster that it kept and nothing of the log: the genesis names it
// alone, but it must wait for the others all the same.
func TestTheFirstNodeWithoutItsLog(t *testing.T) {
	r := grown(t)
	first := r.nodes[0]
	dir := first.config.Dir
	r.end()
	if err := os.RemoveAll(filepath.Join(dir, "raft")); err != nil {
		t.Fatal(err)
	}
	n := r.open(dir) // the others are down
	if err := n.registrar.Ready(); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("it serves what the genesis says: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if raw, err := n.registrar.SignedHead(ctx); err == nil && raw != nil {
		t.Error("it alone signs for the realm")
	}
}

// TestALoneNodeThatWasRewound must not go on from less than it has signed, though it may have peers one day.
func TestALoneNodeThatWasRewound(t *testing.T) {
	r := begin(t)
	n, dir := r.nodes[0], r.dirs[0]
	if err := r.add(n, 1, "one").Err(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "raft")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, "raft"))); err != nil {
		t.Fatal(err)
	}
	n = r.open(dir)
	if err := r.add(n, 2, "two").Err(); err != nil {
		t.Fatal(err)
	}
	must(n.registrar.SignedHead(t.Context()))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "raft")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "raft"), os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	chmod(t, filepath.Join(dir, "raft"))
	n, err := Open(t.Context(), Config{Dir: dir, Cluster: anywhere})
	if err == nil {
		_ = n.Close()
	}
	if fault.CodeOf(err) != fault.Superseded {
		t.Errorf("started on an older log: %v", err)
	}
}

// chmod makes everything in a directory private again.
func chmod(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && d.IsDir() {
			mode = 0o700
		}
		if err != nil {
			return err
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAllThreeStartAgain stops all nodes and starts them where they were, one after the other.
func TestAllThreeStartAgain(t *testing.T) {
	r := grown(t)
	size := r.nodes[0].registrar.Size()
	var at []string
	for _, n := range r.nodes {
		at = append(at, n.ClusterAddr())
	}
	r.end()
	r.nodes = nil
	for i, dir := range r.dirs {
		if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte("listen: 127.0.0.1:0\ncluster: 127.0.0.1:0\nroutes: 127.0.0.1:0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := Open(t.Context(), Config{Dir: dir, Cluster: at[i]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		r.nodes = append(r.nodes, n)
	}
	r.settled()
	if got := r.add(r.nodes[2], 50, "again").Index; got != size+1 {
		t.Errorf("leaf %d after %d", got, size)
	}
}
