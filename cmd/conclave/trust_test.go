package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/trust"
)

// quickLadder is a realm of one person in which two right outcomes make an agent ripe for L2.
const quickLadder = `preset: solo
enrol_level: L1
trust: {prior: 1, daily: 50, from_one_operator: 50}
ladder:
  L2: {score_per_mille: 500, floor_per_mille: 400, held: 0s, tenure: 0s, outcomes: 2}
`

// climb is what scripts read of `trust explain --json`.
type climb struct {
	Level   uint64
	Score   uint64
	Events  []eventDoc
	Turns   []turnDoc
	Holds   []string
	Missing []string
	Next    []trust.Condition
}

// work reports and attests one piece of an agent's work.
func (s shell) work(number int, right bool) {
	s.Helper()
	request := s.write(fmt.Sprintf("request-%d", number), fmt.Sprint("sort file ", number))
	answer := s.write(fmt.Sprintf("answer-%d", number), "sorted")
	word := "--right"
	if !right {
		word = "--wrong"
	}
	statement := s.path(fmt.Sprintf("work-%d.ev", number))
	s.ok("--context", "caller", "trust", "report", "worker", "--action", "file.read", "--request", request, "--answer", answer, word,
		"--attester", "root-1", "--out", statement)
	if out := s.ok("--context", "operator", "trust", "attest", statement); !strings.HasPrefix(out, "outcome counted with ") {
		s.Errorf("attested: %q", out)
	}
	s.refused(exitDenied, "spent", "--context", "operator", "trust", "attest", statement)
}

// TestTrustClimbAndFall follows an agent up by evidence and a sign-off, and down by a violation.
func TestTrustClimbAndFall(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init", "--data", s.path("realm"), "--listen", "127.0.0.1:0", "--policy", s.write("policy.yaml", quickLadder))
	s.serve(m.Data, "operator")
	s.enrol("caller")
	s.enrol("worker")
	s.ok("context", "use", "operator")

	c := document[climb](s, "trust", "explain", "worker")
	if c.Level != 1 || c.Score != 0 || len(c.Events) != 0 || len(c.Missing) == 0 {
		t.Fatalf("a newcomer: %+v", c)
	}
	r := s.refused(exitDenied, "denied", "trust", "sign-off", "worker", "--reason", "too early")
	if !strings.Contains(r.Hint, "conclave trust explain") {
		t.Errorf("what to do: %+v", r)
	}
	s.work(1, true)
	s.work(2, true)
	c = document[climb](s, "trust", "explain", "worker")
	if len(c.Events) != 2 || c.Score < 500 || len(c.Missing) != 1 || !strings.HasPrefix(c.Missing[0], "sign-off") {
		t.Fatalf("ripe: %+v", c)
	}
	if out := s.ok("trust", "sign-off", "worker", "--reason", "two right"); !strings.Contains(out, "L2") {
		t.Errorf("signed off: %q", out)
	}
	if out := s.ok("trust", "accuse", "worker", "--severity", "2", "--reason", "wrote elsewhere"); !strings.Contains(out, "L1") {
		t.Errorf("accused: %q", out)
	}
	c = document[climb](s, "trust", "explain", "worker")
	if c.Level != 1 || c.Turns[0].Why != "violation" || c.Turns[1].Why != "earned" || c.Events[0].What != "violation" {
		t.Errorf("after the fall: %+v", c)
	}
	s.ok("trust", "pardon", "worker", "2", "--reason", "the rule was wrong")
	s.seen()
}

// seen looks at what people see of it.
func (s shell) seen() {
	s.Helper()
	for _, want := range []string{"Score in R0", "competence", "violation", "root-1", "What holds it at L1", "lacks  dwell", "For L2", "has    score"} {
		if out := s.ok("trust", "explain", "worker"); !strings.Contains(out, want) {
			s.Errorf("explain lacks %q:\n%s", want, out)
		}
	}
	if out := s.ok("trust", "history", "worker"); !strings.Contains(out, "L1 → L2") || !strings.Contains(out, "· level") {
		s.Errorf("history:\n%s", out)
	}
	if out := s.ok("trust", "ls"); !strings.Contains(out, "worker  L1     active") {
		s.Errorf("list:\n%s", out)
	}
	page := s.path("trust.html")
	if e := s.run("trust", "export"); e.status != exitUsage || !strings.Contains(e.stderr, "--html") {
		s.Errorf("export to nowhere: %+v", e)
	}
	s.ok("trust", "export", "--html", page)
	content, err := os.ReadFile(page)
	if err != nil {
		s.Fatal(err)
	}
	for _, want := range []string{"<svg", "worker", "violation", "caller"} {
		if !strings.Contains(string(content), want) {
			s.Errorf("the page lacks %q", want)
		}
	}
}

// TestTrustWords tries what people may say, and what not.
func TestTrustWords(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init", "--data", s.path("realm"), "--listen", "127.0.0.1:0", "--policy", s.write("policy.yaml", quickLadder))
	s.serve(m.Data, "operator")
	s.enrol("worker")
	s.ok("context", "use", "operator")
	if e := document[effectDoc](s, "trust", "endorse", "worker", "1.5", "--reason", "seen its work"); e.Weight != "1.500" || e.What != "endorsement" {
		t.Errorf("endorsed: %+v", e)
	}
	s.refused(exitDenied, "denied", "trust", "rate", "worker", "500", "--reason", "my own agent is good")
	for _, args := range [][]string{
		{"endorse", "worker", "1.", "--reason", "x"}, {"endorse", "worker", "-1", "--reason", "x"}, {"endorse", "worker", "1.2345678", "--reason", "x"},
		{"pardon", "worker", "much", "--reason", "x"}, {"accuse", "worker", "--severity", "5", "--reason", "x"},
		{"rate", "worker", "2000", "--reason", "x"}, {"rate", "worker", "0", "--reason", "x"},
		{"report", "worker", "--action", "a", "--request", "x"}, {"report", "worker", "--action", "a", "--request", "x", "--right", "--out", "y"},
		{"endorse", "worker", "0", "--reason", "x"}, {"pardon", "worker", "33", "--reason", "x"}, {"explain", "no name!"}, {"history", "no name!"},
		{"export", "no name!", "--html", "x"}, {"rate", "no name!", "5", "--reason", "x"}, {"sign-off", "no name!", "--reason", "x"},
		{"report", "no name!", "--action", "a", "--request", m.Data + "/genesis.cbor", "--wrong"},
		{"report", "worker", "--action", "no kind!", "--request", "x", "--wrong"}, {"report", "worker", "--action", "a", "--request", "x", "--right"},
	} {
		s.refused(exitUsage, "usage", append([]string{"trust"}, args...)...)
	}
	s.refused(exitNotFound, "unknown", "trust", "explain", "nobody")
	s.refused(exitDenied, "denied", "trust", "explain", "root-1")
	s.refused(exitDenied, "denied", "trust", "sign-off", "worker", "--renew", "--reason", "nothing to renew")
	s.refused(exitDenied, "denied", "--context", "worker", "trust", "rate", "worker", "900", "--reason", "I am good")
}

func TestParseUnits(t *testing.T) {
	for text, want := range map[string]trust.Micro{"0": 0, "1": 1_000_000, "1.5": 1_500_000, "0.000001": 1, "4294967295": 4294967295_000_000} {
		if got, err := parseUnits(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if back := units(want); want%1000 == 0 && !strings.HasPrefix(back+"000", text) {
			t.Errorf("%s is written %s", text, back)
		}
	}
	for _, bad := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1.1234567", "4294967296", "1.-5"} {
		if got, err := parseUnits(bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}
