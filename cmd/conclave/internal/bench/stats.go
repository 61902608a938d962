package bench

import (
	"cmp"
	"math"
	"slices"
)

// median returns the middle of the values, the mean of the two middle ones of an even number, 0 of none. It leaves the
// values as they are.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the least value that at least p per cent of the values do not exceed (nearest rank); 0 of none.
func percentile(values []float64, p float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(n)))
	return sorted[min(max(rank, 1), n)-1]
}

// rangeOf returns the least and the greatest value; zeros of none.
func rangeOf(values []float64) Range {
	if len(values) == 0 {
		return Range{}
	}
	return Range{slices.Min(values), slices.Max(values)}
}

// flows divides, and is 0 where there is nothing to divide by: JSON knows no infinity.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// pick returns one number of each element.
func pick[T any, N cmp.Ordered](list []T, number func(T) N) []N {
	out := make([]N, len(list))
	for i, v := range list {
		out[i] = number(v)
	}
	return out
}
