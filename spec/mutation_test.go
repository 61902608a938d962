//go:build mutation

package spec_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lotSize is how many checks are taken out of one build at most. Building costs more than running.
const lotSize = 8

// TestMutations takes the checks out of the code and requires that exactly the vectors that name one, or rest on it, turn
// red. The code is replaced by an overlay: nothing is written into the module. Checks whose vectors lie in different folders are
// taken out together: a vector that turns red for another's sake lies in the wrong folder. Where a lot does not do what it
// should, each of it is tried alone.
func TestMutations(t *testing.T) {
	vectors := readVectors(t)
	for _, b := range lots(readMutations(t), vectors) {
		t.Run(b.name(), func(t *testing.T) {
			t.Parallel()
			if got, err := red(t, b); err == nil && slices.Equal(got, b.want(vectors)) {
				return
			}
			for _, m := range b {
				alone := lot{m}
				got, err := red(t, alone)
				if want := alone.want(vectors); err != nil || !slices.Equal(got, want) {
					t.Errorf("without the check %s\nturned red: %s\nexpected:   %s\n%v", m.check, strings.Join(got, " "), strings.Join(want, " "), err)
				}
			}
		})
	}
}

// lot is checks that are taken out together.
type lot []mutation

func (b lot) name() string {
	var checks []string
	for _, m := range b {
		checks = append(checks, m.check)
	}
	return strings.Join(checks, "+")
}

// want returns the vectors that must turn red, sorted.
func (b lot) want(vectors []vector) []string {
	var want []string
	for _, v := range vectors {
		if slices.ContainsFunc(b, func(m mutation) bool {
			return v.Check == m.check || slices.Contains(m.also, v.Check) || slices.Contains(m.also, v.path())
		}) {
			want = append(want, v.path())
		}
	}
	slices.Sort(want)
	return want
}

// folders returns where the vectors lie that turn red, sorted.
func (b lot) folders(vectors []vector) []string {
	var folders []string
	for _, path := range b.want(vectors) {
		folder, _, _ := strings.Cut(path, "/")
		folders = append(folders, folder)
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// takes reports whether a further check can be taken out with these: there is room, no vectors of one folder, and the edits
// do not get into each other's way.
func (b lot) takes(m mutation, vectors []vector) bool {
	if len(b) >= lotSize {
		return false
	}
	mine := lot{m}.folders(vectors)
	if slices.ContainsFunc(b.folders(vectors), func(theirs string) bool { return slices.Contains(mine, theirs) }) {
		return false
	}
	together := append(slices.Clone(b), m)
	_, err := together.apply()
	return err == nil
}

// apply returns the content that the files would have without the checks.
func (b lot) apply() (map[string]string, error) {
	var all mutation
	for _, m := range b {
		all.edits = append(all.edits, m.edits...)
	}
	return all.apply()
}

// lots puts each check into the first lot that takes it. The checks of the folders that have most of them come first: they
// need lots of their own anyway, which the others fill.
func lots(all []mutation, vectors []vector) []lot {
	crowd := map[string]int{}
	for _, m := range all {
		for _, folder := range (lot{m}).folders(vectors) {
			crowd[folder]++
		}
	}
	rank := func(m mutation) (most int) {
		for _, folder := range (lot{m}).folders(vectors) {
			most = max(most, crowd[folder])
		}
		return most
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b mutation) int { return cmp.Compare(rank(b), rank(a)) })
	var out []lot
	for _, m := range all {
		at := slices.IndexFunc(out, func(b lot) bool { return b.takes(m, vectors) })
		if at < 0 {
			out = append(out, lot{m})
			continue
		}
		out[at] = append(out[at], m)
	}
	return out
}

// runner is what runs the vectors: without the generators it is built faster, which counts, once for each mutation.
var runner = []string{
	"craft_test.go", "mutation_apply_test.go", "mutation_table_test.go", "vector_test.go", "verify_decision_test.go",
	"verify_envelope_test.go", "verify_evidence_test.go", "verify_realm_test.go", "verify_test.go",
}

// red returns the vectors that fail without the checks, sorted. Error: the code does not build so, or does not run.
func red(t *testing.T, b lot) ([]string, error) {
	t.Helper()
	arguments := []string{"test", "-vet=off", "-count=1", "-ldflags=-s -w", "-overlay", overlay(t, b), "-run", "^TestVectors$", "-json"}
	command := exec.CommandContext(t.Context(), "go", append(arguments, runner...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err == nil {
		return nil, nil
	}
	var failed []string
	ran := false
	for d := json.NewDecoder(&out); d.More(); {
		var event struct{ Action, Test, Output string }
		if err := d.Decode(&event); err != nil {
			t.Fatalf("go test: %v\n%s", err, errs.String())
		}
		if event.Action == "build-output" {
			fmt.Fprint(&errs, event.Output)
		}
		ran = ran || event.Test != ""
		if name, isVector := strings.CutPrefix(event.Test, "TestVectors/"); isVector && event.Action == "fail" {
			failed = append(failed, name)
		}
	}
	if !ran {
		return nil, fmt.Errorf("the code without it did not run:\n%s", errs.String())
	}
	slices.Sort(failed)
	return failed, nil
}

// overlay writes the changed files and returns the path of the file that tells the go command about them.
func overlay(t *testing.T, b lot) string {
	t.Helper()
	files, err := b.apply()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, content := range files {
		changed := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(changed, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
