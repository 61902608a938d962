package consensus_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
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
		{"version 0", wire.ErrVersion, func(p *consensus.Proposal) { p.Version = 0 }},
		{"version 2", wire.ErrVersion, func(p *consensus.Proposal) { p.Version = 2 }},
		{"not before now", nil, func(p *consensus.Proposal) { p.NotBefore = p.Issued }},
		{"not before a week has gone", nil, func(p *consensus.Proposal) { p.NotBefore = p.Issued + consensus.MaxDeadline }},
		{"not before a year has gone", wire.ErrMalformed, func(p *consensus.Proposal) { p.NotBefore = p.Issued + consensus.MaxDeadline + 1 }},
		{"not before a negative time", wire.ErrMalformed, func(p *consensus.Proposal) { p.NotBefore = -1 }},
		{"an emergency", nil, func(p *consensus.Proposal) { p.Emergency = true }},
		{"a permit", nil, func(p *consensus.Proposal) { p.Permit = permit() }},
		{"an emergency's permit", wire.ErrMalformed, func(p *consensus.Proposal) { p.Emergency, p.Permit = true, permit() }},
		{"beneficiaries", nil, func(p *consensus.Proposal) { p.Beneficiaries = ids(consensus.MaxBeneficiaries) }},
		{"too many beneficiaries", wire.ErrTooLarge, func(p *consensus.Proposal) { p.Beneficiaries = ids(consensus.MaxBeneficiaries + 1) }},
		{"a beneficiary twice", wire.ErrMalformed, func(p *consensus.Proposal) { p.Beneficiaries = append(ids(1), ids(1)...) }},
		{"beneficiaries unsorted", wire.ErrMalformed, func(p *consensus.Proposal) {
			p.Beneficiaries = ids(2)
			slices.Reverse(p.Beneficiaries)
		}},
		{"a beneficiary that is nobody", identity.ErrBadID, func(p *consensus.Proposal) { p.Beneficiaries = []identity.ID{{}} }},
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

		"amount":        func(p *consensus.Proposal) { p.Action.Amount++ },
		"rollback":      func(p *consensus.Proposal) { p.Action.Rollback = "restore the backup" },
		"not-before":    func(p *consensus.Proposal) { p.NotBefore = 1 },
		"beneficiaries": func(p *consensus.Proposal) { p.Beneficiaries = ids(1) },
		"permit":        func(p *consensus.Proposal) { p.Permit = permit() },
		"emergency":     func(p *consensus.Proposal) { p.Emergency = true },
	} {
		p := proposal()
		change(&p)
		if proposalID(t, p) == honest {
			t.Errorf("a change of the %s is not in the id", name)
		}
	}
}

// ids returns so many sorted principals.
func ids(n int) []identity.ID {
	out := make([]identity.ID, n)
	for i := range out {
		out[i] = agent(fmt.Sprintf("agent-%d", i)).ID()
	}
	slices.SortFunc(out, identity.ID.Compare)
	return out
}

func TestGains(t *testing.T) {
	p := proposal()
	p.Beneficiaries = ids(3)
	for _, id := range p.Beneficiaries {
		if !p.Gains(id) {
			t.Errorf("%s does not gain", id)
		}
	}
	if p.Gains(p.Proposer) || proposal().Gains(p.Beneficiaries[0]) {
		t.Error("somebody gains who is not named")
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
		{"a rollback too many", consensus.Action{Kind: "a", Target: long[1:], Rollback: "x"}, wire.ErrTooLarge},
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
		{"the longest rollback", consensus.Action{Kind: "a", Rollback: long[:consensus.MaxReason]}, nil},
		{"too long a rollback", consensus.Action{Kind: "a", Rollback: long[:consensus.MaxReason+1]}, wire.ErrTooLarge},
		{"an amount", consensus.Action{Kind: "a", Amount: 1 << 63}, nil},
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
		{"families", true, func(r *consensus.Rule) { r.Families = 1 }},
		{"families where people fill the approvals", false, func(r *consensus.Rule) { r.Families = 2 }},
		{"stewards", true, func(r *consensus.Rule) { r.Stewards = 2 }},
		{"too many stewards", false, func(r *consensus.Rule) { r.Stewards = 3 }},
		{"faults", true, func(r *consensus.Rule) { r.Faults = consensus.MaxVoters / 3 }},
		{"too many faults", false, func(r *consensus.Rule) { r.Faults = consensus.MaxVoters/3 + 1 }},
		{"caps", true, func(r *consensus.Rule) { r.OperatorCap, r.FamilyCap = 1000, 1000 }},
		{"operator cap", false, func(r *consensus.Rule) { r.OperatorCap = 1001 }},
		{"family cap", false, func(r *consensus.Rule) { r.FamilyCap = 1001 }},
		{"even confidence", true, func(r *consensus.Rule) { r.Confidence = 500 }},
		{"certainty", true, func(r *consensus.Rule) { r.Confidence = 1000 }},
		{"less than even confidence", false, func(r *consensus.Rule) { r.Confidence = 499 }},
		{"more than certainty", false, func(r *consensus.Rule) { r.Confidence = 1001 }},
		{"commit for half the deadline", true, func(r *consensus.Rule) { r.Commit = r.Deadline / 2 }},
		{"commit for longer", false, func(r *consensus.Rule) { r.Commit = r.Deadline/2 + 1 }},
		{"commit before it opened", false, func(r *consensus.Rule) { r.Commit = -1 }},
	} {
		r := rule()
		c.change(&r)
		err := r.Check()
		if (err == nil) != c.ok || (err != nil && fault.CodeOf(err) != fault.InvalidInput) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRuleWords(t *testing.T) {
	for want, r := range map[string]consensus.Rule{
		"1 approval": {Approvals: 1, Deadline: 1, Window: 1},
		"2 approvals, 1 by a person, of 2 operators, consensus confidence 80%, agents commit within 60 s and then reveal": {
			Approvals: 2, People: 1, Operators: 2, Confidence: 800, Commit: 60_000,
		},
		"3 approvals, of 2 operators, of 2 model families, 66.7% of the electorate's weight, where one operator counts 33.4% " +
			"at most, where one model family counts 50% at most, enough in spite of 1 lying voter, no rejection by stewards of 2 operators": {
			Approvals: 3, Operators: 2, Families: 2, Share: 667, OperatorCap: 334, FamilyCap: 500, Faults: 1, Stewards: 2,
		},
		"1 approval, 1 by a person, enough in spite of 2 lying voters, no rejection by stewards of 1 operator, " +
			"the proposer's own person may approve": {Approvals: 1, People: 1, Faults: 2, Stewards: 1, Own: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v says\n%s, want\n%s", struct{ consensus.Rule }{r}, got, want)
		}
	}
}

// No field of a rule goes unsaid: whoever reads two rules that differ reads different words.
func TestRuleWordsSayAll(t *testing.T) {
	var none consensus.Rule
	typ := reflect.TypeFor[consensus.Rule]()
	for i := range typ.NumField() {
		if name := typ.Field(i).Name; name != "Deadline" && name != "Window" {
			r := none
			switch f := reflect.ValueOf(&r).Elem().Field(i); f.Kind() {
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Int64:
				f.SetInt(2)
			default:
				f.SetUint(2)
			}
			if r.String() == none.String() {
				t.Errorf("%s is not said", name)
			}
		}
	}
}
