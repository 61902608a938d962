package proof_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// grown is a realm that began with one node, decided something, and then grew to three: two admissions and a promotion.
func grown(t *testing.T) (r realm, decided consensus.Opening, first identity.Signer, before consensus.Certificate) {
	t.Helper()
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
	r = realm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	r.worker = w.Agent(r.a, "worker", identity.Journeyer)
	r.reviewer = w.Agent(r.b, "reviewer", identity.Journeyer)
	r.auditor = w.Agent(r.c, "auditor", identity.Journeyer)
	decided = r.approved("process.exec")
	first, before = w.Nodes[0], w.Certificate(decided.Proposal)
	w.Grow(2)
	return r, decided, first, before
}

func TestCertificateAfterGrowth(t *testing.T) {
	r, decided, first, before := grown(t)
	for name, o := range map[string]consensus.Opening{"decided before": decided, "decided after": r.approved("process.exec")} {
		t.Run(name, func(t *testing.T) {
			c := r.Certificate(o.Proposal)
			if honest(t, r.World, c); len(c.Rosters) != 3 {
				t.Errorf("%d rosters", len(c.Rosters))
			}
			c.Head = r.Sign(r.Ledger.Head(), r.Nodes[0], r.Nodes[2])
			honest(t, r.World, c)
			for _, one := range r.Nodes {
				c.Head = r.Sign(r.Ledger.Head(), one)
				wantStep(t, c, proof.Trust{Realm: r.Realm}, "head", fault.NoQuorum)
			}
			c.Head, _ = r.Head()
			c.Rosters = c.Rosters[:2]
			wantStep(t, c, proof.Trust{Realm: r.Realm}, "head", fault.Superseded)
			wantStep(t, c, proof.Trust{Realm: r.Realm, Roster: 3}, "realm and rosters", fault.Superseded)
			c.Rosters = nil
			c.Head = r.Sign(r.Ledger.Head(), first)
			wantStep(t, c, proof.Trust{Realm: r.Realm}, "head", fault.Superseded)
		})
	}
	// What was proved while there was one node stays proved, to those who have seen no later roster.
	honest(t, r.World, before)
	wantStep(t, before, proof.Trust{Realm: r.Realm, Roster: 1}, "realm and rosters", fault.Superseded)
}

// A node that joins signs nothing that counts, and the head of a realm that grows is signed by those who counted.
func TestCertificateWhileJoining(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
	r := realm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	r.worker = w.Agent(r.a, "worker", identity.Journeyer)
	r.auditor = w.Agent(r.c, "auditor", identity.Journeyer)
	o := r.approved("process.exec")
	joining := w.Admit()
	c := r.Certificate(o.Proposal)
	honest(t, w, c)
	c.Head = r.Sign(r.Ledger.Head(), joining)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "head", fault.NoQuorum)
	c.Head = r.Sign(r.Ledger.Head(), w.Nodes[0], joining)
	honest(t, w, c) // a signature too many, that nobody needs
}

// The head says which rosters its certificate needs: a head of before the growth makes a certificate of before it.
func TestCertificateUnderAnEarlierHead(t *testing.T) {
	r, decided, first, before := grown(t)
	d, err := r.Ledger.Decision(decided.Proposal)
	wantErr(t, err, "")
	head, ok := r.Ledger.HeadAt(d.Decided.Index)
	if !ok || head.Roster != 0 {
		t.Fatalf("got %+v, %t", head, ok)
	}
	c, err := r.Ledger.Certificate(decided.Proposal, r.Sign(head, first), head.Size)
	wantErr(t, err, "")
	if len(c.Rosters) != 0 || len(before.Rosters) != 0 {
		t.Errorf("%d rosters", len(c.Rosters))
	}
	honest(t, r.World, c)
}

// The use of a certificate is shown under a head of the rosters that the certificate carries.
func TestConsumptionAfterGrowth(t *testing.T) {
	r, decided, first, before := grown(t)
	answer := r.Must(r.worker, registry.TypeConsume, registry.Consume{Proposal: decided.Proposal, Store: ledgertest.Store})
	use, err := registry.Result[consensus.Consumption](answer)
	wantErr(t, err, "")
	d, err := r.Ledger.Decision(decided.Proposal)
	wantErr(t, err, "")
	shown := receipt(t, r, d.Uses[0].Claimed)
	v := honest(t, r.World, r.Certificate(decided.Proposal))
	action := v.Proposal().Statement().Action
	wantErr(t, v.VerifyConsumption(use, action, shown), "")
	shown.Head = r.Sign(r.Ledger.Head(), first)
	wantErr(t, v.VerifyConsumption(use, action, shown), fault.NoQuorum)
	shown = receipt(t, r, d.Uses[0].Claimed)
	wantErr(t, honest(t, r.World, before).VerifyConsumption(use, action, shown), fault.Superseded) // fetch the certificate anew
}
