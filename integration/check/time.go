package check

import (
	"fmt"
	"slices"
	"time"
)

// Timely looks for log time that goes back in one life of a node, that two replicas hold differently after as many
// entries, or that is ahead of the clocks of a majority: fewer than that have shown it, or a later time.
func Timely(history []Event) []Violation {
	last, at := map[string]Event{}, map[uint64]Event{}
	var found []Violation
	for _, e := range byEnd(history, LogTime) {
		if before, told := last[e.Agent]; told && e.Time < before.Time {
			back := time.Duration(before.Time-e.Time) * time.Millisecond
			found = append(found, Violation{"timely", fmt.Sprintf("log time went back by %v at %s", back, e.Agent), []Event{before, e}})
		}
		last[e.Agent] = e
		if other, told := at[e.Applied]; !told {
			at[e.Applied] = e
		} else if other.Time != e.Time {
			found = append(found, Violation{"timely", fmt.Sprintf("two times after %d entries", e.Applied), []Event{other, e}})
		}
		if shown := reached(e.Clocks); e.Time > shown {
			ahead := time.Duration(e.Time-shown) * time.Millisecond
			found = append(found, Violation{"timely", fmt.Sprintf("log time at %s is %v ahead of a majority's clocks", e.Agent, ahead), []Event{e}})
		}
	}
	return found
}

// reached returns the latest time that a majority of the clocks has shown; 0 if there are none.
func reached(clocks []int64) int64 {
	if len(clocks) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(clocks))
	return sorted[(len(sorted)-1)/2]
}
