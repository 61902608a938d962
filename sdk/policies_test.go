package sdk

import (
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// A node takes nobody back to a policy that was replaced, nor to another history of policies.
func TestPoliciesAreFollowedForward(t *testing.T) {
	var all []policy.Policy
	for n := range uint64(3) {
		p, err := policy.Preset(policy.Standard)
		if err != nil {
			t.Fatal(err)
		}
		p.Levels[identity.Journeyer].Rights.Rate += n
		all = append(all, p)
	}
	known := func(list ...policy.Policy) *lore {
		l := &lore{}
		l.govern(list)
		return l
	}
	for _, c := range []struct {
		name   string
		before *lore
		now    *lore
		ok     bool
	}{
		{"the same", known(all[0], all[1]), known(all[0], all[1]), true},
		{"one more", known(all[0]), known(all[0], all[1]), true},
		{"one less", known(all[0], all[1]), known(all[0]), false},
		{"another one", known(all[0], all[1]), known(all[0], all[2]), false},
		{"another and one more", known(all[0], all[1]), known(all[0], all[2], all[1]), false},
	} {
		err := c.now.follows(c.before)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, identity.ErrRollback) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	l := known(all[0], all[1])
	if l.inForce() != all[1].Digest() || l.policy.Digest() != all[1].Digest() {
		t.Error("the newest is not in force")
	}
	if p, err := l.ruledBy(all[0].Digest()); err != nil || p.Digest() != all[0].Digest() {
		t.Errorf("by which an older decision was opened: %v", err)
	}
	if _, err := l.ruledBy(all[2].Digest()); !errors.As(err, new(otherNodes)) {
		t.Errorf("one that is not known yet: %v", err)
	}
	if !(lore{}).inForce().IsZero() {
		t.Error("there is a policy before any was learned")
	}
}
