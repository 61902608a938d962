package trust

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Micro is an amount of evidence in millionths of a unit. One outcome at full weight is [Unit].
type Micro int64

// Unit is one whole outcome.
const Unit Micro = 1_000_000

// Classes is how many risk classes there are: 0 to 3, as in a policy.
const Classes = 4

// Times in milliseconds.
const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// Params is how evidence becomes a score. It belongs to a realm's policy: every node reckons alike. The zero value is
// invalid; begin from [Defaults]. Shares are in per mille.
type Params struct {
	HalfLife   HalfLives `cbor:"1,keyasint"`
	Prior      Micro     `cbor:"2,keyasint"`  // what is not known weighs as much as this much evidence
	Gamma      uint64    `cbor:"3,keyasint"`  // what received weight funds of further weight, below 1000
	Daily      Micro     `cbor:"4,keyasint"`  // what a day's outcomes weigh at most together, whatever their number
	FromOne    Micro     `cbor:"5,keyasint"`  // of that, what one operator and its agents attest
	Rated      Micro     `cbor:"6,keyasint"`  // what one operator's agents' ratings weigh at most, decaying
	Allowance  Micro     `cbor:"7,keyasint"`  // what one person endorses and rates in a day
	Severities [4]Micro  `cbor:"8,keyasint"`  // what violations of severity 1 to 4 weigh
	Alarm      uint64    `cbor:"9,keyasint"`  // what one detector can make of suspicion, at most
	Blame      uint64    `cbor:"10,keyasint"` // how many times a failure weighs what a success does, 1 to 10
	Vote       Micro     `cbor:"11,keyasint"` // what a settled vote weighs at most
	Sudden     uint64    `cbor:"12,keyasint"` // a fast score below it costs a level at once
	Grace      int64     `cbor:"13,keyasint"` // ms that a score must be below the floor before it costs a level
	Dwell      int64     `cbor:"14,keyasint"` // ms without promotion after a demotion, doubled by each further one
	Longest    int64     `cbor:"15,keyasint"` // ms that this becomes at most, and for how long demotions are remembered
	Suspect    uint64    `cbor:"16,keyasint"` // above this much suspicion an agent neither votes nor is promoted
}

// HalfLives are the times in which evidence halves, in milliseconds; each at least a minute and at most ten years.
type HalfLives struct {
	Slow       int64 `cbor:"1,keyasint"` // outcomes, endorsements, budgets
	Fast       int64 `cbor:"2,keyasint"` // what counts of the last days
	Violation  int64 `cbor:"3,keyasint"`
	Recidivism int64 `cbor:"4,keyasint"`
	Suspicion  int64 `cbor:"5,keyasint"`
	Debt       int64 `cbor:"6,keyasint"` // an operator's
}

// Defaults is what holds where a policy says nothing. It never changes: realms have been founded on it.
func Defaults() Params {
	return Params{
		HalfLife: HalfLives{
			Slow: 45 * day, Fast: day, Violation: 90 * day, Recidivism: 180 * day, Suspicion: 6 * hour, Debt: 180 * day,
		},
		Prior: 8 * Unit, Gamma: 500, Daily: 3 * Unit, FromOne: Unit, Rated: 4 * Unit, Allowance: 3 * Unit,
		Severities: [4]Micro{Unit / 2, 2 * Unit, 8 * Unit, 32 * Unit},
		Alarm:      600, Blame: 3, Vote: Unit / 5, Sudden: 500, Grace: day, Dwell: 14 * day, Longest: 180 * day, Suspect: 300,
	}
}

// Check refuses parameters out of range, naming the first: [wire.ErrMalformed]. The error has a method Field that returns the
// field's Go path, such as "HalfLife.Slow" or "Severities[2]".
func (p Params) Check() error {
	const years = 3650 * day
	const much = int64(1000 * Unit)
	h, s := p.HalfLife, p.Severities
	bounds := []struct {
		field              string
		value, least, most int64
	}{
		{"HalfLife.Slow", h.Slow, minute, years},
		{"HalfLife.Fast", h.Fast, minute, years},
		{"HalfLife.Violation", h.Violation, minute, years},
		{"HalfLife.Recidivism", h.Recidivism, minute, years},
		{"HalfLife.Suspicion", h.Suspicion, minute, years},
		{"HalfLife.Debt", h.Debt, minute, years},
		{"Prior", int64(p.Prior), int64(Unit), much},
		{"Gamma", counted(p.Gamma), 0, 999},
		{"Daily", int64(p.Daily), int64(Unit), much},
		{"FromOne", int64(p.FromOne), 1, int64(p.Daily)},
		{"Rated", int64(p.Rated), 0, much},
		{"Allowance", int64(p.Allowance), 0, much},
		{"Severities[0]", int64(s[0]), 1, much},
		{"Severities[1]", int64(s[1]), int64(s[0]), much},
		{"Severities[2]", int64(s[2]), int64(s[1]), much},
		{"Severities[3]", int64(s[3]), int64(s[2]), much},
		{"Alarm", counted(p.Alarm), 0, 1000},
		{"Blame", counted(p.Blame), 1, 10},
		{"Vote", int64(p.Vote), 0, int64(Unit)},
		{"Sudden", counted(p.Sudden), 0, 1000},
		{"Grace", p.Grace, 0, years},
		{"Dwell", p.Dwell, 0, years},
		{"Longest", p.Longest, p.Dwell, years},
		{"Suspect", counted(p.Suspect), 0, 1000},
	}
	for _, b := range bounds {
		if b.value < b.least || b.value > b.most {
			return &paramError{b.field, b.value, b.least, b.most}
		}
	}
	return nil
}

// counted returns n, or the greatest number there is instead of a negative one.
func counted(n uint64) int64 { return int64(min(n, 1<<63-1)) }

// paramError names the parameter out of range.
type paramError struct {
	field              string
	value, least, most int64
}

// Field returns the parameter's path in Go.
func (e *paramError) Field() string { return e.field }

// Error names the parameter and its bounds.
func (e *paramError) Error() string {
	return fmt.Sprintf("trust parameter %s is %d, not between %d and %d", e.field, e.value, e.least, e.most)
}

// Unwrap returns [wire.ErrMalformed].
func (e *paramError) Unwrap() error { return wire.ErrMalformed }
