package simulate

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Times in milliseconds. The play begins on the day epoch after 1970.
const (
	dayLength = 24 * 60 * 60 * 1000
	epoch     = 20_000
)

// noParent stands for an agent without parent: see [trust.Book.Next].
const noParent = identity.Steward + 1

// world is a scenario under way. In a control world attacks are left out, and nothing else is different.
type world struct {
	*Scenario
	params  trust.Params
	book    *trust.Book
	control bool
	people  []identity.ID
	actors  [][]*actor // by population
	spares  map[*actor]*actor
	named   uint64
	day     int64
}

// actor is one agent.
type actor struct {
	*Population
	random   random
	n        int64 // among its population
	id       identity.ID
	operator identity.ID
	level    identity.Level
	joined   bool
	rules    [ruleCount]rule
	stats    stats
	pending  trust.Micro // endorsements that people still owe it
	mend     mend
}

// stats is what is measured of one agent.
type stats struct {
	history [][ruleCount]uint16 // scores at each day's end
	acts    [ruleCount]int64
	bad     [ruleCount]int64
	reached [ruleCount]int64 // days until the threshold, −1 never
	levels  [6]int64         // days until each level, −1 never
	falls   int64
	inflow  trust.Micro // what people's word for it weighed
	made    trust.Micro // what its word for others weighed
}

// mend is how an agent comes back after its offence.
type mend struct {
	since int64 // time of the offence, 0 none yet
	was   identity.Level
	days  [ruleCount]int64 // until its score is back, −1 not yet
	level int64            // until its level is
}

// slot is when somebody does something.
type slot struct {
	at    int64
	actor *actor
	what  uint8
	order int
}

// What is done in a slot.
const (
	doWork = iota
	doRate
	doAlarm
	doVote
)

func newWorld(s *Scenario, p trust.Params, rungs []trust.Rung, control bool) *world {
	w := &world{
		Scenario: s, params: p, book: trust.NewBook(p, rungs), control: control, spares: map[*actor]*actor{},
	}
	for range s.People {
		w.people = append(w.people, w.name(identity.Operator))
	}
	for i := range s.Populations {
		w.actors = append(w.actors, w.populate(&s.Populations[i]))
	}
	return w
}

// name returns an ID that nobody else has.
func (w *world) name(role identity.Role) identity.ID {
	w.named++
	id := identity.ID{byte(role)}
	binary.BigEndian.PutUint64(id[1:], w.named)
	return id
}

// populate makes a population's agents; of whitewashers two for each, one that stays and one that begins anew.
func (w *world) populate(p *Population) []*actor {
	var operators []identity.ID
	for range p.Operators {
		operators = append(operators, w.name(identity.Operator))
	}
	var all []*actor
	for n := range p.Agents {
		operator := operators[n%p.Operators]
		all = append(all, w.actor(p, n, operator))
		if p.Kind != Whitewasher {
			continue
		}
		washed := w.actor(p, n, w.name(identity.Operator)) // the same random numbers: the two differ in what they do alone
		all = append(all, washed)
		if p.Spare {
			w.spares[washed] = w.actor(p, n+p.Agents, washed.operator)
		}
	}
	return all
}

func (w *world) actor(p *Population, n int64, operator identity.ID) *actor {
	a := &actor{
		Population: p, n: n, random: newRandom(w.Seed, p.Name, n), id: w.name(identity.Agent), operator: operator,
		level: p.Level, rules: newRules(), pending: trust.Micro(p.Endorsed) * trust.Unit / 1000,
	}
	a.stats.reached, a.stats.levels = never4, [6]int64{never, never, never, never, never, never}
	a.mend.days, a.mend.level = never4, never
	return a
}

// never stands for a number of days that was not reached.
const never = -1

var never4 = [ruleCount]int64{never, never, never, never}

// play runs all days.
func (w *world) play() {
	for w.day = range w.Days {
		begin := (epoch + w.day) * dayLength
		w.each(func(a *actor) { w.join(a, begin) })
		for _, s := range w.plan(begin) {
			w.act(s)
		}
		end := begin + dayLength - 1
		w.each(func(a *actor) { w.close(a, end) })
	}
}

// each calls f for all agents in a fixed order, spares behind those that keep them.
func (w *world) each(f func(*actor)) {
	for _, population := range w.actors {
		for _, a := range population {
			f(a)
			if spare := w.spares[a]; spare != nil {
				f(spare)
			}
		}
	}
}

