package main

import (
	"os"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// rules prints the policy in force and returns it with one text replaced, as a file.
func (s shell) rules(who, name, old, by string) (path string) {
	s.Helper()
	text := s.ok(as(who, "policy", "show")...)
	if !strings.Contains(text, old) {
		s.Fatalf("no %q in %s", old, text)
	}
	return s.write(name, strings.Replace(text, old, by, 1))
}

// agentsAre is a rule of every preset that a test changes.
const (
	agentsAre = "match: \"agent.*\"\n    class: R3"
	newRule   = "match: \"report.*\"\n    class: R1\n  - " + agentsAre
)

func TestPolicyOfOne(t *testing.T) {
	s := newShell(t)
	m := s.serveSolo()
	s.enrol("worker")
	id := s.propose("report.daily") // nothing matches it: R3
	operator := func(args ...string) []string { return as("operator", args...) }
	same, next := s.rules("operator", "same.yaml", agentsAre, agentsAre), s.rules("operator", "next.yaml", agentsAre, newRule)

	s.wants("plan", s.ok(operator("policy", "plan", same)...), "none of the newest 1 decisions")
	s.wants("plan", s.ok(operator("policy", "plan", next)...), id[:16], "R3 → R1", "open → approved, alone", "1 of the newest 1 decisions")
	plan := document[struct{ Changed []admin.Planned }](s, operator("policy", "plan", next)...)
	if len(plan.Changed) != 1 || plan.Changed[0].ID.String() != id || plan.Changed[0].Would.Class != "R1" {
		t.Errorf("plan: %+v", plan)
	}
	r := s.refused(exitLocal, "conflict", operator("policy", "apply", same)...)
	s.wants("what is in force", r.Hint, "conclave policy show")
	s.refused(exitDenied, "denied", as("worker", "policy", "apply", next)...)
	for name, text := range map[string]string{
		"another preset": "preset: standard\n", "no policy": "nope", "an unknown key": "preset: solo\nnope: 1\n", "nothing": "",
	} {
		bad := s.write("bad.yaml", text)
		if e := s.run(operator("policy", "apply", bad)...); e.status != exitUsage && e.status != exitDenied {
			t.Errorf("%s: exit %d %s", name, e.status, e.stderr)
		}
	}
	s.refused(exitNotFound, "not_found", operator("policy", "apply", s.path("none"))...)
	if d := document[decisionDoc](s, operator("decision", "show", id)...); d.State != "open" {
		t.Errorf("after refusals the decision is %s", d.State)
	}

	s.wants("apply", s.ok(operator("policy", "apply", next)...), "is in force (change 1, ")
	if d := document[decisionDoc](s, operator("decision", "show", id)...); d.State != "superseded" {
		t.Errorf("the open decision is %s", d.State)
	}
	s.refused(exitRejected, "rejected", as("worker", "decision", "wait", id)...)
	s.wants("policy", s.ok(operator("policy", "show")...), `match: "report.*"`)
	digest := document[map[string]any](s, operator("policy", "show")...)["digest"].(string)
	s.wants("status", s.ok(operator("server", "status")...), "solo, changed once, digest "+digest)
	s.ok(operator("policy", "apply", same)...)
	s.wants("status", s.ok(operator("server", "status")...), "solo, changed 2 times, digest ")

	// A certificate of today leads from the genesis over both changes.
	id = s.propose("db.migrate")
	s.ok(operator("decision", "approve", id)...)
	cert := s.path("after.cert")
	s.ok(operator("decision", "export", id, cert)...)
	s.verified(cert, m.Realm)
}

func TestPolicyOfTwo(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\n")
	next, file := s.rules("alice", "next.yaml", agentsAre, newRule), s.path("change.cmd")
	r := s.refused(exitDenied, "no_quorum", as("alice", "policy", "apply", next)...)
	s.wants("what to do", r.Hint, "--out", "conclave operator sign")
	s.wants("written down", s.ok(as("alice", "policy", "apply", next, "--out", file)...), "1 more needed")
	s.refused(exitDenied, "no_quorum", as("alice", "operator", "sign", file, "--submit")...)
	if out := s.ok(as("bob", "policy", "show")...); strings.Contains(out, "report.*\"\n    class: R1") {
		t.Error("one person has changed the policy")
	}
	s.ok(as("alice", "policy", "apply", next, "--out", file)...)
	e := s.run(as("bob", "operator", "sign", file, "--submit")...)
	s.wants("what is signed", e.stderr, "replace the realm's policy by ", `match: "report.*"`)
	s.wants("applied", e.stdout, "is in force (change 1, ")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.write("change.cmd", string(raw[:len(raw)/2]))
	s.refused(exitVerification, "malformed", as("bob", "operator", "sign", file)...)
}

func TestFamily(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker", "text.*")
	operator := func(args ...string) []string { return as("operator", args...) }
	s.ok(operator("agent", "grant", "worker", "text.*")...)
	s.ok(operator("agent", "grant", "worker", "--family", "gpt.five")...)
	s.wants("what it serves stays", s.ok(operator("agent", "show", "worker")...), "family", "gpt.five", "text.*")
	s.ok(operator("agent", "grant", "worker", "review.code")...)
	s.wants("the family stays", s.ok(operator("agent", "show", "worker")...), "gpt.five", "review.code")
	for _, bad := range []string{"\x1b[2J", "GPT", "a b"} {
		s.refused(exitUsage, "usage", operator("agent", "grant", "worker", "--family", bad)...)
	}
}

func TestStatusTellsOfReviews(t *testing.T) {
	d := statusDoc{Reviews: reviewsOf(admin.Status{Reviews: []admin.Review{
		{At: 1_000, Due: 2_000, Over: true}, {At: 3_000, Due: 4_000},
	}})}
	var out strings.Builder
	d.write(&out, func(s string) string { return "<" + s + ">" })
	lines := strings.Split(out.String(), "\n")
	want := "<REVIEW OVERDUE: emergency decision 0000000000000000 was due at 1970-01-01T00:00:02Z; there is no other emergency until: " +
		"conclave decision settle 0000000000000000 --right, or --wrong>"
	if lines[0] != want {
		t.Errorf("overdue: %q", lines[0])
	}
	if !strings.HasPrefix(lines[1], "REVIEW DUE by 1970-01-01T00:00:04Z: ") || !strings.HasPrefix(lines[2], "realm ") {
		t.Errorf("due: %q", lines[1:3])
	}
	for n, want := range map[uint64]string{0: "as in the genesis", 1: "changed once", 2: "changed 2 times"} {
		if text := (statusDoc{Status: admin.Status{Policies: n}}).rules(); !strings.Contains(text, want) {
			t.Errorf("%d changes: %q", n, text)
		}
	}
}

func TestExplainPolicy(t *testing.T) {
	rules, err := policy.Preset(policy.Standard)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		body any
		code string
	}{
		"honest":           {registry.PutPolicy{Policy: rules.Encode()}, ""},
		"no policy":        {registry.PutPolicy{Policy: []byte("none")}, "malformed"},
		"cut off":          {registry.PutPolicy{Policy: rules.Encode()[:40]}, "malformed"},
		"of another kind":  {registry.Tick{Time: 1}, "malformed"},
		"with a byte more": {registry.PutPolicy{Policy: append(rules.Encode(), 0)}, "malformed"},
	} {
		c, err := registry.New(alice.ID(), registry.TypePolicy, row.body, [16]byte{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := explain(c)
		if string(codeOf(err)) != row.code {
			t.Errorf("%s: %v", name, err)
		}
		if row.code == "" && (!strings.HasPrefix(text, "replace the realm's policy by "+rules.Digest().String()) || !strings.Contains(text, "preset: standard")) {
			t.Errorf("%s: %q", name, text)
		}
	}
}
