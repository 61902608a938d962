package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// sample is what one contender did in one round.
type sample struct {
	value  float64   // in the contender's unit
	cpu    float64   // microseconds of processor time a message
	delays []float64 // in the plan's scale
	beside []float64 // as many as the plan names
	crypto Crypto    // of who measures it
}

// contender is one of those that are measured in turn.
type contender struct {
	name string
	unit string // of a variant, if it is not the plan's
	of   string // name of the contender that a variant's ratio is to; none: no ratio
	run  func(ctx context.Context) (sample, error)
}

// plan is what is compared with what.
type plan struct {
	what, unit, bound string
	delay, scale      string // what p50 and p99 are of, and their unit
	lower             bool   // is better
	window            int
	ours, peer        contender // the peer may be nobody
	variants          []contender
	beside            []string // names of what ours measures in addition in each round, in the plan's unit
}

// nobody stands where there is no peer to compare with.
func nobody() contender {
	return contender{run: func(context.Context) (sample, error) { return sample{}, nil }}
}

// hold runs the rounds and says what came out. The signatures are measured in each round as well.
func (b *bout) hold(ctx context.Context, p plan) (Result, error) {
	all := append([]contender{p.ours, p.peer}, p.variants...)
	all = append(all, signing(b, "signatures", func(Crypto) float64 { return 0 }))
	before := b.look()
	samples, err := b.compete(ctx, all)
	if err != nil {
		return Result{}, err
	}
	b.sound = true
	r := Result{
		Name: b.name, What: p.what, Unit: p.unit, Lower: p.lower, PeerName: p.peer.name, Bound: p.bound,
		Delay: p.delay, DelayUnit: p.scale, Variants: []Variant{},
		Messages: b.Messages, Size: b.Size, Agents: b.Agents, Window: p.window, Machine: b.machine(before),
	}
	r.weigh(samples[0], samples[1])
	r.Crypto = cryptoOf(samples[len(samples)-1])
	for i, name := range p.beside {
		r.Variants = append(r.Variants, p.variant(contender{name: name}, beside(samples[0], i), nil, nil))
	}
	for i, v := range p.variants {
		r.Variants = append(r.Variants, p.variant(v, samples[i+2], all, samples))
	}
	return r, nil
}

// beside returns what was measured in addition, as samples of its own.
func beside(samples []sample, nth int) []sample {
	list := make([]sample, len(samples))
	for i, s := range samples {
		list[i] = sample{value: s.beside[nth], delays: s.beside[nth : nth+1]}
	}
	return list
}

// weigh fills in what follows from the rounds of ours and of the peer.
func (r *Result) weigh(ours, peer []sample) {
	var ratios, delays, theirs []float64
	for i := range ours {
		r.Rounds = append(r.Rounds, Round{ours[i].value, peer[i].value})
		ratios = append(ratios, over(ours[i].value, peer[i].value))
		delays, theirs = append(delays, ours[i].delays...), append(theirs, peer[i].delays...)
	}
	value, cpu := func(s sample) float64 { return s.value }, func(s sample) float64 { return s.cpu }
	r.Ours, r.Peer = median(pick(ours, value)), median(pick(peer, value))
	r.Ratio = over(r.Ours, r.Peer)
	r.Spread = Spread{rangeOf(pick(ours, value)), rangeOf(pick(peer, value)), rangeOf(ratios)}
	r.CPU = Pair{median(pick(ours, cpu)), median(pick(peer, cpu))}
	r.P50, r.P99 = percentile(delays, 50), percentile(delays, 99)
	r.PeerP50, r.PeerP99 = percentile(theirs, 50), percentile(theirs, 99)
}

func (p plan) variant(c contender, own []sample, all []contender, samples [][]sample) Variant {
	values := pick(own, func(s sample) float64 { return s.value })
	v := Variant{
		Name: c.name, Value: median(values), Unit: p.unit, Spread: rangeOf(values), Of: c.of,
		CPU: median(pick(own, func(s sample) float64 { return s.cpu })),
	}
	if c.unit != "" {
		v.Unit = c.unit
	}
	var delays []float64
	for _, s := range own {
		delays = append(delays, s.delays...)
	}
	v.P50, v.P99 = percentile(delays, 50), percentile(delays, 99)
	for i, other := range all {
		if c.of != "" && other.name == c.of {
			v.Ratio = over(v.Value, median(pick(samples[i], func(s sample) float64 { return s.value })))
		}
	}
	return v
}

func cryptoOf(samples []sample) Crypto {
	return Crypto{
		median(pick(samples, func(s sample) float64 { return s.crypto.Sign })),
		median(pick(samples, func(s sample) float64 { return s.crypto.Verify })),
	}
}

// compete runs all contenders round by round: forward in one round and backward in the next, so that nobody always
// comes after the same one. The first round of all is thrown away. It returns the samples of each contender.
func (b *bout) compete(ctx context.Context, all []contender) ([][]sample, error) {
	samples := make([][]sample, len(all))
	total := (b.Rounds + 1) * len(all)
	for round := range b.Rounds + 1 {
		for nth := range all {
			i := nth
			if round%2 == 1 {
				i = len(all) - 1 - nth
			}
			what := fmt.Sprintf("round %d: %s", round, all[i].name)
			if round == 0 {
				what = "warming up: " + all[i].name
			}
			b.say(what, round*len(all)+nth, total)
			runtime.GC() // nobody pays for what the one before left behind
			s, err := all[i].run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], s)
			}
		}
	}
	b.say("", total, total)
	return samples, nil
}

// timed runs something that handles n messages and returns its rate and processor time.
func timed(n int, work func() error) (sample, error) {
	cpu, began := cpuTime(), time.Now()
	err := work()
	took, used := time.Since(began), cpuTime()-cpu
	if err != nil || n == 0 {
		return sample{}, err
	}
	return sample{
		value: float64(n) / took.Seconds(), cpu: float64(used.Nanoseconds()) / 1000 / float64(n),
	}, nil
}
