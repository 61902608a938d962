package spec_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// generator is the test that builds worlds outside a test: what fails there panics.
type generator struct{ testing.TB }

func (generator) Helper() {}

func (generator) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (generator) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// frozenFeature is the feature level that the nodes of the vectors tell: what their formats were frozen with.
const frozenFeature = 3

// theater is a realm of three people, of whom the first two have an agent.
type theater struct {
	*ledgertest.World
	a, b, c          identity.Signer // operators
	worker, reviewer identity.Signer // L3 agents of a and b
}

func newTheater(rules policy.Policy) theater {
	w := ledgertest.NewAt(generator{}, rules, 3, 1, frozenFeature)
	t := theater{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	t.worker = w.Agent(t.a, "worker", identity.Journeyer)
	t.reviewer = w.Agent(t.b, "reviewer", identity.Journeyer)
	return t
}

// status is a command by the first operator.
func (t theater) status(who identity.Signer, s trust.Status) registry.Command {
	return t.Command(t.a.ID(), registry.TypeStatus, registry.SetStatus{Principal: who.ID(), Status: s, Reason: "drill"})
}

// approved is a decision of the worker's that is approved.
func (t theater) approved() consensus.Opening {
	o := t.Propose(t.worker, t.worker.ID(), "process.exec")
	t.Cast(t.b, o, consensus.Approve)
	t.Cast(t.c, o, consensus.Approve)
	return o
}

func (t theater) consume(o consensus.Opening, by identity.Signer, store [16]byte) []byte {
	return t.Sign(t.Command(by.ID(), registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: store}), by)
}

func (t theater) vote(b consensus.Ballot, by identity.Signer) []byte {
	return t.Sign(t.Command(by.ID(), registry.TypeVote, registry.Cast{Ballot: t.SignAlone(b, by.Key())}), by)
}

func (t theater) propose(p consensus.Proposal, by identity.Signer) []byte {
	return t.Sign(t.Command(by.ID(), registry.TypePropose, registry.Propose{Proposal: t.SignAlone(p, by.Key())}), by)
}

func (t theater) enrol(token identity.Token, by, agent identity.Signer) []byte {
	raw, once := t.Invite(by, token)
	return t.Sign(t.Command(agent.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: t.Enrolment(agent, raw, once)}), agent)
}

func (t theater) card(agent identity.Signer, sequence uint64, name string) []byte {
	holder := identity.NewID(identity.Agent, agent.ID().Key())
	card := discovery.Card{
		Version: 1, Agent: holder, Sequence: sequence, Issued: t.Now, Capabilities: []discovery.Capability{{Name: name}},
	}
	return t.Sign(t.Command(agent.ID(), registry.TypeCard, registry.PutCard{Card: t.SignAlone(card, agent.Key())}), agent)
}

// commands collects vectors, each in a realm of its own that play leads to the input.
type commands struct{ *group }

func (g commands) add(v func(input []byte, edits ...func(*vector)), play func(t theater) []byte) {
	g.addIn(ledgertest.Preset(generator{}, policy.Standard), v, play)
}

func (g commands) addIn(rules policy.Policy, v func(input []byte, edits ...func(*vector)), play func(t theater) []byte) {
	t := newTheater(rules)
	input := play(t)
	c := commandContext{Genesis: t.Genesis, Policy: t.Policy.Encode()}
	for _, entry := range t.Entries {
		c.Entries = append(c.Entries, entry)
	}
	v(input, under(t.Realm), at(t.Now), knowing(c))
}

func (g commands) ok(name string, play func(t theater) []byte) {
	g.add(func(input []byte, edits ...func(*vector)) { g.accept(name, input, edits...) }, play)
}

func (g commands) no(name, check string, code fault.Code, play func(t theater) []byte) {
	g.add(func(input []byte, edits ...func(*vector)) { g.refuse(name, check, code, input, edits...) }, play)
}

func commandVectors() *group {
	g := commands{&group{folder: "command", statement: "command"}}
	g.common()
	g.nodes()
	g.changes()
	g.decisions()
	g.hidden()
	g.ends()
	g.settled()
	g.governed()
	g.reminders()
	g.conditions()
	return g.group
}

