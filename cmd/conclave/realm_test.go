package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/contexts"
)

func TestInitSolo(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init")
	if m.Signed != 1 || m.Needed != 1 || m.Data != s.path("data", "conclave") || m.Context != "operator" {
		t.Errorf("made %+v", m)
	}
	if info, err := os.Stat(m.Operator); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("operator's key: %v %v", info, err)
	}
	c := document[contextLine](s, "context", "show")
	if c.Name != "operator" || !c.Selected || c.Realm != m.Realm || c.Pins[0] != m.Pins[0] || c.Addresses[0] != "127.0.0.1:7415" {
		t.Errorf("context %+v", c)
	}
	s.refused(exitLocal, "conflict", "server", "init")
	s.refused(exitLocal, "conflict", "server", "init", "--data", s.path("other")) // the context's name is taken
	if _, err := os.Stat(s.path("other")); err == nil {
		t.Error("a refused init left a directory behind")
	}
	s.refused(exitLocal, "conflict", "server", "init", "--data", s.path("other"), "--context-name", "second", "--operator-key", m.Operator)
	out := s.ok("server", "init", "--data", s.path("other"), "--context-name", "second", "--operator-key", s.path("second.key"))
	if !strings.Contains(out, "conclave server run --data "+s.path("other")) {
		t.Errorf("what next: %q", out)
	}
	s.ok("context", "use", "operator")
	list := document[struct{ Contexts []contextLine }](s, "context", "ls").Contexts
	if len(list) != 2 || !list[0].Selected || list[1].Selected || list[1].Name != "second" {
		t.Errorf("contexts %+v", list)
	}
	s.refused(exitNotFound, "not_found", "context", "use", "third")
}

func TestInitByPolicyFile(t *testing.T) {
	s := newShell(t)
	file := s.write("policy.yaml", "preset: solo\nenrol_level: L2\n")
	s.ok("server", "init", "--data", s.path("realm"), "--policy", file, "--listen", "127.0.0.1:0")
	s.serve(s.path("realm"), "operator")
	if d := document[map[string]any](s, "agent", "token", "--name", "x"); d["level"] != 2.0 {
		t.Errorf("token %v", d)
	}
	s.refused(exitUsage, "invalid_input", "server", "init", "--data", s.path("b"), "--policy", s.write("bad.yaml", "preset: solo\nnope: 1\n"))
	s.refused(exitNotFound, "not_found", "server", "init", "--data", s.path("b"), "--policy", s.path("none"))
}

// people makes operators' keys and returns their names by file.
func (s shell) people(names ...string) map[string]string {
	s.Helper()
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = document[map[string]string](s, "operator", "new", "--out", s.path(name+".key"))["operator"]
	}
	return ids
}

func TestTwoPeopleGovern(t *testing.T) {
	s := newShell(t)
	ids := s.people("alice", "bob", "carol", "mallory")
	s.refused(exitLocal, "conflict", "operator", "new", "--out", s.path("alice.key"))
	initStandard := func(roots ...string) []string {
		args := []string{"server", "init", "--data", s.path("realm"), "--preset", "standard", "--listen", "127.0.0.1:0"}
		for _, name := range roots {
			args = append(args, "--root", ids[name])
		}
		return args
	}
	r := s.refused(exitUsage, "usage", initStandard("alice")...)
	if !strings.Contains(r.Hint, "conclave operator new") {
		t.Errorf("too few roots: %+v", r)
	}
	s.refused(exitUsage, "usage", initStandard("alice", "alice")...)
	m := document[made](s, initStandard("alice", "bob")...)
	if m.Signed != 0 || m.Needed != 2 || m.Operator != "" || m.Context != "" {
		t.Fatalf("made %+v", m)
	}
	sign := func(name string) []string {
		return []string{"operator", "sign", "--data", m.Data, "--key", s.path(name + ".key")}
	}
	s.ok(sign("alice")...)
	s.refused(exitUsage, "usage", sign("mallory")...)
	s.refused(exitDenied, "no_quorum", "server", "run", "--data", m.Data)
	if out := s.ok(sign("bob")...); !strings.Contains(out, "2 of 2") || !strings.Contains(out, "conclave server run") {
		t.Errorf("signed: %q", out)
	}
	for _, name := range []string{"alice", "bob"} {
		s.ok("context", "add", name, "--realm", m.Realm, "--address", "127.0.0.1:1", "--pin", m.Pins[0], "--key", s.path(name+".key"))
	}
	s.refused(exitLocal, "conflict", "context", "add", "bob", "--realm", m.Realm, "--address", "127.0.0.1:1", "--pin", m.Pins[0],
		"--key", s.path("bob.key"))
	s.serve(m.Data, "alice", "bob")
	s.raiseByTwo()
	s.addByTwo(ids)
}

