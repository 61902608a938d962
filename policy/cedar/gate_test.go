package cedar_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/cedar"
)

func signer(t testing.TB, role identity.Role) identity.ID {
	t.Helper()
	s, _, err := identity.GenerateSigner(role)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

// request is a worker of L3 that wants to migrate a database.
func request(t testing.TB) policy.Request {
	score := uint64(720)
	a := consensus.NewAction("db.migrate", "prod/main", map[string][]string{"drop": {"users", "orders"}, "mode": {"safe"}, "none": nil})
	a.Amount, a.Rollback = 250, "restore"
	return policy.Request{
		Proposer: signer(t, identity.Agent), Name: "worker", Operator: signer(t, identity.Operator), Level: identity.Journeyer,
		Score: &score, Action: a, Class: consensus.R2,
	}
}

func gate(t testing.TB, text string) *cedar.Gate {
	t.Helper()
	g, err := cedar.New("gate.cedar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Each row is a condition of a policy that forbids where it holds.
func TestWhatAPolicySees(t *testing.T) {
	r := request(t)
	for _, c := range []struct {
		condition string
		holds     bool
	}{
		{"true", true},
		{"false", false},
		{`principal.name == "worker"`, true},
		{`principal.name == "Worker"`, false},
		{fmt.Sprintf("principal.id == %q", r.Proposer), true},
		{fmt.Sprintf("principal == Agent::%q", r.Proposer), true},
		{fmt.Sprintf("principal in Operator::%q", r.Operator), true},
		{fmt.Sprintf("principal in Operator::%q", signer(t, identity.Operator)), false},
		{fmt.Sprintf("principal.operator == Operator::%q", r.Operator), true},
		{"principal is Agent", true},
		{"principal is Operator", false},
		{"principal.level < 4", true},
		{"principal.level < 3", false},
		{"principal has score && principal.score >= 720", true},
		{"principal.score > 720", false},
		{`action == Action::"db.migrate"`, true},
		{`action == Action::"db"`, false},
		{`action in Action::"db.*"`, true},
		{`action in Action::"*"`, true},
		{`action in Action::"d*"`, false},
		{`action in [Action::"file.*", Action::"db.*"]`, true},
		{`action.kind like "*.migrate"`, true},
		{`resource == Target::"prod/main"`, true},
		{`resource.text like "prod/*"`, true},
		{`resource.text like "test/*"`, false},
		{"context.amount > 249", true},
		{"context.amount > 250", false},
		{"context.class == 2", true},
		{"context.emergency || context.permit", false},
		{`context.rollback == ""`, false},
		{"context.params has drop", true},
		{`context.params has "keep"`, false},
		{`context.params.drop.contains("orders")`, true},
		{`context.params.drop.contains("order")`, false},
		{`context.params.mode == ["safe"]`, true},
		{`context.params["none"] == []`, true},
	} {
		text := "forbid (principal, action, resource) when { " + c.condition + " };"
		v, err := gate(t, text).Judge(r)
		if err != nil || v.Pass == c.holds || v.Least != 0 {
			t.Errorf("%s: %+v, %v", c.condition, v, err)
		}
		if c.holds != slices.Equal(v.Rules, []string{"gate.cedar:1"}) {
			t.Errorf("%s: rules %q", c.condition, v.Rules)
		}
		v, err = gate(t, `@raise("R3") `+text).Judge(r)
		if err != nil || !v.Pass || (v.Least == consensus.R3) != c.holds {
			t.Errorf("raise, %s: %+v, %v", c.condition, v, err)
		}
	}
}

func TestAPersonProposes(t *testing.T) {
	r := request(t)
	r.Proposer, r.Score, r.Level = r.Operator, nil, 0
	g := gate(t, "forbid (principal is Agent, action, resource); forbid (principal, action, resource) when { principal has score };")
	if v, err := g.Judge(r); err != nil || !v.Pass {
		t.Errorf("%+v, %v", v, err)
	}
	g = gate(t, fmt.Sprintf("forbid (principal == Operator::%q, action, resource);", r.Operator))
	if v, err := g.Judge(r); err != nil || v.Pass {
		t.Errorf("%+v, %v", v, err)
	}
}

const several = `
@id("no-drop")
forbid (principal, action in Action::"db.*", resource) when { context.params has drop && context.amount > 1000 };

@id("prod") @raise("R2")
forbid (principal, action, resource) when { resource.text like "prod/*" };

@id("large") @raise("R3")
forbid (principal, action, resource) when { context.amount > 500 };

@raise("R1")
forbid (principal, action, resource) unless { resource.text like "prod/*" };
`

func TestTheStrictestCounts(t *testing.T) {
	g := gate(t, several)
	for _, c := range []struct {
		target string
		amount uint64
		want   policy.Verdict
	}{
		{"prod/main", 1, policy.Verdict{Pass: true, Least: 2, Rules: []string{"prod"}}},
		{"prod/main", 501, policy.Verdict{Pass: true, Least: 3, Rules: []string{"large", "prod"}}},
		{"prod/main", 1001, policy.Verdict{Rules: []string{"large", "no-drop", "prod"}}},
		{"test", 1, policy.Verdict{Pass: true, Least: 1, Rules: []string{"gate.cedar:11"}}},
		{"", 1, policy.Verdict{Pass: true, Least: 1, Rules: []string{"gate.cedar:11"}}},
	} {
		r := request(t)
		r.Action.Target, r.Action.Amount = c.target, c.amount
		got, err := g.Judge(r)
		if err != nil || got.Pass != c.want.Pass || got.Least != c.want.Least || !slices.Equal(got.Rules, c.want.Rules) {
			t.Errorf("%s %d: %+v, %v; want %+v", c.target, c.amount, got, err, c.want)
		}
		if err := policy.Admit(g, r, c.want.Least); (err == nil) != c.want.Pass {
			t.Errorf("%s %d: %v", c.target, c.amount, err)
		}
		if c.want.Least > 0 {
			err := policy.Admit(g, r, c.want.Least-1)
			if !errors.Is(err, policy.ErrGate) || !strings.Contains(fault.HintOf(err), c.want.Least.String()) {
				t.Errorf("%s %d, one class below: %v, hint %q", c.target, c.amount, err, fault.HintOf(err))
			}
		}
	}
}

// The policies that docs/policy.md shows do what it says.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "\n```cedar\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("the page shows no Cedar")
	}
	g, r := gate(t, block), request(t)
	if v, err := g.Judge(r); err != nil || v.Pass || !slices.Equal(v.Rules, []string{"no-drop"}) {
		t.Errorf("a drop: %+v, %v", v, err)
	}
	r.Action.Target = "test"
	if v, err := g.Judge(r); err != nil || !v.Pass || v.Least != 0 {
		t.Errorf("elsewhere: %+v, %v", v, err)
	}
	r.Action.Kind, r.Action.Amount = "payments.send", 100_001
	if v, err := g.Judge(r); err != nil || !v.Pass || v.Least != consensus.R3 {
		t.Errorf("a large payment: %+v, %v", v, err)
	}
	r.Action.Amount, r.Score = 1, nil
	if v, err := g.Judge(r); err != nil || !v.Pass || v.Least != consensus.R2 {
		t.Errorf("by an unproven agent: %+v, %v", v, err)
	}
}

// What cannot be evaluated denies, whatever else the set says. The honest twin evaluates.
func TestClosed(t *testing.T) {
	r := request(t)
	r.Score = nil
	const other = `@raise("R1") forbid (principal, action, resource);`
	if v, err := gate(t, other).Judge(r); err != nil || !v.Pass {
		t.Fatalf("%+v, %v", v, err)
	}
	for name, condition := range map[string]string{
		"an absent attribute":  "principal.score < 500",
		"an absent parameter":  `context.params.keep.contains("x")`,
		"an absent entity":     `Agent::"nobody".level > 3`,
		"a wrong type":         `context.amount > "a"`,
		"an overflow":          "context.amount + 9223372036854775807 > 0",
		"no boolean":           "context.amount",
		"a bad extension call": `ip(resource.text).isIpv4()`,
	} {
		g := gate(t, other+" forbid (principal, action, resource) when { "+condition+" };")
		v, err := g.Judge(r)
		if !errors.Is(err, cedar.ErrUnjudged) || fault.CodeOf(err) != fault.Denied || v.Pass || v.Least != 0 || v.Rules != nil {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if err := policy.Admit(g, r, consensus.R3); !errors.Is(err, policy.ErrGate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := gate(t, other)
	r.Action.Amount = 1<<63 - 1
	if v, err := g.Judge(r); err != nil || !v.Pass {
		t.Errorf("the greatest amount: %+v, %v", v, err)
	}
	r.Action.Amount++
	if v, err := g.Judge(r); !errors.Is(err, cedar.ErrUnjudged) || v.Pass {
		t.Errorf("an amount above: %+v, %v", v, err)
	}
	r = request(t)
	*r.Score = 1 << 63
	if v, err := g.Judge(r); !errors.Is(err, cedar.ErrUnjudged) || v.Pass {
		t.Errorf("a score above: %+v, %v", v, err)
	}
	for name, zero := range map[string]*cedar.Gate{"the zero gate": {}, "no gate": nil} {
		if v, err := zero.Judge(request(t)); !errors.Is(err, cedar.ErrInvalid) || v.Pass {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestTextsThatAreNoGate(t *testing.T) {
	const honest = "forbid (principal, action, resource);"
	gate(t, honest)
	gate(t, "// a comment\n"+honest+"\n"+`@id("a") @raise("R1") `+honest)
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "gate.cedar"},
		{"a comment", "// " + honest, "gate.cedar"},
		{"no Cedar", "preset: solo", "gate.cedar"},
		{"cut off", honest[:len(honest)-1], "gate.cedar"},
		{"no UTF-8", honest + " // \xff\n@id(\"\xff\") " + honest, "gate.cedar"},
		{"a permit", honest + "\n\npermit (principal, action, resource);", "gate.cedar:3: permits"},
		{"a permit that raises", `@raise("R3") permit (principal, action, resource);`, "gate.cedar:1: permits"},
		{"R0", `@raise("R0") ` + honest, "@raise"},
		{"R4", `@raise("R4") ` + honest, "@raise"},
		{"r3", `@raise("r3") ` + honest, "@raise"},
		{"no class", `@raise ` + honest, "@raise"},
		{"an empty name", `@id("") ` + honest, "@id"},
		{"a long name", `@id("` + strings.Repeat("x", 65) + `") ` + honest, "@id"},
		{"a misspelt annotation", `@rasie("R3") ` + honest, "@rasie"},
		{"one name twice", `@id("a") ` + honest + "\n" + `@id("a") ` + honest, "gate.cedar:2"},
		{"a name that is another's line", honest + `@id("gate.cedar:1") ` + honest, "gate.cedar:1"},
		{"an unknown function", "forbid (principal, action, resource) when { now() };", "gate.cedar"},
		{"too large", honest + strings.Repeat(" ", cedar.MaxText), "larger"},
		{"too many", strings.Repeat(honest, cedar.MaxRules+1), "256"},
	} {
		g, err := cedar.New("gate.cedar", []byte(c.text))
		if !errors.Is(err, cedar.ErrInvalid) || fault.CodeOf(err) != fault.InvalidInput || g != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q does not say %q", c.name, err, c.says)
		}
	}
}

// One gate serves many at once, each as if it were alone.
func TestTogether(t *testing.T) {
	g := gate(t, several)
	var all sync.WaitGroup
	for i := range 8 {
		r := request(t)
		r.Action.Amount = uint64(i) * 200
		want, err := g.Judge(r)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for range 200 {
				if got, err := g.Judge(r); err != nil || got.Pass != want.Pass || got.Least != want.Least {
					t.Errorf("%d: %+v, %v; alone %+v", i, got, err, want)
					return
				}
			}
		})
	}
	all.Wait()
}

// FuzzNew: whatever is read is a gate that judges alike twice, denies what it cannot judge, and never asks for what no
// proposal has.
func FuzzNew(f *testing.F) {
	f.Add([]byte(several), "prod/main", "drop", "users", uint64(7))
	f.Add([]byte("forbid (principal is Agent, action, resource) unless { principal.score > 5 };"), "", "", "", uint64(1)<<63)
	f.Add([]byte(`@raise("R3") forbid (principal, action, resource) when { context.params["x"].containsAny(["a", 1]) };`), "x", "x", "a", uint64(0))
	base := request(f)
	f.Fuzz(func(t *testing.T, text []byte, target, name, value string, amount uint64) {
		g, err := cedar.New("f", text)
		if err != nil {
			if !errors.Is(err, cedar.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		r := base
		r.Action = consensus.NewAction("db.migrate", target, map[string][]string{name: {value}})
		r.Action.Amount = amount
		v, err := g.Judge(r)
		again, errAgain := g.Judge(r)
		if fmt.Sprint(v, err) != fmt.Sprint(again, errAgain) {
			t.Fatalf("%+v, %v and then %+v, %v", v, err, again, errAgain)
		}
		if (err != nil || !v.Pass) && (v.Pass || v.Least != 0) || v.Least > consensus.R3 || (err == nil && !v.Pass && len(v.Rules) == 0) {
			t.Fatalf("%+v, %v", v, err)
		}
		if v.Pass && policy.Admit(g, r, consensus.R3) != nil {
			t.Fatal("R3 is not enough")
		}
	})
}
