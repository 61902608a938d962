package trust_test

import (
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// TestRatingsDoNotCreate: praise without outcomes is worth nothing, and slander takes a twentieth at most.
func TestRatingsDoNotCreate(t *testing.T) {
	b := opened(1)
	for d := range int64(30) {
		b.Apply(praised(0, 9, 3*unit), now+d*aDay)
	}
	if s := b.Scores(agent(0), now+30*aDay)[0]; s.Value != 0 {
		t.Fatalf("%+v", s)
	}
	plain, praisedToo, slandered := opened(1), opened(1), opened(1)
	at := raise(plain, 0, 0, now)
	raise(praisedToo, 0, 0, now)
	raise(slandered, 0, 0, now)
	for n := range 200 {
		praisedToo.Apply(praised(0, n, 3*unit), at)
		e := rated(0, -1000)
		e.By, e.Operator, e.Rooted = operator(n), operator(n), true
		slandered.Apply(e, at)
	}
	was := plain.Scores(agent(0), at)[0].Value
	up, down := praisedToo.Scores(agent(0), at)[0].Value, slandered.Scores(agent(0), at)[0].Value
	if up <= was || up > was+30 || down >= was || down < was*95/100 {
		t.Fatalf("%d, praised %d, slandered %d", was, up, down)
	}
}

func TestOneOperatorsRatingsHaveABound(t *testing.T) {
	b := opened(2)
	at := now
	var sum trust.Micro
	for range 12 {
		b.Apply(praised(1, 9, 3*unit), at)
		e := b.Apply(rated(1, 1000), at)
		sum += e.Weight
		if e.Cap == trust.ByRated {
			break
		}
		b.Apply(praised(1, 10, 3*unit), at)
		b.Apply(praised(1, 11, 3*unit), at)
	}
	if sum != 4*unit {
		t.Fatalf("%d", sum)
	}
	weighs(t, b, rated(1, 1000), at, 0, trust.ByRated)
	at += 45 * aDay // half of it is forgotten
	for by := 10; by < 20; by++ {
		b.Apply(praised(1, by, 3*unit), at)
	}
	weighs(t, b, rated(1, 1000), at, unit, trust.Uncapped)
}

func TestAPersonsDayHasAnAllowance(t *testing.T) {
	b := opened(2)
	weighs(t, b, praised(0, 9, 2*unit), now, 2*unit, trust.Uncapped)
	weighs(t, b, praised(1, 9, 2*unit), now, unit, trust.ByLimit)
	weighs(t, b, praised(1, 9, 1), now, 0, trust.ByLimit)
	e := rated(0, -1000)
	e.By, e.Operator, e.Rooted = operator(9), operator(9), true
	weighs(t, b, e, now, 0, trust.ByLimit)
	weighs(t, b, e, now+aDay, -unit, trust.Uncapped)
	weighs(t, b, praised(1, 9, -5), now+aDay, 0, trust.Uncapped)
	weighs(t, b, praised(1, 9, math.MaxInt64), now+aDay, 2*unit, trust.ByLimit)
}

func TestFairnessFollowsTheEvidence(t *testing.T) {
	b := opened(3)
	if a := account(t, b, 1); a.Fairness != 1_000_000 {
		t.Fatal(a.Fairness)
	}
	b.Apply(rated(1, -1000), now) // nobody can tell yet
	if a := account(t, b, 1); a.Fairness != 1_000_000 {
		t.Fatal(a.Fairness)
	}
	at := raise(b, 0, 0, now)
	for range 20 {
		b.Apply(rated(1, -1000), at)
		b.Apply(rated(2, 900), at)
	}
	slanderer, honest := account(t, b, 1).Fairness, account(t, b, 2).Fairness
	if slanderer > 300_000 || honest < 850_000 {
		t.Fatalf("slanderer %d, honest %d", slanderer, honest)
	}
	b.Apply(praised(1, 9, 3*unit), at)
	if e := b.Apply(rated(1, -1000), at); e.Nominal != -trust.Micro(slanderer) {
		t.Fatalf("%+v", e)
	}
	for range 100 {
		b.Apply(rated(1, 900), at)
	}
	if a := account(t, b, 1); a.Fairness < 850_000 {
		t.Fatalf("it cannot mend: %d", a.Fairness)
	}
}

func TestViolationsWeighMoreEachTime(t *testing.T) {
	b := opened(2)
	raise(b, 0, 0, now)
	at := now + 60*aDay
	was := b.Scores(agent(0), at)[0]
	weighs(t, b, violated(3), at, -8*unit, trust.Uncapped)
	s := b.Scores(agent(0), at)[0]
	if s.Integrity != 500 || s.Value != was.Competence/2 || s.Violations != 8*unit || s.Competence != was.Competence || s.Debt != 0 {
		t.Fatalf("%+v, before %+v", s, was)
	}
	if got := weighs(t, b, violated(1), at, -unit, trust.Uncapped); got.Nominal != -unit/2 {
		t.Fatalf("%+v", got)
	}
	weighs(t, b, violated(4), at, -96*unit, trust.Uncapped)
	a := account(t, b, 0)
	if a.Climb.Severity != [4]int64{at, 0, at, at} || a.Recidivism != 3*unit || a.Own != 105*unit {
		t.Fatalf("%+v", a)
	}
	weighs(t, b, violated(0), at, 0, trust.Uncapped)
	weighs(t, b, violated(5), at, 0, trust.Uncapped)
	if after := account(t, b, 0); after.Violations != a.Violations {
		t.Fatal("severities that there are not count")
	}
}

func TestDebtFollowsTheOperator(t *testing.T) {
	b := trust.NewBook(trust.Defaults(), nil)
	b.Open(agent(0), operator(0), identity.Observer, now)
	b.Open(agent(1), operator(0), identity.Observer, now)
	b.Open(agent(2), operator(1), identity.Observer, now)
	b.Apply(violated(3), now)
	b.Open(agent(3), operator(0), identity.Observer, now) // after it
	for n, want := range []trust.Micro{0, 2 * unit, 0, 8 * unit} {
		if got := b.Scores(agent(n), now)[0].Debt; got != want {
			t.Errorf("agent %d owes %d, not %d", n, got, want)
		}
	}
	if d, none := b.Debt(operator(0), now), b.Debt(operator(1), now); d != 8*unit || none != 0 {
		t.Errorf("operators owe %d and %d", d, none)
	}
	if d := b.Debt(operator(0), now+180*aDay); d < 4*unit-unit/20 || d > 4*unit+unit/20 {
		t.Errorf("half a year later the operator owes %d", d)
	}
	half := b.Scores(agent(3), now+180*aDay)[0].Debt
	if half < 4*unit-unit/20 || half > 4*unit+unit/20 {
		t.Errorf("half a year later %d", half)
	}
	pardon := trust.Event{Act: trust.Pardon, Subject: agent(0), Amount: 6 * unit}
	weighs(t, b, pardon, now, 6*unit, trust.Uncapped)
	if s := b.Scores(agent(0), now)[0]; s.Violations != 2*unit || s.Debt != 0 {
		t.Errorf("%+v", s)
	}
	if s := b.Scores(agent(1), now)[0]; s.Debt != unit/2 {
		t.Errorf("%+v", s)
	}
	if s := b.Scores(agent(3), now)[0]; s.Debt != 2*unit {
		t.Errorf("it inherits what is no longer owed: %+v", s)
	}
	debtor := pardon
	debtor.Subject, debtor.Amount = agent(3), unit
	b.Apply(debtor, now)
	b.Apply(violated(2), now)
	if s := b.Scores(agent(3), now)[0]; s.Debt != 5*unit { // of 1 and 4: it was 7 of 8 that it inherited
		t.Errorf("what it inherited is not pardoned: %+v", s)
	}
	pardon.Amount = math.MaxInt64
	b.Apply(pardon, now)
	if a := account(t, b, 0); a.Violations != 0 || a.Own != 0 {
		t.Errorf("%+v", a)
	}
	pardon.Amount = -unit
	weighs(t, b, pardon, now, 0, trust.Uncapped)
}

// TestWhoComesInAnothersPlaceIsNotCleaner: its account begins with the operator's last violations.
func TestWhoComesInAnothersPlaceIsNotCleaner(t *testing.T) {
	b := opened(2)
	b.Apply(violated(2), now+5)
	b.Open(agent(2), operator(0), identity.Observer, now+10)
	b.Open(agent(3), operator(1), identity.Observer, now+10)
	if got := account(t, b, 2).Climb.Severity; got != [4]int64{0, now + 5} {
		t.Error(got)
	}
	if got := account(t, b, 3).Climb.Severity; got != [4]int64{} {
		t.Error(got)
	}
	again := restored(t, b)
	again.Open(agent(4), operator(0), identity.Observer, now+20)
	if got := account(t, again, 4).Climb.Severity; got != [4]int64{0, now + 5} {
		t.Error("after a snapshot:", got)
	}
}

func TestAlarmsDoNotAddUpAndPass(t *testing.T) {
	b := opened(1)
	raise(b, 0, 0, now)
	at := now + 60*aDay
	was := b.Scores(agent(0), at)[0].Value
	alarm := trust.Event{Act: trust.Alarm, Subject: agent(0), By: agent(5), Operator: operator(5), Value: 900}
	got := weighs(t, b, alarm, at, -600*unit, trust.ByLimit)
	if got.Nominal != -900*unit || got.After[0] != was*400/1000 {
		t.Fatalf("%+v, before %d", got, was)
	}
	b.Apply(alarm, at)
	alarm.Value = 100
	b.Apply(alarm, at)
	if q := b.Suspicion(agent(0), at); q != 600 {
		t.Fatal(q)
	}
	if q := b.Suspicion(agent(0), at+aDay/4); q < 297 || q > 300 {
		t.Fatalf("%d after a half-life", q)
	}
	if now, then := b.Scores(agent(0), at+10*aDay)[0], was; now.Suspicion != 0 || now.Value < then*9/10 {
		t.Fatalf("%+v, before %d", now, then)
	}
	alarm.Value, alarm.Rooted = 2000, true
	weighs(t, b, alarm, at, -1000*unit, trust.Uncapped)
	if s := b.Scores(agent(0), at)[0]; s.Value != 0 || s.Suspicion != 1000 {
		t.Fatalf("%+v", s)
	}
	if q := b.Suspicion(agent(9), at); q != 0 {
		t.Fatalf("%d on a stranger", q)
	}
}

func TestVotesCountByTheirError(t *testing.T) {
	for _, row := range []struct {
		value     int64
		good, bad trust.Micro
	}{
		{0, unit / 5, 0}, {125, unit / 10, 0}, {249, unit / 1250, 0}, {250, 0, 0}, {625, 0, unit / 10}, {1000, 0, unit / 5},
		{-4, unit / 5, 0}, {4000, 0, unit / 5},
	} {
		b := opened(1)
		e := b.Apply(trust.Event{Act: trust.Settled, Subject: agent(0), Class: 2, Value: row.value}, now)
		a := account(t, b, 0)
		if a.Good[2] != row.good || a.Bad[2] != row.bad || a.Climb.Votes != 1 || e.Weight != row.good-row.bad || a.FundsFor != 0 {
			t.Errorf("%d: %+v, %d", row.value, a, e.Weight)
		}
	}
}
