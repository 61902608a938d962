package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// threeRoots is a policy of several people, in which a command waits for two agents and a person.
const threeRoots = "preset: standard\nenrol_level: L3\nclasses:\n  R2: {approvals: 3, people: 1}\n  R3: {approvals: 3}\n"

// council makes a realm of alice, bob and carol by a policy file, and runs its node. Each has an agent: worker, checker
// and auditor.
func (s shell) council(rules string) made {
	s.Helper()
	names := []string{"alice", "bob", "carol"}
	ids := s.people(names...)
	args := []string{"server", "init", "--data", s.path("realm"), "--policy", s.write("rules.yaml", rules), "--listen", anyPort}
	for _, name := range names {
		args = append(args, "--root", ids[name])
	}
	m := document[made](s, args...)
	for _, name := range names[:m.Needed] {
		s.ok("operator", "sign", "--data", m.Data, "--key", s.path(name+".key"))
	}
	for _, name := range names {
		s.ok("context", "add", name, "--realm", m.Realm, "--address", "127.0.0.1:1", "--pin", m.Pins[0], "--key", s.path(name+".key"))
	}
	s.serve(m.Data, names...)
	for i, name := range []string{"worker", "checker", "auditor"} {
		s.ok("agent", "enroll", strings.TrimSpace(s.ok("--context", names[i], "agent", "token", "--name", name, "--level", "L3")))
	}
	return m
}

// as puts who asks before a command.
func as(name string, args ...string) []string { return append([]string{"--context", name}, args...) }

// propose has the worker propose, and returns the decision's id.
func (s shell) propose(args ...string) string {
	s.Helper()
	return document[decisionDoc](s, as("worker", append([]string{"decision", "propose"}, args...)...)...).ID.String()
}

// ballots has the contexts vote, agents at once with one another where each waits for the others.
func (s shell) ballots(id, verb string, names ...string) {
	s.Helper()
	var voting []*background
	for _, name := range names {
		b := s.start(as(name, "decision", verb, id)...)
		voting = append(voting, b)
		until(s, b.stderr, "committed; ")
	}
	for _, b := range voting {
		if status := b.wait(); status != exitOK {
			s.Errorf("a vote: exit %d", status)
		}
	}
}

// wants reports texts that an output lacks, and control characters that it has.
func (s shell) wants(name, out string, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			s.Errorf("%s: no %q in\n%s", name, text, out)
		}
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		s.Errorf("%s: a control character came through: %q", name, out)
	}
}

func TestTwoAgentsAndAPersonHoldACommand(t *testing.T) {
	s := newShell(t)
	m := s.council(threeRoots)
	proof := s.path("proof")
	command := []string{"--", "/bin/sh", "-c", "echo ran >> " + proof}
	running := s.start(append(as("worker", "guard", "--reason", "a \u202eproof", "--uses", "2", "--until", "1h"), command...)...)
	s.wants("permit", until(t, running.stderr, "a permit for 2 runs"), "conclave guard --permit ")
	line := until(t, running.stderr, "decide: ")
	id := line[strings.LastIndex(line, " ")+1:]

	s.wants("inbox", s.ok(as("bob", "inbox")...), id, "secret until it ends", "2 times until", "conclave decision approve "+id, `"a \u202eproof"`)
	if d := document[struct{ Decisions []decisionDoc }](s, as("alice", "inbox")...).Decisions; len(d) != 0 {
		t.Errorf("it waits for its own operator: %+v", d)
	}
	s.wants("who may vote", s.ok(as("carol", "decision", "show", id)...), "may vote: U", ", L3, weight 1, of O", "may vote: O", "a person")
	s.ballots(id, "approve", "checker", "auditor")
	shown := s.ok(as("carol", "decision", "show", id)...)
	s.wants("who has voted", shown, "voted: ")
	if strings.Contains(shown, "approve: ") {
		t.Errorf("an open decision shows its ballots: %s", shown)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Fatal("it ran by two agents' ballots")
	}
	s.ok(as("bob", "decision", "approve", id, "--reason", "fine")...)
	if status := running.wait(); status != exitOK {
		t.Fatalf("the first run: exit %d", status)
	}
	s.wants("shown to all", s.ok(as("carol", "decision", "show", id)...), "approve: ", `because "fine"`, "2 times until", "1 used", "use 1: ", "executed")

	s.ok(append(as("worker", "guard", "--permit", id), command...)...)
	r := s.refused(exitGuard, "spent", append(as("worker", "guard", "--permit", id), command...)...)
	s.wants("the third run", r.Hint, "--uses")
	if text, err := os.ReadFile(proof); err != nil || string(text) != "ran\nran\n" {
		t.Errorf("it ran so: %q %v", text, err)
	}
	s.afterwards(id, m.Realm)
}

