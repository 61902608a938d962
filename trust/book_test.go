package trust_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const (
	aDay = int64(24 * 60 * 60 * 1000)
	unit = trust.Unit
)

// bookID returns the n-th principal of a role without making a key for it.
func bookID(role identity.Role, n int) identity.ID {
	var id identity.ID
	id[0], id[1], id[2], id[3] = byte(role), byte(n>>16), byte(n>>8), byte(n)+1
	return id
}

func agent(n int) identity.ID    { return bookID(identity.Agent, n) }
func operator(n int) identity.ID { return bookID(identity.Operator, n) }

// opened returns a book with n agents, each of its own operator.
func opened(n int) *trust.Book { return peopled(n, n) }

// attested is an outcome of agent 0, attested by operator n itself.
func attested(n int, ok bool) trust.Event {
	return trust.Event{Act: trust.Outcome, Subject: agent(0), By: operator(n), Operator: operator(n), Rooted: true, OK: ok}
}

// attestedBy is an outcome of agent 0, attested by agent n.
func attestedBy(n int, ok bool) trust.Event {
	return trust.Event{Act: trust.Outcome, Subject: agent(0), By: agent(n), Operator: operator(n), OK: ok}
}

// rated is agent n's opinion of agent 0.
func rated(n int, value int64) trust.Event {
	return trust.Event{Act: trust.Rating, Subject: agent(0), By: agent(n), Operator: operator(n), Value: value}
}

// praised is person n's word for the agent.
func praised(who, n int, amount trust.Micro) trust.Event {
	return trust.Event{
		Act: trust.Endorsement, Subject: agent(who), By: operator(n), Operator: operator(n), Rooted: true, Amount: amount,
	}
}

func violated(severity uint8) trust.Event {
	return trust.Event{Act: trust.Violation, Subject: agent(0), Severity: severity}
}

func account(t *testing.T, b *trust.Book, n int) trust.Account {
	t.Helper()
	a, ok := b.Account(agent(n))
	if !ok {
		t.Fatalf("no account of agent %d", n)
	}
	return a
}

// weighs applies the event and asks for its weight and cap.
func weighs(t *testing.T, b *trust.Book, e trust.Event, at int64, weight trust.Micro, by trust.Cap) trust.Effect {
	t.Helper()
	got := b.Apply(e, at)
	if got.Weight != weight || got.Cap != by {
		t.Fatalf("%v weighs %d by %q, not %d by %q", e.Act, got.Weight, got.Cap, weight, by)
	}
	return got
}

// raise gives agent n many good outcomes of the class, by operators 1000 and above, until the day returned.
func raise(b *trust.Book, n int, class uint8, at int64) int64 { return raiseAll(b, class, at, n) }

// raiseAll does so for several agents.
func raiseAll(b *trust.Book, class uint8, at int64, agents ...int) int64 {
	for range 60 {
		for _, n := range agents {
			for by := range 3 {
				e := attested(1000+by, true)
				e.Subject, e.Class = agent(n), class
				b.Apply(e, at)
			}
		}
		at += aDay
	}
	return at
}

