package imports

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the module's folder as seen from this package.
const root = "../.."

func TestImportGraph(t *testing.T) {
	packages := load(t)
	if len(packages) < 5 {
		t.Fatalf("found only %d packages below %s", len(packages), root)
	}
	for _, fault := range append(check(table, packages), settled(packages)...) {
		t.Error(fault)
	}
	for _, a := range owed {
		t.Logf("owed: %s imports %s: %s", a.from, a.to, a.reason)
	}
}

func TestPurePackagesHaveNoFloatsAndNoGoroutines(t *testing.T) {
	for path := range pure {
		for _, file := range goFiles(t, filepath.Join(root, path)) {
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, fault := range checkPureFile(fset, parsed) {
				t.Error(fault)
			}
		}
	}
}

// TestModulesBeside holds that the modules beside this one, which measure others, import nothing of ours.
func TestModulesBeside(t *testing.T) {
	for _, folder := range beside {
		files := goFilesBelow(t, filepath.Join(root, folder))
		if len(files) == 0 || !isModule(filepath.Join(root, folder)) {
			t.Errorf("%s is no module with Go files", folder)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range parsed.Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); within(modulePath, path) && !within(modulePath+"/"+folder, path) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}

func TestSDKLinksNoServer(t *testing.T) {
	if len(goFiles(t, filepath.Join(root, "sdk"))) == 0 {
		return // there is no SDK yet, so nobody links anything
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./sdk")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./sdk: %v", err)
	}
	for _, fault := range linkedServers(strings.Fields(string(out))) {
		t.Error(fault)
	}
}

// linkedServers returns a fault for each dependency that an SDK user must not link.
func linkedServers(deps []string) []string {
	var faults []string
	for _, dep := range deps {
		for _, server := range servers {
			if within(server, dep) {
				faults = append(faults, "sdk links "+dep)
			}
		}
	}
	return faults
}

// The table itself must make sense, whatever stands in the tree.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table {
		if seen[r.path] {
			t.Errorf("%s has two rows", r.path)
		}
		seen[r.path] = true
		for _, m := range r.may {
			if slices.Contains([]string{allGround, allDomain, allMachines, anything}, m) {
				continue
			}
			to, ok := find(table, m)
			if !ok || to.storey > r.storey {
				t.Errorf("%s may import %s, which has no row or stands above it", r.path, m)
			}
		}
	}
	for path := range pure {
		r, ok := find(table, path)
		if !ok {
			t.Errorf("pure package %s has no row", path)
		}
		for _, m := range r.may {
			if _, isPure := pure[m]; !isPure && m != allGround && m != allDomain && m != "internal/fault" {
				t.Errorf("pure package %s may import %s, which is not pure", path, m)
			}
		}
	}
	for _, i := range importers {
		for _, by := range i.by {
			if _, ok := find(table, by); !ok {
				t.Errorf("%s may be imported by %s, which has no row", i.module, by)
			}
		}
	}
	if r, _ := find(table, "trust"); r.allows(row{storey: domain}, "consensus") {
		t.Error("trust may import consensus")
	}
}

// load reads the imports of every package of the module from its files, for all systems and tags, tests aside.
func load(t *testing.T) []source {
	t.Helper()
	found := map[string]*source{}
	for _, file := range goFilesBelow(t, root) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.ToSlash(folder)
		if found[path] == nil {
			found[path] = &source{path: path}
		}
		found[path].add(parsed)
	}
	packages := make([]source, 0, len(found))
	for _, p := range found {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b source) int { return cmp.Compare(a.path, b.path) })
	return packages
}

// add takes in the imports of one file.
func (s *source) add(file *ast.File) {
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser let no such file through
		}
		list := &s.others
		if within(modulePath, path) {
			list, path = &s.ours, strings.TrimPrefix(strings.TrimPrefix(path, modulePath), "/")
		}
		if !slices.Contains(*list, path) {
			*list = append(*list, path)
		}
	}
}

// goFilesBelow lists the Go files of the module that are not tests.
func goFilesBelow(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_"))
			if hidden || name == "testdata" || name == "node_modules" || (path != root && isModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if isSource(name) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// isModule reports whether a folder is the root of a module.
func isModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

// goFiles lists the Go files of one package that are not tests; none if there is no such package.
func goFiles(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var files []string
	for _, entry := range entries {
		if isSource(entry.Name()) {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	return files
}

func isSource(name string) bool {
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
		!strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "_")
}
