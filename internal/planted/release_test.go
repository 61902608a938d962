//go:build !planted

package planted

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// names reads the closed list from its source.
func names(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "planted.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, text)
		}
		return true
	})
	if len(list) < 10 {
		t.Fatalf("only %q", list)
	}
	return list
}

// program builds conclave and returns its path and bytes.
func program(t *testing.T, tags string) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "conclave")
	if out, err := exec.Command("go", "build", "-tags", tags, "-o", path, "../../cmd/conclave").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// symbols says whether a program has code of this package.
func symbols(t *testing.T, path string) bool {
	t.Helper()
	out, err := exec.Command("go", "tool", "nm", path).Output()
	if err != nil || !bytes.Contains(out, []byte("conclave/internal/ledger.")) {
		t.Fatalf("the symbols of %s: %v", path, err)
	}
	return bytes.Contains(out, []byte("conclave/internal/planted."))
}

// TestReleaseHasNoFault holds that a normal build has neither a fault's name nor code of this package, where a build with
// the tag has both.
func TestReleaseHasNoFault(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program twice; run without -short, as the gate does")
	}
	plain, plainBytes := program(t, "")
	broken, brokenBytes := program(t, "planted")
	for _, name := range append(names(t), "CONCLAVE_PLANTED") {
		if !bytes.Contains(brokenBytes, []byte(name)) {
			t.Errorf("a build with the tag does not know %s", name)
		}
		if bytes.Contains(plainBytes, []byte(name)) {
			t.Errorf("a normal build knows %s", name)
		}
	}
	if !symbols(t, broken) || symbols(t, plain) {
		t.Errorf("code of this package: with the tag %v, without %v", symbols(t, broken), symbols(t, plain))
	}
}

func TestNothingIsPlantedInANormalBuild(t *testing.T) {
	t.Setenv("CONCLAVE_PLANTED", "fault-endless-lease")
	if Fault(EndlessLease) || At(EndlessLease, token.ADD) {
		t.Error("it has a fault")
	}
	delivered := 0
	for range 100 {
		Deliver(func() { delivered++ })
		DeliverMessage(func() { delivered++ })
	}
	if delivered != 200 {
		t.Errorf("%d of 200", delivered)
	}
}
