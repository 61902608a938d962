package sdk

import (
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// However busy the agent is, no hint is lost, and the same principal twice is one question.
func TestHintsAreKeptUntilTheyAreFollowedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		h := &hints{circle: &acquaintances{link: &link{crew: c, known: known{Profile: Profile{Signer: testSigner(t)}}}}}
		h.busy = true // somebody follows up already
		var ids []identity.ID
		for range 300 { // more than an agent's chores
			ids = append(ids, testSigner(t).ID())
			h.take(nil, ids[len(ids)-1:])
			h.take(nil, ids)
		}
		changed, own := h.next()
		if len(changed) != len(ids) || len(own) != 0 || !h.busy {
			t.Errorf("%d of %d, %d own", len(changed), len(ids), len(own))
		}
		s := &session{}
		h.take(s, []identity.ID{h.circle.link.id()})
		if changed, own = h.next(); len(changed) != 1 || len(own) != 1 || own[0] != s {
			t.Errorf("%v %v", changed, own)
		}
		if changed, own = h.next(); len(changed)+len(own) != 0 || h.busy {
			t.Errorf("%v %v, busy %v", changed, own, h.busy)
		}
		c.shut()
		c.finish(t.Context())
		c.wait()
		h.take(nil, ids)
		if h.busy {
			t.Error("follows up for a closed agent")
		}
	})
}

func testSigner(t *testing.T) identity.Signer {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
