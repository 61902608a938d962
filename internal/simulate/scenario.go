package simulate

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Kind is how the agents of a population behave.
type Kind string

// The kinds.
const (
	Honest      Kind = "honest"      // does its work, and fails now and then
	Oscillator  Kind = "oscillator"  // offends whenever its score allows it, and works well otherwise
	Imbalance   Kind = "imbalance"   // works well in small things, and offends in great ones whenever its score allows it
	Whitewasher Kind = "whitewasher" // offends once; one half stays and mends, the other begins anew under the same operator
	Clique      Kind = "clique"      // praise and attest each other
	Sybils      Kind = "sybils"      // many of few operators that praise some agents and slander others
	Slanderers  Kind = "slanderers"  // work well, and slander others
	Detector    Kind = "detector"    // raises false alarms
)

// Scenario is one play.
type Scenario struct {
	Name        string
	About       string // for people
	Seed        uint64
	Days        int64 // 1 to [MaxDays]
	People      int64 // who ask for work, attest it and endorse, each an operator; 1 to 64
	Populations []Population
	Expect      []Expectation
}

// Population is a number of agents that behave alike.
type Population struct {
	Name      string
	Kind      Kind
	Agents    int64
	Operators int64          // among whom the agents are dealt out
	Level     identity.Level // at which they are enrolled
	From      int64          // day on which they are enrolled, from 0
	Class     int64          // of their work, 0 to 3
	Events    int64          // outcomes a day that people attest
	Failures  int64          // of these, per mille
	Votes     int64          // settled votes a week
	Endorsed  int64          // what people endorse each with, in thousandths of a unit
	Attesters string         // population whose agents attest its outcomes in people's place; empty: people do
	SignOff   bool           // people sign off promotions and renewals as soon as all else is met
	Threshold int64          // a score that is enough to offend, or to have mended, per mille

	Offence int64 // 0: a failure; 1 to 4: a violation of that severity
	Cheat   int64 // class of the great things of an imbalance
	Offend  int64 // day of a whitewasher's offence
	Spare   bool  // a whitewasher begins anew as an agent that it has kept all the while

	Attack  int64  // day on which an attack begins
	Until   int64  // day on which it ends
	Against string // population that is slandered, or under alarm
	Praise  string // population that is praised
	Ratings int64  // a day, of each
	Attests bool   // they attest outcomes that never were, too
	Alarms  int64  // a day, of each
	Alarm   int64  // their value, 1 to 1000
}

// Expectation is what a scenario's result must be: a bound, or an order of populations by falling figures.
type Expectation struct {
	Measure string // one of [Measures]
	Rule    string // trust, mean, ema or beta
	Of      string // population
	Order   []string
	Level   identity.Level // of days_to_level
	AtLeast *int64
	AtMost  *int64
}

// Limits of a scenario.
const (
	MaxDays        = 3650
	maxPeople      = 64
	maxAgents      = 10_000
	maxEvents      = 10_000
	maxPopulations = 64
	maxSlots       = 50_000_000 // events in all
)

// Measures are what expectations are about.
var Measures = []string{
	"score", "lowest", "level", "misbehaviour", "days_to_threshold", "days_to_level", "moved", "moved_end", "gain",
	"gain_level", "falls", "of_bound",
}

// booksAlone are the measures that no other rule has.
var booksAlone = []string{"level", "days_to_level", "gain_level", "falls", "of_bound"}

// ErrInvalid is returned for a scenario that cannot be played.
var ErrInvalid = fault.New(fault.InvalidInput, "simulate: not a scenario")

// Fault is why a scenario cannot be played. It wraps [ErrInvalid].
type Fault struct {
	Path   string // such as "populations[1].agents"
	Reason string
}

// Error returns path and reason.
func (f *Fault) Error() string { return "simulate: " + f.Path + ": " + f.Reason }

// Unwrap returns [ErrInvalid].
func (f *Fault) Unwrap() error { return ErrInvalid }

func refuse(path, format string, args ...any) error {
	return &Fault{Path: path, Reason: fmt.Sprintf(format, args...)}
}

// span is a number and what it may be.
type span struct {
	name             string
	have, least, top int64
}

func inside(path string, spans ...span) error {
	for _, s := range spans {
		if s.have < s.least || s.have > s.top {
			return refuse(path+s.name, "must be %d to %d", s.least, s.top)
		}
	}
	return nil
}

