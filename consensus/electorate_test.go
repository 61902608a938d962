package consensus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The scenarios of testdata/tally say who may be in an electorate; this is about its form.
func TestCheckElectorateForm(t *testing.T) {
	planner := agent("planner").ID()
	if err := consensus.CheckElectorate(opening(t), planner); err != nil {
		t.Fatal(err)
	}
	node := signer(identity.Node, "n")
	for _, c := range []struct {
		name   string
		want   error
		change func(*consensus.Opening)
	}{
		{"unsorted", wire.ErrMalformed, func(o *consensus.Opening) { slices.Reverse(o.Voters) }},
		{"a node", wire.ErrMalformed, func(o *consensus.Opening) {
			o.Voters = sorted(append(o.Voters, voter(node, person("bob").ID(), 1))...)
		}},
		{"a person under another", wire.ErrMalformed, func(o *consensus.Opening) {
			o.Voters = sorted(append(o.Voters, voter(person("dora"), person("bob").ID(), 1))...)
		}},
		{"an agent under an agent", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Operator = agent("other").ID() }},
		{"an agent under a node", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Operator = node.ID() }},
		{"an agent above L5", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Level = 6 }},
		{"a weightless voter", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Weight = 0 }},
		{"a voter too heavy", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Weight = consensus.MaxWeight + 1 }},
		{"more than calibrated", wire.ErrMalformed, func(o *consensus.Opening) { scout(o).Calibration = 1001 }},
		{"a person with a level", wire.ErrMalformed, func(o *consensus.Opening) { bob(o).Level = 3 }},
		{"a person with a family", wire.ErrMalformed, func(o *consensus.Opening) { bob(o).Family = "gpt" }},
		{"a person less than calibrated", wire.ErrMalformed, func(o *consensus.Opening) { bob(o).Calibration = 999 }},
		{"a silenced person", wire.ErrMalformed, func(o *consensus.Opening) { bob(o).Silenced = true }},
		{"an agent in an emergency", wire.ErrMalformed, func(o *consensus.Opening) { o.Emergency = true }},
		{"nobody sure enough", consensus.ErrUnreachable, func(o *consensus.Opening) {
			o.Rule = consensus.Rule{Approvals: 1, Confidence: 900, Deadline: 1, Window: 1}
			o.Voters = []consensus.Voter{*scout(o)} // calibrated to 700: it cannot say more than 850
		}},
		{"silenced", consensus.ErrUnreachable, func(o *consensus.Opening) {
			o.Rule, scout(o).Silenced = consensus.Rule{Approvals: 3, Deadline: 1, Window: 1}, true
		}},
		{"too few for the faults", consensus.ErrUnreachable, func(o *consensus.Opening) {
			o.Rule = consensus.Rule{Approvals: 1, Faults: 1, Deadline: 1, Window: 1}
		}},
		{"too many", wire.ErrTooLarge, func(o *consensus.Opening) { o.Voters = crowd(consensus.MaxVoters + 1) }},
		{"a rule nobody need meet", consensus.ErrUnreachable, func(o *consensus.Opening) { o.Rule = consensus.Rule{} }},
		{"too alike", consensus.ErrUnreachable, func(o *consensus.Opening) { o.Rule.Approvals, o.Rule.Operators = 3, 3 }},
	} {
		o := opening(t)
		c.change(&o)
		if err := consensus.CheckElectorate(o, planner); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if fault.CodeOf(consensus.ErrUnreachable) != fault.NoQuorum {
		t.Errorf("an unreachable rule has the code %s", fault.CodeOf(consensus.ErrUnreachable))
	}
	largest := opening(t)
	largest.Voters = crowd(consensus.MaxVoters)
	largest.Rule = consensus.Rule{Approvals: consensus.MaxVoters, Share: 1000, Deadline: 1, Window: 1}
	largest.Rule.Confidence = 850 // all that voters of calibration 700 can say
	if err := consensus.CheckElectorate(largest, planner); err != nil {
		t.Errorf("the largest electorate: %v", err)
	}
}

