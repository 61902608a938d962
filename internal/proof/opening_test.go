package proof_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// founded is a realm of three people, an agent of each, and three nodes, by the standard policy with a change.
func founded(t testing.TB, change func(p *policy.Policy)) realm {
	t.Helper()
	p := ledgertest.Preset(t, policy.Standard)
	p.Kinds = append(slices.Clone(p.Kinds), policy.Kind{
		Pattern: "fund.*", Class: consensus.R1, Window: 60 * ledgertest.Minute,
		Steps: []policy.Step{{Above: 100, Class: consensus.R2}, {Above: 1000, Class: consensus.R3}},
	})
	slices.SortFunc(p.Kinds, func(a, b policy.Kind) int { return strings.Compare(a.Pattern, b.Pattern) })
	change(&p)
	w := ledgertest.New(t, p, 3, 3)
	r := realm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	r.worker = w.Agent(r.a, "worker", identity.Journeyer)
	r.reviewer = w.Agent(r.b, "reviewer", identity.Journeyer)
	r.auditor = w.Agent(r.c, "auditor", identity.Journeyer)
	return r
}

func plain(*policy.Policy) {}

// decided has the worker's proposal approved by everybody who may approve it.
func (r realm) decided(kind string, change ...func(*consensus.Proposal)) consensus.Opening {
	o := r.Propose(r.worker, r.worker.ID(), kind, change...)
	if o.Alone {
		return o
	}
	for _, v := range []identity.Signer{r.auditor, r.reviewer, r.b, r.c} {
		if _, votes := o.Voter(v.ID()); votes {
			r.Cast(v, o, consensus.Approve)
		}
	}
	return o
}

// a lie is a change to an honest certificate that nodes record and sign, and deceived voters vote on.
type lie struct {
	name string
	tell func(r realm, c *consensus.Certificate)
	step string
	code fault.Code
}

// tell spoils fresh honest certificates of one kind of decision, one lie each.
func tell(t *testing.T, decide func(t testing.TB) (realm, consensus.Opening), voters func(realm) []identity.Signer, lies []lie) {
	t.Helper()
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			r, o := decide(t)
			c := r.Certificate(o.Proposal)
			honest(t, r.World, c)
			c.Opening.Voters = slices.Clone(c.Opening.Voters)
			if !c.Opening.Alone {
				revote(r.World, &c, voters(r)...)
			}
			rerecord(t, r.World, &c)
			honest(t, r.World, c)
			l.tell(r, &c)
			if !c.Opening.Alone {
				revote(r.World, &c, voters(r)...)
			} else {
				c.Ballots = nil
			}
			rerecord(t, r.World, &c)
			wantStep(t, c, proof.Trust{Realm: r.Realm}, l.step, l.code)
		})
	}
}

func two(r realm) []identity.Signer { return []identity.Signer{r.auditor, r.b} }