// Check refuses a scenario that cannot be played: [*Fault].
func (s Scenario) Check() error {
	if identity.CheckName(s.Name) != nil {
		return refuse("name", "must be 1 to 63 of a-z, 0-9 and -, beginning with a letter")
	}
	err := inside("", span{"days", s.Days, 1, MaxDays}, span{"people", s.People, 1, maxPeople},
		span{"populations", int64(len(s.Populations)), 1, maxPopulations})
	if err != nil {
		return err
	}
	slots := int64(0)
	for i, p := range s.Populations {
		path := fmt.Sprintf("populations[%d]", i)
		if err := s.checkPopulation(p, path); err != nil {
			return err
		}
		if slices.IndexFunc(s.Populations, func(q Population) bool { return q.Name == p.Name }) != i {
			return refuse(path+".name", "stands there twice")
		}
		if slots += p.Agents * (p.Events + p.Ratings + p.Alarms + 1) * s.Days; slots > maxSlots {
			return refuse(path, "more than %d events in all", int64(maxSlots))
		}
	}
	for i, e := range s.Expect {
		if err := s.checkExpectation(e, fmt.Sprintf("expect[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (s Scenario) checkPopulation(p Population, path string) error {
	if identity.CheckName(p.Name) != nil {
		return refuse(path+".name", "must be 1 to 63 of a-z, 0-9 and -, beginning with a letter")
	}
	if !slices.Contains(kinds, p.Kind) {
		return refuse(path+".kind", "must be one of %v", kinds)
	}
	path += "."
	err := inside(path,
		span{"agents", p.Agents, 1, maxAgents}, span{"operators", p.Operators, 1, p.Agents},
		span{"level", int64(p.Level), 1, int64(identity.Steward)}, span{"from", p.From, 0, s.Days - 1},
		span{"class", p.Class, 0, 3}, span{"events", p.Events, 0, maxEvents}, span{"failures", p.Failures, 0, 1000},
		span{"votes", p.Votes, 0, 1000}, span{"endorsed", p.Endorsed, 0, micro}, span{"threshold", p.Threshold, 1, 1000},
		span{"offence", p.Offence, 0, 4}, span{"cheat", p.Cheat, 0, 3}, span{"ratings", p.Ratings, 0, maxEvents},
		span{"alarms", p.Alarms, 0, maxEvents}, span{"alarm", p.Alarm, 1, 1000},
		span{"attack", p.Attack, p.From, s.Days - 1}, span{"until", p.Until, p.Attack + 1, s.Days},
		span{"offend", p.Offend, p.From, s.Days - 1})
	if err != nil {
		return err
	}
	for _, other := range []struct{ key, name string }{{"against", p.Against}, {"praise", p.Praise}, {"attesters", p.Attesters}} {
		if other.name != "" && (s.index(other.name) < 0 || other.name == p.Name) {
			return refuse(path+other.key, "must be another population's name")
		}
	}
	if p.Kind == Detector && p.Against == "" || p.Kind == Slanderers && p.Against == "" ||
		p.Kind == Sybils && p.Against == "" && p.Praise == "" {
		return refuse(path+"against", "%s need a population that they are against", p.Kind)
	}
	return nil
}

var kinds = []Kind{Honest, Oscillator, Imbalance, Whitewasher, Clique, Sybils, Slanderers, Detector}

// index returns the population's place, −1 if there is none.
func (s Scenario) index(name string) int {
	return slices.IndexFunc(s.Populations, func(p Population) bool { return p.Name == name })
}

func (s Scenario) checkExpectation(e Expectation, path string) error {
	if !slices.Contains(Measures, e.Measure) {
		return refuse(path+".measure", "must be one of %v", Measures)
	}
	if !slices.Contains(ruleNames[:], e.Rule) {
		return refuse(path+".rule", "must be one of %v", ruleNames)
	}
	if e.Rule != ruleNames[byTrust] && slices.Contains(booksAlone, e.Measure) {
		return refuse(path+".rule", "only the trust book has %s", e.Measure)
	}
	if (e.Measure == "days_to_level") != (e.Level != 0) || e.Level > identity.Steward {
		return refuse(path+".level", "goes with days_to_level, and is L1 to L5")
	}
	if len(e.Order) > 0 {
		for _, name := range e.Order {
			if s.index(name) < 0 {
				return refuse(path+".order", "no population %.64q", name)
			}
		}
		if len(e.Order) < 2 || e.Of != "" || e.AtLeast != nil || e.AtMost != nil {
			return refuse(path, "an order has two populations or more, and no bound")
		}
		return nil
	}
	if s.index(e.Of) < 0 {
		return refuse(path+".of", "no population %.64q", e.Of)
	}
	if e.AtLeast == nil && e.AtMost == nil {
		return refuse(path, "must have at_least, at_most or order")
	}
	return nil
}
