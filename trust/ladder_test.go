package trust

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestLadderPassesItsCheck(t *testing.T) {
	if err := CheckRungs(Ladder()); err != nil {
		t.Fatal(err)
	}
	Ladder()[2].Score = 1
	if Ladder()[2].Score != 700 {
		t.Error("a caller changed everybody's ladder")
	}
	solo := Ladder()
	for i := range solo {
		solo[i].People, solo[i].Operators, solo[i].Foreign = 1, 0, 0
	}
	if err := CheckRungs(solo); err != nil {
		t.Errorf("a solo realm's ladder: %v", err)
	}
}

func TestCheckRungs(t *testing.T) {
	for _, row := range []struct {
		field  string // "" is the ladder as a whole
		change func(r []Rung) []Rung
	}{
		{"", func(r []Rung) []Rung { return r[:4] }},
		{"", func(r []Rung) []Rung { return append(r, r[4]) }},
		{"", func([]Rung) []Rung { return nil }},
		{"L1.People", func(r []Rung) []Rung { r[0].People = 0; return r }},
		{"L1.Floor", func(r []Rung) []Rung { r[0].Score, r[0].Floor = 100, 50; return r }},
		{"L1.Lease", func(r []Rung) []Rung { r[0].Lease = day; return r }},
		{"L2.Class", func(r []Rung) []Rung { r[1].Class = 4; return r }},
		{"L2.Score", func(r []Rung) []Rung { r[1].Score = 1001; return r }},
		{"L2.Held", func(r []Rung) []Rung { r[1].Held = -1; return r }},
		{"L2.Floor", func(r []Rung) []Rung { r[1].Floor = 451; return r }},
		{"L2.Floor", func(r []Rung) []Rung { r[1].Floor = 900; return r }},
		{"L2.Tenure", func(r []Rung) []Rung { r[1].Tenure = 3651 * day; return r }},
		{"L2.Outcomes", func(r []Rung) []Rung { r[1].Outcomes = 1_000_001; return r }},
		{"L2.InClass", func(r []Rung) []Rung { r[1].InClass = 31; return r }},
		{"L2.Operators", func(r []Rung) []Rung { r[1].Operators = 5; return r }},
		{"L2.Operators", func(r []Rung) []Rung { r[1].Outcomes, r[1].Operators = 1, 2; return r }},
		{"L4.Votes", func(r []Rung) []Rung { r[3].Votes = 1_000_001; return r }},
		{"L4.Clean", func(r []Rung) []Rung { r[3].Clean = 5; return r }},
		{"L4.CleanFor", func(r []Rung) []Rung { r[3].Clean = 2; return r }},
		{"L4.CleanFor", func(r []Rung) []Rung { r[3].CleanFor = day; return r }},
		{"L4.People", func(r []Rung) []Rung { r[3].People = 17; return r }},
		{"L4.Foreign", func(r []Rung) []Rung { r[3].Foreign = 3; return r }},
		{"L4.Lease", func(r []Rung) []Rung { r[3].Lease = day - 1; return r }},
		{"L3.Score", func(r []Rung) []Rung { r[2].Score, r[2].Floor = 450, 400; return r }},
		{"L3.Class", func(r []Rung) []Rung { r[1].Class = 2; return r }},
		{"L3.Held", func(r []Rung) []Rung { r[2].Held = day; return r }},
		{"L3.Floor", func(r []Rung) []Rung { r[2].Floor = 399; return r }},
		{"L3.Tenure", func(r []Rung) []Rung { r[2].Tenure = day; return r }},
		{"L3.Outcomes", func(r []Rung) []Rung { r[2].Outcomes = 29; return r }},
		{"L5.InClass", func(r []Rung) []Rung { r[4].InClass = 0; return r }},
		{"L5.Votes", func(r []Rung) []Rung { r[4].Votes = 19; return r }},
		{"L5.People", func(r []Rung) []Rung { r[4].People, r[4].Foreign = 1, 1; return r }},
		{"L5.Foreign", func(r []Rung) []Rung { r[4].Foreign = 1; return r }},
	} {
		err := CheckRungs(row.change(Ladder()))
		var named interface{ Field() string }
		if !errors.As(err, &named) || named.Field() != row.field || !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("want %q, got %v", row.field, err)
		} else if !strings.Contains(err.Error(), row.field) {
			t.Errorf("%v does not name %q", err, row.field)
		}
	}
}

// ready is what the third rung asks for, to the last of it.
func ready(now int64) Climb {
	return Climb{
		Since: now - 14*day, HeldSince: now - 7*day, Outcomes: [Classes]uint32{20, 30, 10},
		From: [4]identity.ID{{1}, {2}},
	}
}

