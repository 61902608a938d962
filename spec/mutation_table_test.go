package spec_test

import (
	"os"
	"strings"
	"testing"
)

// mutation is one row of mutations.txt: edits that take one check out of the product's code.
type mutation struct {
	check string
	also  []string // further checks, or vectors folder/name, that it turns red
	edits []edit
}

// edit replaces the one place in a file where old stands.
type edit struct{ file, old, new string }

// readMutations reads mutations.txt, whose head describes the form.
func readMutations(t *testing.T) []mutation {
	t.Helper()
	content, err := os.ReadFile("mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []mutation
	for number, line := range strings.Split(string(content), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" || word[0] == '#' {
			continue
		}
		if word == "check" {
			all = append(all, mutation{check: rest})
			continue
		}
		if len(all) == 0 || !all[len(all)-1].line(word, rest) {
			t.Fatalf("mutations.txt:%d: %q does not fit here", number+1, line)
		}
	}
	return all
}

// line takes one further line of the row and reports whether it fits.
func (m *mutation) line(word, rest string) bool {
	if word == "also" {
		m.also = append(m.also, strings.Fields(rest)...)
		return true
	}
	if word == "in" {
		m.edits = append(m.edits, edit{file: rest})
		return true
	}
	if len(m.edits) == 0 || (word != "-" && word != "+") {
		return false
	}
	e := &m.edits[len(m.edits)-1]
	side := &e.old
	if word == "+" {
		side = &e.new
	}
	if *side != "" {
		*side += "\n"
	}
	*side += rest
	return true
}

// TestMutationsFit holds: every edit finds its place, so that a change of the code cannot leave a row without effect.
func TestMutationsFit(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range readMutations(t) {
		if seen[m.check] || len(m.edits) == 0 {
			t.Errorf("%s: twice, or without an edit", m.check)
		}
		seen[m.check] = true
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.check, err)
		}
	}
}
