package registrar

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// find returns the one decision whose id begins with the prefix.
func (r desk) find(body wire.Raw) (ledger.Decision, error) {
	in, err := control.Decode[control.DecisionID](body)
	if err != nil {
		return ledger.Decision{}, err
	}
	if len(in.Prefix) == 0 {
		return r.ledger.DecisionBy(in.Proposer, in.Nonce)
	}
	if len(in.Prefix) == len(wire.Digest{}) {
		return r.ledger.Decision(wire.Digest(in.Prefix))
	}
	if len(in.Prefix) < 4 || len(in.Prefix) > len(wire.Digest{}) {
		return ledger.Decision{}, fmt.Errorf("%w: a decision's id, or its first 8 digits at least", wire.ErrMalformed)
	}
	var found []ledger.Decision
	for _, d := range r.ledger.Decisions() {
		if bytes.HasPrefix(d.ID[:], in.Prefix) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return ledger.Decision{}, fmt.Errorf("%w: %d decisions begin with %x", ledger.ErrUnknown, len(found), in.Prefix)
	}
	return found[0], nil
}

func (r desk) onDecision(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	d, err := fresh(ctx, r.Registrar, func() (ledger.Decision, error) { return r.find(body) })
	if err != nil {
		return nil, err
	}
	receipt, err := r.heads.receipt(ctx, d.Opened)
	if err != nil {
		return nil, err
	}
	view := control.DecisionView{
		ID: d.ID, Proposal: d.Proposal, Opening: d.Opening, Opened: receipt.Inclusion, Head: receipt.Head, Verdict: d.Verdict,
		Void: d.Void, Used: d.Used(), Reason: d.Reason,
	}
	showBallots(d, &view)
	for _, u := range d.Uses[max(0, len(d.Uses)-control.MaxUsesShown):] {
		view.Uses = append(view.Uses, useOf(u))
	}
	if d.Settled {
		view.Settled = &control.Settlement{
			Right: d.Settlement.Right, Detail: d.Settlement.Detail, By: d.SettledBy, At: d.SettledAt,
		}
	}
	claimed, err := wire.Parse[consensus.Proposal](d.Proposal, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	if view.Principal, err = r.principal(ctx, claimed.Claim.Proposer); err != nil {
		return nil, err
	}
	view.Proposer = r.name(claimed.Claim.Proposer)
	return view, nil
}

// showBallots shows who has committed and who has voted, and what, once nobody's vote can follow another's any more: people
// who vote after the agents must not see more than those did.
func showBallots(d ledger.Decision, view *control.DecisionView) {
	for _, raw := range d.Commitments {
		if c, err := wire.Parse[consensus.Commitment](raw, wire.MaxStatement); err == nil {
			view.Committed = append(view.Committed, c.Claim.Voter)
		}
	}
	for _, raw := range d.Ballots {
		if b, err := wire.Parse[consensus.Ballot](raw, wire.MaxStatement); err == nil {
			view.Voted = append(view.Voted, b.Claim.Voter)
		}
	}
	if d.Verdict.State != consensus.Open || d.Opening.Rule.Commit == 0 {
		view.Ballots = d.Ballots
	}
}

func useOf(u ledger.Use) control.Use {
	return control.Use{Consumption: u.Consumption, Report: u.Report, Reported: u.Reported}
}

func (r desk) name(id identity.ID) string {
	m, err := r.ledger.Member(id)
	if err != nil {
		return id.String()
	}
	return m.Name
}

// onDecisions lists the open decisions, the newest first, and then those that have ended: whoever must vote finds them
// whatever else was decided since.
func (r desk) onDecisions(context.Context, control.Caller, wire.Raw) (any, error) {
	all := r.ledger.Decisions()
	slices.SortStableFunc(all, func(a, b ledger.Decision) int { return ended(a) - ended(b) })
	reviews := map[wire.Digest]bool{}
	for _, v := range r.ledger.Reviews() {
		reviews[v.Decision] = true
	}
	var out control.Decisions
	for _, d := range all[:min(len(all), maxListed)] {
		claimed, err := wire.Parse[consensus.Proposal](d.Proposal, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		p := claimed.Claim
		out.Decisions = append(out.Decisions, control.Summary{
			ID: d.ID, Kind: p.Action.Kind, Target: beginning(p.Action.Target),
			Class: d.Opening.Class.String(), Proposer: r.name(p.Proposer), State: standing(d, p),
			Ballots: uint64(len(d.Ballots)), Voters: uint64(len(d.Opening.Voters)), Opened: d.Opening.Opened,
			Deadline: d.Opening.Deadline, Emergency: d.Opening.Emergency, Permit: p.Permit != nil, Review: reviews[d.ID],
		})
	}
	return out, nil
}

// beginning cuts a target to what a list may hold.
func beginning(target string) string {
	return strings.ToValidUTF8(target[:min(len(target), maxTarget)], "")
}

func ended(d ledger.Decision) int {
	if d.Verdict.State == consensus.Open {
		return 0
	}
	return 1
}

// standing is the word for where a decision is, its execution included.
func standing(d ledger.Decision, p consensus.Proposal) string {
	var last control.Use
	if n := len(d.Uses); n > 0 {
		last = useOf(d.Uses[n-1])
	}
	return control.Standing(d.Verdict, p.Permit, d.Used(), last)
}

func (r desk) onCertificate(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
	d, err := fresh(ctx, r.Registrar, func() (ledger.Decision, error) { return r.find(body) })
	if err != nil {
		return nil, err
	}
	if d.Verdict.State == consensus.Open { // what is decided from now on, the head below may not cover
		return nil, ledger.ErrPending
	}
	head, size, err := r.heads.current(ctx, d.Decided.Index)
	if err != nil {
		return nil, err
	}
	c, err := r.ledger.Certificate(d.ID, head, size)
	if err != nil {
		return nil, err
	}
	raw, err := c.Encode()
	if err != nil {
		return nil, err
	}
	r.Record(audit.Entry{
		Door: audit.Certifying, Subject: from.Principal.String(), Object: d.ID, Detail: "handed out",
	})
	out := control.Certificate{Certificate: raw}
	if permit, err := isPermit(d); err != nil || permit {
		return out, err
	}
	if u, ok := d.Use(0); ok {
		receipt, err := r.heads.receipt(ctx, u.Claimed)
		if err != nil {
			return nil, err
		}
		out.Consumed, out.Receipt = u.Consumption, &receipt
	}
	return out, nil
}

func isPermit(d ledger.Decision) (bool, error) {
	claimed, err := wire.Parse[consensus.Proposal](d.Proposal, wire.MaxStatement)
	return err == nil && claimed.Claim.Permit != nil, err
}

// onUse proves the use of a decision that a command made, as far as the ledger remembers it. Who is told that it is unknown
// takes another use: the ledger is asked caught up.
func (r desk) onUse(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.UseID](body)
	if err != nil {
		return nil, err
	}
	used, err := fresh(ctx, r.Registrar, func() (ledger.Use, error) { return r.useBy(in) })
	if err != nil {
		return nil, err
	}
	receipt, err := r.heads.receipt(ctx, used.Claimed)
	if err != nil {
		return nil, err
	}
	return control.Used{Consumption: used.Consumption, Receipt: receipt}, nil
}

// useBy returns the use that a command made.
func (r desk) useBy(in control.UseID) (ledger.Use, error) {
	d, err := r.ledger.Decision(in.Decision)
	if err != nil {
		return ledger.Use{}, err
	}
	i := slices.IndexFunc(d.Uses, func(u ledger.Use) bool { return u.Claimed.Command == in.Command })
	if i < 0 {
		return ledger.Use{}, fmt.Errorf("%w: use by command %s", ledger.ErrUnknown, in.Command)
	}
	return d.Uses[i], nil
}

var errOthersDryRun = fault.New(fault.Denied, "registrar: a dry run is of the asker's own proposal")

// onDryRun says what a proposal would need, by what is applied here. Nothing is opened, and nothing written.
func (r desk) onDryRun(_ context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.DryRun](body)
	if err != nil {
		return nil, err
	}
	if in.Proposal.Proposer != from.Principal {
		return nil, errOthersDryRun
	}
	opening, err := r.ledger.Preview(in.Proposal)
	if err != nil {
		return nil, err
	}
	return control.Outlook{Opening: opening}, r.judged(in.Proposal)
}

// onPlan says what the newest decisions would have come to by another policy.
func (r desk) onPlan(_ context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Plan](body)
	if err != nil {
		return nil, err
	}
	if err := r.operator(from); err != nil {
		return nil, err
	}
	rules, err := policy.Parse(in.Policy)
	if err != nil {
		return nil, err
	}
	var out control.Planned
	for _, d := range r.ledger.Plan(rules, int(min(in.Most, maxListed))) {
		out.Decisions = append(out.Decisions, control.Planning{
			ID: d.Decision, Kind: d.Action.Kind, Target: beginning(d.Action.Target), Was: rulingOf(d.Was), Would: rulingOf(d.Would),
			Changed: d.Changed(),
		})
	}
	return out, nil
}

func rulingOf(u ledger.Ruling) control.Ruling {
	return control.Ruling{
		Class: u.Class.String(), Rule: u.Rule.String(), Alone: u.Alone, State: u.State.String(), Refused: string(u.Refused),
	}
}
