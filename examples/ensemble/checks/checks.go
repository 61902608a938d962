// Package checks is five checkers of different make. Each judges an action by itself, from what voters sign and nothing else, and
// says how sure it is. None is right about everything.
package checks

import "github.com/seed-3e86d5b2/conclave/sdk"

// Opinion is what a checker makes of an action.
type Opinion struct {
	Approve bool
	Sure    uint64 // that this is right, in per mille: 500 to 1000
	Reason  string
}

// Checker judges actions. It is not safe for concurrent use.
type Checker struct {
	Name  string
	Judge func(a sdk.Action) Opinion
	// Learn tells it, once that is known, whether an action was right to do. Nil: it does not learn.
	Learn func(a sdk.Action, right bool)
}

// All returns one of each, always in the same order.
func All() []Checker {
	o := &outlier{seen: map[string][]features{}}
	return []Checker{
		{Name: "shape", Judge: finding(shape, 980, 990)},
		{Name: "paths", Judge: finding(paths, 980, 990)},
		{Name: "sums", Judge: finding(sums, 980, 990)},
		{Name: "scanner", Judge: finding(scan, 980, 990)},
		{Name: "outlier", Judge: o.judge, Learn: o.learn},
	}
}

// finding is a checker that rejects what it finds something in. It is so sure where it finds nothing, and where it does.
func finding(find func(sdk.Action) string, nothing, something uint64) func(sdk.Action) Opinion {
	return func(a sdk.Action) Opinion {
		if found := find(a); found != "" {
			return Opinion{Sure: something, Reason: found}
		}
		return Opinion{Approve: true, Sure: nothing, Reason: "nothing found"}
	}
}

// value returns a parameter that has one value, or "".
func value(a sdk.Action, name string) string {
	if v := a.Values(name); len(v) == 1 {
		return v[0]
	}
	return ""
}
