package spec_test

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// replaced are certificates of a realm whose people have replaced the policy twice.
func (g certified) replaced() {
	w := ledgertest.New(generator{}, ledgertest.Preset(generator{}, policy.Standard), 3, 1)
	t := &court{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	next := changed(w.Policy, func(p *policy.Policy) { p.Plain = []string{"news.*"} })
	last := changed(w.Policy, func(p *policy.Policy) { p.Plain = []string{"news.*", "weather.*"} })
	for _, p := range []policy.Policy{next, last} {
		if answer := w.PutPolicy(p, t.a, t.b); answer.Code != "" {
			panic(answer.Message)
		}
	}
	o := w.Propose(t.a, t.a.ID(), "process.exec")
	w.Cast(t.b, o, consensus.Approve)
	w.Cast(t.c, o, consensus.Approve)
	honest := w.Certificate(o.Proposal)
	here := under(w.Realm)
	with := func(name, check string, code fault.Code, change func(*certificate)) {
		g.no(name, check, code, changed(honest, func(c *certificate) {
			c.Policies = slices.Clone(c.Policies)
			change(c)
		}), here)
	}
	command := func(typ registry.Type, raw []byte, by ...identity.Signer) []byte {
		c := w.Command(by[0].ID(), typ, registry.PutPolicy{Policy: raw})
		return cosigned(w.Realm, c, ledgertest.Keys(by...)...)
	}
	agents := []identity.Signer{t.b, w.Signer(identity.Agent), w.Signer(identity.Operator)}
	weak := changed(last, func(p *policy.Policy) { p.Classes = slices.Clone(p.Classes); p.Classes[2].Approvals = 0 })
	solo := ledgertest.Preset(generator{}, policy.Solo)

	g.ok("ok-policy-replaced", honest, here)
	with("policy-replaced-by-one", "governed", fault.NoQuorum, func(c *certificate) {
		c.Policies[1] = command(registry.TypePolicy, last.Encode(), t.b)
	})
	with("policy-replaced-by-one-and-strangers", "governed", fault.NoQuorum, func(c *certificate) {
		c.Policies[1] = command(registry.TypePolicy, last.Encode(), agents...)
	})
	with("policy-replaced-by-another-command", "change-type", fault.WrongKind, func(c *certificate) {
		c.Policies[1] = command(registry.TypeGrant, last.Encode(), t.a, t.b)
	})
	with("policy-replaced-by-none", "policy", fault.InvalidInput, func(c *certificate) {
		c.Policies[0] = command(registry.TypePolicy, weak.Encode(), t.a, t.b)
	})
	with("policy-replaced-by-solo", "policy-solo", fault.Denied, func(c *certificate) {
		c.Policies[0] = command(registry.TypePolicy, solo.Encode(), t.a, t.b)
	})
	with("policy-change-forged", "signature", fault.BadSignature, func(c *certificate) {
		c.Policies[1] = slices.Clone(c.Policies[1])
		c.Policies[1][len(c.Policies[1])-1] ^= 1
	})
	with("policy-of-before", "policy-digest", fault.Denied, func(c *certificate) { c.Policy = next.Encode() })
	with("newest-policy-hidden", "policy-digest", fault.Denied, func(c *certificate) { c.Policies = c.Policies[:1] })
	with("before-of-another", "policy-before", fault.Denied, func(c *certificate) { c.Before = next.Encode() })
	with("before-missing", "policy-before", fault.Denied, func(c *certificate) { c.Before = nil })
	g.with("before-without-policies", "policy-before-alone", fault.Denied, func(c *certificate) { c.Before = c.Policy })
}

// sums are openings that say less than what the proposal amounts to.
func (g certified) sums() {
	sum := func(name, check string, of certificate, n uint64) {
		g.no(name, check, fault.Denied, g.lieOn(of, func(c *certificate) { c.Opening.Sum = n }, g.b, g.c))
	}
	sum("sum-of-less", "certificate-sum", g.refund, 179)
	sum("sum-of-what-is-not-summed", "certificate-sum", g.approved, 1)
	sum("class-below-the-sum", "certificate-class", g.refund, 1001)
	g.ok("ok-sum-of-more", g.lieOn(g.refund, func(c *certificate) { c.Opening.Sum = 1000 }, g.b, g.c))
}

// emergencies are openings that take the emergency's rule, or avoid it.
func (g certified) emergencies() {
	people := func(c *certificate) {
		c.Opening.Voters = slices.DeleteFunc(c.Opening.Voters, func(v consensus.Voter) bool { return !v.Person() })
	}
	g.no("emergency-not-asked-for", "certificate-urgent", fault.Denied, g.lieOn(g.approved, func(c *certificate) {
		c.Opening.Emergency = true
		people(c)
	}, g.b, g.c))
	g.no("emergency-not-opened", "certificate-urgent", fault.Denied, g.lieOn(g.urgent, func(c *certificate) {
		c.Opening.Emergency = false
	}, g.b, g.c))
	g.no("emergency-of-a-common-kind", "certificate-emergency", fault.Denied, g.lieOn(g.approved, func(c *certificate) {
		c.Opening.Emergency, c.Opening.Rule = true, g.Policy.Emergency.Rule()
		people(c)
		p := g.Proposal(g.worker.ID(), g.worker.ID(), "process.exec")
		p.Emergency = true
		g.propose(c, p, g.worker)
	}, g.b, g.c))
	g.no("emergency-by-one", "certificate-rule", fault.Denied, g.lieOn(g.urgent, func(c *certificate) {
		c.Opening.Rule.Approvals, c.Opening.Rule.People, c.Opening.Rule.Operators = 1, 1, 1
	}, g.b))
	agents := g.lieOn(g.urgent, func(c *certificate) {
		c.Opening.Voters = voters(append(c.Opening.Voters, voterOf(g.auditor, g.d.ID()))...)
	}, g.b, g.c)
	g.no("agent-votes-in-an-emergency", "voter-emergency", fault.Malformed, agents)
	g.urgentAlone()
	g.conditions()
}

// urgentAlone is an emergency whose kind an agent may decide alone if it is none.
func (g certified) urgentAlone() {
	rules := ledgertest.Preset(generator{}, policy.Standard)
	rules.Kinds = append(rules.Kinds, policy.Kind{Pattern: "service.stop", Class: consensus.R0})
	w := ledgertest.New(generator{}, rules, 3, 1)
	t := &court{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	worker := w.Agent(t.a, "worker", identity.Journeyer)
	c := w.Certificate(w.Propose(worker, worker.ID(), "service.stop").Proposal)
	g.ok("ok-alone-what-may-be-an-emergency", c, under(w.Realm))
	p := w.Proposal(worker.ID(), worker.ID(), "service.stop")
	p.Emergency = true
	c.Opening.Emergency, c.Opening.Rule = true, rules.Emergency.Rule()
	t.propose(&c, p, worker)
	t.record(&c)
	g.no("emergency-alone", "alone-permit", fault.Denied, c, under(w.Realm))
}

// permits are uses of a permit, and verdicts on it.
func (g certified) permits() {
	until := func(name, check string, change func(v *consensus.Verdict)) {
		g.no(name, check, fault.Misaddressed, g.lieOn(g.permit, func(c *certificate) { change(&c.Verdict) }, g.b, g.c))
	}
	until("permit-until-its-rules-window", "verdict-until", func(v *consensus.Verdict) { v.Until = v.From + g.permit.Opening.Rule.Window })
	until("permit-from-the-verdict", "verdict-from", func(v *consensus.Verdict) { v.From = v.At })
	use := func(change func(*consensus.Action)) func(*vector) {
		a := changed(covered(), change)
		return knowing(certificateContext{Use: &useContext{encode(a), g.worker.ID(), ledgertest.Store[:]}})
	}
	v := g.permit.Verdict
	param := func(i int, p consensus.Param) func(*consensus.Action) {
		return func(a *consensus.Action) { a.Params = slices.Clone(a.Params); a.Params[i] = p }
	}
	g.ok("ok-use-of-a-permit", g.permit, at(v.From), use(func(*consensus.Action) {}))
	g.ok("ok-use-of-a-permit-as-proposed", g.permit, at(v.From), use(func(a *consensus.Action) {
		a.Target, a.Amount, a.Params = "host-1", 5, a.Params[:1]
	}))
	g.ok("ok-use-of-a-permit-for-a-listed-target", g.permit, at(v.From), use(func(a *consensus.Action) { a.Target = "host-2" }))
	g.no("use-of-a-permit-before-its-time", "use-time", fault.NotYet, g.permit, at(v.From-identity.Skew-1), use(func(*consensus.Action) {}))
	not := func(name, check string, change func(*consensus.Action)) {
		g.no(name, check, fault.Misaddressed, g.permit, at(v.From), use(change))
	}
	not("permit-for-another-kind", "permit-kind", func(a *consensus.Action) { a.Kind = "process.kill" })
	not("permit-with-another-rollback", "permit-rollback", func(a *consensus.Action) { a.Rollback = "" })
	not("permit-for-more", "permit-amount", func(a *consensus.Action) { a.Amount = 6 })
	not("permit-for-another-target", "permit-target", func(a *consensus.Action) { a.Target = "host-22" })
	not("permit-without-a-fixed-parameter", "permit-params", func(a *consensus.Action) { a.Params = a.Params[1:] })
	not("permit-with-a-fixed-parameter-changed", "permit-params", param(0, consensus.Param{Name: "argv", Values: []string{"make"}}))
	not("permit-with-a-parameter-of-its-own", "permit-named", param(1, consensus.Param{Name: "user", Values: []string{"root"}}))
	not("permit-with-a-value-of-its-own", "permit-values", param(1, consensus.Param{Name: "cwd", Values: []string{"/srv", "/etc"}}))
}
