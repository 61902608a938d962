package ledger_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// A tick counts decisions with ballots, with commitments and with nothing alike on a replica that was restored meanwhile, whose
// urns are empty.
func TestTicksCountAlikeAfterARestore(t *testing.T) {
	s := standard(t)
	silent, committed, revealed, vetoed := s.execution(), s.execution(), s.execution(), s.execution()
	wantCode(t, s.Commit(s.reviewer, committed, s.sealed(s.reviewer, committed, consensus.Approve)), "")
	for _, voter := range []identity.Signer{s.reviewer, s.auditor} {
		wantCode(t, s.Cast(voter, revealed, consensus.Approve), "")
	}
	wantCode(t, s.Cast(s.b, vetoed, consensus.Reject), "")
	other := restored(t, s.World, s.Ledger)
	for _, at := range []int64{silent.CommitsUntil(), silent.RevealsUntil(), silent.Deadline} {
		s.Tick(at - s.Now)
		other.Apply(uint64(len(s.Entries)), s.Entries[len(s.Entries)-1])
		a, errA := s.Ledger.Snapshot()
		b, errB := other.Snapshot()
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("at %d the replicas differ: %v, %v", at-s.Now, errA, errB)
		}
	}
	for o, want := range map[*consensus.Opening]consensus.State{
		&silent: consensus.Expired, &committed: consensus.Expired, &revealed: consensus.Approved, &vetoed: consensus.Rejected,
	} {
		if got := standing(t, s.World, *o); got != want {
			t.Errorf("decision %d: %s, want %s", o.Index, got, want)
		}
	}
}

// BenchmarkTickOverOpenDecisions is the tick that counts many open decisions at once, because the time to commit is over.
func BenchmarkTickOverOpenDecisions(b *testing.B) {
	const operators, each = 157, 64
	p := ledgertest.Preset(b, policy.Solo)
	standard := ledgertest.Preset(b, policy.Standard)
	p.Classes[consensus.R2] = standard.Classes[consensus.R2]
	w := ledgertest.New(b, p, 1, 1)
	proposers := make([]identity.Signer, operators)
	for i := range proposers {
		o := w.Operator(fmt.Sprintf("operator-%d", i), w.Roots[0])
		proposers[i] = w.Agent(o, fmt.Sprintf("agent-%d", i), identity.Journeyer)
	}
	for b.Loop() {
		b.StopTimer()
		var o consensus.Opening
		for _, s := range proposers {
			for range each {
				o = w.Propose(s, s.ID(), "process.exec")
			}
		}
		w.Tick(o.CommitsUntil() - w.Now - 1)
		b.StartTimer()
		w.Tick(1)
		b.StopTimer()
		w.Tick(o.Deadline)
		b.StartTimer()
	}
}
