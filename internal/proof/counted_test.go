package proof_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
)

// cast returns a voter's signed ballot as it would be with a change.
func cast(r realm, c *consensus.Certificate, voter identity.Signer, vote consensus.Vote, change func(b *consensus.Ballot)) []byte {
	b := r.Ballot(voter.ID(), c.Opening, vote)
	change(&b)
	return r.SignAlone(b, voter.Key())
}

func TestBallotsThatDoNotCount(t *testing.T) {
	as := func(*consensus.Ballot) {}
	run(t, "process.exec", []row{
		{"two of one voter, one after the other", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{
				cast(r, c, r.b, consensus.Approve, as),
				cast(r, c, r.b, consensus.Approve, func(b *consensus.Ballot) { b.Sequence = 2 }),
			}
		}, "ballots", fault.Spent},
		{"two of one voter that contradict each other", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = append(c.Ballots, cast(r, c, r.b, consensus.Reject, as))
		}, "ballots", fault.Spent},
		{"one of a voter that recuses itself", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{cast(r, c, r.auditor, consensus.Approve, as), cast(r, c, r.b, consensus.Recuse, as)}
		}, "ballots", fault.NoQuorum},
		{"one that abstains", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{cast(r, c, r.auditor, consensus.Approve, as), cast(r, c, r.b, consensus.Abstain, as)}
		}, "ballots", fault.NoQuorum},
		{"a person's veto", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = append(c.Ballots, cast(r, c, r.c, consensus.Reject, as))
		}, "ballots", fault.NoQuorum},
		{"too little confidence", func(_ *testing.T, r realm, c *consensus.Certificate) {
			unsure := func(b *consensus.Ballot) { b.Confidence = 600 }
			c.Ballots = [][]byte{cast(r, c, r.auditor, consensus.Approve, unsure), cast(r, c, r.b, consensus.Approve, unsure)}
		}, "ballots", fault.NoQuorum},
		{"two of one operator", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{cast(r, c, r.reviewer, consensus.Approve, as), cast(r, c, r.b, consensus.Approve, as)}
		}, "ballots", fault.NoQuorum},
	})
	t.Run("the honest twin", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		c.Ballots = [][]byte{
			cast(r, &c, r.auditor, consensus.Approve, as), cast(r, &c, r.e, consensus.Recuse, as),
			cast(r, &c, r.b, consensus.Approve, func(b *consensus.Ballot) { b.Sequence = 2 }),
		}
		honest(t, r.World, c)
	})
}

// The ballots of a voter that contradicted itself are not in the certificate; those of the others carry it.
func TestVoidBallotsAreLeftOut(t *testing.T) {
	r := founded(t, plain)
	o := r.Propose(r.worker, r.worker.ID(), "process.exec")
	first := r.Seal(r.reviewer, r.Ballot(r.reviewer.ID(), o, consensus.Approve))
	second := r.Seal(r.reviewer, r.Ballot(r.reviewer.ID(), o, consensus.Reject))
	var commitments [][]byte
	for _, s := range []ledgertest.Sealed{first, second} {
		commitments = append(commitments, r.SignAlone(r.Commitment(r.reviewer.ID(), o, s), r.reviewer.Key()))
	}
	if answer := r.Commit(r.reviewer, o, first); answer.Code != "" {
		t.Fatal(answer)
	}
	if answer := r.Equivocate(r.a, o, commitments[0], commitments[1]); answer.Code != "" {
		t.Fatal(answer)
	}
	r.Cast(r.auditor, o, consensus.Approve)
	r.Cast(r.b, o, consensus.Approve)
	c := r.Certificate(o.Proposal)
	honest(t, r.World, c)
	if len(c.Ballots) != 2 {
		t.Errorf("%d ballots", len(c.Ballots))
	}
	for _, raw := range c.Ballots {
		b, err := consensus.VerifyBallot(raw, r.Realm, o)
		wantErr(t, err, "")
		if b.Statement().Voter == r.reviewer.ID() {
			t.Error("a void ballot")
		}
	}
	c.Ballots = slices.DeleteFunc(c.Ballots, func(raw []byte) bool {
		b, err := consensus.VerifyBallot(raw, r.Realm, o)
		return err != nil || b.Statement().Voter == r.auditor.ID()
	})
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "ballots", fault.NoQuorum)
}

// What no certificate shows: all nodes together can drop a ballot that rejects and record an approval. Whoever has the
// ballot, or a replica's log, sees it; and Explain says so.
func TestNodesCanHideARejection(t *testing.T) {
	r := founded(t, plain)
	o := r.Propose(r.worker, r.worker.ID(), "process.exec")
	r.Cast(r.c, o, consensus.Reject)
	d, err := r.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	if d.Verdict.State != consensus.Rejected {
		t.Fatalf("a person's veto makes it %s", d.Verdict.State)
	}
	head, size := r.Head()
	_, err = r.Ledger.Certificate(o.Proposal, head, size)
	wantErr(t, err, fault.Rejected)

	c := r.Certificate(r.decided("process.exec").Proposal)
	with := c
	with.Ballots = append(slices.Clone(c.Ballots), cast(r, &c, r.c, consensus.Reject, func(*consensus.Ballot) {}))
	wantStep(t, with, proof.Trust{Realm: r.Realm}, "ballots", fault.NoQuorum)
	honest(t, r.World, c)
}
