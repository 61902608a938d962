package virtual

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/load"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
)

// step is one fault of a schedule.
type step struct {
	kind   kind
	victim int // number of a node; what a fault hits that needs two is the next one too
	length time.Duration
}

// schedule is a list of faults, one after the other, with rest before each.
type schedule []step

// rest is how long a realm has between two faults.
const rest = 2 * time.Second

// String tells the schedule in one line.
func (s schedule) String() string {
	var list []string
	for _, one := range s {
		list = append(list, fmt.Sprintf("%s of n%d for %v", one.kind, one.victim+1, one.length))
	}
	return strings.Join(list, ", ")
}

// draw returns a random schedule: the same for the same seed. Only one node's clock is ever ahead when it starts: log
// time remembers what each node has told, so two that were ahead, one after the other, are a majority.
func draw(seed uint64, steps int) (s schedule) {
	random := rand.New(rand.NewPCG(seed, 11))
	ahead := random.IntN(nodes)
	var deck []kind
	for range steps {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		one := step{deck[0], random.IntN(nodes), time.Second + time.Duration(random.Int64N(int64(7*time.Second)))}
		if deck = deck[1:]; one.kind == clockAhead || one.kind == clockFast {
			one.victim = ahead
		}
		if one.kind == clocksStill || one.kind == clockSlow {
			one.length += 2 * time.Second // it takes more than a second to be seen
		}
		s = append(s, one)
	}
	return s
}

// silence is how long after the answer to a quarantine something of the agent may still arrive: a node that was cut off
// just then has its lease.
const silence = registrar.DefaultLease + busDelay

// play plays a schedule in a realm under work and returns what was seen.
func play(t *testing.T, seed uint64, s schedule, prepare func(*realm)) (history []check.Event) {
	t.Helper()
	inRealm(t, seed, func(r *realm) {
		prepare(r)
		crowd := r.work()
		defer func() {
			if t.Failed() {
				t.Logf("seed %d: %v", seed, s)
			}
		}()
		stopped := false
		stop := func() {
			if !stopped {
				stopped = true
				crowd.stop()
			}
		}
		defer stop() // before the nodes, also when the test has failed
		for _, one := range s {
			time.Sleep(rest)
			r.note("%s of %s begins", one.kind, r.nodes[one.victim].name)
			felt := r.suffer(one.kind, one.victim, one.length)
			r.note("%s of %s has ended, felt %d times", one.kind, r.nodes[one.victim].name, felt)
			if felt == 0 {
				t.Errorf("%s of n%d for %v: nobody has felt it", one.kind, one.victim+1, one.length)
			}
		}
		time.Sleep(rest)
		stop()
		if !r.open {
			r.finish()
		}
		history = r.recorder.History()
	})
	return history
}

// searchTime bounds the search for one principal's order, which takes a small part of a second where there is one.
const searchTime = 2 * time.Minute

func honest(*realm) {}

var names = []string{"n1", "n2", "n3"}

// judge fails the test for everything that contradicts a promise, and if there was too little to judge.
func judge(t *testing.T, history []check.Event) {
	t.Helper()
	for _, v := range check.All(history, check.Limits{Nodes: names, Silence: silence, Patience: searchTime}) {
		t.Error(v)
	}
	counts := load.Count(history)
	t.Log(counts)
	err := counts.Happened(check.Write, check.Look, check.Handle, check.State, check.Certificate, check.Act, check.LogTime, check.Fault)
	if err != nil {
		t.Error(err)
	}
}

func TestDrawingIsRepeatable(t *testing.T) {
	seed := seedOf(t)
	long := draw(seed, 2*len(kinds))
	if again := draw(seed, 2*len(kinds)); !slices.Equal(long, again) {
		t.Errorf("seed %d: two schedules:\n%v\n%v", seed, long, again)
	}
	for _, k := range kinds {
		if n := strings.Count(long.String(), string(k)+" of"); n != 2 {
			t.Errorf("seed %d: %s comes %d times", seed, k, n)
		}
	}
}

// seedOf is CONCLAVE_SEED, or any, and is printed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv("CONCLAVE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CONCLAVE_SEED=%d", seed)
	return seed
}
