package proof

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// reign is the policy in force at the opening, and the bounds of all that were in force before it. Who vouched for a
// party did so under one of them, nobody can show which.
type reign struct {
	policy policy.Policy
	loosen uint64         // the least that any of them asks for
	enrol  identity.Level // the highest level that one operator's token gave
}

func (e *examination) readPolicy() (err error) {
	e.governed, err = e.reign()
	return err
}

// followPolicies follows the policy from the genesis to the opening.
func (e *examination) followPolicies() (reign, error) {
	first := e.c.Policy
	if len(e.c.Policies) > 0 {
		first = e.c.Before
	} else if len(e.c.Before) > 0 {
		return reign{}, fmt.Errorf("%w: one before it, and none that replaced that", ErrPolicy)
	}
	all, err := e.reigns(first)
	if err != nil {
		return reign{}, err
	}
	last := all[len(all)-1]
	if last.policy.Digest() != wire.Hash(e.c.Policy) {
		return reign{}, ErrPolicy
	}
	return last, nil
}

// reigns follows the genesis's policy through the commands that replaced it.
func (e *examination) reigns(first []byte) ([]reign, error) {
	if wire.Hash(first) != e.a.Policy {
		return nil, ErrPolicy
	}
	current, err := reign{}.then(first, e.a.Solo)
	all := []reign{current}
	for i := 0; err == nil && i < len(e.c.Policies); i++ {
		current, err = e.replaced(current, e.c.Policies[i])
		all = append(all, current)
	}
	return all, err
}

// FollowPolicies checks the policy that the genesis names, as encoded, and the commands that replaced it, oldest first, by
// the commands that made their signers operators and those operators' successions. It returns all policies, the one now in
// force last. Whether there is a newer one, it cannot know.
func FollowPolicies(a *identity.Authority, founded []byte, commands, operators, keys [][]byte) ([]policy.Policy, error) {
	e := &examination{a: a, parts: parts{c: consensus.Certificate{Policies: commands, Operators: operators, Keys: keys}}}
	all, err := e.reigns(founded)
	if err != nil {
		return nil, err
	}
	policies := make([]policy.Policy, len(all))
	for i, r := range all {
		policies[i] = r.policy
	}
	return policies, nil
}

// then puts a policy in force.
func (r reign) then(raw []byte, solo bool) (reign, error) {
	p, err := policy.Parse(raw)
	if err != nil {
		return reign{}, err
	}
	if p.Preset == policy.Solo && !solo {
		return reign{}, fmt.Errorf("%w: one person governs by it, and the realm is not solo", ErrPolicy)
	}
	if r.loosen == 0 {
		r.loosen = p.Loosen
	}
	return reign{policy: p, loosen: min(r.loosen, p.Loosen), enrol: max(r.enrol, p.Enrol)}, nil
}

// replaced puts the command's policy in force if as many distinct operators signed it as the policy before asks for. Who
// is an operator follows from the policies up to that one: nobody whom only the new one would admit can sign it.
func (e *examination) replaced(current reign, command []byte) (reign, error) {
	w, err := e.vouchers()
	if err != nil {
		return reign{}, err
	}
	if err := w.admitOperators(current.loosen); err != nil {
		return reign{}, err
	}
	body, signed, err := commanded[registry.PutPolicy](e.a.Realm, command, registry.TypePolicy)
	if err != nil {
		return reign{}, err
	}
	if have, need := w.signers(signed), current.policy.Loosen; have < need {
		return reign{}, fmt.Errorf("%w: a command that replaced the policy: %d of %d operators", wire.ErrTooFew, have, need)
	}
	return current.then(body.Policy, e.a.Solo)
}
