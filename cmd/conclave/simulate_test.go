package main

import (
	"os"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/simulate"
)

const simulated = `name: small
seed: 4
days: 30
populations:
  - {name: steady, kind: honest, agents: 3}
  - {name: greedy, kind: oscillator, offence: 2}
expect:
  - {of: greedy, measure: misbehaviour, at_most: 100000}
  - {measure: score, order: [steady, greedy]}
`

func TestSimulatePlaysAScenario(t *testing.T) {
	s := newShell(t)
	file := s.write("small.yaml", simulated)
	out := s.ok("simulate", file)
	for _, want := range []string{"small: 30 days, seed 4\n", "POPULATION", "oscillator", "WRONG beta", "ok  greedy: misbehaviour ≤ 100000", "█"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	page := s.path("page.html")
	r := document[simulate.Result](s, "simulate", file, "--seed", "9", "--html", page)
	if r.Seed != 9 || !r.OK || len(r.Populations) != 2 || len(r.Expectations) != 2 || len(r.Populations[0].Daily) != 30 {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "<svg") || !strings.Contains(string(text), "greedy (oscillator)") {
		t.Errorf("page of %d bytes: %v", len(text), err)
	}
}

func TestSimulateSaysWhatIsNotMet(t *testing.T) {
	s := newShell(t)
	file := s.write("hard.yaml", strings.Replace(simulated, "at_most: 100000", "at_most: 0", 1))
	e := s.run("simulate", file)
	if e.status != exitRejected || !strings.Contains(e.stdout, "NOT MET  greedy: misbehaviour ≤ 0") || !strings.Contains(e.stderr, "NOT MET") {
		t.Errorf("%+v", e)
	}
	s.refused(exitRejected, "rejected", "simulate", file)
}

func TestSimulateByAPolicy(t *testing.T) {
	s := newShell(t)
	file := s.write("small.yaml", simulated)
	rules := s.write("mild.yaml", "preset: standard\ntrust: {blame: 1}\n")
	mild := document[simulate.Result](s, "simulate", file, "--policy", rules)
	if usual := document[simulate.Result](s, "simulate", file); mild.Populations[0].Score != usual.Populations[0].Score {
		t.Errorf("who never fails has %+v and %+v", mild.Populations[0].Score, usual.Populations[0].Score)
	}
	careless := s.write("careless.yaml", strings.Replace(simulated, "agents: 3", "agents: 3, failures: 300", 1))
	usual := decode[simulate.Result](s, s.run("--json", "simulate", careless).stdout)
	mild = decode[simulate.Result](s, s.run("--json", "simulate", careless, "--policy", rules).stdout)
	if mild.Populations[0].Score.Trust <= usual.Populations[0].Score.Trust {
		t.Errorf("a milder policy gives %d, the usual one %d", mild.Populations[0].Score.Trust, usual.Populations[0].Score.Trust)
	}
}

const ratings = "time,rater,ratee,rating\n100,alice,bob,10\n160,alice,mallory,-10\n220,bob,carol,10\n"

func TestSimulateJudgesAList(t *testing.T) {
	s := newShell(t)
	list := s.write("ratings.csv", ratings)
	got := s.ok("simulate", "--edges", list, "--seeds", "alice", "--json")
	want := `{"subjects":[{"id":"alice","score":0,"belief":0,"disbelief":0,"uncertainty":1000},` +
		`{"id":"bob","score":111.111,"belief":111.111,"disbelief":0,"uncertainty":888.889},` +
		`{"id":"carol","score":15.384,"belief":15.384,"disbelief":0,"uncertainty":984.616},` +
		`{"id":"mallory","score":0,"belief":0,"disbelief":200,"uncertainty":800}]}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if out := s.ok("simulate", "--edges", list, "--seeds", " alice , bob"); !strings.Contains(out, "carol") || !strings.Contains(out, "UNCERTAINTY") {
		t.Errorf("%s", out)
	}
	open := s.write("open.yaml", "preset: standard\ntrust: {gamma_per_mille: 900}\n")
	if out := s.ok("simulate", "--edges", list, "--seeds", "alice", "--policy", open, "--json"); !strings.Contains(out, `"id":"carol","score":27.`) {
		t.Errorf("with more reach: %s", out)
	}
}

func TestSimulateTellsWhatItLeavesOut(t *testing.T) {
	s := newShell(t)
	list := s.write("ratings.csv", ratings+"50,alice,alice,10\n")
	e := s.run("simulate", "--edges", list, "--seeds", "alice", "--json")
	if e.status != 0 || !strings.Contains(e.stderr, "1 lines are older") || !strings.Contains(e.stderr, "1 lines rate their own") {
		t.Errorf("%+v", e)
	}
	old := s.write("old.csv", "0,alice,bob,10\n31536000,alice,carol,10\n")
	if out := s.ok("simulate", "--edges", old, "--seeds", "alice", "--exact", "--json"); strings.Contains(out, `"id":"bob","score":1`) {
		t.Errorf("a year is nothing: %s", out)
	}
}

func TestSimulateRefusals(t *testing.T) {
	s := newShell(t)
	list, scenario := s.write("ratings.csv", ratings), s.write("small.yaml", simulated)
	bad := s.write("bad.yaml", strings.Replace(simulated, "days: 30", "days: 30\nmood: good", 1))
	worse := s.write("bad.csv", ratings+"280,bob,carol,11\n")
	for _, row := range []struct {
		status int
		code   string
		args   string
	}{
		{exitUsage, "usage", ""},
		{exitUsage, "usage", scenario + " --edges " + list + " --seeds alice"},
		{exitUsage, "usage", scenario + " --seeds alice"},
		{exitUsage, "usage", scenario + " --exact"},
		{exitUsage, "usage", scenario + " --seed -1"},
		{exitUsage, "usage", "--edges " + list},
		{exitUsage, "usage", "--edges " + list + " --seeds alice,,bob"},
		{exitUsage, "usage", "--edges " + list + " --seeds alice --html x.html"},
		{exitUsage, "invalid_input", "--edges " + list + " --seeds nobody"},
		{exitUsage, "invalid_input", "--edges " + worse + " --seeds alice"},
		{exitUsage, "invalid_input", bad},
		{exitNotFound, "not_found", s.path("none.yaml")},
		{exitNotFound, "not_found", "--edges " + s.path("none.csv") + " --seeds alice"},
		{exitNotFound, "not_found", scenario + " --policy " + s.path("none.yaml")},
		{exitUsage, "invalid_input", scenario + " --policy " + scenario},
		{exitLocal, "disk_full", scenario + " --html " + s.path("no/such/folder.html")},
	} {
		s.refused(row.status, row.code, append([]string{"simulate"}, strings.Fields(row.args)...)...)
	}
	for file, want := range map[string]string{bad: bad + ":4: unknown key", worse: "line 5: rating"} {
		args := []string{"simulate", file}
		if file == worse {
			args = []string{"simulate", "--edges", file, "--seeds", "alice"}
		}
		if e := s.run(args...); !strings.Contains(e.stderr, want) {
			t.Errorf("%s", e.stderr)
		}
	}
}
