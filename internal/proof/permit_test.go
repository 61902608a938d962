package proof_test

import (
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// permitted is a realm and a permit for three runs of a program in a folder, with any of two flags, within an hour.
func permitted(t testing.TB) (realm, consensus.Opening) {
	t.Helper()
	r := founded(t, plain)
	return r, r.decided("process.exec", func(p *consensus.Proposal) {
		p.Action = consensus.NewAction("process.exec", "jobs/main", map[string][]string{"program": {"sweep"}})
		p.Action.Amount, p.Action.Rollback = 10, "restore the folder"
		p.Permit = &consensus.Permit{
			Uses: 3, Until: r.Now + 60*ledgertest.Minute, Targets: []string{"jobs/x*"},
			Open: []consensus.Param{{Name: "flag", Values: []string{"-n", "-v*"}}},
		}
	})
}

// use is an action that the permit of permitted covers, with a change.
func use(change func(a *consensus.Action)) consensus.Action {
	a := consensus.NewAction("process.exec", "jobs/x1", map[string][]string{"program": {"sweep"}, "flag": {"-n", "-vv"}})
	a.Amount, a.Rollback = 10, "restore the folder"
	change(&a)
	return a
}

func TestAllowsWhatThePermitCovers(t *testing.T) {
	r, o := permitted(t)
	v := honest(t, r.World, r.Certificate(o.Proposal))
	if until := v.Verdict().Until; until != v.Proposal().Statement().Permit.Until {
		t.Errorf("the permit ends at %d", until)
	}
	flag := func(flags ...string) func(a *consensus.Action) {
		return func(a *consensus.Action) { a.Params[0].Values = flags }
	}
	for _, row := range []struct {
		name   string
		change func(a *consensus.Action)
		want   fault.Code
	}{
		{"a use", func(*consensus.Action) {}, ""},
		{"its own action", func(a *consensus.Action) { *a = v.Proposal().Statement().Action }, ""},
		{"less of it", func(a *consensus.Action) { a.Amount = 1 }, ""},
		{"more of it", func(a *consensus.Action) { a.Amount = 11 }, fault.Misaddressed},
		{"another kind", func(a *consensus.Action) { a.Kind = "db.read" }, fault.Misaddressed},
		{"another target", func(a *consensus.Action) { a.Target = "jobs/y" }, fault.Misaddressed},
		{"another program", func(a *consensus.Action) { a.Params[1].Values = []string{"rm"} }, fault.Misaddressed},
		{"no program", func(a *consensus.Action) { a.Params = a.Params[:1] }, fault.Misaddressed},
		{"another flag", flag("-f"), fault.Misaddressed},
		{"one flag of two", flag("-n", "-f"), fault.Misaddressed},
		{"another parameter", func(a *consensus.Action) {
			a.Params = append(a.Params, consensus.Param{Name: "user", Values: []string{"root"}})
		}, fault.Misaddressed},
		{"another rollback", func(a *consensus.Action) { a.Rollback = "" }, fault.Misaddressed},
		{"malformed", func(a *consensus.Action) { a.Params[0], a.Params[1] = a.Params[1], a.Params[0] }, fault.Misaddressed},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantErr(t, v.Allows(use(row.change), r.worker.ID(), ledgertest.Store, v.Verdict().At), row.want)
		})
	}
	own := use(func(*consensus.Action) {})
	wantErr(t, v.Allows(own, r.reviewer.ID(), ledgertest.Store, v.Verdict().At), fault.Misaddressed)
	wantErr(t, v.Allows(own, r.worker.ID(), [16]byte{8}, v.Verdict().At), fault.Misaddressed)
	wantErr(t, v.Allows(own, r.worker.ID(), ledgertest.Store, v.Verdict().Until+identity.Skew), fault.Expired)
}

