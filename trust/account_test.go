package trust_test

import (
	"math"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestOpeningTwiceChangesNothing(t *testing.T) {
	b := opened(2)
	a := account(t, b, 0)
	if a.Operator != operator(0) || a.At != now || a.Climb.Since != now || a.Climb.Why != trust.Appointed {
		t.Fatalf("%+v", a)
	}
	begin := trust.Turn{At: now, From: identity.Observer, To: identity.Observer, Why: trust.Appointed}
	if len(a.Turns) != 1 || a.Turns[0] != begin {
		t.Fatalf("%+v", a.Turns)
	}
	b.Apply(attested(1, true), now)
	was := b.Digest()
	b.Open(agent(0), operator(5), identity.Steward, now+aDay)
	if b.Digest() != was {
		t.Fatal("opening again changed the account")
	}
	if _, ok := b.Account(agent(9)); ok {
		t.Fatal("a stranger has an account")
	}
}

// TestALeaseBeginsWithTheAccount of an agent that is enrolled at a level with one.
func TestALeaseBeginsWithTheAccount(t *testing.T) {
	b := trust.NewBook(trust.Defaults(), []trust.Rung{{}, {}, {Lease: 90 * aDay}})
	for level, want := range []int64{0, 0, 0, now + 90*aDay, 0} {
		b.Open(agent(level), operator(0), identity.Level(level), now)
		if a := account(t, b, level); a.Climb.Until != want {
			t.Errorf("L%d ends at %d, not %d", level, a.Climb.Until, want)
		}
	}
}

// TestReadsStoreNothing, and hand out nothing that is the book's.
func TestReadsStoreNothing(t *testing.T) {
	b := opened(3)
	at := raise(b, 0, 1, now)
	was := b.Digest()
	b.Scores(agent(0), at+500*aDay)
	b.Suspicion(agent(0), at+500*aDay)
	b.Agents()
	a := account(t, b, 0)
	a.Traces[0].Weight, a.Turns[0].To, a.Good[0] = 1, identity.Steward, 0
	if b.Digest() != was {
		t.Fatal("reading changed the book")
	}
}

func TestUnknownSubjectsAndActsChangeNothing(t *testing.T) {
	b := opened(2)
	was := b.Digest()
	e := attested(1, true)
	e.Subject = agent(9)
	if got := b.Apply(e, now+aDay); got != (trust.Effect{Subject: agent(9), Act: trust.Outcome}) {
		t.Fatalf("%+v", got)
	}
	for _, act := range []trust.Act{0, 8, 255} {
		e = attested(1, true)
		e.Act = act
		if got := b.Apply(e, now+aDay); got.Weight != 0 {
			t.Fatalf("%+v", got)
		}
	}
	if b.Digest() != was {
		t.Fatal("the book has changed")
	}
}

// TestTimeNeverGoesBack: a time before the newest seen counts as that.
func TestTimeNeverGoesBack(t *testing.T) {
	straight, crooked := opened(3), opened(3)
	times := []int64{now, now + 50*aDay, now + 20*aDay, -5, math.MinInt64, now + 60*aDay, 0}
	newest := now
	for i, at := range times {
		newest = max(newest, at)
		e := attested(1+i%2, i != 3)
		if got, want := crooked.Apply(e, at), straight.Apply(e, newest); got != want {
			t.Fatalf("at %d: %+v, not %+v", at, got, want)
		}
		if crooked.Scores(agent(0), at) != straight.Scores(agent(0), newest) {
			t.Fatalf("scores at %d differ", at)
		}
	}
	if crooked.Digest() != straight.Digest() {
		t.Fatal("digests differ")
	}
	crooked.Apply(attested(1, true), math.MaxInt64)
	straight.Apply(attested(1, true), 1<<53)
	if crooked.Digest() != straight.Digest() {
		t.Fatal("the end of time differs")
	}
}

func TestTracesKeepTheLastSixteen(t *testing.T) {
	b := opened(2)
	for i := range 40 {
		e := attested(1+i%3, true)
		e.Index, e.Statement[0] = uint64(i), byte(i)
		got := b.Apply(e, now+int64(i))
		traces := account(t, b, 0).Traces
		last := traces[len(traces)-1]
		want := trust.Trace{
			At: now + int64(i), Index: uint64(i), Act: trust.Outcome, By: e.By, Statement: e.Statement,
			Nominal: got.Nominal, Weight: got.Weight, Cap: got.Cap, Score: got.After[0],
		}
		if last != want || len(traces) != min(i+1, 16) {
			t.Fatalf("%+v, not %+v", last, want)
		}
	}
	traces := account(t, b, 0).Traces
	if !slices.IsSortedFunc(traces, func(x, y trust.Trace) int { return int(x.Index) - int(y.Index) }) || traces[0].Index != 24 {
		t.Fatalf("%+v", traces)
	}
}

func TestClimbKnowsFourOperators(t *testing.T) {
	b := opened(2)
	own := attested(0, true)
	b.Apply(own, now) // a solo realm's own person: it counts as an outcome, not as another operator
	a := account(t, b, 0)
	if a.Climb.Outcomes[0] != 1 || !a.Climb.From[0].IsZero() {
		t.Fatalf("%+v", a.Climb)
	}
	for n := range 6 {
		b.Apply(attested(1+n, true), now)
		b.Apply(attested(1+n, false), now)
	}
	a = account(t, b, 0)
	if a.Climb.Outcomes[0] != 7 || a.Climb.From != [4]identity.ID{operator(1), operator(2), operator(3), operator(4)} {
		t.Fatalf("%+v", a.Climb)
	}
}

// TestMoreOperatorsThanVoices: those for whom there is no room have the weight of one together.
func TestMoreOperatorsThanVoices(t *testing.T) {
	b := opened(40)
	for n := range 32 {
		if e := b.Apply(attested(1+n, true), now); e.Cap == trust.ByCrowd {
			t.Fatalf("operator %d: %+v", n, e)
		}
	}
	weighs(t, b, attested(33, true), now, 3*unit/33, trust.ByDay)
	weighs(t, b, attested(33, true), now, 3*unit/33/2, trust.ByCrowd)
	weighs(t, b, attested(34, true), now, 3*unit/33/3, trust.ByCrowd)
	var sum trust.Micro
	last := trust.Effect{}
	for n := range 1000 {
		last = b.Apply(attested(34+n, true), now)
		sum += last.Weight
	}
	if sum > unit || last.Cap != trust.ByCrowd {
		t.Fatalf("a crowd's words weigh %d, the last %+v", sum, last)
	}
	weighs(t, b, rated(34, 1000), now, 0, trust.ByFunds)
	b.Apply(praised(35, 9, unit), now)
	weighs(t, b, rated(35, 1000), now, unit/8, trust.ByFunds)
	if e := b.Apply(attested(33, true), now+aDay); e.Weight == 0 || e.Cap == trust.ByCrowd { // those that are silent make room
		t.Fatalf("%+v", e)
	}
	if restored(t, b).Digest() != b.Digest() {
		t.Fatal("a crowd does not come back from a snapshot")
	}
}

// TestRoomForOneIsHeldAgainstTheNext: who takes the place of another voice has no more room for ratings than that one had.
func TestRoomForOneIsHeldAgainstTheNext(t *testing.T) {
	b := opened(40)
	at := now
	rate := func(n int) trust.Effect {
		for by := 50; by < 60; by++ {
			b.Apply(praised(n, by, 3*unit), at)
		}
		at += aDay
		return b.Apply(rated(n, 1000), at)
	}
	for n := range 32 {
		if e := rate(1 + n); e.Weight != unit {
			t.Fatalf("%d: %+v", n, e)
		}
	}
	var last trust.Effect
	for range 4 {
		last = rate(33)
	}
	if last.Cap != trust.ByRated || last.Weight >= unit {
		t.Fatalf("%+v", last)
	}
}

func TestSamplesKeepChanges(t *testing.T) {
	b := trust.NewBook(trust.Defaults(), []trust.Rung{{Class: 0}, {Class: 1}})
	b.Open(agent(0), operator(0), identity.Observer, now)
	level := identity.Observer
	levels := func(identity.ID) identity.Level { return level }
	b.Sample(now, levels)
	b.Sample(now+aDay, levels)
	if a := account(t, b, 0); len(a.Samples) != 1 || a.Samples[0] != (trust.Sample{Day: uint32(now / aDay), Level: 1}) {
		t.Fatalf("%+v", a.Samples)
	}
	b.Apply(attested(1, true), now+2*aDay)
	b.Sample(now+2*aDay, levels)
	level = identity.Quarantined // what L1 asks for is of class 0
	b.Sample(now+2*aDay, levels)
	a := account(t, b, 0)
	if len(a.Samples) != 2 || a.Samples[1] != (trust.Sample{Day: uint32(now/aDay) + 2, Score: 111}) {
		t.Fatalf("%+v", a.Samples)
	}
	level = identity.Steward // beyond the rungs: the last
	b.Sample(now+3*aDay, levels)
	if a := account(t, b, 0); a.Samples[2].Score != 57 || a.Samples[2].Level != 5 {
		t.Fatalf("%+v", a.Samples)
	}
	for d := range int64(400) {
		level = identity.Level(d % 2)
		b.Sample(now+(10+d)*aDay, levels)
	}
	a = account(t, b, 0)
	if len(a.Samples) != 180 || a.Samples[179].Day != uint32(now/aDay)+409 || a.Samples[0].Day != uint32(now/aDay)+230 {
		t.Fatalf("%d from %d to %d", len(a.Samples), a.Samples[0].Day, a.Samples[179].Day)
	}
}

// TestReplaceKeepsWhatWasCounted: amounts stay, and halve by the new times from then on.
func TestReplaceKeepsWhatWasCounted(t *testing.T) {
	b := opened(2)
	at := raise(b, 0, 0, now)
	b.Apply(violated(2), at)
	at += 10 * aDay
	was := b.Scores(agent(0), at)
	p := trust.Defaults()
	p.HalfLife.Slow, p.HalfLife.Debt, p.HalfLife.Violation = 10*aDay, 10*aDay, 10*aDay
	b.Replace(p, nil, at)
	if got := b.Scores(agent(0), at); got != was {
		t.Fatalf("%+v, before %+v", got[0], was[0])
	}
	got := b.Scores(agent(0), at+10*aDay)[0]
	if off := got.Good - was[0].Good/2; off < -unit || off > unit {
		t.Fatalf("%d, half of %d", got.Good, was[0].Good)
	}
	if off := got.Violations - was[0].Violations/2; off < -unit/20 || off > unit/20 {
		t.Fatalf("%d, half of %d", got.Violations, was[0].Violations)
	}
	p.Blame = 1
	b.Replace(p, nil, 0)
	if a := account(t, b, 0); a.At != at {
		t.Fatal("time went back")
	}
}
