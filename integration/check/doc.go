// Package check judges what was observed of a realm under faults. A run of clients and nodes leaves a history, a list of
// [Event]s; each checker is a pure function of it and returns what contradicts a promise, as [Violation]s. An old run can
// be judged again when a checker gets better.
//
//	history, err := check.Read(file)
//	for _, v := range check.All(history, check.Limits{Nodes: []string{"n1", "n2", "n3"}, Silence: 4 * time.Second}) {
//		fmt.Println(v)
//	}
//
// A checker never guesses: an operation whose outcome nobody learned may have taken effect at any later time, once, or
// never. Every checker is tested with planted histories that it must reject, beside honest twins that it must accept.
package check
