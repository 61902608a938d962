package bench

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestOpen runs it to its end with more decisions than one operator may have open.
func TestOpen(t *testing.T) {
	c := tiny(t)
	c.Messages, c.Decisions = 20, openOfOne+1
	said := map[string]bool{}
	c.Progress = func(p Progress) { said[p.What] = said[p.What] || p.Done == p.Total }
	r, err := Run(context.Background(), "open", c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "open" || r.Unit != "us" || !r.Lower || r.PeerName != noneOpen || r.Messages != 20 || r.Window != 1 || len(r.Rounds) != 2 {
		t.Errorf("%+v", r)
	}
	if r.Ours <= 0 || r.Peer <= 0 || r.Ratio <= 0 || r.P50 <= 0 || r.PeerP50 <= 0 || !strings.Contains(r.What, "65 decisions") {
		t.Errorf("%+v", r)
	}
	if len(r.Variants) != 2 || r.Variants[0].Name != noneOpenYet || r.Variants[0].Of != otherThen || r.Variants[0].Ratio <= 0 ||
		r.Variants[1].Name != otherThen || r.Variants[1].Value <= 0 {
		t.Errorf("variants %+v", r.Variants)
	}
	if len(r.Commands) != 1 || r.Commands["decisions open in every round"] != openOfOne+1 {
		t.Errorf("counted %v", r.Commands)
	}
	if done, told := said["opening decisions"]; !told || !done {
		t.Errorf("progress: %v", said)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestOpenDecisionsAreCounted plants rounds in a realm that has fewer or more open decisions than they are to have.
func TestOpenDecisionsAreCounted(t *testing.T) {
	b := &bout{Config: tiny(t), dir: t.TempDir()}
	var err error
	if b.Config, err = b.withDefaults(Benchmark{agents: 2, rounds: 1}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.end(); err != nil {
			t.Error(err)
		}
	}()
	rules, err := lastingRules()
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFleet(t.Context(), b, rules, 1)
	if err != nil {
		t.Fatal(err)
	}
	var within func() error
	round := contender{run: func(context.Context) (sample, error) { return sample{value: 1}, within() }}
	nothing := func() error { return nil }
	for _, row := range []struct {
		name   string
		n      int
		within func() error
		want   error
	}{
		{"none, as it is", 0, nothing, nil},
		{"more than there are", 1, nothing, errOpen},
		{"one opens meanwhile", 0, func() error { return f.openMany(t.Context(), 1) }, errOpen},
		{"one, as it is", 1, nothing, nil},
		{"fewer than there are", 0, nothing, errOpen},
	} {
		within = row.within
		if s, err := whileOpen(f, row.n, round).run(t.Context()); !errors.Is(err, row.want) || row.want == nil && s.value != 1 {
			t.Errorf("%s: %+v, %v", row.name, s, err)
		}
	}
}
