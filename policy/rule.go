package policy

import (
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// leastConfidence is the lowest consensus.confidence that a rule may ask for, if it asks for any, in per mille.
const leastConfidence = 800

func checkRule(path string, r consensus.Rule, solo bool) error {
	switch {
	case r.Approvals < 1:
		return refuse(path+".approvals", "must be at least 1")
	case r.Approvals > consensus.MaxVoters:
		return refuse(path+".approvals", "must be at most %d, the largest electorate", consensus.MaxVoters)
	case r.People > r.Approvals:
		return refuse(path+".people", "must be at most the %d approvals", r.Approvals)
	case r.Operators > r.Approvals:
		return refuse(path+".operators", "must be at most the %d approvals", r.Approvals)
	case r.Share > 1000:
		return refuse(path+".share_per_mille", "must be at most 1000")
	case r.Own && !solo:
		return refuse(path+".own", "lets a proposer count, which only a solo realm allows")
	case r.Deadline < 1 || r.Deadline > consensus.MaxDeadline:
		return refuse(path+".deadline", "must be above 0 and at most 7 days")
	case r.Window < 1 || r.Window > consensus.MaxWindow:
		return refuse(path+".window", "must be above 0 and at most 24 hours")
	}
	if err := checkEnsemble(path, r); err != nil {
		return err
	}
	if err := r.Check(); err != nil {
		return refuse(path, "%v", err)
	}
	return nil
}

// checkEnsemble refuses what a rule says about how different and how sure its voters must be, where nobody could meet it or
// it would say less than it seems to.
func checkEnsemble(path string, r consensus.Rule) error {
	switch {
	case r.Families > r.Approvals-r.People:
		return refuse(path+".families", "must be at most the %d approvals that need not be people's", r.Approvals-r.People)
	case r.OperatorCap > 1000:
		return refuse(path+".operator_cap_per_mille", "must be at most 1000")
	case r.FamilyCap > 1000:
		return refuse(path+".family_cap_per_mille", "must be at most 1000")
	case r.OperatorCap > 0 && r.OperatorCap*consensus.MaxVoters < r.Share:
		return refuse(path+".operator_cap_per_mille", "is so low that no electorate reaches the share of %d", r.Share)
	case r.FamilyCap > 0 && r.FamilyCap*consensus.MaxVoters < r.Share:
		return refuse(path+".family_cap_per_mille", "is so low that no electorate reaches the share of %d", r.Share)
	case r.Faults > (consensus.MaxVoters-1)/3:
		return refuse(path+".faults", "must be at most %d: of 3 times as many voters and one", (consensus.MaxVoters-1)/3)
	case r.Faults > 0 && r.Approvals < 2*r.Faults+1:
		return refuse(path+".faults", "%d need %d approvals at least", r.Faults, 2*r.Faults+1)
	case r.Confidence != 0 && (r.Confidence < leastConfidence || r.Confidence > 1000):
		return refuse(path+".confidence_per_mille", "must be 0, or %d to 1000", leastConfidence)
	case r.Stewards > r.Approvals:
		return refuse(path+".stewards", "must be at most the %d approvals", r.Approvals)
	case r.Commit < 0 || r.Commit > r.Deadline/2:
		return refuse(path+".commit", "must be at most half the deadline: agents commit first and then reveal for as long")
	}
	return nil
}

// checkStronger refuses a rule weaker than that of the class below: a proposer may raise the class of its action, and
// would pick the weaker rule.
func checkStronger(path string, r, below consensus.Rule) error {
	const raise = "of the class below: a proposer may raise the class"
	for _, least := range []struct {
		field   string
		r, than uint64
	}{
		{"approvals", r.Approvals, below.Approvals},
		{"people", r.People, below.People},
		{"operators", r.Operators, below.Operators},
		{"share_per_mille", r.Share, below.Share},
		{"families", r.Families, below.Families},
		{"faults", r.Faults, below.Faults},
		{"confidence_per_mille", r.Confidence, below.Confidence},
	} {
		if least.r < least.than {
			return refuse(path+"."+least.field, "must be at least the %d %s", least.than, raise)
		}
	}
	for _, most := range []struct {
		field   string
		r, than uint64 // 0: no limit
	}{
		{"operator_cap_per_mille", r.OperatorCap, below.OperatorCap},
		{"family_cap_per_mille", r.FamilyCap, below.FamilyCap},
		{"stewards", r.Stewards, below.Stewards},
	} {
		if most.than > 0 && (most.r == 0 || most.r > most.than) {
			return refuse(path+"."+most.field, "must be 1 to the %d %s", most.than, raise)
		}
	}
	switch {
	case r.Own && !below.Own:
		return refuse(path+".own", "must be false where it is false in the class below: a proposer may raise the class")
	case below.Commit > 0 && r.Commit == 0:
		return refuse(path+".commit", "must be above 0 where it is so in the class below: a proposer may raise the class")
	}
	return nil
}

// guarded are the kinds that change who may do what, or what is remembered: no emergency is one for them. Stopping
// somebody, as listed, may be one.
var (
	guarded = []string{"agent", "audit", "operator", "policy", "roster"}
	stops   = []string{"agent.quarantine", "agent.revoke"}
)

func (e Emergency) check(solo bool) error {
	if solo {
		return refuse("emergency", "needs two people: a solo realm has one, who may approve anyway")
	}
	if len(e.Kinds) == 0 || identity.CheckCapabilities(e.Kinds) != nil {
		return refuse("emergency.kinds", patternsRule+", at least one")
	}
	for _, k := range e.Kinds {
		if reaches(k) {
			return refuse("emergency.kinds", "%q reaches the realm's own rules or members, which no emergency changes", k)
		}
	}
	switch {
	case e.People < 2:
		return refuse("emergency.people", "must be at least 2")
	case e.People > consensus.MaxVoters:
		return refuse("emergency.people", "must be at most %d, the largest electorate", consensus.MaxVoters)
	case e.Deadline < 1 || e.Deadline > MaxUrgent:
		return refuse("emergency.deadline", "must be above 0 and at most 15 minutes")
	case e.Window < 1 || e.Window > MaxUrgent:
		return refuse("emergency.window", "must be above 0 and at most 15 minutes")
	case e.Review < 1 || e.Review > MaxReview:
		return refuse("emergency.review", "must be above 0 and at most 72 hours")
	}
	return nil
}

// reaches reports whether a pattern matches any guarded kind.
func reaches(pattern string) bool {
	for _, stop := range stops {
		if pattern == stop {
			return false
		}
	}
	first, _, _ := strings.Cut(pattern, ".")
	for _, g := range guarded {
		if first == "*" || first == g {
			return true
		}
	}
	return false
}
