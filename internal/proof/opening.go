package proof

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// CheckOpening computes from the policy what a proposal needs and who may vote on it, and refuses an opening that says
// otherwise, whatever head it stands under. It says nothing about signatures, nor about who its parties are.
func CheckOpening(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	if err := checkClass(rules, p, o); err != nil {
		return err
	}
	if err := checkRule(rules, p, o); err != nil {
		return err
	}
	return checkElectorate(rules, p, o)
}

// checkClass computes the class from the action and the policy, whatever the registry said. Of the sum that it said it
// checks that it is not below what this proposal amounts to: what else there was, only the log shows.
func checkClass(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	class, err := rules.Classify(p.Action, p.Class, o.Sum)
	if err != nil {
		return err
	}
	_, _, summed := rules.Summed(p.Action)
	if summed && o.Sum < amount(p) || !summed && o.Sum != 0 {
		return fmt.Errorf("%w: a sum of %d", ErrClass, o.Sum)
	}
	if class != o.Class {
		return fmt.Errorf("%w: %s, not %s", ErrClass, class, o.Class)
	}
	return nil
}

// amount returns what a proposal amounts to by itself: of a permit, all its uses together.
func amount(p consensus.Proposal) uint64 {
	once := max(p.Action.Amount, 1)
	if p.Permit == nil {
		return once
	}
	over, all := bits.Mul64(once, p.Permit.Uses)
	if over > 0 {
		return math.MaxUint64
	}
	return all
}

// checkRule computes rule and deadline from the class, or from what the policy says of emergencies.
func checkRule(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	rule := rules.Rule(o.Class)
	if o.Emergency != p.Emergency {
		return fmt.Errorf("%w: emergency", ErrClass)
	}
	if p.Emergency {
		if !rules.Urgent(p.Action) {
			return fmt.Errorf("%w: %s is never an emergency", ErrClass, p.Action.Kind)
		}
		rule = rules.Emergency.Rule()
	}
	if o.Rule != rule {
		return fmt.Errorf("%w: rule", ErrClass)
	}
	if o.Opened <= 0 || o.Deadline <= o.Opened || o.Deadline != min(o.Opened+o.Rule.Deadline, p.Expires) {
		return fmt.Errorf("%w: deadline", ErrClass)
	}
	return nil
}

// checkElectorate checks who could vote, or that the proposer's level decides alone.
func checkElectorate(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	if o.Alone {
		alone := rules.Alone(level(o.Level), o.Class)
		if p.Proposer.Role() != identity.Agent || !alone || len(o.Voters) != 0 || p.Permit != nil || p.Emergency {
			return fmt.Errorf("%w: L%d does not decide %s alone", ErrClass, o.Level, o.Class)
		}
		return nil
	}
	for _, v := range o.Voters {
		if err := checkVoter(rules, p, v); err != nil {
			return err
		}
	}
	return consensus.CheckElectorate(o, p.Proposer)
}

// checkVoter checks a voter's weight and family, and that it neither acts nor gains.
func checkVoter(rules policy.Policy, p consensus.Proposal, v consensus.Voter) error {
	weight := uint64(1)
	if !v.Person() {
		weight = rules.Rights(level(v.Level)).Weight
	}
	switch {
	case v.Weight != weight:
		return fmt.Errorf("%w: weight of %s", ErrClass, v.ID)
	case v.ID == p.Executor && !v.Person():
		return fmt.Errorf("%w: %s would execute it", ErrClass, v.ID)
	case p.Gains(v.ID) || p.Gains(v.Operator):
		return fmt.Errorf("%w: %s gains from it", ErrClass, v.ID)
	case v.Family != "" && (len(v.Family) > maxFamily || identity.CheckCapability(v.Family) != nil):
		return fmt.Errorf("%w: model family of %s", wire.ErrMalformed, v.ID)
	}
	return nil
}

// maxFamily bounds the name of a model family, in bytes; see registry.Grant.
const maxFamily = 64

// level returns the level of a number, the lowest for one above the ladder: cut to a byte, it could be any.
func level(n uint64) identity.Level {
	if n > uint64(identity.Steward) {
		return identity.Quarantined
	}
	return identity.Level(n)
}
