package proof_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// replaced gives the realm new nodes by a roster, and has these record the certificate's opening and verdict.
func replaced(t *testing.T, r realm, c *consensus.Certificate) (old []identity.Signer) {
	t.Helper()
	old = r.Nodes
	fresh := []identity.Signer{r.Signer(identity.Node), r.Signer(identity.Node), r.Signer(identity.Node)}
	slices.SortFunc(fresh, func(a, b identity.Signer) int { return a.ID().Compare(b.ID()) })
	roster := identity.Roster{
		Version: 1, Number: 1, Previous: wire.Digest(r.Realm), Issued: r.Now, Roots: r.Ledger.Authority().Roots,
		Threshold: 2, Nodes: []identity.ID{fresh[0].ID(), fresh[1].ID(), fresh[2].ID()},
	}
	c.Rosters = [][]byte{r.Sign(roster, append(slices.Clone(old), r.a, r.c)...)}
	r.World.Nodes = fresh
	l := &liars{World: r.World}
	opened, decided := l.record(t, c.Opening), l.record(t, c.Verdict)
	c.Opened, c.Decided = l.inclusion(t, opened), l.inclusion(t, decided)
	head := audit.Head{
		Version: 1, Roster: 1, Size: l.tree.Size(), Root: wire.Digest(l.tree.Root()), Time: r.Now, State: wire.Digest{1},
	}
	c.Head = r.Sign(head, fresh[0], fresh[2])
	return old
}

func TestRosters(t *testing.T) {
	r := standard(t)
	c := r.Certificate(r.approved("process.exec").Proposal)
	first := c
	old := replaced(t, r, &c)
	for _, seen := range []uint64{0, 1} {
		_, report, err := verify(t, c, proof.Trust{Realm: r.Realm, Roster: seen})
		if err != nil || report.Roster != 1 {
			t.Errorf("got %+v, %v", report, err)
		}
	}
	wantStep(t, c, proof.Trust{Realm: r.Realm, Roster: 2}, "realm and rosters", fault.Superseded)
	wantStep(t, first, proof.Trust{Realm: r.Realm, Roster: 1}, "realm and rosters", fault.Superseded)

	stale := c
	stale.Head = first.Head
	wantStep(t, stale, proof.Trust{Realm: r.Realm}, "head", fault.Superseded)
	claimed, err := wire.ParseCosigned[audit.Head](c.Head, wire.MaxStatement)
	wantErr(t, err, "")
	stale.Head = r.Sign(claimed.Claim, old...)
	wantStep(t, stale, proof.Trust{Realm: r.Realm}, "head", fault.NoQuorum)
	forged := c
	forged.Rosters = [][]byte{spoilt(c.Rosters[0])}
	wantStep(t, forged, proof.Trust{Realm: r.Realm}, "realm and rosters", fault.BadSignature)
}
