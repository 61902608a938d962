package trust

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Rung is what it takes to come to a level and to stay on it. Scores are in per mille, times in milliseconds.
type Rung struct {
	Class     uint64 `cbor:"1,keyasint"`            // the risk class whose score counts
	Score     uint64 `cbor:"2,keyasint"`            // at least, to come
	Held      int64  `cbor:"3,keyasint"`            // for how long, before
	Floor     uint64 `cbor:"4,keyasint"`            // below it for [Params.Grace], the level is lost; at least 50 under Score, or both 0
	Tenure    int64  `cbor:"5,keyasint"`            // on the level below
	Outcomes  uint64 `cbor:"6,keyasint"`            // right ones attested on the level below, of any class
	InClass   uint64 `cbor:"7,keyasint,omitempty"`  // of these, of Class or above
	Operators uint64 `cbor:"8,keyasint,omitempty"`  // other than its own that attested them, at most 4
	Votes     uint64 `cbor:"9,keyasint,omitempty"`  // settled ones, ever
	Clean     uint64 `cbor:"10,keyasint,omitempty"` // no violation of this severity or above in CleanFor; 0: whatever
	CleanFor  int64  `cbor:"11,keyasint,omitempty"`
	People    uint64 `cbor:"12,keyasint"`           // operators that sign off
	Foreign   uint64 `cbor:"13,keyasint,omitempty"` // of these, other than the agent's own
	Lease     int64  `cbor:"14,keyasint,omitempty"` // after it the level is lost unless signed off anew; 0: no end
}

// Ladder is what holds where a policy says nothing: the rungs of L1 to L5, the first being that of L1. It never changes.
func Ladder() []Rung {
	return []Rung{
		{People: 1},
		{Class: 0, Score: 500, Held: 3 * day, Floor: 400, Tenure: 7 * day, Outcomes: 30, People: 1},
		{Class: 1, Score: 700, Held: 7 * day, Floor: 600, Tenure: 14 * day, Outcomes: 60, Operators: 2,
			Clean: 2, CleanFor: 90 * day, People: 1, Foreign: 1, Lease: 90 * day},
		{Class: 2, Score: 800, Held: 14 * day, Floor: 700, Tenure: 30 * day, Outcomes: 300, InClass: 30, Votes: 20,
			People: 2, Foreign: 2, Lease: 90 * day},
		{Class: 2, Score: 900, Held: 30 * day, Floor: 800, Tenure: 60 * day, Outcomes: 300, InClass: 30, Votes: 20,
			Clean: 1, CleanFor: 90 * day, People: 2, Foreign: 2, Lease: 30 * day},
	}
}

// Limits of a ladder.
const (
	Rungs     = 5          // how many it has
	maxCount  = 1_000_000  // outcomes and votes that a rung asks for
	maxPeople = 16         // operators that sign off
	maxTime   = 3650 * day // ms of each time
	minMargin = 50         // per mille that a floor is below its score
)

// rungError is a fault of one field of a ladder.
type rungError struct {
	field  string // "L3.Score"; empty for the ladder as a whole
	reason string
}

func (e *rungError) Error() string {
	if e.field == "" {
		return "trust: ladder: " + e.reason
	}
	return "trust: ladder: " + e.field + ": " + e.reason
}

// Field names the field that is wrong.
func (e *rungError) Field() string { return e.field }

func (e *rungError) Unwrap() error { return wire.ErrMalformed }

// CheckRungs refuses a ladder with a gap, a rung easier than the one below, or an amount out of range. The error wraps
// [wire.ErrMalformed] and has a method Field, which names what is wrong as "L3.Score".
func CheckRungs(rungs []Rung) error {
	if len(rungs) != Rungs {
		return &rungError{"", fmt.Sprintf("%d rungs; there must be %d, for L1 to L5", len(rungs), Rungs)}
	}
	for i, r := range rungs {
		name := identity.Level(i+1).String() + "."
		if field, reason := r.flaw(); field != "" {
			return &rungError{name + field, reason}
		}
		if i == 0 {
			if field := r.losable(); field != "" {
				return &rungError{name + field, "nothing takes L1 away but a violation"}
			}
			continue
		}
		if field := r.easier(rungs[i-1]); field != "" {
			return &rungError{name + field, "asks for less than the level below"}
		}
	}
	return nil
}

// flaw names the first field that is out of range, and why.
func (r Rung) flaw() (field, reason string) {
	for _, f := range []struct {
		name string
		ok   bool
		why  string
	}{
		{"Class", r.Class < Classes, "must be 0 to 3"},
		{"Score", r.Score <= 1000, "must be 0 to 1000"},
		{"Held", inTime(r.Held), "must be 0 to ten years"},
		{"Floor", (r.Floor == 0 && r.Score == 0) || (r.Floor <= r.Score && r.Score-r.Floor >= minMargin),
			"must be at least 50 below the score"},
		{"Tenure", inTime(r.Tenure), "must be 0 to ten years"},
		{"Outcomes", r.Outcomes <= maxCount, "must be at most 1000000"},
		{"InClass", r.InClass <= r.Outcomes, "cannot be more than the outcomes"},
		{"Operators", r.Operators <= uint64(len(Climb{}.From)) && r.Operators <= r.Outcomes,
			"must be at most 4, and at most the outcomes"},
		{"Votes", r.Votes <= maxCount, "must be at most 1000000"},
		{"Clean", r.Clean <= 4, "must be a severity, 1 to 4, or 0"},
		{"CleanFor", inTime(r.CleanFor) && (r.CleanFor == 0) == (r.Clean == 0), "goes with Clean, and is at most ten years"},
		{"People", 1 <= r.People && r.People <= maxPeople, "must be 1 to 16: nobody comes to a level unseen"},
		{"Foreign", r.Foreign <= r.People, "cannot be more than the people"},
		{"Lease", r.Lease == 0 || (day <= r.Lease && r.Lease <= maxTime), "must be a day to ten years, or 0 for no end"},
	} {
		if !f.ok {
			return f.name, f.why
		}
	}
	return "", ""
}

func inTime(ms int64) bool { return 0 <= ms && ms <= maxTime }

// losable names what would take the level away.
func (r Rung) losable() string {
	switch {
	case r.Floor != 0:
		return "Floor"
	case r.Lease != 0:
		return "Lease"
	}
	return ""
}

// easier names the first thing of which the rung asks for less than the one below.
func (r Rung) easier(below Rung) string {
	for _, f := range []struct {
		name       string
		this, that uint64
	}{
		{"Class", r.Class, below.Class}, {"Score", r.Score, below.Score}, {"Held", uint64(r.Held), uint64(below.Held)},
		{"Floor", r.Floor, below.Floor}, {"Tenure", uint64(r.Tenure), uint64(below.Tenure)},
		{"Outcomes", r.Outcomes, below.Outcomes}, {"InClass", r.InClass, below.InClass}, {"Votes", r.Votes, below.Votes},
		{"People", r.People, below.People}, {"Foreign", r.Foreign, below.Foreign},
	} {
		if f.this < f.that {
			return f.name
		}
	}
	return ""
}
