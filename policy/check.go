package policy

import (
	"errors"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	levels  = int(identity.Steward) + 1
	classes = int(consensus.R3) + 1
)

// patternsRule says what a list of patterns must be.
const patternsRule = "must be at most 64 patterns (name, name.* or *), sorted, each once"

// ErrInvalid is what every [*Fault] wraps.
var ErrInvalid = fault.New(fault.InvalidInput, "policy: refused")

// Fault is why a policy is refused: one field, named as in a policy file, and the reason.
type Fault struct {
	Path   string // such as "classes.R2.approvals" or "kinds.db.read"
	Reason string // for people
}

// Error returns path and reason.
func (f *Fault) Error() string { return "policy: " + f.Path + ": " + f.Reason }

// Unwrap returns [ErrInvalid].
func (f *Fault) Unwrap() error { return ErrInvalid }

func refuse(path, format string, args ...any) error {
	return &Fault{Path: path, Reason: fmt.Sprintf(format, args...)}
}

// Check refuses, with a [*Fault], every policy that the package comment says is refused.
func (p Policy) Check() error {
	for _, check := range (inspected{p}).checks() {
		if err := check(); err != nil {
			return err
		}
	}
	if n := len(p.Encode()); n > MaxSize {
		return refuse("levels", "the whole policy has %d bytes, at most %d", n, MaxSize)
	}
	return nil
}

// Faults returns why [Policy.Check] refuses the policy: the first fault of each of its levels, kinds, classes and other
// parts, in the order of a policy file; none if it passes.
func (p Policy) Faults() []*Fault {
	var all []*Fault
	note := func(err error) {
		var f *Fault
		if errors.As(err, &f) {
			all = append(all, f)
		}
	}
	for _, check := range (inspected{p}).checks() {
		note(check())
	}
	if len(all) == 0 {
		note(p.Check()) // its size
	}
	return all
}

// inspected is a policy whose parts are checked, each by itself.
type inspected struct{ Policy }

// checks are those of each part.
func (p inspected) checks() []func() error {
	all := []func() error{p.checkRealm, p.checkLevels}
	for i := range p.Levels {
		all = append(all, func() error { return p.Levels[i].check("levels."+identity.Level(i).String(), i == 0) })
	}
	all = append(all, p.checkKinds)
	for i := range p.Kinds {
		all = append(all, func() error { return p.checkKind(i) })
	}
	all = append(all, p.checkClasses)
	for i := range p.Classes {
		all = append(all, func() error { return p.checkClass(i) })
	}
	return append(all, p.checkPlain, p.Lease.check, p.checkEmergency, p.checkReckoning, p.checkRungs)
}

func (p inspected) checkLevels() error {
	if len(p.Levels) != levels {
		return refuse("levels", "must be exactly L0 to L5")
	}
	return nil
}

func (p inspected) checkPlain() error {
	if err := identity.CheckCapabilities(p.Plain); err != nil {
		return refuse("plain", patternsRule)
	}
	return nil
}

func (p inspected) checkEmergency() error {
	if p.Emergency == nil {
		return nil
	}
	return p.Emergency.check(p.Preset == Solo)
}

func (p inspected) checkRealm() error {
	switch {
	case p.Version != 1:
		return refuse("version", "must be 1")
	case p.Preset != Solo && p.Preset != Standard && p.Preset != Strict:
		return refuse("preset", "must be %s", presets)
	case p.Enrol > identity.Journeyer:
		return refuse("enrol_level", "one operator's token gives L3 at most")
	case p.Loosen < 1:
		return refuse("loosen", "must be at least 1")
	case p.Loosen > wire.MaxCosigners:
		return refuse("loosen", "must be at most %d", wire.MaxCosigners)
	case p.Preset == Solo && p.Loosen != 1:
		return refuse("loosen", "must be 1 where the preset is solo: there is one person")
	case p.Preset != Solo && p.Loosen < 2:
		return refuse("loosen", "must be at least 2 where the preset is %s", p.Preset)
	}
	return nil
}

func (l Level) check(path string, lowest bool) error {
	r := l.Rights
	for _, list := range []struct {
		field    string
		patterns []string
	}{{"call", r.Call}, {"serve", r.Serve}, {"publish", r.Publish}, {"subscribe", r.Subscribe}} {
		if lowest && len(list.patterns) > 0 {
			return refuse(path+"."+list.field, "L0 is quarantined and has no rights")
		}
		if err := identity.CheckCapabilities(list.patterns); err != nil {
			return refuse(path+"."+list.field, patternsRule)
		}
	}
	if lowest && (r.Rate > 0 || r.MaxPayload > 0 || r.Propose || r.Weight > 0 || l.Alone > 0) {
		return refuse(path, "L0 is quarantined and has no rights")
	}
	acts := r.Propose || len(r.Call)+len(r.Serve)+len(r.Publish)+len(r.Subscribe) > 0
	switch {
	case r.Rate > 60_000_000:
		return refuse(path+".rate_per_minute", "must be at most 60000000")
	case r.MaxPayload > 1<<20:
		return refuse(path+".max_payload_bytes", "must be at most %d", 1<<20)
	case r.Weight > consensus.MaxWeight:
		return refuse(path+".weight", "must be at most %d", consensus.MaxWeight)
	case acts && r.Rate < 1:
		return refuse(path+".rate_per_minute", "must be at least 1 where the level may do anything")
	case acts && r.MaxPayload < 1:
		return refuse(path+".max_payload_bytes", "must be at least 1 where the level may do anything")
	case l.Alone > uint64(consensus.R3):
		return refuse(path+".alone", "no level decides R3 alone")
	}
	if err := r.Check(); err != nil {
		return refuse(path, "%v", err)
	}
	return nil
}

