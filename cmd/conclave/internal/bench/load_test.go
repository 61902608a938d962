package bench

import (
	"testing"
	"time"
)

func TestBusyTime(t *testing.T) {
	for _, row := range []struct {
		text string
		want time.Duration
	}{
		{"cpu  1 2 4 100 100 8 16 32 1000 1000\ncpu0 9 9 9\n", 63 * tick},
		{"cpu  1 0 0 5 5 0 0 0", tick},
		{"cpu  1 0 0 5 5 0 0", 0},
		{"cpu  1 0 x 5 5 0 0 0", 0},
		{"cpu0 1 0 0 5 5 0 0 0", 0},
		{"", 0},
	} {
		if got := busyTime(row.text); got != row.want {
			t.Errorf("%q: %v, want %v", row.text, got, row.want)
		}
	}
}

func TestOthers(t *testing.T) {
	at := func(s, all, self int) load {
		return load{time.Unix(int64(s), 0), time.Duration(all) * time.Second, time.Duration(self) * time.Second}
	}
	for _, row := range []struct {
		name     string
		from, to load
		want     float64
	}{
		{"all ours", at(0, 10, 0), at(10, 20, 10), 0},
		{"half others'", at(0, 10, 0), at(10, 30, 10), 1},
		{"rounding", at(0, 10, 0), at(10, 19, 10), 0},
		{"unknown", at(0, 0, 0), at(10, 0, 0), 0},
		{"no time", at(5, 1, 0), at(5, 2, 0), 0},
	} {
		if got := others(row.from, row.to); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