// afterwards votes late, keeps the certificate, and settles.
func (s shell) afterwards(id, realm string) {
	s.Helper()
	late := s.refused(exitDenied, "spent", as("carol", "decision", "approve", id)...)
	s.wants("a late vote", late.Hint, "conclave decision show "+id)
	s.refused(exitDenied, "spent", as("alice", "decision", "cancel", id)...)
	cert := s.path("council.cert")
	s.ok(as("carol", "decision", "export", id, cert)...)
	s.verified(cert, realm)
	s.explained(cert, realm)

	s.refused(exitDenied, "denied", as("checker", "decision", "settle", id, "--right")...)
	r := s.refused(exitDenied, "denied", as("bob", "decision", "settle", id, "--right")...)
	s.wants("by a voter", r.Hint, "nor does it")
	out := s.ok(as("alice", "decision", "settle", id, "--wrong", "--detail", "it \x1b[2Jleaked")...)
	s.wants("settled", out, "was wrong to do")
	s.refused(exitDenied, "denied", as("carol", "decision", "settle", id, "--right")...) // her agent has voted
	again := s.refused(exitDenied, "spent", as("alice", "decision", "settle", id, "--right")...)
	s.wants("settled twice", again.Hint, "conclave decision show "+id)
	s.wants("the settlement", s.ok(as("bob", "decision", "show", id)...), "settled", "wrong to do", `"it \x1b[2Jleaked"`)
	s.wants("who voted so", s.ok(as("bob", "agent", "show", "checker")...), "calibration", "from 1 settled vote")
}

