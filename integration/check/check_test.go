package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
)

// The constructors write one line of a history each; at and for are nanoseconds.

func status(s string) map[string]string { return map[string]string{check.FieldStatus: s} }

func set(agent string, at, end int64, key, value string, expect, index uint64) check.Event {
	return check.Event{Op: check.Write, Agent: agent, Start: at, End: end, Result: check.OK, Key: key, Fields: status(value), Expect: expect, Index: index}
}

func lost(e check.Event) check.Event {
	e.Result, e.Index = check.Unknown, 0
	return e
}

func conflict(e check.Event) check.Event {
	e.Result, e.Index, e.Code = check.Refused, 0, "conflict"
	return e
}

func look(agent string, at, end int64, key, value string, index uint64) check.Event {
	return check.Event{Op: check.Look, Agent: agent, Node: "n1", Start: at, End: end, Result: check.OK, Key: key, Fields: status(value), Index: index}
}

func nobody(agent string, at, end int64, key string) check.Event {
	return check.Event{Op: check.Look, Agent: agent, Node: "n1", Start: at, End: end, Result: check.OK, Key: key}
}

func stale(e check.Event) check.Event {
	e.Stale = true
	return e
}

func by(node string, e check.Event) check.Event {
	e.Node = node
	return e
}

func final(node string, e check.Event) check.Event {
	e.Final, e.Stale, e.Node = true, true, node
	return e
}

func call(id string, r check.Result) check.Event {
	return check.Event{Op: check.Call, Agent: "caller", Start: 1, End: 2, Result: r, ID: id, To: "server"}
}

func request(agent, id string, at int64) check.Event {
	return check.Event{Op: check.Handle, Agent: agent, Start: at, End: at, Result: check.OK, ID: id, From: "caller"}
}

func news(agent, from string, counter uint64, at int64) check.Event {
	return check.Event{Op: check.Handle, Agent: agent, Start: at, End: at, Result: check.OK, ID: fmt.Sprint(from, counter), From: from, Topic: "news", Counter: counter}
}

func tree(node string, size uint64, root string) check.Event {
	return check.Event{Op: check.State, Agent: "judge", Node: node, Start: 1, End: 1, Result: check.OK, Index: size, Root: root}
}

func digest(node string, applied uint64, state string) check.Event {
	e := tree(node, 7, "r")
	e.Applied, e.State = applied, state
	return e
}

func certificate(agent, outcome string) check.Event {
	return check.Event{Op: check.Certificate, Agent: agent, Start: 1, End: 1, Result: check.OK, Key: "proposal", Outcome: outcome}
}

func act(agent string) check.Event {
	return check.Event{Op: check.Act, Agent: agent, Start: 2, End: 2, Result: check.OK, Key: "proposal"}
}

// logTime is what a life of a node holds after so many entries; if no clocks are given, all three show that time.
func logTime(life string, applied uint64, time int64, clocks ...int64) check.Event {
	if clocks == nil {
		clocks = []int64{time, time, time}
	}
	at := int64(applied)
	return check.Event{Op: check.LogTime, Agent: life, Node: life[:2], Start: at, End: at, Result: check.OK, Applied: applied, Time: time, Clocks: clocks}
}

