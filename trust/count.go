package trust

import "github.com/seed-3e86d5b2/conclave/identity"

// count is one event while it is being counted.
type count struct {
	*Book
	Event
	Effect *Effect
	now    int64
	to     *Account // the subject's
	by     *Account // nil: who says it has none
}

// limit lowers the weight to at most what the cap leaves.
func (c *count) limit(most Micro, by Cap) {
	if most < c.Effect.Weight {
		c.Effect.Weight, c.Effect.Cap = max(most, 0), by
	}
}

// owed returns the debt of the account's operator.
func (c *count) owed(a *Account) Micro {
	return c.operators.owed(a.Operator, &c.params.HalfLife, c.now)
}

// operator returns the operator's entry.
func (c *count) operator(id identity.ID) *Operator {
	return c.operators.settled(id, &c.params.HalfLife, c.now)
}

// run counts the event.
func (c *count) run() {
	switch c.Act {
	case Outcome:
		c.outcome()
	case Rating:
		c.rating()
	case Violation:
		c.violation()
	case Alarm:
		c.alarm()
	case Endorsement:
		c.endorsement()
	case Pardon:
		c.pardon()
	case Settled:
		c.settled()
	}
}

// standing returns how much the attester's word weighs in the class, in per mille of a person's.
func (c *count) standing() Micro {
	switch {
	case c.Rooted:
		return 1000
	case c.by == nil:
		return 0
	}
	return Micro(c.by.score(&c.params, c.owed(c.by), int(c.Class)).Value)
}

// outcome counts an attested outcome. Each operator's words of a day share what one may say, and all operators share what a
// day is worth, each by what it claims: thus nobody can make others' words weigh less by many words of its own. Words claim
// only as much as they weigh, and failures have their own share of an operator's day, or a day begun well would hide them.
func (c *count) outcome() {
	word := c.standing()
	nominal := Unit * word / 1000
	switch funds := c.funds(c.OK); {
	case word == 0:
		c.Effect.Nominal, c.Effect.Cap = signed(Unit, c.OK), ByNothing
		return
	case funds != nil && *funds < 4:
		c.Effect.Nominal, c.Effect.Cap = signed(nominal, c.OK), ByFunds
		return
	}
	c.to.turn(c.now)
	v := c.to.voice(c.Operator, c.now)
	c.Effect.Weight = nominal
	c.limit(shared(nominal, c.params.Daily, c.to.yesterday, c.to.today+c.claim(v, word)), ByDay)
	c.limit(shared(c.Effect.Weight, c.params.FromOne, v.yesterday, v.today+uint32(word)), v.cap(ByOne))
	whole := max(c.Effect.Weight, 1) // before what the attester itself lacks
	c.spend(c.OK)
	share := part(word, c.Effect.Weight, whole)
	c.to.today = grown(c.to.today, c.claim(v, share))
	v.today = grown(v.today, uint32(share))
	if c.OK && share >= 500 {
		c.climb()
	}
	c.attested(v)
	w := c.Effect.Weight
	fast := part(nominal, w, whole)
	if !c.Rooted { // or many small inventions would hide a bad day
		fast = w
	}
	c.weighed(w, fast)
	c.charge(c.OK)
	c.Effect.Nominal, c.Effect.Weight = signed(nominal, c.OK), signed(w, c.OK)
}

// weighed adds the weight, and what it adds to the fast term.
func (c *count) weighed(w, fast Micro) {
	switch {
	case c.OK:
		c.to.Good[c.Class], c.to.FastGood = plus(c.to.Good[c.Class], w), plus(c.to.FastGood, fast)
		if !c.Rooted {
			c.to.Peers[c.Class] = plus(c.to.Peers[c.Class], w)
		}
		c.to.fund(&c.params, w)
	case c.opinion(): // what is left is slander, which counts twice, but takes off no more than ratings may
		left := c.to.takeBack(c.Class, part(w, Micro(c.params.Blame), 1))
		c.to.Slandered = plus(c.to.Slandered, left/2)
	default:
		c.to.Bad[c.Class], c.to.FastBad = plus(c.to.Bad[c.Class], w), plus(c.to.FastBad, fast)
	}
}

