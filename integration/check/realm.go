package check

import (
	"fmt"
	"slices"
	"time"
)

// Agree looks for nodes that tell different digests: of the tree at an equal number of commands, of the state at an
// equal number of applied entries. In the end every node of the list must have told the same tree.
func Agree(history []Event, nodes []string) []Violation {
	roots, states := map[uint64]Event{}, map[uint64]Event{}
	ends := map[string]Event{}
	var found []Violation
	for _, e := range byEnd(history, State) {
		if other, told := roots[e.Index]; !told {
			roots[e.Index] = e
		} else if other.Root != e.Root {
			found = append(found, Violation{"agree", fmt.Sprintf("two trees of %d commands", e.Index), []Event{other, e}})
		}
		if e.Final {
			ends[e.Node] = e
		}
		if e.Applied == 0 || e.State == "" {
			continue
		}
		if other, told := states[e.Applied]; !told {
			states[e.Applied] = e
		} else if other.State != e.State {
			found = append(found, Violation{"agree", fmt.Sprintf("two states after %d entries", e.Applied), []Event{other, e}})
		}
	}
	for _, n := range nodes {
		end, told := ends[n]
		if !told {
			found = append(found, Violation{"agree", n + " told no final state", nil})
		} else if first := ends[nodes[0]]; first.Index != end.Index {
			found = append(found, Violation{"agree", fmt.Sprintf("%s and %s end with different numbers of commands", nodes[0], n), []Event{first, end}})
		}
	}
	return found
}

// Decisions looks for certificates of one proposal that contradict each other, and for actions that ran twice or
// without an approval.
func Decisions(history []Event) []Violation {
	outcomes, acts := map[string]Event{}, map[string]Event{}
	var found []Violation
	for _, e := range byEnd(history, Certificate) {
		if other, told := outcomes[e.Key]; !told {
			outcomes[e.Key] = e
		} else if other.Outcome != e.Outcome {
			found = append(found, Violation{"decisions", "two outcomes of " + e.Key, []Event{other, e}})
		}
	}
	for _, e := range byEnd(history, Act) {
		if other, twice := acts[e.Key]; twice {
			found = append(found, Violation{"decisions", e.Key + " ran twice", []Event{other, e}})
		}
		acts[e.Key] = e
		if c, decided := outcomes[e.Key]; !decided || c.Outcome != Approved {
			found = append(found, Violation{"decisions", e.Key + " ran without an approval", []Event{e}})
		}
	}
	return found
}

// Approved is the outcome of a certificate that lets an action run.
const Approved = "approved"

// The field of a principal's status, and the values that silence it and let it speak.
const (
	FieldStatus = "status"
	Quarantined = "quarantined"
	Active      = "active"
)

// Silent looks for messages of quarantined agents: handled later than bound after the quarantine was answered, and
// before a release could have taken effect. A handling counts from its start.
func Silent(history []Event, bound time.Duration) []Violation {
	type span struct {
		from, until int64
		by          Event
	}
	silence := map[string][]span{}
	for _, q := range byEnd(history, Write) {
		if q.Fields[FieldStatus] != Quarantined {
			continue
		}
		s := span{from: q.End + bound.Nanoseconds(), until: int64(^uint64(0) >> 1), by: q}
		for _, r := range history {
			if r.Op == Write && r.Key == q.Key && r.Result != Refused && r.Fields[FieldStatus] == Active &&
				(r.Result == Unknown || r.Index > q.Index) {
				s.until = min(s.until, r.Start)
			}
		}
		silence[q.Key] = append(silence[q.Key], s)
	}
	var found []Violation
	for _, e := range byEnd(history, Handle) {
		i := slices.IndexFunc(silence[e.From], func(s span) bool { return e.Start > s.from && e.Start < s.until })
		if i >= 0 {
			s := silence[e.From][i]
			late := time.Duration(e.Start - s.by.End)
			found = append(found, Violation{"silent", fmt.Sprintf("%s handled a message of %s, %v after its quarantine", e.Agent, e.From, late), []Event{s.by, e}})
		}
	}
	return found
}
