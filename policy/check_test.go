package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func wantFault(t *testing.T, err error, path string) {
	t.Helper()
	var f *policy.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault at %s", err, path)
	}
	if f.Path != path || f.Reason == "" {
		t.Errorf("fault at %s (%s), want one at %s", f.Path, f.Reason, path)
	}
	if !errors.Is(err, policy.ErrInvalid) || fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("%v has the code %s", err, fault.CodeOf(err))
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), f.Reason) {
		t.Errorf("%q does not name path and reason", err)
	}
}

// Each row is one change of a preset that passed.
func TestCheckRefuses(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	for _, c := range []struct {
		name   string
		preset string
		path   string
		change func(*policy.Policy)
	}{
		{"version 0", "solo", "version", func(p *policy.Policy) { p.Version = 0 }},
		{"version 2", "solo", "version", func(p *policy.Policy) { p.Version = 2 }},
		{"unknown preset", "solo", "preset", func(p *policy.Policy) { p.Preset = "lax" }},
		{"no preset", "solo", "preset", func(p *policy.Policy) { p.Preset = "" }},
		{"enrol above L3", "solo", "enrol_level", func(p *policy.Policy) { p.Enrol = identity.Principal }},
		{"nobody loosens", "solo", "loosen", func(p *policy.Policy) { p.Loosen = 0 }},
		{"two loosen solo", "solo", "loosen", func(p *policy.Policy) { p.Loosen = 2 }},
		{"one loosens standard", "standard", "loosen", func(p *policy.Policy) { p.Loosen = 1 }},
		{"too many loosen", "standard", "loosen", func(p *policy.Policy) { p.Loosen = wire.MaxCosigners + 1 }},
		{"solo under standard's name", "solo", "loosen", func(p *policy.Policy) { p.Preset = "standard" }},

		{"five levels", "solo", "levels", func(p *policy.Policy) { p.Levels = p.Levels[:5] }},
		{"seven levels", "solo", "levels", func(p *policy.Policy) { p.Levels = append(p.Levels, policy.Level{}) }},
		{"L0 publishes", "solo", "levels.L0.publish", func(p *policy.Policy) {
			p.Levels[0].Rights = trust.Rights{Publish: []string{"report.*"}, Rate: 1, MaxPayload: 1}
		}},
		{"L0 calls", "solo", "levels.L0.call", func(p *policy.Policy) { p.Levels[0].Rights.Call = []string{"*"} }},
		{"L0 serves", "solo", "levels.L0.serve", func(p *policy.Policy) { p.Levels[0].Rights.Serve = []string{"*"} }},
		{"L0 reads", "solo", "levels.L0.subscribe", func(p *policy.Policy) { p.Levels[0].Rights.Subscribe = []string{"*"} }},
		{"L0 has a rate", "solo", "levels.L0", func(p *policy.Policy) { p.Levels[0].Rights.Rate = 1 }},
		{"L0 has a size", "solo", "levels.L0", func(p *policy.Policy) { p.Levels[0].Rights.MaxPayload = 1 }},
		{"L0 proposes", "solo", "levels.L0", func(p *policy.Policy) { p.Levels[0].Rights.Propose = true }},
		{"L0 votes", "solo", "levels.L0", func(p *policy.Policy) { p.Levels[0].Rights.Weight = 1 }},
		{"L0 decides", "solo", "levels.L0", func(p *policy.Policy) { p.Levels[0].Alone = 1 }},
		{"unsorted patterns", "solo", "levels.L3.serve", func(p *policy.Policy) { p.Levels[3].Rights.Serve = []string{"b", "a"} }},
		{"doubled pattern", "solo", "levels.L3.call", func(p *policy.Policy) { p.Levels[3].Rights.Call = []string{"a", "a"} }},
		{"bad pattern", "solo", "levels.L2.publish", func(p *policy.Policy) { p.Levels[2].Rights.Publish = []string{"a.>"} }},
		{"rate", "solo", "levels.L5.rate_per_minute", func(p *policy.Policy) { p.Levels[5].Rights.Rate = 60_000_001 }},
		{"no rate", "solo", "levels.L1.rate_per_minute", func(p *policy.Policy) { p.Levels[1].Rights.Rate = 0 }},
		{"size", "solo", "levels.L5.max_payload_bytes", func(p *policy.Policy) { p.Levels[5].Rights.MaxPayload = 1<<20 + 1 }},
		{"no size", "solo", "levels.L1.max_payload_bytes", func(p *policy.Policy) { p.Levels[1].Rights.MaxPayload = 0 }},
		{"weight", "solo", "levels.L5.weight", func(p *policy.Policy) { p.Levels[5].Rights.Weight = 1001 }},
		{"R3 alone", "solo", "levels.L5.alone", func(p *policy.Policy) { p.Levels[5].Alone = 4 }},

		{"kinds unsorted", "solo", "kinds.agent.*", func(p *policy.Policy) { p.Kinds[0], p.Kinds[1] = p.Kinds[1], p.Kinds[0] }},
		{"kind twice", "solo", "kinds.agent.*", func(p *policy.Policy) { p.Kinds[1] = p.Kinds[0] }},
		{"kind's pattern", "solo", "kinds", func(p *policy.Policy) { p.Kinds[0].Pattern = "a b" }},
		{"kind's class", "solo", "kinds.db.read", func(p *policy.Policy) { p.Kinds[2].Class = 4 }},
		{"denied but R0", "solo", "kinds.db.read", func(p *policy.Policy) { p.Kinds[2].Deny = true }},
		{"the unknown is R0", "solo", "kinds.*", func(p *policy.Policy) {
			p.Kinds = append([]policy.Kind{{Pattern: "*", Class: consensus.R0}}, p.Kinds...)
		}},
		{"too many kinds", "solo", "kinds", func(p *policy.Policy) { p.Kinds = manyKinds(policy.MaxKinds + 1) }},

		{"lease of a moment", "standard", "lease.length", func(p *policy.Policy) { p.Lease.Length = 999 }},
		{"endless lease", "standard", "lease.length", func(p *policy.Policy) { p.Lease.Length = 60_001 }},
		{"negative lease", "solo", "lease.length", func(p *policy.Policy) { p.Lease.Length = -1 }},
		{"default lease as a number", "solo", "lease.length", func(p *policy.Policy) { p.Lease.Length = 3000 }},

		{"three classes", "solo", "classes", func(p *policy.Policy) { p.Classes = p.Classes[:3] }},
		{"five classes", "solo", "classes", func(p *policy.Policy) { p.Classes = append(p.Classes, p.Classes[3]) }},
		{"threshold 0", "standard", "classes.R2.approvals", func(p *policy.Policy) { p.Classes[2].Approvals = 0 }},
		{"the zero rule", "standard", "classes.R3.approvals", func(p *policy.Policy) { p.Classes[3] = consensus.Rule{} }},
		{"more than any electorate", "standard", "classes.R2.approvals", func(p *policy.Policy) {
			p.Classes[2].Approvals = consensus.MaxVoters + 1
		}},
		{"more people than approvals", "standard", "classes.R3.people", func(p *policy.Policy) { p.Classes[3].People = 3 }},
		{"more operators than approvals", "standard", "classes.R2.operators", func(p *policy.Policy) {
			p.Classes[2].Operators = 3
		}},
		{"share", "standard", "classes.R2.share_per_mille", func(p *policy.Policy) { p.Classes[2].Share = 1001 }},
		{"own votes", "standard", "classes.R0.own", func(p *policy.Policy) { p.Classes[0].Own = true }},
		{"own votes in R3", "standard", "classes.R3.own", func(p *policy.Policy) { p.Classes[3].Own = true }},
		{"no deadline", "standard", "classes.R1.deadline", func(p *policy.Policy) { p.Classes[1].Deadline = 0 }},
		{"long deadline", "standard", "classes.R1.deadline", func(p *policy.Policy) { p.Classes[1].Deadline = 7*day + 1 }},
		{"no window", "standard", "classes.R1.window", func(p *policy.Policy) { p.Classes[1].Window = -1 }},
		{"long window", "standard", "classes.R1.window", func(p *policy.Policy) { p.Classes[1].Window = day + 1 }},
		{"agents decide R3", "standard", "classes.R3.people", func(p *policy.Policy) { p.Classes[3].People = 0 }},
		{"R3 below R2: approvals", "standard", "classes.R3.approvals", func(p *policy.Policy) { p.Classes[2].Approvals = 3 }},
		{"R3 below R2: people", "standard", "classes.R3.people", func(p *policy.Policy) { p.Classes[2].People = 2 }},
		{"R3 below R2: operators", "standard", "classes.R3.operators", func(p *policy.Policy) { p.Classes[3].Operators = 1 }},
		{"R3 below R2: share", "standard", "classes.R3.share_per_mille", func(p *policy.Policy) { p.Classes[2].Share = 500 }},
		{"one loosens strict", "strict", "loosen", func(p *policy.Policy) { p.Loosen = 1 }},
		{"families", "strict", "classes.R2.families", func(p *policy.Policy) { p.Classes[2].Families = 4 }},
		{"families beside people", "strict", "classes.R3.families", func(p *policy.Policy) { p.Classes[3].Families = 5 }},
		{"operator cap", "strict", "classes.R2.operator_cap_per_mille", func(p *policy.Policy) { p.Classes[2].OperatorCap = 1001 }},
		{"family cap", "strict", "classes.R2.family_cap_per_mille", func(p *policy.Policy) { p.Classes[2].FamilyCap = 1001 }},
		{"operator cap out of reach", "strict", "classes.R2.operator_cap_per_mille", func(p *policy.Policy) {
			p.Classes[2].OperatorCap = 10
		}},
		{"family cap out of reach", "strict", "classes.R2.family_cap_per_mille", func(p *policy.Policy) {
			p.Classes[2].FamilyCap = 10
		}},
		{"more faults than approvals bear", "strict", "classes.R2.faults", func(p *policy.Policy) { p.Classes[2].Faults = 2 }},
		{"more faults than any electorate bears", "strict", "classes.R3.faults", func(p *policy.Policy) {
			p.Classes[3].Faults = 22
		}},
		{"little confidence", "standard", "classes.R2.confidence_per_mille", func(p *policy.Policy) {
			p.Classes[2].Confidence = 799
		}},
		{"more than sure", "standard", "classes.R2.confidence_per_mille", func(p *policy.Policy) {
			p.Classes[2].Confidence = 1001
		}},
		{"stewards", "strict", "classes.R2.stewards", func(p *policy.Policy) { p.Classes[2].Stewards = 4 }},
		{"commit before it opened", "standard", "classes.R2.commit", func(p *policy.Policy) { p.Classes[2].Commit = -1 }},
		{"no time to reveal", "standard", "classes.R2.commit", func(p *policy.Policy) {
			p.Classes[2].Commit = p.Classes[2].Deadline/2 + 1
		}},
		{"R3 below R2: families", "strict", "classes.R3.families", func(p *policy.Policy) { p.Classes[3].Families = 1 }},
		{"R3 below R2: faults", "strict", "classes.R3.faults", func(p *policy.Policy) { p.Classes[3].Faults = 0 }},
		{"R3 below R2: confidence", "standard", "classes.R3.confidence_per_mille", func(p *policy.Policy) {
			p.Classes[3].Confidence = 0
		}},
		{"R3 below R2: operator cap", "strict", "classes.R3.operator_cap_per_mille", func(p *policy.Policy) {
			p.Classes[3].OperatorCap = 335
		}},
		{"R3 below R2: no operator cap", "strict", "classes.R3.operator_cap_per_mille", func(p *policy.Policy) {
			p.Classes[3].OperatorCap = 0
		}},
		{"R3 below R2: family cap", "strict", "classes.R3.family_cap_per_mille", func(p *policy.Policy) {
			p.Classes[3].FamilyCap = 501
		}},
		{"R3 below R2: no family cap", "strict", "classes.R3.family_cap_per_mille", func(p *policy.Policy) {
			p.Classes[3].FamilyCap = 0
		}},
		{"R3 below R2: stewards", "strict", "classes.R3.stewards", func(p *policy.Policy) { p.Classes[3].Stewards = 3 }},
		{"R3 below R2: no stewards", "strict", "classes.R3.stewards", func(p *policy.Policy) { p.Classes[3].Stewards = 0 }},
		{"R3 below R2: open ballots", "standard", "classes.R3.commit", func(p *policy.Policy) { p.Classes[3].Commit = 0 }},

		{"steps without a window", "standard", "kinds.file.write/steps", steps(0, step(5, consensus.R2))},
		{"a window without steps", "standard", "kinds.file.write/window", steps(1)},
		{"a window before", "standard", "kinds.file.write/window", steps(-1, step(5, consensus.R2))},
		{"a window over 30 days", "standard", "kinds.file.write/window", steps(30*day+1, step(5, consensus.R2))},
		{"a step that does not raise", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R1))},
		{"a step that lowers", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R0))},
		{"a step above R3", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R3+1))},
		{"a step above nothing", "standard", "kinds.file.write/steps", steps(1, step(0, consensus.R2))},
		{"steps of one sum", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R2), step(5, consensus.R3))},
		{"steps of falling sums", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R2), step(4, consensus.R3))},
		{"steps of one class", "standard", "kinds.file.write/steps", steps(1, step(5, consensus.R2), step(6, consensus.R2))},
		{"four steps", "standard", "kinds.file.write/steps", steps(1, step(1, 1), step(2, 2), step(3, 3), step(4, 4))},
		{"denied from a sum", "standard", "kinds.file.write/steps", func(p *policy.Policy) {
			steps(1, step(5, consensus.R3))(p)
			p.Kinds[4].Class, p.Kinds[4].Deny = consensus.R3, true
		}},

		{"emergency of one", "standard", "emergency.people", func(p *policy.Policy) { p.Emergency.People = 1 }},
		{"emergency of nobody", "standard", "emergency.people", func(p *policy.Policy) { p.Emergency.People = 0 }},
		{"emergency of too many", "standard", "emergency.people", func(p *policy.Policy) { p.Emergency.People = 65 }},
		{"emergency in a solo realm", "solo", "emergency", func(p *policy.Policy) { p.Emergency = &policy.Emergency{} }},
		{"emergency for nothing", "standard", "emergency.kinds", func(p *policy.Policy) { p.Emergency.Kinds = nil }},
		{"emergency, unsorted", "standard", "emergency.kinds", func(p *policy.Policy) { p.Emergency.Kinds = []string{"b", "a"} }},
		{"emergency, doubled", "standard", "emergency.kinds", func(p *policy.Policy) { p.Emergency.Kinds = []string{"a", "a"} }},
		{"emergency, no pattern", "standard", "emergency.kinds", func(p *policy.Policy) { p.Emergency.Kinds = []string{"a.>"} }},
		{"emergency for everything", "standard", "emergency.kinds", func(p *policy.Policy) { p.Emergency.Kinds = []string{"*"} }},
		{"emergency for the policy", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"policy.*"}
		}},
		{"emergency for one change of it", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"policy.replace"}
		}},
		{"emergency for all of agents", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"agent.*"}
		}},
		{"emergency for levels", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"agent.level"}
		}},
		{"emergency for what is below a stop", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"agent.quarantine.*"}
		}},
		{"emergency for operators", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"operator.add"}
		}},
		{"emergency for the audit log", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"audit.prune"}
		}},
		{"emergency for the roster", "standard", "emergency.kinds", func(p *policy.Policy) {
			p.Emergency.Kinds = []string{"roster.*"}
		}},
		{"emergency without a deadline", "standard", "emergency.deadline", func(p *policy.Policy) { p.Emergency.Deadline = 0 }},
		{"emergency for long", "standard", "emergency.deadline", func(p *policy.Policy) { p.Emergency.Deadline = 15*60_000 + 1 }},
		{"emergency without a window", "standard", "emergency.window", func(p *policy.Policy) { p.Emergency.Window = 0 }},
		{"emergency with a long window", "standard", "emergency.window", func(p *policy.Policy) {
			p.Emergency.Window = 15*60_000 + 1
		}},
		{"emergency without review", "standard", "emergency.review", func(p *policy.Policy) { p.Emergency.Review = 0 }},
		{"emergency reviewed late", "standard", "emergency.review", func(p *policy.Policy) { p.Emergency.Review = 3*day + 1 }},

		{"plain, unsorted", "solo", "plain", func(p *policy.Policy) { p.Plain = []string{"b", "a"} }},
		{"plain, doubled", "solo", "plain", func(p *policy.Policy) { p.Plain = []string{"a", "a"} }},
		{"plain, no pattern", "solo", "plain", func(p *policy.Policy) { p.Plain = []string{"a.>"} }},
		{"plain, a star inside", "solo", "plain", func(p *policy.Policy) { p.Plain = []string{"a.*.b"} }},
		{"plain, empty text", "solo", "plain", func(p *policy.Policy) { p.Plain = []string{""} }},
		{"plain, 65 patterns", "solo", "plain", func(p *policy.Policy) { p.Plain = manyTopics(65) }},
		{"R3 below R2: own", "solo", "classes.R2.own", func(p *policy.Policy) { p.Classes[1].Own = false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := preset(t, c.preset)
			if err := p.Check(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			c.change(&p)
			wantFault(t, p.Check(), c.path)
			if _, err := policy.Parse(p.Encode()); err == nil {
				t.Error("Parse takes what Check refuses")
			}
		})
	}
}

