package spec_test

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// policies collects vectors of policies, each a preset with one thing changed.
type policies struct{ *group }

func policyVectors() *group {
	g := policies{&group{folder: "policy", statement: "policy", context: policyContext{}}}
	g.accepted()
	g.encodings()
	g.realms()
	g.levels()
	g.kinds()
	g.conditions()
	g.reckonings()
	g.rules()
	g.stronger()
	g.emergencies()
	g.roots()
	return g.group
}

func presetWith(name string, change func(*policy.Policy)) []byte {
	p := ledgertest.Preset(generator{}, name)
	change(&p)
	return p.Encode()
}

// not refuses the standard preset, changed.
func (g policies) not(name, check string, change func(*policy.Policy)) {
	g.refuse(name, check, fault.InvalidInput, presetWith(policy.Standard, change))
}

func (g policies) notSolo(name, check string, change func(*policy.Policy)) {
	g.refuse(name, check, fault.InvalidInput, presetWith(policy.Solo, change))
}

func (g policies) accepted() {
	for _, preset := range []string{policy.Solo, policy.Standard, policy.Strict} {
		g.accept("ok-"+preset, presetWith(preset, func(*policy.Policy) {}))
	}
	g.accept("ok-limits", presetWith(policy.Standard, func(p *policy.Policy) {
		p.Enrol, p.Loosen = identity.Journeyer, 64
		p.Plain = []string{"*"}
		p.Lease = policy.Lease{Length: policy.MaxLease, Restrict: true}
		l := &p.Levels[5]
		l.Alone, l.Rights.Rate, l.Rights.MaxPayload, l.Rights.Weight = 3, 60_000_000, 1<<20, 1000
		p.Kinds[2].Window = policy.MaxSummed
		p.Kinds[2].Steps = []policy.Step{{Above: 1, Class: consensus.R1}, {Above: 2, Class: consensus.R2}, {Above: 3, Class: consensus.R3}}
		r := &p.Classes[consensus.R3]
		r.Approvals, r.People, r.Operators, r.Share, r.Faults, r.Confidence = 64, 64, 64, 1000, 21, 1000
		r.OperatorCap, r.FamilyCap, r.Stewards = 16, 16, 64
		r.Deadline, r.Window, r.Commit = consensus.MaxDeadline, consensus.MaxWindow, consensus.MaxDeadline/2
		p.Emergency = &policy.Emergency{
			Kinds: []string{"agent.quarantine", "agent.revoke", "agents.*"}, People: 64, Deadline: policy.MaxUrgent, Window: policy.MaxUrgent, Review: policy.MaxReview,
		}
	}))
	g.accept("ok-least", presetWith(policy.Standard, func(p *policy.Policy) {
		p.Enrol, p.Kinds, p.Emergency = identity.Quarantined, nil, nil
		for i := range p.Levels {
			p.Levels[i] = policy.Level{}
		}
		p.Kinds = []policy.Kind{{Pattern: "*", Class: consensus.R3, Deny: true}}
		p.Lease = policy.Lease{Length: policy.MinLease}
		for i := range p.Classes {
			p.Classes[i] = consensus.Rule{Approvals: 1, Deadline: 1, Window: 1}
		}
		p.Classes[consensus.R3].People = 1
	}))
	g.accept("ok-for-three-roots", presetWith(policy.Standard, func(*policy.Policy) {}), knowing(policyContext{Roots: 3}))
	g.accept("ok-for-one-root", presetWith(policy.Solo, func(*policy.Policy) {}), knowing(policyContext{Roots: 1}))
}

func (g policies) encodings() {
	plain := presetWith(policy.Solo, func(*policy.Policy) {})
	more := func(pair ...byte) []byte { return append(append([]byte{plain[0] + 1}, plain[1:]...), pair...) }
	g.refuse("too-large", "policy-size", fault.TooLarge, plain, zeros(policy.MaxSize))
	g.refuse("label-unknown", "unknown-label", fault.Malformed, more(0x18, 99, 0))
	g.refuse("plain-list-empty", "re-encoding", fault.Malformed, more(7, 0x80))
	g.refuse("trailing-byte", "trailing", fault.Malformed, append(slices.Clone(plain), 0))
}

