package imports

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A source is one package as it stands in the tree: paths of ours are relative to the module.
type source struct {
	path   string
	ours   []string // packages of ours that it imports
	others []string // all other import paths
}

// check returns everything in which the packages break the table, one line a fault.
func check(table []row, packages []source) []string {
	var faults []string
	report := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, p := range packages {
		r, ok := find(table, p.path)
		if !ok {
			report("%s: not in the table; add {%q, STOREY, []string{what of ours it may import}} to table in internal/imports/table_test.go, and to ARCHITECTURE.md", p.path, p.path)
			continue
		}
		for _, imported := range p.ours {
			to, ok := find(table, imported)
			switch {
			case !ok:
				report("%s imports %s, which is not in the table", p.path, imported)
			case to.storey > r.storey:
				report("%s imports %s: an arrow upwards", p.path, imported)
			case !r.allows(to, imported) && !isOwed(p.path, imported):
				report("%s imports %s: its row does not allow that; a new arrow needs an ADR", p.path, imported)
			}
		}
		for _, imported := range p.others {
			if fault := checkOther(p.path, imported); fault != "" {
				report("%s", fault)
			}
		}
	}
	return append(faults, checkFloors(packages)...)
}

// checkOther judges an import of the standard library or of a third party.
func checkOther(path, imported string) string {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		allowed, isPure := pure[path]
		if isPure && matchesAny(impure, imported) && !slices.Contains(allowed, imported) {
			return fmt.Sprintf("%s is pure and imports %s", path, imported)
		}
		return ""
	}
	for _, i := range importers {
		if within(i.module, imported) {
			if !slices.Contains(i.by, path) && !isOwed(path, imported) {
				return fmt.Sprintf("%s imports %s, which only %v may", path, imported, i.by)
			}
			return ""
		}
	}
	return fmt.Sprintf("%s imports %s, which has no row in importers in internal/imports/table_test.go", path, imported)
}

// checkFloors reports a chain of imports of more than maxFloors packages. The vocabulary of errors is no floor, and the
// rooms of one door stand on one floor (ADR 1).
func checkFloors(packages []source) []string {
	below := map[string][]string{}
	for _, p := range packages {
		below[p.path] = p.ours
	}
	longest := map[string][]string{}
	var chain func(path string, seen []string) []string
	chain = func(path string, seen []string) []string {
		if done, ok := longest[path]; ok || slices.Contains(seen, path) {
			return done
		}
		var best []string
		for _, next := range below[path] {
			if next == "internal/fault" || sameDoor(path, next) {
				continue
			}
			if c := chain(next, append(seen, path)); len(c) > len(best) {
				best = c
			}
		}
		longest[path] = append([]string{path}, best...)
		return longest[path]
	}
	var top []string
	for _, p := range packages {
		if c := chain(p.path, nil); len(c) > len(top) {
			top = c
		}
	}
	if len(top) > maxFloors {
		return []string{fmt.Sprintf("%d floors, at most %d: %s", len(top), maxFloors, strings.Join(top, " > "))}
	}
	return nil
}

// sameDoor reports whether a package is one of the rooms inside the command that imports it.
func sameDoor(path, next string) bool {
	return strings.HasPrefix(path, "cmd/") && strings.HasPrefix(next, path+"/internal/")
}

// find returns the row of a package: its own, or the nearest one for everything below a path.
func find(table []row, path string) (row, bool) {
	best, found := row{}, false
	for _, r := range table {
		if r.path == path {
			return r, true
		}
		if matches(r.path, path) && len(r.path) > len(best.path) {
			best, found = r, true
		}
	}
	return best, found
}

// allows says whether the package of this row may import the package at path, whose row is to.
func (r row) allows(to row, path string) bool {
	words := map[string]bool{
		allGround:   to.storey == ground,
		allDomain:   to.storey == domain,
		allMachines: to.storey == machine,
		anything:    true,
	}
	return slices.ContainsFunc(r.may, func(m string) bool { return words[m] || matches(m, path) })
}

func isOwed(from, to string) bool {
	return slices.ContainsFunc(owed, func(a arrow) bool { return a.from == from && a.to == to })
}

// settled returns a fault for each owed arrow that no package has any more.
func settled(packages []source) []string {
	var faults []string
	for _, a := range owed {
		stands := func(p source) bool {
			return p.path == a.from && (slices.Contains(p.ours, a.to) || slices.Contains(p.others, a.to))
		}
		if !slices.ContainsFunc(packages, stands) {
			faults = append(faults, fmt.Sprintf("%s no longer imports %s: take it off owed in internal/imports/table_test.go", a.from, a.to))
		}
	}
	return faults
}

// matches compares a path with a pattern: the path itself, or a folder followed by /*.
func matches(pattern, path string) bool {
	folder, ok := strings.CutSuffix(pattern, "*")
	return pattern == path || ok && strings.HasPrefix(path, folder)
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

// within says whether an import path belongs to a module.
func within(module, path string) bool {
	return path == module || strings.HasPrefix(path, module+"/")
}

// checkPureFile returns the places of a file that use floats or start goroutines.
func checkPureFile(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	ast.Inspect(file, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "go statement"
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				what = "literal " + n.Value
			}
		case *ast.Ident:
			if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
				what = n.Name
			}
		}
		if what != "" {
			faults = append(faults, fmt.Sprintf("%s: %s in a pure package", fset.Position(n.Pos()), what))
		}
		return true
	})
	return faults
}
