package simulate_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/simulate"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// population returns a population that passes the check, of a scenario of 40 days.
func population(name string, kind simulate.Kind) simulate.Population {
	return simulate.Population{
		Name: name, Kind: kind, Agents: 2, Operators: 2, Level: identity.Observer, Class: 1, Events: 10, SignOff: true,
		Threshold: 700, Alarm: 1000, Until: 40,
	}
}

// attack is a scenario with somebody who does well and somebody who does not let it.
func attack() simulate.Scenario {
	victims, liars := population("victims", simulate.Honest), population("liars", simulate.Slanderers)
	victims.Failures = 20
	liars.Against, liars.Ratings, liars.Attack = "victims", 5, 20
	return simulate.Scenario{
		Name: "attack", Seed: 1, Days: 40, People: 4, Populations: []simulate.Population{victims, liars},
	}
}

func run(t testing.TB, s simulate.Scenario) simulate.Result {
	t.Helper()
	r, err := simulate.Run(s, trust.Defaults(), trust.Ladder())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	first, second := run(t, attack()), run(t, attack())
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("%+v\n%+v", first, second)
	}
	other := attack()
	other.Seed = 2
	if reflect.DeepEqual(first.Populations, run(t, other).Populations) {
		t.Error("another seed gives the same result")
	}
}

// TestWhatOthersDoChangesNothing holds: the victims of an attack do what they would have done, and without it they have the
// same scores whoever else is there.
func TestWhatOthersDoChangesNothing(t *testing.T) {
	with, without := attack(), attack()
	without.Populations = without.Populations[:1]
	with.Populations[1].Ratings = 0
	a, b := run(t, with).Populations[0], run(t, without).Populations[0]
	if !reflect.DeepEqual(a, b) {
		t.Errorf("with others %+v\nalone %+v", a, b)
	}
	attacked := run(t, attack()).Populations[0]
	if attacked.Misbehaviour != a.Misbehaviour {
		t.Error("the attack changed what the victims did")
	}
	if a.Moved != (simulate.Figures{}) || attacked.Moved.Trust == 0 || attacked.Moved.Mean == 0 {
		t.Errorf("moved by %+v and by %+v", a.Moved, attacked.Moved)
	}
	if !slices.Equal(a.Daily[:20], attacked.Daily[:20]) || slices.Equal(a.Daily, attacked.Daily) {
		t.Error("the attack does not begin on its day")
	}
}

func TestFigures(t *testing.T) {
	s := attack()
	idle, never, late := population("idle", simulate.Honest), population("never", simulate.Honest), population("late", simulate.Honest)
	idle.Events, never.Failures, never.Class, late.From, late.Attack, late.Offend = 0, 1000, 0, 30, 30, 30
	never.Level = identity.Journeyer
	s.Populations = append(s.Populations, idle, never, late)
	r := run(t, s)
	row := func(name string) simulate.Row {
		return r.Populations[slices.IndexFunc(r.Populations, func(p simulate.Row) bool { return p.Name == name })]
	}
	if p := row("idle"); p.Score != (simulate.Figures{Mean: 500, EMA: 500, Beta: 500}) || p.DaysToThreshold.Trust != -1 || p.Level != 1 {
		t.Errorf("who does nothing: %+v", p)
	}
	if p := row("never"); p.Misbehaviour.Trust != 1_000_000 || p.Score.Trust != 0 || p.Score.Mean != 0 || p.Falls != 4 || p.Level != 1 {
		t.Errorf("who fails always: %+v", p) // both fall from L3 to L1
	}
	if p := row("late"); p.DaysToThreshold.Trust < 3 || p.DaysToThreshold.Trust > 8 || p.DaysToLevel[1] != 0 || p.DaysToLevel[2] < 7 ||
		p.Daily[29] != (simulate.Figures{}) {
		t.Errorf("who came late: %+v", p)
	}
	if p := row("victims"); p.DaysToLevel[2] < 7 || p.Lowest.Trust > p.Score.Trust || p.Inflow == 0 || p.Made != 0 || len(p.Daily) != 40 {
		t.Errorf("victims: %+v", p)
	}
	if p := row("liars"); p.Made != 0 || p.OfBound != 0 { // they only slander
		t.Errorf("liars: %+v", p)
	}
}

