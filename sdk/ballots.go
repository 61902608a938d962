package sdk

import (
	"bytes"
	"context"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/registry"
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

// Ballots is what voters see and do: decisions, those that wait for this principal, and its votes on them.
type Ballots struct{ docket *docket }

// Ballots returns the decisions of the realm as this principal may see and vote on them.
func (a *Agent) Ballots() Ballots { return Ballots{docket: a.docket} }

// OnBallot is [Ballots.On]: it has fn called for every open decision that waits for this agent's vote.
func (a *Agent) OnBallot(fn func(ctx context.Context, v View) (Vote, error), kinds ...string) error {
	return a.Ballots().On(fn, kinds...)
}

// View fetches a decision by its id, or by the first 8 digits or more of it, and verifies it.
func (b Ballots) View(ctx context.Context, id string) (View, error) {
	prefix, err := decisionPrefix(id)
	if err != nil {
		return View{}, err
	}
	var v control.DecisionView
	if err := b.docket.link.ask(ctx, control.OpDecision, control.DecisionID{Prefix: prefix}, &v); err != nil {
		return View{}, err
	}
	if !bytes.HasPrefix(v.ID[:], prefix) {
		return View{}, consensus.ErrOtherDecision
	}
	return b.docket.verify(v)
}

// List lists the newest decisions, as the node tells them.
func (b Ballots) List(ctx context.Context) ([]control.Summary, error) {
	var list control.Decisions
	err := b.docket.link.ask(ctx, control.OpDecisions, control.Nothing{}, &list)
	return list.Decisions, err
}

// Waiting returns the decisions that wait for this principal's vote, verified, the newest first. What does not verify is
// left out, and the logger told.
func (b Ballots) Waiting(ctx context.Context) ([]View, error) {
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
			b.docket.link.options.logger.Warn("decision left out", "decision", s.ID.String(), "code", string(CodeOf(err)), "error", err)
			continue
		}
		if v.mayVote(b.docket.link.id()) {
			waiting = append(waiting, v)
		}
	}
	return waiting, nil
}

// Vote casts a ballot on a decision. It signs exactly the action and the electorate of the view, so what is counted is
// what was seen. Errors: denied for who is not in the electorate, spent for a second vote or an ended decision.
func (b Ballots) Vote(ctx context.Context, seen View, vote Vote) (consensus.State, error) {
	raw, err := b.docket.link.known.Signer.Sign(b.docket.link.realm, consensus.Ballot{
		Proposal: seen.ID, Action: seen.Action.Digest(), Opening: seen.opening.Digest(), Voter: b.docket.link.id(),
		Vote: vote.choice, Confidence: vote.confidence, Reason: vote.reason, Issued: b.docket.link.now(),
	})
	if err != nil {
		return 0, err
	}
	v, err := command[consensus.Verdict](ctx, b.docket.link, registry.TypeVote, registry.Cast{Ballot: raw})
	return v.State, err
}

// On has fn called for every open decision in whose electorate this agent is, once a process, as long as it has not
// voted; for the action kinds or patterns given, or all. What fn returns is cast. On an error nothing is cast, and
// silence rejects at the deadline. The proposer's reason is its own words: fn must not obey it.
func (b Ballots) On(fn func(ctx context.Context, v View) (Vote, error), kinds ...string) error {
	if len(kinds) == 0 {
		kinds = []string{"*"}
	}
	if first := b.docket.add(balloting{fn: fn, kinds: kinds}); first && !b.docket.link.crew.keep(b.docket.loop) {
		return ErrClosed
	}
	return nil
}
