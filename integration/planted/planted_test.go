//go:build planted

package planted_test

import (
	"context"
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
	"github.com/seed-3e86d5b2/conclave/internal/planted"
)

// last is the node to which the load's suspect, one of its readers and one of its registrars connect. It has the faults
// that one node has, and does not lead.
const last = 2

// schedule is what happens to the nodes while the load lasts.
type schedule struct {
	play    func(*run)
	silence time.Duration // how long the suspect stays quarantined, and free
	bound   time.Duration // from the answer to a quarantine until nothing of the suspect may arrive
	length  time.Duration // from when the fault is planted, if no checker complains before
	open    bool          // it is judged without last words: a node may be away for long
}

// The bound of hanging is a node's lease, 3 s, and what is under way.
var (
	restarting = schedule{play: restartLeader, silence: 3 * time.Second, bound: time.Second, length: 6 * time.Second}
	briefly    = schedule{play: restartLeader, silence: time.Minute, bound: time.Second}
	hanging    = schedule{play: hang, silence: 4 * time.Second, bound: 3500 * time.Millisecond, length: 8500 * time.Millisecond, open: true}
)

// trial says which checker sees a fault.
type trial struct {
	name  planted.Name
	under schedule
	check string
	also  []string // others that may complain: what they see follows from the fault too
}

var trials = []trial{
	{planted.KeepsSpeaking, restarting, "silent", nil},
	{planted.EndlessLease, hanging, "silent", nil},
	{planted.ForgetsAnswers, restarting, "linearizable", nil},
	{planted.IgnoresExpect, restarting, "linearizable", nil},
	{planted.AnswersEarly, briefly, "kept", []string{"linearizable"}}, // what is lost is in no order either
	{planted.TellsFalse, restarting, "one value an index", nil},
	{planted.Diverges, restarting, "agree", nil},
	{planted.HandlesTwice, restarting, "once", nil},
	{planted.HandlesLate, restarting, "ordered", nil},
	{planted.ActsTwice, restarting, "decisions", nil},
}

// TestEveryFaultHasATrial holds that the table is complete, and that every checker sees a fault.
func TestEveryFaultHasATrial(t *testing.T) {
	checkers := []string{"linearizable", "one value an index", "kept", "once", "ordered", "agree", "decisions", "silent"}
	for _, name := range planted.Faults {
		if !slices.ContainsFunc(trials, func(f trial) bool { return f.name == name }) {
			t.Errorf("no trial of %s", name)
		}
	}
	for _, f := range trials {
		checkers = slices.DeleteFunc(checkers, func(c string) bool { return c == f.check })
	}
	if len(checkers) > 0 {
		t.Errorf("no fault that these checkers see: %q", checkers)
	}
}

// TestNoFault is the honest twin of all trials: the same schedules, with all hardships and no fault.
func TestNoFault(t *testing.T) {
	for name, s := range map[string]schedule{"restarting": restarting, "hanging": hanging} {
		t.Run(name, func(t *testing.T) {
			for _, v := range play(t, s, "", "") {
				t.Error(v)
			}
		})
	}
}

func TestPlantedFaultsAreSeen(t *testing.T) {
	for _, f := range trials {
		t.Run(string(f.name), func(t *testing.T) {
			seen := map[string]int{}
			var example check.Violation
			for _, v := range play(t, f.under, f.name, f.check) {
				if seen[v.Check]++; v.Check == f.check && seen[v.Check] == 1 {
					example = v
				}
				if v.Check != f.check && !slices.Contains(f.also, v.Check) {
					t.Errorf("another checker complains too: %s", v)
				}
			}
			if seen[f.check] == 0 {
				t.Fatalf("%q is content with %s; complaints: %v", f.check, f.name, seen)
			}
			t.Logf("%v; first: %s", seen, example.Text)
		})
	}
}

// run is one cluster under load.
type run struct {
	*trio
	fault    planted.Name
	recorder *load.Recorder
}

// plant sets what is planted from now on, and the hardships.
func (r *run) plant(hardships ...planted.Name) {
	var list []string
	for _, h := range hardships {
		list = append(list, string(h)+"@"+r.nodes[last].ID().String())
	}
	if r.fault != "" {
		list = append(list, string(r.fault)+"@"+r.nodes[last].ID().String())
	}
	if err := os.Setenv(planted.Variable, strings.Join(list, ",")); err != nil {
		r.t.Fatal(err)
	}
}

// play plants a fault, or none, in a cluster under load, plays the schedule, and judges what was seen. It stops early
// when a checker complains that is meant to.
func play(t *testing.T, s schedule, fault planted.Name, meant string) []check.Violation {
	t.Helper()
	seed := seedOf(t)
	t.Logf("seed %d", seed)
	t.Setenv(planted.Variable, "")
	r := &run{trio: grow(t), fault: fault, recorder: load.NewRecorder(nil, t.Name(), seed)}
	size := load.Usual()
	size.Silence, size.Apart = s.silence, true
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.spare(last)
	l, err := load.Start(ctx, r.realm(), size, r.recorder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Stop() }() // again, if the test has failed before
	end := time.After(s.length)
	s.play(r)
	limits, found := check.Limits{Silence: s.bound}, false
	r.until(end, func() bool {
		found = slices.ContainsFunc(check.All(r.recorder.History(), limits), is(meant))
		return found
	})
	if err := l.Stop(); err != nil {
		t.Error(err)
	}
	r.plant()              // the fault stays
	if !found && !s.open { // nodes with a fault may never agree
		realm := r.realm()
		limits.Nodes = realm.Names
		if err := l.Finals(ctx, realm); err != nil {
			t.Error(err)
		}
	}
	history := r.recorder.History()
	counts := load.Count(history)
	t.Log(counts)
	want := []check.Op{check.Write, check.Look, check.Call, check.Publish, check.Handle}
	if fault == "" {
		want = append(want, check.State, check.Certificate, check.Act)
	}
	if err := counts.Happened(want...); err != nil {
		t.Error(err)
	}
	return check.All(history, limits)
}

func is(checker string) func(check.Violation) bool {
	return func(v check.Violation) bool { return v.Check == checker }
}

// seedOf is CONCLAVE_SEED, or any.
func seedOf(t *testing.T) uint64 {
	text := os.Getenv("CONCLAVE_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// restartLeader plants, and has the node that leads stop and come back.
func restartLeader(r *run) {
	r.plant(planted.Resubmits, planted.Replays, planted.Shuffles)
	r.progress("before the leader stops")
	r.restart(r.leader(), func() { r.progress("while a node is down") })
	r.progress("after it has come back")
}

// hang plants, and has the last node apply nothing until the end.
func hang(r *run) {
	r.plant(planted.Resubmits, planted.Replays, planted.Shuffles, planted.Stalls)
}

// until waits until the time is over or something is so.
func (r *run) until(over <-chan time.Time, so func() bool) {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-over:
			return
		case <-again.C:
			if so() {
				return
			}
		}
	}
}

// progress waits until a command, a call and a read were answered that began after now.
func (r *run) progress(when string) {
	r.t.Helper()
	began := r.recorder.Now()
	r.await(fmt.Sprintf("progress %s", when), func() bool {
		done := map[check.Op]bool{}
		for _, e := range r.recorder.History() {
			if e.Start >= began && e.Result == check.OK {
				done[e.Op] = true
			}
		}
		return done[check.Write] && done[check.Call] && done[check.Look]
	})
}