func TestWhatARungAsksFor(t *testing.T) {
	const now = 1000 * day
	fourth := Ladder()[3]
	for _, row := range []struct {
		name    string
		rung    Rung
		score   uint64
		change  func(c *Climb)
		missing string // "": nothing
	}{
		{"ready", Ladder()[2], 700, func(*Climb) {}, ""},
		{"score", Ladder()[2], 699, func(*Climb) {}, "score: 699 of 700 per mille"},
		{"not held at all", Ladder()[2], 700, func(c *Climb) { c.HeldSince = 0 }, "held: 0 of 604800000 ms"},
		{"not held long enough", Ladder()[2], 700, func(c *Climb) { c.HeldSince++ }, "held: 604799999 of 604800000 ms"},
		{"held since tomorrow", Ladder()[2], 700, func(c *Climb) { c.HeldSince = now + day }, "held: 0 of 604800000 ms"},
		{"tenure", Ladder()[2], 700, func(c *Climb) { c.Since++ }, "tenure: 1209599999 of 1209600000 ms"},
		{"outcomes", Ladder()[2], 700, func(c *Climb) { c.Outcomes[0]-- }, "outcomes: 59 of 60 outcomes"},
		{"operators", Ladder()[2], 700, func(c *Climb) { c.From[1] = identity.ID{} }, "operators: 1 of 2 operators"},
		{"violation of severity 1", Ladder()[2], 700, func(c *Climb) { c.Severity[0] = now - 1 }, ""},
		{"violation of severity 2", Ladder()[2], 700, func(c *Climb) { c.Severity[1] = now - 90*day + 1 },
			"clean: 7775999999 of 7776000000 ms"},
		{"violation of severity 4", Ladder()[2], 700, func(c *Climb) { c.Severity[3] = now }, "clean: 0 of 7776000000 ms"},
		{"the newer of two violations", Ladder()[2], 700, func(c *Climb) { c.Severity[1], c.Severity[2] = now-100*day, now-2*day },
			"clean: 172800000 of 7776000000 ms"},
		{"old violation", Ladder()[2], 700, func(c *Climb) { c.Severity[1] = now - 90*day }, ""},
		{"dwell", Ladder()[2], 700, func(c *Climb) { c.Demoted[0], c.Blocked = now-13*day, now+day },
			"dwell: 1123200000 of 1209600000 ms"},
		{"dwell over", Ladder()[2], 700, func(c *Climb) { c.Demoted[0], c.Blocked = now-14*day, now }, ""},
		{"fourth", fourth, 800, func(c *Climb) {
			*c = Climb{Since: now - 30*day, HeldSince: now - 14*day, Outcomes: [Classes]uint32{270, 0, 20, 10}, Votes: 20}
		}, ""},
		{"in class", fourth, 800, func(c *Climb) {
			*c = Climb{Since: now - 30*day, HeldSince: now - 14*day, Outcomes: [Classes]uint32{200, 71, 19, 10}, Votes: 20}
		}, "in-class: 29 of 30 outcomes"},
		{"votes", fourth, 800, func(c *Climb) {
			*c = Climb{Since: now - 30*day, HeldSince: now - 14*day, Outcomes: [Classes]uint32{270, 0, 30}, Votes: 19}
		}, "votes: 19 of 20 votes"},
		{"the first rung asks for people only", Ladder()[0], 0, func(c *Climb) { *c = Climb{} }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := ready(now)
			row.change(&c)
			err := missing(c.asks(row.rung, row.score, now))
			switch {
			case row.missing == "" && err != nil:
				t.Error(err)
			case row.missing != "" && (!errors.Is(err, ErrUnripe) || !strings.HasSuffix(err.Error(), row.missing)):
				t.Errorf("got %v, want %s", err, row.missing)
			}
		})
	}
}

func TestConditionsStandInAFixedOrder(t *testing.T) {
	everything := Rung{Score: 1, Held: 1, Tenure: 1, Outcomes: 1, InClass: 1, Operators: 1, Votes: 1, Clean: 1, CleanFor: 1}
	var got []string
	for _, c := range (Climb{Blocked: 10, Demoted: [8]int64{5}}).asks(everything, 0, 7) {
		got = append(got, c.Name)
	}
	if want := "score held tenure outcomes in-class operators votes clean dwell"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	suspected := atMost(suspicion, 301, 300)
	if suspected.Met || suspected.String() != "suspicion: 301, at most 300" || !atMost(suspicion, 300, 300).Met {
		t.Errorf("%+v", suspected)
	}
}