// join enrols the agent on its day, and has people endorse it as far as their allowances go.
func (w *world) join(a *actor, now int64) {
	if w.day < a.From {
		return
	}
	if !a.joined {
		a.joined = true
		w.book.Open(a.id, a.operator, a.level, now)
		w.reachLevel(a)
	}
	for i := int64(0); i < w.People && a.pending > 0; i++ {
		person := w.people[(a.n+i)%w.People]
		e := w.book.Apply(trust.Event{
			Act: trust.Endorsement, Subject: a.id, By: person, Operator: person, Rooted: true, Amount: a.pending,
		}, now)
		if e.Weight > 0 {
			a.pending -= e.Weight
			a.stats.inflow += e.Weight
			a.observe(1000)
		}
	}
}

// plan returns the day's slots in the order of their times.
func (w *world) plan(begin int64) []slot {
	var slots []slot
	w.each(func(a *actor) {
		if !a.joined {
			return
		}
		add := func(n int64, what uint8) {
			for i := range n {
				slots = append(slots, slot{begin + (i*dayLength+a.random.below(dayLength))/n, a, what, len(slots)})
			}
		}
		add(a.Events, doWork)
		if a.Votes > 0 {
			add((w.day+1)*a.Votes/7-w.day*a.Votes/7, doVote)
		}
		if w.day >= a.Attack && w.day < a.Until {
			add(a.Ratings, doRate)
			add(a.Alarms, doAlarm)
		}
	})
	slices.SortFunc(slots, func(x, y slot) int { return cmp.Or(cmp.Compare(x.at, y.at), x.order-y.order) })
	return slots
}

// act does what the slot says, and judges whom it concerns.
func (w *world) act(s slot) {
	switch s.what {
	case doWork:
		w.work(s.actor, s.at)
	case doRate:
		if w.attacks() {
			w.rate(s.actor, s.at)
		}
	case doAlarm:
		if w.attacks() {
			w.alarm(s.actor, s.at)
		}
	case doVote:
		w.vote(s.actor, s.at)
	}
}

func (w *world) attacks() bool { return !w.control }

// observe feeds the other rules.
func (a *actor) observe(value int64) {
	for r := byMean; r < ruleCount; r++ {
		a.rules[r].observe(value)
	}
}

// score returns the agent's score by the rule; by the book's, in the class.
func (w *world) score(a *actor, r int, class, now int64) int64 {
	if r != byTrust {
		return a.rules[r].score()
	}
	return int64(w.book.Scores(a.id, now)[class].Value)
}

// judge takes the level that the agent has lost by now.
func (w *world) judge(a *actor, now int64) {
	if to, why, falls := w.book.Judge(a.id, a.level, now); falls {
		w.move(a, to, why, now)
	}
}

func (w *world) move(a *actor, to identity.Level, why trust.Why, now int64) {
	w.book.Moved(a.id, trust.Turn{At: now, From: a.level, To: to, Why: why})
	if to < a.level {
		a.stats.falls++
	}
	a.level = to
	w.reachLevel(a)
}

// reachLevel notes the day on which the agent first came to its level.
func (w *world) reachLevel(a *actor) {
	for l := range a.stats.levels {
		if l <= int(a.level) && a.stats.levels[l] == never {
			a.stats.levels[l] = w.day - a.From
		}
	}
}

// close ends the agent's day: its level, its lease, its promotion, its figures.
func (w *world) close(a *actor, now int64) {
	var today [ruleCount]uint16
	if a.joined {
		w.judge(a, now)
		if a.SignOff {
			w.signOff(a, now)
		}
		for r := range today {
			score := w.score(a, r, a.measured(), now)
			today[r] = uint16(score)
			if score >= a.Threshold && a.stats.reached[r] == never {
				a.stats.reached[r] = w.day - a.From
			}
		}
	}
	a.stats.history = append(a.stats.history, today)
}

// measured is the class whose score counts.
func (a *actor) measured() int64 {
	if a.Kind == Imbalance {
		return a.Cheat
	}
	return a.Class
}

// signOff has people sign what needs them alone.
func (w *world) signOff(a *actor, now int64) {
	account, _ := w.book.Account(a.id)
	if until := account.Climb.Until; until != 0 && until-now < 2*dayLength && w.book.Renewable(a.id, a.level, now) == nil {
		w.move(a, a.level, trust.Renewed, now)
	}
	if a.level > identity.Quarantined && w.book.Promotable(a.id, a.level, noParent, now) == nil {
		w.move(a, a.level+1, trust.Earned, now)
	}
}
