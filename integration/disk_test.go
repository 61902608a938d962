//go:build tmpfs

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDiskFull runs a node on a small file system of its own, which needs root, and fills it. The node stops rather
// than answer what it cannot keep; with room again it starts and knows everything that it answered.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	mount := w.path("small")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=96m,mode=0700"); err != nil {
		t.Fatalf("mount a tmpfs (the tag tmpfs needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(mount, "node")
	w.must("server", "init", "--data", dir, "--listen", "127.0.0.1:0")
	w.start(dir, "")
	w.pointAt("operator", w.node.address)
	w.enrol("before", "L1")

	ballast := filepath.Join(mount, "ballast")
	fill(t, ballast)
	var failed result
	for i := range 200 { // what is left of the last block may still take some commands
		token := w.conclave("agent", "token", "--context", "operator", "--name", fmt.Sprint("full-", i), "--level", "L1")
		if token.code != 0 {
			failed = token
			break
		}
		if failed = w.conclave("agent", "enroll", strings.TrimSpace(token.stdout), "--timeout", "5s"); failed.code != 0 {
			break
		}
	}
	if failed.code == 0 {
		t.Fatal("the node took 200 commands on a full disk")
	}
	if code := w.node.wait(); code == 0 {
		t.Fatalf("the node ended with 0 on a full disk: %s", w.node.stderr)
	}
	if r := w.conclave("server", "run", "--data", dir, "--json"); r.code == 0 || !strings.Contains(r.stderr, `"disk_full"`) {
		t.Fatalf("start on a full disk: exit %d\n%s", r.code, r.stderr)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.start(dir, "")
	w.pointAt("operator", w.node.address)
	if list := w.must("agent", "ls", "--context", "operator", "--json"); !strings.Contains(list, `"before"`) {
		t.Fatalf("what was answered is gone: %s", list)
	}
	w.enrol("after", "L1")
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096} {
		for block := make([]byte, size); ; {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
}

// wait returns the exit code of a node that ends by itself.
func (n *node) wait() int {
	_ = n.cmd.Wait()
	return n.cmd.ProcessState.ExitCode()
}