// Each row is a change that is unusual but allowed: the refusals above are not about more than they say.
func TestCheckAllows(t *testing.T) {
	for name, change := range map[string]func(*policy.Policy){
		"enrol at L0":            func(p *policy.Policy) { p.Enrol = identity.Quarantined },
		"three loosen":           func(p *policy.Policy) { p.Loosen = 3 },
		"rights that fall":       func(p *policy.Policy) { p.Levels[5] = policy.Level{} },
		"R2 alone":               func(p *policy.Policy) { p.Levels[5].Alone = 3 },
		"no kinds":               func(p *policy.Policy) { p.Kinds = nil },
		"the unknown is denied":  func(p *policy.Policy) { p.Kinds = []policy.Kind{{Pattern: "*", Class: consensus.R3, Deny: true}} },
		"many kinds":             func(p *policy.Policy) { p.Kinds = manyKinds(policy.MaxKinds) },
		"the largest electorate": func(p *policy.Policy) { p.Classes[3].Approvals = consensus.MaxVoters },
		"the whole electorate":   func(p *policy.Policy) { p.Classes[3].Share = 1000 },
		"all classes alike": func(p *policy.Policy) {
			p.Classes[0], p.Classes[1], p.Classes[2] = p.Classes[3], p.Classes[3], p.Classes[3]
		},
		"a shorter R3":         func(p *policy.Policy) { p.Classes[3].Deadline, p.Classes[3].Window, p.Classes[3].Commit = 2, 1, 1 },
		"a level of receivers": func(p *policy.Policy) { p.Levels[1].Rights.Publish = nil },
		"plain topics":         func(p *policy.Policy) { p.Plain = []string{"log.*", "news"} },
		"all topics plain":     func(p *policy.Policy) { p.Plain = []string{"*"} },
		"64 plain patterns":    func(p *policy.Policy) { p.Plain = manyTopics(64) },
		"a class that adds up": steps(24*3_600_000, step(1, consensus.R2), step(1_000_000, consensus.R3)),
		"three steps": func(p *policy.Policy) {
			p.Kinds[2].Window, p.Kinds[2].Steps = policy.MaxSummed, []policy.Step{{1, 1}, {2, 2}, {3, 3}}
		},
		"no emergency":            func(p *policy.Policy) { p.Emergency = nil },
		"an emergency of three":   func(p *policy.Policy) { p.Emergency.People = 3 },
		"an emergency that stops": func(p *policy.Policy) { p.Emergency.Kinds = []string{"agent.quarantine", "agent.revoke", "agents.*"} },
		"a short review":          func(p *policy.Policy) { p.Emergency.Review, p.Emergency.Deadline = 1, 1 },
		"surer than it must be":   func(p *policy.Policy) { p.Classes[3].Confidence = 1000 },
		"open ballots":            func(p *policy.Policy) { p.Classes[2].Commit, p.Classes[3].Commit = 0, 0 },
		"a longer commit":         func(p *policy.Policy) { p.Classes[3].Commit = p.Classes[3].Deadline / 2 },
		"a cap of everything":     func(p *policy.Policy) { p.Classes[3].OperatorCap, p.Classes[3].FamilyCap = 1000, 1 },
		"a short lease":           func(p *policy.Policy) { p.Lease.Length = 1000 },
		"a long lease":            func(p *policy.Policy) { p.Lease.Length = 60_000 },
		"a lease that restricts":  func(p *policy.Policy) { p.Lease.Restrict = true },
		"exact names and subtree": func(p *policy.Policy) { p.Levels[3].Rights.Call = []string{"db.*", "db.read"} },
	} {
		p := preset(t, policy.Standard)
		change(&p)
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := policy.Parse(p.Encode()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckBoundsTheWhole(t *testing.T) {
	p := preset(t, policy.Standard)
	long := func(list []string) []string {
		for i := range 64 {
			list = append(list, fmt.Sprintf("%s.%02d", strings.Repeat("x", 120), i))
		}
		return list
	}
	p.Levels[2].Rights.Call = long(nil)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		p.Levels[i+1].Rights.Call, p.Levels[i+1].Rights.Serve = long(nil), long(nil)
	}
	wantFault(t, p.Check(), "levels")
	if _, err := policy.Parse(p.Encode()); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("Parse says %v", err)
	}
}

// steps changes the kind file.write, which is R1.
func steps(window int64, list ...policy.Step) func(*policy.Policy) {
	return func(p *policy.Policy) { p.Kinds[4].Window, p.Kinds[4].Steps = window, list }
}

func step(above uint64, c consensus.Class) policy.Step { return policy.Step{Above: above, Class: c} }

func manyKinds(n int) []policy.Kind {
	out := make([]policy.Kind, n)
	for i := range out {
		out[i] = policy.Kind{Pattern: fmt.Sprintf("k.%04d", i), Class: consensus.R1}
	}
	return out
}

func manyTopics(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("t.%02d.*", i)
	}
	return out
}

