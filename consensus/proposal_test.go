package consensus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestProposalCheck(t *testing.T) {
	node := signer(identity.Node, "n").ID()
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*consensus.Proposal)
	}{
		{"honest", nil, func(*consensus.Proposal) {}},
		{"a person's", nil, func(p *consensus.Proposal) { p.Proposer = person("ann").ID() }},
		{"another executor", nil, func(p *consensus.Proposal) { p.Executor = agent("runner").ID() }},
		{"raised", nil, func(p *consensus.Proposal) { p.Class = consensus.R3 }},
		{"longest", nil, func(p *consensus.Proposal) { p.Expires = p.Issued + consensus.MaxDeadline }},
		{"version 1", wire.ErrVersion, func(p *consensus.Proposal) { p.Version = 1 }},
		{"a node's", wire.ErrMalformed, func(p *consensus.Proposal) { p.Proposer = node }},
		{"nobody's", identity.ErrBadID, func(p *consensus.Proposal) { p.Proposer = identity.ID{} }},
		{"run by a node", wire.ErrMalformed, func(p *consensus.Proposal) { p.Executor = node }},
		{"run by nobody", identity.ErrBadID, func(p *consensus.Proposal) { p.Executor = identity.ID{} }},
		{"a weak key", wire.ErrBadKey, func(p *consensus.Proposal) { p.Executor = identity.NewID(identity.Agent, wire.PublicKey{}) }},
		{"no action", wire.ErrMalformed, func(p *consensus.Proposal) { p.Action = consensus.Action{} }},
		{"class R4", wire.ErrMalformed, func(p *consensus.Proposal) { p.Class = 4 }},
		{"long reason", wire.ErrMalformed, func(p *consensus.Proposal) { p.Reason = strings.Repeat("x", consensus.MaxReason+1) }},
		{"no time", wire.ErrMalformed, func(p *consensus.Proposal) { p.Issued = 0 }},
		{"over before it began", wire.ErrMalformed, func(p *consensus.Proposal) { p.Expires = p.Issued }},
		{"endless", wire.ErrMalformed, func(p *consensus.Proposal) { p.Expires = p.Issued + consensus.MaxDeadline + 1 }},
	} {
		p := proposal()
		c.change(&p)
		if err := p.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// The proposal's ID covers every field: no two different proposals are one decision.
func TestProposalID(t *testing.T) {
	honest := proposalID(t, proposal())
	if honest != proposalID(t, proposal()) {
		t.Fatal("the same proposal has two ids")
	}
	for name, change := range map[string]func(*consensus.Proposal){
		"proposer": func(p *consensus.Proposal) { p.Proposer = agent("x").ID() },
		"action":   func(p *consensus.Proposal) { p.Action.Target = "customers" },
		"executor": func(p *consensus.Proposal) { p.Executor = agent("x").ID() },
		"store":    func(p *consensus.Proposal) { p.Store[15] = 1 },
		"class":    func(p *consensus.Proposal) { p.Class = consensus.R1 },
		"reason":   func(p *consensus.Proposal) { p.Reason = "" },
		"issued":   func(p *consensus.Proposal) { p.Issued++ },
		"expires":  func(p *consensus.Proposal) { p.Expires++ },
		"nonce":    func(p *consensus.Proposal) { p.Nonce[0]++ },
	} {
		p := proposal()
		change(&p)
		if proposalID(t, p) == honest {
			t.Errorf("a change of the %s is not in the id", name)
		}
	}
}

func TestActionCheck(t *testing.T) {
	param := func(name string, values ...string) consensus.Param {
		return consensus.Param{Name: name, Values: values}
	}
	long := strings.Repeat("x", consensus.MaxActionText)
	for _, c := range []struct {
		name   string
		action consensus.Action
		want   error // nil: accepted
	}{
		{"honest", action(), nil},
		{"bare", consensus.Action{Kind: "a"}, nil},
		{"any target", consensus.Action{Kind: "a", Target: "Größe, in m²/s: 1 → 2"}, nil},
		{"a value with lines", consensus.Action{Kind: "a", Params: []consensus.Param{param("script", "a\nb")}}, nil},
		{"the longest", consensus.Action{Kind: "a", Target: long[1:]}, nil},
		{"no kind", consensus.Action{Target: "x"}, wire.ErrMalformed},
		{"a pattern", consensus.Action{Kind: "db.*"}, wire.ErrMalformed},
		{"capitals", consensus.Action{Kind: "DB"}, wire.ErrMalformed},
		{"a line in the target", consensus.Action{Kind: "a", Target: "x\nclass: R0"}, wire.ErrMalformed},
		{"an escape in the target", consensus.Action{Kind: "a", Target: "\x1b[2J"}, wire.ErrMalformed},
		{"a delete in the target", consensus.Action{Kind: "a", Target: "\x7f"}, wire.ErrMalformed},
		{"a nameless parameter", consensus.Action{Kind: "a", Params: []consensus.Param{param("", "x")}}, wire.ErrMalformed},
		{"unsorted", consensus.Action{Kind: "a", Params: []consensus.Param{param("b"), param("a")}}, wire.ErrMalformed},
		{"doubled", consensus.Action{Kind: "a", Params: []consensus.Param{param("a", "1"), param("a", "2")}}, wire.ErrMalformed},
		{"too long a target", consensus.Action{Kind: "a", Target: long}, wire.ErrTooLarge},
		{"too long a value", consensus.Action{Kind: "a", Params: []consensus.Param{param("b", long)}}, wire.ErrTooLarge},
		{"too long in sum", consensus.Action{Kind: "a", Params: []consensus.Param{
			param("b", long[:20<<10]), param("c", long[:20<<10]),
		}}, wire.ErrTooLarge},
	} {
		if err := c.action.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Two actions are the same if and only if their digests are equal.
func TestActionDigest(t *testing.T) {
	values := map[string][]string{"b": {"1", "2"}, "a": nil, "c": {""}}
	a := consensus.NewAction("k", "t", values)
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
	if a.Digest() != consensus.NewAction("k", "t", map[string][]string{"c": {""}, "a": {}, "b": {"1", "2"}}).Digest() {
		t.Error("the order of a map shows in the digest")
	}
	values["b"][0] = "changed"
	if got := a.Values("b"); len(got) != 2 || got[0] != "1" {
		t.Errorf("the action shares the caller's values: %q", got)
	}
	if a.Values("unknown") != nil {
		t.Error("values of a parameter that is not there")
	}
	seen := map[wire.Digest]string{a.Digest(): "itself"}
	for name, b := range map[string]consensus.Action{
		"kind":               consensus.NewAction("kk", "t", map[string][]string{"b": {"1", "2"}, "a": nil, "c": {""}}),
		"target":             consensus.NewAction("k", "", map[string][]string{"b": {"1", "2"}, "a": nil, "c": {""}}),
		"value":              consensus.NewAction("k", "t", map[string][]string{"b": {"1", "3"}, "a": nil, "c": {""}}),
		"order of values":    consensus.NewAction("k", "t", map[string][]string{"b": {"2", "1"}, "a": nil, "c": {""}}),
		"joined values":      consensus.NewAction("k", "t", map[string][]string{"b": {"12"}, "a": nil, "c": {""}}),
		"an empty value":     consensus.NewAction("k", "t", map[string][]string{"b": {"1", "2"}, "a": {""}, "c": {""}}),
		"no empty value":     consensus.NewAction("k", "t", map[string][]string{"b": {"1", "2"}, "a": nil, "c": nil}),
		"a parameter less":   consensus.NewAction("k", "t", map[string][]string{"b": {"1", "2"}, "c": {""}}),
		"a parameter's name": consensus.NewAction("k", "t", map[string][]string{"b": {"1", "2"}, "a": nil, "d": {""}}),
	} {
		if other, ok := seen[b.Digest()]; ok {
			t.Errorf("%s: the same digest as %s", name, other)
		}
		seen[b.Digest()] = name
	}
}

func TestParseClass(t *testing.T) {
	for c := consensus.R0; c <= consensus.R3; c++ {
		if got, err := consensus.ParseClass(c.String()); err != nil || got != c {
			t.Errorf("%s: %s, %v", c, got, err)
		}
	}
	for _, s := range []string{"", "R", "R4", "R-1", "0", "R00", "x0", "R0 "} {
		if got, err := consensus.ParseClass(s); !errors.Is(err, wire.ErrMalformed) || got != consensus.R3 {
			t.Errorf("%q: %s, %v; what is not a class is treated as R3", s, got, err)
		}
	}
}

func TestRuleCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		ok     bool
		change func(*consensus.Rule)
	}{
		{"honest", true, func(*consensus.Rule) {}},
		{"one approval", true, func(r *consensus.Rule) { *r = consensus.Rule{Approvals: 1, Deadline: 1, Window: 1} }},
		{"all of the weight", true, func(r *consensus.Rule) { r.Share = 1000 }},
		{"longest", true, func(r *consensus.Rule) { r.Deadline, r.Window = consensus.MaxDeadline, consensus.MaxWindow }},
		{"zero", false, func(r *consensus.Rule) { *r = consensus.Rule{} }},
		{"no approvals", false, func(r *consensus.Rule) { r.Approvals, r.People, r.Operators = 0, 0, 0 }},
		{"share only", false, func(r *consensus.Rule) { *r = consensus.Rule{Share: 1000, Deadline: 1, Window: 1} }},
		{"people", false, func(r *consensus.Rule) { r.People = 3 }},
		{"operators", false, func(r *consensus.Rule) { r.Operators = 3 }},
		{"share", false, func(r *consensus.Rule) { r.Share = 1001 }},
		{"no deadline", false, func(r *consensus.Rule) { r.Deadline = 0 }},
		{"deadline in the past", false, func(r *consensus.Rule) { r.Deadline = -1 }},
		{"long deadline", false, func(r *consensus.Rule) { r.Deadline = consensus.MaxDeadline + 1 }},
		{"no window", false, func(r *consensus.Rule) { r.Window = 0 }},
		{"long window", false, func(r *consensus.Rule) { r.Window = consensus.MaxWindow + 1 }},
	} {
		r := rule()
		c.change(&r)
		err := r.Check()
		if (err == nil) != c.ok || (err != nil && fault.CodeOf(err) != fault.InvalidInput) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
