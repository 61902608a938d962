package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// serveSolo makes a solo realm and runs its node on a free port.
func (s shell) serveSolo() made {
	s.Helper()
	m := document[made](s, "server", "init", "--data", s.path("realm"), "--listen", "127.0.0.1:0")
	s.serve(m.Data, "operator")
	return m
}

// serve runs the node of a data directory and tells the contexts where it is.
func (s shell) serve(data string, names ...string) *background {
	s.Helper()
	b := s.start("server", "run", "--data", data, "--listen", "127.0.0.1:0", "--json")
	doc := decode[map[string]string](s, until(s, b.stdout, "{"))
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		s.Fatal(err)
	}
	for _, name := range names {
		c, err := store.Load(name)
		if err != nil {
			s.Fatal(err)
		}
		if c.Realm != doc["realm"] || !slices.Contains(c.Pins, doc["node"]) {
			s.Fatalf("context %+v, node %v", c, doc)
		}
		c.Addresses = []string{doc["address"]}
		if err := store.Save(name, c); err != nil {
			s.Fatal(err)
		}
	}
	return b
}

// enrol lets an agent in and returns its ID.
func (s shell) enrol(name string, serves ...string) string {
	s.Helper()
	args := []string{"--context", "operator", "agent", "token", "--name", name}
	for _, p := range serves {
		args = append(args, "--serves", p)
	}
	token := s.ok(args...)
	e := s.feed(token, "--json", "agent", "enroll", "-")
	if e.status != 0 {
		s.Fatalf("enroll %s: %d %s", name, e.status, e.stderr)
	}
	doc := decode[map[string]any](s, e.stdout)
	if doc["context"] != name || doc["name"] != name {
		s.Fatalf("enrolled %v", doc)
	}
	return doc["agent"].(string)
}

// agentOf connects as the agent of a context, for what only code can do.
func (s shell) agentOf(name string) *sdk.Agent {
	s.Helper()
	a, err := sdk.Connect(context.Background(), sdk.Context(name))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			s.Error(err)
		}
	})
	return a
}

func TestAgentsAndMessages(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	id := s.enrol("echo", "text.*")
	s.enrol("second")
	s.enrol("caller")

	s.refused(exitNobody, "no_responder", "discover", "text.echo")
	server := s.agentOf("echo")
	err := sdk.HandleBytes(server, "text.echo", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		if string(d.Content) == `"fail"` {
			return nil, sdk.Errorf(code.InvalidInput, "no \x1b[2J")
		}
		return d.Content, nil
	}, sdk.Describe("says it \u202eagain"))
	if err != nil {
		t.Fatal(err)
	}
	type foundDoc struct{ Found []sdk.Found }
	if f := document[foundDoc](s, "discover", "text.echo", "--min-level", "L3").Found; len(f) != 1 || f[0].Peer.ID.String() != id {
		t.Errorf("found %+v", f)
	}
	if out := s.ok("discover"); !strings.Contains(out, `says it \u202eagain`) {
		t.Errorf("discover: %q", out)
	}
	if f := document[foundDoc](s, "discover", "--min-level", "L4").Found; len(f) != 0 {
		t.Errorf("above its level: %+v", f)
	}

	for _, target := range []string{"text.echo", "echo/text.echo", id + "/text.echo"} {
		if out := s.ok("call", target, `{"a": "b"}`); out != `{"a":"b"}`+"\n" {
			t.Errorf("call %s: %q", target, out)
		}
	}
	if e := s.feed(`[1]`, "call", "text.echo", "-"); e.stdout != "[1]\n" || !strings.Contains(e.stderr, "context caller") {
		t.Errorf("from stdin: %+v", e)
	}
	s.refused(exitUsage, "invalid_input", "--context", "second", "call", "text.echo", `"fail"`)
	s.refused(exitNobody, "no_responder", "--context", "second", "call", "text.other")
	r := s.refused(exitUsage, "usage", "--context", "operator", "call", "text.echo")
	if !strings.Contains(r.Hint, "--as") {
		t.Errorf("an operator calls: %+v", r)
	}
	if out := s.ok("--context", "operator", "call", "--as", "desk", "text.echo", "1"); out != "1\n" {
		t.Errorf("as an agent of the operator: %q", out)
	}
}

