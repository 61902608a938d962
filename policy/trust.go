package policy

import (
	"errors"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Params returns how evidence becomes a score.
func (p Policy) Params() trust.Params {
	if p.Reckoning == nil {
		return trust.Defaults()
	}
	return *p.Reckoning
}

// Ladder returns what the levels L1 to L5 ask for. Where Rungs is nil that is [trust.Ladder], which in a solo realm asks for
// one person at most, no other operators' outcomes and nobody's signature but the agent's own operator's. Realms have been
// founded on both: neither changes. The list is the caller's own.
func (p Policy) Ladder() []trust.Rung {
	if p.Rungs != nil {
		return slices.Clone(p.Rungs)
	}
	rungs := trust.Ladder()
	if p.Preset == Solo {
		for i := range rungs {
			rungs[i].People, rungs[i].Operators, rungs[i].Foreign = min(rungs[i].People, 1), 0, 0
		}
	}
	return rungs
}

// SetTrust changes the parameters and the ladder to what has one encoding: what holds anyway becomes nil. It does not check
// them; see [Policy.Check].
func (p *Policy) SetTrust(params trust.Params, rungs []trust.Rung) {
	p.Reckoning, p.Rungs = nil, nil
	if params != p.Params() {
		p.Reckoning = &params
	}
	if !slices.Equal(rungs, p.Ladder()) {
		p.Rungs = slices.Clone(rungs)
	}
}

// Extended reports whether the policy says what builds before feature level 4 cannot read: conditions, parameters of trust or
// a ladder. Until all nodes have that level, none may come into force.
func (p Policy) Extended() bool {
	conditional := slices.ContainsFunc(p.Kinds, func(k Kind) bool { return len(k.When) > 0 })
	return conditional || p.Reckoning != nil || p.Rungs != nil
}

// checkReckoning refuses parameters that trust refuses, or that are what holds anyway.
func (p inspected) checkReckoning() error {
	if p.Reckoning == nil {
		return nil
	}
	if err := p.Reckoning.Check(); err != nil {
		return refuse(fieldIn("trust", err), "%s", reasonOf(err))
	}
	if *p.Reckoning == trust.Defaults() {
		return refuse("trust", "is what holds anyway, which has no encoding")
	}
	return nil
}

// checkRungs refuses a ladder that trust refuses, that nobody could climb in a solo realm, or that is what holds anyway.
func (p inspected) checkRungs() error {
	if p.Rungs == nil {
		return nil
	}
	if len(p.Rungs) != trust.Rungs {
		return refuse("ladder", "must be exactly L1 to L5")
	}
	for i, r := range p.Rungs {
		if err := p.checkSignOff("ladder."+identity.Level(i+1).String(), r); err != nil {
			return err
		}
	}
	if err := trust.CheckRungs(p.Rungs); err != nil {
		return refuse(fieldIn("ladder", err), "%s", reasonOf(err))
	}
	if slices.Equal(p.Rungs, Policy{Preset: p.Preset}.Ladder()) {
		return refuse("ladder", "is what holds anyway, which has no encoding")
	}
	return nil
}

// checkSignOff refuses a sign-off that nobody need give, or that nobody can.
func (p inspected) checkSignOff(path string, r trust.Rung) error {
	switch {
	case r.People < 1:
		return refuse(path+".people", "must be at least 1: no agent rises without a person")
	case r.Foreign > r.People:
		return refuse(path+".foreign", "must be at most the %d people", r.People)
	case p.Preset == Solo && r.People > 1:
		return refuse(path+".people", "must be 1 where the preset is solo: there is one person")
	case p.Preset == Solo && r.Foreign > 0:
		return refuse(path+".foreign", "must be 0 where the preset is solo: there is one person")
	case p.Preset == Solo && r.Operators > 0:
		return refuse(path+".operators", "must be 0 where the preset is solo: no other operator attests")
	}
	return nil
}

// fields names the fields of [trust.Params] and [trust.Rung] as a policy file does, where that is not their own name in
// small letters.
var fields = map[string]string{
	"HalfLife": "half_life", "Gamma": "gamma_per_mille", "FromOne": "from_one_operator", "Rated": "ratings_of_one_operator",
	"Alarm": "alarm_per_mille", "Sudden": "sudden_per_mille", "Longest": "longest_dwell", "Suspect": "suspect_per_mille",
	"Score": "score_per_mille", "Floor": "floor_per_mille", "InClass": "in_class", "Clean": "clean_of_severity",
	"CleanFor": "clean_for",
}

// fieldIn turns the Go path that an error of package trust names into a policy file's.
func fieldIn(section string, err error) string {
	var named interface{ Field() string }
	if !errors.As(err, &named) || named.Field() == "" {
		return section
	}
	path := section
	for _, part := range strings.Split(named.Field(), ".") {
		part, _, _ = strings.Cut(part, "[") // a list has one line
		name, renamed := fields[part]
		switch {
		case renamed:
			part = name
		case len(part) != 2 || part[0] != 'L': // a level keeps its name
			part = strings.ToLower(part)
		}
		path += "." + part
	}
	return path
}

// reasonOf is the error's own words, without what every one of its kind begins with.
func reasonOf(err error) string {
	var named interface{ Reason() string }
	if errors.As(err, &named) {
		return named.Reason()
	}
	return err.Error()
}