func (g policies) realms() {
	g.not("version", "policy-version", func(p *policy.Policy) { p.Version = 2 })
	g.not("preset-of-another-name", "policy-begins", func(p *policy.Policy) { p.Preset = "lax" })
	g.not("enrol-above-level-3", "policy-enrol", func(p *policy.Policy) { p.Enrol = identity.Principal })
	g.not("loosen-above-64", "policy-loosen-most", func(p *policy.Policy) { p.Loosen = 65 })
	g.not("loosen-by-one", "policy-loosen-several", func(p *policy.Policy) { p.Loosen = 1 })
	g.notSolo("loosen-by-two-in-a-solo-realm", "policy-loosen-solo", func(p *policy.Policy) { p.Loosen = 2 })
	g.not("plain-unsorted", "policy-plain", func(p *policy.Policy) { p.Plain = []string{"b", "a"} })
	g.not("lease-of-the-default-length", "policy-lease-default", func(p *policy.Policy) { p.Lease.Length = policy.DefaultLease })
	g.not("lease-too-short", "policy-lease", func(p *policy.Policy) { p.Lease.Length = policy.MinLease - 1 })
	g.not("lease-too-long", "policy-lease", func(p *policy.Policy) { p.Lease.Length = policy.MaxLease + 1 })
}

func (g policies) levels() {
	level := func(name, check string, n int, change func(*policy.Level)) {
		g.not(name, check, func(p *policy.Policy) { change(&p.Levels[n]) })
	}
	g.not("five-levels", "policy-levels", func(p *policy.Policy) { p.Levels = p.Levels[:5] })
	level("quarantined-calls", "policy-quarantined", 0, func(l *policy.Level) { l.Rights.Call, l.Rights.Rate, l.Rights.MaxPayload = []string{"a"}, 1, 1 })
	level("quarantined-votes", "policy-quarantined", 0, func(l *policy.Level) { l.Rights.Weight = 1 })
	level("quarantined-decides-alone", "policy-quarantined", 0, func(l *policy.Level) { l.Alone = 1 })
	level("call-unsorted", "policy-patterns", 1, func(l *policy.Level) { l.Rights.Call = []string{"b", "a"} })
	level("subscribe-no-pattern", "policy-patterns", 1, func(l *policy.Level) { l.Rights.Subscribe = []string{"a.*.b"} })
	level("rate-above", "policy-rate-most", 1, func(l *policy.Level) { l.Rights.Rate = 60_000_001 })
	level("rate-zero", "policy-rate", 1, func(l *policy.Level) { l.Rights.Rate = 0 })
	level("payload-above", "policy-payload-most", 1, func(l *policy.Level) { l.Rights.MaxPayload = 1<<20 + 1 })
	level("payload-zero", "policy-payload", 1, func(l *policy.Level) { l.Rights.MaxPayload = 0 })
	level("weight-above", "policy-weight", 3, func(l *policy.Level) { l.Rights.Weight = 1001 })
	level("alone-in-the-highest-class", "policy-alone", 5, func(l *policy.Level) { l.Alone = 4 })
}

func (g policies) kinds() {
	kinds := func(name, check string, list ...policy.Kind) {
		g.not(name, check, func(p *policy.Policy) { p.Kinds = list })
	}
	stepped := func(name, check string, change func(*policy.Kind)) {
		k := policy.Kind{Pattern: "a", Class: consensus.R1, Window: 1, Steps: []policy.Step{{Above: 10, Class: consensus.R2}, {Above: 20, Class: consensus.R3}}}
		change(&k)
		kinds(name, check, k)
	}
	many := make([]policy.Kind, policy.MaxKinds+1)
	for i := range many {
		many[i].Pattern = "a" + string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
	}
	kinds("kinds-above", "policy-kinds-most", many...)
	kinds("kind-no-pattern", "policy-kind-pattern", policy.Kind{Pattern: "A"})
	kinds("kind-twice", "policy-kinds", policy.Kind{Pattern: "a"}, policy.Kind{Pattern: "a"})
	kinds("kinds-unsorted", "policy-kinds", policy.Kind{Pattern: "b"}, policy.Kind{Pattern: "a"})
	kinds("kind-of-no-class", "policy-kind-class", policy.Kind{Pattern: "a", Class: 4})
	kinds("denied-of-a-low-class", "policy-kind-deny", policy.Kind{Pattern: "a", Class: consensus.R2, Deny: true})
	kinds("any-of-a-low-class", "policy-kind-any", policy.Kind{Pattern: "*", Class: consensus.R2})
	stepped("window-above", "policy-window", func(k *policy.Kind) { k.Window = policy.MaxSummed + 1 })
	stepped("window-negative", "policy-window", func(k *policy.Kind) { k.Window = -1 })
	stepped("window-without-steps", "policy-window-alone", func(k *policy.Kind) { k.Steps = nil })
	stepped("steps-without-a-window", "policy-steps-window", func(k *policy.Kind) { k.Window = 0 })
	stepped("step-of-the-kinds-class", "policy-steps-class", func(k *policy.Kind) { k.Steps[0].Class = consensus.R1 })
	stepped("steps-of-one-class", "policy-steps-class", func(k *policy.Kind) { k.Steps[1].Class = consensus.R2 })
	stepped("step-of-no-class", "policy-steps-class", func(k *policy.Kind) { k.Steps[1].Class = 4 })
	stepped("step-above-nothing", "policy-steps-above", func(k *policy.Kind) { k.Steps[0].Above = 0 })
	stepped("steps-that-do-not-rise", "policy-steps-above", func(k *policy.Kind) { k.Steps[1].Above = 10 })
}

