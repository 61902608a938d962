package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// played has the actions decided in a realm of their own, and returns the run and what it printed.
func played(t *testing.T, list []labelled) (*program, string) {
	t.Helper()
	r := sdktest.New(t)
	var out strings.Builder
	p := &program{
		person: r.Operator(t, 0), opts: []sdk.Option{sdk.Over(r.Transport())}, state: t.TempDir(), out: &out,
	}
	if err := p.run(t.Context(), list); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	p.summary()
	return p, out.String()
}

func actions(t *testing.T) []labelled {
	t.Helper()
	list, err := load(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What two checkers reject is never done, what is approved is sure enough, and whoever is wrong most is believed least.
func TestTheEnsembleDecides(t *testing.T) {
	list := actions(t)
	p, out := played(t, list)
	t.Log("\n" + out)
	var good, bad, approved int
	for _, r := range p.results {
		rejections := 0
		for _, o := range r.opinions {
			if !o.Approve {
				rejections++
			}
		}
		switch {
		case !r.good && rejections >= 2 && r.approved:
			t.Errorf("%s is bad, %d checkers rejected it, and it was approved", r.name, rejections)
		case r.approved != r.ran:
			t.Errorf("%s: approved %t, done %t", r.name, r.approved, r.ran)
		case r.approved && r.confidence < rule.Confidence:
			t.Errorf("%s was approved at %d‰", r.name, r.confidence)
		}
		if r.good {
			good++
			if r.approved {
				approved++
			}
		} else {
			bad++
		}
	}
	if len(p.results) != len(list) || bad < 10 || good < 25 || 2*approved < good {
		t.Errorf("%d results of %d, %d bad; of %d good ones %d approved", len(p.results), len(list), bad, good, approved)
	}
	single, all := p.scores()
	errors := func(s score) int { return s.passed + s.held }
	order := []int{0, 1, 2, 3, 4}
	slices.SortStableFunc(order, func(a, b int) int { return errors(single[a]) - errors(single[b]) })
	best, worst := order[0], order[len(order)-1]
	if p.worth[worst] >= 700 || p.worth[best] <= p.worth[worst] {
		t.Errorf("the best, %s, is worth %d‰, and the worst, %s, %d‰; all began with 700‰",
			p.checkers[best].Name, p.worth[best], p.checkers[worst].Name, p.worth[worst])
	}
	for i, s := range single {
		if s.passed < all.passed {
			t.Errorf("%s alone lets %d bad ones through, and all together %d", p.checkers[i].Name, s.passed, all.passed)
		}
	}
}

// The same files come out the same, to the last figure.
func TestTheSameAgain(t *testing.T) {
	list := actions(t)[10:22]
	_, first := played(t, list)
	if _, second := played(t, list); first != second {
		t.Errorf("first\n%s\nand then\n%s", first, second)
	}
}

// Checkers that learn see an action after they have judged it, never before.
func TestActions(t *testing.T) {
	names := map[string]bool{}
	for _, one := range actions(t) {
		if names[one.name] || one.good == (one.why != "") {
			t.Errorf("%s: twice, or good for a reason, or bad for none", one.name)
		}
		names[one.name] = true
	}
	for text, ok := range map[string]bool{
		`{"label": "good", "kind": "file.write", "target": "a"}`:                       true,
		`{"label": "bad", "kind": "file.write", "target": "a", "params": {"b": []}}`:   true,
		`{"label": "", "kind": "file.write", "target": "a"}`:                           false,
		`{"label": "good", "kind": "File Write", "target": "a"}`:                       false,
		`{"label": "good", "kind": "file.write", "target": "a", "approve": true}`:      false,
		`{"label": "good", "kind": "file.write", "target": "a", "amount": -1}`:         false,
		`{"label": "good", "kind": "file.write", "target": "a", "params": {"b": "c"}}`: false,
	} {
		if _, err := parse([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := load(os.DirFS(t.TempDir())); err == nil {
		t.Error("an empty folder was taken")
	}
}
