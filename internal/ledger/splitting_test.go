package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// ranging makes the proposal a permit for further targets.
func ranging(uses uint64, life int64, targets ...string) func(*consensus.Proposal) {
	return func(p *consensus.Proposal) {
		p.Permit = &consensus.Permit{Uses: uses, Until: p.Issued + life, Targets: targets}
	}
}

// A permit counts wherever it may be used, however its targets are spelt: asking for it under another target each time does
// not split what it allows.
func TestSumsOfPermitsForSeveralTargets(t *testing.T) {
	b := newBank(t)
	wantSum(t, b.pay(b.worker, "cover-1", 60, ranging(1, 50*minute, "shop")), 60, consensus.R1)
	wantSum(t, b.pay(b.worker, "cover-2", 40, ranging(1, 50*minute, "sh*")), 100, consensus.R1)
	wantSum(t, b.pay(b.worker, "cover-3", 1, ranging(1, 50*minute, "shop")), 101, consensus.R2)
	wantSum(t, b.pay(b.worker, "shop", 1), 102, consensus.R2)
	wantSum(t, b.pay(b.worker, "shop", 900), 1002, consensus.R3)
	wantSum(t, b.pay(b.worker, "market", 100), 201, consensus.R2) // where the permits might be used as well, for all anybody knows
	wantSum(t, b.pay(b.reviewer, "shop", 1), 1, consensus.R1)
	b.Ledger = restored(t, b.World, b.Ledger)
	wantSum(t, b.pay(b.worker, "market", 1), 202, consensus.R2)
	wantSum(t, b.pay(b.worker, "cover-4", 1, ranging(1, 50*minute, "shop")), 1104, consensus.R3)
}

// What may be done for longer than the window is summed up for as long, and a window after it: who asks early and acts late
// splits nothing.
func TestSumsOfWhatIsDoneLate(t *testing.T) {
	b := newBank(t)
	wait := func(p *consensus.Proposal) { p.NotBefore = p.Issued + 180*minute }
	late := b.pay(b.worker, "shop", 100, wait)
	wantSum(t, late, 100, consensus.R1)
	lasting := b.pay(b.worker, "market", 10, lasting(10, 180*minute))
	b.Cast(b.b, lasting, consensus.Approve)
	b.Tick(61 * minute)
	wantSum(t, b.pay(b.worker, "shop", 100, wait), 200, consensus.R2)
	wantSum(t, b.pay(b.worker, "market", 1), 101, consensus.R2)
	b.Ledger = restored(t, b.World, b.Ledger)
	b.Tick(119 * minute) // the execution window of the first begins, and the permit ends
	wantCode(t, b.Consume(b.worker, late), "")
	b.Tick(60*minute - 1)
	b.Ledger = restored(t, b.World, b.Ledger)
	wantSum(t, b.pay(b.worker, "shop", 1), 101, consensus.R2) // the second was decided by nobody
	wantSum(t, b.pay(b.worker, "market", 1), 101, consensus.R2)
	b.Tick(1)
	wantSum(t, b.pay(b.worker, "shop", 1), 2, consensus.R1)
	wantSum(t, b.pay(b.worker, "market", 1), 2, consensus.R1)
}
