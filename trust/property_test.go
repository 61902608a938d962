package trust_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// clique is agents 0 to size−1, each of its own operator, that hand each other what they got from outside.
type clique struct {
	book    *trust.Book
	size    int
	gamma   int64
	at      int64
	inflow  int64 // weight received from people outside
	forward int64 // weight handed out for somebody, inside or outside
	against int64 // and against
	vouched int   // attestations by members that weighed something
}

func newClique(size int, gamma int64) *clique {
	p := trust.Defaults()
	p.Gamma = uint64(gamma)
	c := &clique{book: trust.NewBook(p, nil), size: size, gamma: gamma, at: now}
	for i := range size + 1 { // the last is a victim outside
		c.book.Open(agent(i), operator(i), identity.Observer, now)
	}
	return c
}

// receives lets somebody outside speak for a member.
func (c *clique) receives(member, from int, act trust.Act, class uint8) {
	e := trust.Event{
		Act: act, Subject: agent(member), By: operator(100 + from), Operator: operator(100 + from), Rooted: true,
		Class: class, OK: true, Value: 1000, Amount: 2 * unit,
	}
	c.inflow += int64(c.book.Apply(e, c.at).Weight)
}

// hands lets a member speak about another agent.
func (c *clique) hands(from, to int, act trust.Act, class uint8, value int64) {
	w := int64(c.book.Apply(trust.Event{
		Act: act, Subject: agent(to), By: agent(from), Operator: operator(from), Class: class, OK: value > 0, Value: value,
	}, c.at).Weight)
	if w > 0 {
		c.forward += w
	} else {
		c.against -= w
	}
	if act == trust.Outcome && w != 0 {
		c.vouched++
	}
}

// held returns what the members' words can still weigh.
func (c *clique) held() (forward, against int64) {
	for i := range c.size {
		a, _ := c.book.Account(agent(i))
		forward, against = forward+int64(a.FundsFor), against+int64(a.FundsAgainst)
	}
	return forward, against
}

// over reports whether what was handed out and is held exceeds γ·inflow/(1−γ).
func (c *clique) over() bool {
	forward, against := c.held()
	bound := c.gamma * c.inflow / (1000 - c.gamma)
	return c.forward > bound || c.against > bound || c.forward+forward > bound || c.against+against > bound
}

// TestCliquesConserve: whatever its members tell of each other, by ratings and by attestations, a clique never hands out more
// than γ·w/(1−γ) of the weight w that it received.
func TestCliquesConserve(t *testing.T) {
	vouched := 0
	rapid.Check(t, func(t *rapid.T) {
		c := newClique(rapid.IntRange(1, 12).Draw(t, "members"), rapid.Int64Range(0, 950).Draw(t, "gamma"))
		outside := []trust.Act{trust.Outcome, trust.Outcome, trust.Rating, trust.Endorsement}
		inside := []trust.Act{trust.Outcome, trust.Rating}
		for range rapid.IntRange(1, 150).Draw(t, "events") {
			c.at += rapid.Int64Range(0, aDay/2).Draw(t, "pause")
			class := uint8(rapid.IntRange(0, 3).Draw(t, "class"))
			member := rapid.IntRange(0, c.size-1).Draw(t, "member")
			if rapid.IntRange(0, 2).Draw(t, "who") == 0 {
				c.receives(member, rapid.IntRange(0, 5).Draw(t, "from"), rapid.SampledFrom(outside).Draw(t, "act"), class)
			} else {
				to := rapid.IntRange(0, c.size).Draw(t, "to")
				value := rapid.SampledFrom([]int64{-1000, 1000}).Draw(t, "value")
				c.hands(member, to, rapid.SampledFrom(inside).Draw(t, "act"), class, value)
			}
			if c.over() {
				f, a := c.held()
				t.Fatalf("%d in; out %d for, %d against; held %d and %d; γ %d", c.inflow, c.forward, c.against, f, a, c.gamma)
			}
		}
		vouched += c.vouched
	})
	if vouched == 0 {
		t.Error("no member ever attested anything: the test proves nothing")
	}
}

