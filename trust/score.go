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

	// All twentyfold: so what peers alone can take off, a twentieth of what there is, needs no division.
	g, w := 20*good, 20*p.Prior
	b := 20*Micro(p.Blame)*failed + min(40*a.Slandered, good+p.Prior)
	all := g + b + w

	fast := a.FastGood + p.Prior/2
	s := Score{
		Class: uint8(c), Slow: perMille(g, all), Disbelief: perMille(b, all),
		Fast:      perMille(fast, max(fast+Micro(p.Blame)*a.FastBad, 1)),
		Integrity: perMille(p.Prior, p.Prior+a.Violations+a.debt(owed)),
		Suspicion: uint64(a.Suspicion / Unit),
		Good:      good, Bad: b / 20, Violations: a.Violations, Debt: a.debt(owed),
	}
	s.Belief, s.Uncertainty = s.Slow, 1000-s.Slow-s.Disbelief
	s.Competence = min(s.Slow, s.Fast)
	s.Value = s.Competence * s.Integrity * (1000 - s.Suspicion) / 1_000_000
	return s
}

// perMille returns the share x has of all, rounded down.
func perMille(x, all Micro) uint64 { return uint64(part(x, 1000, all)) }

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
