package trust_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const wholeDay = int64(24 * 60 * 60 * 1000)

// lone is L5 plus one: the level that stands for no parent.
const lone = identity.Steward + 1

// climber is an agent in a book of its own, and the people who attest its work.
type climber struct {
	*trust.Book
	id    identity.ID
	level identity.Level
	now   int64
}

func newClimber(t *testing.T, level identity.Level) *climber {
	t.Helper()
	c := &climber{Book: trust.NewBook(trust.Defaults(), trust.Ladder()), id: principal(identity.Agent, 1), level: level, now: now}
	c.Open(c.id, principal(identity.Operator, 10), level, now)
	return c
}

// outcome counts one outcome that a person of operator 20 + n attests.
func (c *climber) outcome(class, n uint8, ok bool) {
	by := principal(identity.Operator, 20+n)
	c.Apply(trust.Event{
		Act: trust.Outcome, Subject: c.id, By: by, Operator: by, Rooted: true, Class: class, OK: ok,
	}, c.now)
}

// days has the agent do twelve right things a day, attested by three people, and judges it each time.
func (c *climber) days(n int, class uint8) (fell bool) {
	for range n {
		for i := range uint8(12) {
			c.now += wholeDay / 12
			c.outcome(class, i%3, true)
			if to, why, falls := c.Judge(c.id, c.level, c.now); falls {
				c.move(to, why)
				fell = true
			}
		}
	}
	return fell
}

func (c *climber) move(to identity.Level, why trust.Why) {
	c.Moved(c.id, trust.Turn{At: c.now, From: c.level, To: to, Why: why})
	c.level = to
}

func (c *climber) promotable() error { return c.Promotable(c.id, c.level, lone, c.now) }

func wantMissing(t *testing.T, err error, what string) {
	t.Helper()
	if !errors.Is(err, trust.ErrUnripe) || !strings.Contains(err.Error(), what) {
		t.Fatalf("got %v, want %s", err, what)
	}
}

func TestANewcomerClimbs(t *testing.T) {
	c := newClimber(t, identity.Observer)
	wantMissing(t, c.promotable(), "score")
	if c.days(6, 0) {
		t.Fatal("fell")
	}
	wantMissing(t, c.promotable(), "tenure")
	c.days(2, 0)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	c.move(identity.Apprentice, trust.Earned)
	wantMissing(t, c.promotable(), "score") // trust in small things is half of it in greater ones
	c.days(15, 1)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	c.move(identity.Journeyer, trust.Earned)
	a, _ := c.Account(c.id)
	if a.Climb.Until != c.now+90*wholeDay || a.Climb.Outcomes != [trust.Classes]uint32{} {
		t.Errorf("%+v", a.Climb)
	}
	c.days(31, 2)
	wantMissing(t, c.promotable(), "votes: 0 of 20")
}

func TestAViolationStopsTheClimb(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	c.Apply(trust.Event{Act: trust.Violation, Subject: c.id, By: principal(identity.Operator, 20), Rooted: true, Severity: 1}, c.now)
	if err := c.promotable(); err != nil {
		t.Fatalf("severity 1: %v", err)
	}
	c.Apply(trust.Event{Act: trust.Violation, Subject: c.id, By: principal(identity.Operator, 20), Rooted: true, Severity: 2}, c.now)
	wantMissing(t, c.promotable(), "score")
	for _, next := range c.Next(c.id, c.level, lone, c.now) {
		if next.Name == "clean" && (next.Have != 0 || next.Need != 90*wholeDay || next.Met) {
			t.Errorf("%+v", next)
		}
	}
}

func TestSuspicionFreezesPromotion(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	alarm := func(value int64) {
		c.Apply(trust.Event{Act: trust.Alarm, Subject: c.id, By: principal(identity.Agent, 9), Value: value}, c.now)
	}
	alarm(10)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	alarm(1000)
	wantMissing(t, c.promotable(), "score")
	c.now += wholeDay // an alarm of 600 is four half-lives old
	if err := c.promotable(); err != nil {
		t.Errorf("the day after: %v", err)
	}
}

