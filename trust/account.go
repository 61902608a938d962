package trust

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// Bounds of what an account remembers. Operators beyond maxVoices on one day have a voice together.
const (
	maxTraces  = 16
	maxSamples = 180
	maxVoices  = 32
)

// fair is a rater's fairness in millionths when all it said came true; it begins there.
const fair = 1_000_000

// Account is what the book keeps of one agent; about half a kilobyte, and its traces. Amounts are never negative, and are
// worth what they were at At: they halve in the half-life that stands with them.
type Account struct {
	Agent    identity.ID `json:"agent"`
	Operator identity.ID `json:"operator"`
	At       int64       `json:"at"` // log time when the amounts were last decayed

	Good         [Classes]Micro `json:"good_micro"` // attested outcomes and settled votes, by class (slow)
	Bad          [Classes]Micro `json:"bad_micro"`
	Peers        [Classes]Micro `json:"peers_micro"`         // of Good, what agents attested: as much their word can take back (slow)
	Endorsed     Micro          `json:"endorsed_micro"`      // good ratings and people's word (slow)
	Slandered    Micro          `json:"slandered_micro"`     // bad ratings, and what peers' failures leave (slow)
	FundsFor     Micro          `json:"funds_for_micro"`     // what its own word for others can still weigh (slow)
	FundsAgainst Micro          `json:"funds_against_micro"` // and its word against them (slow)
	FastGood     Micro          `json:"fast_good_micro"`     // outcomes of the last days (fast)
	FastBad      Micro          `json:"fast_bad_micro"`
	Violations   Micro          `json:"violations_micro"`     // (violation)
	Recidivism   Micro          `json:"recidivism_micro"`     // a unit for each violation (recidivism)
	Suspicion    Micro          `json:"suspicion_micro"`      // a unit is one per mille (suspicion)
	Own          Micro          `json:"own_debt_micro"`       // its own part in the operator's debt (debt)
	Inherited    Micro          `json:"inherited_debt_micro"` // what the operator owed when the account was opened (debt)
	Fairness     uint32         `json:"fairness_micro"`       // of its ratings, in millionths

	day       uint32 // days since 1970, of today and yesterday
	today     uint32 // thousandths of a unit that operators claim
	yesterday uint32
	voices    []voice

	Traces  []Trace  `json:"traces"`  // the last 16, oldest first
	Turns   []Turn   `json:"turns"`   // the last 16, oldest first
	Samples []Sample `json:"samples"` // the last 180 days with a change, oldest first
	Climb   Climb    `json:"climb"`
}

// voice is what one operator and its agents have said of the account's agent.
type voice struct {
	operator  identity.ID
	day       uint32
	today     uint32 // thousandths of outcomes
	yesterday uint32
	good      uint32 // micro-units attested on that day
	bad       uint32
	rated     Micro // (slow)
}

// Operator is what the book keeps of one operator.
type Operator struct {
	ID   identity.ID
	At   int64 // log time when the debt was last decayed
	Debt Micro // what its agents' violations weigh (debt)

	Severity [4]int64 // log time of its agents' last violation of severity 1 to 4; 0: none

	day  uint32
	used Micro // of the person's allowance on that day
}

// Climb is where an agent stands on the ladder: what has happened since its level last changed.
type Climb struct {
	Since     int64           `json:"since"`      // log time of the last change of level
	Why       Why             `json:"why"`        // how the level came about
	Outcomes  [Classes]uint32 `json:"outcomes"`   // right outcomes since then, by class, whose attester's word weighed half a person's or more
	Votes     uint32          `json:"votes"`      // settled votes since the account was opened
	From      [4]identity.ID  `json:"from"`       // the first other operators that attested one of these; zero: none yet
	HeldSince int64           `json:"held_since"` // log time since when the next level's score is held; 0: it is not
	LowSince  int64           `json:"low_since"`  // log time since when the score is below this level's floor; 0: it is not
	Until     int64           `json:"until"`      // log time at which the lease ends; 0: no lease
	Blocked   int64           `json:"blocked"`    // no promotion before this log time
	Demoted   [8]int64        `json:"demoted"`    // log times of the last demotions, 0: none
	Severity  [4]int64        `json:"severity"`   // log time of the last violation of severity 1 to 4; 0: none
}

// dayOf returns the days since 1970; now is between 0 and latest.
func dayOf(now int64) uint32 { return uint32(now / day) }

// fade decays the amounts, voices' apart, to now. It returns how many slow ticks have passed.
func (a *Account) fade(h *HalfLives, now int64) uint64 {
	if now <= a.At {
		return 0
	}
	slow := passed(h.Slow, a.At, now)
	if slow > 0 {
		for c := range a.Good {
			a.Good[c], a.Bad[c], a.Peers[c] = decayed(a.Good[c], slow), decayed(a.Bad[c], slow), decayed(a.Peers[c], slow)
		}
		a.Endorsed, a.Slandered = decayed(a.Endorsed, slow), decayed(a.Slandered, slow)
		a.FundsFor, a.FundsAgainst = decayed(a.FundsFor, slow), decayed(a.FundsAgainst, slow)
	}
	if fast := passed(h.Fast, a.At, now); fast > 0 {
		a.FastGood, a.FastBad = decayed(a.FastGood, fast), decayed(a.FastBad, fast)
	}
	a.Violations = decayed(a.Violations, passed(h.Violation, a.At, now))
	a.Recidivism = decayed(a.Recidivism, passed(h.Recidivism, a.At, now))
	a.Suspicion = decayed(a.Suspicion, passed(h.Suspicion, a.At, now))
	if debt := passed(h.Debt, a.At, now); debt > 0 {
		a.Own, a.Inherited = decayed(a.Own, debt), decayed(a.Inherited, debt)
	}
	a.At = now
	return slow
}

