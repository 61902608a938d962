//go:build mutation

package spec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMutations takes out one check after the other and requires that exactly the vectors that name it, or rest on
// it, turn red. The code is replaced by an overlay: nothing is written into the module.
func TestMutations(t *testing.T) {
	vectors := readVectors(t)
	for _, m := range readMutations(t) {
		t.Run(m.check, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, v := range vectors {
				if v.Check == m.check || slices.Contains(m.also, v.Check) || slices.Contains(m.also, v.path()) {
					want = append(want, v.path())
				}
			}
			slices.Sort(want)
			if got := red(t, m); !slices.Equal(got, want) {
				t.Errorf("without the check\nturned red: %s\nexpected:   %s", strings.Join(got, " "), strings.Join(want, " "))
			}
		})
	}
}

// runner is what runs the vectors: without the generators it is built faster, which counts, once for each mutation.
var runner = []string{
	"craft_test.go", "mutation_apply_test.go", "mutation_table_test.go", "vector_test.go", "verify_decision_test.go",
	"verify_envelope_test.go", "verify_realm_test.go", "verify_test.go",
}

// red returns the vectors that fail under the mutation, sorted.
func red(t *testing.T, m mutation) []string {
	t.Helper()
	arguments := []string{"test", "-vet=off", "-count=1", "-ldflags=-s -w", "-overlay", overlay(t, m), "-run", "^TestVectors$", "-json"}
	command := exec.CommandContext(t.Context(), "go", append(arguments, runner...)...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err == nil {
		return nil
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
		t.Fatalf("the mutated code did not run:\n%s", errs.String())
	}
	slices.Sort(failed)
	return failed
}

// overlay writes the changed files and returns the path of the file that tells the go command about them.
func overlay(t *testing.T, m mutation) string {
	t.Helper()
	files, err := m.apply()
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
