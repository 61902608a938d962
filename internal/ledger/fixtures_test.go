package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const minute = ledgertest.Minute

// solo is a realm of one person with two agents.
type soloRealm struct {
	*ledgertest.World
	root, worker, other                identity.Signer
	workerID, otherID, rootID, unknown identity.ID
}

func solo(t testing.TB) soloRealm {
	t.Helper()
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	s := soloRealm{World: w, root: w.Roots[0]}
	s.worker = w.Agent(s.root, "worker", identity.Journeyer)
	s.other = w.Agent(s.root, "other", identity.Journeyer)
	s.workerID, s.otherID, s.rootID = s.worker.ID(), s.other.ID(), s.root.ID()
	s.unknown = w.Signer(identity.Agent).ID()
	return s
}

// standardRealm is a realm of three people, each with one agent; weapon.* is denied.
type standardRealm struct {
	*ledgertest.World
	a, b, c                   identity.Signer // root operators
	worker, reviewer, auditor identity.Signer // L3 agents of a, b, c
}

func standardPolicy(t testing.TB) policy.Policy {
	p := ledgertest.Preset(t, policy.Standard)
	p.Kinds = append(p.Kinds, policy.Kind{Pattern: "weapon.*", Class: consensus.R3, Deny: true})
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func standard(t testing.TB) standardRealm {
	t.Helper()
	w := ledgertest.New(t, standardPolicy(t), 3, 1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return s
}

func wantCode(t testing.TB, a registry.Answer, want fault.Code) {
	t.Helper()
	if a.Code != want {
		t.Errorf("got %q (%s), want %q", a.Code, a.Message, want)
	}
}

func wantErr(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func result[T any](t testing.TB, a registry.Answer) T {
	t.Helper()
	r, err := registry.Result[T](a)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func quarantine(id identity.ID) registry.SetStatus {
	return registry.SetStatus{Principal: id, Status: trust.Quarantined, Reason: "test"}
}

func release(id identity.ID) registry.SetStatus {
	return registry.SetStatus{Principal: id, Status: trust.Active}
}

func revoke(id identity.ID) registry.SetStatus {
	return registry.SetStatus{Principal: id, Status: trust.Revoked}
}

func status(t testing.TB, w *ledgertest.World, id identity.ID) trust.Status {
	t.Helper()
	m, err := w.Ledger.Member(id)
	if err != nil {
		t.Fatal(err)
	}
	return m.Status
}

// weak is a key of small order.
var weak = wire.PublicKey{1}

// parsed reads a signed proposal.
func parsed(t testing.TB, raw []byte) consensus.Proposal {
	t.Helper()
	c, err := wire.Parse[consensus.Proposal](raw, wire.MaxStatement)
	wantErr(t, err, "")
	return c.Claim
}

// standing returns where a decision stands.
func standing(t testing.TB, w *ledgertest.World, o consensus.Opening) consensus.State {
	t.Helper()
	d, err := w.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	return d.Verdict.State
}
