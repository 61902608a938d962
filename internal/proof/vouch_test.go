package proof_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// invent puts voters into the opening in place of an honest one, lets them and b approve, and has all nodes sign it.
func invent(t *testing.T, r realm, c *consensus.Certificate, voter consensus.Voter, key wire.Key) {
	t.Helper()
	c.Opening.Voters = slices.DeleteFunc(slices.Clone(c.Opening.Voters), func(v consensus.Voter) bool {
		return v.ID == voter.ID
	})
	c.Opening.Voters = append(c.Opening.Voters, voter)
	slices.SortFunc(c.Opening.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	if !voter.Person() { // operators did give it its level: that is not what is wrong with it
		c.Levels = append(slices.Clone(c.Levels), raise(r, voter.ID, identity.Journeyer, r.d, r.b))
	}
	revote(r.World, c, identity.NewSigner(voter.ID, key), r.b)
	rerecord(t, r.World, c)
}

// agent is an L3 voter that the operator is said to answer for.
func agent(s identity.Signer, operator identity.ID) consensus.Voter {
	return consensus.Voter{ID: s.ID(), Key: s.Public(), Operator: operator, Level: 3, Weight: 1, Calibration: 700}
}

func person(s identity.Signer) consensus.Voter {
	return consensus.Voter{ID: s.ID(), Key: s.Public(), Operator: s.ID(), Weight: 1, Calibration: 1000}
}

// enrolled returns an enrolment of a fresh agent by a token that claims the operator and that key has signed.
func enrolled(r realm, s identity.Signer, operator identity.ID, key wire.Key) []byte {
	token, once := r.Invite(identity.NewSigner(operator, key), r.Token(operator, "ghost", 1))
	return r.Enrolment(s, token, once)
}

// appoint returns a command that makes somebody an operator.
func appoint(r realm, who identity.ID, author identity.ID, signers ...identity.Signer) []byte {
	return r.Sign(r.Command(author, registry.TypeOperator, registry.AddOperator{Operator: who, Name: "ghost"}), signers...)
}

func raise(r realm, who identity.ID, level identity.Level, signers ...identity.Signer) []byte {
	return r.Sign(r.Command(r.d.ID(), registry.TypeLevel, registry.SetLevel{Principal: who, Level: level}), signers...)
}

const vouched = "parties vouched for"

func TestVotersInvented(t *testing.T) {
	run(t, "process.exec", []row{
		{"an agent without enrolment", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Agent)
			invent(t, r, c, agent(ghost, r.d.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"an agent by a token that a node signed", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Agent)
			c.Enrolments = append(c.Enrolments, enrolled(r, ghost, r.d.ID(), r.Nodes[0].Key()))
			invent(t, r, c, agent(ghost, r.d.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"an agent by an operator that is none", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost, nobody := r.Signer(identity.Agent), r.Signer(identity.Operator)
			c.Enrolments = append(c.Enrolments, enrolled(r, ghost, nobody.ID(), nobody.Key()))
			invent(t, r, c, agent(ghost, nobody.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"an agent under another operator", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Agent)
			c.Enrolments = append(c.Enrolments, enrolled(r, ghost, r.a.ID(), r.a.Key()))
			invent(t, r, c, agent(ghost, r.d.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"an agent by a token in another operator's name", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Agent)
			token, once := r.Invite(r.d, r.Token(r.a.ID(), "ghost", 1)) // d signs, a is named
			c.Enrolments = append(c.Enrolments, r.Enrolment(ghost, token, once))
			invent(t, r, c, agent(ghost, r.d.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"an agent with a stolen enrolment", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Agent)
			token, _ := r.Invite(r.d, r.Token(r.d.ID(), "ghost", 1))
			c.Enrolments = append(c.Enrolments, r.Enrolment(ghost, token, r.Key()))
			invent(t, r, c, agent(ghost, r.d.ID()), ghost.Key())
		}, vouched, fault.Unknown},
		{"a known agent with a node's key", func(t *testing.T, r realm, c *consensus.Certificate) {
			v := agent(r.auditor, r.d.ID())
			v.Key = r.Nodes[0].Public()
			invent(t, r, c, v, r.Nodes[0].Key())
		}, vouched, fault.Unknown},
		{"a person that nobody appointed", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.Unknown},
		{"a person appointed by one", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, appoint(r, ghost.ID(), r.d.ID(), r.d))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.Unknown},
		{"a person appointed by one with two keys", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, appoint(r, ghost.ID(), r.b.ID(), r.b, r.oldB))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.Unknown},
		{"a person appointed by agents and nodes", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, appoint(r, ghost.ID(), r.d.ID(), append(r.Nodes, r.worker, r.auditor)...))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.Unknown},
		{"two persons that appoint each other", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost, other := r.Signer(identity.Operator), r.Signer(identity.Operator)
			c.Operators = append(c.Operators, appoint(r, ghost.ID(), other.ID(), other, ghost),
				appoint(r, other.ID(), ghost.ID(), other, ghost))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.Unknown},
		{"an appointment with a forged signature", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, spoilt(appoint(r, ghost.ID(), r.d.ID(), r.d, r.b)))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.BadSignature},
		{"an appointment without signatures", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, appoint(r, ghost.ID(), r.d.ID()))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.NoQuorum},
		{"another command than an appointment", func(t *testing.T, r realm, c *consensus.Certificate) {
			ghost := r.Signer(identity.Operator)
			c.Operators = append(c.Operators, r.Sign(r.Command(r.d.ID(), registry.TypeGrant,
				registry.AddOperator{Operator: ghost.ID(), Name: "ghost"}), r.d, r.b))
			invent(t, r, c, person(ghost), ghost.Key())
		}, vouched, fault.WrongKind},
		{"an appointment by one, of nobody who votes", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Operators = append(c.Operators, appoint(r, r.Signer(identity.Operator).ID(), r.d.ID(), r.d))
		}, vouched, fault.Unknown},
		{"an appointment with another body", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Operators = append(c.Operators, r.Sign(r.Command(r.d.ID(), registry.TypeOperator, registry.Tick{}), r.d, r.b))
		}, vouched, fault.Malformed},
		{"not a command", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Operators = append(c.Operators, []byte{1})
		}, vouched, fault.Malformed},
	})
	t.Run("the honest twins", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		fresh := r.Signer(identity.Agent)
		c.Enrolments = append(c.Enrolments, enrolled(r, fresh, r.d.ID(), r.d.Key()))
		invent(t, r, &c, agent(fresh, r.d.ID()), fresh.Key())
		honest(t, r.World, c)

		c = r.Certificate(r.approved("process.exec").Proposal)
		late := r.Signer(identity.Operator)
		c.Operators = append([][]byte{appoint(r, late.ID(), r.e.ID(), r.e, r.b)}, c.Operators...) // in any order
		invent(t, r, &c, person(late), late.Key())
		honest(t, r.World, c)
	})
}

