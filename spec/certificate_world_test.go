package spec_test

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

type certificate = consensus.Certificate

// court is a realm of three people and three nodes; d became an operator by a command. d and the auditor have changed
// their keys.
type court struct {
	*ledgertest.World
	a, b, c, d                identity.Signer // operators
	worker, reviewer, auditor identity.Signer // L3 agents of a, b, d
	approved                  certificate     // of the worker's process.exec, by auditor and b
	alone                     certificate     // of the worker's db.read
	permit                    certificate     // of three runs of process.exec, as covered tells
	refund                    certificate     // of a sum that the policy classes, by b and c
	urgent                    certificate     // of the worker's service.stop, an emergency, by b and c
}

func newCourt() *court {
	rules := ledgertest.Preset(generator{}, policy.Standard)
	rules.Kinds = slices.Insert(rules.Kinds, 6, policy.Kind{
		Pattern: "payments.refund", Class: consensus.R1, Window: 60 * ledgertest.Minute,
		Steps: []policy.Step{{Above: 100, Class: consensus.R2}, {Above: 1000, Class: consensus.R3}},
	})
	w := ledgertest.New(generator{}, rules, 3, 3)
	t := &court{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	t.d = w.Rotate(w.Operator("second", t.a, t.b))
	t.worker = w.Agent(t.a, "worker", identity.Journeyer)
	t.reviewer = w.Agent(t.b, "reviewer", identity.Journeyer)
	t.auditor = w.Rotate(w.Agent(t.d, "auditor", identity.Journeyer))
	o := w.Propose(t.worker, t.worker.ID(), "process.exec")
	read := w.Propose(t.worker, t.worker.ID(), "db.read")
	w.Tick(1000)
	w.Cast(t.auditor, o, consensus.Approve)
	w.Cast(t.b, o, consensus.Approve)
	t.approved, t.alone = w.Certificate(o.Proposal), w.Certificate(read.Proposal)
	t.permit = t.decided("process.exec", func(p *consensus.Proposal) {
		p.NotBefore = w.Now + ledgertest.Minute
		p.Action = consensus.Action{
			Kind: "process.exec", Target: "host-1", Amount: 5, Rollback: "run it again",
			Params: []consensus.Param{{Name: "argv", Values: []string{"make", "release"}}},
		}
		p.Permit = &consensus.Permit{
			Uses: 3, Until: w.Now + 60*ledgertest.Minute, Targets: []string{"host-2", "lab-*"},
			Open: []consensus.Param{{Name: "cwd", Values: []string{"/srv", "/srv/*"}}},
		}
	})
	t.refund = t.decided("payments.refund", func(p *consensus.Proposal) {
		p.Action.Amount, p.Permit = 60, &consensus.Permit{Uses: 3, Until: w.Now + 60*ledgertest.Minute}
	})
	t.urgent = t.decided("service.stop", func(p *consensus.Proposal) { p.Emergency = true })
	return t
}

// decided is the certificate of a proposal of the worker's that b and c approve.
func (t *court) decided(kind string, change func(*consensus.Proposal)) certificate {
	o := t.Propose(t.worker, t.worker.ID(), kind, change)
	t.Cast(t.b, o, consensus.Approve)
	t.Cast(t.c, o, consensus.Approve)
	return t.Certificate(o.Proposal)
}

// covered is an action that the permit allows.
func covered() consensus.Action {
	return consensus.Action{
		Kind: "process.exec", Target: "lab-7", Amount: 4, Rollback: "run it again",
		Params: []consensus.Param{{Name: "argv", Values: []string{"make", "release"}}, {Name: "cwd", Values: []string{"/srv/a", "/srv"}}},
	}
}

// record has all nodes sign that the certificate's opening and verdict are what the registry recorded.
func (t *court) record(c *certificate) {
	opened := audit.Leaf{Index: 1, Result: wire.Hash(encode(c.Opening))}
	decided := audit.Leaf{Index: 2, Result: wire.Hash(encode(c.Verdict))}
	if c.Opening.Alone {
		decided = opened
	}
	t.recordLeaves(c, opened, decided)
}

// recordLeaves has all nodes sign a tree of two leaves.
func (t *court) recordLeaves(c *certificate, opened, decided audit.Leaf) {
	leaves := []merkle.Hash{opened.Hash(), decided.Hash()}
	paths, err := merkle.Paths(leaves)
	if err != nil {
		panic(err)
	}
	inclusion := func(l audit.Leaf) wire.Raw { return encode(audit.Inclusion{Leaf: l, Path: paths[l.Index-1]}) }
	head := audit.Head{Version: 1, Size: 2, Root: wire.Digest(merkle.Root(leaves)), Time: t.Now, State: wire.Digest{1}}
	c.Opened, c.Decided = inclusion(opened), inclusion(decided)
	c.Head = cosigned(t.Realm, head, ledgertest.Keys(t.Nodes...)...)
}

// ballots has the voters approve the opening as it stands now.
func (t *court) ballots(c *certificate, by ...identity.Signer) {
	c.Ballots = nil
	for _, v := range by {
		c.Ballots = append(c.Ballots, t.ballot(c, v, consensus.Approve))
	}
}

func (t *court) ballot(c *certificate, by identity.Signer, vote consensus.Vote) []byte {
	return t.SignAlone(t.Ballot(by.ID(), c.Opening, vote), by.Key())
}

// lie edits the certificate, and has the voters and all nodes sign what it says now: what nodes can do that lie.
func (t *court) lie(change func(*certificate)) certificate {
	return t.lieOn(t.approved, change, t.auditor, t.b)
}

func (t *court) lieOn(c certificate, change func(*certificate), by ...identity.Signer) certificate {
	c.Opening.Voters = slices.Clone(c.Opening.Voters)
	change(&c)
	t.ballots(&c, by...)
	t.record(&c)
	return c
}

// invent puts a voter into the electorate, who approves with b.
func (t *court) invent(voter consensus.Voter, by wire.Key, change func(*certificate)) certificate {
	c := t.approved
	c.Opening.Voters = slices.DeleteFunc(slices.Clone(c.Opening.Voters), func(v consensus.Voter) bool { return v.ID == voter.ID })
	c.Opening.Voters = voters(append(c.Opening.Voters, voter)...)
	if !voter.Person() { // operators did give it its level: that is not what is wrong with it
		c.Levels = append(slices.Clone(c.Levels), t.raise(registry.TypeLevel, voter.ID, t.d, t.b))
	}
	if change != nil {
		change(&c)
	}
	t.ballots(&c, identity.NewSigner(voter.ID, by), t.b)
	t.record(&c)
	return c
}

// appointment is a command that makes somebody an operator.
func (t *court) appointment(who identity.ID, typ registry.Type, by ...identity.Signer) []byte {
	c := t.Command(by[0].ID(), typ, registry.AddOperator{Operator: who, Name: "ghost"})
	return cosigned(t.Realm, c, ledgertest.Keys(by...)...)
}

// raise is a command that gives an agent L3.
func (t *court) raise(typ registry.Type, who identity.ID, by ...identity.Signer) []byte {
	c := t.Command(by[0].ID(), typ, registry.SetLevel{Principal: who, Level: identity.Journeyer})
	return cosigned(t.Realm, c, ledgertest.Keys(by...)...)
}

// enrolled is the enrolment of an agent by the operator's token, signed by the key.
func (t *court) enrolled(agent identity.Signer, operator identity.ID, by wire.Key) []byte {
	token, once := t.Invite(identity.NewSigner(operator, by), t.Token(operator, "ghost", identity.Observer))
	return t.Enrolment(agent, token, once)
}

func voterOf(s identity.Signer, operator identity.ID) consensus.Voter {
	v := consensus.Voter{ID: s.ID(), Key: s.Public(), Operator: operator, Weight: 1, Calibration: 1000}
	if !v.Person() {
		v.Level, v.Calibration = 3, 700
	}
	return v
}

// chains gives the certificate other successions of the principal.
func chains(c *certificate, id identity.ID, change func([][]byte) [][]byte) {
	var chain, rest [][]byte
	for _, raw := range c.Keys {
		s, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
		if err != nil {
			panic(err)
		}
		if s.Claim.Principal == id {
			chain = append(chain, raw)
		} else {
			rest = append(rest, raw)
		}
	}
	c.Keys = append(rest, change(chain)...)
}

// certified collects vectors of certificates.
type certified struct {
	*group
	*court
}

func (g certified) ok(name string, c certificate, edits ...func(*vector)) {
	g.accept(name, encode(c), edits...)
}

func (g certified) no(name, check string, code fault.Code, c certificate, edits ...func(*vector)) {
	g.refuse(name, check, code, encode(c), edits...)
}

// with refuses the approved certificate, edited and not recorded anew.
func (g certified) with(name, check string, code fault.Code, change func(*certificate), edits ...func(*vector)) {
	g.no(name, check, code, changed(g.approved, change), edits...)
}

// propose puts another proposal into the certificate, with the opening and verdict that the registry would have given it.
func (t *court) propose(c *certificate, p consensus.Proposal, by identity.Signer) {
	c.Proposal = t.SignAlone(p, by.Key())
	o := &c.Opening
	o.Proposal, o.Action, o.Key = idOf(t.Realm, p), p.Action.Digest(), by.Public()
	o.Deadline = o.Opened + o.Rule.Deadline
	c.Verdict = consensus.NewVerdict(p, *o, consensus.Approved, c.Verdict.At)
}
