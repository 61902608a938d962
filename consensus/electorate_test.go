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
	if err := consensus.CheckElectorate(largest, planner); err != nil {
		t.Errorf("the largest electorate: %v", err)
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
