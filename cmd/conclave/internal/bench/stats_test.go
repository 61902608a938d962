package bench

import (
	"math"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1}, 5},
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{5, 5, 5, 1000, 1}, 5},
		{[]float64{-1, -3, -2}, -2},
	} {
		before := slices.Clone(row.values)
		if got := median(row.values); got != row.want {
			t.Errorf("%v: %v, want %v", row.values, got, row.want)
		}
		if !slices.Equal(before, row.values) {
			t.Errorf("%v became %v", before, row.values)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, row := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{nil, 50, 0},
		{[]float64{7}, 0, 7},
		{[]float64{7}, 99, 7},
		{[]float64{2, 1}, 50, 1},
		{[]float64{2, 1}, 51, 2},
		{[]float64{3, 1, 2}, 50, 2},
		{hundred, 1, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.1, 100},
		{hundred, 100, 100},
		{hundred, 200, 100},
	} {
		if got := percentile(row.values, row.p); got != row.want {
			t.Errorf("%d values, p%v: %v, want %v", len(row.values), row.p, got, row.want)
		}
	}
}

func TestRange(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   Range
	}{
		{nil, Range{}},
		{[]float64{2}, Range{2, 2}},
		{[]float64{3, -1, 2}, Range{-1, 3}},
	} {
		if got := rangeOf(row.values); got != row.want {
			t.Errorf("%v: %v, want %v", row.values, got, row.want)
		}
	}
}

func TestOver(t *testing.T) {
	for _, row := range []struct{ a, b, want float64 }{{6, 3, 2}, {0, 3, 0}, {3, 0, 0}, {-1, 2, -0.5}} {
		if got := over(row.a, row.b); got != row.want || math.IsInf(got, 0) {
			t.Errorf("%v / %v = %v, want %v", row.a, row.b, got, row.want)
		}
	}
}

// TestWeigh is what a result says of rounds whose outcome is known.
func TestWeigh(t *testing.T) {
	ours := []sample{
		{value: 30, cpu: 3, delays: []float64{1, 2}}, {value: 10, cpu: 1, delays: []float64{3}}, {value: 20, cpu: 8, delays: []float64{4}},
	}
	peer := []sample{{value: 10, cpu: 1}, {value: 10, cpu: 2, delays: []float64{9}}, {value: 5, cpu: 3}}
	var r Result
	r.weigh(ours, peer)
	if r.Ours != 20 || r.Peer != 10 || r.Ratio != 2 {
		t.Errorf("ours %v, peer %v, ratio %v", r.Ours, r.Peer, r.Ratio)
	}
	if want := []Round{{30, 10}, {10, 10}, {20, 5}}; !slices.Equal(r.Rounds, want) {
		t.Errorf("rounds %v", r.Rounds)
	}
	if want := (Spread{Range{10, 30}, Range{5, 10}, Range{1, 4}}); r.Spread != want {
		t.Errorf("spread %v", r.Spread)
	}
	if want := (Pair{3, 2}); r.CPU != want {
		t.Errorf("cpu %v", r.CPU)
	}
	if r.P50 != 2 || r.P99 != 4 || r.PeerP50 != 9 || r.PeerP99 != 9 {
		t.Errorf("p50 %v, p99 %v; peer %v, %v", r.P50, r.P99, r.PeerP50, r.PeerP99)
	}
}

func TestVariant(t *testing.T) {
	all := []contender{{name: "ours"}, {name: "peer"}, {name: "beside", of: "peer"}, {name: "alone", unit: "ms"}, {name: "odd", of: "nobody"}}
	samples := [][]sample{{{value: 1}}, {{value: 4}, {value: 6}}, {{value: 10, cpu: 2}, {value: 30, cpu: 4}}, {{value: 7}}, {{value: 1}}}
	p := plan{unit: "msg/s"}
	for i, want := range map[int]Variant{
		2: {Name: "beside", Value: 20, Unit: "msg/s", Spread: Range{10, 30}, CPU: 3, Ratio: 4, Of: "peer"},
		3: {Name: "alone", Value: 7, Unit: "ms", Spread: Range{7, 7}},
		4: {Name: "odd", Value: 1, Unit: "msg/s", Spread: Range{1, 1}, Of: "nobody"},
	} {
		if got := p.variant(all[i], samples[i], all, samples); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
