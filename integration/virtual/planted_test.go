//go:build planted

package virtual

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
)

// trials say which checker sees which fault of package internal/planted. Those that are not listed are of agents, or of
// what a whole node does, and are tried in package integration/planted.
var trials = []struct {
	fault planted.Name
	check string
	also  []string // others that may complain: what they see follows from the fault too
}{
	{planted.EndlessLease, "silent", nil},
	{planted.KeepsSpeaking, "silent", nil},
	{planted.ForgetsAnswers, "once", []string{"linearizable", "decisions"}},
	{planted.IgnoresExpect, "linearizable", nil},
	{planted.AnswersEarly, "kept", []string{"linearizable", "silent", "one value an index"}},
}

// cuts is the schedule of all trials: long enough for a lease to end, and a quarantine to be told, meanwhile.
var cuts = schedule{{partition, 0, 10 * time.Second}, {partition, 1, 10 * time.Second}, {partition, 2, 10 * time.Second}}

// TestNoFault is the honest twin of all trials.
func TestNoFault(t *testing.T) {
	t.Setenv(planted.Variable, "")
	judge(t, play(t, seedOf(t), cuts, honest))
}

func TestPlantedFaultsAreSeen(t *testing.T) {
	for _, f := range trials {
		t.Run(string(f.fault), func(t *testing.T) {
			t.Setenv(planted.Variable, "") // until the realm is there
			seen := map[string]int{}
			history := play(t, seedOf(t), cuts, func(r *realm) {
				r.spoilt = true
				if err := os.Setenv(planted.Variable, string(f.fault)); err != nil {
					t.Fatal(err)
				}
			})
			for _, v := range check.All(history, check.Limits{Silence: silence, Patience: searchTime}) {
				if seen[v.Check]++; seen[v.Check] == 1 {
					t.Log(v.Check, v.Text)
				}
				if v.Check != f.check && !slices.Contains(f.also, v.Check) {
					t.Errorf("another checker complains too: %s", v)
				}
			}
			if seen[f.check] == 0 {
				t.Errorf("%q is content with %s; complaints: %v", f.check, f.fault, seen)
			}
		})
	}
}
