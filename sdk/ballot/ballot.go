// Package ballot is voting: what a voter is shown of a decision, and what it answers.
//
//	err := agent.OnBallot(func(ctx context.Context, v ballot.View) (ballot.Vote, error) {
//		if v.Action.Target != "staging" {
//			return ballot.Reject("only staging"), nil
//		}
//		return ballot.Approve("as announced"), nil
//	}, "deploy.*")
//
// People, and what acts for them, use a [Box], which sdk.Agent.Ballots returns.
package ballot

import (
	"context"
	"log/slog"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Vote is one voter's answer to a decision. The zero Vote is none.
type Vote struct {
	choice     consensus.Vote
	confidence uint64
	reason     string
}

// Approve votes for the action, with full confidence unless [Vote.Confident] says otherwise.
func Approve(reason string) Vote { return Vote{consensus.Approve, 1000, reason} }

// Reject votes against the action.
func Reject(reason string) Vote { return Vote{consensus.Reject, 1000, reason} }

// Abstain counts neither way, which counts against a threshold over the whole electorate.
func Abstain(reason string) Vote { return Vote{consensus.Abstain, 1000, reason} }

// Confident returns the vote with a confidence of 500 (none) to 1000 (full), in per mille.
func (v Vote) Confident(perMille uint64) Vote {
	v.confidence = perMille
	return v
}

// Box is what voters see and do: decisions, those that wait for this principal, and its votes on them. It is safe for
// concurrent use.
type Box struct {
	registry Registry
	voter    identity.ID
	logger   *slog.Logger
}

// Registry is what a [Box] asks; package sdk implements it. It is safe for concurrent use.
type Registry interface {
	// Show returns the decision whose id begins so, verified.
	Show(ctx context.Context, prefix []byte) (View, error)
	// List returns the newest decisions, as the node tells them.
	List(ctx context.Context) ([]Summary, error)
	// Cast completes, signs and hands in a ballot.
	Cast(ctx context.Context, b consensus.Ballot) (consensus.State, error)
}

// Of returns the decisions as the voter may see them; users call sdk.Agent.Ballots.
func Of(r Registry, voter identity.ID, logger *slog.Logger) Box {
	return Box{registry: r, voter: voter, logger: logger}
}

// View fetches a decision by its id, or by the first 8 digits or more of it, and verifies it.
func (b Box) View(ctx context.Context, id string) (View, error) {
	prefix, err := decisionPrefix(id)
	if err != nil {
		return View{}, err
	}
	return b.registry.Show(ctx, prefix)
}

// List lists the newest decisions, as the node tells them.
func (b Box) List(ctx context.Context) ([]Summary, error) { return b.registry.List(ctx) }

// Waiting returns the decisions that wait for this principal's vote, verified, the newest first. What does not verify is
// left out, and the logger told.
func (b Box) Waiting(ctx context.Context) ([]View, error) {
	return b.WaitingBesides(ctx, func(wire.Digest) bool { return false })
}

// WaitingBesides is Waiting without the decisions that the caller knows already, by id: they are not asked for.
func (b Box) WaitingBesides(ctx context.Context, known func(id wire.Digest) bool) ([]View, error) {
	list, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	var waiting []View
	for _, s := range list {
		if s.State != consensus.Open.String() || known(s.ID) {
			continue
		}
		v, err := b.View(ctx, s.ID.String())
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // one that cannot be shown must not hide the others
			b.logger.Warn("decision left out", "decision", s.ID.String(), "code", string(fault.CodeOf(err)), "error", err)
			continue
		}
		if v.mayVote(b.voter) {
			waiting = append(waiting, v)
		}
	}
	return waiting, nil
}

// Vote casts a ballot on a decision. It signs exactly the action and the electorate of the view, so what is counted is
// what was seen. Errors: denied for who is not in the electorate, spent for a second vote or an ended decision.
func (b Box) Vote(ctx context.Context, seen View, vote Vote) (consensus.State, error) {
	return b.registry.Cast(ctx, consensus.Ballot{
		Proposal: seen.ID, Action: seen.Action.Digest(), Opening: seen.Opening,
		Vote: vote.choice, Confidence: vote.confidence, Reason: vote.reason,
	})
}