func TestANewcomerHasNoScore(t *testing.T) {
	b := opened(1)
	for c, s := range b.Scores(agent(0), now) {
		want := trust.Score{Class: uint8(c), Fast: 1000, Integrity: 1000, Uncertainty: 1000}
		if s != want {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range b.Scores(agent(7), now) {
		if s != (trust.Score{}) {
			t.Errorf("a stranger: %+v", s)
		}
	}
}

func TestOutcomesWeighAWholeUnitAPiece(t *testing.T) {
	b := opened(1)
	got := weighs(t, b, attested(1, true), now, unit, trust.Uncapped)
	// 1 of 1 + 8 unknown; in class 1 half of it counts.
	if got.Nominal != unit || got.Before != [4]uint64{} || got.After != [4]uint64{111, 58, 0, 0} {
		t.Fatalf("%+v", got)
	}
	got = weighs(t, b, attested(2, false), now, -unit, trust.Uncapped)
	if got.Nominal != -unit || got.After != [4]uint64{83, 43, 0, 0} { // 1 of 1 + 3 + 8
		t.Fatalf("%+v", got)
	}
	s := b.Scores(agent(0), now)[0]
	if s.Good != unit || s.Bad != 3*unit || s.Belief != 83 || s.Disbelief != 250 || s.Uncertainty != 667 || s.Fast != 625 {
		t.Fatalf("%+v", s)
	}
}

func TestEvidenceCountsForItsClassAndThoseBelow(t *testing.T) {
	for class, want := range [][4]uint64{{111, 58, 0, 0}, {111, 111, 58, 0}, {111, 111, 111, 58}, {111, 111, 111, 111}} {
		b := opened(1)
		e := attested(1, true)
		e.Class = uint8(class)
		if got := b.Apply(e, now).After; got != want {
			t.Errorf("class %d: %v, not %v", class, got, want)
		}
		e.OK = false // a failure counts against every class
		if got := b.Apply(e, now).After; got[0] >= want[0] || got[1] >= want[1] {
			t.Errorf("class %d: %v after a failure, %v before", class, got, want)
		}
	}
	b := opened(1)
	e := attested(1, true)
	e.Class = 200
	if got := b.Apply(e, now); got.Class != 3 || got.After != [4]uint64{111, 111, 111, 111} {
		t.Fatalf("a class that there is not counts as the highest: %+v", got)
	}
}

func TestADayIsWorthThreeUnits(t *testing.T) {
	b := opened(1)
	for n := range 3 {
		weighs(t, b, attested(n+1, true), now, unit, trust.Uncapped)
	}
	weighs(t, b, attested(4, true), now, 3*unit/4, trust.ByDay)
	weighs(t, b, attested(5, true), now, 3*unit/5, trust.ByDay)
	var sum trust.Micro
	for n := range 100 { // the next days know how many there were
		sum = 0
		for k := range 30 {
			sum += b.Apply(attested(k, true), now+int64(n+1)*aDay+int64(k)).Weight
		}
	}
	if sum != 3*unit {
		t.Fatalf("30 outcomes weigh %d", sum)
	}
}

func TestOneOperatorsDayIsAUnit(t *testing.T) {
	b := opened(1)
	weighs(t, b, attested(1, true), now, unit, trust.Uncapped)
	weighs(t, b, attested(1, true), now, 0, trust.ByOne)
	weighs(t, b, attested(1, false), now, -unit/3, trust.ByOne) // the third of its word today; failures have their own unit
	weighs(t, b, attested(2, true), now, unit, trust.Uncapped)  // many words of one do not make others' less
	next := now + aDay
	for range 3 {
		weighs(t, b, attested(1, true), next, unit/3, trust.ByOne) // it spoke three times yesterday
	}
	weighs(t, b, attested(1, true), next, 1, trust.ByOne) // what the thirds left over
	weighs(t, b, attested(1, true), next, 0, trust.ByOne)
}

// TestInventedSuccessesDoNotHideFailures: an agent that fails all of twenty requests a day, by two operators, stays bad
// however many invented successes a few other operators attest. When a day was shared by the number of outcomes, three
// operators made it 743.
func TestInventedSuccessesDoNotHideFailures(t *testing.T) {
	for _, row := range []struct {
		operators int
		most      uint64
	}{{1, 160}, {2, 270}, {3, 350}} { // measured: 140, 244, 325
		b := opened(1)
		for d := range int64(200) {
			for k := range 220 {
				e := attested(1+k%2, false)
				if k%11 != 0 {
					e = attested(9+k%row.operators, true)
				}
				b.Apply(e, now+d*aDay+int64(k)*60_000)
			}
		}
		if got := b.Scores(agent(0), now+200*aDay)[0].Value; got > row.most {
			t.Errorf("%d operators make it %d", row.operators, got)
		}
	}
}

// TestAFullDayHidesNoFailure: after a day begun well, failures weigh as much as they would have at its beginning.
func TestAFullDayHidesNoFailure(t *testing.T) {
	for _, failsFirst := range []bool{true, false} {
		b := opened(1)
		var bad trust.Micro
		for d := range 2 {
			bad = 0
			for k := range 20 {
				failure := k < 4 && failsFirst || k >= 16 && !failsFirst
				if e := b.Apply(attested(1, !failure), now+int64(d)*aDay+int64(k)); e.Weight < 0 {
					bad -= e.Weight
				}
			}
		}
		if bad != 4*unit/20 {
			t.Errorf("fails first: %v: four failures of twenty weigh %d", failsFirst, bad)
		}
	}
}

func TestAnAttesterNeedsStandingAndFunds(t *testing.T) {
	b := opened(3)
	weighs(t, b, attestedBy(1, true), now, 0, trust.ByNothing)
	weighs(t, b, attestedBy(1, false), now, 0, trust.ByNothing)
	stranger := attested(9, true)
	stranger.By, stranger.Rooted = agent(99), false
	weighs(t, b, stranger, now, 0, trust.ByNothing)
	if a := account(t, b, 0); a.Climb.Outcomes != [4]uint32{} {
		t.Fatal("an outcome of no weight helps up")
	}
	at := raise(b, 1, 0, now)
	word := trust.Micro(b.Scores(agent(1), at)[0].Value)
	if word < 800 {
		t.Fatal(word)
	}
	before := account(t, b, 1)
	weighs(t, b, attestedBy(1, true), at, word*1000, trust.Uncapped)
	weighs(t, b, attestedBy(1, false), at, -unit/2, trust.ByOne) // of the operator's day, its two words share
	after := account(t, b, 1)
	if spent := before.FundsFor - after.FundsFor; spent < word*1000 {
		t.Fatalf("good words cost %d of %d", spent, before.FundsFor)
	}
	if spent := before.FundsAgainst - after.FundsAgainst; spent < unit/2 {
		t.Fatalf("bad words cost %d of %d", spent, before.FundsAgainst)
	}
	high := attestedBy(1, true)
	high.Class = 2 // it has never done such work itself
	weighs(t, b, high, at, 0, trust.ByNothing)
	if a := account(t, b, 0); a.Climb.Outcomes != [4]uint32{1} || a.Climb.From[0] != operator(1) || !a.Climb.From[1].IsZero() {
		t.Fatalf("%+v", a.Climb)
	}
}

// TestAgentsFailuresAreOpinions: however many established agents attest failures, of what people attested they take off a
// twentieth; a person's word, or that of an agent that attests as its operator would, counts in full.
func TestAgentsFailuresAreOpinions(t *testing.T) {
	b := opened(8)
	at := raiseAll(b, 0, now, 0, 1, 2, 3, 4, 5, 6, 7)
	was := b.Scores(agent(0), at)[0]
	e := b.Apply(attestedBy(1, false), at)
	if a := account(t, b, 0); a.Slandered != -e.Weight*3/2 || a.Bad[0] != 0 || a.FastBad != 0 || a.Good[0] != was.Good {
		t.Fatalf("%d: %+v", e.Weight, a)
	}
	if s := b.Scores(agent(0), at)[0]; s.Bad != -3*e.Weight || s.Fast != was.Fast || s.Value >= was.Value {
		t.Fatalf("%+v, before %+v", s, was)
	}
	for d := range int64(10) {
		for n := 1; n < 8; n++ {
			b.Apply(attestedBy(n, false), at+d*aDay)
			b.Apply(rated(n, -1000), at+d*aDay)
		}
	}
	s := b.Scores(agent(0), at+9*aDay)[0]
	if s.Value < was.Value*93/100 || s.Value > was.Value*96/100 { // a twentieth, and what nine idle days cost
		t.Fatalf("%d, before %d", s.Value, was.Value)
	}
	for n := range 3 { // the opinions of the day leave it empty
		weighs(t, b, attested(20+n, false), at+9*aDay, -unit, trust.Uncapped)
	}
	if a := account(t, b, 0); a.Bad[0] != 3*unit || a.FastBad != 3*unit {
		t.Fatalf("%+v", a)
	}
}

// TestWhatPeersGavePeersCanTake: of an agent whose work only agents attest, their failures count in full.
func TestWhatPeersGavePeersCanTake(t *testing.T) {
	b := opened(4)
	at := raiseAll(b, 0, now, 1, 2, 3)
	for d := range int64(20) {
		for n := 1; n < 4; n++ {
			b.Apply(attestedBy(n, true), at+d*aDay)
		}
	}
	at += 19 * aDay
	a := account(t, b, 0)
	if a.Peers != a.Good || a.Good[0] < 20*unit {
		t.Fatalf("%+v", a)
	}
	e := b.Apply(attestedBy(1, false), at)
	after := account(t, b, 0)
	if took := a.Good[0] - after.Good[0]; took != -3*e.Weight || after.Peers != after.Good || after.Slandered != 0 {
		t.Fatalf("a failure of %d took %d: %+v", e.Weight, took, after)
	}
	for d := range int64(40) {
		for n := 1; n < 4; n++ {
			e = b.Apply(attestedBy(n, false), at+d*aDay)
		}
	}
	after = account(t, b, 0)
	if after.Good != [4]trust.Micro{} || after.Peers != after.Good || after.Slandered == 0 {
		t.Fatalf("%+v", after)
	}
}

// TestPeersTakeOfTheirClassFirst, and then of the others, never more than there is.
func TestPeersTakeOfTheirClassFirst(t *testing.T) {
	b := opened(4)
	at := raiseAll(b, 2, now, 1, 2, 3)
	for class, n := range []int{1, 2, 3} {
		e := attestedBy(n, true)
		e.Class = uint8(class)
		b.Apply(e, at)
	}
	a := account(t, b, 0)
	b.Apply(trust.Event{Act: trust.Settled, Subject: agent(0), Class: 1}, at) // a vote is no peer's gift
	e := attestedBy(1, false)
	e.Class = 1
	took := -3 * b.Apply(e, at).Weight
	after := account(t, b, 0)
	if took <= a.Good[1] || took >= a.Good[1]+a.Good[2] {
		t.Fatalf("the case proves nothing: %d of %v", took, a.Good)
	}
	left := a.Good[1] + a.Good[2] - took
	if after.Peers != [4]trust.Micro{a.Good[0], 0, left} || after.Good != [4]trust.Micro{a.Good[0], unit / 5, left} {
		t.Fatalf("%v and %v after %d of %v", after.Peers, after.Good, took, a.Good)
	}
}

// TestASmallWordIsSmall: an attester of little standing neither helps up nor fills the day for others.
func TestASmallWordIsSmall(t *testing.T) {
	b := opened(2)
	e := attested(7, true)
	e.Subject = agent(1)
	for n := range 3 {
		e.By, e.Operator = operator(7+n), operator(7+n)
		b.Apply(e, now)
	}
	word := trust.Micro(b.Scores(agent(1), now)[0].Value)
	if word < 200 || word > 400 {
		t.Fatal(word)
	}
	for n := range 50 {
		got := b.Apply(attestedBy(1, true), now)
		if n == 0 && got.Weight == 0 || got.Nominal != word*1000 {
			t.Fatalf("%+v", got)
		}
	}
	if a := account(t, b, 0); a.Climb.Outcomes != [4]uint32{} || !a.Climb.From[0].IsZero() {
		t.Fatalf("%+v", a.Climb)
	}
	if got := b.Apply(attested(9, true), now); got.Weight < unit/5 {
		t.Fatalf("after fifty words of %d per mille a person's weighs %d", word, got.Weight)
	}
}

func TestAWordCostsAQuarterOfTheFunds(t *testing.T) {
	b := opened(3)
	weighs(t, b, praised(1, 9, 2*unit), now, 2*unit, trust.Uncapped)
	if a := account(t, b, 1); a.FundsFor != unit || a.FundsAgainst != unit || a.Endorsed != 2*unit {
		t.Fatalf("%+v", a)
	}
	weighs(t, b, rated(1, 1000), now, unit/4, trust.ByFunds)
	weighs(t, b, rated(1, 1000), now, 3*unit/16, trust.ByFunds)
	weighs(t, b, rated(1, -1000), now, -unit/4, trust.ByFunds)
	weighs(t, b, rated(1, 100), now, unit/10, trust.Uncapped)
	weighs(t, b, rated(1, 0), now, 0, trust.Uncapped)
	a := account(t, b, 0)
	if a.Endorsed != unit/4+3*unit/16+unit/10 || a.Slandered != unit/4 || a.FundsFor != a.Endorsed/2 || a.FundsAgainst != a.FundsFor {
		t.Fatalf("%+v", a)
	}
	by := account(t, b, 1)
	if by.FundsFor != unit-a.Endorsed || by.FundsAgainst != unit-unit/4 {
		t.Fatalf("%+v", by)
	}
	weighs(t, b, rated(2, 1000), now, 0, trust.ByFunds)
	weighs(t, b, rated(2, -1000), now, 0, trust.ByFunds)
	stranger := rated(2, -1000)
	stranger.By = agent(99)
	weighs(t, b, stranger, now, 0, trust.ByFunds)
}