func TestSuspicionAloneFreezes(t *testing.T) {
	p := trust.Defaults()
	p.Suspect = 100
	c := newClimber(t, identity.Apprentice)
	c.days(40, 1)
	c.Replace(p, trust.Ladder(), c.now)
	c.Apply(trust.Event{Act: trust.Alarm, Subject: c.id, By: principal(identity.Agent, 9), Value: 100}, c.now)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	c.Apply(trust.Event{Act: trust.Alarm, Subject: c.id, By: principal(identity.Agent, 9), Value: 101}, c.now)
	wantMissing(t, c.promotable(), "suspicion: 101, at most 100")
}

func TestAlarmsTakeNoLevel(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	c.move(identity.Journeyer, trust.Earned)
	for range 10 * 24 {
		c.now += wholeDay / 24
		c.outcome(1, uint8(c.now/(wholeDay/24)%3), true)
		c.Apply(trust.Event{Act: trust.Alarm, Subject: c.id, By: principal(identity.Agent, 9), Value: 1000}, c.now)
		if to, why, falls := c.Judge(c.id, c.level, c.now); falls {
			t.Fatalf("to %s: %s", to, why)
		}
	}
	if score := c.Scores(c.id, c.now)[1].Value; score >= 400 {
		t.Errorf("score %d under alarms", score)
	}
}

func TestSinkingTakesADayAndStopsAtL1(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	c.move(identity.Journeyer, trust.Earned)
	begun := c.now
	var turns []trust.Turn
	for c.now < begun+9*wholeDay {
		c.now += wholeDay / 24
		if c.now-begun <= wholeDay {
			c.outcome(1, uint8(c.now/(wholeDay/24)%3), false)
		}
		if to, why, falls := c.Judge(c.id, c.level, c.now); falls {
			turns = append(turns, trust.Turn{At: c.now, From: c.level, To: to, Why: why})
			c.move(to, why)
		}
	}
	if c.level != identity.Observer || len(turns) != 2 || turns[0].Why != trust.Fell {
		t.Fatalf("on %s after %+v", c.level, turns)
	}
	if gap := turns[1].At - turns[0].At; gap < wholeDay {
		t.Errorf("two levels in %d ms", gap)
	}
	wantMissing(t, c.promotable(), "outcomes: 0 of 30") // what was done on a higher level is not counted again
}

func TestSinkingBelowTheFloor(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	c.move(identity.Journeyer, trust.Earned)
	c.days(15, 1)
	for range 2 {
		c.Apply(trust.Event{Act: trust.Violation, Subject: c.id, By: principal(identity.Operator, 20), Rooted: true, Severity: 2}, c.now)
	}
	if _, _, falls := c.Judge(c.id, c.level, c.now); falls { // a violation's level is the ledger's to take
		t.Fatal("fell at once")
	}
	if c.days(1, 1) != true || c.level != identity.Apprentice {
		t.Fatalf("on %s a day later", c.level)
	}
	a, _ := c.Account(c.id)
	if last := a.Turns[len(a.Turns)-1]; last.Why != trust.Sank {
		t.Errorf("%+v", last)
	}
}

func TestAnAppointedNewcomerStays(t *testing.T) {
	c := newClimber(t, identity.Journeyer)
	for range 60 {
		c.now += wholeDay
		if to, why, falls := c.Judge(c.id, c.level, c.now); falls {
			t.Fatalf("to %s: %s", to, why)
		}
	}
}

func TestALeaseLapsesUnlessRenewed(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	c.move(identity.Journeyer, trust.Earned)
	if c.days(89, 1) {
		t.Fatal("fell before the lease's end")
	}
	if err := c.Renewable(c.id, c.level, c.now); err != nil {
		t.Fatal(err)
	}
	c.Moved(c.id, trust.Turn{At: c.now, From: c.level, To: c.level, Why: trust.Renewed})
	if c.days(89, 1) {
		t.Fatal("fell before the renewed lease's end")
	}
	if !c.days(2, 1) || c.level != identity.Apprentice {
		t.Fatalf("on %s after the lease's end", c.level)
	}
	a, _ := c.Account(c.id)
	if last := a.Turns[len(a.Turns)-1]; last.Why != trust.Lapsed {
		t.Errorf("%+v", last)
	}
	wantMissing(t, c.promotable(), "held")
	if err := c.Renewable(c.id, identity.Apprentice, c.now); !errors.Is(err, trust.ErrUnripe) {
		t.Errorf("a lease of L2: %v", err)
	}
}