// raiseByTwo raises an agent, which needs both operators, and lowers it, which needs one.
func (s shell) raiseByTwo() {
	s.Helper()
	token := strings.TrimSpace(s.ok("--context", "alice", "agent", "token", "--name", "worker"))
	s.ok("agent", "enroll", token)
	s.refused(exitDenied, "spent", "agent", "enroll", token, "--context-name", "thief")
	if _, err := os.Stat(s.path("data", "conclave", "keys", "thief.key")); err == nil {
		s.Error("the key of a refused enrolment was kept")
	}
	raise := []string{"--context", "alice", "trust", "set", "worker", "L3", "--reason", "tried"}
	r := s.refused(exitDenied, "no_quorum", raise...)
	if !strings.Contains(r.Hint, "--out") || !strings.Contains(r.Hint, "conclave operator sign") {
		s.Errorf("what to do: %+v", r)
	}
	file := s.path("raise.cmd")
	if out := s.ok(append(raise, "--out", file)...); !strings.Contains(out, "1 more needed: conclave operator sign "+file) {
		s.Errorf("prepared: %q", out)
	}
	s.refused(exitDenied, "no_quorum", "--context", "alice", "operator", "sign", file, "--submit")
	s.ok(append(raise, "--out", file)...) // what was refused is spent
	e := s.run("--context", "bob", "operator", "sign", file, "--submit")
	if e.status != 0 || !strings.Contains(e.stderr, `at level L3, because "tried"`) || !strings.Contains(e.stdout, "L3") {
		s.Fatalf("countersigned: %+v", e)
	}
	s.refused(exitUsage, "usage", "--context", "worker", "operator", "sign", file)
	s.ok("--context", "bob", "trust", "set", "worker", "L2", "--reason", "one is enough to lower")
	s.ok("--context", "bob", "agent", "quarantine", "worker", "--reason", "and to silence")
	s.refused(exitDenied, "no_quorum", "--context", "bob", "agent", "release", "worker")
}

// addByTwo makes carol an operator, the signatures added one after the other.
func (s shell) addByTwo(ids map[string]string) {
	s.Helper()
	file := s.path("add.cmd")
	s.refused(exitDenied, "no_quorum", "--context", "alice", "operator", "add", "carol", ids["carol"])
	s.ok("--context", "alice", "operator", "add", "carol", ids["carol"], "--out", file)
	s.ok("--context", "alice", "operator", "sign", file, "--key", s.path("bob.key"))
	s.ok("--context", "alice", "operator", "sign", file, "--submit")
	people := document[struct{ Operators []memberDoc }](s, "--context", "bob", "operator", "ls").Operators
	if len(people) != 3 {
		s.Errorf("operators %+v", people)
	}
	s.refused(exitUsage, "usage", "--context", "alice", "operator", "add", "dave", "UNOTANOPERATOR")
}

func TestServerRun(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init", "--data", s.path("realm"))
	b := s.start("server", "run", "--data", m.Data, "--listen", "127.0.0.1:0")
	line := until(t, b.stdout, "ready ")
	want := " realm " + m.Realm + " metrics 127.0.0.1:"
	if !strings.HasPrefix(line, "ready 127.0.0.1:") || !strings.Contains(line, want) {
		t.Errorf("ready line %q", line)
	}
	s.refused(exitLocal, "in_use", "server", "run", "--data", m.Data, "--listen", "127.0.0.1:0")
	if status := b.stop(); status != 0 {
		t.Errorf("interrupted: exit %d", status)
	}
	if err := os.Chmod(m.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	s.refused(exitLocal, "loose_mode", "server", "run", "--data", m.Data)
}

func TestServerRunServesMetrics(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init", "--data", s.path("realm"), "--listen", "127.0.0.1:0")
	for _, address := range []string{"0.0.0.0:0", "10.0.0.1:9464", "", "on"} {
		s.refused(exitUsage, "usage", "server", "run", "--data", m.Data, "--metrics-listen", address)
		s.refused(exitUsage, "usage", "dev", "--metrics-listen", address)
	}
	b := s.serve(m.Data, "operator")
	status := document[map[string]any](s, "server", "status")
	address, _ := status["metrics"].(string)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Body.Close(); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if text := s.ok("server", "status"); !strings.Contains(text, address) {
		t.Errorf("no %s in %q", address, text)
	}
	if exit := b.stop(); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	if r, err := http.Get("http://" + address + "/healthz"); err == nil {
		t.Errorf("after the stop: %s", r.Status)
	}
	b = s.start("server", "run", "--data", m.Data, "--metrics-listen", "off", "--json")
	if doc := decode[map[string]string](s, until(t, b.stdout, "{")); doc["metrics"] != "" || doc["address"] == "" {
		t.Errorf("off: %v", doc)
	}
}

func TestDevIsGoneAtExit(t *testing.T) {
	s := newShell(t)
	s.ok("server", "init") // a selection to come back to
	b := s.start("dev")
	until(t, b.stdout, "Ctrl-C ends it.")
	c := document[contextLine](s, "context", "show")
	if c.Name != "dev" || !c.Selected || !strings.HasPrefix(c.Key, s.path("tmp")) {
		t.Errorf("context %+v", c)
	}
	s.ok("server", "status")
	if out := s.ok("call", "--as", "desk", "a.b", "--timeout", "5s", "--help"); out == "" {
		t.Error("no help")
	}
	s.refused(exitNobody, "no_responder", "call", "--as", "desk", "a.b")
	if status := b.stop(); status != 0 {
		t.Errorf("exit %d", status)
	}
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	list := document[struct{ Contexts []contextLine }](s, "context", "ls").Contexts
	if len(list) != 1 || list[0].Name != "operator" || !list[0].Selected {
		t.Errorf("contexts %+v", list)
	}
}

func TestDevKeepsItsData(t *testing.T) {
	s := newShell(t)
	var realms []string
	for range 2 {
		b := s.start("dev", "--data", s.path("dev"), "--json")
		doc := decode[map[string]any](t, until(t, b.stdout, "{"))
		realms = append(realms, doc["realm"].(string))
		s.refused(exitNobody, "no_responder", "call", "--as", "desk", "a.b") // the second time by the key that was kept
		if status := b.stop(); status != 0 {
			t.Errorf("exit %d", status)
		}
	}
	if realms[0] != realms[1] {
		t.Errorf("realms %v", realms)
	}
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		t.Fatal(err)
	}
	if name, err := store.Selected(); err != nil || name != "dev" {
		t.Errorf("selected %q %v", name, err)
	}
}
