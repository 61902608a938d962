package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func (t theater) signed(by identity.Signer, typ registry.Type, body any, further ...identity.Signer) []byte {
	return t.Sign(t.Command(by.ID(), typ, body), append(further, by)...)
}

func (t theater) commitment(by identity.Signer, o consensus.Opening, s ledgertest.Sealed) []byte {
	return t.signed(by, registry.TypeCommit, registry.Commit{Commitment: t.SignAlone(t.Commitment(by.ID(), o, s), by.Key())})
}

func (t theater) reveal(s ledgertest.Sealed) []byte {
	return t.signed(s.Voter, registry.TypeVote, registry.Cast{Ballot: s.Ballot, Salt: s.Salt})
}

// sealed is a decision of the worker's, and the reviewer's ballot on it.
func (t theater) sealed() (consensus.Opening, ledgertest.Sealed) {
	o := t.Propose(t.worker, t.worker.ID(), "process.exec")
	return o, t.Seal(t.reviewer, t.Ballot(t.reviewer.ID(), o, consensus.Approve))
}

// hidden are commitments and the ballots that reveal them.
func (g commands) hidden() {
	g.ok("ok-commit", func(t theater) []byte {
		o, s := t.sealed()
		return t.commitment(t.reviewer, o, s)
	})
	g.ok("ok-reveal", func(t theater) []byte {
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		return t.reveal(s)
	})
	g.ok("ok-recuse-openly", func(t theater) []byte {
		o, _ := t.sealed()
		return t.vote(t.Ballot(t.reviewer.ID(), o, consensus.Recuse), t.reviewer)
	})
	g.no("vote-without-a-commitment", "vote-committed", fault.Denied, func(t theater) []byte {
		_, s := t.sealed()
		return t.reveal(s)
	})
	g.no("vote-of-an-agent-without-salt", "vote-committed", fault.Denied, func(t theater) []byte {
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		return t.vote(t.Ballot(t.reviewer.ID(), o, consensus.Approve), t.reviewer)
	})
	g.no("vote-that-was-not-committed", "vote-committed", fault.Denied, func(t theater) []byte {
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		other := t.Seal(t.reviewer, t.Ballot(t.reviewer.ID(), o, consensus.Reject))
		return t.reveal(other)
	})
	g.no("salt-of-an-open-vote", "vote-salt", fault.Malformed, func(t theater) []byte {
		o, _ := t.sealed()
		return t.reveal(t.Seal(t.b, t.Ballot(t.b.ID(), o, consensus.Approve)))
	})
	g.no("vote-revealed-early", "vote-early", fault.Pending, func(t theater) []byte {
		t.Agent(t.c, "second", identity.Journeyer)
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		return t.reveal(s)
	})
	g.no("vote-revealed-late", "vote-late", fault.Expired, func(t theater) []byte {
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		t.Tick(2 * o.Rule.Commit)
		return t.reveal(s)
	})
	g.no("commit-for-another", "vote-author", fault.Denied, func(t theater) []byte {
		o, s := t.sealed()
		raw := t.SignAlone(t.Commitment(t.reviewer.ID(), o, s), t.reviewer.Key())
		return t.signed(t.b, registry.TypeCommit, registry.Commit{Commitment: raw})
	})
	g.no("commit-after-the-end", "vote-open", fault.Spent, func(t theater) []byte {
		o := t.approved()
		return t.commitment(t.reviewer, o, t.Seal(t.reviewer, t.Ballot(t.reviewer.ID(), o, consensus.Approve)))
	})
	g.no("commit-late", "commit-late", fault.Expired, func(t theater) []byte {
		o, s := t.sealed()
		t.Tick(o.Rule.Commit)
		return t.commitment(t.reviewer, o, s)
	})
	g.no("commit-again-with-the-same-sequence", "commit-newer", fault.Spent, func(t theater) []byte {
		t.Agent(t.c, "second", identity.Journeyer)
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		return t.commitment(t.reviewer, o, t.Seal(t.reviewer, t.Ballot(t.reviewer.ID(), o, consensus.Reject)))
	})
	g.no("commit-after-revealing", "commit-revealed", fault.Spent, func(t theater) []byte {
		o, s := t.sealed()
		t.Commit(t.reviewer, o, s)
		t.Reveal(s)
		s.Sequence++
		return t.commitment(t.reviewer, o, s)
	})
}

