package main

import (
	"os"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

// What init prints is the preset, has no findings, and passes the cases that init prints.
func TestPolicyInit(t *testing.T) {
	s := newShell(t)
	table := s.path("cases.yaml")
	s.wants("cases", s.ok("policy", "init", "--cases", "--out", table), "wrote "+table)
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		text := s.ok("policy", "init", "--preset", name)
		s.wants(name, text, "preset: "+name, "\ntrust:\n", "\nladder:\n", "half_life:", "score_per_mille: 900")
		want, err := policy.Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		doc := document[struct{ Digest, File, Preset string }](s, "policy", "init", "--preset", name)
		if doc.File != text || doc.Digest != want.Digest().String() || doc.Preset != name {
			t.Errorf("%s: %+v", name, doc)
		}
		file := s.write(name+".yaml", text)
		s.wants(name, s.ok("policy", "lint", file), "nothing found")
		s.wants(name, s.ok("policy", "test", file, table), " cases, 0 failed")
	}
	if text := s.ok("policy", "init"); !strings.Contains(text, "preset: standard") {
		t.Error("standard is not the default")
	}
	if doc := document[map[string]any](s, "policy", "init", "--cases"); doc["file"] != policyfile.DefaultCases {
		t.Errorf("cases: %v", doc)
	}
	r := s.refused(exitLocal, "conflict", "policy", "init", "--out", table)
	s.wants("what to do", r.Hint, "--out")
	if text, err := os.ReadFile(table); err != nil || string(text) != policyfile.DefaultCases {
		t.Errorf("the file that was there: %v\n%s", err, text)
	}
	s.refused(exitUsage, "usage", "policy", "init", "--preset", "lax")
	s.refused(exitUsage, "usage", "policy", "init", "standard")
}

func TestPolicyLint(t *testing.T) {
	s := newShell(t)
	good := s.write("good.yaml", "preset: standard\n")
	doubtful := s.write("doubtful.yaml", "preset: standard\nlevels:\n  L5: {propose: false}\n")
	bad := s.write("bad.yaml", "preset: standard\nloosen: 0\nladder:\n  L2: {people: 0}\n")
	odd := s.write("odd.yaml", "preset: standard\n\"\\e[2J\": 1\n")

	s.wants("good", s.ok("policy", "lint", good), good+": nothing found")
	s.wants("doubtful", s.ok("policy", "lint", doubtful), doubtful+":3: warning: levels.L5.alone: is in vain")
	s.wants("few roots", s.ok("policy", "lint", good, "--roots", "2"), "warning: ladder.L4.foreign: needs 2 operators")
	e := s.run("policy", "lint", bad)
	if e.status != exitUsage {
		t.Errorf("exit %d", e.status)
	}
	s.wants("bad", e.stdout, bad+":2: fault: loosen: must be at least 1\n", bad+":4: fault: ladder.L2.people: must be at least 1")
	s.wants("bad", e.stderr, "2 faults")
	if e := s.run("policy", "lint", odd); strings.Contains(e.stdout+e.stderr, "\x1b") || e.status != exitUsage {
		t.Errorf("exit %d, %q", e.status, e.stdout)
	}

	type doc struct {
		Digest           string
		Faults, Warnings int
		Findings         []policyfile.Finding
	}
	d := document[doc](s, "policy", "lint", doubtful)
	if d.Digest == "" || d.Faults != 0 || d.Warnings != 2 || len(d.Findings) != 2 || !d.Findings[0].Warning || d.Findings[0].Line != 3 {
		t.Errorf("%+v", d)
	}
	e = s.run("--json", "policy", "lint", bad)
	if d := decode[doc](s, e.stdout); e.status != exitUsage || d.Digest != "" || d.Faults != 2 || d.Findings[1].Path != "ladder.L2.people" {
		t.Errorf("exit %d, %+v", e.status, d)
	}
	s.refused(exitUsage, "invalid_input", "policy", "lint", good, "--roots", "1")
	s.refused(exitUsage, "usage", "policy", "lint", good, "--roots", "-1")
	s.refused(exitUsage, "usage", "policy", "lint")
	s.refused(exitNotFound, "not_found", "policy", "lint", s.path("none"))
}

