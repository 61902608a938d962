package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Who was lowered does not come back under another name: what its operator owes lets an agent begin at the lowest level only.
func TestDebtorsBeginBelow(t *testing.T) {
	s := solo(t)
	enrol := func(name string, level identity.Level) registry.Answer {
		_, answer := s.Enrol(s.root, s.Token(s.rootID, name, level))
		return answer
	}
	wantCode(t, enrol("before", identity.Journeyer), "")
	e := s.Evidence(trust.Violation, s.workerID, s.rootID)
	e.Severity = 2
	wantCode(t, s.Tell(e, s.root), "")
	wantCode(t, enrol("successor", identity.Journeyer), fault.Denied)
	wantCode(t, enrol("successor", identity.Apprentice), fault.Denied)
	wantCode(t, enrol("successor", identity.Observer), "")
	p := s.Evidence(trust.Pardon, s.workerID, s.rootID)
	p.Amount = trust.MaxPardon
	wantCode(t, s.Tell(p, s.root), "")
	wantCode(t, enrol("pardoned", identity.Journeyer), "")
	wantCode(t, s.Tell(s.another(e), s.root), "")
	s.Tick(3000 * day)
	wantCode(t, enrol("forgotten", identity.Journeyer), "")
}

// another returns the same evidence told anew.
func (s soloRealm) another(e trust.Evidence) trust.Evidence {
	fresh := s.Evidence(e.Act, e.Subject, e.Author)
	fresh.Severity = e.Severity
	return fresh
}

func TestChildren(t *testing.T) {
	enrols := func(change func(s standardRealm, token *identity.Token)) func(s standardRealm) registry.Answer {
		return func(s standardRealm) registry.Answer {
			token := s.Token(s.a.ID(), "child", identity.Observer)
			parent := s.worker.ID()
			token.Parent = &parent
			change(s, &token)
			_, answer := s.Enrol(s.a, token)
			return answer
		}
	}
	runSteps(t, []step{
		{"honest", enrols(func(standardRealm, *identity.Token) {}), ""},
		{"of an agent one level above", enrols(func(s standardRealm, _ *identity.Token) {
			s.Must(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Apprentice))
		}), ""},
		{"of an agent of the same level", enrols(func(s standardRealm, _ *identity.Token) {
			s.Must(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Observer))
		}), fault.Denied},
		{"of another operator's agent", enrols(func(s standardRealm, token *identity.Token) {
			parent := s.reviewer.ID()
			token.Parent = &parent
		}), fault.Denied},
		{"of nobody", enrols(func(s standardRealm, token *identity.Token) {
			parent := s.Signer(identity.Agent).ID()
			token.Parent = &parent
		}), fault.Unknown},
		{"of a quarantined agent", enrols(func(s standardRealm, _ *identity.Token) {
			s.Must(s.b, registry.TypeStatus, quarantine(s.worker.ID()))
		}), fault.Quarantined},
	})
}

// A child stays below its parent, whatever becomes of that, and so do its own children.
func TestChildrenFallWithTheirParents(t *testing.T) {
	for _, row := range []struct {
		name  string
		do    func(c court, parent identity.Signer) registry.Answer
		child identity.Level
		grand identity.Level
	}{
		{"nothing", func(c court, _ identity.Signer) registry.Answer { return registry.Answer{} }, identity.Journeyer, identity.Apprentice},
		{"lowered", func(c court, p identity.Signer) registry.Answer {
			return c.Do(c.a, registry.TypeLevel, setLevel(p.ID(), identity.Journeyer))
		}, identity.Apprentice, identity.Observer},
		{"quarantined", func(c court, p identity.Signer) registry.Answer {
			return c.Do(c.b, registry.TypeStatus, quarantine(p.ID()))
		}, identity.Quarantined, identity.Quarantined},
		{"revoked", func(c court, p identity.Signer) registry.Answer {
			return c.Do(c.b, registry.TypeStatus, revoke(p.ID()))
		}, identity.Quarantined, identity.Quarantined},
		{"a violation", func(c court, p identity.Signer) registry.Answer {
			e := c.Evidence(trust.Violation, p.ID(), c.b.ID())
			e.Severity = 3
			return c.Tell(e, c.b)
		}, identity.Quarantined, identity.Quarantined},
		{"made of something else", func(c court, p identity.Signer) registry.Answer {
			wantCode(t, c.made(c.a, p.ID(), "model 1"), "")
			return c.made(c.a, p.ID(), "model 2")
		}, identity.Apprentice, identity.Observer},
		{"its lease over", func(c court, _ identity.Signer) registry.Answer {
			c.Tick(90 * day)
			return registry.Answer{}
		}, identity.Apprentice, identity.Observer},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCourt(t)
			c.Must(c.b, registry.TypeLevel, setLevel(c.worker.ID(), identity.Principal), c.c)
			child := c.child(c.a, c.worker.ID(), identity.Observer)
			c.Must(c.b, registry.TypeLevel, setLevel(child.ID(), identity.Journeyer), c.c)
			grand := c.child(c.a, child.ID(), identity.Observer)
			c.Must(c.b, registry.TypeLevel, setLevel(grand.ID(), identity.Apprentice), c.c)
			wantCode(t, c.Do(c.b, registry.TypeLevel, setLevel(grand.ID(), identity.Journeyer), c.c), fault.Denied)
			wantCode(t, c.Do(c.b, registry.TypeLevel, setLevel(child.ID(), identity.Principal), c.c), fault.Denied)
			wantCode(t, row.do(c, c.worker), "")
			if a, b := level(t, c.World, child.ID()), level(t, c.World, grand.ID()); a != row.child || b != row.grand {
				t.Errorf("child %s, grandchild %s", a, b)
			}
			wantCode(t, c.Do(c.b, registry.TypeLevel, setLevel(grand.ID(), min(row.child+1, identity.Steward)), c.c), fault.Denied)
			agree(t, c.World, 5)
		})
	}
}