// ends are decisions that are taken back, or contradicted, and permits that are used.
func (g commands) ends() {
	cancel := func(t theater, o consensus.Opening, by identity.Signer) []byte {
		return t.signed(by, registry.TypeCancel, registry.Cancel{Proposal: o.Proposal})
	}
	g.ok("ok-cancel", func(t theater) []byte {
		o, _ := t.sealed()
		return cancel(t, o, t.worker)
	})
	g.ok("ok-cancel-by-the-operator", func(t theater) []byte { return cancel(t, t.approved(), t.a) })
	g.no("cancel-by-another", "cancel-author", fault.Denied, func(t theater) []byte { return cancel(t, t.approved(), t.b) })
	g.no("cancel-what-was-consumed", "cancel-open", fault.Spent, func(t theater) []byte {
		o := t.approved()
		t.Consume(t.worker, o)
		return cancel(t, o, t.worker)
	})
	contradict := func(t theater) []byte {
		o, _ := t.sealed()
		vote := func(v consensus.Vote) []byte { return t.SignAlone(t.Ballot(t.reviewer.ID(), o, v), t.reviewer.Key()) }
		return t.signed(t.c, registry.TypeEquivocate, registry.Equivocate{
			Proposal: o.Proposal, First: vote(consensus.Approve), Second: vote(consensus.Reject),
		})
	}
	g.ok("ok-equivocate", contradict)
	g.no("equivocate-twice", "equivocate-once", fault.Spent, func(t theater) []byte {
		o, _ := t.sealed()
		vote := func(v consensus.Vote) []byte { return t.SignAlone(t.Ballot(t.reviewer.ID(), o, v), t.reviewer.Key()) }
		t.Equivocate(t.b, o, vote(consensus.Approve), vote(consensus.Reject))
		return t.signed(t.c, registry.TypeEquivocate, registry.Equivocate{
			Proposal: o.Proposal, First: vote(consensus.Reject), Second: vote(consensus.Approve),
		})
	})
	permit := func(t theater, uses uint64) consensus.Opening {
		o := t.Propose(t.worker, t.worker.ID(), "process.exec", func(p *consensus.Proposal) {
			p.NotBefore = t.Now + ledgertest.Minute
			p.Action.Target = "host-1"
			p.Permit = &consensus.Permit{Uses: uses, Until: t.Now + 10*ledgertest.Minute, Targets: []string{"host-*"}}
		})
		t.Cast(t.b, o, consensus.Approve)
		t.Cast(t.c, o, consensus.Approve)
		return o
	}
	use := func(t theater, o consensus.Opening, target string) []byte {
		a := consensus.Action{Kind: "process.exec", Target: target}
		return t.signed(t.worker, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store, Action: &a})
	}
	g.ok("ok-use", func(t theater) []byte {
		o := permit(t, 1)
		t.Tick(ledgertest.Minute)
		return use(t, o, "host-2")
	})
	g.no("use-beyond-the-permit", "consume-used-up", fault.Spent, func(t theater) []byte {
		o := permit(t, 1)
		t.Tick(ledgertest.Minute)
		t.Apply(use(t, o, "host-2"))
		return use(t, o, "host-3")
	})
	g.no("use-early", "consume-early", fault.NotYet, func(t theater) []byte { return use(t, permit(t, 2), "host-2") })
	g.no("use-that-is-not-covered", "consume-covers", fault.Denied, func(t theater) []byte {
		o := permit(t, 2)
		t.Tick(ledgertest.Minute)
		return use(t, o, "lab-1")
	})
}

