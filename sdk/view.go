package sdk

import (
	"fmt"
	"slices"
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
	rules, err := l.ruledBy(v.Opening.Policy)
	if err != nil {
		return ballot.View{}, err
	}
	if err := proof.CheckOpening(rules, p, v.Opening); err != nil {
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
	out := shown(v, p)
	out.Proposer = ballot.Proposer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()}
	return out, count(&out, v, l.authority.Realm)
}

// shown returns what a view says besides the proposer and the ballots.
func shown(v control.DecisionView, p consensus.Proposal) ballot.View {
	o := v.Opening
	out := ballot.View{
		ID: v.ID, Action: p.Action, Executor: p.Executor, Class: o.Class.String(), Sum: o.Sum, Reason: p.Reason, Alone: o.Alone,
		Beneficiaries: p.Beneficiaries, NotBefore: moment(p.NotBefore), Permit: p.Permit, Rule: o.Rule.String(), Policy: o.Policy,
		Emergency: o.Emergency, Secret: secret(o), Voters: votersOf(o), Cancelled: v.Reason, Used: v.Used,
		Opened: time.UnixMilli(o.Opened), Deadline: time.UnixMilli(o.Deadline), From: moment(v.Verdict.From),
		Until: moment(v.Verdict.Until), ActionHash: o.Action, Opening: o.Digest(),
	}
	if out.Secret {
		out.CommitsUntil, out.RevealsUntil = moment(o.CommitsUntil()), moment(o.RevealsUntil())
	}
	var last control.Use
	for _, u := range v.Uses {
		last = u
		out.Detail = u.Report.Detail
		out.Uses = append(out.Uses, ballot.Use{
			Number: u.Consumption.Use, At: moment(u.Consumption.At), Action: u.Consumption.Action, State: u.Standing(),
			Detail: u.Report.Detail,
		})
	}
	out.State = control.Standing(v.Verdict, p.Permit, v.Used, last)
	if s := v.Settled; s != nil {
		out.Settled = &ballot.Settlement{Right: s.Right, Detail: s.Detail, By: s.By, At: moment(s.At)}
	}
	for i, e := range out.Voters {
		out.Voters[i].Committed = slices.Contains(v.Committed, e.ID)
		out.Voters[i].Voted = slices.Contains(v.Voted, e.ID)
		out.Voters[i].Void = slices.Contains(v.Void, e.ID)
	}
	return out
}

// moment returns a time in Unix milliseconds; the zero time for none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// secret reports whether agents commit to their ballots first.
func secret(o consensus.Opening) bool { return o.Rule.Commit > 0 && !o.Alone && !o.Emergency }

func votersOf(o consensus.Opening) []ballot.Voter {
	voters := make([]ballot.Voter, len(o.Voters))
	for i, v := range o.Voters {
		voters[i] = ballot.Voter{
			ID: v.ID, Operator: v.Operator, Level: identity.Level(v.Level), Weight: v.Weight, Family: v.Family,
			Calibration: v.Calibration, Silenced: v.Silenced,
		}
	}
	return voters
}

// count adds the ballots that the node shows, each verified, and how sure they are together. Those of voters that the node
// says are void are shown and not counted.
func count(out *ballot.View, v control.DecisionView, realm wire.Realm) error {
	var counted []wire.Verified[consensus.Ballot]
	for _, raw := range v.Ballots {
		b, err := consensus.VerifyBallot(raw, realm, v.Opening)
		if err != nil {
			return fmt.Errorf("ballot: %w", err)
		}
		s := b.Statement()
		out.Ballots = append(out.Ballots, ballot.Cast{
			Voter: s.Voter, Vote: s.Vote.String(), Confidence: s.Confidence, Reason: s.Reason,
		})
		if !slices.Contains(v.Void, s.Voter) {
			counted = append(counted, b)
		}
	}
	if len(counted) == 0 {
		return nil
	}
	sure, err := consensus.Confidence(v.Opening, counted)
	if err != nil {
		return fmt.Errorf("ballots: %w", err)
	}
	out.Confidence = sure
	return nil
}
