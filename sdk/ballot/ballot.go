// Package ballot is voting: what a voter is shown of a decision, and what it answers.
//
//	err := agent.OnBallot(func(ctx context.Context, v ballot.View) (ballot.Vote, error) {
//		if v.Action.Target != "staging" {
//			return ballot.Reject("only staging"), nil
//		}
//		return ballot.Approve("as announced"), nil
//	}, "deploy.*")
//
// Where the decision's rule wants it, agents' ballots are secret until enough have voted: the SDK commits to the ballot and
// reveals it by itself, also after a restart. People vote openly.
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

// Recuse abstains because of an interest of the voter's own in the outcome. It is never secret.
func Recuse(reason string) Vote { return Vote{consensus.Recuse, 1000, reason} }

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
	// Cast completes, signs and hands in a ballot; where it is secret, it commits to it, and has it revealed later.
	Cast(ctx context.Context, b consensus.Ballot, secret bool) (consensus.State, error)
	// Reveal waits until the ballot that this process committed to is revealed, or cannot be any more.
	Reveal(ctx context.Context, id wire.Digest) error
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
	list, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	var waiting []View
	for _, s := range list {
		if s.State != consensus.Open.String() {
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
		if v.MayVote(b.voter) {
			waiting = append(waiting, v)
		}
	}
	return waiting, nil
}

// Vote casts a ballot on a decision. It signs exactly the action and the electorate of the view, so what is counted is
// what was seen. Where the view says that ballots are secret, an agent's is kept, on disk where the agent has a StateDir,
// committed to, and revealed by itself as soon as the others have committed to theirs; see [Box.Reveal]. Until then the
// agent may vote anew, which replaces the ballot. Errors: denied for who is not in the electorate, spent for a second vote
// or an ended decision, expired for who commits too late.
func (b Box) Vote(ctx context.Context, seen View, vote Vote) (consensus.State, error) {
	return b.registry.Cast(ctx, consensus.Ballot{
		Version: consensus.FormatVersion, Proposal: seen.ID, Action: seen.Action.Digest(), Opening: seen.Opening,
		Vote: vote.choice, Confidence: vote.confidence, Reason: vote.reason,
	}, seen.Secret)
}

// Reveal waits until the ballot that this agent has committed to is revealed. It returns at once where there is none. A
// program that votes and ends should wait so: a ballot that nobody reveals is silence. Errors: why it cannot be revealed any
// more; ctx's.
func (b Box) Reveal(ctx context.Context, id wire.Digest) error { return b.registry.Reveal(ctx, id) }