// opinion reports whether it is a failure that an agent attests: a peer's word, as a rating is.
func (c *count) opinion() bool { return !c.OK && !c.Rooted }

// attested limits the weight to what is left of the operator's day, and takes it from there.
func (c *count) attested(v *voice) {
	said := &v.bad
	if c.OK {
		said = &v.good
	}
	c.limit(c.params.FromOne-Micro(*said), v.cap(ByOne))
	*said += uint32(c.Effect.Weight)
}

// claim returns how much more of the subject's day, in thousandths of a unit, the operator claims by one more word: no
// operator more than what one may say. Opinions of peers claim nothing: they are not of the day's outcomes.
func (c *count) claim(v *voice, word Micro) uint32 {
	if c.opinion() {
		return 0
	}
	most := uint32(c.params.FromOne / 1000)
	return min(grown(v.today, uint32(word)), most) - min(v.today, most)
}

// shared returns the part of the weight that each has if what is claimed, in thousandths, has to do with so much.
func shared(weight, most Micro, yesterday, today uint32) Micro {
	return part(weight, most, max(most, 1000*Micro(yesterday), 1000*Micro(today)))
}

// grown adds up thousandths and stops at a million.
func grown(n, more uint32) uint32 { return min(n+more, 1_000_000_000) }

// climb counts a right outcome for the next level.
func (c *count) climb() {
	up := &c.to.Climb
	if up.Outcomes[c.Class] < 1<<31 {
		up.Outcomes[c.Class]++
	}
	if c.Operator == c.to.Operator || c.Operator.IsZero() {
		return
	}
	for i := range up.From {
		if up.From[i] == c.Operator {
			return
		}
		if up.From[i].IsZero() {
			up.From[i] = c.Operator
			return
		}
	}
}

// spend limits the weight of an agent's word to a quarter of its funds.
func (c *count) spend(good bool) {
	if funds := c.funds(good); funds != nil {
		c.limit(*funds/4, ByFunds)
	} else if !c.Rooted {
		c.limit(0, ByFunds)
	}
}

// charge takes the weight from the funds.
func (c *count) charge(good bool) {
	if funds := c.funds(good); funds != nil {
		*funds = minus(*funds, c.Effect.Weight)
	}
}

// funds returns what the word is paid from; nil for a person's, and for who has none.
func (c *count) funds(good bool) *Micro {
	switch {
	case c.Rooted || c.by == nil:
		return nil
	case good:
		return &c.by.FundsFor
	}
	return &c.by.FundsAgainst
}

// rating counts an opinion, and what it tells of who gives it.
func (c *count) rating() {
	value := min(max(c.Value, -1000), 1000)
	good, fairness := value > 0, Micro(fair)
	if c.by != nil {
		fairness = Micro(c.by.Fairness)
	}
	nominal := Micro(max(value, -value)) * fairness / 1000
	c.Effect.Weight = nominal
	if c.Rooted {
		c.allow()
	} else if c.spend(good); c.Effect.Weight > 0 {
		c.rated()
	}
	w := c.Effect.Weight
	c.judge(value)
	if good {
		c.to.Endorsed = plus(c.to.Endorsed, w)
		c.to.fund(&c.params, w)
	} else {
		c.to.Slandered = plus(c.to.Slandered, w)
	}
	c.charge(good)
	c.Effect.Nominal, c.Effect.Weight = signed(nominal, good), signed(w, good)
}

// rated limits the weight to what the rater's operator may still rate.
func (c *count) rated() {
	v := c.to.voice(c.Operator, c.now)
	c.limit(c.params.Rated-v.rated, v.cap(ByRated))
	v.rated = plus(v.rated, c.Effect.Weight)
}

// judge moves the rater's fairness by a sixteenth towards how near it came to what the evidence says; where there is little
// evidence, nobody can tell.
func (c *count) judge(value int64) {
	if c.by == nil {
		return
	}
	s := c.to.score(&c.params, c.owed(c.to), 0)
	if s.Good+s.Bad < c.params.Prior {
		return
	}
	off := value - (2*int64(s.Value) - 1000)
	near := max(1000-max(off, -off), 0) * (fair / 1000)
	c.by.Fairness = uint32(int64(c.by.Fairness) + (near-int64(c.by.Fairness))/16)
}