func TestPolicyTest(t *testing.T) {
	s := newShell(t)
	rules := s.write("policy.yaml", "preset: standard\nkinds:\n  - {match: pay, class: R1, when: [{target: 'prod/*', class: R3}]}\n")
	table := func(rows ...string) string {
		return s.write("cases.yaml", "cases:\n  - "+strings.Join(rows, "\n  - ")+"\n")
	}
	holds := "{name: a payment, by: L3, kind: pay, want: {class: R1, alone: true}}"
	holds2 := "{name: in production, by: L3, kind: pay, target: prod/x, want: {class: R3, alone: false, people: 1}}"
	fails := "{name: too bold, by: L1, kind: pay, want: {allow: true}}"

	s.wants("all hold", s.ok("policy", "test", rules, table(holds, holds2)), "pass", "a payment", "R1", "alone", "R3", "2 cases, 0 failed")
	file := table(holds, fails)
	e := s.run("policy", "test", rules, file)
	if e.status != exitLocal {
		t.Errorf("exit %d", e.status)
	}
	s.wants("one fails", e.stdout, "FAIL", "line 3, too bold: allow is false, not true; L1 may not propose", "2 cases, 1 failed")
	s.wants("one fails", e.stderr, "1 of 2 cases do not hold")
	e = s.run("--json", "policy", "test", rules, file)
	type doc struct {
		Cases, Failed int
		Results       []tried
	}
	d := decode[doc](s, e.stdout)
	if e.status != exitLocal || d.Cases != 2 || d.Failed != 1 || len(d.Results) != 2 || !d.Results[0].Pass || d.Results[1].Pass || d.Results[1].Line != 3 {
		t.Errorf("exit %d, %+v", e.status, d)
	}

	gate := s.write("gate.cedar", `@raise("R2") forbid (principal, action, resource) when { context.amount > 5 };`)
	small := table("{name: small, by: L3, kind: pay, amount: 5, want: {allow: true}}", "{name: large, by: L3, kind: pay, amount: 6, want: {allow: false}}",
		"{name: large and said so, by: L3, kind: pay, amount: 6, least: R2, want: {allow: true, class: R2}}")
	s.wants("with a gate", s.ok("policy", "test", rules, small, "--cedar", gate), "3 cases, 0 failed", "R2 at least")
	if e := s.run("policy", "test", rules, small); e.status != exitLocal {
		t.Errorf("without the gate: exit %d", e.status)
	}
	s.refused(exitUsage, "invalid_input", "policy", "test", rules, small, "--cedar", rules)
	s.refused(exitNotFound, "not_found", "policy", "test", rules, small, "--cedar", s.path("none"))
	s.refused(exitUsage, "invalid_input", "policy", "test", rules, rules)
	s.refused(exitUsage, "invalid_input", "policy", "test", small, small)
	s.refused(exitNotFound, "not_found", "policy", "test", rules, s.path("none"))
	s.refused(exitUsage, "usage", "policy", "test", rules)
}

// What an action says decides its class on a running node, and the certificate shows it to whoever has nothing but the realm's id.
func TestConditionsInForce(t *testing.T) {
	s := newShell(t)
	m := s.council("preset: standard\nenrol_level: L3\nkinds:\n  - match: report.send\n    class: R1\n    when:\n" +
		"      - {target: \"board/*\", class: R3}\n      - {param: draft, value: \"*\", deny: true}\n")
	class := func(args ...string) decisionDoc {
		return document[decisionDoc](s, as("worker", append([]string{"decision", "propose", "report.send"}, args...)...)...)
	}
	if d := class("--target", "team"); d.Class != "R1" || d.State != "approved" {
		t.Errorf("to the team: %s, %s", d.Class, d.State)
	} else {
		cert := s.path("team.cert")
		s.ok(as("worker", "decision", "export", d.ID.String(), cert)...)
		s.verified(cert, m.Realm)
	}
	if d := class("--target", "board/all"); d.Class != "R3" || d.State != "open" {
		t.Errorf("to the board: %s, %s", d.Class, d.State)
	}
	s.refused(exitDenied, "denied", as("worker", "decision", "propose", "report.send", "--param", "draft=yes")...)
}
