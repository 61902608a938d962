package policy

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// The presets.
const (
	Solo     = "solo"     // one person governs, and may approve own agents' actions
	Standard = "standard" // what loosens needs two people; own votes never count
	Strict   = "strict"   // standard, and R2 and R3 hold out against lying voters and voters that are too alike
)

// presets names them all.
const presets = Solo + ", " + Standard + " or " + Strict

// Times of the presets' rules and of the limits, in milliseconds.
const (
	minute = 60 * 1000
	hour   = 60 * minute
	day    = 24 * hour
)

// Preset returns a policy to begin from. Error: a [*Fault] for an unknown name.
func Preset(name string) (Policy, error) {
	switch name {
	case Solo:
		return Policy{
			Version: 1, Preset: Solo, Enrol: identity.Journeyer, Loosen: 1,
			Levels: ladder(), Kinds: kinds(), Classes: soloRules(),
		}, nil
	case Standard:
		return Policy{
			Version: 1, Preset: Standard, Enrol: identity.Observer, Loosen: 2,
			Levels: ladder(), Kinds: kinds(), Classes: standardRules(), Emergency: breakGlass(),
		}, nil
	case Strict:
		return Policy{
			Version: 1, Preset: Strict, Enrol: identity.Observer, Loosen: 2,
			Levels: ladder(), Kinds: kinds(), Classes: strictRules(), Emergency: breakGlass(),
		}, nil
	}
	return Policy{}, refuse("preset", "must be %s, not %.32q", presets, name)
}

// ladder is what the levels may do in every preset. Rates are of machines: they stop a runaway, not a working agent.
func ladder() []Level {
	full := func(rate, weight, alone uint64) Level {
		all := func() []string { return []string{"*"} }
		return Level{Alone: alone, Rights: trust.Rights{
			Call: all(), Serve: all(), Publish: all(), Subscribe: all(),
			Rate: rate, MaxPayload: 256 << 10, Propose: true, Weight: weight,
		}}
	}
	observer := trust.Rights{
		Publish: []string{"report.*"}, Subscribe: []string{"*"}, Rate: 60, MaxPayload: 16 << 10,
	}
	return []Level{
		{},                    // L0 Quarantined
		{Rights: observer},    // L1 Observer
		full(6_000, 0, 1),     // L2 Apprentice: R0 alone
		full(600_000, 1, 2),   // L3 Journeyer: R0 and R1 alone
		full(3_000_000, 2, 2), // L4 Principal
		full(6_000_000, 3, 2), // L5 Steward
	}
}

func kinds() []Kind {
	return []Kind{
		{Pattern: "agent.*", Class: consensus.R3},
		{Pattern: "db.migrate", Class: consensus.R3},
		{Pattern: "db.read", Class: consensus.R0},
		{Pattern: "file.read", Class: consensus.R0},
		{Pattern: "file.write", Class: consensus.R1},
		{Pattern: "payments.*", Class: consensus.R3},
		{Pattern: "policy.*", Class: consensus.R3},
		{Pattern: "process.exec", Class: consensus.R2},
	}
}

func soloRules() []consensus.Rule {
	one := consensus.Rule{Approvals: 1, Own: true, Deadline: 15 * minute, Window: 15 * minute}
	person := consensus.Rule{Approvals: 1, People: 1, Own: true, Deadline: 4 * hour, Window: 5 * minute}
	return []consensus.Rule{one, one, one, person}
}

func standardRules() []consensus.Rule {
	one := consensus.Rule{Approvals: 1, Deadline: 15 * minute, Window: 15 * minute}
	two := consensus.Rule{
		Approvals: 2, Operators: 2, Confidence: 800, Commit: minute, Deadline: 15 * minute, Window: 15 * minute,
	}
	person := two
	person.People, person.Deadline, person.Window = 1, 4*hour, 5*minute
	return []consensus.Rule{one, one, two, person}
}

func strictRules() []consensus.Rule {
	one := consensus.Rule{Approvals: 1, Deadline: 15 * minute, Window: 15 * minute}
	three := consensus.Rule{
		Faults: 1, Approvals: 3, Share: 667, Operators: 2, Families: 2, OperatorCap: 334, FamilyCap: 500,
		Confidence: 800, Stewards: 2, Commit: minute, Deadline: 15 * minute, Window: 15 * minute,
	}
	five := consensus.Rule{
		Faults: 2, Approvals: 5, Share: 750, Operators: 3, Families: 3, OperatorCap: 334, FamilyCap: 334, People: 1,
		Confidence: 800, Stewards: 1, Commit: minute, Deadline: 4 * hour, Window: 5 * minute,
	}
	return []consensus.Rule{one, one, three, five}
}

func breakGlass() *Emergency {
	return &Emergency{
		Kinds: []string{"agent.quarantine", "service.stop"}, People: 2, Deadline: 15 * minute, Window: 15 * minute, Review: 72 * hour,
	}
}
