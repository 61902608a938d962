package policyfile

import (
	"cmp"
	"errors"
	"slices"

	"github.com/seed-3e86d5b2/conclave/policy"
)

// Finding is one thing that [Lint] has found in a file.
type Finding struct {
	Line    int    `json:"line,omitempty"` // from 1; 0 where the YAML parser's own words name the line
	Path    string `json:"path,omitempty"` // the field; empty for the file as a whole
	Reason  string `json:"reason"`         // for people
	Warning bool   `json:"warning"`        // refuses nothing: see [policy.Policy.Doubts]
}

// Lint returns everything that is wrong with a policy file's text, by line, where [Parse] stops at the first; name is the
// file's name. Where nothing is, it returns what is doubtful, and the policy. With roots above 0, how many root operators the
// realm has, what such a realm could never use is wrong as well.
func Lint(name string, text []byte, roots int) (policy.Policy, []Finding) {
	r := reader{lines: make(map[string]int), all: true}
	p, errs := r.everything(text, roots)
	found := make([]Finding, 0, len(errs))
	note := func(err error, warning bool) {
		var at *Refusal
		if errors.As(r.locate(name, err), &at) {
			found = append(found, Finding{Line: at.Line, Path: at.Path, Reason: at.Reason, Warning: warning})
		}
	}
	for _, err := range errs {
		note(err, false)
	}
	if len(found) == 0 {
		for _, d := range p.Doubts(roots) {
			note(d, true)
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return p, found
}

// everything returns the policy that the text gives as far as it can be read, and all errors.
func (r *reader) everything(text []byte, roots int) (policy.Policy, []error) {
	root, err := document(text)
	if err != nil {
		return policy.Policy{}, []error{err}
	}
	p, err := r.policy(root)
	if err != nil { // there is no preset to go on with
		return policy.Policy{}, []error{err}
	}
	all := r.found
	for _, f := range p.Faults() {
		all = append(all, f)
	}
	if err := p.CheckRoots(roots); roots > 0 && err != nil {
		all = append(all, err)
	}
	return p, all
}
