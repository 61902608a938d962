package simulate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Figures are one figure by each rule.
type Figures struct {
	Trust int64 `json:"trust"`
	Mean  int64 `json:"mean"`
	EMA   int64 `json:"ema"`
	Beta  int64 `json:"beta"`
}

func figures(by [ruleCount]int64) Figures {
	return Figures{by[byTrust], by[byMean], by[byEMA], by[byBeta]}
}

// by returns the figures in the order of the rules.
func (f Figures) by() [ruleCount]int64 { return [ruleCount]int64{f.Trust, f.Mean, f.EMA, f.Beta} }

// Result is how a scenario ended.
type Result struct {
	Scenario     string    `json:"scenario"`
	Seed         uint64    `json:"seed"`
	Days         int64     `json:"days"`
	Populations  []Row     `json:"populations"`
	Expectations []Finding `json:"expectations"`
	OK           bool      `json:"ok"` // all expectations are met
}

// Row is what became of one population. Scores are in per mille, medians over its agents unless it says otherwise; days
// are counted from its first, −1 for never.
type Row struct {
	Name            string    `json:"name"`
	Kind            Kind      `json:"kind"`
	Agents          int64     `json:"agents"`
	Level           int64     `json:"level"`
	Score           Figures   `json:"score"`             // on the last day
	Lowest          Figures   `json:"lowest"`            // of all its agents on the last day
	Misbehaviour    Figures   `json:"misbehaviour_ppm"`  // of all that they did
	DaysToThreshold Figures   `json:"days_to_threshold"` // until the score reached the population's threshold
	DaysToLevel     [6]int64  `json:"days_to_level"`     // L0 to L5
	Moved           Figures   `json:"moved_per_mille"`   // greatest change of an agent's score by attacks, on any day
	MovedEnd        Figures   `json:"moved_end_per_mille"`
	Gain            Figures   `json:"gain_days"`       // what beginning anew gained a whitewasher, until its score was back
	GainLevel       int64     `json:"gain_level_days"` // and until its level was
	Falls           int64     `json:"falls"`           // levels lost, of all
	Inflow          int64     `json:"inflow_micro"`    // what people's word for it weighed
	Made            int64     `json:"made_micro"`      // what its own word for others weighed
	OfBound         int64     `json:"of_bound"`        // that, of γ × inflow ÷ (1 − γ), in per mille
	Daily           []Figures `json:"daily"`           // median scores at each day's end
}

// Finding is one expectation and what was found.
type Finding struct {
	Text string `json:"text"`
	Have string `json:"have"`
	Met  bool   `json:"met"`
}

// Run plays a scenario by the parameters and rungs, which must pass their checks; and a second time without its attacks,
// if it has any, to see what they change. Errors: [*Fault].
func Run(s Scenario, p trust.Params, rungs []trust.Rung) (Result, error) {
	if err := s.Check(); err != nil {
		return Result{}, err
	}
	played := newWorld(&s, p, rungs, false)
	played.play()
	calm := played
	if slices.ContainsFunc(s.Populations, func(q Population) bool { return q.Ratings > 0 || q.Alarms > 0 }) {
		calm = newWorld(&s, p, rungs, true)
		calm.play()
	}
	r := Result{Scenario: s.Name, Seed: s.Seed, Days: s.Days, Expectations: []Finding{}, OK: true}
	for i := range s.Populations {
		r.Populations = append(r.Populations, row(played, calm, i))
	}
	for _, e := range s.Expect {
		f := r.find(e)
		r.Expectations, r.OK = append(r.Expectations, f), r.OK && f.Met
	}
	return r, nil
}

func row(played, calm *world, i int) Row {
	all, p := played.actors[i], played.Populations[i]
	r := Row{
		Name: p.Name, Kind: p.Kind, Agents: int64(len(all)),
		Level:           median(all, func(a *actor) int64 { return int64(a.level) }),
		Score:           each(func(rule int) int64 { return median(all, func(a *actor) int64 { return a.last(rule) }) }),
		Lowest:          each(func(rule int) int64 { return lowest(all, rule) }),
		Misbehaviour:    each(func(rule int) int64 { return misbehaviour(all, rule) }),
		DaysToThreshold: each(func(rule int) int64 { return days(all, func(a *actor) int64 { return a.stats.reached[rule] }) }),
	}
	for l := range r.DaysToLevel {
		r.DaysToLevel[l] = days(all, func(a *actor) int64 { return a.stats.levels[l] })
	}
	r.Moved = each(func(rule int) int64 { return moved(all, calm.actors[i], rule, 0) })
	r.MovedEnd = each(func(rule int) int64 { return moved(all, calm.actors[i], rule, int(played.Days)-1) })
	if p.Kind == Whitewasher {
		left := played.Days - p.Offend // who was not back by then would have been later
		r.Gain = each(func(rule int) int64 { return gain(all, left, func(m mend) int64 { return m.days[rule] }) })
		r.GainLevel = gain(all, left, func(m mend) int64 { return m.level })
	}
	for _, a := range all {
		r.Falls += a.stats.falls
		r.Inflow += int64(a.stats.inflow)
		r.Made += int64(a.stats.made)
	}
	if gamma := int64(played.params.Gamma); gamma > 0 && r.Inflow > 0 {
		r.OfBound = r.Made / max(r.Inflow*gamma/(1000-gamma)/1000, 1)
	}
	for day := range int(played.Days) {
		r.Daily = append(r.Daily, each(func(rule int) int64 {
			return median(all, func(a *actor) int64 { return int64(a.stats.history[day][rule]) })
		}))
	}
	return r
}