func TestVerifyUsesOfAPermit(t *testing.T) {
	r, o := permitted(t)
	v := honest(t, r.World, r.Certificate(o.Proposal))
	again := use(func(a *consensus.Action) { a.Target = "jobs/x2" })
	for n, action := range []consensus.Action{use(func(*consensus.Action) {}), again, again} {
		c, err := registry.Result[consensus.Consumption](r.Consume(r.worker, o, action))
		wantErr(t, err, "")
		d, err := r.Ledger.Decision(o.Proposal)
		wantErr(t, err, "")
		shown := receipt(t, r, d.Uses[n].Claimed)
		wantErr(t, v.VerifyConsumption(c, action, shown), "")
		if c.Use != uint64(n+1) {
			t.Errorf("use %d is numbered %d", n+1, c.Use)
		}
		for name, spoil := range map[string]func(c *consensus.Consumption, a *consensus.Action){
			"use 0":           func(c *consensus.Consumption, _ *consensus.Action) { c.Use = 0 },
			"one too many":    func(c *consensus.Consumption, _ *consensus.Action) { c.Use = 4 },
			"another covered": func(_ *consensus.Consumption, a *consensus.Action) { a.Target = "jobs/x3" },
			"not covered": func(c *consensus.Consumption, a *consensus.Action) {
				a.Target = "jobs/y"
				c.Action = a.Digest()
			},
		} {
			bad, a := c, action
			spoil(&bad, &a)
			if got := fault.CodeOf(v.VerifyConsumption(bad, a, shown)); got != fault.Misaddressed {
				t.Errorf("%s: got %q", name, got)
			}
		}
		renumbered := c
		renumbered.Use = c.Use%3 + 1 // a number that the permit has, and this use does not
		wantErr(t, v.VerifyConsumption(renumbered, action, shown), fault.BadSignature)
	}
	if answer := r.Consume(r.worker, o, again); answer.Code == "" {
		t.Error("a fourth use")
	}
}

func TestLyingNodesAboutPermits(t *testing.T) {
	tell(t, permitted, two, []lie{
		{"until stretched", func(_ realm, c *consensus.Certificate) { c.Verdict.Until++ }, "verdict recorded", fault.Misaddressed},
		{"the rule's window", func(_ realm, c *consensus.Certificate) {
			c.Verdict.Until = c.Verdict.From + c.Opening.Rule.Window
		}, "verdict recorded", fault.Misaddressed},
		{"alone", func(_ realm, c *consensus.Certificate) {
			c.Opening.Alone, c.Opening.Voters = true, nil
		}, "electorate", fault.Denied},
		{"a use too many, by the proposer too", func(r realm, c *consensus.Certificate) {
			repropose(t, r, c, func(p *consensus.Proposal) { p.Permit.Uses = consensus.MaxUses })
			c.Proposal = spoilt(c.Proposal)
		}, "proposal", fault.BadSignature},
	})
	decide := func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("db.read")
	}
	tell(t, decide, two, []lie{
		{"a permit alone", func(r realm, c *consensus.Certificate) {
			repropose(t, r, c, func(p *consensus.Proposal) {
				p.Permit = &consensus.Permit{Uses: 2, Until: r.Now + 15*ledgertest.Minute}
			})
			c.Verdict.Until = r.Now + 15*ledgertest.Minute
		}, "electorate", fault.Denied},
	})
}

func TestNotBefore(t *testing.T) {
	decide := func(t testing.TB) (realm, consensus.Opening) {
		r := founded(t, plain)
		return r, r.decided("process.exec", func(p *consensus.Proposal) { p.NotBefore = r.Now + 60*ledgertest.Minute })
	}
	r, o := decide(t)
	v := honest(t, r.World, r.Certificate(o.Proposal))
	p, from, until := v.Proposal().Statement(), v.Verdict().From, v.Verdict().Until
	if from != p.NotBefore || until != from+o.Rule.Window || v.Verdict().At >= from {
		t.Fatalf("got %+v", v.Verdict())
	}
	allows := func(now int64) error { return v.Allows(p.Action, p.Executor, p.Store, now) }
	wantErr(t, allows(from), "")
	wantErr(t, allows(from-identity.Skew), "")
	wantErr(t, allows(until+identity.Skew-1), "")
	wantErr(t, allows(until+identity.Skew), fault.Expired)
	err := allows(from - identity.Skew - 1)
	wantErr(t, err, fault.NotYet)
	var early *proof.Early
	if !errors.As(err, &early) || early.From != from || !errors.Is(err, proof.ErrEarly) || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	tell(t, decide, two, []lie{
		{"from put earlier", func(_ realm, c *consensus.Certificate) {
			approvedAt(c, c.Verdict.At)
		}, "verdict recorded", fault.Misaddressed},
		{"another not-before", func(r realm, c *consensus.Certificate) {
			p.NotBefore = 0
			c.Proposal = r.SignAlone(p, r.Nodes[0].Key())
		}, "proposal", fault.BadSignature},
	})
}
