package simulate

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// worldOf returns a world of the populations that has not begun, of 60 days and four people.
func worldOf(populations ...Population) *world {
	s := &Scenario{Name: "test", Seed: 3, Days: 60, People: 4, Populations: populations}
	return newWorld(s, trust.Defaults(), trust.Ladder(), false)
}

// of returns a population of two agents that work ten times a day.
func of(name string, kind Kind) Population {
	return Population{
		Name: name, Kind: kind, Agents: 2, Operators: 2, Level: identity.Observer, Class: 1, Events: 10, SignOff: true,
		Threshold: 700, Alarm: 1000, Until: 60,
	}
}

func TestPlanSpreadsTheDay(t *testing.T) {
	p := of("a", Honest)
	p.Ratings, p.Alarms, p.Votes, p.Attack, p.Until = 3, 2, 7, 5, 6
	w := worldOf(p)
	for _, day := range []int64{0, 5, 6} {
		w.day = day
		begin := (epoch + day) * dayLength
		w.each(func(a *actor) { w.join(a, begin) })
		slots := w.plan(begin)
		want := 2 * (10 + 1)
		if day == 5 {
			want += 2 * (3 + 2)
		}
		if len(slots) != want {
			t.Errorf("day %d: %d slots, want %d", day, len(slots), want)
		}
		if !slices.IsSortedFunc(slots, func(a, b slot) int { return int(a.at - b.at) }) {
			t.Error("not in the order of time")
		}
		quarters := [4]int{}
		for _, s := range slots {
			if s.at < begin || s.at >= begin+dayLength {
				t.Fatalf("day %d: an event at %d", day, s.at-begin)
			}
			quarters[(s.at-begin)*4/dayLength]++
		}
		for q, n := range quarters {
			if n < 2 {
				t.Errorf("day %d: %d events in quarter %d", day, n, q)
			}
		}
	}
}

func TestVotesAreSpreadOverWeeks(t *testing.T) {
	p := of("a", Honest)
	p.Events, p.Votes, p.Failures = 0, 2, 0
	w := worldOf(p)
	w.play()
	a, _ := w.book.Account(w.actors[0][0].id)
	if a.Climb.Votes != 60*2/7 {
		t.Errorf("%d votes in 60 days", a.Climb.Votes)
	}
	if score := w.book.Scores(a.Agent, (epoch+60)*dayLength)[1].Value; score == 0 {
		t.Error("right votes earn nothing")
	}
}

// TestTheGreedyPlayAgainstEachRule: an oscillator offends by a rule exactly where that rule's score was at the threshold.
func TestTheGreedyPlayAgainstEachRule(t *testing.T) {
	w := worldOf(of("greedy", Oscillator))
	w.play()
	for _, a := range w.actors[0] {
		for r := byMean; r < ruleCount; r++ {
			alone, bad := newRules()[r], int64(0)
			for range a.stats.acts[r] {
				offends := alone.score() >= 700
				if offends {
					bad++
				}
				alone.observe(verdict(!offends))
			}
			if a.stats.acts[r] != 600 || a.stats.bad[r] != bad || a.rules[r].score() != alone.score() {
				t.Errorf("%s: %d of %d, alone %d", ruleNames[r], a.stats.bad[r], a.stats.acts[r], bad)
			}
		}
		if bad := a.stats.bad[byTrust]; bad == 0 || bad > 100 {
			t.Errorf("%d offences by the book", bad)
		}
	}
}

func TestAViolationTakesTheLevel(t *testing.T) {
	p := of("greedy", Oscillator)
	p.Offence, p.Level, p.SignOff = 3, identity.Apprentice, false
	w := worldOf(p)
	w.play()
	for _, a := range w.actors[0] {
		account, _ := w.book.Account(a.id)
		violated := slices.ContainsFunc(account.Turns, func(t trust.Turn) bool { return t.Why == trust.Violated && t.To == identity.Observer })
		if !violated || a.level != identity.Observer || account.Climb.Severity[2] == 0 || a.stats.bad[byTrust] != 1 {
			t.Errorf("on %s after %d offences: %+v", a.level, a.stats.bad[byTrust], account.Turns)
		}
	}
}

func TestSmallThingsEarnNoTrustInGreatOnes(t *testing.T) {
	p := of("small", Imbalance)
	p.Class, p.Cheat, p.Offence, p.Events = 0, 2, 2, 30
	w := worldOf(p)
	w.play()
	for _, a := range w.actors[0] {
		scores := w.book.Scores(a.id, (epoch+60)*dayLength)
		if scores[0].Value < 800 || scores[2].Value != 0 || a.stats.bad[byTrust] != 0 || a.stats.bad[byMean] == 0 {
			t.Errorf("%d and %d, %d offences, %d by the mean", scores[0].Value, scores[2].Value, a.stats.bad[byTrust], a.stats.bad[byMean])
		}
		if last := a.last(byTrust); last != 0 {
			t.Errorf("the score of its small things counts: %d", last)
		}
	}
}

