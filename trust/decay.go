package trust

import "math/bits"

// ticks is how many times in a half-life amounts are decayed. Ticks are counted from 1970, not from the last touch: an
// account that is touched every second loses no less than one that nobody touches.
const ticks = 64

// most is where amounts stop growing: 281 million units. Four of them, weighed tenfold, are still far from 64 bits.
const most Micro = 1 << 48

// latest is the last time that the book tells apart, in Unix milliseconds.
const latest = 1 << 53

// powers[k] is 2^30 · 2^(−k/64), rounded.
var powers = [ticks]uint64{
	1073741824, 1062175491, 1050733751, 1039415261, 1028218693, 1017142735, 1006186087, 995347464,
	984625594, 974019220, 963527098, 953147997, 942880699, 932724001, 922676710, 912737649,
	902905651, 893179563, 883558244, 874040567, 864625413, 855311680, 846098274, 836984114,
	827968132, 819049271, 810226483, 801498734, 792865000, 784324269, 775875538, 767517817,
	759250125, 751071493, 742980960, 734977579, 727060411, 719228525, 711481005, 703816941,
	696235434, 688735596, 681316545, 673977412, 666717336, 659535466, 652430958, 645402981,
	638450708, 631573326, 624770026, 618040012, 611382493, 604796689, 598281827, 591837143,
	585461881, 579155293, 572916640, 566745190, 560640218, 554601009, 548626854, 542717053,
}

// passed returns how many ticks of the half-life (ms) lie between two times.
func passed(half, from, to int64) uint64 {
	if to <= from {
		return 0
	}
	tick := max(half/ticks, 1)
	return uint64(to/tick - from/tick)
}

// decayed returns what is left of x after n ticks.
func decayed(x Micro, n uint64) Micro {
	if n == 0 || x <= 0 {
		return x
	}
	if n >= 63*ticks {
		return 0
	}
	hi, lo := bits.Mul64(uint64(x)>>(n/ticks), powers[n%ticks])
	return Micro(hi<<34 | lo>>30)
}

// plus adds and stops at most. Neither is negative.
func plus(x, y Micro) Micro {
	if x >= most || y >= most-x {
		return most
	}
	return x + y
}

// minus subtracts and stops at zero.
func minus(x, y Micro) Micro { return max(x-y, 0) }

// part returns x · n / d and stops at most. None is negative; d is not zero.
func part(x, n, d Micro) Micro {
	hi, lo := bits.Mul64(uint64(x), uint64(n))
	if hi >= uint64(d) {
		return most
	}
	q, _ := bits.Div64(hi, lo, uint64(d))
	return Micro(min(q, uint64(most)))
}