func TestTopics(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("reporter")
	s.enrol("reader")
	reporter := s.agentOf("reporter")
	if err := reporter.Advertise(context.Background(), "report.daily"); err != nil {
		t.Fatal(err)
	}
	sub := s.start("--context", "reader", "sub", "report.*", "--count", "2", "--json")
	until(t, sub.stderr, "reading report.*")
	if _, err := sdk.PublishBytes(context.Background(), reporter, "report.daily", []byte(`{"n": 1}`)); err != nil {
		t.Fatal(err)
	}
	m := decode[message](t, until(t, sub.stdout, "{"))
	if m.Topic != "report.daily" || m.From.Name != "reporter" || string(m.Data) != `{"n":1}` {
		t.Errorf("heard %+v", m)
	}
	published := document[map[string]string](s, "--context", "reporter", "pub", "report.weekly", `"two"`)
	m = decode[message](t, until(t, sub.stdout, "{"))
	if m.ID != published["id"] || string(m.Data) != `"two"` {
		t.Errorf("heard %+v, published %v", m, published)
	}
	if status := sub.wait(); status != exitOK {
		t.Errorf("exit %d after the count", status)
	}
	s.refused(exitNobody, "no_responder", "--context", "reader", "sub", "report.*", "--count", "1", "--timeout", "100ms")
	interrupted := s.start("--context", "reader", "sub", "report.*", "--count", "1")
	until(t, interrupted.stderr, "reading")
	if status := interrupted.stop(); status != exitOK {
		t.Errorf("exit %d after an interruption", status)
	}
}

func TestDecisions(t *testing.T) {
	s := newShell(t)
	m := s.serveSolo()
	s.enrol("worker")
	cert := s.path("decision.cert")
	propose := func(args ...string) decisionDoc {
		return document[decisionDoc](s, append([]string{"--context", "worker", "decision", "propose"}, args...)...)
	}

	d := propose("db.migrate", "--target", "prod", "--param", "file=1.sql", "--param", "file=2.sql", "--reason", "a\x1bb")
	if d.Class != "R3" || d.State != "open" || !slices.Equal(d.Action.Params["file"], []string{"1.sql", "2.sql"}) {
		t.Errorf("proposed %+v", d)
	}
	id := d.ID.String()
	if raised := propose("db.read", "--class", "R2"); raised.Class != "R2" {
		t.Errorf("raised to %s", raised.Class)
	}
	s.refused(exitDenied, "denied", "--context", "worker", "decision", "approve", id)
	s.refused(exitPending, "pending", "--context", "worker", "decision", "wait", id, "--timeout", "50ms")
	shown := s.ok("--context", "operator", "decision", "show", id[:9])
	if !strings.Contains(shown, `"a\x1bb"`) || !strings.Contains(shown, `"2.sql"`) || !strings.Contains(shown, d.Action.Digest) {
		t.Errorf("shown %q", shown)
	}
	waits := s.ok("--context", "operator", "decision", "ls", "--waiting")
	if !strings.Contains(waits, id[:16]) {
		t.Errorf("waiting: %q", waits)
	}
	approved := s.run("--context", "operator", "decision", "approve", id[:8], "--reason", "checked")
	if approved.status != 0 || !strings.Contains(approved.stdout, "approved") || !strings.Contains(approved.stderr, "fingerprint") {
		t.Errorf("approve: %+v", approved)
	}
	s.refused(exitDenied, "spent", "--context", "operator", "decision", "approve", id)

	c := document[certificateDoc](s, "--context", "worker", "decision", "wait", id, "--out", cert)
	if c.ID != id || c.State != "approved" || c.Ballots != 1 || c.File != cert {
		t.Errorf("certificate %+v", c)
	}
	s.verified(cert, m.Realm)

	no := propose("payments.refund", "--target", "x").ID.String()
	s.ok("--context", "operator", "decision", "reject", no, "--reason", "no")
	s.refused(exitRejected, "rejected", "--context", "worker", "decision", "wait", no)
	s.refused(exitNotFound, "unknown", "--context", "worker", "decision", "show", "00000000")
	s.refused(exitUsage, "usage", "--context", "worker", "decision", "show", "xyz")

	// The policy lets an L3 agent decide R0 alone.
	alone := document[certificateDoc](s, "--context", "worker", "decision", "propose", "db.read", "--wait")
	if alone.Class != "R0" || alone.Ballots != 0 {
		t.Errorf("alone: %+v", alone)
	}
}

