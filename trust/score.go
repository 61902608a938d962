package trust

// Score is an agent's score in one class and what it is made of, in per mille.
type Score struct {
	Class       uint8  `json:"class"`
	Value       uint64 `json:"score"`       // Competence × Integrity × (1000 − Suspicion) / 10⁶
	Slow        uint64 `json:"slow"`        // of outcomes over months
	Fast        uint64 `json:"fast"`        // of outcomes of the last days
	Competence  uint64 `json:"competence"`  // the lesser of both
	Integrity   uint64 `json:"integrity"`   // less by violations and the operator's debt
	Suspicion   uint64 `json:"suspicion"`   // by alarms
	Belief      uint64 `json:"belief"`      // the three sum up to 1000: what speaks for it,
	Disbelief   uint64 `json:"disbelief"`   // against it,
	Uncertainty uint64 `json:"uncertainty"` // and what is not known
	Good        Micro  `json:"good_micro"`  // the evidence for it, ratings included
	Bad         Micro  `json:"bad_micro"`   // the evidence against it, failures weighed by [Params.Blame]
	Violations  Micro  `json:"violations_micro"`
	Debt        Micro  `json:"debt_micro"` // of the operator, as far as it counts against this agent
}

// score reckons the score in class c. The account and the operator's debt are settled. It rounds only where it divides into
// per mille at last, so that more good evidence never makes a score less.
func (a *Account) score(p *Params, owed Micro, c int) Score {
	var good, failed Micro
	for k := range Classes {
		failed += a.Bad[k]
		if k >= c {
			good += a.Good[k]
		}
	}
	if c > 0 {
		good += a.Good[c-1] / 2
	}
	good += min(a.Endorsed, good/3) // ratings modulate, they never create

	// All four times, so that the fifth that ratings alone can take off needs no division.
	g, w := 4*uint64(good), 4*uint64(p.Prior)
	b := 4*p.Blame*uint64(failed) + min(8*uint64(a.Slandered), uint64(good)+uint64(p.Prior))
	all := g + b + w

	half := uint64(p.Prior / 2)
	fast := uint64(a.FastGood) + half
	s := Score{
		Class: uint8(c), Slow: 1000 * g / all, Disbelief: 1000 * b / all,
		Fast:      1000 * fast / max(fast+p.Blame*uint64(a.FastBad), 1),
		Suspicion: uint64(a.Suspicion / Unit),
		Good:      good, Bad: Micro(b / 4), Violations: a.Violations, Debt: a.debt(owed),
	}
	s.Belief, s.Uncertainty = s.Slow, 1000-s.Slow-s.Disbelief
	s.Competence = min(s.Slow, s.Fast)
	s.Integrity = 1000 * uint64(p.Prior) / uint64(p.Prior+s.Violations+s.Debt)
	s.Value = s.Competence * s.Integrity * (1000 - s.Suspicion) / 1_000_000
	return s
}

// debt returns how much of what the operator owes counts against the agent: what it owed when the agent came, as far as it
// still owes it, and a quarter of what its other agents have added since.
func (a *Account) debt(owed Micro) Micro {
	return min(a.Inherited, owed) + minus(owed, a.Inherited+a.Own)/4
}

// values returns the scores of all classes alone.
func (a *Account) values(p *Params, owed Micro) (all [Classes]uint64) {
	for c := range all {
		all[c] = a.score(p, owed, c).Value
	}
	return all
}
