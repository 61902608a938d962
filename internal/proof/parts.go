package proof

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// names says whose identity key a key is, or was, as far as a certificate tells.
type names map[wire.PublicKey]identity.ID

// namesIn reads who is who from what a certificate claims. It proves nothing: it is for telling people whom to look for.
func namesIn(c consensus.Certificate) names {
	n := names{}
	ids := func(list ...identity.ID) {
		for _, id := range list {
			n[id.Key()] = id
		}
	}
	if g, err := wire.ParseCosigned[identity.Genesis](c.Genesis, wire.MaxStatement); err == nil {
		ids(g.Claim.Roots...)
		ids(g.Claim.Nodes...)
	}
	for _, raw := range c.Rosters {
		if r, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement); err == nil {
			ids(r.Claim.Roots...)
			ids(r.Claim.Nodes...)
			ids(r.Claim.Joining...)
		}
	}
	for _, raw := range c.Keys {
		if s, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement); err == nil {
			ids(s.Claim.Principal)
			n[s.Claim.New] = s.Claim.Principal
		}
	}
	for _, raw := range c.Enrolments {
		if e, err := wire.ParseCosigned[identity.Enrolment](raw, wire.MaxStatement); err == nil {
			ids(e.Claim.Agent)
		}
	}
	for _, v := range c.Opening.Voters {
		n[v.Key] = v.ID
	}
	for _, raw := range c.Operators {
		if o, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement); err == nil {
			if body, err := registry.Body[registry.AddOperator](o.Claim); err == nil {
				ids(body.Operator)
			}
		}
	}
	if p, err := wire.Parse[consensus.Proposal](c.Proposal, wire.MaxStatement); err == nil {
		n[c.Opening.Key] = p.Claim.Proposer
	}
	return n
}

// who names a key's holder in words.
func (n names) who(key wire.PublicKey) string {
	id, ok := n[key]
	switch {
	case !ok:
		return "A stranger, who counts for nothing here,"
	case id.Role() == identity.Operator:
		return "Operator " + id.String()
	case id.Role() == identity.Node:
		return "Node " + id.String()
	}
	return "Agent " + id.String()
}

// of returns the keys that a principal has had.
func (n names) of(id identity.ID) []wire.PublicKey {
	keys := []wire.PublicKey{id.Key()}
	for k, holder := range n {
		if holder == id && k != id.Key() {
			keys = append(keys, k)
		}
	}
	return keys
}

// all explains each part, in the order of the certificate's fields.
func (d *dissection) all() {
	d.realmParts()
	d.decisionParts()
	d.partyParts()
}

func (d *dissection) realmParts() {
	cosigned(d, "genesis", d.c.Genesis, func(g identity.Genesis, _ wire.PublicKey, who string) string {
		return fmt.Sprintf("%s agrees that the realm begins with these %d root operators, of whom %d must sign what roots sign, "+
			"these %d nodes, and the policy %s.", who, len(g.Roots), g.Threshold, len(g.Nodes), g.Policy)
	})
	for i, raw := range d.c.Rosters {
		r, ok := cosigned(d, nth("rosters", i), raw, func(r identity.Roster, _ wire.PublicKey, who string) string {
			return fmt.Sprintf("%s agrees to roster %d, by which %d nodes count and %d join.", who, r.Number, len(r.Nodes), len(r.Joining))
		})
		if ok && len(r.Admission) > 0 {
			d.admission(nth("rosters", i)+".admission", r.Admission)
		}
	}
	for i, raw := range d.c.Policies {
		cosigned(d, nth("policies", i), raw, func(c registry.Command, _ wire.PublicKey, who string) string {
			body, err := registry.Body[registry.PutPolicy](c)
			if err != nil {
				return who + " signed a command that replaces no policy."
			}
			return fmt.Sprintf("%s agrees that the policy %s replaces the one before it.", who, wire.Hash(body.Policy))
		})
	}
	cosigned(d, "head", d.c.Head, func(h audit.Head, _ wire.PublicKey, who string) string {
		return fmt.Sprintf("%s says that the first %d entries of the realm's log have the root %s, at log time %d.",
			who, h.Size, h.Root, h.Time)
	})
}

