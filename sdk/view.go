package sdk

import (
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// verifyView checks the proposer's signature by a key that it has had, that the opening stands under a majority-signed
// head, that class, rule and electorate are what the policy says, and every ballot's signature by the key that the
// opening gives its voter.
func verifyView(v control.DecisionView, l lore, now int64) (ballot.View, error) {
	head, err := audit.VerifyHead(v.Head, l.authority)
	if err != nil {
		return ballot.View{}, byOthers(err)
	}
	if err := v.Opened.Shows(head, v.Opening); err != nil {
		return ballot.View{}, fmt.Errorf("opening: %w", err)
	}
	claimed, err := wire.Parse[consensus.Proposal](v.Proposal, wire.MaxStatement)
	if err != nil {
		return ballot.View{}, err
	}
	proposal, err := claimed.Verify(l.authority.Realm, v.Opening.Key)
	if err != nil {
		return ballot.View{}, err
	}
	p := proposal.Statement()
	if proposal.ID() != v.ID || v.Opening.Proposal != v.ID || v.Opening.Action != p.Action.Digest() {
		return ballot.View{}, consensus.ErrOtherDecision
	}
	if err := proof.CheckOpening(l.policy, p, v.Opening); err != nil {
		return ballot.View{}, err
	}
	ticket, _, err := verifyPrincipal(v.Principal, l, now)
	if err != nil {
		return ballot.View{}, fmt.Errorf("proposer: %w", err)
	}
	t := ticket.Statement()
	if t.Principal != p.Proposer || t.Operator != v.Opening.Operator {
		return ballot.View{}, fmt.Errorf("proposer: %w", consensus.ErrOtherDecision)
	}
	if err := identity.VerifyFormerKey(l.authority.Realm, p.Proposer, v.Principal.Successions, v.Opening.Key); err != nil {
		return ballot.View{}, fmt.Errorf("proposer: %w", err)
	}
	out := ballot.View{
		ID: v.ID, Action: p.Action, Executor: p.Executor, Class: v.Opening.Class.String(), Reason: p.Reason, Alone: v.Opening.Alone,
		Rule:     v.Opening.Rule.String(),
		Proposer: ballot.Proposer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()},
		State:    control.Standing(v.Verdict, v.Consumed, v.Report, v.Reported), Detail: v.Report.Detail,
		Opened: time.UnixMilli(v.Opening.Opened), Deadline: time.UnixMilli(v.Opening.Deadline),
		ActionHash: v.Opening.Action, Opening: v.Opening.Digest(),
	}
	for _, voter := range v.Opening.Voters {
		out.Voters = append(out.Voters, voter.ID)
	}
	out.Ballots, err = verifyBallots(v.Ballots, l.authority.Realm, v.Opening)
	return out, err
}

func verifyBallots(raws [][]byte, realm wire.Realm, opening consensus.Opening) ([]ballot.Cast, error) {
	var cast []ballot.Cast
	for _, raw := range raws {
		b, err := consensus.VerifyBallot(raw, realm, opening)
		if err != nil {
			return nil, fmt.Errorf("ballot: %w", err)
		}
		s := b.Statement()
		cast = append(cast, ballot.Cast{
			Voter: s.Voter, Vote: s.Vote.String(), Confidence: s.Confidence, Reason: s.Reason,
		})
	}
	return cast, nil
}
