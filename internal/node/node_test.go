package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/audit/filetrail"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// solo makes a signed solo realm in a directory and returns its operator.
func solo(t *testing.T) (dir string, operator identity.Signer) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "node")
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	initialise(t, dir, policy.Solo, operator)
	if err := SignGenesis(dir, operator); err != nil {
		t.Fatal(err)
	}
	return dir, operator
}

func initialise(t *testing.T, dir, preset string, roots ...identity.Signer) wire.Realm {
	t.Helper()
	p, err := policy.Preset(preset)
	if err != nil {
		t.Fatal(err)
	}
	var ids []identity.ID
	for _, r := range roots {
		ids = append(ids, r.ID())
	}
	slices.SortFunc(ids, identity.ID.Compare)
	realm, err := Init(dir, Plan{Policy: p, Roots: ids, Place: Place{Listen: "127.0.0.1:0"}, Nonce: [16]byte{1}, Now: time.Now().UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	return realm
}

func open(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// submit hands in a command by the operator and returns the answer.
func submit(t *testing.T, n *Node, s identity.Signer, nonce byte, typ registry.Type, body any) registry.Answer {
	t.Helper()
	c, err := registry.New(s.ID(), typ, body, [16]byte{nonce}, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Cosign(n.Realm(), c)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.Submit(context.Background(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func newOperator(t *testing.T) identity.ID {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

func TestRestartKeepsTheRegister(t *testing.T) {
	dir, operator := solo(t)
	n := open(t, dir)
	added := newOperator(t)
	first := submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: added, Name: "ben"})
	if first.Code != "" {
		t.Fatal(first.Err())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir)
	again := submit(t, n, operator, 2, registry.TypeOperator, registry.AddOperator{Operator: added, Name: "ben"})
	if again.Code != fault.Conflict || again.Index <= first.Index {
		t.Fatalf("after a restart: %+v", again)
	}
}

func TestThresholdOfRootsStartsTheNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	var roots []identity.Signer
	for range 3 {
		s, _, err := identity.GenerateSigner(identity.Operator)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, s)
	}
	initialise(t, dir, policy.Standard, roots...)
	stranger, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []identity.Signer{stranger, roots[0], roots[0]} {
		if err := SignGenesis(dir, s); err != nil {
			t.Fatal(err)
		}
		_, err := Open(context.Background(), Config{Dir: dir})
		if fault.CodeOf(err) != fault.NoQuorum || !strings.Contains(fault.HintOf(err), "operator sign") {
			t.Fatalf("one root and a stranger started it: %v", err)
		}
	}
	if err := SignGenesis(dir, roots[1]); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// TestBadDirectoriesAreRefused spoils an honest data directory in one way each. Nothing may change but the lock.
func TestBadDirectoriesAreRefused(t *testing.T) {
	edit := func(name string, change func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(change(string(b))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(old, by string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("nothing to replace: " + old)
			}
			return strings.Replace(s, old, by, 1)
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, m os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, name), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		code  fault.Code
	}{
		"nothing":                {func(*testing.T, string) {}, ""},
		"no genesis":             {remove(genesisFile), fault.NotFound},
		"cut genesis":            {edit(genesisFile, func(s string) string { return s[:len(s)-1] }), fault.Malformed},
		"forged genesis":         {edit(genesisFile, func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]^1) }), fault.BadSignature},
		"edited policy":          {edit(policyFile, replace("weight: 1", "weight: 9")), fault.Malformed},
		"policy without sense":   {edit(policyFile, replace("preset:", "presets:")), fault.InvalidInput},
		"settings without sense": {edit(settingsFile, replace("listen:", "lissen:")), fault.InvalidInput},
		"newer version":          {edit("VERSION", func(string) string { return "99\n" }), fault.Version},
		"directory others read":  {mode(".", 0o750), fault.LooseMode},
		"key others read":        {mode(keyFile, 0o640), fault.LooseMode},
		"another node's key":     {func(t *testing.T, dir string) { swapKey(t, dir) }, fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := solo(t)
			c.spoil(t, dir)
			n, err := Open(context.Background(), Config{Dir: dir})
			if fault.CodeOf(err) != c.code {
				t.Fatalf("%v, want code %q", err, c.code)
			}
			if n != nil {
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func swapKey(t *testing.T, dir string) {
	t.Helper()
	other, _ := solo(t)
	b, err := os.ReadFile(filepath.Join(other, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryIsHeldByOneNode(t *testing.T) {
	dir, _ := solo(t)
	n := open(t, dir)
	if _, err := Open(context.Background(), Config{Dir: dir}); fault.CodeOf(err) != fault.InUse {
		t.Fatalf("a second node: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// TestRewoundDiskIsRefused puts an older copy of the log beside the head that the node has signed since.
func TestRewoundDiskIsRefused(t *testing.T) {
	dir, operator := solo(t)
	n := open(t, dir)
	submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "raft")
	if err := os.CopyFS(backup, os.DirFS(filepath.Join(dir, "raft"))); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir)
	submit(t, n, operator, 2, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "carol"})
	if _, err := n.registrar.SignedHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Close() // as it is, it starts

	if err := os.RemoveAll(filepath.Join(dir, "raft")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "raft"), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	private(t, filepath.Join(dir, "raft"))
	if _, err := Open(context.Background(), Config{Dir: dir}); fault.CodeOf(err) != fault.Superseded {
		t.Fatalf("a rewound log: %v", err)
	}
}

// private takes away what copying gave to others.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryDoorIsInTheTrail(t *testing.T) {
	dir, operator := solo(t)
	n := open(t, dir)
	added := newOperator(t)
	submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: added, Name: "ben"})
	submit(t, n, operator, 2, registry.TypeStatus, registry.SetStatus{Principal: added, Status: trust.Quarantined})
	submit(t, n, operator, 3, registry.TypeConsume, registry.Consume{})
	if _, err := n.Submit(context.Background(), []byte("junk")); fault.CodeOf(err) != fault.Malformed {
		t.Fatalf("junk: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err := filetrail.Read(filepath.Join(dir, "trail"), func(e audit.Entry) error {
		seen[string(e.Door)+" "+e.Code] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"node ", "command ", "command malformed", "quarantine ", "consumption unknown", "admission "} {
		if !seen[want] {
			t.Errorf("no entry %q in %v", want, seen)
		}
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	dir, _ := solo(t)
	open(t, dir).Close() // libraries start goroutines of their own once
	before := runtime.NumGoroutine()
	n, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}