// common are the checks that every command passes.
func (g commands) common() {
	quarantine := func(t theater, change func(*registry.Command)) []byte {
		return t.Sign(changed(t.status(t.reviewer, trust.Quarantined), change), t.a)
	}
	unsigned := func(t theater, change func(*registry.Command), by ...wire.Key) []byte {
		return cosigned(t.Realm, changed(t.status(t.reviewer, trust.Quarantined), change), by...)
	}
	as := func(change func(*registry.Command)) func(t theater) []byte {
		return func(t theater) []byte { return unsigned(t, change, t.a.Key()) }
	}
	same := func(*registry.Command) {}
	g.ok("ok", func(t theater) []byte { return quarantine(t, same) })
	g.ok("ok-again", func(t theater) []byte {
		raw := quarantine(t, same)
		t.Apply(raw)
		return raw
	})
	g.ok("ok-at-the-last-moment", func(t theater) []byte {
		raw := quarantine(t, same)
		t.Tick(registry.MaxCommandLife - 1)
		return raw
	})
	g.ok("ok-if-unchanged", func(t theater) []byte {
		m, err := t.Ledger.Member(t.reviewer.ID())
		if err != nil {
			panic(err)
		}
		return quarantine(t, func(c *registry.Command) { c.Expect = m.Changed })
	})
	g.no("version", "command-version", fault.Version, as(func(c *registry.Command) { c.Version = 2 }))
	g.no("version-0", "command-version", fault.Version, as(func(c *registry.Command) { c.Version = 0 }))
	g.no("no-time", "command-issued", fault.Malformed, as(func(c *registry.Command) { c.Issued = 0; c.Expires = 1 }))
	g.no("no-life", "command-expires", fault.Malformed, as(func(c *registry.Command) { c.Expires = c.Issued }))
	g.no("long-life", "command-longest", fault.Malformed, as(func(c *registry.Command) { c.Expires++ }))
	g.no("weak-author", "command-author-key", fault.BadKey, as(func(c *registry.Command) { c.Author = weakID(identity.Operator) }))
	g.no("unknown-author", "command-author", fault.Unknown, func(t theater) []byte {
		stranger := t.Signer(identity.Operator)
		return t.Sign(changed(t.status(t.reviewer, trust.Quarantined), func(c *registry.Command) { c.Author = stranger.ID() }), stranger)
	})
	g.no("quarantined-author", "command-status", fault.Quarantined, func(t theater) []byte {
		t.Must(t.a, registry.TypeStatus, registry.SetStatus{Principal: t.worker.ID(), Status: trust.Quarantined})
		return t.card(t.worker, 1, "review.code")
	})
	g.no("signed-by-another", "quorum", fault.NoQuorum, func(t theater) []byte { return unsigned(t, same, t.b.Key()) })
	g.no("signature-flipped", "signature", fault.BadSignature, func(t theater) []byte {
		raw := quarantine(t, same)
		raw[len(raw)-1] ^= 1
		return raw
	})
	g.no("superseded-key", "quorum", fault.NoQuorum, func(t theater) []byte {
		t.Rotate(t.a)
		return quarantine(t, same)
	})
	g.no("expired", "command-expired", fault.Expired, func(t theater) []byte {
		raw := quarantine(t, same)
		t.Tick(registry.MaxCommandLife)
		return raw
	})
	g.no("from-the-future", "command-not-yet", fault.NotYet, func(t theater) []byte {
		return quarantine(t, func(c *registry.Command) { c.Issued += identity.Skew + 1 })
	})
	g.no("nonce-used", "command-nonce", fault.Spent, func(t theater) []byte {
		first := t.status(t.reviewer, trust.Quarantined)
		t.Apply(t.Sign(first, t.a))
		return quarantine(t, func(c *registry.Command) { c.Nonce, c.Expires = first.Nonce, c.Expires-1 })
	})
	g.no("unknown-type", "command-type", fault.Version, as(func(c *registry.Command) { c.Type = "party" }))
	g.no("node-commands", "command-node", fault.Denied, func(t theater) []byte { return t.card(t.Nodes[0], 1, "review.code") })
	g.no("operator-tells-the-time", "command-node", fault.Denied, func(t theater) []byte {
		return t.Sign(t.Command(t.a.ID(), registry.TypeTick, registry.Tick{Time: t.Now + 1}), t.a)
	})
	g.no("changed-meanwhile", "command-expect", fault.Conflict, func(t theater) []byte {
		return quarantine(t, func(c *registry.Command) { c.Expect = 1 })
	})
}