// settle decays all that the account holds to now.
func (a *Account) settle(h *HalfLives, now int64) {
	slow := a.fade(h, now)
	if slow == 0 {
		return
	}
	for i := range a.voices {
		a.voices[i].rated = decayed(a.voices[i].rated, slow)
	}
}

// settle decays the debt to now.
func (o *Operator) settle(h *HalfLives, now int64) {
	if now > o.At {
		o.Debt, o.At = decayed(o.Debt, passed(h.Debt, o.At, now)), now
	}
}

// turn begins the day of now if it is a new one.
func (a *Account) turn(now int64) {
	if d := dayOf(now); d != a.day {
		a.day, a.today, a.yesterday = d, 0, followed(a.day, d, a.today)
	}
}

// turn begins the day d if it is a new one.
func (v *voice) turn(d uint32) {
	if d != v.day {
		*v = voice{operator: v.operator, day: d, yesterday: followed(v.day, d, v.today), rated: v.rated}
	}
}

// followed returns what the day before counted, if it was the day before.
func followed(before, d, count uint32) uint32 {
	if before+1 == d {
		return count
	}
	return 0
}

// voice returns the operator's voice on the day of now. If there are too many, one that has attested nothing today makes
// room: the one that has rated least, and what it has rated is held against the newcomer, so that no operator gets room for
// more ratings by having others speak. If all have, it is the voice of the crowd, whose operator is nobody.
func (a *Account) voice(operator identity.ID, now int64) *voice {
	d := dayOf(now)
	if v := a.heard(operator); v != nil {
		v.turn(d)
		return v
	}
	if len(a.voices) < maxVoices {
		return a.joined(voice{operator: operator, day: d})
	}
	var least *voice
	for i := range a.voices {
		v := &a.voices[i]
		v.turn(d)
		if v.good == 0 && v.bad == 0 && !v.crowd() && (least == nil || v.rated < least.rated) {
			least = v
		}
	}
	if least != nil {
		*least = voice{operator: operator, day: d, rated: least.rated}
		return least
	}
	if v := a.heard(identity.ID{}); v != nil {
		return v
	}
	return a.joined(voice{day: d})
}

// heard returns the operator's voice, nil if it has none.
func (a *Account) heard(operator identity.ID) *voice {
	for i := range a.voices {
		if a.voices[i].operator == operator {
			return &a.voices[i]
		}
	}
	return nil
}

// joined adds a voice.
func (a *Account) joined(v voice) *voice {
	a.voices = append(a.voices, v)
	return &a.voices[len(a.voices)-1]
}

// crowd reports whether it is the voice of all those that have none of their own.
func (v *voice) crowd() bool { return v.operator.IsZero() }

// cap returns the cap's name for this voice.
func (v *voice) cap(c Cap) Cap {
	if v.crowd() {
		return ByCrowd
	}
	return c
}

// fund adds what weight w received lets the agent's own word weigh.
func (a *Account) fund(p *Params, w Micro) {
	f := part(w, Micro(p.Gamma), 1000)
	a.FundsFor, a.FundsAgainst = plus(a.FundsFor, f), plus(a.FundsAgainst, f)
}

// takeBack lets peers take back up to w of what peers gave, of the class first, and returns what is left of w.
func (a *Account) takeBack(class uint8, w Micro) Micro {
	for i := range Classes {
		k := (int(class) + i) % Classes
		x := min(w, a.Peers[k], a.Good[k])
		a.Peers[k], a.Good[k], w = a.Peers[k]-x, a.Good[k]-x, w-x
	}
	return w
}

// trace keeps the event among the last ones.
func (a *Account) trace(t Trace) {
	if len(a.Traces) >= maxTraces {
		a.Traces = a.Traces[:copy(a.Traces, a.Traces[len(a.Traces)-maxTraces+1:])]
	}
	a.Traces = append(a.Traces, t)
}

// sample keeps the sample if it tells something new.
func (a *Account) sample(s Sample) {
	n := len(a.Samples)
	if n > 0 && a.Samples[n-1].Day == s.Day {
		a.Samples[n-1] = s
		return
	}
	if n > 0 && a.Samples[n-1].Score == s.Score && a.Samples[n-1].Level == s.Level {
		return
	}
	if n >= maxSamples {
		a.Samples = a.Samples[:copy(a.Samples, a.Samples[n-maxSamples+1:])]
	}
	a.Samples = append(a.Samples, s)
}

// clone returns a copy that shares nothing.
func (a *Account) clone() Account {
	c := *a
	c.voices, c.Traces = slices.Clone(a.voices), slices.Clone(a.Traces)
	c.Turns, c.Samples = slices.Clone(a.Turns), slices.Clone(a.Samples)
	return c
}
