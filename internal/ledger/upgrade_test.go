package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// lagging returns the standard realm while a node's build speaks no more than the feature level before evidence.
func lagging(t testing.TB) standardRealm {
	t.Helper()
	w := ledgertest.NewAt(t, standardPolicy(t), 3, 1, registry.TrustFeature-1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return s
}

// Below its feature level a type of command is answered as builds that do not know it answer, whatever its form and author:
// verdicts are in the tree, and replicas of two builds must have one.
func TestUnknownTypesHaveOneAnswer(t *testing.T) {
	for _, row := range []struct {
		name   string
		by     func(s standardRealm) identity.Signer
		expect uint64
		above  fault.Code // what is wrong with it from the feature level on
	}{
		{"an agent's", func(s standardRealm) identity.Signer { return s.worker }, 0, fault.Malformed},
		{"comparing", func(s standardRealm) identity.Signer { return s.worker }, 1, fault.Malformed},
		{"a node's", func(s standardRealm) identity.Signer { return s.Nodes[0] }, 0, fault.Denied},
		{"a node's, comparing", func(s standardRealm) identity.Signer { return s.Nodes[0] }, 1, fault.Denied},
	} {
		t.Run(row.name, func(t *testing.T) {
			hand := func(s standardRealm, typ registry.Type) registry.Answer {
				by := row.by(s)
				c := s.Command(by.ID(), typ, registry.Evidence{Statement: []byte("none")})
				c.Expect = row.expect
				return s.Apply(s.Sign(c, by))
			}
			wantCode(t, hand(standard(t), registry.TypeEvidence), row.above)
			s := lagging(t)
			wantCode(t, hand(s, "of the future"), fault.Version)
			wantCode(t, hand(s, registry.TypeEvidence), fault.Version)
			wantCode(t, hand(s, registry.TypePromote), fault.Version)
		})
	}
}

// lax is a token that its operator's program does not check before it signs it.
type lax identity.Token

func (lax) Kind() wire.Kind { return wire.Token }
func (lax) Check() error    { return nil }

// A token with a parent that is wrong in another way, too, is malformed: so say builds that know no parents.
func TestTokensWithParentsAreMalformed(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*identity.Token)
	}{
		{"sound", func(*identity.Token) {}},
		{"of another version", func(t *identity.Token) { t.Version = 2 }},
		{"of a bad key", func(t *identity.Token) { t.OneTime = weak }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, parent := lagging(t), identity.ID{}
			parent = s.worker.ID()
			token := s.Token(s.a.ID(), "child", identity.Observer)
			token.Parent, token.OneTime = &parent, s.Key().Public()
			row.change(&token)
			raw, err := wire.Sign(s.a.Key(), s.Realm, lax(token))
			wantErr(t, err, "")
			agent, once := s.Signer(identity.Agent), s.Key()
			enrol := registry.Enrol{Enrolment: s.Enrolment(agent, raw, once)}
			wantCode(t, s.Do(agent, registry.TypeEnrol, enrol), fault.Malformed)
		})
	}
}

// So is a policy that says how evidence is reckoned.
func TestPoliciesThatReckonAreMalformed(t *testing.T) {
	put := func(s standardRealm, change func(*policy.Policy)) registry.Answer {
		p := reckoning(s.Policy)
		change(&p)
		return s.PutPolicy(p, s.a, s.b)
	}
	wrong := func(p *policy.Policy) { p.Loosen = 0 }
	wantCode(t, put(standard(t), wrong), fault.InvalidInput)
	wantCode(t, put(lagging(t), wrong), fault.Malformed)
	wantCode(t, put(lagging(t), func(*policy.Policy) {}), fault.Malformed)
	wantCode(t, put(lagging(t), func(p *policy.Policy) { wrong(p); p.Reckoning = nil }), fault.InvalidInput)
}