// allow limits the weight to what the person has left of the day's allowance, and takes it from there.
func (c *count) allow() {
	o := c.operator(c.Operator)
	if d := dayOf(c.now); o.day != d {
		o.day, o.used = d, 0
	}
	c.limit(c.params.Allowance-o.used, ByLimit)
	o.used = plus(o.used, c.Effect.Weight)
}

// endorsement counts a person's word for the agent.
func (c *count) endorsement() {
	c.Effect.Nominal = min(max(c.Amount, 0), most)
	c.Effect.Weight = c.Effect.Nominal
	c.allow()
	c.to.Endorsed = plus(c.to.Endorsed, c.Effect.Weight)
	c.to.fund(&c.params, c.Effect.Weight)
}

// What violations weigh together, and what those before make of one, at most. No score tells more apart; but people can pardon
// so much, and it fades in years: whoever accuses ten thousand times ruins nobody for ever.
const (
	heaviest   = 1000 * Unit
	inveterate = 32 * Unit
)

// violation counts a broken rule: the more there were of late, the more it weighs.
func (c *count) violation() {
	if c.Severity < 1 || c.Severity > 4 {
		return
	}
	nominal := c.params.Severities[c.Severity-1]
	w := min(part(nominal, plus(Unit, c.to.Recidivism), Unit), heaviest)
	c.to.Violations = min(plus(c.to.Violations, w), heaviest)
	c.to.Recidivism = min(plus(c.to.Recidivism, Unit), inveterate)
	c.to.Own = min(plus(c.to.Own, w), heaviest)
	o := c.operator(c.to.Operator)
	o.Debt = min(plus(o.Debt, w), heaviest)
	o.Severity[c.Severity-1], c.to.Climb.Severity[c.Severity-1] = c.now, c.now
	c.Effect.Nominal, c.Effect.Weight = -nominal, -w
}

// pardon takes back part of what violations weigh, and of what the operator owed when the agent came.
func (c *count) pardon() {
	w := min(max(c.Amount, 0), most)
	c.to.Violations, c.to.Own, c.to.Inherited = minus(c.to.Violations, w), minus(c.to.Own, w), minus(c.to.Inherited, w)
	o := c.operator(c.to.Operator)
	o.Debt = minus(o.Debt, w)
	c.Effect.Nominal, c.Effect.Weight = w, w
}

// alarm raises the suspicion to what the detector says; it never adds up.
func (c *count) alarm() {
	c.Effect.Weight = Micro(min(max(c.Value, 0), 1000)) * Unit
	nominal := c.Effect.Weight
	if !c.Rooted {
		c.limit(Micro(c.params.Alarm)*Unit, ByLimit)
	}
	c.to.Suspicion = max(c.to.Suspicion, c.Effect.Weight)
	c.Effect.Nominal, c.Effect.Weight = -nominal, -c.Effect.Weight
}

// settled counts a vote by its Brier error; who always says "even" has 250. Whoever settles decisions says by that how its
// voters did: of one operator that weighs no more in a day than what it attests, or whoever settles what it has proposed
// itself could make any score, or ruin it.
func (c *count) settled() {
	e := Micro(min(max(c.Value, 0), 1000))
	if c.to.Climb.Votes < 1<<31 {
		c.to.Climb.Votes++
	}
	nominal, side := c.params.Vote*(e-250)/750, &c.to.Bad
	if c.OK = e < 250; c.OK {
		nominal, side = c.params.Vote*(250-e)/250, &c.to.Good
	}
	c.Effect.Weight = nominal
	if !c.Operator.IsZero() {
		c.attested(c.to.voice(c.Operator, c.now))
	}
	w := c.Effect.Weight
	side[c.Class] = plus(side[c.Class], w)
	c.Effect.Nominal, c.Effect.Weight = signed(nominal, c.OK), signed(w, c.OK)
}

func signed(x Micro, good bool) Micro {
	if good {
		return x
	}
	return -x
}