func TestCheckRoots(t *testing.T) {
	for _, c := range []struct {
		name   string
		preset string
		change func(*policy.Policy)
		roots  int
		path   string // empty: allowed
	}{
		{"solo, its one root", "solo", nil, 1, ""},
		{"solo without a root", "solo", nil, 0, "loosen"},
		{"solo with two", "solo", nil, 2, "preset"},
		{"standard with one", "standard", nil, 1, "loosen"},
		{"standard with two", "standard", nil, 2, ""},
		{"standard with three", "standard", nil, 3, ""},
		{"three loosen, three roots", "standard", func(p *policy.Policy) { p.Loosen = 3 }, 3, ""},
		{"three loosen, two roots", "standard", func(p *policy.Policy) { p.Loosen = 3 }, 2, "loosen"},
		{"two people, three roots", "standard", func(p *policy.Policy) { p.Classes[3].People = 2 }, 3, ""},
		{"two people, two roots", "standard", func(p *policy.Policy) { p.Classes[3].People = 2 }, 2, "classes.R3.people"},
		{"two people in R2, two roots", "standard", func(p *policy.Policy) {
			p.Classes[2].People, p.Classes[3].People = 2, 2
		}, 2, "classes.R2.people"},
		{"solo, own votes refused", "solo", func(p *policy.Policy) { p.Classes[3].Own = false }, 1, "classes.R3.people"},
		{"strict with two", "strict", nil, 2, ""},
		{"strict with one", "strict", nil, 1, "loosen"},
		{"emergency of three, three roots", "standard", func(p *policy.Policy) { p.Emergency.People = 3 }, 3, ""},
		{"emergency of three, two roots", "standard", func(p *policy.Policy) { p.Emergency.People = 3 }, 2, "emergency.people"},
		{"negative", "standard", nil, -1, "loosen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := preset(t, c.preset)
			if c.change != nil {
				c.change(&p)
			}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			err := p.CheckRoots(c.roots)
			if c.path == "" && err != nil {
				t.Fatal(err)
			}
			if c.path != "" {
				wantFault(t, err, c.path)
			}
		})
	}
}
