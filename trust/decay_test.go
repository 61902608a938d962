package trust

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestPowersAreRoundedRoots: p = 2^30·2^(−k/64) rounded lies within half of the root, so (2p−1)^64 < 2^(31·64−k) < (2p+1)^64.
func TestPowersAreRoundedRoots(t *testing.T) {
	for k, p := range powers {
		root := new(big.Int).Lsh(big.NewInt(1), uint(31*ticks-k))
		under := new(big.Int).Exp(big.NewInt(2*int64(p)-1), big.NewInt(ticks), nil)
		over := new(big.Int).Exp(big.NewInt(2*int64(p)+1), big.NewInt(ticks), nil)
		if under.Cmp(root) >= 0 || over.Cmp(root) <= 0 {
			t.Errorf("powers[%d] = %d is not the nearest", k, p)
		}
	}
}

func TestDecayHalvesInAHalfLife(t *testing.T) {
	for _, row := range []struct {
		x    Micro
		n    uint64
		want Micro
	}{
		{0, 5, 0}, {1, 0, 1}, {1, 1, 0}, {1000, 64, 500}, {1_000_000, 64, 500_000}, {1_000_000, 128, 250_000},
		{1_000_000, 32, 707_106}, {1_000_000, 65, 494_614}, {most, 0, most}, {most, 64, most / 2}, {most, 64 * 48, 1},
		{most, 64 * 49, 0}, {most, 64*63 - 1, 0}, {most, 64 * 63, 0}, {most, 64 * 64, 0}, {most, math.MaxUint64, 0},
	} {
		if got := decayed(row.x, row.n); got != row.want {
			t.Errorf("decayed(%d, %d) = %d, not %d", row.x, row.n, got, row.want)
		}
	}
}

func TestTicksAreCountedFrom1970(t *testing.T) {
	const half = 64_000 // a tick a second
	for _, row := range []struct {
		from, to int64
		want     uint64
	}{
		{0, 0, 0}, {0, 999, 0}, {0, 1000, 1}, {999, 1000, 1}, {1000, 1999, 0}, {1500, 4500, 3}, {5000, 1000, 0},
		{0, latest, latest / 1000},
	} {
		if got := passed(half, row.from, row.to); got != row.want {
			t.Errorf("passed(%d, %d) = %d, not %d", row.from, row.to, got, row.want)
		}
	}
	if passed(1, 3, 10) != 7 {
		t.Error("a half-life under 64 ms has ticks of a millisecond")
	}
}

// TestTouchingDoesNotChangeDecay: however often an amount is decayed in between, it ends within a micro-unit a tick of the
// amount that nobody touched, and never above it.
func TestTouchingDoesNotChangeDecay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := rapid.Int64Range(minute, 3650*day).Draw(t, "half-life")
		x := Micro(rapid.Int64Range(0, int64(most)).Draw(t, "x"))
		from := rapid.Int64Range(0, latest/2).Draw(t, "from")
		steps := rapid.SliceOfN(rapid.Int64Range(0, half/3), 1, 60).Draw(t, "steps")
		at, touched := from, x
		for _, s := range steps {
			touched = decayed(touched, passed(half, at, at+s))
			at += s
		}
		n := passed(half, from, at)
		once := decayed(x, n)
		// The table's own rounding is 2^-31 of the amount at each step.
		tolerance := Micro(n) + Micro(uint64(x)>>30)*Micro(len(steps)+1) + 1
		if off := once - touched; off > tolerance || off < -tolerance {
			t.Fatalf("%d decays in %d ticks to %d at once, to %d in steps", x, n, once, touched)
		}
	})
}

// TestABusyAccountHealsLikeAnIdleOne: an earlier rule that measured time since the last touch in whole quanta never healed an
// agent that was busy.
func TestABusyAccountHealsLikeAnIdleOne(t *testing.T) {
	h := Defaults().HalfLife
	const start = int64(1_790_000_000_000)
	busy := &Account{At: start, Violations: 8 * Unit, Good: [Classes]Micro{50 * Unit}, Fairness: fair}
	busy.voices = []voice{{rated: 4 * Unit}}
	idle := busy.clone()
	end := start + 90*day
	for at := start; at < end; at += hour / 2 {
		busy.settle(&h, at)
	}
	busy.settle(&h, end)
	idle.settle(&h, end)
	for _, row := range []struct {
		what       string
		busy, idle Micro
	}{
		{"violations", busy.Violations, idle.Violations},
		{"good", busy.Good[0], idle.Good[0]},
		{"rated", busy.voices[0].rated, idle.voices[0].rated},
	} {
		if off := row.idle - row.busy; off < 0 || off > 128 {
			t.Errorf("%s: %d busy, %d idle", row.what, row.busy, row.idle)
		}
	}
	if idle.Violations < 4*Unit-Unit/20 || idle.Violations > 4*Unit+Unit/20 || idle.Good[0] < 12*Unit || idle.Good[0] > 13*Unit {
		t.Errorf("%d and %d after a half-life and two", idle.Violations, idle.Good[0])
	}
}

func TestSumsStopAtTheirBounds(t *testing.T) {
	for _, row := range []struct{ got, want Micro }{
		{plus(1, 2), 3}, {plus(most, 1), most}, {plus(most-1, 1), most}, {plus(most-2, 1), most - 1},
		{plus(1, math.MaxInt64), most}, {plus(math.MaxInt64, math.MaxInt64), most},
		{minus(3, 2), 1}, {minus(2, 3), 0}, {minus(0, most), 0},
		{part(10, 3, 4), 7}, {part(0, most, 1), 0}, {part(most, 1000, 1000), most}, {part(most, most, 1), most},
		{part(most, most, most), most}, {part(most, 2, 1), most}, {part(math.MaxInt64, 2, 1), most},
	} {
		if row.got != row.want {
			t.Errorf("%d, not %d", row.got, row.want)
		}
	}
}

// TestDaysFollow: yesterday is the day before, not the day of the last event.
func TestDaysFollow(t *testing.T) {
	a := &Account{}
	a.turn(10 * day)
	a.today = 7
	a.turn(10*day + day - 1)
	if a.today != 7 || a.yesterday != 0 {
		t.Fatal(a.today, a.yesterday)
	}
	a.turn(11 * day)
	if a.today != 0 || a.yesterday != 7 {
		t.Fatal(a.today, a.yesterday)
	}
	a.today = 5
	a.turn(13 * day)
	if a.today != 0 || a.yesterday != 0 {
		t.Fatal(a.today, a.yesterday)
	}
}