// settled are settlements, and emergencies, which need one.
func (g commands) settled() {
	settle := func(t theater, o consensus.Opening, by identity.Signer) []byte {
		return t.signed(by, registry.TypeSettle, registry.Settle{Proposal: o.Proposal, Right: true})
	}
	consumed := func(t theater) consensus.Opening {
		o := t.approved()
		t.Consume(t.worker, o)
		return o
	}
	g.ok("ok-settle", func(t theater) []byte { return settle(t, consumed(t), t.a) })
	g.no("settle-by-an-operator-beside", "settle-author", fault.Denied, func(t theater) []byte {
		other := t.Operator("second", t.a, t.b)
		return settle(t, consumed(t), other)
	})
	g.no("settle-by-a-voter", "settle-party", fault.Denied, func(t theater) []byte { return settle(t, consumed(t), t.b) })
	involving := func(t theater, change func(*consensus.Proposal)) consensus.Opening {
		o := t.Propose(t.worker, t.worker.ID(), "process.exec", change)
		t.Cast(t.b, o, consensus.Approve)
		t.Cast(t.c, o, consensus.Approve)
		t.Tick(o.Rule.Window)
		return o
	}
	g.ok("ok-settle-what-nobody-did", func(t theater) []byte { return settle(t, involving(t, func(*consensus.Proposal) {}), t.a) })
	g.no("settle-by-the-executor", "settle-party", fault.Denied, func(t theater) []byte {
		return settle(t, involving(t, func(p *consensus.Proposal) { p.Executor = t.a.ID() }), t.a)
	})
	g.no("settle-by-a-beneficiary", "settle-party", fault.Denied, func(t theater) []byte {
		return settle(t, involving(t, func(p *consensus.Proposal) { p.Beneficiaries = []identity.ID{t.a.ID()} }), t.a)
	})
	g.no("settle-by-the-operator-of-a-voter", "settle-party", fault.Denied, func(t theater) []byte {
		o := t.Propose(t.worker, t.worker.ID(), "process.exec")
		t.Cast(t.reviewer, o, consensus.Approve)
		t.Cast(t.c, o, consensus.Approve)
		t.Consume(t.worker, o)
		return settle(t, o, t.b)
	})
	late := func(t theater) consensus.Opening {
		o := t.Propose(t.worker, t.worker.ID(), "service.stop", func(p *consensus.Proposal) { p.Emergency = true })
		t.Cast(t.b, o, consensus.Approve)
		t.Cast(t.c, o, consensus.Approve)
		t.Tick(t.Policy.Emergency.Review)
		return o
	}
	g.ok("ok-settle-an-overdue-review-by-voters", func(t theater) []byte {
		return t.signed(t.b, registry.TypeSettle, registry.Settle{Proposal: late(t).Proposal, Right: true}, t.c)
	})
	g.no("settle-an-overdue-review-by-one-voter", "settle-party", fault.Denied, func(t theater) []byte { return settle(t, late(t), t.b) })
	g.no("settle-what-is-open", "settle-ended", fault.Pending, func(t theater) []byte {
		o, _ := t.sealed()
		return settle(t, o, t.a)
	})
	g.no("settle-what-was-cancelled", "settle-void", fault.Rejected, func(t theater) []byte {
		o := t.approved()
		t.Cancel(t.a, o)
		return settle(t, o, t.a)
	})
	g.no("settle-twice", "settle-once", fault.Spent, func(t theater) []byte {
		o := consumed(t)
		t.Settle(t.a, o, true)
		return settle(t, o, t.a)
	})
	emergency := func(t theater, kind string) consensus.Proposal {
		p := t.Proposal(t.worker.ID(), t.worker.ID(), kind)
		p.Emergency = true
		return p
	}
	g.ok("ok-emergency", func(t theater) []byte { return t.propose(emergency(t, "service.stop"), t.worker) })
	g.no("emergency-of-a-common-kind", "propose-emergency", fault.Denied, func(t theater) []byte {
		return t.propose(emergency(t, "process.exec"), t.worker)
	})
	g.no("emergency-while-a-review-is-due", "propose-review", fault.Denied, func(t theater) []byte {
		o := t.Propose(t.worker, t.worker.ID(), "service.stop", func(p *consensus.Proposal) { p.Emergency = true })
		t.Cast(t.b, o, consensus.Approve)
		t.Cast(t.c, o, consensus.Approve)
		t.Tick(t.Policy.Emergency.Review)
		return t.propose(emergency(t, "service.stop"), t.worker)
	})
	g.no("permit-that-is-over", "propose-permit-over", fault.Expired, func(t theater) []byte {
		p := t.Proposal(t.worker.ID(), t.worker.ID(), "process.exec")
		p.Permit = &consensus.Permit{Uses: 2, Until: t.Now + 1}
		t.Tick(1)
		return t.propose(p, t.worker)
	})
}

// governed are commands that replace the policy.
func (g commands) governed() {
	next := func(t theater) policy.Policy {
		return changed(t.Policy, func(p *policy.Policy) { p.Plain = []string{"news.*"} })
	}
	put := func(t theater, p policy.Policy, further ...identity.Signer) []byte {
		return t.signed(t.a, registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}, further...)
	}
	g.ok("ok-policy", func(t theater) []byte { return put(t, next(t), t.b) })
	g.no("policy-by-one", "loosen", fault.NoQuorum, func(t theater) []byte { return put(t, next(t)) })
	g.no("policy-that-the-roots-cannot-use", "policy-fits", fault.InvalidInput, func(t theater) []byte {
		t.Operator("second", t.a, t.b) // there are enough operators, but not enough roots
		return put(t, changed(next(t), func(p *policy.Policy) { p.Loosen = 4 }), t.b)
	})
	g.no("policy-of-one-person", "policy-preset", fault.Denied, func(t theater) []byte {
		return put(t, ledgertest.Preset(generator{}, policy.Solo), t.b)
	})
	g.no("policy-in-force", "policy-news", fault.Conflict, func(t theater) []byte { return put(t, t.Policy, t.b) })
	g.no("policy-before-all-nodes-speak-it", "command-feature", fault.Version, func(t theater) []byte {
		fresh, err := ledger.New(t.Realm, t.Genesis, t.Policy, nil)
		if err != nil {
			panic(err)
		}
		t.Ledger, t.Entries = fresh, nil
		t.Apply(t.signed(t.Nodes[0], registry.TypeTick, registry.Tick{Time: t.Now, Feature: 2}))
		return put(t, next(t), t.b)
	})
}