func TestSums(t *testing.T) {
	r := founded(t, plain)
	fund := func(amount uint64) func(*consensus.Proposal) {
		return func(p *consensus.Proposal) { p.Action.Target, p.Action.Amount = "acme", amount }
	}
	for _, want := range []struct {
		amount, sum uint64
		class       consensus.Class
	}{{60, 60, consensus.R1}, {40, 100, consensus.R1}, {0, 101, consensus.R2}, {900, 1001, consensus.R3}} {
		o := r.decided("fund.pay", fund(want.amount))
		v := honest(t, r.World, r.Certificate(o.Proposal))
		if v.Opening().Sum != want.sum || v.Opening().Class != want.class {
			t.Errorf("%d: a sum of %d, %s", want.amount, v.Opening().Sum, v.Opening().Class)
		}
	}
	decide := func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("fund.pay", fund(150))
	}
	lowered := func(sum uint64, class consensus.Class) func(realm, *consensus.Certificate) {
		return func(r realm, c *consensus.Certificate) {
			c.Opening.Sum, c.Opening.Class, c.Opening.Rule = sum, class, r.Policy.Rule(class)
		}
	}
	tell(t, decide, two, []lie{
		{"sum below the action's own", lowered(100, consensus.R1), "class", fault.Denied},
		{"sum below the action's own, in the same class", lowered(149, consensus.R2), "class", fault.Denied},
		{"no sum", lowered(0, consensus.R1), "class", fault.Denied},
		{"class below the sum's", lowered(150, consensus.R1), "class", fault.Denied},
		{"class below a greater sum's", lowered(1001, consensus.R2), "class", fault.Denied},
	})
	tell(t, func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("process.exec")
	}, two, []lie{{"a sum of what nothing is summed up of", lowered(1, consensus.R2), "class", fault.Denied}})
	t.Run("a sum that leaves out what went before is the nodes' word", func(t *testing.T) {
		r, _ := decide(t)
		o := r.decided("fund.pay", fund(60)) // 210 together
		c := r.Certificate(o.Proposal)
		lowered(60, consensus.R1)(r, &c)
		revote(r.World, &c, two(r)...)
		rerecord(t, r.World, &c)
		honest(t, r.World, c)
	})
}

// A permit amounts to all its uses together, however many.
func TestSumOfAPermit(t *testing.T) {
	permit := func(uses, amount uint64) consensus.Proposal {
		r := founded(t, plain)
		p := r.Proposal(r.worker.ID(), r.worker.ID(), "fund.pay")
		p.Action.Amount, p.Permit = amount, &consensus.Permit{Uses: uses, Until: r.Now + ledgertest.Minute}
		return p
	}
	rules := founded(t, plain).Policy
	for _, row := range []struct{ uses, amount, sum uint64 }{
		{1, 0, 1}, {1, 60, 60}, {5, 0, 5}, {5, 60, 300}, {1_000_000, math.MaxUint64 / 2, math.MaxUint64},
		{2, 1 << 63, math.MaxUint64}, {3, 1 << 63, math.MaxUint64},
	} {
		p := permit(row.uses, row.amount)
		check := func(sum uint64) error {
			class, err := rules.Classify(p.Action, p.Class, sum)
			wantErr(t, err, "")
			o := consensus.Opening{Sum: sum, Class: class, Rule: rules.Rule(class), Opened: p.Issued}
			o.Deadline = o.Opened + o.Rule.Deadline
			return proof.CheckOpening(rules, p, o)
		}
		wantErr(t, check(row.sum), fault.NoQuorum) // nobody votes: the sum is not what is wrong
		wantErr(t, check(row.sum-1), fault.Denied)
	}
}

