package consensus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func param(name string, values ...string) consensus.Param {
	return consensus.Param{Name: name, Values: values}
}

// permit is an honest one, of the fixture's proposal: "dry-run" and "to" are fixed by its action.
func permit() *consensus.Permit {
	return &consensus.Permit{
		Uses: 3, Until: now + 3_600_000, Targets: []string{"customers", "shop.*"},
		Open: []consensus.Param{param("batch", "1*", "2"), param("note", "*")},
	}
}

func permitted() consensus.Proposal {
	p := proposal()
	p.Action.Amount, p.Action.Rollback = 5, "migrate back"
	p.Permit = permit()
	return p
}

func TestPermitCovers(t *testing.T) {
	p := permitted()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	with := func(params ...consensus.Param) func(*consensus.Action) {
		return func(a *consensus.Action) { a.Params = params }
	}
	dry, to := param("dry-run", "false"), param("to", "42")
	for _, c := range []struct {
		name   string
		want   bool
		change func(*consensus.Action)
	}{
		{"its own action", true, func(*consensus.Action) {}},
		{"another listed target", true, func(a *consensus.Action) { a.Target = "customers" }},
		{"a target that begins so", true, func(a *consensus.Action) { a.Target = "shop.orders" }},
		{"a target that is just the beginning", true, func(a *consensus.Action) { a.Target = "shop." }},
		{"another target", false, func(a *consensus.Action) { a.Target = "salaries" }},
		{"a target that goes on", false, func(a *consensus.Action) { a.Target = "customers2" }},
		{"a target that ends so", false, func(a *consensus.Action) { a.Target = "my-shop.x" }},
		{"no target", false, func(a *consensus.Action) { a.Target = "" }},

		{"less", true, func(a *consensus.Action) { a.Amount = 4 }},
		{"nothing", true, func(a *consensus.Action) { a.Amount = 0 }},
		{"more", false, func(a *consensus.Action) { a.Amount = 6 }},
		{"another kind", false, func(a *consensus.Action) { a.Kind = "db.drop" }},
		{"no rollback", false, func(a *consensus.Action) { a.Rollback = "" }},
		{"another rollback", false, func(a *consensus.Action) { a.Rollback = "pray" }},

		{"an open parameter", true, with(param("batch", "2"), dry, to)},
		{"that begins so", true, with(param("batch", "17"), dry, to)},
		{"several values", true, with(param("batch", "1", "2", "100"), dry, to)},
		{"no value", true, with(param("batch"), dry, to)},
		{"any value", true, with(dry, param("note", "by hand"), to)},
		{"an empty value", true, with(dry, param("note", ""), to)},
		{"a value that does not match", false, with(param("batch", "21"), dry, to)},
		{"one of them does not match", false, with(param("batch", "1", "3"), dry, to)},
		{"another parameter", false, with(dry, param("force", "true"), to)},
		{"a fixed parameter left out", false, with(to)},
		{"a fixed parameter changed", false, with(param("dry-run", "true"), to)},
		{"a fixed parameter with more values", false, with(dry, param("to", "42", "43"))},
		{"a fixed parameter without values", false, with(dry, param("to"))},
		{"unsorted", false, with(to, dry)},
		{"a parameter twice", false, with(dry, dry, to)},
		{"malformed", false, func(a *consensus.Action) { a.Kind = "DB" }},
	} {
		a := p.Action
		c.change(&a)
		if got := p.Covers(a); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
		alone := p
		alone.Permit = nil
		if got, same := alone.Covers(a), a.Digest() == p.Action.Digest() && a.Check() == nil; got != same {
			t.Errorf("%s, without a permit: %t", c.name, got)
		}
	}
}

// Without targets, only the action's own; without open parameters, only the fixed ones.
func TestPermitDeniesWhatItDoesNotName(t *testing.T) {
	p := permitted()
	p.Permit.Targets, p.Permit.Open = nil, nil
	if err := p.Check(); err != nil || !p.Covers(p.Action) {
		t.Fatal(err)
	}
	a := p.Action
	a.Target = "customers"
	b := p.Action
	b.Params = append([]consensus.Param{param("batch", "1")}, b.Params...)
	if b.Check() != nil || p.Covers(a) || p.Covers(b) {
		t.Error("a permit that names nothing covers something else")
	}
}

func TestPermitCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*consensus.Proposal)
	}{
		{"honest", nil, func(*consensus.Proposal) {}},
		{"once", nil, func(p *consensus.Proposal) { p.Permit.Uses = 1 }},
		{"a million times", nil, func(p *consensus.Proposal) { p.Permit.Uses = consensus.MaxUses }},
		{"for a week", nil, func(p *consensus.Proposal) { p.Permit.Until = p.Issued + consensus.MaxDeadline }},
		{"from later on", nil, func(p *consensus.Proposal) { p.NotBefore = p.Permit.Until - 1 }},
		{"nothing open", nil, func(p *consensus.Proposal) { p.Permit.Open, p.Permit.Targets = nil, nil }},
		{"everything open", nil, func(p *consensus.Proposal) {
			p.Permit.Targets, p.Permit.Open = []string{"*"}, []consensus.Param{param("any", "*")}
		}},
		{"never", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Uses = 0 }},
		{"too often", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Uses = consensus.MaxUses + 1 }},
		{"without an end", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Until = 0 }},
		{"over when it is issued", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Until = p.Issued }},
		{"over before it begins", wire.ErrMalformed, func(p *consensus.Proposal) { p.NotBefore = p.Permit.Until }},
		{"for longer", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Until = p.Issued + consensus.MaxDeadline + 1 }},
		{"in an emergency", wire.ErrMalformed, func(p *consensus.Proposal) { p.Emergency = true }},
		{"targets unsorted", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Targets = []string{"b", "a"} }},
		{"a target twice", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Targets = []string{"a", "a"} }},
		{"an empty target", wire.ErrMalformed, func(p *consensus.Proposal) { p.Permit.Targets = []string{""} }},
		{"a nameless parameter", wire.ErrMalformed, open(param("", "*"))},
		{"parameters unsorted", wire.ErrMalformed, open(param("b", "*"), param("a", "*"))},
		{"a parameter twice", wire.ErrMalformed, open(param("a", "1"), param("a", "2"))},
		{"a parameter without patterns", wire.ErrMalformed, open(param("a"))},
		{"an empty pattern", wire.ErrMalformed, open(param("a", ""))},
		{"patterns unsorted", wire.ErrMalformed, open(param("a", "2", "1"))},
		{"a pattern twice", wire.ErrMalformed, open(param("a", "1", "1"))},
		{"a parameter that the action fixes", wire.ErrMalformed, open(param("to", "*"))},
		{"too long", wire.ErrTooLarge, open(param("a", strings.Repeat("x", consensus.MaxActionText)))},
	} {
		p := permitted()
		c.change(&p)
		if err := p.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func open(params ...consensus.Param) func(*consensus.Proposal) {
	return func(p *consensus.Proposal) { p.Permit.Open = params }
}

// Whatever a permit covers has the proposal's kind, rollback and fixed parameters, no more than its amount, and no
// parameter that the permit does not name.
func FuzzPermit(f *testing.F) {
	f.Add("orders", "batch", "17", "1*", "shop.*", uint64(5))
	f.Add("shop.x", "force", "true", "*", "*", uint64(6))
	f.Add("customers", "to", "43", "", "customers", uint64(0))
	f.Fuzz(func(t *testing.T, target, name, value, pattern, targets string, amount uint64) {
		p := permitted()
		p.Permit.Targets = []string{targets}
		p.Permit.Open = []consensus.Param{param("batch", pattern)}
		if p.Check() != nil {
			return
		}
		if !p.Covers(p.Action) {
			t.Fatal("a permit that does not cover its own action")
		}
		a := p.Action
		a.Target, a.Amount = target, amount
		a.Params = consensus.NewAction("a", "", map[string][]string{"dry-run": {"false"}, "to": {"42"}, name: {value}}).Params
		if !p.Covers(a) {
			return
		}
		begins := func(pattern, text string) bool {
			begin, star := strings.CutSuffix(pattern, "*")
			return text == pattern || (star && strings.HasPrefix(text, begin))
		}
		switch {
		case a.Check() != nil, amount > p.Action.Amount, target != p.Action.Target && !begins(targets, target):
		case name == "batch" && begins(pattern, value), name == "to" && value == "42", name == "dry-run" && value == "false":
			return
		}
		t.Fatalf("covers %+v by %+v", a, *p.Permit)
	})
}