func TestHysteresis(t *testing.T) {
	const now = 1000 * day
	at := func(value uint64) (s [Classes]Score) {
		for i := range s {
			s[i].Competence, s[i].Integrity, s[i].Suspicion = value, 1000, 1000 // suspicion does not matter here
		}
		return s
	}
	var a Account
	for i, step := range []struct {
		value     uint64
		held, low int64
	}{
		{700, now, 0}, {799, now, 0}, {699, 0, 0}, // below the next score: held no more, and not low either
		{600, 0, 0}, {499, 0, 0}, {400, 0, 0}, {399, 0, now + 6}, {0, 0, now + 6}, {400, 0, 0}, {399, 0, now + 9},
		{700, now + 10, 0},
	} {
		a.note(Ladder(), at(step.value), identity.Apprentice, now+int64(i))
		if a.Climb.HeldSince != step.held || a.Climb.LowSince != step.low {
			t.Errorf("step %d, score %d: held since %d, low since %d", i, step.value, a.Climb.HeldSince, a.Climb.LowSince)
		}
	}
	a.note(Ladder(), at(0), identity.Observer, now)
	if a.Climb.LowSince != 0 {
		t.Error("L1 has a floor")
	}
	a.note(Ladder(), at(1000), identity.Steward, now)
	if a.Climb.HeldSince != 0 {
		t.Error("L5 has a next level")
	}
}

func TestJudge(t *testing.T) {
	const now = 1000 * day
	p, third := Defaults(), Ladder()[2]
	for _, row := range []struct {
		name   string
		fast   uint64
		change func(a *Account)
		why    Why // 0: stays
	}{
		{"stays", 1000, func(*Account) {}, 0},
		{"just above the floor's grace", 1000, func(a *Account) { a.Climb.LowSince = now - day + 1 }, 0},
		{"below the floor for a day", 1000, func(a *Account) { a.Climb.LowSince = now - day }, Sank},
		{"fast enough", 500, func(*Account) {}, 0},
		{"sudden", 499, func(*Account) {}, Fell},
		{"sudden again within the grace", 0, func(a *Account) {
			a.Turns = append(a.Turns, Turn{At: now - day + 1, From: 4, To: 3, Why: Fell})
		}, 0},
		{"sudden again after it", 0, func(a *Account) {
			a.Turns = append(a.Turns, Turn{At: now - day, From: 4, To: 3, Why: Fell})
		}, Fell},
		{"sudden soon after another reason", 0, func(a *Account) {
			a.Turns = append(a.Turns, Turn{At: now - 1, From: 4, To: 3, Why: Violated})
		}, Fell},
		{"lease not over", 1000, func(a *Account) { a.Climb.Until = now + 1 }, 0},
		{"lease over", 1000, func(a *Account) { a.Climb.Until = now }, Lapsed},
		{"appointed, with no evidence", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince = []Turn{{To: 3, Why: Appointed}}, now-100*day
		}, 0},
		{"enrolled, with no evidence", 1000, func(a *Account) { a.Turns, a.Climb.LowSince = nil, now-100*day }, 0},
		{"appointed, evidence short by one", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince, a.Climb.Outcomes = nil, now-day, [Classes]uint32{58, 1}
		}, 0},
		{"appointed, by now with evidence", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince, a.Climb.Outcomes = nil, now-day, [Classes]uint32{58, 1, 1}
		}, Sank},
		{"appointed higher and fallen, with no evidence", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince = []Turn{{To: 4, Why: Appointed}, {From: 4, To: 3, Why: Inherited}}, now-day
		}, 0},
		{"earned higher and fallen", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince = append(a.Turns, Turn{From: 3, To: 4, Why: Earned}, Turn{From: 4, To: 3, Why: Changed}), now-day
		}, Sank},
		{"earned, lost and appointed", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince = append(a.Turns, Turn{From: 2, To: 3, Why: Appointed}), now-day
		}, 0},
		{"lease renewed", 1000, func(a *Account) {
			a.Turns, a.Climb.LowSince = []Turn{{From: 3, To: 3, Why: Renewed}}, now-day
		}, Sank},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := Account{Turns: []Turn{{At: 1, From: 2, To: 3, Why: Earned}}}
			row.change(&a)
			to, why, falls := a.judge(p, third, row.fast, identity.Journeyer, now)
			if why != row.why || falls != (row.why != 0) || (falls && to != identity.Apprentice) {
				t.Errorf("to %s by %s, %v", to, why, falls)
			}
		})
	}
}

func TestPenalty(t *testing.T) {
	for severity, want := range [][6]identity.Level{
		{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 1, 2, 3, 4}, {0, 1, 1, 1, 1, 1}, {}, {},
	} {
		for at, level := range want {
			if got := Penalty(uint8(severity), identity.Level(at)); got != level {
				t.Errorf("severity %d at L%d: %s, want %s", severity, at, got, level)
			}
		}
	}
	for at, want := range []identity.Level{0, 1, 1, 2, 3, 3} {
		if got := Remade(identity.Level(at)); got != want {
			t.Errorf("remade at L%d: %s, want %s", at, got, want)
		}
	}
}

