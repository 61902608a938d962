package proof_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// realm is a realm of three people and three nodes; d became an operator by a command, e by one that d signed. Some have
// changed their keys.
type realm struct {
	*ledgertest.World
	a, b, c, d, e             identity.Signer
	worker, reviewer, auditor identity.Signer // L3 agents of a, b, d
	oldB                      identity.Signer // b by its superseded key
}

func standard(t testing.TB) realm {
	t.Helper()
	w := ledgertest.NewAt(t, ledgertest.Preset(t, policy.Standard), 3, 3, registry.TrustFeature-1) // later, a key costs levels
	r := realm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	r.d = w.Operator("second", r.a, r.b)
	r.d = w.Rotate(r.d)
	r.e = w.Operator("third", r.c, r.d) // d signs by its second key, and changes it later
	r.worker = w.Agent(r.a, "worker", identity.Journeyer)
	r.reviewer = w.Agent(r.b, "reviewer", identity.Journeyer)
	r.auditor = w.Agent(r.d, "auditor", identity.Journeyer)
	r.d = w.Rotate(r.d)
	r.oldB, r.b = r.b, w.Rotate(r.b)
	r.auditor = w.Rotate(w.Rotate(r.auditor))
	w.Roots[1] = r.b
	w.Feature = registry.Feature
	w.Tick(1)
	return r
}

// approved has the worker's proposal approved by an agent, a root and an operator that came later.
func (r realm) approved(kind string) consensus.Opening {
	o := r.Propose(r.worker, r.worker.ID(), kind)
	r.Tick(1000)
	r.Cast(r.auditor, o, consensus.Approve)
	r.Cast(r.b, o, consensus.Approve)
	return o
}

func wantErr(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := wire.Encode(v)
	wantErr(t, err, "")
	return b
}

// verify checks a certificate as somebody does who knows the realm id only.
func verify(t testing.TB, c consensus.Certificate, trust proof.Trust) (*proof.Verified, proof.Report, error) {
	t.Helper()
	return proof.VerifyCertificate(encode(t, c), trust)
}

func honest(t testing.TB, w *ledgertest.World, c consensus.Certificate) *proof.Verified {
	t.Helper()
	v, report, err := verify(t, c, proof.Trust{Realm: w.Realm})
	if err != nil || !report.Valid || report.Code != "" || v == nil {
		t.Fatalf("an honest certificate fails: %v, %+v", err, report)
	}
	return v
}

// wantStep checks that the certificate fails, and at that step.
func wantStep(t testing.TB, c consensus.Certificate, trust proof.Trust, step string, code fault.Code) {
	t.Helper()
	v, report, err := verify(t, c, trust)
	if v != nil || report.Valid || report.Code != fault.CodeOf(err) {
		t.Fatalf("accepted: %+v (%v)", report, err)
	}
	last := report.Checks[len(report.Checks)-1]
	if last.OK || last.Name != step || report.Code != code {
		t.Errorf("fails at %q with %q (%v), want %q with %q", last.Name, report.Code, err, step, code)
	}
	for _, check := range report.Checks[:len(report.Checks)-1] {
		if !check.OK {
			t.Errorf("goes on after %q failed", check.Name)
		}
	}
}

// liars are nodes that record whatever they like: they have the node keys, and nobody else's.
type liars struct {
	*ledgertest.World
	tree   merkle.Tree
	leaves []audit.Leaf
}

func (l *liars) record(t testing.TB, result any) audit.Leaf {
	t.Helper()
	leaf := audit.Leaf{Index: l.tree.Size() + 1, Command: wire.Digest{byte(l.tree.Size())}, Result: wire.Hash(encode(t, result))}
	wantErr(t, l.tree.Append(leaf.Hash()), "")
	l.leaves = append(l.leaves, leaf)
	return leaf
}

func (l *liars) inclusion(t testing.TB, leaf audit.Leaf) wire.Raw {
	t.Helper()
	path, err := l.tree.Inclusion(leaf.Index-1, l.tree.Size())
	wantErr(t, err, "")
	return encode(t, audit.Inclusion{Leaf: leaf, Path: path})
}

func (l *liars) head() []byte {
	return l.Sign(audit.Head{
		Version: 1, Roster: l.Ledger.Authority().Number, Size: l.tree.Size(), Root: wire.Digest(l.tree.Root()), Time: l.Now, State: wire.Digest{1},
	}, l.Nodes...)
}

// rerecord makes the nodes record the certificate's opening and verdict as they stand now, and sign that.
func rerecord(t testing.TB, w *ledgertest.World, c *consensus.Certificate) {
	t.Helper()
	l := &liars{World: w}
	opened := l.record(t, c.Opening)
	decided := opened
	if !c.Opening.Alone {
		decided = l.record(t, c.Verdict)
	}
	c.Opened, c.Decided, c.Head = l.inclusion(t, opened), l.inclusion(t, decided), l.head()
}

// revote has the voters vote again on the opening as it stands now: what voters would do whom the nodes deceive.
func revote(w *ledgertest.World, c *consensus.Certificate, voters ...identity.Signer) {
	c.Ballots = nil
	for _, v := range voters {
		c.Ballots = append(c.Ballots, w.SignAlone(w.Ballot(v.ID(), c.Opening, consensus.Approve), v.Key()))
	}
}

// approvedAt moves the certificate's approval to another log time, with the window that follows from it.
func approvedAt(c *consensus.Certificate, at int64) {
	c.Verdict.At, c.Verdict.From, c.Verdict.Until = at, at, at+c.Opening.Rule.Window
}

func idOf(t testing.TB, r realm, p consensus.Proposal) wire.Digest {
	t.Helper()
	id, err := wire.IDOf(r.Realm, p)
	wantErr(t, err, "")
	return id
}