// bob returns a person of the opening, to be changed.
func bob(o *consensus.Opening) *consensus.Voter {
	return &o.Voters[slices.IndexFunc(o.Voters, consensus.Voter.Person)]
}

// A tally does not count by an electorate that it could be misled by: weights that add up to more than a number holds, one
// voter twice.
func TestTallyRefusesImproperElectorates(t *testing.T) {
	if state, err := tally(opening(t)); err != nil || state != consensus.Open {
		t.Fatal(state, err)
	}
	for name, change := range map[string]func(*consensus.Opening){
		"weights beyond counting": func(o *consensus.Opening) { o.Voters[0].Weight, o.Voters[1].Weight = 1<<63, 1<<63 },
		"a voter twice":           func(o *consensus.Opening) { o.Voters[1] = o.Voters[0] },
		"too many":                func(o *consensus.Opening) { o.Voters = crowd(consensus.MaxVoters + 1) },
	} {
		o := opening(t)
		change(&o)
		if state, err := tally(o); err == nil || state != 0 || fault.CodeOf(err) == fault.Internal {
			t.Errorf("%s: %s, %v", name, state, err)
		}
		if _, err := consensus.Confidence(o, nil); err == nil {
			t.Errorf("%s: has a confidence", name)
		}
		if _, err := consensus.Revealing(o, consensus.Poll{}, now); err == nil {
			t.Errorf("%s: reveals", name)
		}
	}
	o := opening(t)
	o.Rule, o.Voters = consensus.Rule{}, nil
	if got, err := consensus.Confidence(o, nil); !errors.Is(err, consensus.ErrBadRule) || got != 0 {
		t.Errorf("nobody's confidence by no rule is %d, %v", got, err)
	}
}

func crowd(n int) []consensus.Voter {
	voters := make([]consensus.Voter, n)
	for i := range voters {
		voters[i] = voter(agent(fmt.Sprintf("crowd-%d", i)), person("bob").ID(), 1000)
	}
	return sorted(voters...)
}

func TestEligible(t *testing.T) {
	ann, bob := person("ann").ID(), person("bob").ID()
	planner, helper, scout := agent("planner").ID(), agent("helper").ID(), agent("scout").ID()
	for _, c := range []struct {
		name                 string
		proposer, proposerOp identity.ID
		voter, voterOp       identity.ID
		without, withOwn     bool
	}{
		{name: "another person", proposer: planner, proposerOp: ann, voter: bob, voterOp: bob, without: true, withOwn: true},
		{name: "another's agent", proposer: planner, proposerOp: ann, voter: scout, voterOp: bob, without: true, withOwn: true},
		{name: "own person", proposer: planner, proposerOp: ann, voter: ann, voterOp: ann, withOwn: true},
		{name: "own other agent", proposer: planner, proposerOp: ann, voter: helper, voterOp: ann},
		{name: "the proposer", proposer: planner, proposerOp: ann, voter: planner, voterOp: ann},
		{name: "the proposing person", proposer: ann, proposerOp: ann, voter: ann, voterOp: ann, withOwn: true},
		{name: "the person's agent", proposer: ann, proposerOp: ann, voter: planner, voterOp: ann},
	} {
		for own, want := range map[bool]bool{false: c.without, true: c.withOwn} {
			r := consensus.Rule{Own: own}
			if got := consensus.Eligible(r, c.proposer, c.proposerOp, c.voter, c.voterOp); got != want {
				t.Errorf("%s, own %t: %t", c.name, own, got)
			}
		}
	}
}

func TestOpeningVoter(t *testing.T) {
	o := opening(t)
	v, ok := o.Voter(agent("scout").ID())
	if !ok || v.Operator != person("carol").ID() || v.Weight != 2 || v.Person() {
		t.Errorf("scout is %+v, %t", v, ok)
	}
	if v, ok := o.Voter(agent("planner").ID()); ok || v.Weight != 0 {
		t.Errorf("planner is %+v", v)
	}
}