// A person is its own operator; a voter may not hide behind another.
func TestPersonUnderAnotherOperator(t *testing.T) {
	run(t, "process.exec", []row{
		{"a voter", func(t *testing.T, r realm, c *consensus.Certificate) {
			v := person(r.c)
			v.Operator = r.d.ID()
			invent(t, r, c, v, r.c.Key())
		}, "electorate", fault.Malformed},
	})
	r := standard(t)
	o := r.Propose(r.a, r.worker.ID(), "process.exec")
	r.Cast(r.auditor, o, consensus.Approve)
	r.Cast(r.b, o, consensus.Approve)
	c := r.Certificate(o.Proposal)
	honest(t, r.World, c)
	c.Opening.Operator = r.c.ID() // so that a's own agents could vote
	c.Opening.Voters = slices.DeleteFunc(slices.Clone(c.Opening.Voters), func(v consensus.Voter) bool {
		return v.Operator == r.c.ID()
	})
	revote(r.World, &c, r.auditor, r.b)
	rerecord(t, r.World, &c)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, vouched, fault.Unknown)
}

func TestProposerVouched(t *testing.T) {
	run(t, "process.exec", []row{
		{"under another operator", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Operator = r.e.ID()
			c.Opening.Voters = slices.DeleteFunc(slices.Clone(c.Opening.Voters), func(v consensus.Voter) bool {
				return v.Operator == r.e.ID()
			})
			revote(r.World, c, r.auditor, r.b)
			rerecord(t, r.World, c)
		}, vouched, fault.Unknown},
		{"without enrolment", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Enrolments = c.Enrolments[1:]
		}, vouched, fault.Unknown},
		{"with a node's key", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := r.Proposal(r.worker.ID(), r.worker.ID(), "process.exec")
			id, err := wire.IDOf(r.Realm, p)
			wantErr(t, err, "")
			c.Proposal, c.Opening.Key = r.SignAlone(p, r.Nodes[0].Key()), r.Nodes[0].Public()
			c.Opening.Proposal, c.Opening.Action, c.Verdict.Proposal = id, p.Action.Digest(), id
			revote(r.World, c, r.auditor, r.b)
			rerecord(t, r.World, c)
		}, vouched, fault.Unknown},
		{"not an enrolment", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Enrolments = append(c.Enrolments, []byte{1})
		}, vouched, fault.Malformed},
	})
}

