//go:build planted

package planted

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Variable is the environment variable that lists what is planted: names, or NAME@NODE, separated by commas.
const Variable = "CONCLAVE_PLANTED"

// Hardships are the names that no fault is meant by.
var Hardships = []Name{Resubmits, Replays, Shuffles, Stalls}

// Faults are the names of faults.
var Faults = []Name{
	KeepsSpeaking, EndlessLease, ForgetsAnswers, IgnoresExpect, AnswersEarly, TellsFalse, Diverges, HandlesTwice, HandlesLate, ActsTwice,
}

// Fault reports whether the process has a fault; at a node, see [At], or at all of them. What is planted may change
// while the process runs.
func Fault(name Name) bool {
	for planted := range listed {
		if planted == name {
			return true
		}
	}
	return false
}

// At reports whether a node has a fault that only some have.
func At(name Name, node interface{ String() string }) bool {
	for planted, at := range listed {
		if planted == name && at == node.String() {
			return true
		}
	}
	return false
}

// listed calls yield with each name and the node after it, which may be empty.
func listed(yield func(name Name, at string) bool) {
	list := os.Getenv(Variable)
	if list == "" {
		return
	}
	for _, entry := range strings.Split(list, ",") {
		text, at, _ := strings.Cut(entry, "@")
		name := Name(text)
		if !slices.Contains(Hardships, name) && !slices.Contains(Faults, name) {
			panic(fmt.Sprintf("planted: %s names %q, which is no fault", Variable, text))
		}
		if !yield(name, at) {
			return
		}
	}
}

// Deliver delivers something from the bus. With [Replays] it does so twice.
func Deliver(deliver func()) {
	deliver()
	if Fault(Replays) {
		deliver()
	}
}

// held is a delivery that waits until later ones have passed it.
var held struct {
	sync.Mutex
	deliver func()
	count   int
}

// A shuffled bus holds one message in every, until others have passed it, by other senders and to other readers too.
const every, others = 40, 20

// DeliverMessage is Deliver of a topic's message. With [Shuffles] some come after the next one.
func DeliverMessage(deliver func()) {
	held.Lock()
	held.count++
	var late func()
	switch {
	case held.deliver == nil && held.count >= every && Fault(Shuffles):
		held.deliver, held.count, deliver = deliver, 0, nil
	case held.deliver != nil && held.count >= others:
		late, held.deliver = held.deliver, nil
	}
	held.Unlock()
	for _, next := range []func(){deliver, late} {
		if next != nil {
			Deliver(next)
		}
	}
}