// report is what decision verify prints.
type report struct {
	Valid  bool
	Code   string
	Checks []struct {
		Name string
		OK   bool
	}
}

// verified checks that a certificate verifies without context, network or environment, and that nothing else does.
func (s shell) verified(path, realm string) {
	s.Helper()
	home := s.home
	s.alone(func() {
		if r := document[report](s, "decision", "verify", path, "--realm", realm); !r.Valid || r.Code != "" || len(r.Checks) < 5 {
			s.Errorf("report %+v", r)
		}
		if out := s.ok("decision", "verify", path, "--realm", realm); !strings.Contains(out, "valid: ") {
			s.Errorf("for people: %q", out)
		}
		s.refused(exitVerification, "superseded", "decision", "verify", path, "--realm", realm, "--roster", "1")
		s.refused(exitVerification, "wrong_realm", "decision", "verify", path, "--realm", strings.Repeat("ab", 32))
		raw, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		bad := s.write("bad.cert", string(raw))
		e := s.run("--json", "decision", "verify", bad, "--realm", realm)
		if r := decode[report](s, e.stdout); e.status != exitVerification || r.Valid || r.Code == "" || r.Checks[len(r.Checks)-1].OK {
			s.Errorf("a changed byte: exit %d, %+v", e.status, r)
		}
		if e := s.feed(string(raw[:10]), "decision", "verify", "-", "--realm", realm); e.status != exitVerification {
			s.Errorf("ten bytes: exit %d", e.status)
		}
	})
	if s.home != home {
		s.Error("moved")
	}
}

// alone runs fn where there are no contexts.
func (s shell) alone(fn func()) {
	s.Helper()
	hidden, place := s.path("hidden"), s.path("config")
	for _, move := range [][2]string{{place, hidden}, {hidden, place}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			s.Fatal(err)
		}
		if move[0] == place {
			fn()
		}
	}
}