func (s standardRealm) made(operator identity.Signer, agent identity.ID, of string) registry.Answer {
	digest := wire.Hash([]byte(of))
	return s.Do(operator, registry.TypeGrant, registry.Grant{Principal: agent, Serves: []string{"review.*"}, Make: &digest})
}

// What an agent is made of may be stated; to change it costs a level, and above L3 all that is above.
func TestCapabilityDigest(t *testing.T) {
	for _, row := range []struct{ at, want identity.Level }{
		{identity.Steward, identity.Journeyer}, {identity.Principal, identity.Journeyer},
		{identity.Journeyer, identity.Apprentice}, {identity.Apprentice, identity.Observer},
		{identity.Observer, identity.Observer}, {identity.Quarantined, identity.Quarantined},
	} {
		t.Run(row.at.String(), func(t *testing.T) {
			s := standard(t)
			id := s.worker.ID()
			s.Do(s.b, registry.TypeLevel, setLevel(id, row.at), s.c)
			wantCode(t, s.made(s.a, id, "model 1"), "")
			wantCode(t, s.made(s.a, id, "model 1"), "")
			wantCode(t, served(s.World, s.a, id, "other.*"), "")
			if level(t, s.World, id) != row.at {
				t.Error("it cost something to state it")
			}
			wantCode(t, s.made(s.b, id, "model 2"), fault.Denied)
			change := result[registry.Change](t, s.made(s.a, id, "model 2"))
			if change.Level != row.want || level(t, s.World, id) != row.want {
				t.Errorf("%+v", change)
			}
			if turns := scored(t, s.World, id).Account.Turns; row.at != row.want && turns[len(turns)-1].Why != trust.Changed {
				t.Errorf("%+v", turns)
			}
			agree(t, s.World, 3)
		})
	}
}

// A new key costs nobody a level, neither an agent's own nor its operator's: the old one has signed it.
func TestSuccessionCostsNothing(t *testing.T) {
	c := newCourt(t)
	child := c.child(c.a, c.worker.ID(), identity.Observer)
	c.Must(c.b, registry.TypeLevel, setLevel(child.ID(), identity.Apprentice), c.c)
	c.worker = c.Rotate(c.worker)
	c.a = c.Rotate(c.a)
	for id, want := range map[identity.ID]identity.Level{
		c.worker.ID(): identity.Journeyer, child.ID(): identity.Apprentice, c.reviewer.ID(): identity.Journeyer,
	} {
		if got := level(t, c.World, id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Nobody votes on what its parent or its child proposes, though a rule may let own people vote.
func TestKinDoesNotVote(t *testing.T) {
	s := solo(t)
	realm := standardRealm{World: s.World, a: s.root, worker: s.worker}
	child := realm.child(s.root, s.workerID, identity.Observer)
	s.Must(s.root, registry.TypeLevel, setLevel(s.workerID, identity.Principal))
	s.Must(s.root, registry.TypeLevel, setLevel(child.ID(), identity.Journeyer))
	for _, pair := range [][2]identity.Signer{{s.worker, child}, {child, s.worker}} {
		o := s.Propose(pair[0], s.rootID, "process.exec")
		if _, in := o.Voter(pair[1].ID()); in {
			t.Error("kin votes")
		}
		if _, in := o.Voter(s.rootID); !in {
			t.Error("nobody votes")
		}
	}
}