// nodes are commands of nodes: times and rosters.
func (g commands) nodes() {
	put := func(t theater, r identity.Roster, by ...identity.Signer) []byte {
		body := registry.PutRoster{Roster: t.Sign(r, by...)}
		return t.Sign(t.Command(t.Nodes[0].ID(), registry.TypeRoster, body), t.Nodes[0])
	}
	newcomer := func(t theater) identity.Roster {
		_, r := t.Newcomer()
		return r
	}
	ahead := func(t theater, nodes int) { // by a command's life
		var e ledger.Entry
		for _, n := range t.Nodes[:nodes] {
			e.Ticks = append(e.Ticks, t.Told(n, t.Now+registry.MaxCommandLife))
		}
		t.Entry(e)
	}
	g.ok("ok-tick", func(t theater) []byte { return t.Told(t.Nodes[0], t.Now+1) })
	g.no("tick-backwards", "tick", fault.Superseded, func(t theater) []byte { return t.Told(t.Nodes[0], t.Now) })
	g.no("tick-of-a-node-that-joins", "tick-node", fault.Unknown, func(t theater) []byte { return t.Told(t.Admit(), t.Now+1) })
	g.ok("ok-one-clock-ahead", func(t theater) []byte {
		t.Grow(2)
		ahead(t, 1)
		t.Tick(0)
		return t.Sign(t.status(t.reviewer, trust.Quarantined), t.a)
	})
	g.no("two-clocks-ahead", "command-expired", fault.Expired, func(t theater) []byte {
		t.Grow(2)
		raw := t.Sign(t.status(t.reviewer, trust.Quarantined), t.a)
		ahead(t, 2)
		return raw
	})
	g.ok("ok-roster", func(t theater) []byte { return put(t, newcomer(t), t.Nodes...) })
	g.no("operator-hands-in-a-roster", "command-node", fault.Denied, func(t theater) []byte {
		body := registry.PutRoster{Roster: t.Sign(newcomer(t), t.Nodes...)}
		return t.Sign(t.Command(t.a.ID(), registry.TypeRoster, body), t.a)
	})
	g.no("roster-before-all-nodes-speak-it", "command-feature", fault.Version, func(t theater) []byte {
		fresh, err := ledger.New(t.Realm, t.Genesis, t.Policy, nil)
		if err != nil {
			panic(err)
		}
		t.Ledger, t.Entries = fresh, nil
		t.Apply(t.Sign(t.Command(t.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: t.Now}), t.Nodes[0]))
		return put(t, newcomer(t), t.Nodes...)
	})
	g.no("roster-from-the-future", "roster-not-yet", fault.NotYet, func(t theater) []byte {
		return put(t, changed(newcomer(t), func(r *identity.Roster) { r.Issued += identity.Skew + 1 }), t.Nodes...)
	})
	g.no("roster-with-a-token-that-ended-meanwhile", "roster-token-current", fault.Expired, func(t theater) []byte {
		r := newcomer(t)
		t.Tick(60 * ledgertest.Minute)
		return put(t, r, t.Nodes...)
	})
	g.no("roster-of-other-roots", "roster-governs-alike", fault.Version, func(t theater) []byte {
		r := changed(t.Roster(), func(r *identity.Roster) { r.Roots = r.Roots[:2] })
		return put(t, r, append(slices.Clone(t.Roots), t.Nodes...)...)
	})
}