func TestLyingNodesAboutEmergencies(t *testing.T) {
	decide := func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("service.stop", func(p *consensus.Proposal) { p.Emergency = true })
	}
	people := func(r realm) []identity.Signer { return []identity.Signer{r.b, r.c} }
	tell(t, decide, people, []lie{
		{"one person is enough", func(_ realm, c *consensus.Certificate) {
			c.Opening.Rule.Approvals, c.Opening.Rule.People, c.Opening.Rule.Operators = 1, 1, 1
		}, "rule", fault.Denied},
		{"not an emergency", func(r realm, c *consensus.Certificate) {
			c.Opening.Emergency, c.Opening.Rule = false, r.Policy.Rule(c.Opening.Class)
		}, "rule", fault.Denied},
		{"not an emergency, by its rule", func(_ realm, c *consensus.Certificate) {
			c.Opening.Emergency = false
		}, "rule", fault.Denied},
		{"an agent votes", func(r realm, c *consensus.Certificate) {
			insert(c, agent(r.auditor, r.c.ID()))
		}, "electorate", fault.Malformed},
		{"the class's own rule", func(r realm, c *consensus.Certificate) {
			c.Opening.Rule = r.Policy.Rule(c.Opening.Class)
		}, "rule", fault.Denied},
		{"alone", func(_ realm, c *consensus.Certificate) {
			c.Opening.Alone, c.Opening.Voters = true, nil
		}, "electorate", fault.Denied},
	})
	t.Run("by one person", func(t *testing.T) {
		r, o := decide(t)
		c := r.Certificate(o.Proposal)
		honest(t, r.World, c)
		revote(r.World, &c, r.b)
		wantStep(t, c, proof.Trust{Realm: r.Realm}, "ballots", fault.NoQuorum)
	})
	tell(t, func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("process.exec")
	}, two, []lie{
		{"an emergency that nobody proposed", func(r realm, c *consensus.Certificate) {
			c.Opening.Emergency, c.Opening.Rule = true, r.Policy.Emergency.Rule()
			c.Opening.Voters = slices.DeleteFunc(c.Opening.Voters, func(v consensus.Voter) bool { return !v.Person() })
			c.Opening.Deadline = c.Opening.Opened + c.Opening.Rule.Deadline
		}, "rule", fault.Denied},
		{"an emergency of a kind that is none", func(r realm, c *consensus.Certificate) {
			repropose(t, r, c, func(p *consensus.Proposal) { p.Emergency = true })
			c.Opening.Emergency, c.Opening.Rule = true, r.Policy.Emergency.Rule()
			c.Opening.Deadline = c.Opening.Opened + c.Opening.Rule.Deadline
		}, "rule", fault.Denied},
	})
}

