package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind names one kind of fault in a schedule.
type Kind string

// The kinds that schedules are made of. Those with a victim affect it alone; the others affect every link a little.
const (
	Kill       Kind = "kill"        // kill -9 a node, start it again at the end
	KillLeader Kind = "kill-leader" // the same with whoever leads then
	Pause      Kind = "pause"       // SIGSTOP a node, SIGCONT at the end
	Partition  Kind = "partition"   // cut a node off from the others
	OneWay     Kind = "one-way"     // nothing from a node reaches the others, or nothing of theirs it
	Loss       Kind = "loss"        // lose packets between all nodes
	Delay      Kind = "delay"       // delay what passes between all nodes
	Stall      Kind = "stall"       // connections of a node stay open, and nothing passes one way
	Corrupt    Kind = "corrupt"     // bytes between a node and the others are changed
	Wipe       Kind = "wipe"        // kill a node, remove its disk, have it join again
	Torn       Kind = "torn"        // kill a node, cut the tail of its newest file, start it again
)

// Step is one fault of a schedule: when it begins and how long it lasts, from the run's start.
type Step struct {
	At, For time.Duration
	Kind    Kind
	Victim  int // number of a node, from 0; -1: every link, or whoever leads
	Seed    uint64
}

// String tells the step in one line.
func (s Step) String() string {
	victim := "all"
	if s.Victim >= 0 {
		victim = fmt.Sprint("node ", s.Victim)
	}
	return fmt.Sprintf("%8.3fs +%6.3fs  %-11s %s", s.At.Seconds(), s.For.Seconds(), s.Kind, victim)
}

// Shape says what schedules are drawn from. Durations are of one fault, and of the rest after each.
type Shape struct {
	Nodes             int           // of the cluster; with two or fewer no fault has a victim that a majority could spare
	Span              time.Duration // no fault ends later
	Kinds             []Kind        // at least 5, so that none is more than a fifth
	Shortest, Longest time.Duration
	Rest              time.Duration // at least, between the end of a fault and the beginning of the next
}

// Schedule is a timeline of faults, one at a time, made by a seed.
type Schedule struct {
	Seed  uint64
	Shape Shape
	Steps []Step
}

// Generate returns the schedule of a seed: the same for the same seed and shape, on every machine. No kind makes up more
// than a fifth of it. It fails if the shape has fewer than five kinds, or times that do not fit.
func Generate(seed uint64, shape Shape) (Schedule, error) {
	kinds := slices.Compact(slices.Sorted(slices.Values(shape.Kinds)))
	switch {
	case len(kinds) < 5:
		return Schedule{}, fmt.Errorf("%d kinds of faults: one of them would be more than a fifth", len(kinds))
	case shape.Nodes < 1:
		return Schedule{}, fmt.Errorf("%d nodes", shape.Nodes)
	case shape.Shortest <= 0 || shape.Longest < shape.Shortest || shape.Rest < 0:
		return Schedule{}, fmt.Errorf("faults of %v to %v, %v between them", shape.Shortest, shape.Longest, shape.Rest)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	var times []Step
	for at := shape.Rest; ; {
		length := between(random, shape.Shortest, shape.Longest)
		if at+length > shape.Span {
			break
		}
		times = append(times, Step{At: at, For: length})
		at += length + between(random, shape.Rest, 2*shape.Rest)
	}
	times = times[:whole(len(times), len(kinds))]
	s := Schedule{Seed: seed, Shape: shape, Steps: times}
	for i, kind := range deal(random, kinds, len(times)) {
		s.Steps[i].Kind, s.Steps[i].Victim, s.Steps[i].Seed = kind, -1, random.Uint64()
		if victim := random.IntN(shape.Nodes); kind.hasVictim() {
			s.Steps[i].Victim = victim
		}
	}
	if len(s.Steps) == 0 {
		return Schedule{}, fmt.Errorf("no five faults of %v to %v fit into %v", shape.Shortest, shape.Longest, shape.Span)
	}
	return s, nil
}

func (k Kind) hasVictim() bool { return k != KillLeader && k != Loss && k != Delay }

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

// whole returns the greatest number of steps up to n that the kinds fill with none over a fifth.
func whole(n, kinds int) int {
	for n > 0 && kinds*(n/5) < n {
		n--
	}
	return n
}

// deal returns n kinds in random order: each about as often as the others, none more than n/5 times.
func deal(random *rand.Rand, kinds []Kind, n int) []Kind {
	var hand []Kind
	left := map[Kind]int{}
	for len(hand) < n {
		deck := slices.Clone(kinds)
		random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, k := range deck {
			if len(hand) < n && left[k] < n/5 {
				left[k]++
				hand = append(hand, k)
			}
		}
	}
	return hand
}

// String tells the seed and the exact timeline: enough to play it again.
func (s Schedule) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "seed %d, %d faults in %v on %d nodes\n", s.Seed, len(s.Steps), s.Shape.Span, s.Shape.Nodes)
	for _, step := range s.Steps {
		fmt.Fprintln(&text, step)
	}
	return text.String()
}