func TestNobodySpeaksOfTheirOwn(t *testing.T) {
	p := of("one-house", Clique)
	p.Operators, p.Ratings, p.Attests, p.Endorsed = 1, 20, true, 3000
	w := worldOf(p)
	w.play()
	for _, a := range w.actors[0] {
		if a.stats.made != 0 {
			t.Errorf("made %d", a.stats.made)
		}
	}
	p.Operators = 2
	w = worldOf(p)
	w.play()
	if a := w.actors[0][0]; a.stats.made == 0 {
		t.Error("two houses make nothing")
	}
}

func TestAControlWorldHasNoAttacks(t *testing.T) {
	victims, liars := of("victims", Honest), of("liars", Slanderers)
	liars.Against, liars.Ratings, liars.Attests, liars.Attack = "victims", 10, true, 20
	alarms := of("alarms", Detector)
	alarms.Against, alarms.Alarms, alarms.Attack, alarms.Events = "victims", 10, 40, 0
	played := worldOf(victims, liars, alarms)
	played.play()
	calm := newWorld(played.Scenario, played.params, trust.Ladder(), true)
	calm.play()
	for i, a := range played.actors[0] {
		c := calm.actors[0][i]
		for day := range a.stats.history {
			same := a.stats.history[day] == c.stats.history[day]
			if same != (day < 20) && day < 40 {
				t.Errorf("day %d: %v and %v", day, a.stats.history[day], c.stats.history[day])
			}
		}
		if a.stats.acts != c.stats.acts || a.stats.bad != c.stats.bad {
			t.Error("the attack changes what its victims do")
		}
		if now := (int64(epoch) + 60) * dayLength; played.book.Suspicion(a.id, now) == 0 || calm.book.Suspicion(a.id, now) != 0 {
			t.Error("alarms are not told apart from calm")
		}
	}
}

func TestAgentsAttestInPeoplesPlace(t *testing.T) {
	verifiers, subjects, strangers := of("verifiers", Honest), of("subjects", Honest), of("strangers", Honest)
	verifiers.Agents, verifiers.Operators = 4, 4
	subjects.Attesters, subjects.From, subjects.Attack, subjects.Offend = "verifiers", 20, 20, 20
	strangers.Attesters = "subjects" // until these have joined, there is nobody
	w := worldOf(verifiers, subjects, strangers)
	w.play()
	if a := w.actors[1][0]; a.stats.inflow != 0 || a.last(byTrust) < 500 {
		t.Errorf("inflow %d, score %d", a.stats.inflow, a.last(byTrust))
	}
	if a := w.actors[2][0]; a.stats.history[19][byTrust] != 0 {
		t.Errorf("attested by nobody, and has %d", a.stats.history[19][byTrust])
	}
}

// TestPairsOfWhitewashers: both of a pair do the same until the offence; then one has a new name and the old operator.
func TestPairsOfWhitewashers(t *testing.T) {
	p := of("w", Whitewasher)
	p.Offence, p.Offend, p.Failures, p.Threshold = 2, 30, 50, 600
	w := worldOf(p)
	first := w.actors[0][1].id
	w.play()
	if len(w.actors[0]) != 4 {
		t.Fatalf("%d agents", len(w.actors[0]))
	}
	stays, washes := w.actors[0][0], w.actors[0][1]
	if !slices.Equal(stays.stats.history[:30], washes.stats.history[:30]) {
		t.Error("a pair differs before the offence")
	}
	if washes.id == first || stays.mend.since == 0 || stays.mend.since != washes.mend.since {
		t.Errorf("%+v and %+v", stays.mend, washes.mend)
	}
	account, _ := w.book.Account(washes.id)
	if account.Operator != washes.operator || account.Inherited == 0 || washes.level > stays.level {
		t.Errorf("%+v", account)
	}
	if stays.mend.days[byTrust] == never || washes.mend.days[byTrust] < stays.mend.days[byTrust] {
		t.Errorf("back after %d days, and after %d", stays.mend.days[byTrust], washes.mend.days[byTrust])
	}
}

func TestWhoOwesIsEnrolledLow(t *testing.T) {
	for _, row := range []struct {
		offence int64
		want    identity.Level
	}{{0, identity.Apprentice}, {1, identity.Observer}, {4, identity.Observer}} {
		p := of("w", Whitewasher)
		p.Offence, p.Offend, p.Level, p.Agents, p.Operators, p.SignOff = row.offence, 58, identity.Apprentice, 1, 1, false
		w := worldOf(p)
		w.play()
		if got := w.actors[0][1].level; got != row.want {
			t.Errorf("after an offence of %d: %s, want %s", row.offence, got, row.want)
		}
	}
}