// bookOf returns a book with one account, and that account.
func bookOf() (*Book, *Account, identity.ID) {
	b, id := NewBook(Defaults(), Ladder()), identity.ID{byte(identity.Agent), 7}
	a := &Account{Agent: id}
	b.agents[id] = a
	return b, a, id
}

func TestMovedBeginsAnew(t *testing.T) {
	const now = 1000 * day
	b, a, id := bookOf()
	a.Climb = ready(now)
	a.Climb.Votes, a.Climb.LowSince, a.Climb.Severity[1] = 5, 9, 11
	b.Moved(id, Turn{At: now, Index: 3, From: 2, To: 3, Why: Earned})
	want := Climb{Since: now, Why: Earned, Until: now + 90*day, Votes: 5, Severity: [4]int64{0, 11}}
	if a.Climb != want {
		t.Errorf("got  %+v\nwant %+v", a.Climb, want)
	}
	if len(a.Turns) != 1 || a.Turns[0].Index != 3 {
		t.Errorf("%+v", a.Turns)
	}
	b.Moved(id, Turn{At: now + day, From: 3, To: 2, Why: Lapsed})
	if a.Climb.Until != 0 {
		t.Error("L2 has a lease")
	}
	b.Moved(identity.ID{1}, Turn{To: 3}) // nobody
	b.Moved(id, Turn{To: 6})             // nowhere
	if len(a.Turns) != 2 {
		t.Errorf("%+v", a.Turns)
	}
	for i := range int64(20) {
		b.Moved(id, Turn{At: now + i, From: 1, To: 2, Why: Earned})
	}
	if len(a.Turns) != 16 || a.Turns[15].At != now+19 {
		t.Errorf("%d turns, the last at %d", len(a.Turns), a.Turns[len(a.Turns)-1].At)
	}
}

func TestRenewalKeepsTenureAndCounts(t *testing.T) {
	const now = 1000 * day
	b, a, id := bookOf()
	b.Moved(id, Turn{At: now, From: 2, To: 3, Why: Earned})
	a.Climb.Outcomes[1], a.Climb.HeldSince = 40, now+day
	b.Moved(id, Turn{At: now + 80*day, From: 3, To: 3, Why: Renewed})
	want := Climb{Since: now, Why: Renewed, Until: now + 170*day, HeldSince: now + day, Outcomes: [Classes]uint32{0, 40}}
	if a.Climb != want {
		t.Errorf("got  %+v\nwant %+v", a.Climb, want)
	}
}

func TestDwellDoubles(t *testing.T) {
	const now = 1000 * day
	b, a, id := bookOf()
	at := int64(now)
	for i, want := range []int64{14, 28, 56, 112, 180, 180, 180, 180, 180, 180} {
		b.Moved(id, Turn{At: at, From: 4, To: 3, Why: Sank})
		if got := a.Climb.Blocked - at; got != want*day {
			t.Errorf("demotion %d: %d days, want %d", i+1, got/day, want)
		}
		b.Moved(id, Turn{At: at + day, From: 3, To: 4, Why: Earned})
		at += 2 * day
	}
	at = a.Climb.Demoted[0] + b.params.Longest // all but one of them are forgotten, and that one just so
	b.Moved(id, Turn{At: at, From: 4, To: 3, Why: Sank})
	if got := a.Climb.Blocked - at; got != 14*day {
		t.Errorf("after a long time: %d days", got/day)
	}
}

func TestDwellOfAChangeIsHalf(t *testing.T) {
	const now = 1000 * day
	b, a, id := bookOf()
	b.Moved(id, Turn{At: now, From: 4, To: 3, Why: Changed})
	if got := a.Climb.Blocked - now; got != 7*day {
		t.Errorf("%d days", got/day)
	}
	b.Moved(id, Turn{At: now + day, From: 3, To: 2, Why: Violated})
	if got := a.Climb.Blocked - now - day; got != 28*day {
		t.Errorf("%d days after the second", got/day)
	}
	blocked := a.Climb.Blocked
	b.Moved(id, Turn{At: now + 2*day, From: 2, To: 3, Why: Appointed})
	if a.Climb.Blocked != blocked {
		t.Error("an appointment ends the dwell")
	}
	huge := Climb{Demoted: [8]int64{1, 1, 1, 1, 1, 1, 1, 1}}
	huge.demote(Params{Dwell: 1 << 60, Longest: 1 << 61}, Turn{At: 2, From: 2, To: 1})
	if huge.Blocked != 2+1<<61 {
		t.Errorf("blocked until %d", huge.Blocked)
	}
}