func TestSuccessionsInCertificates(t *testing.T) {
	swap := func(c *consensus.Certificate, id identity.ID, change func(chain [][]byte) [][]byte) {
		var chain, rest [][]byte
		for _, raw := range c.Keys {
			s, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
			if err == nil && s.Claim.Principal == id {
				chain = append(chain, raw)
			} else {
				rest = append(rest, raw)
			}
		}
		c.Keys = append(rest, change(chain)...)
	}
	run(t, "process.exec", []row{
		{"voter's missing", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.auditor.ID(), func([][]byte) [][]byte { return nil })
		}, vouched, fault.Unknown},
		{"voter's last missing", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.auditor.ID(), func(chain [][]byte) [][]byte { return chain[:1] })
		}, vouched, fault.Unknown},
		{"out of order", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.auditor.ID(), func(chain [][]byte) [][]byte { return [][]byte{chain[1], chain[0]} })
		}, vouched, fault.Malformed},
		{"forged", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.auditor.ID(), func(chain [][]byte) [][]byte { return [][]byte{chain[0], spoilt(chain[1])} })
		}, vouched, fault.BadSignature},
		{"an operator's forged", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.d.ID(), func(chain [][]byte) [][]byte { return [][]byte{spoilt(chain[0])} })
		}, vouched, fault.BadSignature},
		{"by the new key alone", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.c.ID(), func([][]byte) [][]byte {
				thief := r.Key()
				return [][]byte{r.Sign(identity.Succession{
					Version: 1, Principal: r.c.ID(), Number: 1, Old: r.c.Public(), New: thief.Public(), Issued: r.Now,
				}, identity.NewSigner(r.c.ID(), thief))}
			})
		}, vouched, fault.NoQuorum},
		{"not a succession", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Keys = append(c.Keys, []byte{1})
		}, vouched, fault.Malformed},
		{"a sponsor's missing", func(t *testing.T, r realm, c *consensus.Certificate) {
			swap(c, r.d.ID(), func([][]byte) [][]byte { return nil })
		}, vouched, fault.Unknown},
		{"a sponsor's appointment missing", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Operators = slices.DeleteFunc(c.Operators, func(raw []byte) bool {
				s, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
				return err == nil && s.Claim.Author == r.a.ID()
			})
		}, vouched, fault.Unknown},
	})
}

// However long a chain of keys is, each signature in it is verified once: checked prefix by prefix, this one would keep
// a verifier busy for many seconds.
func TestLongChain(t *testing.T) {
	r := standard(t)
	c := r.Certificate(r.approved("process.exec").Proposal)
	key, id, previous := r.c.Key(), r.c.ID(), wire.Digest{}
	for n := range 300 {
		next := r.Key()
		s := identity.Succession{
			Version: 1, Principal: id, Number: uint64(n + 1), Previous: previous, Old: key.Public(), New: next.Public(), Issued: r.Now,
		}
		raw := r.Sign(s, identity.NewSigner(id, key), identity.NewSigner(id, next))
		parsed, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
		wantErr(t, err, "")
		c.Keys, key, previous = append(c.Keys, raw), next, parsed.ID(r.Realm)
	}
	honest(t, r.World, c)
}
