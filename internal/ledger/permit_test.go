package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func TestPermitRefusals(t *testing.T) {
	one := run("host/1", "/src/a", 5)
	use := func(a consensus.Action) func(c court) registry.Answer {
		return func(c court) registry.Answer { return c.Consume(c.worker, c.decided(permit(3)), a) }
	}
	changed := func(change func(*consensus.Action)) func(c court) registry.Answer {
		a := run("host/1", "/src/a", 5)
		change(&a)
		return use(a)
	}
	runCourt(t, []courtStep{
		{"its own target", use(one), ""},
		{"another target of its group", use(run("host/2", "/src/b/c", 1)), ""},
		{"without the open parameter", changed(func(a *consensus.Action) { a.Params = a.Params[:1] }), ""},
		{"a target that it does not name", use(run("db/1", "/src/a", 5)), fault.Denied},
		{"a value that it does not match", use(run("host/1", "/etc", 5)), fault.Denied},
		{"a greater amount", use(run("host/1", "/src/a", 6)), fault.Denied},
		{"another kind", changed(func(a *consensus.Action) { a.Kind = "db.read" }), fault.Denied},
		{"another rollback", changed(func(a *consensus.Action) { a.Rollback = "none" }), fault.Denied},
		{"other fixed values", changed(func(a *consensus.Action) { a.Params[0].Values = []string{"make", "install"} }), fault.Denied},
		{"one parameter more", changed(func(a *consensus.Action) {
			a.Params = append(a.Params, consensus.Param{Name: "force", Values: []string{"true"}})
		}), fault.Denied},
		{"a malformed action", changed(func(a *consensus.Action) { a.Kind = "Process" }), fault.Malformed},
		{"no action", func(c court) registry.Answer { return c.Consume(c.worker, c.decided(permit(3))) }, fault.Malformed},
		{"another executor", func(c court) registry.Answer { return c.Consume(c.reviewer, c.decided(permit(3)), one) }, fault.Denied},
		{"in its last moment", func(c court) registry.Answer {
			o := c.decided(permit(3))
			c.Tick(hour - 1)
			return c.Consume(c.worker, o, one)
		}, ""},
		{"over", func(c court) registry.Answer {
			o := c.decided(permit(3))
			c.Tick(hour)
			return c.Consume(c.worker, o, one)
		}, fault.Expired},
		{"used up", func(c court) registry.Answer {
			o := c.decided(permit(1))
			c.Consume(c.worker, o, one)
			return c.Consume(c.worker, o, one)
		}, fault.Spent},
		{"pending", func(c court) registry.Answer {
			return c.Consume(c.worker, c.Propose(c.worker, c.worker.ID(), "process.exec", permit(3)), one)
		}, fault.Pending},
		{"what is left of it was cancelled", func(c court) registry.Answer {
			o := c.decided(permit(3))
			c.Consume(c.worker, o, one)
			wantCode(t, c.Cancel(c.a, o), "")
			return c.Consume(c.worker, o, one)
		}, fault.Rejected},
		{"never by one level alone", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "db.read", permit(3), func(p *consensus.Proposal) { p.Action.Kind = "db.read" })
			if o.Alone {
				t.Error("a permit was decided alone")
			}
			a := one
			a.Kind = "db.read"
			return c.Consume(c.worker, o, a)
		}, fault.Pending},
	})
}

// Each use has its number, its own leaf under the head, and its own report.
func TestUsesOfAPermit(t *testing.T) {
	c := newCourt(t)
	o := c.decided(permit(3))
	for n := uint64(1); n <= 3; n++ {
		a := run(fmt.Sprintf("host/%d", n), "/src/x", n)
		answer := c.Consume(c.worker, o, a)
		want := consensus.Consumption{
			Proposal: o.Proposal, Executor: c.worker.ID(), Store: ledgertest.Store, Use: n, At: c.Now, Action: a.Digest(),
		}
		if got := result[consensus.Consumption](t, answer); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		c.Tick(1)
		c.Ledger = restored(t, c.World, c.Ledger)
	}
	wantCode(t, c.Consume(c.worker, o, run("host/1", "/src/x", 1)), fault.Spent)
	d := find(t, c.World, o)
	raw, size := c.Head()
	head, err := audit.VerifyHead(raw, c.Ledger.Authority())
	wantErr(t, err, "")
	leaves := map[uint64]bool{}
	for n := uint64(1); n <= 3; n++ {
		u, ok := d.Use(n)
		if !ok || u.Consumption.Use != n {
			t.Fatalf("use %d is %+v", n, u)
		}
		proof, err := c.Ledger.Inclusion(u.Claimed, size)
		wantErr(t, err, "")
		wantErr(t, proof.Verify(head), "")
		leaves[u.Claimed.Index] = true
	}
	if _, ok := d.Use(4); ok || len(leaves) != 3 || d.Used() != 3 {
		t.Errorf("%d leaves, %d uses", len(leaves), d.Used())
	}
	wantCode(t, c.Report(c.worker, o, 2, true), "")
	wantCode(t, c.Report(c.worker, o, 1, false), "")
	wantCode(t, c.Report(c.worker, o, 2, true), fault.Spent)
	wantCode(t, c.Report(c.worker, o, 4, true), fault.Unknown)
	wantCode(t, c.Report(c.worker, o, 0, true), fault.Malformed)
	d = find(t, c.World, o)
	first, _ := d.Use(1)
	second, _ := d.Use(2)
	third, _ := d.Use(3)
	if !first.Reported || first.Report.OK || !second.Reported || !second.Report.OK || third.Reported {
		t.Errorf("got %+v", d.Uses)
	}
	if m, err := c.Ledger.Member(c.worker.ID()); err != nil || m.Done != 1 || m.Failed != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
	agree(t, c.World, 3)
}