// explained takes the certificate apart for people and scripts, and a damaged one, and what is none.
func (s shell) explained(cert, realm string) {
	s.Helper()
	explain := func(path string) []string {
		return []string{"decision", "verify", path, "--realm", realm, "--explain"}
	}
	s.wants("explained", s.ok(explain(cert)...), "WHAT IT SAYS\n", "WHAT WAS CHECKED", "ballots[2] (", "key       ", "signature ", "message   ",
		"WHAT IT DOES NOT PROVE")
	type doc struct {
		Valid      bool
		Code       string
		Signatures []struct{ Key, Signature, Message string }
	}
	if d := document[doc](s, explain(cert)...); !d.Valid || len(d.Signatures) < 6 {
		s.Errorf("explained to scripts: %+v", d)
	}
	raw, err := os.ReadFile(cert)
	if err != nil {
		s.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	for _, text := range []string{string(raw), string(raw[:100]), "none", ""} {
		e := s.run(explain(s.write("damaged.cert", text))...)
		s.wants("damaged", e.stdout, "FAILED", "NOT VALID", "IT PROVES NOTHING")
		if e.status != exitVerification || strings.Contains(e.stdout, "WHAT IT SAYS\n") || strings.Contains(e.stdout, "WHAT IT DOES NOT PROVE") {
			s.Errorf("damaged: exit %d\n%s", e.status, e.stdout)
		}
		e = s.run(append([]string{"--json"}, explain(s.path("damaged.cert"))...)...)
		if d := decode[doc](s, e.stdout); e.status != exitVerification || d.Valid || d.Code == "" {
			s.Errorf("damaged, to scripts: exit %d %+v", e.status, d)
		}
	}
}

// done has an agent do what was approved.
func (s shell) done(name, id string) {
	s.Helper()
	ctx, a := context.Background(), s.agentOf(name)
	v, err := a.Ballots().View(ctx, id)
	if err != nil {
		s.Fatal(err)
	}
	d, err := a.Decision(ctx, v.ID)
	if err != nil {
		s.Fatal(err)
	}
	if err := a.Execute(ctx, d, v.Action, func(context.Context) error { return nil }); err != nil {
		s.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\n")
	for who, name := range map[string]string{"its proposer": "worker", "its proposer's operator": "alice"} {
		id := s.propose("db.migrate", "--target", "prod")
		waiting := s.start(as("worker", "--json", "decision", "wait", id, "--watch")...)
		until(t, waiting.stderr, "open, 0 of 4 have voted")
		for _, other := range []string{"checker", "bob"} {
			r := s.refused(exitDenied, "denied", as(other, "decision", "cancel", id)...)
			s.wants("by another", r.Hint, "conclave decision show "+id[:16])
		}
		s.wants(who, s.ok(as(name, "decision", "cancel", id, "--reason", "off \x1b[2J\u202e")...), "is cancelled")
		if status := waiting.wait(); status != exitRejected {
			t.Errorf("%s: waiting ended with %d", who, status)
		}
		r := s.refused(exitRejected, "rejected", as("worker", "decision", "wait", id)...)
		s.wants("waiting", r.Message, "cancelled")
		s.wants("shown", s.ok(as("bob", "decision", "show", id)...), "cancelled", `"off \x1b[2J\u202e"`)
		s.refused(exitDenied, "spent", as(name, "decision", "cancel", id)...)
		s.refused(exitDenied, "spent", as("bob", "decision", "approve", id)...)
		s.refused(exitRejected, "rejected", as("bob", "decision", "export", id, s.path("none"))...)
	}
}

// TestEmergency is break-glass: two people decide at once, everybody sees it, and somebody else reviews it.
func TestEmergency(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\n")
	if out := s.ok(as("bob", "server", "status")...); strings.Contains(out, "REVIEW") || !strings.Contains(out, "standard, as in the genesis, digest ") {
		t.Errorf("status: %s", out)
	}
	s.refused(exitDenied, "denied", as("worker", "decision", "propose", "db.migrate", "--emergency")...)
	id := s.propose("service.stop", "--target", "web", "--emergency", "--reason", "on fire")[:16]
	s.wants("shown", s.ok(as("bob", "decision", "show", id)...), "EMERGENCY", "on fire")
	s.refused(exitDenied, "denied", as("checker", "decision", "approve", id)...)
	s.ok(as("bob", "decision", "approve", id)...)
	s.refused(exitDenied, "spent", as("bob", "decision", "approve", id)...) // it is still open
	s.wants("approved", s.ok(as("carol", "decision", "approve", id)...), "approved")
	settle := "conclave decision settle " + id + " --right, or --wrong"
	s.wants("list", s.ok(as("checker", "decision", "ls")...), "EMERGENCY "+id, settle, "R3!")
	s.wants("status", s.ok(as("carol", "server", "status")...), "REVIEW DUE by ", settle)
	type status struct{ Reviews []reviewDoc }
	if d := document[status](s, as("carol", "server", "status")...); len(d.Reviews) != 1 || d.Reviews[0].Over || !strings.HasSuffix(d.Reviews[0].Due, "Z") {
		t.Errorf("status: %+v", d)
	}
	s.refused(exitPending, "pending", as("alice", "decision", "settle", id, "--right")...) // nobody has done it, and still may
	s.done("worker", id)
	s.refused(exitDenied, "denied", as("bob", "decision", "settle", id, "--right")...)
	s.ok(as("alice", "decision", "settle", id, "--right", "--detail", "it burned")...)
	if out := s.ok(as("carol", "server", "status")...) + s.ok(as("carol", "decision", "ls")...); strings.Contains(out, "REVIEW") || strings.Contains(out, "EMERGENCY") {
		t.Errorf("after the review: %s", out)
	}
}

// TestOverdueReviewIsMadeTogether has people who voted on an emergency settle it, once its review is overdue, by a file that
// each of them signs.
func TestOverdueReviewIsMadeTogether(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\nemergency: {review: 1s}\n")
	id := s.propose("service.stop", "--target", "web", "--emergency")[:16]
	for _, name := range []string{"bob", "carol"} {
		s.ok(as(name, "decision", "approve", id)...)
	}
	s.done("worker", id)
	settle, file := as("bob", "decision", "settle", id, "--right", "--detail", "it \x1b burned"), s.path("review.cmd")
	type status struct{ Reviews []reviewDoc }
	for deadline := time.Now().Add(time.Minute); ; { // a lone node's log knows the time of its newest command
		s.wants("alone", s.refused(exitDenied, "denied", settle...).Hint, "--out FILE")
		if d := document[status](s, as("bob", "server", "status")...); len(d.Reviews) == 1 && d.Reviews[0].Over {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("not overdue: %+v", d)
		}
	}
	s.wants("written down", s.ok(append(settle, "--out", file)...), file, "1 more needed: conclave operator sign ")
	s.wants("with one signature", s.refused(exitDenied, "denied", as("bob", "operator", "sign", file, "--submit")...).Hint, "--out FILE")
	e := s.run(as("carol", "operator", "sign", file, "--submit")...)
	if e.status != exitOK {
		t.Fatalf("together: exit %d: %s", e.status, e.stderr)
	}
	s.wants("what is signed", e.stderr, "settle decision "+id, "right to do", `because "it \x1b burned"`)
	s.wants("settled", e.stdout, id+" was right to do")
	s.wants("the settlement", s.ok(as("worker", "decision", "show", id)...), "right to do, says O", `"it \x1b burned"`)
	if d := document[status](s, as("alice", "server", "status")...); len(d.Reviews) != 0 {
		t.Errorf("reviews: %+v", d.Reviews)
	}
	s.ok(as("alice", "decision", "settle", id, "--wrong", "--out", file)...)
	again := s.refused(exitDenied, "spent", as("bob", "operator", "sign", file, "--submit")...)
	s.wants("twice", again.Hint, "conclave decision show "+id)
}

// TestVotesAndProposalsThatAreRefused gives commands about decisions what they must refuse. The stories above are their
// honest twins.
func TestVotesAndProposalsThatAreRefused(t *testing.T) {
	s := newShell(t)
	s.council("preset: standard\nenrol_level: L3\n")
	id := s.propose("db.migrate", "--beneficiary", "checker", "--amount", "3", "--rollback", "drop \x1b it", "--not-before", "1h",
		"--uses", "3", "--until", "2h", "--open", "file=00*", "--open-target", "prod-*", "--param", "table=t", "--target", "prod-1")
	s.wants("shown", s.ok(as("bob", "decision", "show", id)...), "gains from it", "amount", `"drop \x1b it"`, "not before", "3 times until",
		"any of 00*", "also prod-*", "secret until it ends")
	for _, row := range []struct {
		name, as, args string
		status         int
		code, says     string
	}{
		{"a vote on nothing", "bob", "approve 00000000", exitNotFound, "unknown", ""},
		{"the proposer's", "worker", "approve " + id, exitDenied, "denied", ""},
		{"its operator's", "alice", "reject " + id, exitDenied, "denied", ""},
		{"who gains", "checker", "approve " + id, exitDenied, "denied", ""},
		{"too little confidence", "bob", "approve " + id + " --confidence 400", exitUsage, "usage", "500"},
		{"too much confidence", "bob", "approve " + id + " --confidence 1001", exitUsage, "usage", "1000"},
		{"settled while open", "alice", "settle " + id + " --right", exitPending, "pending", ""},
		{"settled by an agent", "worker", "settle " + id + " --right", exitDenied, "denied", "operator"},
		{"settled both ways", "alice", "settle " + id + " --right --wrong", exitUsage, "usage", "--right or --wrong"},
		{"settled neither way", "alice", "settle " + id, exitUsage, "usage", "--right or --wrong"},
		{"nothing settled", "alice", "settle 00000000 --right", exitNotFound, "unknown", ""},
		{"nothing cancelled", "alice", "cancel 00000000", exitNotFound, "unknown", ""},
		{"exported while open", "bob", "export " + id + " " + s.path("open.cert"), exitPending, "pending", ""},
		{"nothing exported", "bob", "export 00000000 x", exitNotFound, "unknown", ""},
		{"proposed: --until", "worker", "propose a.b --uses 2 --until soon", exitUsage, "usage", "--until"},
		{"proposed: --until too far", "worker", "propose a.b --uses 2 --until 169h", exitUsage, "usage", ""},
		{"proposed: --open alone", "worker", "propose a.b --open x=y", exitUsage, "usage", "--uses"},
		{"proposed: --open of what is fixed", "worker", "propose a.b --uses 2 --open x=1 --param x=1", exitUsage, "usage", "fixed by the action"},
		{"proposed: --open without a pattern", "worker", "propose a.b --uses 2 --open x", exitUsage, "usage", "--open"},
		{"proposed: --not-before", "worker", "propose a.b --not-before yesterday", exitUsage, "usage", "--not-before"},
		{"proposed: a stranger gains", "worker", "propose a.b --beneficiary stranger", exitNotFound, "unknown", "stranger"},
		{"proposed: no emergency", "worker", "propose a.b --emergency", exitDenied, "denied", ""},
		{"a permit of what is none", "worker", "wait " + id + " --timeout 50ms", exitPending, "pending", ""},
	} {
		args := append([]string{"decision"}, strings.Fields(row.args)...)
		e := s.run(append([]string{"--json"}, as(row.as, args...)...)...)
		lines := strings.Split(strings.TrimSpace(e.stderr), "\n")
		r := decode[map[string]refusal](t, lines[len(lines)-1])["error"]
		if e.status != row.status || string(r.Code) != row.code || !strings.Contains(r.Message, row.says) || r.Hint == "" {
			t.Errorf("%s: exit %d, %+v", row.name, e.status, r)
		}
	}
	if _, err := os.Stat(s.path("open.cert")); err == nil {
		t.Error("an open decision was exported")
	}
	guard := func(flags ...string) []string {
		return append(append(as("worker", "guard"), flags...), "--", "/bin/echo", "x")
	}
	s.refused(exitGuard, "usage", guard("--permit", id, "--uses", "2")...)
	s.refused(exitGuard, "unknown", guard("--permit", "00000000")...)
	s.refused(exitGuard, "usage", guard("--open", "argv=*")...)
	s.refused(exitGuard, "usage", guard("--uses", "2", "--open", "executable=*")...)
	s.refused(exitGuard, "usage", guard("--uses", "2", "--open", "argv=/bin/echo", "--open", "argv=y*")...)
	plain := s.propose("file.delete")
	s.wants("no permit", s.refused(exitGuard, "usage", guard("--permit", plain)...).Message, "is no permit")
	dry := s.ok(guard("--dry-run", "--uses", "2")...)
	s.wants("dry run", dry, "R2", "secret until it ends", "may vote: ")
	if d := document[struct{ Decisions []any }](s, as("worker", "decision", "ls")...); len(d.Decisions) != 2 {
		t.Errorf("the dry run or a refusal opened a decision: %d", len(d.Decisions))
	}
}

func TestInboxWatch(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	if out := s.ok(as("operator", "inbox")...); out != "nothing waits for your vote\n" {
		t.Errorf("empty: %q", out)
	}
	watch := s.start(as("operator", "inbox", "--watch", "--json")...)
	until(t, watch.stderr, "waiting for decisions")
	for range 2 {
		id := s.propose("db.migrate", "--reason", "\x1b[2J")
		line := until(t, watch.stdout, "{")
		if d := decode[decisionDoc](t, line); d.ID.String() != id || d.State != "open" {
			t.Errorf("it showed %s", line)
		}
		s.wants("to scripts", line, `\u001b[2J`)
		s.wants("to people", s.ok(as("operator", "inbox")...), id, `"\x1b[2J"`, "time left: ", "conclave decision approve "+id[:16])
		s.ok(as("operator", "decision", "abstain", id, "--reason", "no view")...)
	}
	if status := watch.stop(); status != exitOK {
		t.Errorf("interrupted: exit %d", status)
	}
	over := s.run(as("operator", "inbox", "--watch", "--timeout", "50ms")...)
	if over.status != exitOK {
		t.Errorf("when its time is over: %+v", over)
	}
}

// TestLeavingBeforeTheReveal ends a vote before the ballot can be revealed, and says what to do about it.
func TestLeavingBeforeTheReveal(t *testing.T) {
	s := newShell(t)
	s.council(threeRoots)
	id := s.propose("process.exec", "--target", "/bin/true")
	r := s.refused(exitPending, "pending", as("checker", "decision", "approve", id, "--timeout", "100ms")...)
	s.wants("left early", r.Hint, "conclave inbox --watch", "Z")
	e := s.run(as("auditor", "decision", "recuse", id, "--reason", "kin")...) // never secret, so it waits for nobody
	if e.status != exitOK || strings.Contains(e.stderr, "committed; ") {
		t.Errorf("recused: %+v", e)
	}
}