func TestGuard(t *testing.T) {
	s := newShell(t)
	m := s.serveSolo()
	s.enrol("worker")
	proof, cert, script := s.path("proof.txt"), s.path("guard.cert"), s.write("script.sh", "echo ran; touch $1; exit 7\n")
	command := []string{
		"--context", "worker", "guard", "--key", "one", "--bind", script, "--certificate", cert, "--reason", "a proof", "--",
		"/bin/sh", "{bind:1}", proof,
	}

	dry := document[map[string]any](s, "--context", "worker", "guard", "--dry-run", "--", "/bin/echo", "x")
	if dry["class"] != "R2" || dry["alone"] != false {
		t.Errorf("dry run: %v", dry)
	}
	r := s.refused(exitGuard, "pending", append([]string{"--timeout", "200ms"}, command...)...)
	if !strings.Contains(r.Hint, "--key") {
		t.Errorf("pending: %+v", r)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Fatal("it ran without a certificate")
	}

	running := s.start(command...)
	line := until(t, running.stderr, "decide: conclave decision approve ")
	id := line[strings.LastIndex(line, " ")+1:]
	if err := os.WriteFile(script, []byte("echo changed\n"), 0o600); err != nil { // too late: the copy is bound
		t.Fatal(err)
	}
	s.ok("--context", "operator", "decision", "approve", id)
	if out := until(t, running.stdout, "ran"); out != "ran" {
		t.Errorf("output %q", out)
	}
	if status := running.wait(); status != 7 {
		t.Errorf("exit %d, not the command's 7", status)
	}
	if _, err := os.Stat(proof); err != nil {
		t.Error(err)
	}
	s.verified(cert, m.Realm)

	s.refused(exitGuard, "conflict", command...) // the file has changed: another action under the same key
	if err := os.WriteFile(script, []byte("echo ran; touch $1; exit 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refused(exitGuard, "spent", command...)
	if d := document[decisionDoc](s, "--context", "operator", "decision", "show", id); d.State != "failed" || d.Detail != "exit status 7" {
		t.Errorf("outcome: %s %q", d.State, d.Detail)
	}

	rejected := s.start("--context", "worker", "--json", "guard", "--", "/bin/echo", "never")
	line = until(t, rejected.stderr, "decide: ")
	s.ok("--context", "operator", "decision", "reject", line[strings.LastIndex(line, " ")+1:])
	if status := rejected.wait(); status != exitGuard {
		t.Errorf("rejected: exit %d", status)
	}
	if last := until(t, rejected.stderr, `"code":"rejected"`); !json.Valid([]byte(last)) {
		t.Errorf("rejected: %q", last)
	}
}

func TestGovernance(t *testing.T) {
	s := newShell(t)
	m := s.serveSolo()
	id := s.enrol("worker")
	operator := func(args ...string) []string { return append([]string{"--context", "operator"}, args...) }
	s.ok("--context", "worker", "decision", "ls")

	e := s.run(operator("agent", "quarantine", "worker", "--reason", "seen \u202eleaking")...)
	if e.status != 0 || !strings.Contains(e.stdout, "quarantined") || !strings.Contains(e.stderr, "context operator: realm "+m.Realm[:16]) {
		t.Errorf("quarantine: %+v", e)
	}
	if r := s.refused(exitDenied, "denied", "--context", "worker", "decision", "ls"); !strings.Contains(r.Hint, "quarantined") {
		t.Errorf("shut out: %+v", r)
	}
	if out := s.ok(operator("agent", "show", "worker")...); !strings.Contains(out, `"seen \u202eleaking"`) || !strings.Contains(out, "quarantined") {
		t.Errorf("show: %q", out)
	}
	s.ok(operator("agent", "release", "worker")...)
	s.ok("--context", "worker", "decision", "ls")

	s.ok(operator("trust", "set", "worker", "L4", "--reason", "good work")...)
	d := document[standingDoc](s, operator("trust", "show", id)...)
	if d.Level != 4 || d.Reason != "good work" || d.Rights.Weight != 2 || !slices.Equal(d.Rights.Alone, []string{"R0", "R1"}) {
		t.Errorf("standing %+v", d)
	}
	s.ok(operator("agent", "grant", "worker", "text.*", "review.code")...)
	agents := document[struct{ Agents []memberDoc }](s, operator("agent", "ls")...).Agents
	if len(agents) != 1 || !slices.Equal(agents[0].Serves, []string{"review.code", "text.*"}) || !strings.HasSuffix(agents[0].Joined, "Z") {
		t.Errorf("agents %+v", agents)
	}
	s.refused(exitDenied, "denied", "--context", "worker", "agent", "quarantine", "worker", "--reason", "x")
	s.refused(exitNotFound, "unknown", operator("agent", "show", "nobody")...)
	s.refused(exitUsage, "usage", operator("agent", "show", "No Body")...)
	s.refused(exitDenied, "no_quorum", "agent", "enroll", strings.TrimSpace(s.ok(operator("agent", "token", "--name", "high", "--level", "L5")...)))

	if status := document[map[string]any](s, operator("server", "status")...); status["realm"] != m.Realm || status["agents"] != 1.0 {
		t.Errorf("status %v", status)
	}
	s.ok(operator("agent", "revoke", "worker", "--reason", "gone")...)
	s.refused(exitDenied, "revoked", operator("agent", "release", "worker")...)
	for _, args := range [][]string{{"agent", "ls"}, {"operator", "ls"}, {"server", "status"}, {"trust", "show", "worker"}, {"decision", "ls"}, {"context", "ls"}} {
		if out := s.ok(operator(args...)...); out == "" {
			t.Errorf("%q prints nothing", args)
		}
	}
}