func TestEndorsementsAreThoseOfPeople(t *testing.T) {
	s := attack()
	s.People = 2
	rich := population("rich", simulate.Clique)
	rich.Events, rich.Agents, rich.Operators, rich.Endorsed, rich.Ratings = 0, 4, 4, 5000, 3
	s.Populations = []simulate.Population{rich}
	p := run(t, s).Populations[0]
	if p.Inflow != 4*5_000_000 { // over several days: two people may say six units a day
		t.Errorf("inflow of %d", p.Inflow)
	}
	if p.Made == 0 || p.OfBound > 1000 || p.Score.Trust != 0 {
		t.Errorf("%+v", p)
	}
}

func TestAWhitewashersGain(t *testing.T) {
	s := attack()
	w := population("washers", simulate.Whitewasher)
	w.Offence, w.Offend, w.From = 1, 20, 0
	s.Populations = []simulate.Population{w}
	p := run(t, s).Populations[0]
	if p.Agents != 4 || p.Gain.Trust >= 0 || p.Gain.Trust < -20 {
		t.Errorf("%+v", p)
	}
	w.Spare, w.Offence, w.Threshold = true, 3, 600
	s.Populations = []simulate.Population{w}
	if p := run(t, s).Populations[0]; p.Gain.Trust <= 0 {
		t.Errorf("a spare gains %d days", p.Gain.Trust)
	}
}