// changes are commands that change members.
func (g commands) changes() {
	release := func(t theater, by ...identity.Signer) []byte {
		t.Must(t.a, registry.TypeStatus, registry.SetStatus{Principal: t.reviewer.ID(), Status: trust.Quarantined})
		return t.Sign(t.status(t.reviewer, trust.Active), by...)
	}
	raise := func(t theater, by ...identity.Signer) []byte {
		return t.Sign(t.Command(t.a.ID(), registry.TypeLevel, registry.SetLevel{Principal: t.worker.ID(), Level: identity.Steward}), by...)
	}
	appoint := func(t theater, by ...identity.Signer) []byte {
		return t.Sign(t.Command(t.a.ID(), registry.TypeOperator, registry.AddOperator{
			Operator: t.Signer(identity.Operator).ID(), Name: "second",
		}), by...)
	}
	token := func(t theater) identity.Token { return t.Token(t.a.ID(), "helper", identity.Observer) }
	g.ok("ok-release", func(t theater) []byte { return release(t, t.a, t.b) })
	g.ok("ok-raise", func(t theater) []byte { return raise(t, t.a, t.b, t.c) })
	g.no("raise-by-its-own-operator-and-one", "raise-own", fault.NoQuorum, func(t theater) []byte { return raise(t, t.a, t.c) })
	g.ok("ok-operator", func(t theater) []byte { return appoint(t, t.a, t.b) })
	g.ok("ok-enrol", func(t theater) []byte { return t.enrol(token(t), t.a, t.Signer(identity.Agent)) })
	g.ok("ok-card", func(t theater) []byte { return t.card(t.worker, 1, "review.code") })
	g.no("release-by-one", "loosen", fault.NoQuorum, func(t theater) []byte { return release(t, t.a) })
	g.no("raise-by-one", "loosen", fault.NoQuorum, func(t theater) []byte { return raise(t, t.a) })
	g.no("raise-by-one-and-an-agent", "loosen", fault.NoQuorum, func(t theater) []byte { return raise(t, t.a, t.reviewer) })
	g.no("operator-by-one", "loosen", fault.NoQuorum, func(t theater) []byte { return appoint(t, t.a) })
	g.no("revoked-comes-back", "revoked", fault.Revoked, func(t theater) []byte {
		t.Must(t.a, registry.TypeStatus, registry.SetStatus{Principal: t.reviewer.ID(), Status: trust.Revoked})
		return t.Sign(t.status(t.reviewer, trust.Active), t.a, t.b)
	})
	g.no("agent-quarantines", "operator", fault.Denied, func(t theater) []byte {
		return t.Sign(changed(t.status(t.reviewer, trust.Quarantined), func(c *registry.Command) { c.Author = t.worker.ID() }), t.worker)
	})
	g.no("enrol-above-the-level", "enrol-level", fault.NoQuorum, func(t theater) []byte {
		return t.enrol(t.Token(t.a.ID(), "helper", identity.Journeyer), t.a, t.Signer(identity.Agent))
	})
	g.no("enrol-with-token-ended", "enrol-expired", fault.Expired, func(t theater) []byte {
		invitation := token(t)
		t.Tick(61 * ledgertest.Minute)
		return t.enrol(invitation, t.a, t.Signer(identity.Agent))
	})
	g.no("enrol-with-token-used", "enrol-used", fault.Spent, func(t theater) []byte {
		raw, once := t.Invite(t.a, token(t))
		first, second := t.Signer(identity.Agent), t.Signer(identity.Agent)
		t.Must(first, registry.TypeEnrol, registry.Enrol{Enrolment: t.Enrolment(first, raw, once)})
		t.Must(t.a, registry.TypeLevel, registry.SetLevel{Principal: first.ID(), Level: identity.Quarantined})
		return t.Sign(t.Command(second.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: t.Enrolment(second, raw, once)}), second)
	})
	g.no("enrol-under-a-name-taken", "enrol-name", fault.Conflict, func(t theater) []byte {
		return t.enrol(t.Token(t.a.ID(), "worker", identity.Observer), t.a, t.Signer(identity.Agent))
	})
	g.no("card-not-granted", "card-granted", fault.Denied, func(t theater) []byte { return t.card(t.worker, 1, "payments.send") })
	g.no("card-older", "card-newer", fault.Conflict, func(t theater) []byte {
		t.Apply(t.card(t.worker, 2, "review.code"))
		return t.card(t.worker, 1, "review.text")
	})
}

