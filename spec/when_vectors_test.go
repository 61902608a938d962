package spec_test

import (
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// conditions are policies with conditions on single actions.
func (g policies) conditions() {
	kind := func(when ...policy.When) []policy.Kind {
		return []policy.Kind{{Pattern: "a", Class: consensus.R1, When: when}}
	}
	with := func(name, check string, kinds []policy.Kind) {
		g.not(name, check, func(p *policy.Policy) { p.Kinds = kinds })
	}
	one := func(name, check string, change func(*policy.When)) {
		w := policy.When{Target: "a", Class: consensus.R2}
		change(&w)
		with(name, check, kind(w))
	}
	most := make([]policy.When, policy.MaxWhen+1)
	for i := range most {
		most[i] = policy.When{Above: uint64(i + 1), Class: consensus.R2}
	}
	long := strings.Repeat("a", policy.MaxLike+1)
	stars := strings.Repeat("*", policy.MaxStars+1)
	g.accept("ok-conditions", presetWith(policy.Standard, func(p *policy.Policy) {
		p.Kinds = kind(append(most[1:policy.MaxWhen:policy.MaxWhen],
			policy.When{Target: long[1:], Param: "a", Value: stars[1:], Above: 1, Not: true, Class: consensus.R3, Deny: true})...)
	}))
	with("conditions-above", "when-most", kind(most...))
	with("condition-of-what-is-denied", "when-of-denied", []policy.Kind{{Pattern: "a", Class: consensus.R3, Deny: true, When: []policy.When{
		{Target: "a", Class: consensus.R3, Deny: true},
	}}})
	with("condition-twice", "when-twice", kind(most[0], most[0]))
	one("condition-on-nothing", "when-asks", func(w *policy.When) { w.Target = "" })
	one("condition-param-without-value", "when-param", func(w *policy.When) { w.Param = "a" })
	one("condition-value-without-param", "when-param", func(w *policy.When) { w.Value = "a" })
	one("condition-target-long", "when-length", func(w *policy.When) { w.Target = long })
	one("condition-param-long", "when-length", func(w *policy.When) { w.Param, w.Value = long, "a" })
	one("condition-value-long", "when-length", func(w *policy.When) { w.Param, w.Value = "a", long })
	one("condition-target-of-many-stars", "when-stars", func(w *policy.When) { w.Target = stars })
	one("condition-value-of-many-stars", "when-stars", func(w *policy.When) { w.Param, w.Value = "a", stars })
	one("condition-target-line-end", "when-text", func(w *policy.When) { w.Target = "a\n" })
	one("condition-param-control", "when-text", func(w *policy.When) { w.Param, w.Value = "a\x7f", "a" })
	one("condition-value-zero", "when-text", func(w *policy.When) { w.Param, w.Value = "a", "\x00" })
	one("condition-of-no-class", "when-class", func(w *policy.When) { w.Class = 4 })
	one("condition-denies-of-a-low-class", "when-deny", func(w *policy.When) { w.Deny = true })
	one("condition-that-does-not-raise", "when-raises", func(w *policy.When) { w.Class = consensus.R1 })
}

// conditional is the standard preset with conditions on files written.
func conditional(when ...policy.When) policy.Policy {
	rules := ledgertest.Preset(generator{}, policy.Standard)
	for i := range rules.Kinds {
		if rules.Kinds[i].Pattern == "file.write" {
			rules.Kinds[i].When = when
		}
	}
	return rules
}

// conditions are proposals of actions that a condition denies by what they say, and of others that it does not.
func (g commands) conditions() {
	outside := policy.When{Target: "/srv/*/data/*", Not: true, Class: consensus.R3, Deny: true}
	secret := policy.When{Param: "name", Value: "*secret*", Class: consensus.R3, Deny: true}
	much := policy.When{Above: 100, Class: consensus.R3, Deny: true}
	both := policy.When{Target: "/etc/*", Above: 10, Class: consensus.R3, Deny: true}
	empty := policy.When{Param: "name", Value: "*", Class: consensus.R3, Deny: true}
	named := func(values ...string) consensus.Action {
		return consensus.Action{Params: []consensus.Param{{Name: "name", Values: values}}}
	}
	propose := func(name string, w policy.When, a consensus.Action) {
		add := func(input []byte, edits ...func(*vector)) {
			if strings.HasPrefix(name, ok) {
				g.accept(name, input, edits...)
				return
			}
			g.refuse(name, "when-applies", fault.Denied, input, edits...)
		}
		g.addIn(conditional(w), add, func(t theater) []byte {
			p := t.Proposal(t.worker.ID(), t.worker.ID(), "file.write")
			a.Kind = p.Action.Kind
			p.Action = a
			return t.propose(p, t.worker)
		})
	}
	propose("ok-inside", outside, consensus.Action{Target: "/srv/one/data/x"})
	propose("denied-outside", outside, consensus.Action{Target: "/srv/data/x"})
	propose("ok-no-secret", secret, named("key", "Secret"))
	propose("denied-for-a-value", secret, named("key", "my-secret-key"))
	propose("ok-without-the-parameter", empty, consensus.Action{Target: "name"})
	propose("denied-for-a-parameter-without-values", empty, named())
	propose("ok-as-much-as-allowed", much, consensus.Action{Amount: 100})
	propose("denied-for-more", much, consensus.Action{Amount: 101})
	propose("ok-one-of-two-holds", both, consensus.Action{Target: "/etc/x", Amount: 10})
	propose("denied-where-both-hold", both, consensus.Action{Target: "/etc/x", Amount: 11})
}

// conditions are certificates of an action whose class a condition raised.
func (g certified) conditions() {
	w := ledgertest.NewAt(generator{}, conditional(policy.When{Target: "/srv/*", Class: consensus.R2}), 3, 1, frozenFeature)
	t := &court{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	worker := w.Agent(t.a, "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "file.write", func(p *consensus.Proposal) { p.Action.Target = "/srv/x" })
	w.Cast(t.b, o, consensus.Approve)
	w.Cast(t.c, o, consensus.Approve)
	honest := w.Certificate(o.Proposal)
	g.ok("ok-class-by-a-condition", honest, under(w.Realm))
	g.no("class-below-a-condition", "certificate-class", fault.Denied, t.lieOn(honest, func(c *certificate) {
		c.Opening.Class, c.Opening.Rule = consensus.R1, w.Policy.Rule(consensus.R1)
	}, t.b, t.c), under(w.Realm))
}
