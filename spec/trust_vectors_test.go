package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// reckonings are policies that say how evidence becomes a score, or what the levels ask for.
func (g policies) reckonings() {
	reckon := func(change func(*trust.Params)) []byte {
		return presetWith(policy.Standard, func(p *policy.Policy) {
			t := trust.Defaults()
			change(&t)
			p.Reckoning = &t
		})
	}
	const ten = 3650 * 24 * hour
	bound := func(name string, change func(*trust.Params)) {
		g.refuse(name, "trust-bounds", fault.InvalidInput, reckon(change))
	}
	g.accept("ok-trust-limits", reckon(func(t *trust.Params) {
		t.HalfLife = trust.HalfLives{Slow: minute, Fast: minute, Violation: ten, Recidivism: ten, Suspicion: ten, Debt: ten}
		t.Prior, t.Gamma, t.Daily, t.FromOne, t.Rated, t.Allowance = 1000*trust.Unit, 999, 1000*trust.Unit, 1000*trust.Unit, 0, 0
		t.Severities = [4]trust.Micro{1, 1, 1, 1000 * trust.Unit}
		t.Alarm, t.Blame, t.Vote, t.Sudden, t.Grace, t.Dwell, t.Longest, t.Suspect = 1000, 10, trust.Unit, 1000, ten, ten, ten, 1000
	}))
	g.refuse("trust-as-without", "trust-default", fault.InvalidInput, reckon(func(*trust.Params) {}))
	bound("trust-half-life-short", func(t *trust.Params) { t.HalfLife.Slow = minute - 1 })
	bound("trust-half-life-long", func(t *trust.Params) { t.HalfLife.Debt = ten + 1 })
	bound("trust-prior-below", func(t *trust.Params) { t.Prior = trust.Unit - 1 })
	bound("trust-gamma-above", func(t *trust.Params) { t.Gamma = 1000 })
	bound("trust-daily-below", func(t *trust.Params) { t.Daily, t.FromOne = trust.Unit-1, 1 })
	bound("trust-from-one-above", func(t *trust.Params) { t.FromOne = t.Daily + 1 })
	bound("trust-from-one-zero", func(t *trust.Params) { t.FromOne = 0 })
	bound("trust-rated-negative", func(t *trust.Params) { t.Rated = -1 })
	bound("trust-allowance-above", func(t *trust.Params) { t.Allowance = 1000*trust.Unit + 1 })
	bound("trust-severity-zero", func(t *trust.Params) { t.Severities[0] = 0 })
	bound("trust-severities-falling", func(t *trust.Params) { t.Severities[2] = t.Severities[1] - 1 })
	bound("trust-alarm-above", func(t *trust.Params) { t.Alarm = 1001 })
	bound("trust-blame-zero", func(t *trust.Params) { t.Blame = 0 })
	bound("trust-vote-above", func(t *trust.Params) { t.Vote = trust.Unit + 1 })
	bound("trust-sudden-above", func(t *trust.Params) { t.Sudden = 1001 })
	bound("trust-grace-negative", func(t *trust.Params) { t.Grace = -1 })
	bound("trust-dwell-above", func(t *trust.Params) { t.Dwell, t.Longest = ten+1, ten+1 })
	bound("trust-longest-below-dwell", func(t *trust.Params) { t.Longest = t.Dwell - 1 })
	bound("trust-suspect-above", func(t *trust.Params) { t.Suspect = 1001 })
	g.ladders(ten)
}

