package proof_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func TestAllows(t *testing.T) {
	r := standard(t)
	v := honest(t, r.World, r.Certificate(r.approved("process.exec").Proposal))
	action, worker := v.Proposal().Statement().Action, r.worker.ID()
	at, until := v.Verdict().At, v.Verdict().Until
	otherTarget, otherKind, malformed, param := action, action, action, action
	otherTarget.Target += "/x"
	otherKind.Kind = "db.read"
	malformed.Kind = "Process"
	param.Params = []consensus.Param{{Name: "force", Values: []string{"true"}}}
	for _, row := range []struct {
		name     string
		action   consensus.Action
		executor identity.ID
		store    [16]byte
		now      int64
		want     fault.Code
	}{
		{"honest", action, worker, ledgertest.Store, at, ""},
		{"last moment", action, worker, ledgertest.Store, until + identity.Skew - 1, ""},
		{"expired", action, worker, ledgertest.Store, until + identity.Skew, fault.Expired},
		{"before it was approved", action, worker, ledgertest.Store, at - identity.Skew - 1, fault.NotYet},
		{"other target", otherTarget, worker, ledgertest.Store, at, fault.Misaddressed},
		{"other kind", otherKind, worker, ledgertest.Store, at, fault.Misaddressed},
		{"one more parameter", param, worker, ledgertest.Store, at, fault.Misaddressed},
		{"malformed action", malformed, worker, ledgertest.Store, at, fault.Misaddressed},
		{"no action", consensus.Action{}, worker, ledgertest.Store, at, fault.Misaddressed},
		{"other executor", action, r.reviewer.ID(), ledgertest.Store, at, fault.Misaddressed},
		{"no executor", action, identity.ID{}, ledgertest.Store, at, fault.Misaddressed},
		{"other store", action, worker, [16]byte{8}, at, fault.Misaddressed},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantErr(t, v.Allows(row.action, row.executor, row.store, row.now), row.want)
		})
	}
}

// receipt returns what a node hands out about the leaf under a head of now.
func receipt(t *testing.T, r realm, leaf audit.Leaf) audit.Receipt {
	t.Helper()
	head, size := r.Head()
	i, err := r.Ledger.Inclusion(leaf, size)
	wantErr(t, err, "")
	return audit.Receipt{Inclusion: i, Head: head}
}

func TestVerifyConsumption(t *testing.T) {
	type bundle struct {
		v *proof.Verified
		c consensus.Consumption
		a consensus.Action
		r audit.Receipt
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, r realm, b *bundle)
		want  fault.Code
	}{
		{"honest", func(*testing.T, realm, *bundle) {}, ""},
		{"under a later head", func(t *testing.T, r realm, b *bundle) {
			r.Leaf()
			b.r = receipt(t, r, b.r.Inclusion.Leaf)
		}, ""},
		{"another decision", func(t *testing.T, r realm, b *bundle) { b.c.Proposal = wire.Digest{1} }, fault.Misaddressed},
		{"another executor", func(t *testing.T, r realm, b *bundle) { b.c.Executor = r.a.ID() }, fault.Misaddressed},
		{"another store", func(t *testing.T, r realm, b *bundle) { b.c.Store[0]++ }, fault.Misaddressed},
		{"no use", func(t *testing.T, r realm, b *bundle) { b.c.Use = 0 }, fault.Misaddressed},
		{"a second use", func(t *testing.T, r realm, b *bundle) { b.c.Use = 2 }, fault.Misaddressed},
		{"of another action", func(t *testing.T, r realm, b *bundle) { b.c.Action[0]++ }, fault.Misaddressed},
		{"for another action", func(t *testing.T, r realm, b *bundle) { b.a.Target += "/x" }, fault.Misaddressed},
		{"as another action that it says", func(t *testing.T, r realm, b *bundle) {
			b.a.Target += "/x"
			b.c.Action = b.a.Digest()
		}, fault.Misaddressed},
		{"another time", func(t *testing.T, r realm, b *bundle) { b.c.At++ }, fault.BadSignature},
		{"before the approval", func(t *testing.T, r realm, b *bundle) { b.c.At = b.v.Verdict().At - 1 }, fault.Expired},
		{"after the window", func(t *testing.T, r realm, b *bundle) { b.c.At = b.v.Verdict().Until }, fault.Expired},
		{"another leaf", func(t *testing.T, r realm, b *bundle) {
			d, err := r.Ledger.Decision(b.c.Proposal)
			wantErr(t, err, "")
			b.r = receipt(t, r, d.Opened)
		}, fault.BadSignature},
		{"head by a minority", func(t *testing.T, r realm, b *bundle) {
			b.r.Head = r.Sign(r.Ledger.Head(), r.Nodes[0])
		}, fault.NoQuorum},
		{"head of another size", func(t *testing.T, r realm, b *bundle) {
			r.Leaf()
			b.r.Head, _ = r.Head()
		}, fault.BadSignature},
		{"no receipt", func(t *testing.T, r realm, b *bundle) { b.r = audit.Receipt{} }, fault.Malformed},
		{"a head older than the certificate's", func(t *testing.T, r realm, b *bundle) {
			r.Leaf()
			b.v = honest(t, r.World, r.Certificate(b.c.Proposal)) // reissued under a later head
		}, fault.Superseded},
		{"another certificate", func(t *testing.T, r realm, b *bundle) {
			b.v = honest(t, r.World, r.Certificate(r.approved("process.exec").Proposal))
		}, fault.Misaddressed},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := standard(t)
			o := r.approved("process.exec")
			b := bundle{v: honest(t, r.World, r.Certificate(o.Proposal))}
			answer := r.Must(r.worker, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store})
			d, err := r.Ledger.Decision(o.Proposal)
			wantErr(t, err, "")
			b.c, err = registry.Result[consensus.Consumption](answer)
			wantErr(t, err, "")
			b.a, b.r = b.v.Proposal().Statement().Action, receipt(t, r, d.Uses[0].Claimed)
			wantErr(t, b.v.VerifyConsumption(b.c, b.a, b.r), "")
			row.spoil(t, r, &b)
			wantErr(t, b.v.VerifyConsumption(b.c, b.a, b.r), row.want)
		})
	}
}
