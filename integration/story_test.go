package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStory is what a new user does, by the binary alone: a realm, two agents in processes of their own, a call, a
// guarded command that waits for a person, its certificate checked on "another machine".
func TestStory(t *testing.T) {
	w := newWorld(t)
	dir := w.solo()
	realm := w.profile("operator").Realm.String()
	w.enrol("server", "L3", "text.*")
	w.enrol("caller", "L3")
	w.pointAt("server", w.node.address)
	w.pointAt("caller", w.node.address)

	if r := w.conclave("call", "text.upper", `{"text":"hello"}`, "--context", "caller"); r.code != 6 {
		t.Fatalf("nobody serves it yet: exit %d, want 6\n%s", r.code, r.stderr)
	}
	server := w.agent("server", "text.upper")
	if out := w.must("discover", "text.upper", "--context", "caller"); !strings.Contains(out, "server") {
		t.Fatalf("discover: %s", out)
	}
	if out := w.must("call", "text.upper", `{"text":"hello"}`, "--context", "caller"); !strings.Contains(out, "HELLO for caller") {
		t.Fatalf("call: %s", out)
	}
	if got := server.next(t); got != "handled caller hello" {
		t.Fatal(got)
	}
	if r := w.conclave("call", "text.upper", `{"text":7}`, "--context", "caller", "--json"); r.code == 0 || !strings.Contains(r.stderr, "invalid_input") {
		t.Fatalf("bad input: exit %d %s", r.code, r.stderr)
	}

	// A risky command waits for a person.
	proof, certificate := w.path("proof.txt"), w.path("certificate.cbor")
	guard := exec.Command(binary, "guard", "--context", "caller", "--certificate", certificate, "--", "touch", proof)
	var stderr strings.Builder
	guard.Stderr = &stderr
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	operator := w.connect("operator")
	id, err := waiting(t.Context(), operator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(proof); !os.IsNotExist(err) {
		t.Fatalf("the command ran before it was approved: %v", err)
	}
	w.must("decision", "approve", id[:12], "--reason", "looks right", "--context", "operator")
	if err := guard.Wait(); err != nil {
		t.Fatalf("guard: %v\n%s", err, stderr.String())
	}
	if _, err := os.Stat(proof); err != nil {
		t.Fatal(err)
	}
	if out := w.must("decision", "show", id, "--context", "operator"); !strings.Contains(out, "executed") {
		t.Fatalf("show: %s", out)
	}

	// Anybody who knows the realm id checks the certificate: no node, no home, no environment.
	if code := w.node.interrupt(t); code != 0 {
		t.Fatalf("the node ended with %d: %s", code, w.node.stderr)
	}
	verify := exec.Command(binary, "decision", "verify", certificate, "--realm", realm, "--json")
	verify.Env = []string{}
	r := w.finish(verify)
	var report struct {
		Valid  bool
		Code   string
		Checks []struct {
			Name string
			OK   bool
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 0 || !report.Valid || len(report.Checks) < 5 {
		t.Fatalf("verify: exit %d %s %v", r.code, r.stdout, err)
	}
	other := exec.Command(binary, "decision", "verify", certificate, "--realm", strings.Repeat("ab", 32), "--json")
	other.Env = []string{}
	if r := w.finish(other); r.code != 9 || !strings.Contains(r.stdout, "wrong_realm") {
		t.Fatalf("verify under another realm: exit %d %s", r.code, r.stdout)
	}

	// A second node on the directory, loose modes and a directory without a realm are refused, and change nothing.
	w.start(dir, "")
	for name, c := range map[string]struct {
		prepare func() (dir string)
		code    string
	}{
		"in use":      {func() string { return dir }, "in_use"},
		"no realm":    {func() string { return w.path("empty") }, "not_found"},
		"loose modes": {func() string { return w.loose() }, "loose_mode"},
	} {
		r := w.conclave("server", "run", "--data", c.prepare(), "--json")
		if r.code == 0 || !strings.Contains(r.stderr, `"`+c.code+`"`) {
			t.Errorf("%s: exit %d %s", name, r.code, r.stderr)
		}
	}
}

// loose makes a realm whose directory others may read.
func (w *world) loose() string {
	dir := w.path("loose")
	w.must("server", "init", "--data", dir, "--context-name", "loose")
	if err := os.Chmod(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}
