package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// What is decided: by how many of how many voters, and at how many nodes. Four of five is what it takes where one voter
// may lie.
const (
	decisionNodes = 3
	votersInAll   = 5
	votersNeeded  = 4
	decidedKind   = "process.exec" // R2 by the presets
)

// decisionNote says what a decision's figures hold.
const decisionNote = "by the rule that the preset standard has for R2, with one voter to spare: the two people vote openly, the three agents commit to " +
	"their ballots and reveal them once those who have could decide, which is two commands of each, one after the other; no ballot is shown before the end"

// measureDecision measures how long it takes from a proposal until its certificate is in the proposer's hands, verified.
func measureDecision(ctx context.Context, b *bout) (Result, error) {
	rules, err := votingRules()
	if err != nil {
		return Result{}, err
	}
	f, err := openFleet(ctx, b, rules, decisionNodes)
	if err != nil {
		return Result{}, err
	}
	proposer, err := f.electorate(ctx)
	if err != nil {
		return Result{}, err
	}
	r, err := f.finish(b.hold(ctx, plan{
		what: fmt.Sprintf("a realm of %d nodes, processes on this machine, and %d connected voters that approve as soon as they hear "+
			"of a decision, of whom %d must, agents by commit and reveal: from the proposal until the proposer has verified the certificate",
			decisionNodes, votersInAll, votersNeeded),
		unit: "ms", lower: true, delay: "propose to certificate", scale: "ms", window: 1,
		bound: "the log, in turn: the proposal, the commitments, the ballots; between them hints, and what voters and proposer ask and verify",
		ours:  decides(proposer), peer: nobody(),
	}))
	r.Clients, r.Note = votersInAll+1, decisionNote
	return r, err
}

// votingRules is the preset solo in which what is risky is decided as the preset standard has it, by that many approvals.
func votingRules() (policy.Policy, error) {
	p, err := rules()
	if err != nil {
		return p, err
	}
	standard, err := policy.Preset(policy.Standard)
	if err != nil {
		return p, err
	}
	for _, class := range []consensus.Class{consensus.R2, consensus.R3} {
		r := standard.Classes[class]
		r.Approvals, r.Own = votersNeeded, true // one person founds the realm
		p.Classes[class] = r
	}
	return p, nil
}

var errCertificate = fault.New(fault.Internal, "bench: a certificate is not of what was proposed")

// electorate connects the voters, spread over the nodes, and one agent without a vote, which proposes. Nobody of its
// operator votes but the operator; the others are another operator and agents of that one.
func (f *fleet) electorate(ctx context.Context) (proposer *sdk.Agent, err error) {
	other, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		return nil, err
	}
	if err := f.order(ctx, registry.TypeOperator, registry.AddOperator{Operator: other.ID(), Name: "other"}); err != nil {
		return nil, err
	}
	signers, by := []identity.Signer{f.operator, other}, f.admin
	var voters []*sdk.Agent
	for i := range votersInAll {
		if i >= len(signers) {
			signer, err := enrolOne(ctx, by, fmt.Sprintf("voter-%d", i), identity.Journeyer)
			if err != nil {
				return nil, err
			}
			signers = append(signers, signer)
		}
		a, err := f.connectAt(ctx, f.members[i%len(f.members)], signers[i])
		if err != nil {
			return nil, err
		}
		voters, by = append(voters, a), a.Admin()
		if i > 0 {
			by = voters[1].Admin()
		}
		if err := approve(a); err != nil {
			return nil, err
		}
	}
	signer, err := enrolOne(ctx, f.admin, "proposer", identity.Journeyer)
	if err != nil {
		return nil, err
	}
	return f.connectAt(ctx, f.members[0], signer)
}

func approve(voter *sdk.Agent) error {
	return voter.OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) { return ballot.Approve(""), nil })
}

// decides has one action decided.
func decides(proposer *sdk.Agent) contender {
	n := 0
	return contender{name: "conclave", run: func(ctx context.Context) (sample, error) {
		n++
		action := sdk.NewAction(decidedKind, fmt.Sprintf("bench-%d", n), nil)
		began := time.Now()
		d, err := proposer.Propose(ctx, sdk.Proposal{Action: action})
		if err != nil {
			return sample{}, err
		}
		c, err := d.Wait(ctx)
		if err != nil {
			return sample{}, err
		}
		took := millis(time.Since(began))
		if c.ID() != d.ID() || c.Action().Digest() != action.Digest() || c.Ballots() < votersNeeded {
			return sample{}, errCertificate
		}
		return sample{value: took, delays: []float64{took}}, nil
	}}
}
