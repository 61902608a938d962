package scenariofile_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/simulate"
	"github.com/seed-3e86d5b2/conclave/internal/simulate/scenariofile"
)

const small = `name: small
seed: 1
days: 40
populations:
  - name: victims
    kind: honest
    agents: 4
  - name: liars
    kind: slanderers
    against: victims
    attack: 10
expect:
  - {of: victims, measure: score, at_least: 0}
`

func TestParse(t *testing.T) {
	s, err := scenariofile.Parse("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	zero := int64(0)
	want := simulate.Scenario{
		Name: "small", Seed: 1, Days: 40, People: 5,
		Populations: []simulate.Population{
			{Name: "victims", Kind: simulate.Honest, Agents: 4, Operators: 4, Level: identity.Observer, Class: 1, Events: 20,
				SignOff: true, Threshold: 700, Cheat: 2, Alarm: 1000, Until: 40},
			{Name: "liars", Kind: simulate.Slanderers, Agents: 1, Operators: 1, Level: identity.Observer, Class: 1, Events: 0,
				SignOff: true, Threshold: 700, Cheat: 2, Alarm: 1000, Attack: 10, Until: 40, Against: "victims", Ratings: 1},
		},
		Expect: []simulate.Expectation{{Measure: "score", Rule: "trust", Of: "victims", AtLeast: &zero}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestParseEveryKey(t *testing.T) {
	text := `name: all
about: everything
seed: 9223372036854775807
days: 200
people: 3
populations:
  - {name: a, kind: honest, agents: 4, operators: 2, level: L3, from: 5, class: 2, events: 7, failures: 9, votes: 3,
     endorsed: 1500, attesters: b, sign_off: false, threshold: 650}
  - {name: b, kind: imbalance, offence: 2, cheat: 3}
  - {name: c, kind: whitewasher, from: 10, offence: 3, spare: true}
  - {name: d, kind: whitewasher, offend: 12}
  - {name: e, kind: sybils, ratings: 4, attests: true, attack: 6, until: 9, against: a, praise: b}
  - {name: f, kind: detector, alarms: 2, alarm: 300, against: a}
  - {name: g, kind: detector, against: a}
expect:
  - {measure: score, rule: ema, order: [a, b]}
  - {of: a, measure: days_to_level, level: L4, at_least: 1, at_most: 2}
`
	s, err := scenariofile.Parse("all.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p := s.Populations
	if s.Seed != 1<<63-1 || s.About != "everything" || s.People != 3 || len(p) != 7 {
		t.Errorf("%+v", s)
	}
	if a := p[0]; a.Operators != 2 || a.Level != 3 || a.From != 5 || a.Class != 2 || a.Events != 7 || a.Failures != 9 || a.Votes != 3 ||
		a.Endorsed != 1500 || a.Attesters != "b" || a.SignOff || a.Threshold != 650 {
		t.Errorf("%+v", a)
	}
	if p[1].Offence != 2 || p[1].Cheat != 3 || p[2].Offend != 100 || !p[2].Spare || p[3].Offend != 12 {
		t.Errorf("%+v", p[1:4])
	}
	if e := p[4]; e.Ratings != 4 || !e.Attests || e.Attack != 6 || e.Until != 9 || e.Against != "a" || e.Praise != "b" || e.Events != 0 {
		t.Errorf("%+v", e)
	}
	if p[5].Alarms != 2 || p[5].Alarm != 300 || p[6].Alarms != 24 || p[6].Alarm != 1000 || p[6].Ratings != 0 {
		t.Errorf("%+v", p[5:])
	}
	if e := s.Expect; e[0].Rule != "ema" || len(e[0].Order) != 2 || e[1].Level != 4 || *e[1].AtLeast != 1 || *e[1].AtMost != 2 {
		t.Errorf("%+v", e)
	}
}

func TestRefusals(t *testing.T) {
	replace := func(old, by string) string { return strings.Replace(small, old, by, 1) }
	for _, row := range []struct {
		name, text string
		line       int
		path, why  string
	}{
		{"unknown key", replace("people", "") + "colour: blue\n", 14, "", "unknown key"},
		{"unknown key of a population", replace("agents: 4", "agent: 4"), 7, "populations[0]", "unknown key"},
		{"unknown key of an expectation", replace("at_least", "least"), 13, "expect[0]", "unknown key"},
		{"key twice", replace("seed: 1", "seed: 1\nseed: 2"), 3, "seed", "stands on line 2 already"},
		{"key of another kind", replace("agents: 4", "against: liars"), 7, "populations[0].against", "means nothing for the kind honest"},
		{"key of an attack", replace("attack: 10", "offence: 1"), 11, "populations[1].offence", "means nothing"},
		{"no seed", replace("seed: 1\n", ""), 1, "seed", "must be named"},
		{"negative seed", replace("seed: 1", "seed: -1"), 2, "seed", "0 or more"},
		{"no days before the populations", replace("days: 40\n", ""), 4, "populations[0]", "days must stand before"},
		{"no name", replace("name: small\n", ""), 1, "name", "1 to 63"},
		{"not a number", replace("agents: 4", "agents: four"), 7, "populations[0].agents", "whole number"},
		{"octal", replace("agents: 4", "agents: 04"), 7, "populations[0].agents", "whole number"},
		{"fraction", replace("agents: 4", "agents: 4.0"), 7, "populations[0].agents", "whole number"},
		{"out of range", replace("agents: 4", "agents: 0"), 7, "populations[0].agents", "must be 1 to"},
		{"unknown kind", replace("kind: honest", "kind: saintly"), 6, "populations[0].kind", "must be one of"},
		{"a number as text", replace("name: victims", "name: 7"), 5, "populations[0].name", "a text"},
		{"level", replace("agents: 4", "level: 3"), 7, "populations[0].level", "L0 to L5"},
		{"level out of range", replace("agents: 4", "level: L6"), 7, "populations[0].level", "L0 to L5"},
		{"not a truth", replace("agents: 4", "sign_off: yes"), 7, "populations[0].sign_off", "true or false"},
		{"no list", "name: a\nseed: 1\ndays: 3\npopulations: {}\n", 4, "populations", "must be a list"},
		{"no mapping", "name: a\nseed: 1\ndays: 3\npopulations: [a]\n", 4, "populations[0]", "must be a mapping"},
		{"list at the top", "- a\n", 1, "", "must be a mapping"},
		{"anchor", replace("seed: 1", "seed: &a 1"), 2, "", "anchors"},
		{"alias", replace("agents: 4", "agents: *a"), 0, "", ""},
		{"tag", replace("seed: 1", "seed: !!int 1"), 2, "", "tags"},
		{"two documents", small + "---\nname: b\n", 0, "", "more than one document"},
		{"no YAML", "name: [", 0, "", ""},
		{"nothing", "", 0, "", ""},
		{"against nobody", replace("against: victims", "against: nobody"), 10, "populations[1].against", "another population"},
		{"bound of nobody", replace("of: victims", "of: nobody"), 13, "expect[0].of", "no population"},
		{"too large", small + strings.Repeat("#\n", scenariofile.MaxFile/2), 0, "", "over"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := scenariofile.Parse("s.yaml", []byte(row.text))
			var r *scenariofile.Refusal
			if !errors.As(err, &r) || !errors.Is(err, simulate.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			if r.Line != row.line || r.Path != row.path || !strings.Contains(r.Reason, row.why) || !strings.HasPrefix(err.Error(), "s.yaml:") {
				t.Errorf("%v: line %d, path %q", err, r.Line, r.Path)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "small.yaml")
	if _, err := scenariofile.Load(path); !errors.Is(err, scenariofile.ErrNoFile) {
		t.Errorf("got %v", err)
	}
	if _, err := scenariofile.Load(filepath.Dir(path)); !errors.Is(err, scenariofile.ErrNoFile) {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := scenariofile.Load(path); err != nil || s.Name != "small" {
		t.Errorf("%+v %v", s, err)
	}
}

// FuzzParse holds: a text is refused with a reason, or is a scenario that passes its check.
func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add("name: a\nseed: 1\ndays: 3\npopulations: [{name: b, kind: clique, agents: 3}]\nexpect: [{measure: falls, order: [b, b]}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scenariofile.Parse("f", []byte(text))
		var r *scenariofile.Refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatal(err)
		}
		if err == nil && s.Check() != nil {
			t.Fatal(s.Check())
		}
	})
}

// TestTheSchemaIsWrittenDown holds: spec/scenario.md names every key, kind and measure.
func TestTheSchemaIsWrittenDown(t *testing.T) {
	text, err := os.ReadFile("../../../spec/scenario.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(`name about seed days people populations expect kind agents operators level from class events
		failures votes endorsed attesters sign_off threshold offence cheat offend spare attack until against praise ratings attests alarms
		alarm measure rule of at_least at_most order honest oscillator imbalance whitewasher clique sybils slanderers detector`)
	for _, word := range append(words, simulate.Measures...) {
		if !strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("spec/scenario.md does not explain %s", word)
		}
	}
	begin, end := strings.Index(string(text), "```yaml\n"), strings.Index(string(text), "\n```\n")
	if _, err := scenariofile.Parse("example", text[begin+len("```yaml\n"):end+1]); err != nil {
		t.Error(err)
	}
}
