package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is one principal as the model sees it. Changed is the index of its last change; if open, the last change is
// one whose answer nobody saw, and its index is only known to be greater than changed.
type register struct {
	fields  map[string]string
	changed uint64
	open    bool
}

// Linearizable looks for an order of all commands and strict reads of each principal that explains what everybody saw:
// each takes effect at one moment between its question and its answer, and a command that expects an index only if that
// is the principal's last change. What cannot be decided within patience (0: a minute) counts as a violation.
func Linearizable(history []Event, patience time.Duration) []Violation {
	if patience == 0 {
		patience = time.Minute
	}
	var found []Violation
	byKey := operations(needed(history))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		switch porcupine.CheckOperationsTimeout(model, byKey[key], patience) {
		case porcupine.Ok:
		case porcupine.Illegal:
			found = append(found, Violation{"linearizable", fmt.Sprintf("no order of the %d operations on %s explains them", len(byKey[key]), key), few(byKey[key])})
		default:
			found = append(found, Violation{"linearizable", fmt.Sprintf("%s: not decided within %v", key, patience), nil})
		}
	}
	return found
}

// operations sorts what a register's model explains by principal. Refusals other than of an expected index say nothing
// about the register; operations without an answer stay open to the end.
func operations(history []Event) map[string][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	clients := map[string]int{}
	for _, e := range history {
		end := e.End
		switch {
		case e.Op == Write && e.Result == OK, e.Op == Write && e.Result == Refused && e.Code == conflict:
		case e.Op == Write && e.Result == Unknown:
			end = math.MaxInt64
		case e.Op == Look && e.Result == OK && !e.Stale:
		default:
			continue
		}
		client, known := clients[e.Agent]
		if !known {
			client = len(clients)
			clients[e.Agent] = client
		}
		byKey[e.Key] = append(byKey[e.Key], porcupine.Operation{ClientId: client, Input: e, Call: e.Start, Output: e, Return: end})
	}
	return byKey
}

// needed leaves out commands without an answer that explain nothing: they may have taken effect after everything else.
// The search doubles with each one that stays. One explains something if it expects no index that has gone by, and after
// its start somebody saw a change that no answer tells of, or met a conflict.
func needed(history []Event) []Event {
	type change struct {
		key   string
		index uint64
	}
	answered, seen := map[change]bool{}, map[string][]Event{}
	for _, e := range history {
		if e.Op == Write && e.Result == OK {
			answered[change{e.Key, e.Index}] = true
		}
		if e.Op == Write && e.Result != Unknown || e.Op == Look {
			seen[e.Key] = append(seen[e.Key], e)
		}
	}
	explains := func(w Event) bool {
		found := false
		for _, e := range seen[w.Key] {
			if w.Expect != 0 && e.Op == Write && e.Result == OK && e.Index > w.Expect && e.End < w.Start {
				return false
			}
			untold := e.Index != 0 && !answered[change{e.Key, e.Index}] && share(e.Fields, w.Fields) ||
				e.Expect != 0 && !answered[change{e.Key, e.Expect}]
			found = found || e.End >= w.Start && (untold || e.Code == conflict)
		}
		return found
	}
	return slices.DeleteFunc(slices.Clone(history), func(e Event) bool {
		return e.Op == Write && e.Result == Unknown && !explains(e)
	})
}

// share says whether the two have a field in common, with the same value.
func share(a, b map[string]string) bool {
	for name, value := range a {
		if other, has := b[name]; has && other == value {
			return true
		}
	}
	return false
}

// conflict is the code of a command that expected another index.
const conflict = "conflict"

var model = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) { return state.(register).step(input.(Event)) },
	Equal: func(a, b any) bool {
		x, y := a.(register), b.(register)
		return x.changed == y.changed && x.open == y.open && maps.Equal(x.fields, y.fields)
	},
}

// step says whether the event could happen in this state, and what the state is then.
func (r register) step(e Event) (bool, register) {
	if e.Op == Look {
		if !r.shows(e) {
			return false, r
		}
		return true, register{fields: r.fields, changed: e.Index}
	}
	expected := e.Expect == 0 || e.Expect == r.changed && !r.open || e.Expect > r.changed && r.open
	switch e.Result {
	case OK:
		if !expected || e.Index <= r.changed || e.Index <= e.Expect {
			return false, r
		}
		return true, register{fields: r.with(e.Fields), changed: e.Index}
	case Unknown: // the order's end is always possible for it, where it changes nothing that anybody saw
		if !expected {
			return true, r
		}
		return true, register{fields: r.with(e.Fields), changed: max(r.changed, e.Expect), open: true}
	default:
		return e.Expect != r.changed || r.open, r
	}
}

// shows says whether a read fits: the same fields, and the index of the last change.
func (r register) shows(e Event) bool {
	if r.open && e.Index <= r.changed || !r.open && e.Index != r.changed {
		return false
	}
	return maps.Equal(r.fields, e.Fields)
}

func (r register) with(fields map[string]string) map[string]string {
	next := maps.Clone(r.fields)
	if next == nil {
		next = map[string]string{}
	}
	maps.Copy(next, fields)
	return next
}

// few returns the events of the operations if they are few enough to read.
func few(list []porcupine.Operation) []Event {
	if len(list) > 24 {
		return nil
	}
	events := make([]Event, len(list))
	for i, o := range list {
		events[i] = o.Input.(Event)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Start, b.Start) })
	return events
}

// OneValueAnIndex compares all reads, stale ones too: a principal that last changed at an index is the same wherever it
// is read, and what one node tells one client does not go back.
func OneValueAnIndex(history []Event) []Violation {
	type at struct {
		key   string
		index uint64
	}
	type seen struct{ agent, node, key string }
	first, last := map[at]Event{}, map[seen]Event{}
	var found []Violation
	for _, e := range byEnd(history, Look) {
		place := at{e.Key, e.Index}
		if other, told := first[place]; !told {
			first[place] = e
		} else if !maps.Equal(other.Fields, e.Fields) {
			found = append(found, Violation{"one value an index", fmt.Sprintf("%s, changed at %d, was told in two ways", e.Key, e.Index), []Event{other, e}})
		}
		if e.Node == "" {
			continue // nobody knows who told it
		}
		who := seen{e.Agent, e.Node, e.Key}
		if before, told := last[who]; told && before.End <= e.Start && e.Index < before.Index {
			found = append(found, Violation{"one value an index", fmt.Sprintf("%s told %s an older state of %s", e.Node, e.Agent, e.Key), []Event{before, e}})
		}
		last[who] = e
	}
	return found
}

// byEnd returns the successful events of a kind in the order in which they ended.
func byEnd(history []Event, op Op) []Event {
	var list []Event
	for _, e := range history {
		if e.Op == op && e.Result == OK {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b Event) int { return cmp.Compare(a.End, b.End) })
	return list
}