// TestABusyCliqueComesNearTheBound: what conservation allows can be had; the bound is no accident of other caps.
func TestABusyCliqueComesNearTheBound(t *testing.T) {
	c := newClique(10, 500)
	for from := range 3 {
		c.receives(0, from, trust.Endorsement, 0)
	}
	for round := range 2000 {
		c.hands(round%10, (round+1)%10, trust.Rating, 0, 1000)
	}
	bound := c.gamma * c.inflow / (1000 - c.gamma)
	if c.forward < bound*8/10 || c.over() {
		t.Fatalf("%d handed out of %d", c.forward, bound)
	}
}

// speaks says whether an event speaks for its subject (1), against it (−1) or neither (0).
func speaks(e trust.Event) int {
	switch e.Act {
	case trust.Outcome:
		if e.OK {
			return 1
		}
		return -1
	case trust.Rating:
		return int(e.Value)
	case trust.Settled:
		return 250 - int(e.Value)
	case trust.Endorsement, trust.Pardon:
		return 1
	}
	return -1
}

// TestScoresAreMonotone: what speaks for an agent never lowers a score in any class, what speaks against it never raises one.
func TestScoresAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stream(rapid.Uint64().Draw(t, "seed"))
		b, at := peopled(6, 3), now
		for range 200 {
			at += int64(s.below(int(aDay)))
			e := s.event(6, 3)
			got := b.Apply(e, at)
			for c := range trust.Classes {
				if speaks(e) >= 0 && got.After[c] < got.Before[c] || speaks(e) <= 0 && got.After[c] > got.Before[c] {
					t.Fatalf("%+v: %+v", e, got)
				}
			}
		}
	})
}

// TestScoresAddUp: shares are shares, and factors make the score.
func TestScoresAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stream(rapid.Uint64().Draw(t, "seed"))
		b := peopled(4, 2)
		for i := range 100 {
			b.Apply(s.event(4, 2), now+int64(i)*aDay/5)
		}
		for c, v := range b.Scores(agent(0), now+20*aDay) {
			switch {
			case int(v.Class) != c, v.Belief+v.Disbelief+v.Uncertainty != 1000, v.Competence != min(v.Slow, v.Fast),
				v.Value != v.Competence*v.Integrity*(1000-v.Suspicion)/1_000_000, v.Value > 1000:
				t.Fatalf("%+v", v)
			}
		}
	})
}

// TestHowOftenSomebodyLooksDoesNotMatter: a book that is sampled and asked every hour, and one whose agents are touched by
// evidence without weight, decay like one that is left alone.
func TestHowOftenSomebodyLooksDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		days := rapid.Int64Range(1, 300).Draw(t, "days")
		touches := rapid.IntRange(1, 400).Draw(t, "touches")
		quiet, busy := peopled(4, 2), peopled(4, 2)
		for _, b := range []*trust.Book{quiet, busy} {
			s := stream(seed)
			for i := range 60 {
				b.Apply(s.event(4, 2), now+int64(i)*3_600_000)
			}
		}
		from := now + 60*3_600_000
		for i := range touches { // a failure by somebody of whom nobody knows anything
			e := trust.Event{Act: trust.Outcome, Subject: agent(0), By: agent(99), Operator: operator(99)}
			busy.Apply(e, from+days*aDay*int64(i)/int64(touches))
		}
		end := from + days*aDay
		for _, b := range []*trust.Book{quiet, busy} {
			b.Apply(trust.Event{Act: trust.Settled, Subject: agent(0), Value: 250}, end)
		}
		x, _ := quiet.Account(agent(0))
		y, _ := busy.Account(agent(0))
		ticks := trust.Micro(days*aDay/(trust.Defaults().HalfLife.Slow/64)) + 2
		for _, row := range [][2]trust.Micro{
			{x.Good[0], y.Good[0]}, {x.Bad[0], y.Bad[0]}, {x.Endorsed, y.Endorsed}, {x.FundsFor, y.FundsFor},
			{x.Violations, y.Violations}, {x.Own, y.Own}, {x.Recidivism, y.Recidivism},
		} {
			if off := row[0] - row[1]; off < -ticks || off > ticks {
				t.Fatalf("%d alone, %d touched %d times in %d days", row[0], row[1], touches, days)
			}
		}
	})
}

