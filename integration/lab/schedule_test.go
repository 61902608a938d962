package lab_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

func shape() lab.Shape {
	return lab.Shape{
		Nodes: 3, Span: 90 * time.Second, Shortest: 2 * time.Second, Longest: 5 * time.Second, Rest: 2 * time.Second,
		Kinds: []lab.Kind{lab.Kill, lab.KillLeader, lab.Pause, lab.Partition, lab.OneWay, lab.Loss, lab.Delay},
	}
}

// TestScheduleOfSeedOne is the exact timeline of one seed: what a printed seed promises to play again.
func TestScheduleOfSeedOne(t *testing.T) {
	s, err := lab.Generate(1, lab.Shape{
		Nodes: 3, Span: 30 * time.Second, Shortest: time.Second, Longest: 3 * time.Second, Rest: time.Second,
		Kinds: []lab.Kind{lab.Kill, lab.Pause, lab.Partition, lab.OneWay, lab.Loss},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.String(); got != seedOne {
		t.Errorf("the schedule of seed 1 is now\n%s", got)
	}
}

const seedOne = `seed 1, 5 faults in 30s on 3 nodes
   1.000s + 2.197s  partition   node 0
   4.286s + 2.431s  loss        all
   7.740s + 2.403s  kill        node 1
  11.699s + 2.621s  pause       node 2
  15.910s + 1.612s  one-way     node 1
`

func TestScheduleIsReproducible(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	a, err := lab.Generate(seed, shape())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := lab.Generate(seed, shape())
	if !reflect.DeepEqual(a, b) {
		t.Errorf("two schedules of one seed:\n%v%v", a, b)
	}
	c, _ := lab.Generate(seed+1, shape())
	if reflect.DeepEqual(a.Steps, c.Steps) {
		t.Error("another seed gives the same schedule")
	}
}

// TestScheduleKeepsItsRules draws many schedules and looks at each rule.
func TestScheduleKeepsItsRules(t *testing.T) {
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	victims, kinds := map[int]int{}, map[lab.Kind]int{}
	for seed := first; seed < first+300; seed++ {
		sh := shape()
		sh.Nodes, sh.Kinds = 3+2*int(seed%2), sh.Kinds[:5+seed%3]
		s, err := lab.Generate(seed, sh)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		here, end := map[lab.Kind]int{}, time.Duration(0)
		for _, step := range s.Steps {
			here[step.Kind]++
			kinds[step.Kind]++
			victims[step.Victim]++
			if step.At < end+sh.Rest {
				t.Errorf("seed %d: no rest before %v", seed, step)
			}
			if end = step.At + step.For; end > sh.Span || step.For < sh.Shortest || step.For > sh.Longest {
				t.Errorf("seed %d: out of bounds: %v", seed, step)
			}
			if step.Victim >= sh.Nodes || (step.Victim < 0) != (step.Kind == lab.Loss || step.Kind == lab.Delay || step.Kind == lab.KillLeader) {
				t.Errorf("seed %d: victim of %v", seed, step)
			}
		}
		for k, n := range here {
			if 5*n > len(s.Steps) {
				t.Errorf("seed %d: %d of %d faults are %s", seed, n, len(s.Steps), k)
			}
		}
	}
	if len(victims) != 6 || len(kinds) != 7 {
		t.Errorf("over 300 seeds only these: victims %v, kinds %v", victims, kinds)
	}
}

func TestScheduleRefusesShapes(t *testing.T) {
	if _, err := lab.Generate(1, shape()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*lab.Shape){
		"four kinds":            func(s *lab.Shape) { s.Kinds = s.Kinds[:4] },
		"four kinds, one twice": func(s *lab.Shape) { s.Kinds = append(s.Kinds[:4:4], s.Kinds[0]) },
		"no nodes":              func(s *lab.Shape) { s.Nodes = 0 },
		"no length":             func(s *lab.Shape) { s.Shortest = 0 },
		"longest too short":     func(s *lab.Shape) { s.Longest = time.Second },
		"rest before now":       func(s *lab.Shape) { s.Rest = -1 },
		"too short a span":      func(s *lab.Shape) { s.Span = 10 * time.Second },
	} {
		s := shape()
		change(&s)
		if got, err := lab.Generate(1, s); err == nil {
			t.Errorf("%s: accepted: %v", name, got)
		}
	}
}

func TestScheduleNamesItsSeed(t *testing.T) {
	s, err := lab.Generate(4711, shape())
	if err != nil {
		t.Fatal(err)
	}
	if text := s.String(); !strings.HasPrefix(text, "seed 4711, ") || strings.Count(text, "\n") != len(s.Steps)+1 {
		t.Errorf("told as\n%s", text)
	}
}
