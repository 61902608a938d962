package ledger_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// bank is a realm whose policy sums up what is paid: R1 up to 100 in an hour, R2 up to 1000, R3 above.
type bank struct{ standardRealm }

func bankPolicy(t testing.TB) policy.Policy {
	t.Helper()
	p := standardPolicy(t)
	p.Kinds = append(p.Kinds, policy.Kind{Pattern: "pay.*", Class: consensus.R1, Window: 60 * minute, Steps: []policy.Step{
		{Above: 100, Class: consensus.R2}, {Above: 1000, Class: consensus.R3},
	}})
	slices.SortFunc(p.Kinds, func(a, b policy.Kind) int { return strings.Compare(a.Pattern, b.Pattern) })
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func newBank(t testing.TB) bank {
	t.Helper()
	w := ledgertest.New(t, bankPolicy(t), 3, 1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return bank{s}
}

func (b bank) pay(by identity.Signer, target string, amount uint64, change ...func(*consensus.Proposal)) consensus.Opening {
	return b.Propose(by, by.ID(), "pay.bill", append(change, func(p *consensus.Proposal) {
		p.Action.Target, p.Action.Amount = target, amount
	})...)
}

func wantSum(t testing.TB, o consensus.Opening, sum uint64, class consensus.Class) {
	t.Helper()
	if o.Sum != sum || o.Class != class {
		t.Errorf("got %d, %s, want %d, %s", o.Sum, o.Class, sum, class)
	}
}

// Splitting an action, or sharing it out among one's agents, does not help.
func TestSums(t *testing.T) {
	b := newBank(t)
	sibling := b.Agent(b.a, "sibling", identity.Journeyer)
	wantSum(t, b.pay(b.worker, "shop", 60), 60, consensus.R1)
	wantSum(t, b.pay(sibling, "shop", 40), 100, consensus.R1)
	wantSum(t, b.pay(b.worker, "shop", 0), 101, consensus.R2) // no amount counts as 1
	wantSum(t, b.pay(b.a, "shop", 899), 1000, consensus.R2)   // the person along with its agents
	wantSum(t, b.pay(b.worker, "shop", 1), 1001, consensus.R3)
	wantSum(t, b.pay(b.worker, "market", 1), 1, consensus.R1)
	wantSum(t, b.pay(b.reviewer, "shop", 1), 1, consensus.R1)
	other := b.Propose(b.worker, b.worker.ID(), "pay.wage", func(p *consensus.Proposal) { p.Action.Target = "shop" })
	wantSum(t, other, 1002, consensus.R3) // of the same pattern
	wantSum(t, b.Propose(b.worker, b.worker.ID(), "file.write"), 0, consensus.R1)
}

// What did not and will not happen is not summed up, what did is, and nothing is after the window.
func TestSumsOfWhatHasEnded(t *testing.T) {
	b := newBank(t)
	rejected := b.pay(b.worker, "shop", 200)
	wantSum(t, b.pay(b.worker, "shop", 1), 201, consensus.R2)
	b.Cast(b.b, rejected, consensus.Reject)
	wantSum(t, b.pay(b.worker, "shop", 1), 2, consensus.R1)
	b.pay(b.worker, "shop", 500)
	b.Tick(16 * minute) // silence ends two: of 500, and of 1 that was classed R2
	wantSum(t, b.pay(b.worker, "shop", 1), 2, consensus.R1)
	approved := b.pay(b.worker, "shop", 300)
	b.Cast(b.b, approved, consensus.Approve)
	b.Cast(b.c, approved, consensus.Approve)
	wantSum(t, b.pay(b.worker, "shop", 1), 303, consensus.R2)
	wantCode(t, b.Cancel(b.worker, approved), "")
	wantSum(t, b.pay(b.worker, "shop", 1), 4, consensus.R1)
	b.Ledger = restored(t, b.World, b.Ledger)
	wantSum(t, b.pay(b.worker, "shop", 1), 5, consensus.R1)
	b.Tick(44*minute - 1) // silence ends another
	wantSum(t, b.pay(b.worker, "shop", 1), 5, consensus.R1)
	b.Tick(1) // the first is an hour old, and might have been done until 15 minutes later
	wantSum(t, b.pay(b.worker, "shop", 1), 6, consensus.R1)
	b.Tick(15*minute - 1)
	wantSum(t, b.pay(b.worker, "shop", 1), 7, consensus.R1)
	b.Tick(1)
	wantSum(t, b.pay(b.worker, "shop", 1), 7, consensus.R1)
	b.Tick(75 * minute)
	wantSum(t, b.pay(b.worker, "shop", 1), 1, consensus.R1)
}

func TestSumsOfPermits(t *testing.T) {
	b := newBank(t)
	o := b.pay(b.worker, "shop", 20, lasting(10, 50*minute))
	wantSum(t, o, 200, consensus.R2)
	b.Cast(b.b, o, consensus.Approve)
	b.Cast(b.c, o, consensus.Approve)
	claimed := consensus.Action{Kind: "pay.bill", Target: "shop", Amount: 20}
	wantCode(t, b.Consume(b.worker, o, claimed), "")
	wantSum(t, b.pay(b.worker, "shop", 1), 201, consensus.R2)
	wantCode(t, b.Cancel(b.worker, o), "")
	wantSum(t, b.pay(b.worker, "shop", 1), 22, consensus.R1) // one use was made
	wantSum(t, b.pay(b.worker, "sea", math.MaxUint64/2, lasting(10, 50*minute)), math.MaxUint64, consensus.R3)
	wantSum(t, b.pay(b.worker, "sea", 5), math.MaxUint64, consensus.R3)
}

// Amounts that no 64 bits hold together still come to the greatest class, and to less once they are taken back.
func TestGreatSums(t *testing.T) {
	b := newBank(t)
	first, second := b.pay(b.worker, "sea", math.MaxUint64), b.pay(b.worker, "sea", math.MaxUint64)
	wantSum(t, second, math.MaxUint64, consensus.R3)
	wantSum(t, b.pay(b.worker, "sea", 3), math.MaxUint64, consensus.R3)
	b.Cast(b.b, first, consensus.Reject)
	wantSum(t, b.pay(b.worker, "sea", 4), math.MaxUint64, consensus.R3)
	b.Cast(b.b, second, consensus.Reject)
	wantSum(t, b.pay(b.worker, "sea", 0), 8, consensus.R1)
}

// A sum is what a count over all decisions gives, whatever happened in between.
func TestSumsAreCounts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	b := newBank(t)
	people := []identity.Signer{b.a, b.b, b.c}
	agents := []identity.Signer{b.worker, b.reviewer, b.auditor}
	for range 200 {
		i := random.IntN(3)
		target := []string{"shop", "market"}[random.IntN(2)]
		b.Tick(random.Int64N(4 * minute))
		want := uint64(0)
		for _, d := range b.Ledger.Decisions() {
			last := d.Verdict.Until
			if d.Used() > 0 {
				last = d.Uses[0].Consumption.At
			}
			counts := d.Verdict.State == consensus.Open || d.Verdict.State == consensus.Approved && last > b.Now-60*minute
			p := parsed(t, d.Proposal)
			if counts && d.Opening.Operator == people[i].ID() && p.Action.Target == target {
				want += max(p.Action.Amount, 1)
			}
		}
		amount := random.Uint64N(300)
		p := b.Proposal(agents[i].ID(), agents[i].ID(), "pay.bill")
		p.Action.Target, p.Action.Amount = target, amount
		answer := b.Hand(agents[i], p)
		if answer.Code != "" {
			t.Fatalf("%s: %s", answer.Code, answer.Message)
		}
		o := result[consensus.Opening](t, answer)
		if o.Sum != want+max(amount, 1) {
			t.Fatalf("got %d, want %d", o.Sum, want+max(amount, 1))
		}
		switch random.IntN(5) {
		case 4:
			b.Consume(agents[i], o) // if it is decided alone
		case 0:
			b.Cast(people[(i+1)%3], o, consensus.Reject)
		case 1:
			b.Cast(people[(i+1)%3], o, consensus.Approve)
			b.Cast(people[(i+2)%3], o, consensus.Approve)
		case 2:
			b.Do(people[i], registry.TypeCancel, registry.Cancel{Proposal: o.Proposal})
		}
		if random.IntN(10) == 0 {
			b.Ledger = restored(t, b.World, b.Ledger)
		}
	}
}

// Under another policy the sums are of its patterns.
func TestSumsUnderAnotherPolicy(t *testing.T) {
	b := newBank(t)
	wantSum(t, b.pay(b.worker, "shop", 60), 60, consensus.R1)
	p := bankPolicy(t)
	i := slices.IndexFunc(p.Kinds, func(k policy.Kind) bool { return k.Pattern == "pay.*" })
	p.Kinds[i].Pattern, p.Kinds[i].Window = "pay.bill", 120*minute
	b.Tick(76 * minute)
	wantSum(t, b.pay(b.worker, "shop", 10), 10, consensus.R1)
	wantCode(t, b.PutPolicy(p, b.a, b.b), "")
	wantSum(t, b.pay(b.worker, "shop", 1), 71, consensus.R1)
	b.Ledger = restored(t, b.World, b.Ledger)
	wantSum(t, b.pay(b.worker, "shop", 30), 101, consensus.R2)
}