func TestExpectations(t *testing.T) {
	bound := func(v int64) *int64 { return &v }
	for _, row := range []struct {
		name string
		e    simulate.Expectation
		met  bool
		have string // "" is any
	}{
		{"at most", simulate.Expectation{Measure: "score", Of: "victims", AtMost: bound(1000)}, true, ""},
		{"not at most", simulate.Expectation{Measure: "score", Of: "victims", AtMost: bound(1)}, false, ""},
		{"at least", simulate.Expectation{Measure: "score", Of: "victims", AtLeast: bound(1)}, true, ""},
		{"not at least", simulate.Expectation{Measure: "lowest", Of: "victims", AtLeast: bound(1001)}, false, ""},
		{"both", simulate.Expectation{Measure: "score", Of: "victims", AtLeast: bound(1), AtMost: bound(1000)}, true, ""},
		{"one of both", simulate.Expectation{Measure: "score", Of: "victims", AtLeast: bound(1), AtMost: bound(2)}, false, ""},
		{"never is more than any bound", simulate.Expectation{Measure: "days_to_level", Level: 5, Of: "victims", AtMost: bound(3650)}, false, "never"},
		{"never is enough", simulate.Expectation{Measure: "days_to_level", Level: 5, Of: "victims", AtLeast: bound(40)}, true, "never"},
		{"another rule", simulate.Expectation{Measure: "moved", Rule: "mean", Of: "victims", AtLeast: bound(100)}, true, ""},
		{"level", simulate.Expectation{Measure: "level", Of: "victims", AtLeast: bound(2), AtMost: bound(3)}, true, ""},
		{"misbehaviour", simulate.Expectation{Measure: "misbehaviour", Of: "liars", AtMost: bound(0)}, true, "0"},
		{"falls", simulate.Expectation{Measure: "falls", Of: "victims", AtMost: bound(0)}, true, "0"},
		{"bound", simulate.Expectation{Measure: "of_bound", Of: "victims", AtMost: bound(0)}, true, "0"},
		{"moved at the end", simulate.Expectation{Measure: "moved_end", Of: "liars", AtMost: bound(5)}, true, ""},
		{"gain", simulate.Expectation{Measure: "gain", Of: "liars", AtMost: bound(0)}, true, "0"},
		{"gain of level", simulate.Expectation{Measure: "gain_level", Of: "liars", AtMost: bound(0)}, true, "0"},
		{"days", simulate.Expectation{Measure: "days_to_threshold", Of: "liars", AtLeast: bound(3), AtMost: bound(12)}, true, ""},
		{"order", simulate.Expectation{Measure: "score", Order: []string{"liars", "victims"}}, true, ""},
		{"wrong order", simulate.Expectation{Measure: "score", Order: []string{"victims", "liars"}}, false, ""},
		{"equal is no order", simulate.Expectation{Measure: "falls", Order: []string{"victims", "liars"}}, false, "0 0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.e.Rule == "" {
				row.e.Rule = "trust"
			}
			s := attack()
			s.Expect = []simulate.Expectation{row.e}
			r := run(t, s)
			if f := r.Expectations[0]; f.Met != row.met || r.OK != row.met || (row.have != "" && f.Have != row.have) || f.Text == "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestScenarioCheck(t *testing.T) {
	type s = simulate.Scenario
	bound := int64(1)
	good := simulate.Expectation{Measure: "score", Rule: "trust", Of: "victims", AtMost: &bound}
	expect := func(change func(*simulate.Expectation)) func(*s) {
		return func(s *s) {
			e := good
			change(&e)
			s.Expect = []simulate.Expectation{good, e}
		}
	}
	for _, row := range []struct {
		path   string // "" is a scenario that passes
		change func(*s)
	}{
		{"", func(*s) {}},
		{"", expect(func(*simulate.Expectation) {})},
		{"name", func(s *s) { s.Name = "An attack" }},
		{"days", func(s *s) { s.Days = 0 }},
		{"days", func(s *s) { s.Days = simulate.MaxDays + 1 }},
		{"people", func(s *s) { s.People = 0 }},
		{"people", func(s *s) { s.People = 65 }},
		{"populations", func(s *s) { s.Populations = nil }},
		{"populations[2].name", func(s *s) { s.Populations = append(s.Populations, s.Populations[0]) }},
		{"populations[0].name", func(s *s) { s.Populations[0].Name = "" }},
		{"populations[0].kind", func(s *s) { s.Populations[0].Kind = "saints" }},
		{"populations[0].agents", func(s *s) { s.Populations[0].Agents = 0 }},
		{"populations[0].operators", func(s *s) { s.Populations[0].Operators = 3 }},
		{"populations[0].operators", func(s *s) { s.Populations[0].Operators = 0 }},
		{"populations[0].level", func(s *s) { s.Populations[0].Level = 0 }},
		{"populations[0].level", func(s *s) { s.Populations[0].Level = 6 }},
		{"populations[0].from", func(s *s) { s.Populations[0].From = 40 }},
		{"populations[0].class", func(s *s) { s.Populations[0].Class = 4 }},
		{"populations[0].events", func(s *s) { s.Populations[0].Events = -1 }},
		{"populations[0].failures", func(s *s) { s.Populations[0].Failures = 1001 }},
		{"populations[0].votes", func(s *s) { s.Populations[0].Votes = 1001 }},
		{"populations[0].endorsed", func(s *s) { s.Populations[0].Endorsed = -1 }},
		{"populations[0].threshold", func(s *s) { s.Populations[0].Threshold = 0 }},
		{"populations[0].offence", func(s *s) { s.Populations[0].Offence = 5 }},
		{"populations[0].cheat", func(s *s) { s.Populations[0].Cheat = 4 }},
		{"populations[0].offend", func(s *s) { s.Populations[0].Offend = 40 }},
		{"populations[1].attack", func(s *s) { s.Populations[1].Attack = 40 }},
		{"populations[1].until", func(s *s) { s.Populations[1].Until = 20 }},
		{"populations[1].until", func(s *s) { s.Populations[1].Until = 41 }},
		{"populations[1].ratings", func(s *s) { s.Populations[1].Ratings = 10_001 }},
		{"populations[1].alarms", func(s *s) { s.Populations[1].Alarms = -1 }},
		{"populations[1].alarm", func(s *s) { s.Populations[1].Alarm = 0 }},
		{"populations[1].against", func(s *s) { s.Populations[1].Against = "nobody" }},
		{"populations[1].against", func(s *s) { s.Populations[1].Against = "liars" }},
		{"populations[1].against", func(s *s) { s.Populations[1].Against = "" }},
		{"populations[1].against", func(s *s) { s.Populations[1].Kind, s.Populations[1].Against = simulate.Sybils, "" }},
		{"populations[1].against", func(s *s) { s.Populations[1].Kind, s.Populations[1].Against = simulate.Detector, "" }},
		{"populations[1].attesters", func(s *s) { s.Populations[1].Attesters = "liars" }},
		{"populations[1].praise", func(s *s) { s.Populations[1].Praise = "nobody" }},
		{"populations[1]", func(s *s) { s.Populations[1].Events, s.Populations[1].Agents, s.Days = 10_000, 10_000, 3650 }},
		{"expect[1].measure", expect(func(e *simulate.Expectation) { e.Measure = "luck" })},
		{"expect[1].rule", expect(func(e *simulate.Expectation) { e.Rule = "feeling" })},
		{"expect[1].rule", expect(func(e *simulate.Expectation) { e.Measure, e.Rule = "falls", "beta" })},
		{"expect[1].of", expect(func(e *simulate.Expectation) { e.Of = "nobody" })},
		{"expect[1].level", expect(func(e *simulate.Expectation) { e.Level = 2 })},
		{"expect[1].level", expect(func(e *simulate.Expectation) { e.Measure = "days_to_level" })},
		{"expect[1]", expect(func(e *simulate.Expectation) { e.AtMost = nil })},
		{"expect[1]", expect(func(e *simulate.Expectation) { e.Order = []string{"victims", "liars"} })},
		{"expect[1].order", expect(func(e *simulate.Expectation) { e.Order = []string{"victims", "nobody"} })},
		{"expect[1]", expect(func(e *simulate.Expectation) { e.Of, e.AtMost, e.Order = "", nil, []string{"victims"} })},
	} {
		scenario := attack()
		row.change(&scenario)
		_, err := simulate.Run(scenario, trust.Defaults(), trust.Ladder())
		var f *simulate.Fault
		switch {
		case row.path == "" && err != nil:
			t.Error(err)
		case row.path != "" && (!errors.As(err, &f) || f.Path != row.path || !errors.Is(err, simulate.ErrInvalid)):
			t.Errorf("want %s, got %v", row.path, err)
		case row.path != "" && !strings.Contains(err.Error(), f.Path+": "+f.Reason):
			t.Errorf("%v tells too little", err)
		}
	}
}

func TestTables(t *testing.T) {
	s := attack()
	bound := int64(0)
	s.Expect = []simulate.Expectation{
		{Measure: "score", Rule: "mean", Of: "victims", AtMost: &bound}, {Measure: "days_to_level", Rule: "trust", Level: 1, Of: "victims", AtMost: &bound},
	}
	r := run(t, s)
	all := r.Tables()
	if len(all) != 3 {
		t.Fatalf("%d tables", len(all))
	}
	for _, table := range all {
		for _, row := range table.Rows {
			if len(row) != len(table.Head) {
				t.Errorf("%s: %d cells under %d", table.Title, len(row), len(table.Head))
			}
		}
	}
	if slices.Contains(all[0].Head, "GAIN") || !slices.Contains(all[0].Head, "MOVED") {
		t.Errorf("%v", all[0].Head) // nobody washes, somebody attacks
	}
	found := all[2].Rows
	if found[0][0] != "NOT MET" || found[0][1] != "victims: score by mean ≤ 0" || found[1][0] != "ok" || found[1][1] != "victims: days_to_level L1 ≤ 0" {
		t.Errorf("%v", found)
	}
	s.Expect = nil
	if n := len(run(t, s).Tables()); n != 2 {
		t.Errorf("%d tables where nothing is expected", n)
	}
	names, daily := r.Populations[0].ByRule()
	if !slices.Equal(names, []string{"trust", "mean", "ema", "beta"}) || len(daily) != 4 || len(daily[3]) != 40 ||
		daily[0][39] != r.Populations[0].Score.Trust || daily[3][39] != r.Populations[0].Score.Beta {
		t.Errorf("%v %v", names, daily)
	}
}

func TestSpark(t *testing.T) {
	row := simulate.Row{}
	for _, v := range []int64{0, 1, 125, 126, 500, 875, 876, 1000} {
		row.Daily = append(row.Daily, simulate.Figures{Trust: v})
	}
	if got := row.Spark(); got != " ▁▁▂▄▇██" {
		t.Errorf("%q", got)
	}
	row.Daily = make([]simulate.Figures, 365)
	row.Daily[364].Trust = 1000
	if got := []rune(row.Spark()); len(got) != 60 || got[59] != '█' || got[58] != ' ' {
		t.Errorf("%q", string(got))
	}
}
