package simulate

// A rule makes a score of the observations of one agent, and nothing else: who tells them does not matter to it. Both
// are in per mille.
type rule interface {
	observe(value int64)
	score() int64
}

// The rules that stand beside the book, which is the first.
const (
	byTrust = iota
	byMean
	byEMA
	byBeta
	ruleCount
)

// ruleNames are the rules' names in scenarios and results.
var ruleNames = [ruleCount]string{"trust", "mean", "ema", "beta"}

// newRules returns the three other rules for an agent of which nothing is known.
func newRules() [ruleCount]rule {
	return [ruleCount]rule{byMean: &mean{}, byEMA: &average{value: 500 * micro}, byBeta: &beta{}}
}

// micro is what observations are multiplied by where they are divided later.
const micro = 1_000_000

// mean is the sum of all observations by their number; 500 of none.
type mean struct{ sum, n int64 }

func (m *mean) observe(value int64) { m.sum, m.n = m.sum+value, m.n+1 }

func (m *mean) score() int64 {
	if m.n == 0 {
		return 500
	}
	return m.sum / m.n
}

// average is an exponential moving average with α = 0.1, which begins in the middle.
type average struct{ value int64 }

func (a *average) observe(value int64) { a.value += (value*micro - a.value) / 10 }
func (a *average) score() int64        { return a.value / micro }

// beta is the reputation of Jøsang and Ismail (2002) with a forgetting factor of 0.98.
type beta struct{ good, bad int64 } // an observation is 1000 × micro

func (b *beta) observe(value int64) {
	b.good = b.good*98/100 + value*micro
	b.bad = b.bad*98/100 + (1000-value)*micro
}

func (b *beta) score() int64 {
	const one = 1000 * micro
	return 1000 * ((b.good + one) / 1000) / ((b.good + b.bad + 2*one) / 1000)
}
