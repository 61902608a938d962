package registrar

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// rule has the roots and the nodes put a roster of these nodes alone through the log.
func (w *trio) rule(by *seat, nodes ...identity.ID) {
	w.t.Helper()
	r := by.nextRoster()
	slices.SortFunc(nodes, identity.ID.Compare)
	r.Nodes = nodes
	raw, err := wire.Cosign(w.Realm, r, ledgerKeys(w.Roots)...)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := by.Registrar.seats.seat(w.t.Context(), raw); err != nil {
		w.t.Fatal(err)
	}
}

// serves wants a node to serve at every moment of a time.
func (s *seat) serves(length time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := s.mayServe(); err != nil {
			s.t.Fatalf("%v before the end: %v", time.Until(end), err)
		}
	}
}

// lastWord returns whom the node's enforcer was told last to serve.
func (s *seat) lastWord() string {
	synctest.Wait()
	if told := s.told(); len(told) > 0 {
		return told[len(told)-1]
	}
	return "everybody"
}

// TestAnOldRosterRenewsNoLease: a node that catches up hears of rosters long in force. They tell nothing of now.
func TestAnOldRosterRenewsNoLease(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		late := w.at[2]
		late.cutOff(true)
		_, admission := w.newcomer()
		if _, err := w.at[0].AdmitNode(t.Context(), admission); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * DefaultLease)
		if late.lastWord() != "nobody" {
			t.Fatal("it serves although it is cut off")
		}
		late.stall("append") // it catches up and cannot tell the time
		late.cutOff(false)
		if late.Authority().Number != 1 {
			t.Fatal("it has not caught up")
		}
		if err := late.mayServe(); !errors.Is(err, ErrLease) || late.lastWord() != "nobody" {
			t.Errorf("it serves by an old roster: %v", err)
		}
		late.stall()
		time.Sleep(DefaultLease / 2)
		if err := late.mayServe(); err != nil || late.lastWord() != "everybody" {
			t.Errorf("its own tick has not renewed the lease: %v", err)
		}
	})
}

// TestANodeAsksAtOnceWhenItCounts: it does not wait for its next tick.
func TestANodeAsksAtOnceWhenItCounts(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		first, second := w.at[0], w.at[1]
		w.rule(first, first.ID())
		time.Sleep(2*DefaultLease + DefaultLease/renewals/2) // between two of its ticks
		if second.lastWord() != "nobody" {
			t.Fatalf("a node that does not count serves: %v", second.told())
		}
		w.rule(first, first.ID(), second.ID(), w.at[2].ID())
		if second.lastWord() != "everybody" || second.mayServe() != nil {
			t.Errorf("it counts and does not serve: %v", second.told())
		}
	})
}

// TestTheLastOfThreeNeedsNoLease shrinks the realm to one node and gives it then to another one.
func TestTheLastOfThreeNeedsNoLease(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		last, next := w.at[0], w.at[1]
		w.rule(last, last.ID())
		for _, s := range w.at[1:] {
			s.cutOff(true)
		}
		last.serves(2 * DefaultLease)
		if last.lastWord() != "everybody" {
			t.Errorf("the last node has shut its clients out: %v", last.told())
		}
		for _, s := range w.at[1:] {
			if s.cutOff(false); s.lastWord() != "nobody" || !errors.Is(s.mayServe(), ErrLease) {
				t.Errorf("a removed node serves: %v", s.told())
			}
		}
		w.rule(last, next.ID())
		if last.lastWord() != "nobody" || !errors.Is(last.mayServe(), ErrLease) {
			t.Errorf("a node that was alone and is none any more serves: %v", last.told())
		}
		if next.lastWord() != "everybody" || next.mayServe() != nil {
			t.Errorf("the only node does not serve: %v", next.told())
		}
	})
}

// TestALoneNodeKeepsServingWhileItGrows: it had no lease to renew, and has one as soon as it needs one.
func TestALoneNodeKeepsServingWhileItGrows(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		first := w.at[0]
		w.rule(first, first.ID())
		time.Sleep(2 * DefaultLease)
		w.rule(first, first.Authority().Nodes[0], w.at[1].ID(), w.at[2].ID())
		first.serves(2 * DefaultLease)
		if first.lastWord() != "everybody" {
			t.Error("it has shut its clients out")
		}
	})
}

// TestALateWordOfTheLease: that the lease has ended is told after it is held again.
func TestALateWordOfTheLease(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		s := w.at[0]
		s.cutOff(true)
		time.Sleep(2 * DefaultLease)
		s.cutOff(false)
		time.Sleep(DefaultLease)
		synctest.Wait()
		before := len(s.told())
		s.lease.changed()
		if s.lastWord() != "everybody" || len(s.told()) != before {
			t.Errorf("told %v", s.told())
		}
	})
}

// TestAnAppendThatHangsCostsNoLease: the leader hangs, is replaced, and the first ticks to it still wait.
func TestAnAppendThatHangsCostsNoLease(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		s := w.at[1]
		s.stall("append")
		s.serves(time.Second)
		s.stall()
		s.serves(3 * DefaultLease)
	})
}

// TestAPeerThatHangsCostsNoLease: a node that has just come asks the others who is connected to them.
func TestAPeerThatHangsCostsNoLease(t *testing.T) {
	inPreparedTrio(t, func(w *trio) { w.at[0].stall(opPresent, opCosign) }, func(_ *testing.T, w *trio) {
		w.at[2].serves(10 * DefaultLease)
	})
}

// TestASuspendedMachineHasNoLease: its monotonic clock stood still while the others went on.
func TestASuspendedMachineHasNoLease(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		s := w.at[0]
		if err := s.mayServe(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.slept.Store(int64(10 * time.Second))
		if err := s.mayServe(); !errors.Is(err, ErrLease) {
			t.Errorf("it goes on where it stopped: %v", err)
		}
		time.Sleep(DefaultLease / 2)
		if err := s.mayServe(); err != nil || s.lastWord() != "everybody" {
			t.Errorf("its next tick has not renewed the lease: %v", err)
		}
		if !slices.Contains(s.told()[1:], "nobody") {
			t.Errorf("its clients were left connected: %v", s.told())
		}
	})
}

func TestMeanwhileNeverStandsStill(t *testing.T) {
	var wall, since time.Duration
	m := newMeanwhile(func() time.Time { return time.Unix(1_000_000, 0).Add(wall) }, func() time.Duration { return since })
	for i, step := range []struct{ wall, since, total time.Duration }{ // of each clock, and what has passed in all
		{1, 1, 1},
		{5, 5, 6},
		{100, 0, 106},  // suspended
		{-100, 2, 108}, // set back
		{0, 3, 111},
		{0, 0, 111},
		{-1, 0, 111}, // the monotonic one is never behind what has passed
	} {
		wall, since = wall+step.wall*time.Second, since+step.since*time.Second
		if got := m.now(); got != step.total*time.Second {
			t.Errorf("step %d: %v, want %v", i, got, step.total*time.Second)
		}
	}
}