func TestWhoHasNoEvidenceCannotRenew(t *testing.T) {
	c := newClimber(t, identity.Journeyer)
	wantMissing(t, c.Renewable(c.id, c.level, c.now), "score: 0 of 600")
}

func TestDwellHoldsAnAgentDown(t *testing.T) {
	c := newClimber(t, identity.Apprentice)
	c.days(20, 1)
	c.move(identity.Journeyer, trust.Earned)
	c.move(identity.Apprentice, trust.Changed)
	c.days(6, 1)
	wantMissing(t, c.promotable(), "held")
	c.days(2, 1) // seven days of dwell are over, tenure is not
	wantMissing(t, c.promotable(), "tenure")
	c.days(7, 1)
	if err := c.promotable(); err != nil {
		t.Fatal(err)
	}
	c.move(identity.Journeyer, trust.Earned)
	c.move(identity.Apprentice, trust.Violated)
	c.days(20, 1)
	wantMissing(t, c.promotable(), "dwell") // the second time: 28 days
	c.days(9, 1)
	if err := c.promotable(); err != nil {
		t.Error(err)
	}
}

func TestAChildStaysBelowItsParent(t *testing.T) {
	c := newClimber(t, identity.Observer)
	c.days(9, 0)
	for _, row := range []struct {
		parent identity.Level
		ok     bool
	}{{lone, true}, {5, true}, {3, true}, {2, false}, {1, false}, {0, false}} {
		if err := c.Promotable(c.id, identity.Observer, row.parent, c.now); (err == nil) != row.ok {
			t.Errorf("parent on %s: %v", row.parent, err)
		}
	}
	conditions := c.Next(c.id, identity.Observer, 2, c.now)
	want := trust.Condition{Name: "parent", Have: 1, Need: 2, Unit: "level"}
	if last := conditions[len(conditions)-1]; last != want {
		t.Errorf("got %+v", last)
	}
}

func TestNextOfEachLevel(t *testing.T) {
	c := newClimber(t, identity.Observer)
	for level, want := range []string{
		"suspicion sign-off", "score held tenure outcomes suspicion sign-off",
		"score held tenure outcomes operators clean suspicion sign-off",
		"score held tenure outcomes in-class votes suspicion sign-off",
		"score held tenure outcomes in-class votes clean suspicion sign-off", "",
	} {
		var got []string
		for _, next := range c.Next(c.id, identity.Level(level), lone, c.now) {
			got = append(got, next.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("L%d: %v", level, got)
		}
	}
	wantMissing(t, c.Promotable(c.id, identity.Steward, lone, c.now), "no level above L5")
}

func TestNobodyIsNotJudged(t *testing.T) {
	c := newClimber(t, identity.Observer)
	stranger := principal(identity.Agent, 77)
	if err := c.Promotable(stranger, identity.Quarantined, lone, now); !errors.Is(err, trust.ErrNoAccount) {
		t.Errorf("got %v", err)
	}
	if err := c.Renewable(stranger, identity.Journeyer, now); !errors.Is(err, trust.ErrNoAccount) {
		t.Errorf("got %v", err)
	}
	if _, _, falls := c.Judge(stranger, identity.Journeyer, now); falls {
		t.Error("a stranger fell")
	}
	if _, _, falls := c.Judge(c.id, lone, now); falls {
		t.Error("fell from above the ladder")
	}
	if err := c.Renewable(c.id, identity.Quarantined, now); !errors.Is(err, trust.ErrUnripe) {
		t.Errorf("L0's lease: %v", err)
	}
	if n := len(c.Next(stranger, identity.Observer, lone, now)); n != 6 {
		t.Errorf("%d conditions for a stranger", n)
	}
}