// pairs are planted histories, each beside an honest one that differs as little as possible.
var pairs = []struct {
	check, name string
	honest, bad []check.Event
}{
	{"linearizable", "a read after an answer shows an older value",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 9, "p", "quarantined", 0, 5), look("b", 4, 8, "p", "active", 4)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 5, "p", "quarantined", 0, 5), look("b", 6, 8, "p", "active", 4)}},
	{"linearizable", "two commands that expect the same index both succeed",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 9, "p", "quarantined", 4, 5), conflict(set("b", 3, 9, "p", "active", 4, 6))},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 9, "p", "quarantined", 4, 5), set("b", 3, 9, "p", "active", 4, 6)}},
	{"linearizable", "a conflict with the index that was right",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), conflict(set("b", 3, 4, "p", "quarantined", 3, 0))},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), conflict(set("b", 3, 4, "p", "quarantined", 4, 0))}},
	{"linearizable", "an answered command is gone",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), look("b", 3, 4, "p", "active", 4)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), nobody("b", 3, 4, "p")}},
	{"linearizable", "a command without an answer takes effect late, but not twice",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), lost(set("a", 3, 4, "p", "quarantined", 0, 0)), look("b", 5, 6, "p", "active", 4), look("b", 7, 8, "p", "quarantined", 5)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), lost(set("a", 3, 4, "p", "quarantined", 0, 0)), look("b", 5, 6, "p", "quarantined", 5), look("b", 7, 8, "p", "quarantined", 6)}},
	{"linearizable", "a command without an answer takes effect before it was given",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), look("b", 5, 6, "p", "quarantined", 5), lost(set("a", 4, 9, "p", "quarantined", 0, 0))},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), look("b", 5, 6, "p", "quarantined", 5), lost(set("a", 7, 9, "p", "quarantined", 0, 0))}},
	{"linearizable", "a command without an answer that expected an index overrides a later one",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), lost(set("a", 3, 4, "p", "quarantined", 4, 0)), set("b", 5, 6, "p", "active", 0, 6), look("b", 7, 8, "p", "active", 6)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), lost(set("a", 3, 4, "p", "quarantined", 4, 0)), set("b", 5, 6, "p", "active", 0, 6), look("b", 7, 8, "p", "quarantined", 7)}},
	{"linearizable", "an index goes back",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 4, "p", "quarantined", 0, 9)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 9), set("a", 3, 4, "p", "quarantined", 0, 4)}},
	{"linearizable", "a refused command shows",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), {Op: check.Write, Agent: "b", Start: 3, End: 4, Result: check.Refused, Code: "denied", Key: "p", Fields: status("revoked")}, look("b", 5, 6, "p", "active", 4)},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), {Op: check.Write, Agent: "b", Start: 3, End: 4, Result: check.Refused, Code: "denied", Key: "p", Fields: status("revoked")}, look("b", 5, 6, "p", "revoked", 5)}},

	{"one value an index", "two nodes tell one change in two ways",
		[]check.Event{stale(look("a", 1, 2, "p", "active", 4)), stale(look("b", 1, 2, "p", "quarantined", 5))},
		[]check.Event{stale(look("a", 1, 2, "p", "active", 4)), stale(look("b", 1, 2, "p", "quarantined", 4))}},
	{"one value an index", "a node goes back",
		[]check.Event{stale(look("a", 1, 2, "p", "active", 4)), stale(look("a", 3, 4, "p", "quarantined", 5))},
		[]check.Event{stale(look("a", 1, 2, "p", "quarantined", 5)), stale(look("a", 3, 4, "p", "active", 4))}},
	{"one value an index", "a node goes back, and not one of two",
		[]check.Event{by("", stale(look("a", 1, 2, "p", "quarantined", 5))), by("n2", stale(look("a", 3, 4, "p", "active", 4))), by("", stale(look("a", 5, 6, "p", "active", 4)))},
		[]check.Event{by("n2", stale(look("a", 1, 2, "p", "quarantined", 5))), by("n2", stale(look("a", 3, 4, "p", "active", 4)))}},

	{"kept", "a node lacks a change in the end",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), final("n1", look("j", 9, 9, "p", "active", 4)), final("n2", look("j", 9, 9, "p", "active", 4))},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), set("a", 3, 4, "p", "active", 0, 5), final("n1", look("j", 9, 9, "p", "active", 5)), final("n2", look("j", 9, 9, "p", "active", 4))}},
	{"kept", "a node lacks a principal in the end",
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), final("n1", look("j", 9, 9, "p", "active", 4)), lost(set("a", 1, 2, "q", "active", 0, 0))},
		[]check.Event{set("a", 1, 2, "p", "active", 0, 4), final("n1", look("j", 9, 9, "p", "active", 4)), set("a", 1, 2, "q", "active", 0, 5)}},
	{"kept", "a call was answered by nobody",
		[]check.Event{call("1", check.OK), request("server", "1", 1), call("2", check.Unknown)},
		[]check.Event{call("1", check.OK), request("server", "1", 1), call("2", check.OK)}},
	{"kept", "a refused call was handled",
		[]check.Event{call("1", check.Refused), call("2", check.Unknown), request("server", "2", 1)},
		[]check.Event{call("1", check.Refused), call("2", check.Unknown), request("server", "1", 1)}},

	{"once", "two processes handle one request",
		[]check.Event{request("server", "1", 1), request("other", "2", 2)},
		[]check.Event{request("server", "1", 1), request("other", "1", 2)}},
	{"once", "a reader gets one message twice",
		[]check.Event{news("r1", "s", 1, 1), news("r2", "s", 1, 1), news("r1", "s", 2, 2)},
		[]check.Event{news("r1", "s", 1, 1), news("r2", "s", 1, 1), news("r1", "s", 1, 2)}},

	{"ordered", "a later message comes first",
		[]check.Event{news("r1", "s", 1, 1), news("r1", "s", 3, 2), news("r2", "s", 2, 3), news("r1", "t", 1, 4)},
		[]check.Event{news("r1", "s", 1, 1), news("r1", "s", 3, 2), news("r1", "s", 2, 3), news("r1", "t", 1, 4)}},

	{"ordered", "another process may overtake, the same may not",
		[]check.Event{news("r1", "s", 3, 1), of(2, news("r1", "s", 2, 2)), news("r1", "s", 4, 3)},
		[]check.Event{of(2, news("r1", "s", 3, 1)), news("r1", "s", 1, 2), of(2, news("r1", "s", 2, 3))}},

	{"agree", "two trees of one size",
		[]check.Event{tree("n1", 7, "r"), tree("n2", 7, "r"), tree("n2", 8, "q")},
		[]check.Event{tree("n1", 7, "r"), tree("n2", 8, "q"), tree("n2", 7, "q")}},
	{"agree", "two states after the same entries",
		[]check.Event{digest("n1", 30, "s"), digest("n2", 30, "s"), digest("n2", 31, "t")},
		[]check.Event{digest("n1", 30, "s"), digest("n2", 30, "t")}},

	{"decisions", "two outcomes of one proposal",
		[]check.Event{certificate("a", "rejected"), certificate("b", "rejected")},
		[]check.Event{certificate("a", "rejected"), certificate("b", check.Approved)}},
	{"decisions", "an action runs twice",
		[]check.Event{certificate("a", check.Approved), act("a")},
		[]check.Event{certificate("a", check.Approved), act("a"), act("b")}},
	{"decisions", "an action runs without an approval",
		[]check.Event{certificate("a", check.Approved), act("a")},
		[]check.Event{certificate("a", "rejected"), act("a")}},

	{"silent", "a message arrives after the bound",
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), news("r", "s", 1, 10+bound), news("r", "t", 1, 99+bound)},
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), news("r", "s", 1, 11+bound), news("r", "t", 1, 99+bound)}},
	{"silent", "a release speaks for what comes after it only",
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), set("o", 40+bound, 50+bound, "s", check.Active, 0, 5), news("r", "s", 1, 41+bound)},
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), set("o", 40+bound, 50+bound, "s", check.Active, 0, 5), news("r", "s", 1, 39+bound)}},
	{"silent", "a release without an answer may have taken effect, a refused one did not",
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), lost(set("o", 20, 30, "s", check.Active, 0, 0)), news("r", "s", 1, 41+bound)},
		[]check.Event{set("o", 1, 10, "s", check.Quarantined, 0, 4), conflict(set("o", 20, 30, "s", check.Active, 3, 0)), news("r", "s", 1, 41+bound)}},
	{"silent", "an older release does not end a quarantine",
		[]check.Event{set("o", 1, 10, "s", check.Active, 0, 5), set("o", 1, 9, "s", check.Quarantined, 0, 4), news("r", "s", 1, 41+bound)},
		[]check.Event{set("o", 1, 10, "s", check.Active, 0, 4), set("o", 1, 9, "s", check.Quarantined, 0, 5), news("r", "s", 1, 41+bound)}},

	{"timely", "log time goes back in one life of a node",
		[]check.Event{logTime("n1/1", 1, 10), logTime("n1/2", 1, 10), logTime("n1/1", 2, 10), logTime("n1/1", 3, 11)},
		[]check.Event{logTime("n1/1", 1, 11), logTime("n1/1", 2, 10)}},
	{"timely", "two times after the same entries",
		[]check.Event{logTime("n1/1", 1, 10), logTime("n2/1", 1, 10), logTime("n2/1", 2, 11)},
		[]check.Event{logTime("n1/1", 1, 10), logTime("n2/1", 1, 11)}},
	{"timely", "one clock of three is enough",
		[]check.Event{logTime("n1/1", 1, 20, 10, 90, 20), logTime("n1/1", 2, 21, 21, 90, 22)},
		[]check.Event{logTime("n1/1", 1, 20, 10, 90, 20), logTime("n1/1", 2, 23, 21, 90, 22)}},
	{"timely", "half of four clocks is enough",
		[]check.Event{logTime("n1/1", 1, 20, 10, 20, 30, 40)},
		[]check.Event{logTime("n1/1", 1, 30, 10, 20, 30, 40)}},
	{"timely", "no clock has shown it",
		[]check.Event{logTime("n1/1", 1, 20)},
		[]check.Event{{Op: check.LogTime, Agent: "n1/1", Node: "n1", Start: 1, End: 1, Result: check.OK, Applied: 1, Time: 20}}},
}

