package policy_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// when gives the kind file.write, which is R1, conditions.
func when(list ...policy.When) func(*policy.Policy) {
	return func(p *policy.Policy) { p.Kinds[4].When = list }
}

func to(w policy.When, c consensus.Class) policy.When { w.Class = c; return w }

func denied(w policy.When) policy.When { w.Class, w.Deny = consensus.R3, true; return w }

func not(w policy.When) policy.When { w.Not = true; return w }

func target(s string) policy.When          { return policy.When{Target: s} }
func param(name, value string) policy.When { return policy.When{Param: name, Value: value} }
func above(n uint64) policy.When           { return policy.When{Above: n} }

// Each row is an action of the kind file.write under conditions that raise it from R1, or deny it.
func TestWhenRaises(t *testing.T) {
	params := func(name string, values ...string) map[string][]string { return map[string][]string{name: values} }
	for _, c := range []struct {
		name   string
		when   []policy.When
		target string
		params map[string][]string
		amount uint64
		want   string
	}{
		{"no condition", nil, "prod", nil, 9, "R1"},
		{"the target", []policy.When{to(target("prod"), 2)}, "prod", nil, 0, "R2"},
		{"another target", []policy.When{to(target("prod"), 2)}, "prod2", nil, 0, "R1"},
		{"another case", []policy.When{to(target("prod"), 2)}, "Prod", nil, 0, "R1"},
		{"a prefix", []policy.When{to(target("prod/*"), 2)}, "prod/a/b", nil, 0, "R2"},
		{"a prefix and no more", []policy.When{to(target("prod/*"), 2)}, "prod/", nil, 0, "R2"},
		{"less than the prefix", []policy.When{to(target("prod/*"), 2)}, "prod", nil, 0, "R1"},
		{"a suffix", []policy.When{to(target("*.key"), 3)}, "a.key", nil, 0, "R3"},
		{"no suffix", []policy.When{to(target("*.key"), 3)}, "a.keys", nil, 0, "R1"},
		{"both ends that overlap", []policy.When{to(target("aba*ba"), 3)}, "aba", nil, 0, "R1"},
		{"parts in order", []policy.When{to(target("a*b*c"), 3)}, "a-b-b-c", nil, 0, "R3"},
		{"parts out of order", []policy.When{to(target("a*bc*d"), 3)}, "acbd", nil, 0, "R1"},
		{"any target, none given", []policy.When{to(target("*"), 3)}, "", nil, 0, "R3"},
		{"outside", []policy.When{not(to(target("/srv/*"), 2))}, "/etc/passwd", nil, 0, "R2"},
		{"inside", []policy.When{not(to(target("/srv/*"), 2))}, "/srv/x", nil, 0, "R1"},
		{"outside, no target", []policy.When{not(to(target("/srv/*"), 2))}, "", nil, 0, "R2"},
		{"a value", []policy.When{to(param("mode", "force"), 3)}, "", params("mode", "force"), 0, "R3"},
		{"one of the values", []policy.When{to(param("mode", "force"), 3)}, "", params("mode", "safe", "force"), 0, "R3"},
		{"another value", []policy.When{to(param("mode", "force"), 3)}, "", params("mode", "forced"), 0, "R1"},
		{"another parameter", []policy.When{to(param("mode", "force"), 3)}, "", params("modes", "force"), 0, "R1"},
		{"no parameters", []policy.When{to(param("mode", "*"), 3)}, "", nil, 0, "R1"},
		{"any value", []policy.When{to(param("mode", "*"), 3)}, "", params("mode", "x"), 0, "R3"},
		{"any value, none given", []policy.When{to(param("mode", "*"), 3)}, "", params("mode"), 0, "R3"},
		{"a value, none given", []policy.When{to(param("mode", "a*"), 3)}, "", params("mode"), 0, "R1"},
		{"any but one", []policy.When{not(to(param("mode", "safe"), 3))}, "", params("mode", "wild"), 0, "R3"},
		{"any but one, absent", []policy.When{not(to(param("mode", "safe"), 3))}, "", nil, 0, "R3"},
		{"that one", []policy.When{not(to(param("mode", "safe"), 3))}, "", params("mode", "safe"), 0, "R1"},
		{"that one among others", []policy.When{not(to(param("mode", "safe"), 3))}, "", params("mode", "wild", "safe"), 0, "R1"},
		{"the amount", []policy.When{to(above(5), 2)}, "", nil, 6, "R2"},
		{"just not the amount", []policy.When{to(above(5), 2)}, "", nil, 5, "R1"},
		{"the greatest amount", []policy.When{to(above(1<<64-2), 2)}, "", nil, 1<<64 - 1, "R2"},
		{"all of it", []policy.When{to(policy.When{Target: "a*", Param: "p", Value: "v", Above: 1}, 3)}, "ab", params("p", "v"), 2, "R3"},
		{"not all of it", []policy.When{to(policy.When{Target: "a*", Param: "p", Value: "v", Above: 1}, 3)}, "ab", params("p", "v"), 1, "R1"},
		{"the highest counts", []policy.When{to(above(1), 3), to(above(1), 2)}, "", nil, 5, "R3"},
		{"denied", []policy.When{to(above(1), 2), denied(target("root"))}, "root", nil, 5, "denied"},
		{"not denied", []policy.When{to(above(1), 2), denied(target("root"))}, "roots", nil, 5, "R2"},
		{"denied outside", []policy.When{denied(not(target("/srv/*")))}, "/srv/../etc", nil, 0, "R1"}, // no paths: texts
	} {
		p := preset(t, policy.Standard)
		when(c.when...)(&p)
		if err := p.Check(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		a := consensus.NewAction("file.write", c.target, c.params)
		a.Amount = c.amount
		got, err := p.Classify(a, consensus.R0, max(a.Amount, 1))
		switch {
		case c.want == "denied":
			if !errors.Is(err, policy.ErrDenied) || fault.CodeOf(err) != fault.Denied || got != consensus.R3 {
				t.Errorf("%s: %s, %v", c.name, got, err)
			}
		case err != nil || got.String() != c.want:
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if base, known := p.Base("file.write"); base != consensus.R1 || !known {
			t.Errorf("%s: the kind's own class is %s", c.name, base)
		}
		for l := range identity.Level(6) {
			if len(c.when) > 0 && identity.MatchCapability(p.RestrictedRights(l).Call, "file.write") {
				t.Errorf("%s: %s may do it when restricted", c.name, l)
			}
		}
	}
}

// A condition and a sum count together, and the proposer may only raise.
func TestWhenAndTheRest(t *testing.T) {
	p := preset(t, policy.Standard)
	steps(1, step(5, consensus.R2))(&p)
	when(to(target("prod"), consensus.R3))(&p)
	for _, c := range []struct {
		target string
		least  consensus.Class
		sum    uint64
		want   consensus.Class
	}{
		{"x", 0, 5, 1}, {"x", 0, 6, 2}, {"x", 2, 1, 2}, {"x", 3, 6, 3}, {"prod", 0, 1, 3}, {"prod", 1, 9, 3},
	} {
		got, err := p.Classify(consensus.Action{Kind: "file.write", Target: c.target}, c.least, c.sum)
		if err != nil || got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
	if _, known := p.Base("nothing.known"); known {
		t.Error("an unknown kind has a class of its own")
	}
	p.Kinds[4] = policy.Kind{Pattern: "file.write", Class: consensus.R3, Deny: true}
	if _, known := p.Base("file.write"); known {
		t.Error("a denied kind has a class of its own")
	}
}

func TestWhenRefused(t *testing.T) {
	many := make([]policy.When, policy.MaxWhen+1)
	for i := range many {
		many[i] = to(above(uint64(i)+1), consensus.R2)
	}
	if p := preset(t, policy.Solo); true {
		when(many[1:]...)(&p)
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", policy.MaxLike)
	for name, ok := range map[string]policy.When{
		"long": to(target(long), 2), "stars": to(target("a*b*c*d*"), 2), "letters": to(target("ä/ö"), 2), "deny": denied(above(1)),
	} {
		p := preset(t, policy.Solo)
		when(ok)(&p)
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		name string
		path string
		when []policy.When
	}{
		{"too many", "kinds.file.write/when", many},
		{"nothing asked", "kinds.file.write/when[0]", []policy.When{{Class: 2}}},
		{"not nothing", "kinds.file.write/when[0]", []policy.When{{Class: 2, Not: true}}},
		{"the second", "kinds.file.write/when[1]", []policy.When{to(above(1), 2), {Class: 2}}},
		{"a parameter without a value", "kinds.file.write/when[0]", []policy.When{to(param("a", ""), 2)}},
		{"a value without a parameter", "kinds.file.write/when[0]", []policy.When{to(param("", "a"), 2)}},
		{"too long", "kinds.file.write/when[0]", []policy.When{to(target(long+"x"), 2)}},
		{"a long name", "kinds.file.write/when[0]", []policy.When{to(param(long+"x", "a"), 2)}},
		{"a long value", "kinds.file.write/when[0]", []policy.When{to(param("a", long+"x"), 2)}},
		{"too many stars", "kinds.file.write/when[0]", []policy.When{to(target("*****"), 2)}},
		{"too many stars in a value", "kinds.file.write/when[0]", []policy.When{to(param("a", "*****"), 2)}},
		{"a control character", "kinds.file.write/when[0]", []policy.When{to(target("a\n"), 2)}},
		{"no UTF-8", "kinds.file.write/when[0]", []policy.When{to(target("\xff"), 2)}},
		{"it does not raise", "kinds.file.write/when[0]", []policy.When{to(above(1), 1)}},
		{"it lowers", "kinds.file.write/when[0]", []policy.When{to(above(1), 0)}},
		{"above R3", "kinds.file.write/when[0]", []policy.When{to(above(1), 4)}},
		{"denied and R2", "kinds.file.write/when[0]", []policy.When{{Above: 1, Class: 2, Deny: true}}},
		{"twice", "kinds.file.write/when[1]", []policy.When{to(above(1), 2), to(above(1), 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := preset(t, policy.Solo)
			when(c.when...)(&p)
			wantFault(t, p.Check(), c.path)
		})
	}
	p := preset(t, policy.Solo)
	p.Kinds[4].Class, p.Kinds[4].Deny = consensus.R3, true
	when(denied(above(1)))(&p)
	wantFault(t, p.Check(), "kinds.file.write/when")
}

// A target is like a text with stars exactly where the regular expression that it stands for says so.
func TestLikeAsRegexp(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	text := func(letters string, most int) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	yes := 0
	for range 50_000 {
		pattern, s := text("ab*", 6), text("ab", 8)
		if pattern == "" {
			continue
		}
		re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
		got := policy.When{Target: pattern}.Applies(consensus.Action{Target: s})
		if got != re.MatchString(s) {
			t.Fatalf("%q like %q: %t", s, pattern, got)
		}
		if got {
			yes++
		}
	}
	if yes < 1000 {
		t.Errorf("only %d texts were alike", yes)
	}
}