func (g policies) ladders(ten int64) {
	climb := func(preset string, change func([]trust.Rung) []trust.Rung) []byte {
		return presetWith(preset, func(p *policy.Policy) { p.Rungs = change(p.Ladder()) })
	}
	rung := func(name, check string, level int, change func(*trust.Rung)) {
		g.refuse(name, check, fault.InvalidInput, climb(policy.Standard, func(l []trust.Rung) []trust.Rung {
			change(&l[level-1])
			return l
		}))
	}
	flaw := func(name string, change func(*trust.Rung)) { rung(name, "ladder-rung", 5, change) }
	easier := func(name string, change func(*trust.Rung)) { rung(name, "ladder-rises", 5, change) }
	solo := func(name string, change func(*trust.Rung)) {
		g.refuse(name, "ladder-solo", fault.InvalidInput, climb(policy.Solo, func(l []trust.Rung) []trust.Rung {
			change(&l[4])
			return l
		}))
	}
	as := func(l []trust.Rung) []trust.Rung { return l }
	for _, preset := range []string{policy.Standard, policy.Solo} {
		g.accept("ok-ladder-"+preset, climb(preset, func(l []trust.Rung) []trust.Rung {
			l[4].Held++
			return l
		}))
		g.refuse("ladder-as-without-"+preset, "ladder-default", fault.InvalidInput, climb(preset, as))
	}
	g.refuse("ladder-of-six", "ladder-rungs", fault.InvalidInput, climb(policy.Standard, func(l []trust.Rung) []trust.Rung { return append(l, l[4]) }))
	flaw("rung-of-no-class", func(r *trust.Rung) { r.Class = 4 })
	flaw("rung-score-above", func(r *trust.Rung) { r.Score = 1001 })
	flaw("rung-held-above", func(r *trust.Rung) { r.Held = ten + 1 })
	flaw("rung-floor-near-its-score", func(r *trust.Rung) { r.Floor = r.Score - 49 })
	flaw("rung-tenure-above", func(r *trust.Rung) { r.Tenure = ten + 1 })
	flaw("rung-outcomes-above", func(r *trust.Rung) { r.Outcomes = 1_000_001 })
	flaw("rung-in-class-above-outcomes", func(r *trust.Rung) { r.InClass = r.Outcomes + 1 })
	flaw("rung-operators-above", func(r *trust.Rung) { r.Operators = 5 })
	flaw("rung-votes-above", func(r *trust.Rung) { r.Votes = 1_000_001 })
	flaw("rung-clean-of-no-severity", func(r *trust.Rung) { r.Clean = 5 })
	flaw("rung-clean-for-no-time", func(r *trust.Rung) { r.CleanFor = 0 })
	flaw("rung-clean-of-nothing", func(r *trust.Rung) { r.Clean = 0 })
	flaw("rung-people-above", func(r *trust.Rung) { r.People = 17 })
	flaw("rung-foreign-above-people", func(r *trust.Rung) { r.Foreign = r.People + 1 })
	flaw("rung-lease-short", func(r *trust.Rung) { r.Lease = 24*hour - 1 })
	rung("rung-without-people", "ladder-rung", 1, func(r *trust.Rung) { r.People = 0 })
	rung("rung-of-level-1-with-a-floor", "ladder-first", 1, func(r *trust.Rung) { r.Score, r.Floor = 100, 50 })
	rung("rung-of-level-1-with-a-lease", "ladder-first", 1, func(r *trust.Rung) { r.Lease = 24 * hour })
	easier("easier-class", func(r *trust.Rung) { r.Class = 1 })
	easier("easier-score", func(r *trust.Rung) { r.Score, r.Floor = 799, 700 })
	easier("easier-held", func(r *trust.Rung) { r.Held = 0 })
	easier("easier-floor", func(r *trust.Rung) { r.Floor = 699 })
	easier("easier-tenure", func(r *trust.Rung) { r.Tenure = 0 })
	easier("easier-outcomes", func(r *trust.Rung) { r.Outcomes = 299 })
	easier("easier-in-class", func(r *trust.Rung) { r.InClass = 29 })
	easier("easier-votes", func(r *trust.Rung) { r.Votes = 19 })
	easier("easier-people", func(r *trust.Rung) { r.People, r.Foreign = 1, 1 })
	easier("easier-foreign", func(r *trust.Rung) { r.Foreign = 1 })
	solo("rung-of-two-people-in-a-solo-realm", func(r *trust.Rung) { r.People = 2 })
	solo("rung-of-foreign-people-in-a-solo-realm", func(r *trust.Rung) { r.Foreign = 1 })
	solo("rung-of-other-operators-in-a-solo-realm", func(r *trust.Rung) { r.Operators = 1 })
}