func TestPeopleSignOff(t *testing.T) {
	signed, alone := of("signed", Honest), of("alone", Honest)
	alone.SignOff = false
	w := worldOf(signed, alone)
	w.play()
	if a := w.actors[0][0]; a.level != identity.Journeyer || a.stats.levels[2] < 7 || a.stats.levels[3] < a.stats.levels[2]+14 {
		t.Errorf("on %s, days %v", a.level, a.stats.levels)
	}
	if a := w.actors[1][0]; a.level != identity.Observer || a.stats.levels[2] != never {
		t.Errorf("on %s, days %v", a.level, a.stats.levels)
	}
}

func TestPeopleRenewLeases(t *testing.T) {
	p := of("long", Honest)
	s := &Scenario{Name: "test", Seed: 3, Days: 150, People: 4, Populations: []Population{p}}
	w := newWorld(s, trust.Defaults(), trust.Ladder(), false)
	w.play()
	a, _ := w.book.Account(w.actors[0][0].id)
	renewed := slices.IndexFunc(a.Turns, func(t trust.Turn) bool { return t.Why == trust.Renewed })
	if renewed < 0 || w.actors[0][0].level != identity.Journeyer || w.actors[0][0].stats.falls != 0 {
		t.Fatalf("%+v", a.Turns)
	}
	if after := (a.Turns[renewed].At - a.Turns[renewed-1].At) / dayLength; after < 87 || after > 90 {
		t.Errorf("renewed after %d days", after)
	}
}

// ended returns agents with the figures given, of two days each.
func ended(last ...uint16) (all []*actor) {
	for _, v := range last {
		a := &actor{Population: &Population{Threshold: 700}}
		a.stats.history = [][ruleCount]uint16{{}, {v, v, v, v}}
		all = append(all, a)
	}
	return all
}

func TestMedians(t *testing.T) {
	for _, row := range []struct {
		have []uint16
		want int64
	}{{[]uint16{5}, 5}, {[]uint16{9, 1}, 1}, {[]uint16{9, 1, 5}, 5}, {[]uint16{4, 3, 2, 1}, 2}} {
		if got := median(ended(row.have...), func(a *actor) int64 { return a.last(byTrust) }); got != row.want {
			t.Errorf("%v: %d, want %d", row.have, got, row.want)
		}
	}
	if got := lowest(ended(7, 3, 9), byEMA); got != 3 {
		t.Errorf("lowest is %d", got)
	}
	reached := []int64{never, 4, 9}
	i := -1
	next := func(*actor) int64 { i++; return reached[i%3] }
	if got := days(ended(0, 0, 0), next); got != 9 {
		t.Errorf("never, 4 and 9 days have the median %d", got)
	}
	if got := days(ended(0), func(*actor) int64 { return never }); got != never {
		t.Errorf("never is %d", got)
	}
}

func TestMoved(t *testing.T) {
	for _, row := range []struct {
		played, calm []uint16
		want         int64
	}{
		{[]uint16{500}, []uint16{500}, 0},
		{[]uint16{450}, []uint16{500}, 100},
		{[]uint16{550}, []uint16{500}, 100},
		{[]uint16{499, 400}, []uint16{500, 800}, 500}, // the one that is moved most
		{[]uint16{3}, []uint16{0}, 3000},
	} {
		for _, from := range []int{0, 1} {
			if got := moved(ended(row.played...), ended(row.calm...), byTrust, from); got != row.want {
				t.Errorf("%v of %v: %d, want %d", row.played, row.calm, got, row.want)
			}
		}
	}
}

func TestGain(t *testing.T) {
	pairs := func(back ...int64) []*actor {
		all := ended(make([]uint16, len(back))...)
		for i, d := range back {
			all[i].mend.level = d
		}
		return all
	}
	for _, row := range []struct {
		back []int64
		want int64
	}{
		{[]int64{10, 4}, 6},
		{[]int64{4, 10}, -6},
		{[]int64{never, 10}, 90},
		{[]int64{never, never}, 0},
		{[]int64{1, 2, 30, 5, 10, 9}, 5}, // medians 10 and 5
	} {
		if got := gain(pairs(row.back...), 100, func(m mend) int64 { return m.level }); got != row.want {
			t.Errorf("%v: %d, want %d", row.back, got, row.want)
		}
	}
}

func TestMisbehaviour(t *testing.T) {
	all := ended(1, 1)
	if got := misbehaviour(all, byTrust); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	all[0].stats.acts[byTrust], all[0].stats.bad[byTrust], all[1].stats.acts[byTrust] = 300, 1, 700
	if got := misbehaviour(all, byTrust); got != 1000 {
		t.Errorf("1 of 1000: %d", got)
	}
}