// Below the feature level nobody is quarantined for what a superseded key has signed, as older builds have it.
func TestSupersededKeysInAnOlderRealm(t *testing.T) {
	for _, row := range []struct {
		realm func(testing.TB) standardRealm
		want  trust.Status
	}{{standard, trust.Quarantined}, {lagging, trust.Active}} {
		s := row.realm(t)
		o := s.execution()
		first := s.SignAlone(s.Ballot(s.reviewer.ID(), o, consensus.Approve), s.reviewer.Key())
		second := s.SignAlone(s.Ballot(s.reviewer.ID(), o, consensus.Reject), s.reviewer.Key())
		s.Rotate(s.reviewer)
		wantCode(t, s.Equivocate(s.a, o, first, second), "")
		if got := status(t, s.World, s.reviewer.ID()); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
		if d := decision(t, s, o); len(d.Void) != 1 {
			t.Errorf("void %v", d.Void)
		}
	}
}

// What one operator has silenced, the agent's own operator does not bring back alone, however long it waits.
func TestSilencedAgentsComeBackByAsManyAsLoosen(t *testing.T) {
	s := standard(t)
	id := s.worker.ID()
	s.Must(s.b, registry.TypeLevel, setLevel(id, identity.Quarantined))
	wantCode(t, s.SignOff(id, identity.Observer, s.a, s.b), fault.Denied) // the dwell
	s.Tick(15 * day)
	wantCode(t, s.SignOff(id, identity.Observer, s.a), fault.NoQuorum)
	wantCode(t, s.SignOff(id, identity.Observer, s.a, s.b), "")
	if got := level(t, s.World, id); got != identity.Observer {
		t.Errorf("on %s", got)
	}
	agree(t, s.World, 3)
}

// An operator that proposes, has others vote and settles it all itself moves nobody's score by more than its word of a day.
func TestOneOperatorSettlesADay(t *testing.T) {
	c := newCourt(t)
	before := scored(t, c.World, c.auditor.ID())
	for i := range 20 {
		o := c.Propose(c.worker, c.worker.ID(), "process.exec")
		wantCode(t, c.Cast(c.auditor, o, consensus.Reject), "")
		c.Tick(o.Deadline - c.Now)
		wantCode(t, c.Settle(c.a, o, true), "")
		if after := scored(t, c.World, c.auditor.ID()); i == 0 && after.Account.Bad[2] <= before.Account.Bad[2] {
			t.Fatalf("the first one did not count: %+v", after.Account)
		}
	}
	days := 1 + trust.Micro((c.Now-ledgertest.Start)/day)
	after := scored(t, c.World, c.auditor.ID())
	if most := days * c.Policy.Params().FromOne; after.Account.Bad[2] > most || after.Account.Climb.Votes != 20 {
		t.Errorf("%d votes make %d, at most %d", after.Account.Climb.Votes, after.Account.Bad[2], most)
	}
	agree(t, c.World, 7)
}

// After a century of silence nothing is left to reckon with, nobody stands higher than without evidence, and replicas agree.
func TestACenturyLater(t *testing.T) {
	s := standard(t)
	id := s.worker.ID()
	s.works(t, id, 5, true)
	accusation := s.Evidence(trust.Violation, id, s.b.ID())
	accusation.Severity = 1
	wantCode(t, s.Tell(accusation, s.b), "")
	if before := scored(t, s.World, id); before.Score == 0 || before.Account.Violations == 0 {
		t.Fatalf("nothing was counted: %+v", before.Account)
	}
	s.Tick(36_525 * day)
	for range 6 {
		s.Tick(day)
	}
	after := scored(t, s.World, id)
	for c, score := range after.Scores {
		if score.Value != 0 || score.Good != 0 || score.Violations != 0 || score.Debt != 0 || score.Uncertainty != 1000 {
			t.Errorf("class %d: %+v", c, score)
		}
	}
	if after.Level != identity.Apprentice { // the lease is over; an appointed agent without evidence falls no further
		t.Errorf("on %s", after.Level)
	}
	wantCode(t, s.Tell(s.honest(), s.reviewer, s.c), "")
	agree(t, s.World, 3)
}
