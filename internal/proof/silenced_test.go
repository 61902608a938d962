package proof_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Whoever was tightened by one operator is counted as it was, and a stranger to the realm can check that.
func TestSilencedVotersVouched(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(r realm)
	}{
		{"lowered", func(r realm) {
			r.Must(r.a, registry.TypeLevel, registry.SetLevel{Principal: r.reviewer.ID(), Level: identity.Observer})
		}},
		{"revoked", func(r realm) {
			r.Must(r.a, registry.TypeStatus, registry.SetStatus{Principal: r.reviewer.ID(), Status: trust.Revoked})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := standard(t)
			row.do(r)
			o := r.approved("process.exec")
			v, ok := o.Voter(r.reviewer.ID())
			if !ok || !v.Silenced || v.Level != uint64(identity.Journeyer) || v.Weight != 1 {
				t.Fatalf("got %+v, %t", v, ok)
			}
			c := r.Certificate(o.Proposal)
			honest(t, r.World, c)
			lie := c
			lie.Opening.Voters = append([]consensus.Voter(nil), c.Opening.Voters...)
			for i := range lie.Opening.Voters {
				if lie.Opening.Voters[i].ID == v.ID {
					lie.Opening.Voters[i].Silenced = false
				}
			}
			if _, report, err := verify(t, lie, proof.Trust{Realm: r.Realm}); err == nil || report.Valid {
				t.Error("accepted with a voter that the opening silences")
			}
		})
	}
}
