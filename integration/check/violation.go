package check

import (
	"fmt"
	"strings"
	"time"
)

// Violation is one promise that a history contradicts.
type Violation struct {
	Check  string  // the checker's name
	Text   string  // for people
	Events []Event // those that contradict each other, if they are few
}

// String tells the violation and its events, one a line.
func (v Violation) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s", v.Check, v.Text)
	for _, e := range v.Events {
		text.WriteString("\n  ")
		_ = Append(&text, e) // a strings.Builder takes everything
	}
	return strings.TrimRight(text.String(), "\n")
}

// Limits is what a run promises beyond the history itself.
type Limits struct {
	Nodes    []string      // who must have told its final state; empty: nobody
	Silence  time.Duration // from the answer to a quarantine until nothing of the agent may arrive
	Patience time.Duration // for the search of one principal's linear order; 0: a minute
}

// All runs every checker.
func All(history []Event, l Limits) []Violation {
	var found []Violation
	found = append(found, Linearizable(history, l.Patience)...)
	found = append(found, OneValueAnIndex(history)...)
	found = append(found, Kept(history)...)
	found = append(found, Once(history)...)
	found = append(found, Ordered(history)...)
	found = append(found, Agree(history, l.Nodes)...)
	found = append(found, Decisions(history)...)
	found = append(found, Silent(history, l.Silence)...)
	found = append(found, Timely(history)...)
	return found
}