const bound = int64(time.Second)

func TestCheckers(t *testing.T) {
	limits := check.Limits{Silence: time.Duration(bound)}
	for _, p := range pairs {
		t.Run(p.check+"/"+p.name, func(t *testing.T) {
			if found := check.All(p.honest, limits); len(found) != 0 {
				t.Errorf("the honest history is refused: %v", found)
			}
			found := check.All(p.bad, limits)
			if !slices.ContainsFunc(found, func(v check.Violation) bool { return v.Check == p.check }) {
				t.Errorf("the planted history is accepted by %q: %v", p.check, found)
			}
		})
	}
}

// TestEveryCheckerHasAPlantedHistory keeps the table complete: All names these checkers and no others.
func TestEveryCheckerHasAPlantedHistory(t *testing.T) {
	planted := map[string]bool{}
	for _, p := range pairs {
		for _, v := range check.All(p.bad, check.Limits{Silence: time.Duration(bound)}) {
			planted[v.Check] = true
		}
	}
	for _, name := range []string{"linearizable", "one value an index", "kept", "once", "ordered", "agree", "decisions", "silent", "timely"} {
		if !planted[name] {
			t.Errorf("no planted history for %q", name)
		}
		delete(planted, name)
	}
	if len(planted) != 0 {
		t.Errorf("checkers without a place in this test: %v", planted)
	}
}

