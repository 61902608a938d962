package trust_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// settle counts a vote that a person of operator 20 + n has settled.
func (c *climber) settle(n uint8, brier int64) trust.Effect {
	by := principal(identity.Operator, 20+n)
	return c.Apply(trust.Event{
		Act: trust.Settled, Subject: c.id, By: by, Operator: by, Rooted: true, Class: 2, Value: brier,
	}, c.now)
}

// Who settles many decisions in a day makes no voter by it, and ruins none: its word weighs what one operator may say.
func TestOneOperatorsSettlementsOfADay(t *testing.T) {
	p := trust.Defaults()
	for _, row := range []struct {
		name  string
		brier int64
		sum   func(trust.Account) trust.Micro
		sign  trust.Micro
	}{
		{"right", 0, func(a trust.Account) trust.Micro { return a.Good[2] }, 1},
		{"wrong", 1000, func(a trust.Account) trust.Micro { return a.Bad[2] }, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newClimber(t, identity.Journeyer)
			if e := c.settle(1, row.brier); e.Weight != row.sign*p.Vote || e.Nominal != e.Weight || e.Cap != trust.Uncapped {
				t.Fatalf("the first: %+v", e)
			}
			var last trust.Effect
			for range 500 {
				last = c.settle(1, row.brier)
			}
			a, _ := c.Account(c.id)
			if got := row.sum(a); got != p.FromOne || last.Weight != 0 || last.Nominal != row.sign*p.Vote || last.Cap != trust.ByOne {
				t.Errorf("%d in a day, the last %+v", got, last)
			}
			if a.Climb.Votes != 501 {
				t.Errorf("%d votes", a.Climb.Votes)
			}
			if e := c.settle(2, row.brier); e.Weight != row.sign*p.Vote {
				t.Errorf("another operator's: %+v", e)
			}
			c.now += wholeDay
			if e := c.settle(1, row.brier); e.Weight != row.sign*p.Vote {
				t.Errorf("on the next day: %+v", e)
			}
		})
	}
}

// An agent that sinks falls further, whoever puts it one level lower meanwhile: that is no appointment.
func TestALoweringSavesNobodyFromTheFloor(t *testing.T) {
	for _, row := range []struct {
		name string
		move func(c *climber)
		want identity.Level
	}{
		{"left alone", func(*climber) {}, identity.Observer},
		{"put lower", func(c *climber) { c.move(identity.Journeyer, trust.Appointed) }, identity.Observer},
		{"appointed anew", func(c *climber) { // as many as loosen have signed that
			c.move(identity.Journeyer, trust.Appointed)
			c.move(identity.Principal, trust.Appointed)
		}, identity.Principal},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newClimber(t, identity.Apprentice)
			c.days(20, 1)
			c.move(identity.Journeyer, trust.Earned)
			c.days(30, 2)
			c.move(identity.Principal, trust.Earned)
			for range 6 {
				c.Apply(trust.Event{Act: trust.Violation, Subject: c.id, By: principal(identity.Operator, 20), Rooted: true, Severity: 3}, c.now)
			}
			row.move(c)
			for range 10 * 24 {
				c.now += wholeDay / 24
				if to, why, falls := c.Judge(c.id, c.level, c.now); falls {
					c.move(to, why)
				}
			}
			if c.level != row.want {
				t.Errorf("on %s", c.level)
			}
		})
	}
}

// A ladder that is replaced by one without leases ends those that run: nobody could renew them.
func TestLeasesEndWithTheLaddersLease(t *testing.T) {
	for _, leases := range []bool{true, false} {
		c := newClimber(t, identity.Journeyer)
		rungs := trust.Ladder()
		if !leases {
			for i := range rungs {
				rungs[i].Lease = 0
			}
		}
		c.Replace(trust.Defaults(), rungs, c.now)
		c.now += 91 * wholeDay
		_, why, falls := c.Judge(c.id, c.level, c.now)
		if falls != leases || (falls && why != trust.Lapsed) {
			t.Errorf("leases %t: falls %t: %s", leases, falls, why)
		}
	}
}

// However often somebody accuses an agent, people can undo it: what violations weigh ends somewhere.
func TestAccusationsWithoutEndCanBePardoned(t *testing.T) {
	c := newClimber(t, identity.Journeyer)
	operator := principal(identity.Operator, 10)
	accuse := func(n int) (last trust.Effect) {
		for range n {
			last = c.Apply(trust.Event{
				Act: trust.Violation, Subject: c.id, By: principal(identity.Operator, 20), Rooted: true, Severity: 3,
			}, c.now)
		}
		return last
	}
	pardons := func() (n int) {
		for c.Debt(operator, c.now) > 0 {
			c.Apply(trust.Event{Act: trust.Pardon, Subject: c.id, By: operator, Rooted: true, Amount: trust.MaxPardon}, c.now)
			n++
		}
		return n
	}
	if e := accuse(1); e.Weight != -trust.Defaults().Severities[2] || pardons() != 1 {
		t.Fatalf("%+v", e)
	}
	if e := accuse(10_000); e.After != [trust.Classes]uint64{} {
		t.Errorf("%+v", e)
	}
	a, _ := c.Account(c.id)
	if n := pardons(); n > 32 {
		t.Errorf("%d pardons for %d", n, a.Violations)
	}
	if a, _ = c.Account(c.id); a.Violations != 0 || a.Own != 0 {
		t.Errorf("%+v", a)
	}
	if e := accuse(1); e.Weight < -33*trust.Defaults().Severities[2] {
		t.Errorf("the next one: %d", e.Weight)
	}
}
