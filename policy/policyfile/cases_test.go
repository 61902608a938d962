package policyfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

func cases(t *testing.T, text string) []policyfile.Case {
	t.Helper()
	all, err := policyfile.ParseCases("cases.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPresetsPassTheDefaultCases(t *testing.T) {
	all := cases(t, policyfile.DefaultCases)
	kinds := map[string]bool{}
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		for _, c := range all {
			kinds[c.Request.Action.Kind] = true
			if why := c.Try(preset(t, name), nil).Differs(c.Want); why != "" {
				t.Errorf("%s, line %d, %s: %s", name, c.Line, c.Name, why)
			}
		}
	}
	if len(all) < 15 || len(kinds) < 8 {
		t.Errorf("%d cases of %d kinds", len(all), len(kinds))
	}
	for i, line := range strings.Split(policyfile.DefaultCases, "\n") {
		if len(line) > 120 {
			t.Errorf("line %d has %d columns", i+1, len(line))
		}
	}
}

// gateOf refuses what it is told to.
type gateOf struct{ least consensus.Class }

func (g gateOf) Judge(r policy.Request) (policy.Verdict, error) {
	return policy.Verdict{Pass: r.Name != "mallory", Least: g.least}, nil
}

// trying is a policy in which each row below makes a difference.
const trying = `preset: standard
kinds:
  - {match: pay, class: R1, window: 24h, steps: [{above: 10, class: R2}], when: [{target: "eve*", deny: true}, {param: fast, value: "yes", class: R3}]}
  - {match: service.stop, class: R2}
`

func TestTry(t *testing.T) {
	p := parse(t, trying)
	for _, c := range []struct {
		row  string // after the name
		gate policy.Gate
		ok   bool
	}{
		{"by: L3, kind: pay, want: {class: R1, allow: true, alone: true, approvals: 1, people: 0}", nil, true},
		{"by: L3, kind: pay, want: {class: R2}", nil, false},
		{"by: L3, kind: pay, want: {alone: false}", nil, false},
		{"by: L3, kind: pay, want: {allow: false}", nil, false},
		{"by: L3, kind: pay, want: {approvals: 2}", nil, false},
		{"by: L3, kind: pay, want: {people: 1}", nil, false},
		{"by: L3, kind: pay, want: {rule: 1 approval}", nil, true},
		{"by: L3, kind: pay, want: {rule: 2 approvals}", nil, false},
		{"by: person, kind: pay, want: {alone: false, allow: true}", nil, true},
		{"by: L1, kind: pay, want: {allow: false, alone: false, class: R3}", nil, true},
		{"by: L3, kind: pay, amount: 10, want: {class: R1}", nil, true},
		{"by: L3, kind: pay, amount: 11, want: {class: R2, alone: false}", nil, true},
		{"by: L3, kind: pay, amount: 1, sum: 11, want: {class: R2}", nil, true},
		{"by: L3, kind: pay, least: R2, want: {class: R2}", nil, true},
		{"by: L3, kind: pay, target: eve/1, want: {allow: false, class: R3}", nil, true},
		{"by: L3, kind: pay, target: eve/1, want: {allow: true}", nil, false},
		{"by: L3, kind: pay, params: {fast: 'yes'}, want: {class: R3, people: 1}", nil, true},
		{"by: L3, kind: pay, params: {fast: ['no', 'yes'], slow: []}, want: {class: R3}", nil, true},
		{"by: L3, kind: pay, params: {fast: 'no'}, want: {class: R1}", nil, true},
		{"by: person, kind: service.stop, emergency: true, want: {allow: true, alone: false, people: 2}", nil, true},
		{"by: person, kind: pay, emergency: true, want: {allow: false}", nil, true},
		{"by: L3, kind: pay, proposer: bob, want: {allow: true}", gateOf{}, true},
		{"by: L3, kind: pay, proposer: mallory, want: {allow: false}", gateOf{}, true},
		{"by: L3, kind: pay, proposer: bob, want: {allow: false}", gateOf{consensus.R2}, true},
		{"by: L3, kind: pay, proposer: bob, score: 700, least: R2, want: {allow: true, class: R2}", gateOf{consensus.R2}, true},
	} {
		row := cases(t, "cases:\n  - {name: x, "+c.row+"}\n")[0]
		ruling := row.Try(p, c.gate)
		if why := ruling.Differs(row.Want); (why == "") != c.ok {
			t.Errorf("%s: %+v: %q", c.row, ruling, why)
		}
		if !ruling.Allow && (ruling.Why == "" || ruling.Alone) {
			t.Errorf("%s: refused, and %+v", c.row, ruling)
		}
	}
	row := cases(t, "cases: [{name: x, by: L3, kind: pay, want: {allow: true}}]")[0]
	if why := row.Try(p, gateOf{consensus.R2}).Differs(row.Want); !strings.Contains(why, "R2 at least") {
		t.Errorf("the gate's hint is lost: %q", why)
	}
}

