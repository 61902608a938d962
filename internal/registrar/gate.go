package registrar

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// gated refuses a proposal that this node's gate refuses, by what is applied here: policy.ErrGate. Whether anybody may make
// it at all, the ledger says.
func (r *Registrar) gated(command []byte) error {
	if r.config.Gate == nil {
		return nil
	}
	c, err := wire.ParseCosigned[registry.Command](command, wire.MaxStatement)
	if err != nil || c.Claim.Type != registry.TypePropose {
		return nil // the ledger says what is wrong
	}
	body, err := registry.Body[registry.Propose](c.Claim)
	if err != nil {
		return nil
	}
	proposal, err := wire.Parse[consensus.Proposal](body.Proposal, wire.MaxStatement)
	if err != nil {
		return nil
	}
	return r.judged(proposal.Claim)
}

// judged refuses a proposal that this node's gate refuses.
func (r *Registrar) judged(p consensus.Proposal) error {
	if r.config.Gate == nil {
		return nil
	}
	asked, err := r.asked(p)
	if err != nil {
		return err
	}
	return policy.Admit(r.config.Gate, asked, p.Class)
}

// asked is what the gate is asked about a proposal. What the policy denies has class R3: the ledger refuses it.
func (r *Registrar) asked(p consensus.Proposal) (policy.Request, error) {
	m, err := r.ledger.Member(p.Proposer)
	if err != nil {
		return policy.Request{}, err
	}
	class, err := r.ledger.Policy().Classify(p.Action, p.Class, 0)
	if err != nil {
		class = consensus.R3
	}
	asked := policy.Request{
		Proposer: m.ID, Name: m.Name, Operator: m.Operator, Level: m.Level, Action: p.Action, Class: class,
		Emergency: p.Emergency, Permit: p.Permit != nil,
	}
	if m.ID.Role() == identity.Operator {
		asked.Operator = m.ID
	}
	if s, err := r.ledger.Standing(m.ID); err == nil {
		asked.Score = &s.Scores[class].Value
	}
	return asked, nil
}