func (g policies) rules() {
	rule := func(name, check string, class consensus.Class, change func(*consensus.Rule)) {
		g.not(name, check, func(p *policy.Policy) { change(&p.Classes[class]) })
	}
	first := func(name string, change func(*consensus.Rule)) { rule(name, "policy-rule", consensus.R0, change) }
	last := func(name string, change func(*consensus.Rule)) { rule(name, "policy-rule", consensus.R3, change) }
	g.not("five-classes", "policy-classes", func(p *policy.Policy) { p.Classes = append(p.Classes, p.Classes[3]) })
	first("rule-no-approvals", func(r *consensus.Rule) { r.Approvals = 0 })
	first("rule-no-deadline", func(r *consensus.Rule) { r.Deadline = 0 })
	first("rule-no-window", func(r *consensus.Rule) { r.Window = 0 })
	first("rule-commit-negative", func(r *consensus.Rule) { r.Commit = -1 })
	last("rule-people-above", func(r *consensus.Rule) { r.People, r.Families = 3, 0 })
	last("rule-operators-above", func(r *consensus.Rule) { r.Operators = 3 })
	last("rule-share-above", func(r *consensus.Rule) { r.Share = 1001 })
	last("rule-deadline-above", func(r *consensus.Rule) { r.Deadline = consensus.MaxDeadline + 1 })
	last("rule-window-above", func(r *consensus.Rule) { r.Window = consensus.MaxWindow + 1 })
	last("rule-families-above", func(r *consensus.Rule) { r.Families = 2 })
	last("rule-operator-cap-above", func(r *consensus.Rule) { r.OperatorCap = 1001 })
	last("rule-family-cap-above", func(r *consensus.Rule) { r.FamilyCap = 1001 })
	last("rule-confidence-above", func(r *consensus.Rule) { r.Confidence = 1001 })
	last("rule-stewards-above", func(r *consensus.Rule) { r.Stewards = 3 })
	last("rule-commit-above", func(r *consensus.Rule) { r.Commit = r.Deadline/2 + 1 })
	rule("rule-approvals-above", "policy-rule-most", consensus.R3, func(r *consensus.Rule) { r.Approvals = 65 })
	rule("rule-own", "policy-rule-own", consensus.R0, func(r *consensus.Rule) { r.Own = true })
	g.not("rule-confidence-below-800", "policy-rule-confidence", func(p *policy.Policy) {
		for i := range p.Classes {
			p.Classes[i].Confidence = 799
		}
	})
	rule("rule-operator-cap-below-the-share", "policy-rule-operator-cap", consensus.R3, func(r *consensus.Rule) { r.Share, r.OperatorCap = 65, 1 })
	rule("rule-family-cap-below-the-share", "policy-rule-family-cap", consensus.R3, func(r *consensus.Rule) { r.Share, r.FamilyCap = 65, 1 })
	rule("rule-faults-above", "rule-faults", consensus.R3, func(r *consensus.Rule) { r.Faults, r.Approvals = 22, 64 })
	rule("rule-faults-of-few-approvals", "policy-rule-faults", consensus.R3, func(r *consensus.Rule) { r.Faults = 1 })
	g.not("rule-of-agents-alone", "policy-people", func(p *policy.Policy) { p.Classes[consensus.R3].People = 0 })
}