// each returns the figures that f returns for the rules.
func each(f func(rule int) int64) Figures {
	var by [ruleCount]int64
	for r := range by {
		by[r] = f(r)
	}
	return figures(by)
}

func (a *actor) last(rule int) int64 { return int64(a.stats.history[len(a.stats.history)-1][rule]) }

// median returns the middle value, of an even number the lower one of both.
func median(all []*actor, f func(*actor) int64) int64 {
	values := make([]int64, len(all))
	for i, a := range all {
		values[i] = f(a)
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// days is a median in which never is longer than any number of days.
func days(all []*actor, f func(*actor) int64) int64 {
	d := median(all, func(a *actor) int64 {
		if d := f(a); d != never {
			return d
		}
		return MaxDays + 1
	})
	if d > MaxDays {
		return never
	}
	return d
}

func lowest(all []*actor, rule int) int64 {
	return slices.MinFunc(all, func(a, b *actor) int { return cmp.Compare(a.last(rule), b.last(rule)) }).last(rule)
}

func misbehaviour(all []*actor, rule int) int64 {
	acts, bad := int64(0), int64(0)
	for _, a := range all {
		acts, bad = acts+a.stats.acts[rule], bad+a.stats.bad[rule]
	}
	return bad * micro / max(acts, 1)
}

// moved returns the greatest change of a score from what it would have been, in per mille of that.
func moved(played, calm []*actor, rule, from int) int64 {
	greatest := int64(0)
	for i, a := range played {
		for day, scores := range a.stats.history[from:] {
			would := int64(calm[i].stats.history[from+day][rule])
			d := int64(scores[rule]) - would
			greatest = max(greatest, max(d, -d)*1000/max(would, 1))
		}
	}
	return greatest
}

// gain returns the median of the days that those who stayed needed to mend, less the median of those who began anew.
func gain(all []*actor, left int64, f func(mend) int64) int64 {
	var stayed, washed []*actor
	for i := 0; i < len(all); i += 2 {
		stayed, washed = append(stayed, all[i]), append(washed, all[i+1])
	}
	needed := func(a *actor) int64 {
		if d := f(a.mend); d != never {
			return d
		}
		return left
	}
	return median(stayed, needed) - median(washed, needed)
}

// figure returns what the expectation is about, of one population; never is more than any bound.
func (r Row) figure(e Expectation) int64 {
	rule := slices.Index(ruleNames[:], e.Rule)
	switch e.Measure {
	case "score":
		return r.Score.by()[rule]
	case "lowest":
		return r.Lowest.by()[rule]
	case "level":
		return r.Level
	case "misbehaviour":
		return r.Misbehaviour.by()[rule]
	case "days_to_threshold":
		return r.DaysToThreshold.by()[rule]
	case "days_to_level":
		return r.DaysToLevel[min(e.Level, identity.Steward)]
	case "moved":
		return r.Moved.by()[rule]
	case "moved_end":
		return r.MovedEnd.by()[rule]
	case "gain":
		return r.Gain.by()[rule]
	case "gain_level":
		return r.GainLevel
	case "falls":
		return r.Falls
	}
	return r.OfBound
}

// find looks whether the result is as expected.
func (r Result) find(e Expectation) Finding {
	if len(e.Order) > 0 {
		return r.order(e)
	}
	row := r.row(e.Of)
	have := row.figure(e)
	f := Finding{Text: e.Of + ": " + e.title(), Have: fmt.Sprint(have), Met: true}
	value := have
	if have == never && (e.Measure == "days_to_threshold" || e.Measure == "days_to_level") {
		f.Have, value = "never", MaxDays+1
	}
	if e.AtLeast != nil {
		f.Text += fmt.Sprintf(" ≥ %d", *e.AtLeast)
		f.Met = value >= *e.AtLeast
	}
	if e.AtMost != nil {
		f.Text += fmt.Sprintf(" ≤ %d", *e.AtMost)
		f.Met = f.Met && value <= *e.AtMost
	}
	return f
}

// order looks whether each population's figure is less than that of the one before.
func (r Result) order(e Expectation) Finding {
	f := Finding{Text: e.title() + " falls:", Met: true}
	last := int64(0)
	for i, name := range e.Order {
		have := r.row(name).figure(e)
		f.Text += " " + name
		f.Have += fmt.Sprintf("%d ", have)
		f.Met = f.Met && (i == 0 || have < last)
		last = have
	}
	f.Have = f.Have[:len(f.Have)-1]
	return f
}

// title is the measure with what belongs to it.
func (e Expectation) title() string {
	switch {
	case e.Measure == "days_to_level":
		return e.Measure + " " + e.Level.String()
	case e.Rule != ruleNames[byTrust]:
		return e.Measure + " by " + e.Rule
	}
	return e.Measure
}

// row returns the population's row; the scenario's check has seen that there is one.
func (r Result) row(name string) Row {
	return r.Populations[slices.IndexFunc(r.Populations, func(p Row) bool { return p.Name == name })]
}
