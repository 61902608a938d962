package policyfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

func lint(text string, roots int) string {
	_, found := policyfile.Lint("policy.yaml", []byte(text), roots)
	var lines []string
	for _, f := range found {
		word := "fault"
		if f.Warning {
			word = "warning"
		}
		lines = append(lines, fmt.Sprintf("%d %s %s", f.Line, word, f.Path))
	}
	return strings.Join(lines, ", ")
}

// Files have all their faults named, and only where there is none what is doubtful.
func TestLint(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		roots int
		want  string
	}{
		"a preset":     {"preset: standard\n", 0, ""},
		"several":      {"preset: standard\nloosen: 0\nlevels:\n  L2: {weight: 1001, rates: 3}\n  L3: {alone: R3}\nnope: 1\n", 0, "2 fault loosen, 4 fault levels.L2, 4 fault levels.L2.weight, 5 fault levels.L3.alone, 6 fault "},
		"two classes":  {"preset: standard\nclasses:\n  R2: {approvals: 0}\n  R3: {approvals: 99}\n", 0, "3 fault classes.R2.approvals, 4 fault classes.R3.approvals"},
		"two kinds":    {"preset: solo\nkinds:\n  - {match: A, class: R0}\n  - {match: b, class: R9}\n  - {match: c, class: R1, when: [{class: R2}]}\n  - {match: c, class: R1}\n  - 3\n", 0, "3 fault kinds[0].match, 4 fault kinds[1].class, 5 fault kinds.c/when[0], 6 fault kinds.c, 7 fault kinds[4]"},
		"trust":        {"preset: standard\ntrust: {prior: x, blame: 0}\nladder:\n  L2: {people: 0}\n  L9: {}\n", 0, "2 fault trust.prior, 2 fault trust.blame, 4 fault ladder.L2.people, 5 fault ladder"},
		"a plain text": {"solo", 0, "1 fault "},
		"nothing":      {"", 0, "0 fault "},
		"no preset":    {"loosen: 3\n", 0, "1 fault preset"},
		"doubled":      {"preset: solo\nloosen: 1\nloosen: 1\n", 0, "3 fault loosen"},

		"few roots":  {"preset: standard\n", 1, "1 fault loosen"},
		"two roots":  {"preset: standard\n", 2, "1 warning ladder.L3.operators, 1 warning ladder.L4.foreign, 1 warning ladder.L5.foreign"},
		"many roots": {"preset: standard\n", 3, ""},
		"solo":       {"preset: solo\n", 1, ""},

		"a level without rights": {"preset: standard\nlevels:\n  L1: {publish: [], subscribe: []}\n", 0, "3 warning levels.L1"},
		"alone in vain":          {"preset: standard\nlevels:\n  L5: {propose: false}\n", 0, "3 warning levels.L5.alone, 3 warning levels.L5.propose"},
		"less than below":        {"preset: standard\nlevels:\n  L4: {weight: 0, alone: none}\n", 0, "3 warning levels.L4.alone, 3 warning levels.L4.weight"},
		"called and not served":  {"preset: standard\nlevels:\n  L1: {call: [a.b]}\n  L2: {serve: [a]}\n  L3: {serve: [a]}\n  L4: {serve: [a]}\n  L5: {serve: [a]}\n", 0, "3 warning levels.L1.call"},
		"a topic nobody writes":  {"preset: standard\nlevels:\n  L2: {publish: [a]}\n  L3: {publish: [a]}\n  L4: {publish: [a]}\n  L5: {publish: [a]}\nplain: [b]\n", 0, "7 warning plain"},
		"no weight":              {"preset: strict\nlevels:\n  L3: {weight: 0}\n  L4: {weight: 0}\n  L5: {weight: 0}\n", 0, "1 warning classes.R2, 1 warning classes.R2.commit, 1 warning classes.R3, 1 warning classes.R3.commit"},
		"shadowed":               {"preset: standard\nkinds:\n  - {match: 'a.*', class: R1}\n  - {match: a.b, class: R1}\n  - {match: a.c, class: R2}\n", 0, "4 warning kinds.a.b"},
		"not shadowed":           {"preset: standard\nkinds:\n  - {match: 'a.*', class: R1}\n  - {match: 'a.b.*', class: R2}\n  - {match: a.b.c, class: R1}\n", 0, ""},
		"everything is R3":       {"preset: standard\nkinds:\n  - {match: '*', class: R3}\n", 0, "3 warning kinds.*"},
		"everything is denied":   {"preset: standard\nkinds:\n  - {match: '*', deny: true}\n", 0, "1 warning emergency.kinds, 1 warning emergency.kinds"},
		"rules without a person": {"preset: standard\nkinds:\n  - {match: 'policy.*', class: R2}\n", 0, "3 warning kinds.policy.*"},
		"a weaker condition":     {"preset: standard\nkinds:\n  - match: a\n    class: R0\n    when:\n      - {above: 1, class: R2}\n      - {above: 1, deny: true}\n", 0, "6 warning kinds.a/when[0]"},
		"a condition of all":     {"preset: standard\nkinds:\n  - match: a\n    class: R0\n    when:\n      - {target: '*', class: R2}\n", 0, "6 warning kinds.a/when[0]"},
		"an emergency in vain":   {"preset: standard\nkinds: [{match: service.stop, deny: true}]\n", 0, "1 warning emergency.kinds"},
	} {
		if got := lint(c.text, c.roots); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// The files that are written have no findings, and what Parse refuses Lint finds first.
func TestLintAgreesWithParse(t *testing.T) {
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		text, err := policyfile.Marshal(preset(t, name))
		if err != nil {
			t.Fatal(err)
		}
		p, found := policyfile.Lint("f", text, 0)
		if len(found) > 0 || p.Digest() != preset(t, name).Digest() {
			t.Errorf("%s: %+v", name, found)
		}
	}
	for line := range strings.Split(honest, "\n") {
		text := replaced(line+1, "  what: is this")
		_, err := policyfile.Parse("f", []byte(text))
		_, found := policyfile.Lint("f", []byte(text), 0)
		if (err != nil) != (len(found) > 0 && !found[0].Warning) {
			t.Errorf("line %d: %v and %+v", line+1, err, found)
		}
	}
}

func FuzzLint(f *testing.F) {
	f.Add([]byte(honest))
	f.Add([]byte("preset: solo\nkinds: [{match: a, class: R0, when: [{above: 1, class: R2}, 3]}, {match: a}]\nladder: {L2: 3}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := policyfile.Parse("f", text)
		_, found := policyfile.Lint("f", text, 0)
		if (err != nil) != (len(found) > 0 && !found[0].Warning) {
			t.Fatalf("%v and %+v", err, found)
		}
	})
}