func TestEveryNodeTellsItsEnd(t *testing.T) {
	nodes := []string{"n1", "n2"}
	honest := []check.Event{final("n1", tree("n1", 7, "r")), final("n2", tree("n2", 7, "r"))}
	if found := check.Agree(honest, nodes); len(found) != 0 {
		t.Error(found)
	}
	for name, bad := range map[string][]check.Event{
		"a node said nothing":            {honest[0]},
		"a node's last word was not it":  {honest[0], tree("n2", 7, "r")},
		"a node lags":                    {honest[0], final("n2", tree("n2", 6, "q"))},
		"nobody said anything":           nil,
		"it failed to say it in the end": {honest[0], failed(honest[1])},
	} {
		if found := check.Agree(bad, nodes); len(found) == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}

func of(process uint64, e check.Event) check.Event {
	e.Process = process
	return e
}

func failed(e check.Event) check.Event {
	e.Result = check.Unknown
	return e
}

// TestLongHistory is a register under five clients for 400 operations, each of them honest; one changed answer breaks it.
func TestLongHistory(t *testing.T) {
	var history []check.Event
	last := uint64(0)
	for i := range uint64(400) {
		at, who := int64(10*i), fmt.Sprint("c", i%5)
		switch i % 4 {
		case 0:
			history = append(history, set(who, at, at+25, "p", fmt.Sprint("v", i), 0, i+1))
			last = i + 1
		case 1:
			history = append(history, lost(set(who, at, at+5, "p", "lost", 1, 0))) // expects an index that has gone
		default:
			history = append(history, look(who, at+6, at+9, "p", fmt.Sprint("v", last-1), last))
		}
	}
	if found := check.Linearizable(history, 0); len(found) != 0 {
		t.Fatal(found)
	}
	history[399].Fields = status("v392")
	history[399].Index = 393
	if found := check.Linearizable(history, 0); len(found) != 1 {
		t.Fatalf("an old value at the end was accepted: %v", found)
	}
}

func TestViolationNamesItsEvents(t *testing.T) {
	v := check.Violation{Check: "once", Text: "twice", Events: []check.Event{news("r", "s", 1, 1)}}
	for _, want := range []string{"once: twice", `"agent":"r"`, `"counter":1`} {
		if !strings.Contains(v.String(), want) {
			t.Errorf("%q is not in %q", want, v)
		}
	}
}
