package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// consumptionVectors are on a certificate of the realm that the agent's level decides alone.
func consumptionVectors() *group {
	t := newCourt()
	honest := consensus.Consumption{
		Proposal: t.alone.Opening.Proposal, Executor: t.worker.ID(), Store: ledgertest.Store, Use: 1, At: t.alone.Verdict.At,
		Action: t.alone.Opening.Action,
	}
	type claim = consensus.Consumption
	other := consensus.Action{Kind: "db.read", Target: "things/other"}
	uncovered := changed(honest, func(c *claim) { c.Action = other.Digest() })
	// shown is the context in which nodes have signed that the registry answered so.
	shown := func(c claim, by ...identity.Signer) consumptionContext {
		first, answer := audit.Leaf{Index: 1}, audit.Leaf{Index: 2, Result: wire.Hash(encode(c))}
		leaves := []merkle.Hash{first.Hash(), answer.Hash()}
		head := audit.Head{Version: 1, Size: 2, Root: wire.Digest(merkle.Root(leaves)), Time: t.Now, State: wire.Digest{1}}
		certificate := changed(t.alone, func(c *certificate) { t.record(c) }) // under a head of two leaves
		return consumptionContext{Certificate: encode(certificate), Receipt: encode(audit.Receipt{
			Inclusion: audit.Inclusion{Leaf: answer, Path: leaves[:1]}, Head: cosigned(t.Realm, head, ledgertest.Keys(by...)...),
		})}
	}
	g := &group{folder: "consumption", statement: "consumption", realm: t.Realm, context: shown(honest, t.Nodes...)}
	with := func(name, check string, code fault.Code, change func(*claim)) {
		c := changed(honest, change)
		g.refuse(name, check, code, encode(c), knowing(shown(c, t.Nodes...)))
	}
	g.accept("ok", encode(honest))
	with("of-another-decision", "consumption-proposal", fault.Misaddressed, func(c *claim) { c.Proposal = wire.Digest{1} })
	with("by-another", "consumption-executor", fault.Misaddressed, func(c *claim) { c.Executor = t.reviewer.ID() })
	with("for-another-store", "consumption-store", fault.Misaddressed, func(c *claim) { c.Store = [16]byte{8} })
	with("use-of-nothing", "consumption-use", fault.Misaddressed, func(c *claim) { c.Use = 0 })
	with("second-use", "consumption-use", fault.Misaddressed, func(c *claim) { c.Use = 2 })
	g.refuse("for-an-action-that-is-not-covered", "consumption-covers", fault.Misaddressed, encode(uncovered),
		knowing(changed(shown(uncovered, t.Nodes...), func(c *consumptionContext) { c.Action = encode(other) })))
	permitted := consensus.Consumption{
		Proposal: t.permit.Opening.Proposal, Executor: t.worker.ID(), Store: ledgertest.Store, Use: 3, At: t.permit.Verdict.From,
		Action: covered().Digest(),
	}
	ofPermit := func(c claim) func(*vector) {
		return knowing(changed(shown(c, t.Nodes...), func(known *consumptionContext) {
			known.Certificate, known.Action = encode(changed(t.permit, func(c *certificate) { t.record(c) })), encode(covered())
		}))
	}
	g.accept("ok-of-a-permit", encode(permitted), ofPermit(permitted))
	fourth := changed(permitted, func(c *claim) { c.Use = 4 })
	g.refuse("use-beyond-the-permit", "consumption-use", fault.Misaddressed, encode(fourth), ofPermit(fourth))
	with("for-another-action", "consumption-action", fault.Misaddressed, func(c *claim) { c.Action = wire.Digest{1} })
	with("before-approval", "consumption-at", fault.Expired, func(c *claim) { c.At-- })
	with("after-the-window", "consumption-until", fault.Expired, func(c *claim) { c.At = t.alone.Verdict.Until })
	g.refuse("not-recorded", "leaf-result", fault.BadSignature, encode(honest),
		knowing(shown(changed(honest, func(c *claim) { c.At++ }), t.Nodes...)))
	g.refuse("receipt-of-one-node", "head-majority", fault.NoQuorum, encode(honest), knowing(shown(honest, t.Nodes[0])))
	g.refuse("head-older-than-the-certificates", "consumption-head", fault.Superseded, encode(honest),
		knowing(changed(shown(honest, t.Nodes...), func(c *consumptionContext) { c.Certificate = encode(t.alone) })))
	return g
}
