package proof_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// TestLevelsInvented has the nodes say of parties that they have levels which nobody gave them.
func TestLevelsInvented(t *testing.T) {
	without := func(c *consensus.Certificate) { c.Levels = nil }
	run(t, "process.exec", []row{
		{"voters whose levels nobody gave", func(_ *testing.T, _ realm, c *consensus.Certificate) {
			without(c)
		}, vouched, fault.Unknown},
		{"a raise by one operator", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, raise(r, r.auditor.ID(), identity.Steward, r.d))
		}, vouched, fault.Unknown},
		{"a raise by agents and nodes", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, raise(r, r.auditor.ID(), identity.Steward, append(r.Nodes, r.worker, r.auditor)...))
		}, vouched, fault.Unknown},
		{"a promotion by one operator", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, promotion(r, r.auditor.ID(), identity.Steward, r.d))
		}, vouched, fault.Unknown},
		{"a promotion with another body", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, r.Sign(r.Command(r.d.ID(), registry.TypePromote, registry.Tick{Time: 1}), r.d, r.b))
		}, vouched, fault.Malformed},
		{"a raise with a forged signature", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, spoilt(raise(r, r.auditor.ID(), identity.Steward, r.d, r.b)))
		}, vouched, fault.BadSignature},
		{"another command than a raise", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, r.Sign(r.Command(r.d.ID(), registry.TypeGrant,
				registry.SetLevel{Principal: r.auditor.ID(), Level: identity.Steward}), r.d, r.b))
		}, vouched, fault.WrongKind},
		{"a raise with another body", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, r.Sign(r.Command(r.d.ID(), registry.TypeLevel, registry.Tick{Time: 1}), r.d, r.b))
		}, vouched, fault.Malformed},
		{"not a command", func(_ *testing.T, _ realm, c *consensus.Certificate) {
			c.Levels = append(c.Levels, []byte{1})
		}, vouched, fault.Malformed},
	})
	t.Run("the honest twin", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		c.Levels = append(c.Levels, raise(r, r.auditor.ID(), identity.Steward, r.d, r.b))
		honest(t, r.World, c)
	})
	t.Run("a promotion gives a level as a raise does", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		c.Levels = nil
		for _, m := range []identity.Signer{r.worker, r.reviewer, r.auditor} {
			c.Levels = append(c.Levels, promotion(r, m.ID(), identity.Journeyer, r.d, r.b))
		}
		honest(t, r.World, c)
	})
}

// promotion is what a raise is that an agent has earned.
func promotion(r realm, who identity.ID, level identity.Level, signers ...identity.Signer) []byte {
	return r.Sign(r.Command(r.d.ID(), registry.TypePromote, registry.SetLevel{Principal: who, Level: level}), signers...)
}

// TestAloneAtALevelThatNobodyGave takes away what shows that operators raised the proposer to the level at which it
// decides alone.
func TestAloneAtALevelThatNobodyGave(t *testing.T) {
	run(t, "db.read", []row{
		{"no raise", func(_ *testing.T, _ realm, c *consensus.Certificate) { c.Levels = nil }, vouched, fault.Unknown},
		{"a raise of another", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Levels = [][]byte{raise(r, r.auditor.ID(), identity.Journeyer, r.d, r.b)}
		}, vouched, fault.Unknown},
	})
}