// extremes are numbers that arithmetic trips over.
var extremes = []int64{
	0, 1, -1, 249, 250, 1000, 1001, -1000, int64(unit), 1 << 31, 1 << 48, 1<<48 + 1, 1 << 53, math.MaxInt64, math.MinInt64,
}

// extreme returns the event that eight bytes describe.
func extreme(x []byte) (trust.Event, int64) {
	amount := extremes[int(x[3])%len(extremes)]
	return trust.Event{
		Act: trust.Act(x[0] % 10), Subject: agent(int(x[1] % 4)), By: agent(int(x[1]>>2) % 5), Operator: operator(int(x[2] % 40)),
		Rooted: x[2]&0x80 != 0, Class: x[4] & 7, OK: x[4]&8 != 0, Severity: x[4] >> 4 & 7,
		Value: amount, Amount: trust.Micro(amount),
	}, extremes[int(x[5])%len(extremes)] + int64(x[6])*aDay/4 + int64(x[7])
}

// FuzzApply: no stream of events makes a score leave 0 to 1000, an amount turn negative, or an account that a snapshot would
// not take back.
func FuzzApply(f *testing.F) {
	s := stream(5)
	for range 10 {
		seed := make([]byte, 8*40)
		for i := range seed {
			seed[i] = byte(s.next())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := peopled(4, 2)
		for len(raw) >= 8 {
			e, at := extreme(raw)
			checkEffect(t, b.Apply(e, at))
			raw = raw[8:]
		}
		for _, id := range b.Agents() {
			checkScores(t, b, id)
		}
		if again := restored(t, b); again.Digest() != b.Digest() {
			t.Fatal("a snapshot's digest differs")
		}
	})
}

func checkScores(t *testing.T, b *trust.Book, id identity.ID) {
	t.Helper()
	for _, s := range b.Scores(id, now) {
		if s.Value > 1000 || s.Belief+s.Disbelief+s.Uncertainty != 1000 || s.Good < 0 || s.Bad < 0 || s.Debt < 0 {
			t.Fatalf("%+v", s)
		}
	}
	a, _ := b.Account(id)
	for _, x := range []trust.Micro{
		a.Endorsed, a.Slandered, a.FundsFor, a.FundsAgainst, a.FastGood, a.FastBad, a.Violations, a.Recidivism, a.Suspicion,
		a.Own, a.Inherited, a.Good[0], a.Good[3], a.Bad[0], a.Bad[3],
	} {
		if x < 0 || x > 1<<48 {
			t.Fatalf("%+v", a)
		}
	}
}

// TestExtremeAmountsSaturate: whatever the parameters allow, sums stop and scores stay scores.
func TestExtremeAmountsSaturate(t *testing.T) {
	p := trust.Defaults()
	p.Severities = [4]trust.Micro{1000 * unit, 1000 * unit, 1000 * unit, 1000 * unit}
	p.Blame, p.Prior = 10, unit
	p.Daily, p.FromOne, p.Allowance, p.Rated = 1000*unit, 1000*unit, 1000*unit, 1000*unit
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	b := trust.NewBook(p, nil)
	for n := range 2 {
		b.Open(agent(n), operator(0), identity.Observer, now)
	}
	for range 100_000 {
		b.Apply(violated(4), now)
	}
	a := account(t, b, 0)
	if a.Violations != 1000*unit || a.Own != 1000*unit || a.Recidivism != 32*unit {
		t.Fatalf("%+v", a)
	}
	for n := range 2 {
		checkScores(t, b, agent(n))
	}
	b.Open(agent(2), operator(0), identity.Observer, now)
	checkScores(t, b, agent(2))
	if s := b.Scores(agent(2), now)[0]; s.Debt != 1000*unit || s.Integrity != 0 {
		t.Fatalf("%+v", s)
	}
	if restored(t, b).Operators()[0] != operator(0) {
		t.Fatal("the operator is lost")
	}
}