// stronger are rules that are weaker than that of the class below.
func (g policies) stronger() {
	weaker := func(name, check string, change func(low, high *consensus.Rule)) {
		g.not(name, check, func(p *policy.Policy) { change(&p.Classes[consensus.R2], &p.Classes[consensus.R3]) })
	}
	least := func(name string, change func(low, high *consensus.Rule)) { weaker(name, "policy-stronger", change) }
	most := func(name string, change func(low, high *consensus.Rule)) {
		weaker(name, "policy-stronger-most", change)
	}
	least("weaker-approvals", func(low, high *consensus.Rule) { low.Approvals = 3 })
	least("weaker-people", func(low, high *consensus.Rule) { low.People = 2 })
	least("weaker-operators", func(low, high *consensus.Rule) { high.Operators = 1 })
	least("weaker-share", func(low, high *consensus.Rule) { low.Share = 1 })
	least("weaker-families", func(low, high *consensus.Rule) { low.Families = 1 })
	least("weaker-faults", func(low, high *consensus.Rule) { low.Approvals, high.Approvals, low.Faults = 3, 3, 1 })
	least("weaker-confidence", func(low, high *consensus.Rule) { low.Confidence = 801 })
	most("weaker-operator-cap", func(low, high *consensus.Rule) { low.OperatorCap, high.OperatorCap = 500, 501 })
	most("weaker-without-operator-cap", func(low, high *consensus.Rule) { low.OperatorCap = 500 })
	most("weaker-family-cap", func(low, high *consensus.Rule) { low.FamilyCap, high.FamilyCap = 500, 501 })
	most("weaker-without-family-cap", func(low, high *consensus.Rule) { low.FamilyCap = 500 })
	most("weaker-stewards", func(low, high *consensus.Rule) { low.Stewards, high.Stewards = 1, 2 })
	most("weaker-without-stewards", func(low, high *consensus.Rule) { low.Stewards = 1 })
	weaker("weaker-commit", "policy-stronger-commit", func(low, high *consensus.Rule) { high.Commit = 0 })
	g.notSolo("weaker-own", "policy-stronger-own", func(p *policy.Policy) { p.Classes[consensus.R0].Own = false })
}

func (g policies) emergencies() {
	urgent := func(name, check string, change func(*policy.Emergency)) {
		g.not(name, check, func(p *policy.Policy) { change(p.Emergency) })
	}
	g.notSolo("emergency-in-a-solo-realm", "policy-emergency-solo", func(p *policy.Policy) {
		p.Emergency = ledgertest.Preset(generator{}, policy.Standard).Emergency
	})
	urgent("emergency-of-no-kind", "policy-emergency-kinds", func(e *policy.Emergency) { e.Kinds = []string{} })
	urgent("emergency-kinds-unsorted", "policy-emergency-kinds", func(e *policy.Emergency) { e.Kinds = []string{"b", "a"} })
	for name, kind := range map[string]string{
		"emergency-of-anything": "*", "emergency-of-agents": "agent.*", "emergency-of-audit": "audit.delete", "emergency-of-operators": "operator.add",
		"emergency-of-policies": "policy", "emergency-of-rosters": "roster.*",
	} {
		urgent(name, "policy-emergency-guarded", func(e *policy.Emergency) { e.Kinds = []string{kind} })
	}
	urgent("emergency-by-one", "policy-emergency-people", func(e *policy.Emergency) { e.People = 1 })
	urgent("emergency-by-too-many", "policy-emergency-most", func(e *policy.Emergency) { e.People = 65 })
	urgent("emergency-without-deadline", "policy-emergency-deadline", func(e *policy.Emergency) { e.Deadline = 0 })
	urgent("emergency-deadline-above", "policy-emergency-deadline", func(e *policy.Emergency) { e.Deadline = policy.MaxUrgent + 1 })
	urgent("emergency-without-window", "policy-emergency-window", func(e *policy.Emergency) { e.Window = 0 })
	urgent("emergency-window-above", "policy-emergency-window", func(e *policy.Emergency) { e.Window = policy.MaxUrgent + 1 })
	urgent("emergency-without-review", "policy-emergency-review", func(e *policy.Emergency) { e.Review = 0 })
	urgent("emergency-review-above", "policy-emergency-review", func(e *policy.Emergency) { e.Review = policy.MaxReview + 1 })
}

// roots are policies that are right, and of no use to so many root operators.
func (g policies) roots() {
	of := func(name, check, preset string, roots int, change func(*policy.Policy)) {
		g.refuse(name, check, fault.InvalidInput, presetWith(preset, change), knowing(policyContext{Roots: roots}))
	}
	of("roots-below-loosen", "roots-loosen", policy.Standard, 3, func(p *policy.Policy) { p.Loosen = 4 })
	of("roots-of-a-solo-realm", "roots-solo", policy.Solo, 2, func(*policy.Policy) {})
	of("roots-below-people", "roots-people", policy.Standard, 2, func(p *policy.Policy) { p.Classes[consensus.R3].People = 2 })
	of("roots-below-emergency", "roots-emergency", policy.Standard, 3, func(p *policy.Policy) { p.Emergency.People = 4 })
}
