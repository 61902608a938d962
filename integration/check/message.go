package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Kept looks for what was acknowledged and is gone: a registry command that a final read of any node does not know, a
// call that was answered and that nobody handled, a call that was refused and handled all the same. (A topic is no
// store: what was published to a reader whose connection broke may be lost.)
func Kept(history []Event) []Violation {
	var found []Violation
	newest := map[string]Event{} // per principal, the acknowledged command of the greatest index
	for _, e := range byEnd(history, Write) {
		if e.Index > newest[e.Key].Index {
			newest[e.Key] = e
		}
	}
	finals := map[string]map[string]bool{} // nodes that told final states, and of whom
	for _, e := range byEnd(history, Look) {
		if !e.Final {
			continue
		}
		if finals[e.Node] == nil {
			finals[e.Node] = map[string]bool{}
		}
		finals[e.Node][e.Key] = true
		if w := newest[e.Key]; e.Index < w.Index {
			found = append(found, Violation{"kept", fmt.Sprintf("%s does not know the last change of %s", e.Node, e.Key), []Event{w, e}})
		}
	}
	for node, known := range finals {
		for key, w := range newest {
			if !known[key] {
				found = append(found, Violation{"kept", fmt.Sprintf("%s does not know %s", node, key), []Event{w}})
			}
		}
	}
	handled := map[string]Event{}
	for _, e := range byEnd(history, Handle) {
		handled[e.ID] = e
	}
	for _, e := range history {
		h, done := handled[e.ID]
		switch {
		case e.Op != Call:
		case e.Result == OK && !done:
			found = append(found, Violation{"kept", "a call was answered, and nobody handled it", []Event{e}})
		case e.Result == Refused && done:
			found = append(found, Violation{"kept", "a call was refused for good, and handled", []Event{e, h}})
		}
	}
	sortByText(found)
	return found
}

// Once looks for what an application got twice. A receiver is who observed it, under whatever process.
func Once(history []Event) []Violation {
	type got struct{ receiver, id string }
	first := map[got]Event{}
	var found []Violation
	for _, e := range byEnd(history, Handle) {
		k := got{e.Agent, e.ID}
		if e.Topic == "" {
			k.receiver = "" // a request has one receiver, whoever that is
		}
		if other, twice := first[k]; twice {
			found = append(found, Violation{"once", fmt.Sprintf("%s was handled twice", e.ID), []Event{other, e}})
			continue
		}
		first[k] = e
	}
	return found
}

// Ordered looks for messages of one sender's process on one topic that a receiver handled in another order than they were
// sent. What another process of the sender says, over another connection, may overtake.
func Ordered(history []Event) []Violation {
	type lane struct {
		from, to, topic string
		process         uint64
	}
	list := byEnd(history, Handle)
	slices.SortStableFunc(list, func(a, b Event) int { return cmp.Compare(a.Start, b.Start) })
	last := map[lane]Event{}
	var found []Violation
	for _, e := range list {
		if e.Topic == "" {
			continue
		}
		l := lane{e.From, e.Agent, e.Topic, e.Process}
		if before, some := last[l]; some && e.Counter < before.Counter {
			found = append(found, Violation{"ordered", fmt.Sprintf("%s handled %d of %s after %d", e.Agent, e.Counter, e.From, before.Counter), []Event{before, e}})
		}
		last[l] = e
	}
	return found
}

func sortByText(list []Violation) {
	slices.SortStableFunc(list, func(a, b Violation) int { return cmp.Compare(a.Text, b.Text) })
}