// decisions are proposals, votes and consumptions.
func (g commands) decisions() {
	open := func(t theater) consensus.Opening { return t.Propose(t.worker, t.worker.ID(), "process.exec") }
	proposal := func(t theater) consensus.Proposal { return t.Proposal(t.worker.ID(), t.worker.ID(), "process.exec") }
	g.ok("ok-propose", func(t theater) []byte { return t.propose(proposal(t), t.worker) })
	g.ok("ok-vote", func(t theater) []byte { return t.vote(t.Ballot(t.b.ID(), open(t), consensus.Approve), t.b) })
	g.ok("ok-consume", func(t theater) []byte { return t.consume(t.approved(), t.worker, ledgertest.Store) })
	g.no("proposal-of-another", "propose-author", fault.Denied, func(t theater) []byte {
		p := t.Proposal(t.reviewer.ID(), t.worker.ID(), "process.exec")
		return t.Sign(t.Command(t.worker.ID(), registry.TypePropose, registry.Propose{Proposal: t.SignAlone(p, t.worker.Key())}), t.worker)
	})
	g.no("level-does-not-propose", "propose-level", fault.Denied, func(t theater) []byte {
		novice := t.Agent(t.a, "novice", identity.Observer)
		return t.propose(t.Proposal(novice.ID(), novice.ID(), "process.exec"), novice)
	})
	g.no("proposal-ended", "propose-expired", fault.Expired, func(t theater) []byte {
		p := changed(proposal(t), func(p *consensus.Proposal) { p.Expires = p.Issued + 1 })
		t.Tick(1)
		return t.propose(p, t.worker)
	})
	g.no("proposal-from-the-future", "propose-not-yet", fault.NotYet, func(t theater) []byte {
		return t.propose(changed(proposal(t), func(p *consensus.Proposal) { p.Issued += identity.Skew + 1 }), t.worker)
	})
	g.no("proposal-twice", "propose-nonce", fault.Spent, func(t theater) []byte {
		p := proposal(t)
		t.Apply(t.propose(p, t.worker))
		return t.propose(p, t.worker)
	})
	g.no("executor-unknown", "propose-executor", fault.Unknown, func(t theater) []byte {
		return t.propose(t.Proposal(t.worker.ID(), t.Signer(identity.Agent).ID(), "process.exec"), t.worker)
	})
	g.no("vote-on-own-proposal", "ballot-voter", fault.Denied, func(t theater) []byte {
		return t.vote(t.Ballot(t.worker.ID(), open(t), consensus.Approve), t.worker)
	})
	g.no("vote-of-the-proposers-operator", "ballot-voter", fault.Denied, func(t theater) []byte {
		return t.vote(t.Ballot(t.a.ID(), open(t), consensus.Approve), t.a)
	})
	g.no("vote-for-another", "vote-author", fault.Denied, func(t theater) []byte {
		ballot := t.SignAlone(t.Ballot(t.c.ID(), open(t), consensus.Approve), t.c.Key())
		return t.Sign(t.Command(t.b.ID(), registry.TypeVote, registry.Cast{Ballot: ballot}), t.b)
	})
	g.no("vote-twice", "tally-voted", fault.Spent, func(t theater) []byte {
		o := open(t)
		t.Cast(t.b, o, consensus.Approve)
		return t.vote(t.Ballot(t.b.ID(), o, consensus.Reject), t.b)
	})
	g.no("vote-after-the-end", "vote-open", fault.Spent, func(t theater) []byte {
		return t.vote(t.Ballot(t.reviewer.ID(), t.approved(), consensus.Reject), t.reviewer)
	})
	g.no("vote-after-the-deadline", "vote-deadline", fault.Spent, func(t theater) []byte {
		o := open(t)
		t.Tick(o.Rule.Deadline)
		return t.vote(t.Ballot(t.b.ID(), o, consensus.Approve), t.b)
	})
	g.no("consume-pending", "consume-approved", fault.Pending, func(t theater) []byte {
		return t.consume(open(t), t.worker, ledgertest.Store)
	})
	g.no("consume-twice", "consume-once", fault.Spent, func(t theater) []byte {
		o := t.approved()
		t.Apply(t.consume(o, t.worker, ledgertest.Store))
		return t.consume(o, t.worker, ledgertest.Store)
	})
	g.no("consume-by-another", "consume-executor", fault.Denied, func(t theater) []byte {
		return t.consume(t.approved(), t.reviewer, ledgertest.Store)
	})
	g.no("consume-for-another-store", "consume-store", fault.Denied, func(t theater) []byte {
		return t.consume(t.approved(), t.worker, [16]byte{8})
	})
	g.no("consume-late", "consume-window", fault.Expired, func(t theater) []byte {
		o := t.approved()
		t.Tick(o.Rule.Window)
		return t.consume(o, t.worker, ledgertest.Store)
	})
	g.no("report-by-another", "report-author", fault.Denied, func(t theater) []byte {
		o := t.approved()
		t.Apply(t.consume(o, t.worker, ledgertest.Store))
		return t.Sign(t.Command(t.reviewer.ID(), registry.TypeReport, registry.Report{Proposal: o.Proposal, OK: true}), t.reviewer)
	})
}