func (d *dissection) admission(part string, raw []byte) {
	a, ok := cosigned(d, part, raw, func(a identity.Admission, key wire.PublicKey, who string) string {
		if key == a.Node.Key() {
			return who + " asks to become a node of the realm."
		}
		return "Whoever made the admission held the secret of the join token in it."
	})
	if !ok {
		return
	}
	cosigned(d, part+".token", a.Token, func(_ identity.JoinToken, _ wire.PublicKey, who string) string {
		return who + " agrees that one node more may join."
	})
}

func (d *dissection) decisionParts() {
	o, v := d.c.Opening, d.c.Verdict
	proposer := func(consensus.Proposal) []wire.PublicKey { return []wire.PublicKey{o.Key} }
	p, ok := signed(d, "proposal", d.c.Proposal, proposer, func(p consensus.Proposal, _ wire.PublicKey, who string) string {
		return fmt.Sprintf("%s asks that exactly this action be decided, to be executed by %s.", who, p.Executor)
	})
	if ok {
		d.out.Decision = &Outline{
			ID: o.Proposal.String(), Action: actOf(p.Action), Class: o.Class.String(), Rule: o.Rule.String(),
			Sum: o.Sum, Alone: o.Alone, Emergency: o.Emergency, Permit: p.Permit != nil, Proposer: p.Proposer.String(),
			Executor: p.Executor.String(), Voters: len(o.Voters), Ballots: len(d.c.Ballots), Opened: o.Opened,
			Deadline: o.Deadline, Approved: v.At, From: v.From, Until: v.Until,
		}
	}
	voter := func(b consensus.Ballot) []wire.PublicKey {
		if known, ok := o.Voter(b.Voter); ok {
			return []wire.PublicKey{known.Key}
		}
		return d.names.of(b.Voter)
	}
	for i, raw := range d.c.Ballots {
		signed(d, nth("ballots", i), raw, voter, func(b consensus.Ballot, _ wire.PublicKey, who string) string {
			return fmt.Sprintf("%s votes %s on exactly this action, rule and electorate, %d‰ sure.", who, b.Vote, b.Confidence)
		})
	}
}

func (d *dissection) partyParts() {
	for i, raw := range d.c.Enrolments {
		d.enrolment(nth("enrolments", i), raw)
	}
	for i, raw := range d.c.Operators {
		cosigned(d, nth("operators", i), raw, func(c registry.Command, _ wire.PublicKey, who string) string {
			body, err := registry.Body[registry.AddOperator](c)
			if err != nil {
				return who + " signed a command that makes nobody an operator."
			}
			return fmt.Sprintf("%s agrees that %s is an operator, named %q.", who, body.Operator, body.Name)
		})
	}
	for i, raw := range d.c.Keys {
		cosigned(d, nth("keys", i), raw, func(s identity.Succession, key wire.PublicKey, _ string) string {
			if key == s.New {
				return fmt.Sprintf("Whoever holds the new key of %s takes it over.", s.Principal)
			}
			return fmt.Sprintf("Whoever held the former key of %s gives it up for the new one.", s.Principal)
		})
	}
	for i, raw := range d.c.Levels {
		cosigned(d, nth("levels", i), raw, func(c registry.Command, _ wire.PublicKey, who string) string {
			body, err := registry.Body[registry.SetLevel](c)
			if err != nil {
				return who + " signed a command that changes no level."
			}
			return fmt.Sprintf("%s agrees that %s has level %s.", who, body.Principal, body.Level)
		})
	}
}

func (d *dissection) enrolment(part string, raw []byte) {
	e, ok := cosigned(d, part, raw, func(e identity.Enrolment, key wire.PublicKey, who string) string {
		if key == e.Agent.Key() {
			return who + " holds its key and takes up the invitation."
		}
		return "Whoever enrolled the agent held the one-time key of the invitation."
	})
	if !ok {
		return
	}
	operator := func(t identity.Token) []wire.PublicKey { return d.names.of(t.Operator) }
	signed(d, part+".token", e.Token, operator, func(t identity.Token, _ wire.PublicKey, who string) string {
		return fmt.Sprintf("%s invites an agent as %q at level %s, and answers for it.", who, t.Name, t.Level)
	})
}
