//go:build planted

package planted

import (
	"slices"
	"testing"
)

// node is a node's name.
type node string

func (n node) String() string { return string(n) }

func TestPlantedIsWhatTheVariableLists(t *testing.T) {
	for _, test := range []struct {
		list             string
		lease, tellsAtN1 bool
	}{
		{"", false, false},
		{"fault-endless-lease", true, false},
		{"fault-tells-false@N1", false, true},
		{"fault-tells-false@N2", false, false},
		{"fault-tells-false", false, false},
		{"hardship-replays,fault-endless-lease@N1,fault-tells-false@N2,fault-tells-false@N1", true, true},
	} {
		t.Setenv(Variable, test.list)
		if lease, tells := Fault(EndlessLease), At(TellsFalse, node("N1")); lease != test.lease || tells != test.tellsAtN1 {
			t.Errorf("%q: lease %v, tells %v", test.list, lease, tells)
		}
	}
}

func TestUnknownNamesPanic(t *testing.T) {
	for _, list := range []string{"fault-endless-lese", "fault-endless-lease,", ",", "@N1"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", list)
				}
			}()
			t.Setenv(Variable, list)
			Fault(Diverges)
		}()
	}
}

func TestReplaysDeliverTwice(t *testing.T) {
	for list, want := range map[string]int{"": 1, "hardship-replays": 2, "fault-endless-lease": 1} {
		t.Setenv(Variable, list)
		count := 0
		Deliver(func() { count++ })
		if count != want {
			t.Errorf("%q: %d deliveries", list, count)
		}
	}
}

func TestShufflesDeliverAllAndSomeLate(t *testing.T) {
	run := func() (order []int) {
		for i := range 10 * (every + others) {
			DeliverMessage(func() { order = append(order, i) })
		}
		t.Setenv(Variable, "")
		for range others { // lets out what is held
			DeliverMessage(func() {})
		}
		return order
	}
	t.Setenv(Variable, "")
	if order := run(); !slices.IsSorted(order) || len(order) != 10*(every+others) {
		t.Errorf("an honest bus: %v", order)
	}
	t.Setenv(Variable, "hardship-shuffles")
	order := run()
	if slices.IsSorted(order) {
		t.Errorf("nothing was late: %v", order)
	}
	slices.Sort(order)
	for i, n := range order {
		if i != n {
			t.Fatalf("message %d was lost or came twice", i)
		}
	}
}
