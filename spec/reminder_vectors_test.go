package spec_test

import (
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// remind is a reminder of a command, unsigned by anybody but who hands it in.
func (t theater) remind(raw []byte, by identity.Signer) []byte {
	return t.Sign(t.Command(by.ID(), registry.TypeRemind, registry.Remind{Command: raw}), by)
}

// quarantines is a signed command by the first operator that quarantines the first agent, changed before it is signed.
func (t theater) quarantines(edits ...func(*registry.Command)) []byte {
	c := t.status(t.worker, trust.Quarantined)
	for _, edit := range edits {
		edit(&c)
	}
	return t.Sign(c, t.a)
}

func (t theater) levels(level identity.Level, by ...identity.Signer) []byte {
	return t.Sign(t.Command(t.a.ID(), registry.TypeLevel, registry.SetLevel{Principal: t.worker.ID(), Level: level}), by...)
}

func (t theater) raises(epoch uint64, by identity.Signer) []byte {
	return t.Sign(t.Command(by.ID(), registry.TypeEpoch, registry.RaiseEpoch{Principal: t.worker.ID(), Epoch: epoch}), by)
}

func (t theater) releases() []byte { return t.Sign(t.status(t.worker, trust.Active), t.a, t.b) }

// reminders are commands that show what the registry had accepted before it was restored, and what may be done after one.
func (g commands) reminders() {
	later := 61 * ledgertest.Minute // every answer is forgotten by then
	g.ok("ok-reminder", func(t theater) []byte {
		raw := t.quarantines()
		t.Tick(later)
		return t.remind(raw, t.reviewer)
	})
	g.ok("ok-reminder-by-a-node", func(t theater) []byte { return t.remind(t.quarantines(), t.Nodes[0]) })
	g.ok("ok-reminder-by-whom-it-concerns", func(t theater) []byte { return t.remind(t.raises(9, t.worker), t.worker) })
	g.ok("ok-reminder-if-it-was-unchanged-then", func(t theater) []byte {
		return t.remind(t.quarantines(func(c *registry.Command) { c.Expect = 1 }), t.reviewer)
	})
	g.no("act-of-whom-a-reminder-quarantined", "remind-news", fault.Quarantined, func(t theater) []byte {
		t.Apply(t.remind(t.quarantines(), t.reviewer))
		return t.card(t.worker, 1, "review.code")
	})
	g.refusedReminders()
	g.ok("ok-reminder-of-a-milder-status", func(t theater) []byte {
		t.Apply(t.Sign(t.status(t.worker, trust.Revoked), t.a))
		return t.remind(t.quarantines(), t.reviewer)
	})
	g.ok("ok-reminder-of-a-raise", func(t theater) []byte {
		t.Tick(1)
		return t.remind(t.levels(identity.Steward, t.a), t.reviewer)
	})
	g.ok("ok-reminder-of-a-lower-epoch", func(t theater) []byte {
		t.Apply(t.raises(9, t.worker))
		return t.remind(t.raises(8, t.worker), t.reviewer)
	})
	g.ok("ok-after-a-reminder-of-what-was-refused", func(t theater) []byte {
		raw := t.quarantines(func(c *registry.Command) { c.Expect = 1 })
		t.Apply(raw)
		t.Apply(t.remind(raw, t.reviewer))
		return t.card(t.worker, 1, "review.code")
	})
	g.ok("ok-after-a-reminder-of-what-was-released", func(t theater) []byte {
		raw := t.quarantines()
		t.Apply(raw)
		t.Tick(1)
		t.Apply(t.releases())
		t.Tick(later)
		t.Apply(t.remind(raw, t.reviewer))
		return t.card(t.worker, 1, "review.code")
	})
	g.ok("ok-after-a-reminder-by-a-clock-ahead", func(t theater) []byte { // released by one that is behind it
		raw := t.quarantines(func(c *registry.Command) { c.Issued += identity.Skew; c.Expires += identity.Skew })
		t.Apply(raw)
		t.Apply(t.releases())
		t.Tick(later)
		t.Apply(t.remind(raw, t.reviewer))
		return t.card(t.worker, 1, "review.code")
	})
	g.ok("ok-after-a-reminder-of-a-level-raised-since", func(t theater) []byte {
		raw := t.levels(identity.Observer, t.a)
		t.Apply(raw)
		t.Tick(1)
		t.Apply(t.levels(identity.Journeyer, t.a, t.b, t.c))
		t.Tick(later)
		t.Apply(t.remind(raw, t.reviewer))
		return t.propose(t.Proposal(t.worker.ID(), t.worker.ID(), "process.exec"), t.worker)
	})
	g.ok("ok-after-a-reminder-from-before-level-2", func(t theater) []byte {
		t = t.older()
		raw := t.quarantines()
		t.Apply(raw)
		t.Apply(t.releases())
		t.Tick(later)
		t.Apply(t.remind(raw, t.reviewer))
		return t.card(t.worker, 1, "review.code")
	})
	g.ok("ok-after-the-reminded-command-itself", func(t theater) []byte {
		raw := t.quarantines()
		t.Apply(t.remind(raw, t.reviewer))
		t.Apply(t.releases())
		t.Apply(raw)
		return t.card(t.worker, 1, "review.code")
	})
}

func (g commands) refusedReminders() {
	g.no("reminder-too-long", "remind-size", fault.TooLarge, func(t theater) []byte {
		body := registry.SetStatus{Principal: t.worker.ID(), Status: trust.Quarantined, Reason: strings.Repeat("r", registry.MaxReminded)}
		return t.remind(t.Sign(t.Command(t.a.ID(), registry.TypeStatus, body), t.a), t.reviewer)
	})
	g.no("reminder-of-a-release", "remind-type", fault.WrongKind, func(t theater) []byte { return t.remind(t.releases(), t.reviewer) })
	g.no("reminder-of-a-grant", "remind-type", fault.WrongKind, func(t theater) []byte {
		grant := registry.Grant{Principal: t.worker.ID()}
		return t.remind(t.Sign(t.Command(t.a.ID(), registry.TypeGrant, grant), t.a), t.reviewer)
	})
	g.no("reminder-of-a-reminder", "remind-type", fault.WrongKind, func(t theater) []byte {
		return t.remind(t.remind(t.quarantines(), t.a), t.reviewer)
	})
	g.no("reminder-from-the-future", "remind-not-yet", fault.NotYet, func(t theater) []byte {
		return t.remind(t.quarantines(func(c *registry.Command) { c.Issued += identity.Skew + 1; c.Expires += identity.Skew + 1 }), t.reviewer)
	})
	g.no("reminder-by-an-agents-word", "operator", fault.Denied, func(t theater) []byte {
		c := changed(t.status(t.worker, trust.Quarantined), func(c *registry.Command) { c.Author = t.reviewer.ID() })
		return t.remind(t.Sign(c, t.reviewer), t.reviewer)
	})
	g.no("reminder-by-the-word-of-one-quarantined", "command-status", fault.Quarantined, func(t theater) []byte {
		raw := t.quarantines()
		t.Must(t.b, registry.TypeStatus, registry.SetStatus{Principal: t.a.ID(), Status: trust.Quarantined})
		return t.remind(raw, t.reviewer)
	})
	g.no("reminder-by-a-superseded-key", "quorum", fault.NoQuorum, func(t theater) []byte {
		raw := t.quarantines()
		t.Rotate(t.a)
		return t.remind(raw, t.reviewer)
	})
	g.no("reminder-with-a-signature-flipped", "signature", fault.BadSignature, func(t theater) []byte {
		raw := t.quarantines()
		raw[len(raw)-1] ^= 1
		return t.remind(raw, t.reviewer)
	})
	g.no("reminder-before-all-nodes-speak-it", "command-feature", fault.Version, func(t theater) []byte {
		t = t.older()
		raw := t.Sign(t.Command(t.a.ID(), registry.TypeEpoch, registry.RaiseEpoch{Principal: t.a.ID(), Epoch: 1}), t.a)
		return t.remind(raw, t.reviewer)
	})
}

// older takes the realm back to its beginning, with nodes that do not speak reminders yet.
func (t theater) older() theater {
	fresh, err := ledger.New(t.Realm, t.Genesis, t.Policy, nil)
	if err != nil {
		panic(err)
	}
	t.Ledger, t.Entries = fresh, nil
	t.Apply(t.Sign(t.Command(t.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: t.Now, Feature: 1}), t.Nodes[0]))
	t.worker, t.reviewer = t.Agent(t.a, "worker", identity.Journeyer), t.Agent(t.b, "reviewer", identity.Journeyer)
	return t
}
