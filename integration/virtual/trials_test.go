//go:build !planted

package virtual

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// TestSchedules plays every kind of fault by itself; with the race detector, which slows signatures down tenfold, a third
// of them, by the seed.
func TestSchedules(t *testing.T) {
	seed := seedOf(t)
	for i, k := range kinds {
		if raced && uint64(i)%3 != seed%3 {
			continue
		}
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			mine := seed + uint64(i)
			judge(t, play(t, mine, schedule{{k, int(mine % nodes), 5 * time.Second}}, honest))
		})
	}
}

// TestRandomSchedules plays faults of all kinds in random order: two schedules, or as many as CONCLAVE_VIRTUAL says.
func TestRandomSchedules(t *testing.T) {
	seed, count, length := seedOf(t), 2, 5
	if raced {
		count, length = 1, 3
	}
	if text := os.Getenv("CONCLAVE_VIRTUAL"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(count) {
		s := draw(seed+i, length)
		t.Run(fmt.Sprint("seed ", seed+i), func(t *testing.T) {
			t.Parallel()
			t.Log(s)
			judge(t, play(t, seed+i, s, honest))
		})
	}
}

// wrongs are realms that break a promise, by a part of them that a test can replace. The same schedules please every
// checker in TestSchedules where nothing is replaced. Package internal/planted has further faults.
var wrongs = []struct {
	name  string
	under schedule
	spoil func(*realm)
	check string
	also  []string // others that may complain: what they see follows from it too
}{
	{"readers that pass no barrier", schedule{{partition, 0, 5 * time.Second}, {partition, 1, 5 * time.Second}},
		func(r *realm) { r.wrongReads = true }, "linearizable", nil},
	{"log time that follows one node's clock", schedule{{clockAhead, 0, 4 * time.Second}},
		func(r *realm) { r.distort = followFirst }, "timely", nil},
	{"a replica that applies another command", schedule{{disorder, 0, 2 * time.Second}},
		func(r *realm) { r.open, r.spoilt, r.distort = true, true, otherCommandAtLast }, "agree",
		[]string{"linearizable", "one value an index", "decisions", "silent"}},
}

func TestWrongRealmsAreSeen(t *testing.T) {
	if raced {
		t.Skip("what the checkers say does not depend on the race detector: run without -race, as the gate does too")
	}
	seed := seedOf(t)
	for i, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for _, v := range check.All(play(t, seed+uint64(i), w.under, w.spoil), check.Limits{Silence: silence, Patience: searchTime}) {
				if seen[v.Check]++; seen[v.Check] == 1 {
					t.Log(v.Check, v.Text)
				}
				if v.Check != w.check && !slices.Contains(w.also, v.Check) {
					t.Errorf("another checker complains too: %s", v)
				}
			}
			if seen[w.check] == 0 {
				t.Errorf("%q is content; complaints: %v", w.check, seen)
			}
		})
	}
}

// followFirst has what the first node tells be told by all of them.
func followFirst(at *node, entry []byte) []byte {
	var e ledger.Entry
	if wire.Decode(entry, &e) != nil || len(e.Ticks) != 1 {
		return entry
	}
	tick, err := wire.ParseCosigned[registry.Command](e.Ticks[0], wire.MaxStatement)
	if err != nil || tick.Claim.Author != at.realm.nodes[0].signer.ID() {
		return entry
	}
	for _, n := range at.realm.nodes[1:] {
		told := tick.Claim
		told.Author = n.signer.ID()
		raw, err := n.signer.Cosign(at.world.Realm, told)
		if err != nil {
			panic(err) // a node signs ticks
		}
		e.Ticks = append(e.Ticks, raw)
	}
	return encoded(e)
}

// otherCommandAtLast has the last node apply something else than the others, once in a while.
func otherCommandAtLast(at *node, entry []byte) []byte {
	var e ledger.Entry
	if at.number != nodes-1 || wire.Decode(entry, &e) != nil || len(e.Command) == 0 || entry[len(entry)-1] > 100 {
		return entry
	}
	e.Command = []byte("something else")
	return encoded(e)
}

func encoded(e ledger.Entry) []byte {
	raw, err := wire.Encode(e)
	if err != nil {
		panic(err) // it was decoded
	}
	return raw
}
