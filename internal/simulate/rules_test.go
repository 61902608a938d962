package simulate

import "testing"

func TestRules(t *testing.T) {
	for _, row := range []struct {
		name string
		seen []int64
		by   [ruleCount]int64 // the book's is not asked
	}{
		{"nothing", nil, [ruleCount]int64{0, 500, 500, 500}},
		{"one right", []int64{1000}, [ruleCount]int64{0, 1000, 550, 666}},
		{"one wrong", []int64{0}, [ruleCount]int64{0, 0, 450, 333}},
		{"right and wrong", []int64{1000, 0}, [ruleCount]int64{0, 500, 495, 497}},
		{"half a rating", []int64{750}, [ruleCount]int64{0, 750, 525, 583}},
	} {
		rules := newRules()
		for r := byMean; r < ruleCount; r++ {
			for _, v := range row.seen {
				rules[r].observe(v)
			}
			if got := rules[r].score(); got != row.by[r] {
				t.Errorf("%s by %s: %d, want %d", row.name, ruleNames[r], got, row.by[r])
			}
		}
	}
}

func TestRulesStayInRange(t *testing.T) {
	r := newRandom(1, "any", 0)
	rules := newRules()
	for range 20_000 {
		v := r.below(1001)
		if r.perMille(500) {
			v = 1000 * r.below(2)
		}
		for i := byMean; i < ruleCount; i++ {
			rules[i].observe(v)
			if s := rules[i].score(); s < 0 || s > 1000 {
				t.Fatalf("seed 1: %s says %d", ruleNames[i], s)
			}
		}
	}
	for range 2000 {
		for i := byMean; i < ruleCount; i++ {
			rules[i].observe(1000)
		}
	}
	if e, b := rules[byEMA].score(), rules[byBeta].score(); e != 999 || b != 980 {
		t.Errorf("after 2000 right ones: %d and %d", e, b)
	}
}

func TestRandomIsRepeatable(t *testing.T) {
	a, b, other, third := newRandom(7, "a", 0), newRandom(7, "a", 0), newRandom(7, "a", 1), newRandom(7, "b", 0)
	same := 0
	for range 1000 {
		x := a.next()
		if x != b.next() {
			t.Fatal("the same seed gives another number")
		}
		if x == other.next() || x == third.next() {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d numbers of different agents are the same", same)
	}
	r := newRandom(1, "shares", 0)
	hits := 0
	for range 100_000 {
		if r.perMille(100) {
			hits++
		}
	}
	if hits < 9_500 || hits > 10_500 {
		t.Errorf("100 of 1000 come %d times in 100,000", hits)
	}
	zero := random(0)
	if got := zero.next(); got != 0xe220a8397b1dcdaf { // the published first output of SplitMix64 for seed 0
		t.Errorf("got %x", got)
	}
}
