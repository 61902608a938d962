package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// bustle is a realm in which anybody tells anything of anybody, at random.
type bustle struct {
	court
	random *rand.Rand
	agents []identity.Signer
	people []identity.Signer
	told   [][]byte // statements handed in before

	accepted int // of them
}

func newBustle(t *testing.T, seed uint64) *bustle {
	c := newCourt(t)
	b := &bustle{court: c, random: rand.New(rand.NewPCG(seed, 6)), people: []identity.Signer{c.a, c.b, c.c}}
	b.agents = []identity.Signer{c.worker, c.reviewer, c.auditor}
	child := c.child(c.a, c.worker.ID(), identity.Observer)
	b.agents = append(b.agents, child, c.child(c.b, c.reviewer.ID(), identity.Observer))
	c.Must(c.b, registry.TypeLevel, setLevel(child.ID(), identity.Apprentice), c.c)
	return b
}

func (b *bustle) agent() identity.Signer  { return b.agents[b.random.IntN(len(b.agents))] }
func (b *bustle) person() identity.Signer { return b.people[b.random.IntN(len(b.people))] }

func (b *bustle) anybody() identity.Signer {
	if b.random.IntN(2) == 0 {
		return b.agent()
	}
	return b.person()
}

// step does one thing, allowed or not.
func (b *bustle) step() {
	switch b.random.IntN(10) {
	case 0:
		b.Tick(b.random.Int64N(20 * day))
	case 1:
		b.Do(b.person(), registry.TypeLevel, setLevel(b.agent().ID(), identity.Level(b.random.IntN(6))), b.person(), b.person())
	case 2:
		b.SignOff(b.agent().ID(), identity.Level(b.random.IntN(6)), b.person(), b.person(), b.person())
	case 3:
		b.Do(b.person(), registry.TypeStatus, registry.SetStatus{
			Principal: b.agent().ID(), Status: trust.Status(1 + b.random.IntN(7)/6),
		}, b.person(), b.person())
	case 4:
		b.made(b.person(), b.agent().ID(), fmt.Sprint("model ", b.random.IntN(3)))
	case 5:
		if len(b.told) > 0 {
			b.HandIn(b.person(), b.told[b.random.IntN(len(b.told))])
		}
	default:
		b.tell()
	}
}

func (b *bustle) tell() {
	author, attester := b.anybody(), b.anybody()
	e := b.Evidence(trust.Act(1+b.random.IntN(6)), b.agent().ID(), author.ID())
	signers := []identity.Signer{author}
	switch e.Act {
	case trust.Outcome:
		e = b.Outcome(e.Subject, author.ID(), attester.ID(), "file.write", b.random.IntN(3) > 0)
		if attester.ID() == author.ID() {
			return // one key signs once
		}
		signers = append(signers, attester)
	case trust.Rating:
		e.Value = b.random.Int64N(2001) - 1000
	case trust.Violation:
		e.Severity = 1 + uint64(b.random.IntN(4))
	case trust.Alarm:
		e.Value = 1 + b.random.Int64N(1000)
	default:
		e.Amount = 1 + trust.Micro(b.random.Int64N(int64(trust.MaxPardon)))
	}
	raw := b.Sign(e, signers...)
	b.told = append(b.told, raw)
	if answer := b.HandIn(b.person(), raw, b.person(), b.person()); answer.Code == "" {
		b.accepted++
	}
}

// check refuses states that must not be.
func (b *bustle) check(t *testing.T) {
	t.Helper()
	for _, agent := range b.agents {
		view := scored(t, b.World, agent.ID())
		if view.Level > view.Cap && view.Level > identity.Quarantined {
			t.Fatalf("%s is %s, at most %s by its parent", view.Name, view.Level, view.Cap)
		}
		if turns := view.Account.Turns; turns[len(turns)-1].To != view.Level {
			t.Fatalf("%s is %s, and its last turn led to %s", view.Name, view.Level, turns[len(turns)-1].To)
		}
		if view.Until != 0 && view.Until <= b.Now {
			t.Fatalf("%s has %s by a lease that is over", view.Name, view.Level)
		}
		for _, s := range view.Scores {
			if s.Value > 1000 || s.Belief+s.Disbelief+s.Uncertainty != 1000 {
				t.Fatalf("%s: %+v", view.Name, s)
			}
		}
	}
}

// Whatever is told of whom, in whatever order: replicas agree, also those restored on the way, children stay below their
// parents, nobody has a level that the book does not know of, and what was counted once is not counted again.
func TestRandomEvidence(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			b := newBustle(t, seed)
			for range 150 {
				b.step()
				b.check(t)
			}
			agree(t, b.World, 1)
			agree(t, b.World, 1000)
			if b.accepted < 5 {
				t.Errorf("%d statements were counted", b.accepted)
			}
		})
	}
}
