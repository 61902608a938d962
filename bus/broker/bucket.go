package broker

// burst is how many milliseconds' worth of messages may come at once, and leastBurst how many messages at least;
// longestDebt bounds, in milliseconds, how long a flood that was seen too late closes the window.
const (
	burst       = 10_000
	leastBurst  = 20
	longestDebt = 60_000
)

// minute is in milliseconds; one message costs as many units, and a rate of r a minute earns r units a millisecond.
const minute = 60_000

// bucket is a token bucket over a sampled count. It is pure.
type bucket struct {
	rate   int64 // messages a minute, above 0
	units  int64
	last   int64 // Unix milliseconds
	closed bool  // nothing may be published
}

func newBucket(rate uint64, now int64) *bucket {
	b := &bucket{last: now}
	b.setRate(rate)
	b.units = b.most()
	return b
}

// setRate changes the rate from now on; units earned stay, up to the new most.
func (b *bucket) setRate(rate uint64) {
	b.rate = int64(min(rate, 1<<31))
	b.units = min(b.units, b.most())
}

func (b *bucket) most() int64 { return max(b.rate*burst, leastBurst*minute) }

// count takes n messages published since the last call and reports whether the window is closed from now on. What
// comes while it is closed was refused and costs nothing.
func (b *bucket) count(n, now int64) (closed bool) {
	if elapsed := min(now-b.last, longestDebt+burst); elapsed > 0 {
		b.units = min(b.units+elapsed*b.rate, b.most())
		b.last = now
	}
	if !b.closed {
		b.units = max(b.units-min(n, 1<<31)*minute, -b.rate*longestDebt)
	}
	b.closed = b.units < 0
	return b.closed
}
