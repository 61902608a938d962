package simulate

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// greatThings is how many of an imbalanced agent's acts are small for each that is great.
const greatThings = 10

// work has the agent do one thing that somebody asked for.
func (w *world) work(a *actor, now int64) {
	switch a.Kind {
	case Oscillator:
		w.greedy(a, a.Class, now)
	case Imbalance:
		if a.random.below(greatThings) == 0 {
			w.greedy(a, a.Cheat, now)
			return
		}
		w.do(a, now, false)
	case Whitewasher:
		if a.mend.since == 0 && w.day >= a.Offend {
			w.offendOnce(a, now)
			return
		}
		w.do(a, now, a.random.perMille(a.Failures))
		w.mended(a, now)
	default:
		w.do(a, now, a.random.perMille(a.Failures))
	}
}

// do has the agent do one thing in its class that everybody sees, well or not.
func (w *world) do(a *actor, now int64, fails bool) {
	w.outcome(a, a.Class, now, !fails)
	for r := range a.stats.acts {
		a.stats.acts[r]++
		if fails {
			a.stats.bad[r]++
		}
	}
	a.observe(verdict(!fails))
}

func verdict(ok bool) int64 {
	if ok {
		return 1000
	}
	return 0
}

// greedy has the agent offend if its score allows it. It plays against each rule on its own.
func (w *world) greedy(a *actor, class, now int64) {
	for r := range a.stats.acts {
		offends := w.score(a, r, class, now) >= a.Threshold
		a.stats.acts[r]++
		if offends {
			a.stats.bad[r]++
		}
		switch {
		case r != byTrust:
			a.rules[r].observe(verdict(!offends))
		case offends:
			w.offend(a, class, now)
		default: // what is small, if it is small things that it does well
			w.outcome(a, a.Class, now, true)
		}
	}
}

// offend has the agent break a rule, or fail.
func (w *world) offend(a *actor, class, now int64) {
	if a.Offence == 0 {
		w.outcome(a, class, now, false)
		return
	}
	person := w.people[a.random.below(w.People)]
	w.book.Apply(trust.Event{
		Act: trust.Violation, Subject: a.id, By: person, Operator: person, Rooted: true, Severity: uint8(a.Offence),
	}, now)
	if to := trust.Penalty(uint8(a.Offence), a.level); to != a.level {
		w.move(a, to, trust.Violated, now)
	}
	w.judge(a, now)
}

// outcome counts an outcome that one of the people attests, or of the attesters.
func (w *world) outcome(a *actor, class, now int64, ok bool) {
	e := trust.Event{Act: trust.Outcome, Subject: a.id, Class: uint8(class), OK: ok}
	if a.Attesters == "" {
		person := w.people[a.random.below(w.People)]
		e.By, e.Operator, e.Rooted = person, person, true
	} else if by := w.someone(a, a.Attesters); by != nil {
		e.By, e.Operator = by.id, by.operator
	} else {
		return
	}
	weight := w.book.Apply(e, now).Weight
	if e.Rooted {
		a.stats.inflow += max(weight, 0)
	}
	w.judge(a, now)
}

// offendOnce is a whitewasher's offence. Every second one begins anew at once, or goes on as its spare.
func (w *world) offendOnce(a *actor, now int64) {
	a.mend.since, a.mend.was = now, a.level
	w.offend(a, a.Class, now)
	a.observe(0)
	for r := range a.stats.acts {
		a.stats.acts[r]++
		a.stats.bad[r]++
	}
	if !w.washes(a) {
		return
	}
	if spare := w.spares[a]; spare != nil {
		delete(w.spares, a)
		a.id, a.level, a.rules = spare.id, spare.level, spare.rules
	} else {
		owes, _ := w.book.Account(a.id)
		a.id, a.level, a.rules = w.name(identity.Agent), a.Level, newRules()
		if owes.Own >= w.params.Severities[0] { // a ledger enrols no higher while the operator owes as much
			a.level = min(a.level, identity.Observer)
		}
		w.book.Open(a.id, a.operator, a.level, now)
	}
	w.mended(a, now)
}

// washes reports whether the whitewasher begins anew: every second one does.
func (w *world) washes(a *actor) bool {
	for i, other := range w.actors[w.index(a.Name)] {
		if other == a {
			return i%2 == 1
		}
	}
	return false // a spare, which has no offence of its own
}

// mended notes when the agent's score and level are back.
func (w *world) mended(a *actor, now int64) {
	if a.mend.since == 0 {
		return
	}
	days := (now - a.mend.since) / dayLength
	for r := range a.mend.days {
		if a.mend.days[r] == never && w.score(a, r, a.Class, now) >= a.Threshold {
			a.mend.days[r] = days
		}
	}
	if a.mend.level == never && a.level >= a.mend.was {
		a.mend.level = days
	}
}

// rate has the agent praise and slander by ratings, and by outcomes that never were.
func (w *world) rate(a *actor, now int64) {
	for _, target := range []struct {
		name  string
		value int64
	}{{a.Against, -1000}, {a.Praise, 1000}, {w.fellows(a), 1000}} {
		if target.name == "" {
			continue
		}
		subject := w.someone(a, target.name)
		if subject == nil {
			continue
		}
		w.tell(a, subject, trust.Event{Act: trust.Rating, Value: target.value}, now)
		if a.Attests && a.Operators > 1 { // who asked must answer to another operator than who attests
			w.tell(a, subject, trust.Event{Act: trust.Outcome, Class: uint8(a.Class), OK: target.value > 0}, now)
		}
	}
}

// fellows is whom a clique praises: itself.
func (w *world) fellows(a *actor) string {
	if a.Kind == Clique {
		return a.Name
	}
	return ""
}

// someone returns an agent of the population that answers to another operator than a does; nil if it came upon none.
func (w *world) someone(a *actor, population string) *actor {
	all := w.actors[w.index(population)]
	for range 8 {
		if s := all[a.random.below(int64(len(all)))]; s.joined && s.operator != a.operator {
			return s
		}
	}
	return nil
}

// tell counts what one agent says of another.
func (w *world) tell(a, subject *actor, e trust.Event, now int64) {
	e.Subject, e.By, e.Operator = subject.id, a.id, a.operator
	a.stats.made += max(w.book.Apply(e, now).Weight, 0)
	subject.observe(verdict(e.Value > 0 || e.OK))
	w.judge(subject, now)
}

// alarm raises a false alarm.
func (w *world) alarm(a *actor, now int64) {
	subject := w.someone(a, a.Against)
	if subject == nil {
		return
	}
	w.book.Apply(trust.Event{Act: trust.Alarm, Subject: subject.id, By: a.id, Operator: a.operator, Value: a.Alarm}, now)
	w.judge(subject, now)
}

// vote settles one vote of the agent, who is sure to nine tenths and as often right as it does its work well.
func (w *world) vote(a *actor, now int64) {
	e := trust.Event{Act: trust.Settled, Subject: a.id, Class: uint8(a.Class), Value: 10}
	if a.random.perMille(a.Failures) {
		e.Value = 810
	}
	w.book.Apply(e, now)
	w.judge(a, now)
}
