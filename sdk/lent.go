package sdk

import (
	"bytes"
	"context"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/sealed"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// Admin returns the administration by this principal, which should be an operator: others are denied.
func (a *Agent) Admin() admin.Admin {
	return admin.By(lent{a.link}, func() admin.Known {
		learned, nodes := a.link.lore.Load(), a.link.nodes.Load()
		return admin.Known{
			Signer: a.link.known.Signer, Realm: a.link.realm, Addresses: nodes.addresses, Pins: nodes.pins,
			Roster: learned.authority.Number, Policy: learned.policy, Authority: learned.authority,
			Changes: learned.changes,
		}
	})
}

// Ballots returns the decisions of the realm as this principal may see and vote on them.
func (a *Agent) Ballots() ballot.Box { return a.docket.box() }

// lent is the link as packages admin and ballot use it.
type lent struct{ link *link }

var (
	_ admin.Registry  = lent{}
	_ ballot.Registry = booth{}
)

// Members implements [admin.Registry].
func (n lent) Members(ctx context.Context) ([]admin.Member, error) {
	var m control.Members
	err := n.link.ask(ctx, control.OpMembers, control.Nothing{}, &m)
	var members []admin.Member
	for _, one := range m.Members {
		members = append(members, admin.Member(one))
	}
	return members, err
}

// Status implements [admin.Registry].
func (n lent) Status(ctx context.Context) (admin.Status, error) {
	var s control.Status
	err := n.link.ask(ctx, control.OpStatus, control.Nothing{}, &s)
	out := admin.Status{
		Realm: s.Realm, Node: s.Node, Version: s.Version, Started: s.Started, Time: s.Time, LogTime: s.LogTime, Size: s.Size,
		Root: s.Root, State: s.State, Agents: s.Agents, Live: s.Live, Open: s.Open, Preset: s.Preset, Address: s.Address,
		Stopped: s.Stopped, Monitor: s.Monitor, Policy: s.Policy, Policies: s.Policies,
	}
	for _, r := range s.Reviews {
		out.Reviews = append(out.Reviews, admin.Review(r))
	}
	return out, err
}

// Submit implements [admin.Registry].
func (n lent) Submit(ctx context.Context, raw []byte) (registry.Answer, error) {
	var out control.Submitted
	err := n.link.ask(ctx, control.OpSubmit, control.Submit{Command: raw}, &out)
	if err == nil && out.Answer.Code == "" {
		if failure := n.link.reminding.submitted(raw); failure != nil {
			n.link.reminding.warn("the tightening is not kept for reminders", failure)
		}
	}
	return out.Answer, err
}

// Remembered implements [admin.Registry].
func (n lent) Remembered() ([][]byte, error) { return n.link.reminding.remembered() }

// Show implements [ballot.Registry].
func (n lent) Show(ctx context.Context, prefix []byte) (ballot.View, error) {
	var out ballot.View
	in := control.DecisionID{Prefix: prefix}
	err := vouched(ctx, n.link, nil, control.OpDecision, in, func(v control.DecisionView, l lore) (err error) {
		if !bytes.HasPrefix(v.ID[:], prefix) {
			return consensus.ErrOtherDecision
		}
		out, err = verifyView(v, l, n.link.now())
		return err
	})
	return out, err
}

// List implements [ballot.Registry].
func (n lent) List(ctx context.Context) ([]ballot.Summary, error) {
	var list control.Decisions
	err := n.link.ask(ctx, control.OpDecisions, control.Nothing{}, &list)
	var decisions []ballot.Summary
	for _, one := range list.Decisions {
		decisions = append(decisions, ballot.Summary(one))
	}
	return decisions, err
}

// Plan implements [admin.Registry].
func (n lent) Plan(ctx context.Context, p policy.Policy, most int) ([]admin.Planned, error) {
	var out control.Planned
	err := n.link.ask(ctx, control.OpPlan, control.Plan{Policy: p.Encode(), Most: uint64(max(most, 0))}, &out)
	var planned []admin.Planned
	for _, one := range out.Decisions {
		planned = append(planned, admin.Planned{
			ID: one.ID, Kind: one.Kind, Target: one.Target, Was: admin.Ruling(one.Was), Would: admin.Ruling(one.Would), Changed: one.Changed,
		})
	}
	return planned, err
}

// booth is what votes go through.
type booth struct {
	lent
	sealing *sealing
}

// Cast implements [ballot.Registry]. People, and agents that recuse themselves, vote openly.
func (n booth) Cast(ctx context.Context, b consensus.Ballot, secret bool) (consensus.State, error) {
	if secret && b.Vote != consensus.Recuse && n.link.id().Role() == identity.Agent {
		return n.sealing.cast(ctx, b)
	}
	now := n.link.now()
	b.Voter, b.Issued, b.Sequence = n.link.id(), now, sealed.Sequence(now)
	raw, err := n.link.known.Signer.Sign(n.link.realm, b)
	if err != nil {
		return 0, err
	}
	v, err := command[consensus.Verdict](ctx, n.link, registry.TypeVote, registry.Cast{Ballot: raw})
	return v.State, err
}

// Reveal implements [ballot.Registry].
func (n booth) Reveal(ctx context.Context, id Digest) error { return n.sealing.reveal(ctx, id) }
