package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// conditional is a court in whose policy a command's class depends on what it says: R3 on host/3, or denied in /src/secret.
func conditional(t *testing.T) court {
	t.Helper()
	p := courtPolicy(t)
	for i, k := range p.Kinds {
		if k.Pattern == "process.exec" {
			p.Kinds[i].When = []policy.When{
				{Target: "host/3", Class: consensus.R3},
				{Param: "dir", Value: "/src/secret*", Class: consensus.R3, Deny: true},
			}
		}
	}
	w := ledgertest.New(t, p, 4, 1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return court{s}
}

// What an action says raises its class, in the opening and in the certificate, or has it refused.
func TestConditionsInOpenings(t *testing.T) {
	c := conditional(t)
	about := func(target, dir string) func(*consensus.Proposal) {
		return func(p *consensus.Proposal) { p.Action = run(target, dir, 1) }
	}
	if o := c.decided(about("host/1", "/src/a")); o.Class != consensus.R2 {
		t.Errorf("host/1: %s", o.Class)
	}
	o := c.Propose(c.worker, c.worker.ID(), "process.exec", about("host/3", "/src/a"))
	if o.Class != consensus.R3 || o.Rule != c.Policy.Rule(consensus.R3) {
		t.Errorf("host/3: %s, %s", o.Class, o.Rule)
	}
	p := c.Proposal(c.worker.ID(), c.worker.ID(), "process.exec")
	about("host/1", "/src/secret/x")(&p)
	wantCode(t, c.Hand(c.worker, p), fault.Denied)
	agree(t, c.World, 7)
}

// A permit's uses are of the class that was approved: what its patterns cover besides is refused one by one.
func TestConditionsInUsesOfAPermit(t *testing.T) {
	for _, row := range []struct {
		name   string
		action consensus.Action
		want   fault.Code
	}{
		{"its own target", run("host/1", "/src/a", 5), ""},
		{"another target", run("host/2", "/src/a", 5), ""},
		{"a target of a higher class", run("host/3", "/src/a", 5), fault.Denied},
		{"a directory that is denied", run("host/1", "/src/secret/a", 5), fault.Denied},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := conditional(t)
			o := c.decided(permit(3))
			if o.Class != consensus.R2 {
				t.Fatalf("the permit is %s", o.Class)
			}
			wantCode(t, c.Consume(c.worker, o, row.action), row.want)
			wantCode(t, c.Consume(c.worker, o, run("host/1", "/src/b", 1)), "")
			agree(t, c.World, 7)
		})
	}
}

// Uses are judged by the policy under which the permit was approved, whatever is in force by now.
func TestConditionsOfThePolicyOfTheOpening(t *testing.T) {
	strict := func(c court) policy.Policy { return c.Policy }
	free := func(c court) policy.Policy {
		p := c.Policy
		p.Kinds = append([]policy.Kind(nil), p.Kinds...)
		for i := range p.Kinds {
			p.Kinds[i].When = nil
		}
		return p
	}
	use := func(c court, o consensus.Opening) registry.Answer {
		return c.Consume(c.worker, o, run("host/3", "/src/a", 1))
	}
	put := func(c court, p policy.Policy) {
		t.Helper()
		wantCode(t, c.PutPolicy(p, c.a, c.b, c.c, c.d()), "")
	}

	c := conditional(t)
	early := c.decided(permit(3))
	put(c, free(c))
	wantCode(t, use(c, early), fault.Denied) // as it was approved
	late := c.decided(permit(3))
	wantCode(t, use(c, late), "")
	if c.Ledger.Feature() >= registry.TrustFeature {
		put(c, strict(c))
		wantCode(t, use(c, late), "")
	}
	agree(t, c.World, 7)
}
