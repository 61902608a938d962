package policy_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const presetDay = 24 * 60 * 60 * 1000

// What trust was when policies did not name it is not in their encodings, and their digests are those of then.
func TestTrustIsNotInOldEncodings(t *testing.T) {
	for name, digest := range map[string]string{
		policy.Solo:     "8b59a65d5bc81bef7badc0ba7629aa37aee616c20bef9ae894da8bf73e1f59e3",
		policy.Standard: "d32bc485e6aa4610845273e0ddc576c9603d7bdee3a7adcd2c4a70cb26560cae",
		policy.Strict:   "788a0499c12a6f5850a49b7bd261a23e304584bc00f43b6457891383fc03d850",
	} {
		p := preset(t, name)
		if p.Reckoning != nil || p.Rungs != nil || p.Params() != trust.Defaults() {
			t.Errorf("%s: %+v", name, p)
		}
		if got := p.Digest().String(); got != digest {
			t.Errorf("%s has the digest %s, realms were founded on %s", name, got, digest)
		}
	}
}

func TestLadderOfPresets(t *testing.T) {
	if got := preset(t, policy.Standard).Ladder(); !reflect.DeepEqual(got, trust.Ladder()) {
		t.Errorf("standard: %+v", got)
	}
	const day = presetDay
	want := []trust.Rung{
		{People: 1},
		{Score: 500, Held: 3 * day, Floor: 400, Tenure: 7 * day, Outcomes: 30, People: 1},
		{Class: 1, Score: 700, Held: 7 * day, Floor: 600, Tenure: 14 * day, Outcomes: 60, Clean: 2, CleanFor: 90 * day, People: 1,
			Lease: 90 * day},
		{Class: 2, Score: 800, Held: 14 * day, Floor: 700, Tenure: 30 * day, Outcomes: 300, InClass: 30, Votes: 20, People: 1,
			Lease: 90 * day},
		{Class: 2, Score: 900, Held: 30 * day, Floor: 800, Tenure: 60 * day, Outcomes: 300, InClass: 30, Votes: 20, Clean: 1,
			CleanFor: 90 * day, People: 1, Lease: 30 * day},
	}
	p := preset(t, policy.Solo)
	if got := p.Ladder(); !reflect.DeepEqual(got, want) {
		t.Errorf("solo: %+v", got)
	}
	if err := trust.CheckRungs(p.Ladder()); err != nil {
		t.Errorf("solo: %v", err)
	}
	p.Ladder()[0].People = 9
	if p.Ladder()[0].People != 1 {
		t.Error("a caller has changed the ladder")
	}
}

// What holds anyway is set as nothing, and anything else reads back as it was set.
func TestSetTrust(t *testing.T) {
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		p := preset(t, name)
		before := p.Encode()
		p.SetTrust(p.Params(), p.Ladder())
		if !bytes.Equal(p.Encode(), before) {
			t.Errorf("%s: setting what holds changes the encoding", name)
		}
		params, rungs := p.Params(), p.Ladder()
		params.Gamma, rungs[1].Outcomes = 400, 31
		p.SetTrust(params, rungs)
		rungs[1].Outcomes = 32 // the policy has its own
		if err := p.Check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := policy.Parse(p.Encode())
		if err != nil || again.Params().Gamma != 400 || again.Ladder()[1].Outcomes != 31 {
			t.Errorf("%s: %v, %+v", name, err, again)
		}
		p.SetTrust(trust.Defaults(), preset(t, name).Ladder())
		if !bytes.Equal(p.Encode(), before) {
			t.Errorf("%s: the way back has another encoding", name)
		}
	}
}

func params(change func(*trust.Params)) func(*policy.Policy) {
	return func(p *policy.Policy) {
		params := p.Params()
		change(&params)
		p.Reckoning = &params
	}
}

func rung(level int, change func(*trust.Rung)) func(*policy.Policy) {
	return func(p *policy.Policy) {
		p.Rungs = p.Ladder()
		change(&p.Rungs[level-1])
	}
}

func TestTrustAccepted(t *testing.T) {
	for name, change := range map[string]func(*policy.Policy){
		"another prior":   params(func(p *trust.Params) { p.Prior = 9 * trust.Unit }),
		"a half-life":     params(func(p *trust.Params) { p.HalfLife.Suspicion = 60_000 }),
		"more outcomes":   rung(2, func(r *trust.Rung) { r.Outcomes = 40 }),
		"a longer tenure": rung(5, func(r *trust.Rung) { r.Tenure += presetDay }),
	} {
		for _, base := range []string{policy.Solo, policy.Standard} {
			p := preset(t, base)
			change(&p)
			if err := p.Check(); err != nil {
				t.Errorf("%s, %s: %v", name, base, err)
			}
		}
	}
}

func TestTrustRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		preset string
		path   string
		change func(*policy.Policy)
	}{
		{"no parameters", "standard", "trust.half_life.slow", func(p *policy.Policy) { p.Reckoning = &trust.Params{} }},
		{"what holds anyway", "standard", "trust", params(func(*trust.Params) {})},
		{"a short half-life", "standard", "trust.half_life.debt", params(func(p *trust.Params) { p.HalfLife.Debt = 1 })},
		{"no prior", "standard", "trust.prior", params(func(p *trust.Params) { p.Prior = 0 })},
		{"a negative prior", "standard", "trust.prior", params(func(p *trust.Params) { p.Prior = -1 })},
		{"gamma of one", "standard", "trust.gamma_per_mille", params(func(p *trust.Params) { p.Gamma = 1000 })},
		{"one operator's more than the day", "standard", "trust.from_one_operator", params(func(p *trust.Params) { p.FromOne = p.Daily + 1 })},
		{"falling severities", "standard", "trust.severities", params(func(p *trust.Params) { p.Severities[3] = 1 })},
		{"an alarm above all", "standard", "trust.alarm_per_mille", params(func(p *trust.Params) { p.Alarm = 1001 })},
		{"no blame", "standard", "trust.blame", params(func(p *trust.Params) { p.Blame = 0 })},
		{"a sudden fall above all", "standard", "trust.sudden_per_mille", params(func(p *trust.Params) { p.Sudden = 1 << 63 })},
		{"the longest is shorter", "standard", "trust.longest_dwell", params(func(p *trust.Params) { p.Longest = p.Dwell - 1 })},
		{"suspicion above all", "standard", "trust.suspect_per_mille", params(func(p *trust.Params) { p.Suspect = 1001 })},

		{"an empty ladder", "standard", "ladder", func(p *policy.Policy) { p.Rungs = []trust.Rung{} }},
		{"a gap", "standard", "ladder", func(p *policy.Policy) { p.Rungs = p.Ladder()[1:] }},
		{"a level too many", "standard", "ladder", func(p *policy.Policy) { p.Rungs = append(p.Ladder(), p.Ladder()[4]) }},
		{"the ladder that holds anyway", "standard", "ladder", rung(1, func(*trust.Rung) {})},
		{"solo's ladder that holds anyway", "solo", "ladder", rung(1, func(*trust.Rung) {})},
		{"nobody signs", "standard", "ladder.L2.people", rung(2, func(r *trust.Rung) { r.People = 0 })},
		{"more others than people", "standard", "ladder.L3.foreign", rung(3, func(r *trust.Rung) { r.Foreign = 2 })},
		{"two people of one", "solo", "ladder.L4.people", rung(4, func(r *trust.Rung) { r.People = 2 })},
		{"others where there is one", "solo", "ladder.L4.foreign", rung(4, func(r *trust.Rung) { r.Foreign = 1 })},
		{"other operators where there is one", "solo", "ladder.L3.operators", rung(3, func(r *trust.Rung) { r.Operators = 1 })},
		{"standard's ladder in a solo realm", "solo", "ladder.L3.foreign", func(p *policy.Policy) { p.Rungs = trust.Ladder() }},
		{"a score above all", "standard", "ladder.L5.score_per_mille", rung(5, func(r *trust.Rung) { r.Score = 1001 })},
		{"a floor at the score", "standard", "ladder.L3.floor_per_mille", rung(3, func(r *trust.Rung) { r.Floor = r.Score })},
		{"a class above R3", "standard", "ladder.L5.class", rung(5, func(r *trust.Rung) { r.Class = 4 })},
		{"more in the class than outcomes", "standard", "ladder.L4.in_class", rung(4, func(r *trust.Rung) { r.InClass = r.Outcomes + 1 })},
		{"more operators than are kept", "standard", "ladder.L3.operators", rung(3, func(r *trust.Rung) { r.Operators = 5 })},
		{"easier than below", "standard", "ladder.L4.score_per_mille", rung(4, func(r *trust.Rung) { r.Score, r.Floor = 650, 600 })},
		{"a negative lease", "standard", "ladder.L3.lease", rung(3, func(r *trust.Rung) { r.Lease = -1 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := preset(t, c.preset)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			c.change(&p)
			wantFault(t, p.Check(), c.path)
		})
	}
}

func TestExtended(t *testing.T) {
	for name, change := range map[string]func(*policy.Policy){
		"conditions": when(denied(above(1))),
		"parameters": params(func(p *trust.Params) { p.Blame = 4 }),
		"a ladder":   rung(2, func(r *trust.Rung) { r.Outcomes = 40 }),
	} {
		p := preset(t, policy.Standard)
		if p.Extended() {
			t.Fatal("a preset is extended")
		}
		if change(&p); !p.Extended() {
			t.Errorf("%s: not extended", name)
		}
	}
}
