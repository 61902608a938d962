package sdk_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// otherHead returns a head that says the same for the nodes of another roster.
func otherHead(t *testing.T, realm sdk.Realm, raw []byte) []byte {
	t.Helper()
	claimed, err := wire.ParseCosigned[audit.Head](raw, wire.MaxStatement)
	if err != nil {
		t.Fatal(err)
	}
	h := claimed.Claim
	h.Roster += 5
	out, err := newSigner(t, identity.Node).Cosign(realm, h)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What was signed by the nodes of another roster is asked for once more: the nodes change while decisions are made.
func TestDecisionsGoOnWhileTheNodesChange(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		action := sdk.NewAction("file.write", "a", nil)
		var told, lies atomic.Int64
		approved := func() *sdk.Decision {
			t.Helper()
			realm.Intercept(nil)
			told.Store(0)
			lies.Store(1)
			d, err := alice.Propose(t.Context(), sdk.Proposal{Action: action})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			return d
		}
		next := func() bool { // whether this answer is to be a lie
			told.Add(1)
			return lies.Add(-1) >= 0
		}
		certificates := func() {
			rewrite(realm, func(c *control.Certificate) bool {
				if len(c.Certificate) == 0 || !next() {
					return false
				}
				parsed, err := consensus.ParseCertificate(c.Certificate)
				if err != nil {
					t.Error(err)
					return false
				}
				parsed.Head = otherHead(t, realm.ID(), parsed.Head)
				c.Certificate, err = parsed.Encode()
				return err == nil
			})
		}
		d := approved()
		certificates()
		if _, err := d.Wait(t.Context()); err != nil || told.Load() != 2 {
			t.Errorf("certificate: %v after %d answers", err, told.Load())
		}
		lies.Store(10)
		told.Store(0)
		_, err := d.Wait(t.Context())
		wantCode(t, err, "superseded")
		if told.Load() != 2 {
			t.Errorf("certificate of another roster for good: %d answers", told.Load())
		}

		d = approved()
		rewrite(realm, func(v *control.DecisionView) bool {
			if len(v.Proposal) == 0 || !next() {
				return false
			}
			v.Head = otherHead(t, realm.ID(), v.Head)
			return true
		})
		if _, err := alice.Decision(t.Context(), d.ID()); err != nil || told.Load() != 2 {
			t.Errorf("view: %v after %d answers", err, told.Load())
		}

		d = approved()
		rewrite(realm, func(s *control.Submitted) bool {
			if s.Receipt == nil || !next() {
				return false
			}
			s.Receipt.Head = otherHead(t, realm.ID(), s.Receipt.Head)
			return true
		})
		acted := 0
		err = alice.Execute(t.Context(), d, action, func(context.Context) error {
			acted++
			return nil
		})
		if err != nil || acted != 1 || told.Load() == 0 {
			t.Errorf("executed %d times: %v", acted, err)
		}
	})
}