func (p inspected) checkKinds() error {
	if len(p.Kinds) > MaxKinds {
		return refuse("kinds", "must be at most %d", MaxKinds)
	}
	return nil
}

func (p inspected) checkKind(i int) error {
	k := p.Kinds[i]
	path := "kinds." + k.Pattern
	switch {
	case identity.CheckCapabilities([]string{k.Pattern}) != nil:
		return refuse("kinds", "%.64q is not a pattern (name, name.* or *)", k.Pattern)
	case i > 0 && p.Kinds[i-1].Pattern == k.Pattern:
		return refuse(path, "stands there twice")
	case i > 0 && p.Kinds[i-1].Pattern > k.Pattern:
		return refuse(path, "must be sorted by pattern")
	case k.Class > consensus.R3:
		return refuse(path, "a class is R0 to R3")
	case k.Deny && k.Class != consensus.R3:
		return refuse(path, "what is denied has no class but R3")
	case k.Pattern == "*" && k.Class != consensus.R3:
		return refuse(path, "an action of no known kind is R3")
	}
	if err := k.checkSteps(path); err != nil {
		return err
	}
	return k.checkWhen(path)
}

// checkSteps refuses sums that change nothing, or that would lower the class of what they should raise. Its paths have a
// slash, which no pattern has.
func (k Kind) checkSteps(path string) error {
	switch {
	case len(k.Steps) > MaxSteps:
		return refuse(path+"/steps", "must be at most %d", MaxSteps)
	case k.Window < 0 || k.Window > MaxSummed:
		return refuse(path+"/window", "must be at most 30 days")
	case len(k.Steps) == 0 && k.Window != 0:
		return refuse(path+"/window", "sums nothing up without steps")
	case len(k.Steps) > 0 && k.Window == 0:
		return refuse(path+"/steps", "need a window over which the actions are summed up")
	case len(k.Steps) > 0 && k.Deny:
		return refuse(path+"/steps", "what is denied is denied in small amounts too")
	}
	class, above := k.Class, uint64(0)
	for _, s := range k.Steps {
		switch {
		case s.Class <= class || s.Class > consensus.R3:
			return refuse(path+"/steps", "must rise: %s does not raise %s, and no class is above R3", s.Class, class)
		case s.Above <= above:
			return refuse(path+"/steps", "must rise: a sum above %d comes before it, or every action has at least 1", above)
		}
		class, above = s.Class, s.Above
	}
	return nil
}

func (p inspected) checkClasses() error {
	if len(p.Classes) != classes {
		return refuse("classes", "must be exactly R0 to R3")
	}
	return nil
}

func (p inspected) checkClass(i int) error {
	path := "classes." + consensus.Class(i).String()
	if err := checkRule(path, p.Classes[i], p.Preset == Solo); err != nil {
		return err
	}
	if i > 0 {
		if err := checkStronger(path, p.Classes[i], p.Classes[i-1]); err != nil {
			return err
		}
	}
	if i == int(consensus.R3) && p.Classes[i].People < 1 {
		return refuse(path+".people", "must be at least 1: agents alone never decide R3")
	}
	return nil
}

// CheckRoots refuses, with a [*Fault], a policy that a realm of so many root operators could never use: more signers to
// loosen or more people in an emergency than there are roots, or a class that needs more people than there are beside the
// proposer's operator. A class that needs more operators than that is refused when it is proposed, because operators that
// are not roots count there; an emergency likewise.
func (p Policy) CheckRoots(roots int) error {
	if roots < 1 || p.Loosen > uint64(roots) {
		return refuse("loosen", "needs %d operators, the realm has %d roots", p.Loosen, roots)
	}
	if p.Preset == Solo && roots != 1 {
		return refuse("preset", "a solo realm has exactly one root, not %d", roots)
	}
	for i, r := range p.Classes {
		people := uint64(roots)
		if !r.Own {
			people-- // the proposer's operator does not vote
		}
		if r.People > people {
			return refuse("classes."+consensus.Class(i).String()+".people",
				"needs %d people, the realm has %d that may vote", r.People, people)
		}
	}
	if p.Emergency != nil && p.Emergency.People > uint64(roots) {
		return refuse("emergency.people", "needs %d people, the realm has %d roots", p.Emergency.People, roots)
	}
	return nil
}
