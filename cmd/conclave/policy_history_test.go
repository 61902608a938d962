package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

type reignsDoc struct {
	Policies []struct {
		Number          uint64
		Digest, Command string
		Time, By        string
		Signers         []string
		InForce         bool `json:"in_force"`
	}
}

func TestPolicyHistory(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\n")
	d := document[reignsDoc](s, as("bob", "policy", "history")...)
	if len(d.Policies) != 1 || d.Policies[0].Number != 0 || !d.Policies[0].InForce || d.Policies[0].Time != "" || len(d.Policies[0].Signers) != 0 {
		t.Fatalf("at first: %+v", d)
	}
	first := d.Policies[0].Digest
	s.wants("at first", s.ok(as("bob", "policy", "history")...), "genesis", "the roots", "in force", first[:16])
	shown := s.ok(as("bob", "policy", "history", "--show", "0")...)
	if shown != s.ok(as("bob", "policy", "show")...) {
		t.Error("the genesis's policy is another than the one in force")
	}

	next, file := s.rules("alice", "next.yaml", agentsAre, newRule), s.path("change.cmd")
	s.ok(as("alice", "policy", "apply", next, "--out", file)...)
	s.ok(as("bob", "operator", "sign", file, "--submit")...)
	d = document[reignsDoc](s, as("alice", "policy", "history")...)
	if len(d.Policies) != 2 || d.Policies[0].InForce || !d.Policies[1].InForce || d.Policies[0].Digest != first {
		t.Fatalf("after one change: %+v", d)
	}
	p := d.Policies[1]
	if p.Number != 1 || !strings.HasPrefix(p.By, "root-") || len(p.Signers) != 2 || p.Signers[0] == p.Signers[1] || p.Time == "" || p.Digest == first || p.Command == "" {
		t.Errorf("the change: %+v", p)
	}
	if !slices.Contains(p.Signers, p.By) || !strings.HasPrefix(p.Signers[0], "root-") || !strings.HasPrefix(p.Signers[1], "root-") {
		t.Errorf("two roots have signed: %v", p.Signers)
	}
	s.wants("after one change", s.ok(as("bob", "policy", "history")...), p.Signers[0]+" "+p.Signers[1], p.Time, p.Digest[:16])
	text := s.ok(as("bob", "policy", "history", "--show", "1")...)
	rules, err := policyfile.Parse("shown", []byte(text))
	if err != nil || rules.Digest().String() != p.Digest {
		t.Errorf("policy 1: %v\n%s", err, text)
	}
	s.refused(exitNotFound, "not_found", as("bob", "policy", "history", "--show", "2")...)
	s.refused(exitNotFound, "not_found", as("bob", "policy", "history", "--show", "0")...)
	s.refused(exitUsage, "usage", as("bob", "policy", "history", "1")...)
}