// insert adds a voter where it belongs.
func insert(c *consensus.Certificate, v consensus.Voter) {
	c.Opening.Voters = append(c.Opening.Voters, v)
	slices.SortFunc(c.Opening.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
}

// repropose has the worker sign the certificate's proposal with a change: a proposer that is in league with the nodes.
func repropose(t testing.TB, r realm, c *consensus.Certificate, change func(p *consensus.Proposal)) {
	t.Helper()
	v, _, err := proof.VerifyCertificate(encode(t, *c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	p := v.Proposal().Statement()
	change(&p)
	hand(t, r, c, p)
}

// hand puts another proposal by the worker into the certificate.
func hand(t testing.TB, r realm, c *consensus.Certificate, p consensus.Proposal) {
	t.Helper()
	c.Proposal = r.SignAlone(p, r.worker.Key())
	id := idOf(t, r, p)
	c.Opening.Proposal, c.Opening.Action, c.Verdict.Proposal = id, p.Action.Digest(), id
}

func TestWhoGainsDoesNotVote(t *testing.T) {
	gains := func(ids ...func(realm) identity.ID) func(t testing.TB) (realm, consensus.Opening) {
		return func(t testing.TB) (realm, consensus.Opening) {
			r := founded(t, plain)
			d := r.Operator("fourth", r.a, r.b)
			helper := r.Agent(d, "helper", identity.Journeyer)
			o := r.Propose(r.worker, r.worker.ID(), "process.exec", func(p *consensus.Proposal) {
				for _, id := range ids {
					p.Beneficiaries = append(p.Beneficiaries, id(r))
				}
				slices.SortFunc(p.Beneficiaries, identity.ID.Compare)
			})
			r.Cast(helper, o, consensus.Approve)
			r.Cast(r.b, o, consensus.Approve)
			r.d, r.auditor = d, helper
			return r, o
		}
	}
	operator := func(r realm) identity.ID { return r.c.ID() }
	reviewer := func(r realm) identity.ID { return r.reviewer.ID() }
	votes := func(id func(realm) identity.ID, v func(realm) consensus.Voter) func(realm, *consensus.Certificate) {
		return func(r realm, c *consensus.Certificate) {
			if _, there := c.Opening.Voter(id(r)); there {
				t.Error("the ledger lets who gains vote")
			}
			insert(c, v(r))
		}
	}
	tell(t, gains(operator, reviewer), two, []lie{
		{"a person that gains", votes(operator, func(r realm) consensus.Voter { return person(r.c) }), "electorate", fault.Denied},
		{"an agent that gains", votes(reviewer, func(r realm) consensus.Voter { return agent(r.reviewer, r.b.ID()) }),
			"electorate", fault.Denied},
		{"an agent of a person that gains", func(r realm, c *consensus.Certificate) {
			spy := r.Agent(r.c, "spy", identity.Journeyer)
			c.Enrolments = nil // refused before anybody looks
			insert(c, agent(spy, r.c.ID()))
		}, "electorate", fault.Denied},
	})
}

func TestVotersAsThePolicyHasThem(t *testing.T) {
	decide := func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		r.Family(r.c, r.auditor.ID(), "gpt-4.lineage")
		return r, r.decided("process.exec")
	}
	of := func(r realm, c *consensus.Certificate, s identity.Signer) *consensus.Voter {
		i := slices.IndexFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.ID == s.ID() })
		return &c.Opening.Voters[i]
	}
	voter := func(change func(v *consensus.Voter)) func(realm, *consensus.Certificate) {
		return func(r realm, c *consensus.Certificate) { change(of(r, c, r.reviewer)) }
	}
	someone := func(change func(v *consensus.Voter)) func(realm, *consensus.Certificate) {
		return func(r realm, c *consensus.Certificate) { change(of(r, c, r.c)) }
	}
	tell(t, decide, two, []lie{
		{"a family that is no name", voter(func(v *consensus.Voter) { v.Family = "a b" }), "electorate", fault.Malformed},
		{"a family too long", voter(func(v *consensus.Voter) { v.Family = strings.Repeat("a", 65) }), "electorate", fault.Malformed},
		{"a person's family", someone(func(v *consensus.Voter) { v.Family = "x" }), "electorate", fault.Malformed},
		{"a calibration above all", voter(func(v *consensus.Voter) { v.Calibration = 1001 }), "electorate", fault.Malformed},
		{"a person's calibration", someone(func(v *consensus.Voter) { v.Calibration = 700 }), "electorate", fault.Malformed},
		{"a person's level", someone(func(v *consensus.Voter) { v.Level = 3 }), "electorate", fault.Malformed},
		{"no weight", voter(func(v *consensus.Voter) { v.Weight = 0 }), "electorate", fault.Denied},
		{"a silenced voter's weight forgotten", voter(func(v *consensus.Voter) { v.Silenced, v.Weight = true, 0 }),
			"electorate", fault.Denied},
	})
	t.Run("a family of 64 bytes, and a calibration of 1000", func(t *testing.T) {
		r, o := decide(t)
		c := r.Certificate(o.Proposal)
		c.Opening.Voters = slices.Clone(c.Opening.Voters)
		v := of(r, &c, r.reviewer)
		v.Family, v.Calibration = strings.Repeat("a", 64), 1000
		revote(r.World, &c, two(r)...)
		rerecord(t, r.World, &c)
		honest(t, r.World, c)
	})
}

// Who was quarantined lately by one operator weighs, and cannot vote.
func TestSilencedVoter(t *testing.T) {
	r := founded(t, plain)
	r.Must(r.b, registry.TypeStatus, registry.SetStatus{Principal: r.reviewer.ID(), Status: trust.Quarantined})
	o := r.decided("process.exec")
	if v, there := o.Voter(r.reviewer.ID()); !there || !v.Silenced || v.Weight != 1 {
		t.Fatalf("got %+v", v)
	}
	c := r.Certificate(o.Proposal)
	honest(t, r.World, c)
	revote(r.World, &c, r.auditor, r.b, r.c)
	honest(t, r.World, c)
	revote(r.World, &c, r.auditor, r.b, r.reviewer)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "ballots", fault.Denied)
	revote(r.World, &c, r.auditor)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "ballots", fault.NoQuorum)
}
