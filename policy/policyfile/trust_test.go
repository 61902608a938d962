package policyfile_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const day = 24 * 60 * 60 * 1000

// Every field of trust and ladder changes that field and no other, and what holds anyway changes nothing.
func TestEachTrustFieldOverrides(t *testing.T) {
	for _, c := range []struct {
		text string
		want func(*trust.Params, []trust.Rung)
	}{
		{"trust: {}", func(*trust.Params, []trust.Rung) {}},
		{"ladder: {}", func(*trust.Params, []trust.Rung) {}},
		{"trust: {prior: 8}", func(*trust.Params, []trust.Rung) {}},
		{"trust: {prior: 8.000000}", func(*trust.Params, []trust.Rung) {}},
		{"trust: {half_life: {}}", func(*trust.Params, []trust.Rung) {}},
		{"ladder: {L2: {score_per_mille: 500}}", func(*trust.Params, []trust.Rung) {}},
		{"trust: {half_life: {slow: 30d}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Slow = 30 * day }},
		{"trust: {half_life: {fast: 12h}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Fast = day / 2 }},
		{"trust: {half_life: {violation: 1d12h}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Violation = day * 3 / 2 }},
		{"trust: {half_life: {recidivism: 3650d}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Recidivism = 3650 * day }},
		{"trust: {half_life: {suspicion: 60s}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Suspicion = 60_000 }},
		{"trust: {half_life: {debt: 1d0h1m0s1ms}}", func(p *trust.Params, _ []trust.Rung) { p.HalfLife.Debt = day + 60_001 }},
		{"trust: {prior: 8.5}", func(p *trust.Params, _ []trust.Rung) { p.Prior = 8_500_000 }},
		{"trust: {gamma_per_mille: 0}", func(p *trust.Params, _ []trust.Rung) { p.Gamma = 0 }},
		{"trust: {daily: 4}", func(p *trust.Params, _ []trust.Rung) { p.Daily = 4_000_000 }},
		{"trust: {from_one_operator: 0.000001}", func(p *trust.Params, _ []trust.Rung) { p.FromOne = 1 }},
		{"trust: {ratings_of_one_operator: 0}", func(p *trust.Params, _ []trust.Rung) { p.Rated = 0 }},
		{"trust: {allowance: 2.25}", func(p *trust.Params, _ []trust.Rung) { p.Allowance = 2_250_000 }},
		{"trust: {severities: [0.1, 1, 2, 999.999999]}", func(p *trust.Params, _ []trust.Rung) {
			p.Severities = [4]trust.Micro{100_000, 1_000_000, 2_000_000, 999_999_999}
		}},
		{"trust: {alarm_per_mille: 1000}", func(p *trust.Params, _ []trust.Rung) { p.Alarm = 1000 }},
		{"trust: {blame: 10}", func(p *trust.Params, _ []trust.Rung) { p.Blame = 10 }},
		{"trust: {vote: 1}", func(p *trust.Params, _ []trust.Rung) { p.Vote = trust.Unit }},
		{"trust: {sudden_per_mille: 0}", func(p *trust.Params, _ []trust.Rung) { p.Sudden = 0 }},
		{"trust: {grace: 2d}", func(p *trust.Params, _ []trust.Rung) { p.Grace = 2 * day }},
		{"trust: {dwell: 0s}", func(p *trust.Params, _ []trust.Rung) { p.Dwell = 0 }},
		{"trust: {longest_dwell: 365d}", func(p *trust.Params, _ []trust.Rung) { p.Longest = 365 * day }},
		{"trust: {suspect_per_mille: 301}", func(p *trust.Params, _ []trust.Rung) { p.Suspect = 301 }},

		{"ladder: {L5: {class: R3}}", func(_ *trust.Params, r []trust.Rung) { r[4].Class = 3 }},
		{"ladder: {L5: {score_per_mille: 950}}", func(_ *trust.Params, r []trust.Rung) { r[4].Score = 950 }},
		{"ladder: {L5: {held: 40d}}", func(_ *trust.Params, r []trust.Rung) { r[4].Held = 40 * day }},
		{"ladder: {L5: {floor_per_mille: 850}}", func(_ *trust.Params, r []trust.Rung) { r[4].Floor = 850 }},
		{"ladder: {L5: {tenure: 90d}}", func(_ *trust.Params, r []trust.Rung) { r[4].Tenure = 90 * day }},
		{"ladder: {L5: {outcomes: 301}}", func(_ *trust.Params, r []trust.Rung) { r[4].Outcomes = 301 }},
		{"ladder: {L5: {in_class: 31}}", func(_ *trust.Params, r []trust.Rung) { r[4].InClass = 31 }},
		{"ladder: {L5: {operators: 4}}", func(_ *trust.Params, r []trust.Rung) { r[4].Operators = 4 }},
		{"ladder: {L5: {votes: 21}}", func(_ *trust.Params, r []trust.Rung) { r[4].Votes = 21 }},
		{"ladder: {L5: {clean_of_severity: 2}}", func(_ *trust.Params, r []trust.Rung) { r[4].Clean = 2 }},
		{"ladder: {L5: {clean_for: 91d}}", func(_ *trust.Params, r []trust.Rung) { r[4].CleanFor = 91 * day }},
		{"ladder: {L5: {people: 3}}", func(_ *trust.Params, r []trust.Rung) { r[4].People = 3 }},
		{"ladder: {L5: {foreign: 2}}", func(*trust.Params, []trust.Rung) {}},
		{"ladder: {L5: {lease: 7d}}", func(_ *trust.Params, r []trust.Rung) { r[4].Lease = 7 * day }},
		{"ladder: {L5: {lease: 0s}}", func(_ *trust.Params, r []trust.Rung) { r[4].Lease = 0 }},
		{"ladder: {L4: {lease: 80d}, L5: {lease: 20d}}", func(_ *trust.Params, r []trust.Rung) { r[3].Lease, r[4].Lease = 80*day, 20*day }},
		{"ladder: {L5: {votes: 30}}\ntrust: {blame: 4}", func(p *trust.Params, r []trust.Rung) { r[4].Votes, p.Blame = 30, 4 }},
	} {
		want := preset(t, policy.Standard)
		params, rungs := want.Params(), want.Ladder()
		c.want(&params, rungs)
		want.SetTrust(params, rungs)
		for _, text := range []string{"preset: standard\n" + c.text, c.text + "\npreset: standard\n"} {
			if got := parse(t, text); !reflect.DeepEqual(got, want) {
				t.Errorf("%s\ngives %+v %+v\nwant  %+v %+v", c.text, got.Params(), got.Ladder(), params, rungs)
			}
		}
	}
}

// A solo realm's ladder is its own, also for what a file does not name.
func TestSoloLadderInFile(t *testing.T) {
	p := parse(t, "preset: solo\nladder: {L2: {outcomes: 10}}\n")
	want := preset(t, policy.Solo).Ladder()
	want[1].Outcomes = 10
	if !reflect.DeepEqual(p.Ladder(), want) {
		t.Errorf("%+v", p.Ladder())
	}
}

func TestWhenInFile(t *testing.T) {
	const kind = "preset: standard\nkinds:\n  - match: pay\n    class: R1\n    when: "
	for text, want := range map[string][]policy.When{
		"[]":                          nil,
		"[{target: 'a*', class: R2}]": {{Target: "a*", Class: consensus.R2}},
		"[{above: 1, deny: true}]":    {{Above: 1, Class: consensus.R3, Deny: true}},
		"[{param: p, value: '*', not: true, deny: false, class: R3}]": {{Param: "p", Value: "*", Not: true, Class: consensus.R3}},
		"[{above: 2, class: R2}, {target: \"\\u00e4\\\"#\", class: R3}]": {
			{Above: 2, Class: consensus.R2}, {Target: "ä\"#", Class: consensus.R3},
		},
	} {
		p := parse(t, kind+text+"\n")
		if !reflect.DeepEqual(p.Kinds, []policy.Kind{{Pattern: "pay", Class: consensus.R1, When: want}}) {
			t.Errorf("%s: %+v", text, p.Kinds)
		}
		whole, err := policyfile.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again := parse(t, string(whole)); again.Digest() != p.Digest() {
			t.Errorf("%s reads back as %+v from\n%s", text, again.Kinds, whole)
		}
	}
}

// climbing begins a file; each row is its third line.
const climbing = "preset: standard\nloosen: 2\n"

func TestTrustRefusalsNameTheirLine(t *testing.T) {
	if p := parse(t, climbing+"trust: {prior: 9}\n"); p.Params().Prior != 9*trust.Unit {
		t.Fatalf("%+v", p.Params())
	}
	for _, c := range []struct {
		text string
		line int
		path string
	}{
		{"trust: 8", 3, "trust"},
		{"trust: [prior]", 3, "trust"},
		{"trust: {priors: 8}", 3, "trust"},
		{"trust: {prior: -1}", 3, "trust.prior"},
		{"trust: {prior: 1e1}", 3, "trust.prior"},
		{"trust: {prior: 8.}", 3, "trust.prior"},
		{"trust: {prior: .5}", 3, "trust.prior"},
		{"trust: {prior: 08}", 3, "trust.prior"},
		{"trust: {prior: 0x8}", 3, "trust.prior"},
		{"trust: {prior: '8'}", 3, "trust.prior"},
		{"trust: {prior: .inf}", 3, "trust.prior"},
		{"trust: {prior: .nan}", 3, "trust.prior"},
		{"trust: {prior: 0.0000001}", 3, "trust.prior"},
		{"trust: {prior: 9999999999999}", 3, "trust.prior"},
		{"trust: {prior: 999999999999}", 3, "trust.prior"}, // a number, and too large
		{"trust: {prior: 0}", 3, "trust.prior"},
		{"trust: {prior: [8]}", 3, "trust.prior"},
		{"trust:\n  blame: 2\n  gamma_per_mille: 1000", 5, "trust.gamma_per_mille"},
		{"trust:\n  blame: 0", 4, "trust.blame"},
		{"trust:\n  half_life:\n    slow: 45\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 45d\n    fast: 59s\n", 6, "trust.half_life.fast"},
		{"trust:\n  half_life:\n    slow: 3651d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 1h1d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 1d24h\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 1d-1h\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: -1d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: +1d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 1.5d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slow: 9999999999999d\n", 5, "trust.half_life.slow"},
		{"trust:\n  half_life:\n    slowly: 1d\n", 5, "trust.half_life"},
		{"trust:\n  severities: [1, 2, 3]", 4, "trust.severities"},
		{"trust:\n  severities: 3", 4, "trust.severities"},
		{"trust:\n  severities: [1, 2, 3, x]", 4, "trust.severities"},
		{"trust:\n  severities: [4, 3, 2, 1]", 4, "trust.severities"},

		{"ladder: 3", 3, "ladder"},
		{"ladder: {L0: {people: 1}}", 3, "ladder"},
		{"ladder: {L6: {people: 1}}", 3, "ladder"},
		{"ladder: {L2: {persons: 1}}", 3, "ladder.L2"},
		{"ladder:\n  L2: {outcomes: 20}\n  L2: {people: 1}", 5, "ladder.L2"},
		{"ladder:\n  L2:\n    people: 0", 5, "ladder.L2.people"},
		{"ladder:\n  L3:\n    foreign: 2", 5, "ladder.L3.foreign"},
		{"ladder:\n  L3:\n    class: 1", 5, "ladder.L3.class"},
		{"ladder:\n  L3:\n    class: R4", 5, "ladder.L3.class"},
		{"ladder:\n  L3:\n    score_per_mille: 1001", 5, "ladder.L3.score_per_mille"},
		{"ladder:\n  L3:\n    score_per_mille: 0.5", 5, "ladder.L3.score_per_mille"},
		{"ladder:\n  L4:\n    floor_per_mille: 790", 5, "ladder.L4.floor_per_mille"},
		{"ladder:\n  L4: {score_per_mille: 650, floor_per_mille: 600}", 4, "ladder.L4.score_per_mille"},
		{"ladder:\n  L5:\n    lease: forever", 5, "ladder.L5.lease"},
	} {
		t.Run(strings.TrimSpace(c.text), func(t *testing.T) { wantRefusal(t, climbing+c.text+"\n", c.line, c.path) })
	}
	wantRefusal(t, "preset: solo\nladder:\n  L3:\n    foreign: 1\n", 4, "ladder.L3.foreign")
	wantRefusal(t, "preset: solo\nladder:\n  L5:\n    people: 2\n", 4, "ladder.L5.people")
}

func TestWhenRefusalsNameTheirLine(t *testing.T) {
	const kind = "preset: standard\nkinds:\n  - match: pay\n    class: R1\n    when:\n      - {above: 1, class: R2}\n      - "
	parse(t, kind+"{target: x, class: R2}\n")
	for text, path := range map[string]string{
		"{class: R2}":                        "kinds.pay/when[1]",
		"{target: x, class: R1}":             "kinds.pay/when[1]",
		"{target: x, class: R0}":             "kinds.pay/when[1]",
		"{above: 1, class: R2}":              "kinds.pay/when[1]", // twice
		"{param: x, class: R2}":              "kinds.pay/when[1]",
		"{value: x, class: R2}":              "kinds.pay/when[1]",
		"{target: '*****', class: R2}":       "kinds.pay/when[1]",
		"{target: \"a\\n\", class: R2}":      "kinds.pay/when[1]",
		"{target: x}":                        "kinds[0].when[1]",
		"{target: x, class: R3, deny: true}": "kinds[0].when[1]",
		"{target: x, unless: y, class: R2}":  "kinds[0].when[1]",
		"x":                                  "kinds[0].when[1]",
		"{target: '', class: R2}":            "kinds[0].when[1].target",
		"{target: 3, class: R2}":             "kinds[0].when[1].target",
		"{target: [x], class: R2}":           "kinds[0].when[1].target",
		"{above: 0, class: R2}":              "kinds[0].when[1].above",
		"{above: 0.5, class: R2}":            "kinds[0].when[1].above",
		"{above: 2, class: R4}":              "kinds[0].when[1].class",
		"{above: 2, not: 1, class: R2}":      "kinds[0].when[1].not",
	} {
		t.Run(text, func(t *testing.T) { wantRefusal(t, kind+text+"\n", 7, path) })
	}
	wantRefusal(t, "preset: standard\nkinds:\n  - match: pay\n    class: R1\n    when: {above: 1}\n", 5, "kinds[0].when")
	wantRefusal(t, "preset: standard\nkinds:\n  - match: pay\n    deny: true\n    when: [{above: 1, deny: true}]\n", 5, "kinds.pay/when")
}

// Random trust, ladder and conditions survive Marshal and Parse.
func TestMarshalRandomTrust(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	valid := 0
	for range 500 {
		p := preset(t, []string{policy.Solo, policy.Standard, policy.Strict}[r.IntN(3)])
		params, rungs := p.Params(), p.Ladder()
		params.Prior = trust.Unit + trust.Micro(r.Int64N(int64(100*trust.Unit)))
		params.HalfLife.Slow = 60_000 + r.Int64N(100*day)
		params.Severities[0] = 1 + trust.Micro(r.Int64N(int64(trust.Unit)))
		params.Grace, params.Blame = r.Int64N(30)*day, 1+r.Uint64N(10)
		rungs[4].Score, rungs[4].Outcomes, rungs[4].Lease = 900+r.Uint64N(101), 300+r.Uint64N(9), r.Int64N(40*day)
		p.SetTrust(params, rungs)
		p.Kinds[4].When = []policy.When{randomWhen(r)}
		if p.Check() != nil {
			continue
		}
		valid++
		text, err := policyfile.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, string(text)); got.Digest() != p.Digest() {
			t.Fatalf("%+v\nreads back as\n%+v\nfrom\n%s", p, got, text)
		}
	}
	if valid < 100 {
		t.Errorf("only %d of 500 random policies were valid", valid)
	}
}

func randomWhen(r *rand.Rand) policy.When {
	words := []string{"", "a", "*", "ä: {x}", "'\"\\#", "\u2028\u0085\ufeff", "yes", "1", "~", "a*b*"}
	word := func() string { return words[r.IntN(len(words))] }
	w := policy.When{Target: word(), Above: r.Uint64N(3), Not: r.IntN(2) == 0, Class: consensus.R2}
	if w.Param = word(); w.Param != "" {
		w.Value = word()
	}
	if r.IntN(3) == 0 {
		w.Class, w.Deny = consensus.R3, true
	}
	return w
}

// Amounts are exact: what a float would round is not.
func TestAmountsAreExact(t *testing.T) {
	for _, n := range []string{"1.000001", "8.1", "0.300000", "123.456789", "999.999999", "1"} {
		text, err := policyfile.Marshal(parse(t, "preset: standard\ntrust: {allowance: "+n+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		want := n
		if strings.Contains(n, ".") {
			want = strings.TrimRight(n, "0")
		}
		if !strings.Contains(string(text), "\n  allowance: "+want+"\n") {
			t.Errorf("%s is written otherwise:\n%s", n, text)
		}
	}
}
