package registrar

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// recovery returns a roster that leaves the realm to its first node.
func (w *world) recovery(change func(*identity.Roster), by ...identity.Signer) []byte {
	w.t.Helper()
	next := w.r.nextRoster()
	next.Nodes, next.Joining, next.Recovery = []identity.ID{w.Nodes[0].ID()}, nil, true
	change(&next)
	return w.Sign(next, by...)
}

func TestRecoveryIsTheRootsAlone(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.agent("worker") // with whose enrolment the node tells what it speaks
		same := func(*identity.Roster) {}
		good := w.recovery(same, w.Roots[0])
		for _, row := range []struct {
			name string
			raw  []byte
			want fault.Code
		}{
			{"no roster", []byte("text"), fault.Malformed},
			{"no recovery", w.recovery(func(r *identity.Roster) { r.Recovery = false }, w.Roots[0]), fault.Malformed},
			{"signed by the node", w.recovery(same, w.Nodes[0]), fault.NoQuorum},
			{"signed by another operator", w.recovery(same, w.Signer(identity.Operator)), fault.NoQuorum},
			{"number too high", w.recovery(func(r *identity.Roster) { r.Number++ }, w.Roots[0]), fault.Malformed},
			{"other predecessor", w.recovery(func(r *identity.Roster) { r.Previous = wire.Digest{7} }, w.Roots[0]), fault.Malformed},
		} {
			wantCode(t, w.r.Recover(t.Context(), row.raw), row.want)
			if n := w.r.Authority().Number; n != 0 {
				t.Fatalf("%s: roster %d is in force", row.name, n)
			}
		}
		for range 2 { // the second time it is in force already
			if err := w.r.Recover(t.Context(), good); err != nil {
				t.Fatal(err)
			}
		}
		if a := w.r.Authority(); a.Number != 1 || !a.Recovered {
			t.Errorf("in force: %+v", a)
		}
		if err := w.r.Recover(t.Context(), w.recovery(same, w.Roots[0])); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

// TestRecoveryLongAfterTheMajorityWasLost: log time has stood still for far longer than clocks may differ, and goes on.
func TestRecoveryLongAfterTheMajorityWasLost(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		left := w.at[0]
		left.agent("before")
		for _, lost := range w.at[1:] {
			lost.cutOff(true)
		}
		time.Sleep(10 * time.Minute) // of the bubble's clock
		stood := left.ledger.Now()
		if now := time.Now().UnixMilli(); now-stood < 10*identity.Skew {
			t.Fatalf("log time went on without a majority: %d, it is %d", stood, now)
		}
		next := left.nextRoster()
		next.Nodes, next.Issued, next.Recovery = []identity.ID{left.ID()}, stood, true
		if err := left.Recover(t.Context(), w.Sign(next, w.Roots[0])); err != nil {
			t.Fatal(err)
		}
		if !left.alone() || left.mayServe() != nil {
			t.Errorf("not alone: %+v", left.Authority())
		}
		time.Sleep(2 * tickEvery * time.Millisecond) // the next command takes a tick along
		left.agent("after")
		if behind := time.Now().UnixMilli() - left.ledger.Now(); behind > time.Second.Milliseconds() {
			t.Errorf("log time is %d ms behind", behind)
		}
	})
}