func TestTablesRefused(t *testing.T) {
	const head = "cases:\n  - {name: a, by: L2, kind: x, want: {class: R3}}\n  - "
	cases(t, head+"{name: b, by: L2, kind: x, want: {class: R3}}\n")
	for text, want := range map[string]struct {
		line int
		path string
	}{
		"":                                    {0, ""},
		"cases: []\n":                         {1, "cases"},
		"cases: {}\n":                         {1, "cases"},
		"tests: []\n":                         {1, ""},
		"[]\n":                                {1, ""},
		"cases: []\ncases: []\n":              {2, "cases"},
		"cases: &a []\n":                      {1, ""},
		head + "x\n":                          {3, "cases[1]"},
		head + "{name: a, by: L2, kind: x}\n": {3, "cases[1]"},
		head + "{by: L2, kind: x, want: {class: R3}}\n":                              {3, "cases[1]"},
		head + "{name: a, kind: x, want: {class: R3}}\n":                             {3, "cases[1]"},
		head + "{name: a, by: L2, want: {class: R3}}\n":                              {3, "cases[1]"},
		head + "{name: a, by: L2, kind: X, want: {class: R3}}\n":                     {3, "cases[1]"},
		head + "{name: a, by: L2, kind: x, want: {}}\n":                              {3, "cases[1].want"},
		head + "{name: a, by: L2, kind: x, wants: {class: R3}}\n":                    {3, "cases[1]"},
		head + "{name: a, by: L6, kind: x, want: {class: R3}}\n":                     {3, "cases[1].by"},
		head + "{name: a, by: agent, kind: x, want: {class: R3}}\n":                  {3, "cases[1].by"},
		head + "{name: '', by: L2, kind: x, want: {class: R3}}\n":                    {3, "cases[1].name"},
		head + "{name: a, by: L2, kind: x, amount: -1, want: {class: R3}}\n":         {3, "cases[1].amount"},
		head + "{name: a, by: L2, kind: x, score: 1001, want: {class: R3}}\n":        {3, "cases[1].score"},
		head + "{name: a, by: L2, kind: x, params: [a], want: {class: R3}}\n":        {3, "cases[1].params"},
		head + "{name: a, by: L2, kind: x, params: {a: 1}, want: {class: R3}}\n":     {3, "cases[1].params.a"},
		head + "{name: a, by: L2, kind: x, params: {1: a}, want: {class: R3}}\n":     {3, "cases[1].params"},
		head + "{name: a, by: L2, kind: x, params: {a: [[b]]}, want: {class: R3}}\n": {3, "cases[1].params.a"},
		head + "{name: a, by: L2, kind: x, target: \"a\\nb\", want: {class: R3}}\n":  {3, "cases[1]"},
		head + "{name: a, by: L2, kind: x, want: {class: R4}}\n":                     {3, "cases[1].want.class"},
		head + "{name: a, by: L2, kind: x, want: {deny: true}}\n":                    {3, "cases[1].want"},
		head + "{name: a, by: L2, kind: x, want: {alone: 1}}\n":                      {3, "cases[1].want.alone"},
	} {
		_, err := policyfile.ParseCases("cases.yaml", []byte(text))
		var r *policyfile.Refusal
		if !errors.As(err, &r) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if r.File != "cases.yaml" || r.Line != want.line || r.Path != want.path || r.Reason == "" {
			t.Errorf("%q: line %d, %q: %s", text, r.Line, r.Path, r.Reason)
		}
	}
}

// FuzzParseCases: whatever is read can be tried, and a ruling that is refused says why.
func FuzzParseCases(f *testing.F) {
	f.Add([]byte(policyfile.DefaultCases))
	f.Add([]byte("cases: [{name: x, by: person, kind: pay, params: {fast: ['no']}, score: 3, emergency: true, want: {rule: y}}]"))
	p := preset(f, policy.Standard)
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := policyfile.ParseCases("f", text)
		var r *policyfile.Refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, c := range all {
			if got := c.Try(p, gateOf{}); !got.Allow && got.Why == "" || c.Name == "" || c.Line < 1 {
				t.Fatalf("%+v: %+v", c, got)
			}
		}
	})
}
