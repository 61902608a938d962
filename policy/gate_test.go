package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// told is a gate that says one thing.
type told struct {
	verdict policy.Verdict
	err     error
	asked   *policy.Request
}

func (g told) Judge(r policy.Request) (policy.Verdict, error) {
	if g.asked != nil {
		*g.asked = r
	}
	return g.verdict, g.err
}

func TestAdmit(t *testing.T) {
	pass := func(least consensus.Class) told {
		return told{verdict: policy.Verdict{Pass: true, Least: least, Rules: []string{"r"}}}
	}
	for _, c := range []struct {
		name  string
		gate  policy.Gate
		least consensus.Class
		ok    bool
		hint  string
	}{
		{"passed", pass(0), 0, true, ""},
		{"passed above", pass(0), 3, true, ""},
		{"raised, and asked for", pass(2), 2, true, ""},
		{"raised, and more asked for", pass(2), 3, true, ""},
		{"raised", pass(2), 1, false, "R2"},
		{"raised to R3", pass(3), 0, false, "R3"},
		{"raised above R3", pass(4), 3, false, ""},
		{"the zero verdict", told{}, 3, false, ""},
		{"denied", told{verdict: policy.Verdict{Rules: []string{"r"}}}, 3, false, ""},
		{"an error", told{err: errors.New("broken")}, 3, false, ""},
		{"an error that passes", told{verdict: policy.Verdict{Pass: true}, err: errors.New("broken")}, 3, false, ""},
		{"no gate", nil, 3, false, ""},
	} {
		err := policy.Admit(c.gate, policy.Request{}, c.least)
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, policy.ErrGate) || fault.CodeOf(err) != fault.Denied || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: %v, hint %q", c.name, err, fault.HintOf(err))
		}
		if c.hint == "" && fault.HintOf(err) != "" {
			t.Errorf("%s: hint %q", c.name, fault.HintOf(err))
		}
	}
	var asked policy.Request
	want := policy.Request{Name: "worker", Class: consensus.R2, Emergency: true}
	if err := policy.Admit(told{verdict: policy.Verdict{Pass: true}, asked: &asked}, want, 0); err != nil || asked.Name != "worker" || !asked.Emergency {
		t.Errorf("%v, asked about %+v", err, asked)
	}
}