// Of a permit with very many uses the newest are remembered; none is ever given twice.
func TestOldUsesAreForgotten(t *testing.T) {
	const kept = 1024
	c := newCourt(t)
	o, a := c.decided(permit(kept+10)), run("host/1", "/src/a", 1)
	for range kept + 1 {
		wantCode(t, c.Consume(c.worker, o, a), "")
	}
	c.Ledger = restored(t, c.World, c.Ledger)
	d := find(t, c.World, o)
	if _, known := d.Use(1); known || d.Used() != kept+1 || len(d.Uses) != kept {
		t.Errorf("%d uses, %d remembered", d.Used(), len(d.Uses))
	}
	wantCode(t, c.Report(c.worker, o, 1, true), fault.Expired)
	wantCode(t, c.Report(c.worker, o, 2, true), "")
	if u := result[consensus.Consumption](t, c.Consume(c.worker, o, a)); u.Use != kept+2 {
		t.Errorf("use %d after %d", u.Use, kept+1)
	}
}

// Whatever is tried in whatever order, and however often: a permit is used as often as it says, at most, each number once,
// within its time, and never after it was cancelled.
func TestPermitModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 5))
	for round := range 12 {
		c := newCourt(t)
		uses := random.Uint64N(6) + 1
		o := c.decided(permit(uses))
		end := find(t, c.World, o).Verdict.Until
		var past [][]byte
		used, cancelled, reported := uint64(0), false, map[uint64]bool{}
		for range 40 {
			switch random.IntN(10) {
			case 0:
				c.Tick(random.Int64N(4 * minute))
			case 1:
				c.Ledger = restored(t, c.World, c.Ledger)
			case 2:
				if random.IntN(8) > 0 {
					continue
				}
				may := !cancelled && used < uses && c.Now < end
				if got := c.Cancel(pick2(random, c.worker, c.a), o); (got.Code == "") != may {
					t.Fatalf("round %d: cancelling says %q, may be is %v", round, got.Code, may)
				}
				cancelled = cancelled || may
			case 3:
				n := random.Uint64N(uses + 2)
				may := n >= 1 && n <= used && !reported[n]
				if got := c.Report(c.worker, o, n, true); (got.Code == "") != may {
					t.Fatalf("round %d: reporting %d says %q, may be is %v", round, n, got.Code, may)
				}
				reported[n] = reported[n] || may
			case 4:
				if len(past) > 0 {
					c.Apply(past[random.IntN(len(past))])
				}
			default:
				a := run(pick2(random, "host/1", "db/1"), pick2(random, "/src/a", "/etc"), random.Uint64N(7))
				may := a.Target == "host/1" && a.Values("dir")[0] == "/src/a" && a.Amount <= 5 && !cancelled && used < uses && c.Now < end
				raw := c.Sign(c.Command(c.worker.ID(), registry.TypeConsume,
					registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store, Action: &a}), c.worker)
				past = append(past, raw)
				got := c.Apply(raw)
				if (got.Code == "") != may {
					t.Fatalf("round %d: use %d says %q (%s), may be is %v", round, used+1, got.Code, got.Message, may)
				}
				if may {
					used++
					if u := result[consensus.Consumption](t, got); u.Use != used || u.Action != a.Digest() {
						t.Fatalf("round %d: got %+v as use %d", round, u, used)
					}
				}
			}
			if d := find(t, c.World, o); d.Used() != used || used > uses {
				t.Fatalf("round %d: %d uses, want %d of %d", round, d.Used(), used, uses)
			}
		}
		agree(t, c.World, 11)
	}
}

func pick2[T any](random *rand.Rand, x, y T) T {
	if random.IntN(2) == 0 {
		return x
	}
	return y
}
