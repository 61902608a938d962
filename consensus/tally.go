package consensus

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// State is where a decision stands. The zero value is none.
type State uint8

// The states.
const (
	Open     State = 1
	Approved State = 2
	Rejected State = 3
	Expired  State = 4 // silence until the deadline, which rejects
)

// String returns the state's word.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Approved:
		return "approved"
	case Rejected:
		return "rejected"
	case Expired:
		return "expired"
	}
	return "none"
}

// Tally counts verified ballots, at most one a voter, by the opening's rule over the whole electorate's weight:
// silence and abstention count against. A person's rejection is a veto where the rule asks for a person. Ballots of
// voters outside the electorate, for another decision, or second ballots of one voter are an error: the caller must
// not have collected them.
func Tally(o Opening, ballots []wire.Verified[Ballot]) (State, error) {
	votes := make(map[identity.ID]Vote, len(ballots))
	for _, v := range ballots {
		b := v.Statement()
		if b.Proposal != o.Proposal || b.Action != o.Action || b.Opening != o.Digest() {
			return 0, ErrOtherDecision
		}
		if _, ok := o.Voter(b.Voter); !ok {
			return 0, ErrNotVoter
		}
		if _, ok := votes[b.Voter]; ok {
			return 0, ErrVoted
		}
		votes[b.Voter] = b.Vote
	}
	return tally(o, votes), nil
}

// tally decides. It fails fast: a decision that the missing votes cannot save any more is rejected now.
func tally(o Opening, votes map[identity.ID]Vote) State {
	if o.Rule.Check() != nil {
		return Rejected
	}
	if vetoed(o, votes) {
		return Rejected
	}
	if met(o, func(v Voter) bool { return votes[v.ID] == Approve }) {
		return Approved
	}
	if !met(o, func(v Voter) bool { vote, voted := votes[v.ID]; return !voted || vote == Approve }) {
		return Rejected
	}
	return Open
}

func vetoed(o Opening, votes map[identity.ID]Vote) bool {
	if o.Rule.People == 0 {
		return false
	}
	for _, v := range o.Voters {
		if v.Person() && votes[v.ID] == Reject {
			return true
		}
	}
	return false
}

// met reports whether the rule is met if exactly the voters chosen approve.
func met(o Opening, approves func(Voter) bool) bool {
	var approvals, people, weight, total uint64
	operators := make(map[identity.ID]bool)
	for _, v := range o.Voters {
		total += v.Weight
		if !approves(v) {
			continue
		}
		approvals++
		weight += v.Weight
		operators[v.Operator] = true
		if v.Person() {
			people++
		}
	}
	r := o.Rule
	return approvals >= r.Approvals && people >= r.People && uint64(len(operators)) >= r.Operators &&
		weight*1000 >= r.Share*total
}
