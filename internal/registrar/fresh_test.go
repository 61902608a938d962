package registrar

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
)

// TestAsksAgainOnceItHasCaughtUp: what another node has applied already is not unknown here.
func TestAsksAgainOnceItHasCaughtUp(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		behind, asked := w.at[1], 0
		ask := func() (string, error) {
			if asked++; asked == 1 {
				return "", ledger.ErrUnknown
			}
			return "known", nil
		}
		if got, err := fresh(t.Context(), behind.Registrar, ask); got != "known" || err != nil {
			t.Errorf("it answers %q, %v", got, err)
		}
		if _, err := fresh(t.Context(), behind.Registrar, func() (string, error) { return "", ledger.ErrDenied }); !errors.Is(err, ledger.ErrDenied) {
			t.Errorf("another refusal becomes %v", err)
		}
		asked = 0
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		behind.catching.turn <- struct{}{} // somebody else waits
		if _, err := fresh(ended, behind.Registrar, ask); fault.CodeOf(err) != fault.Unknown || asked != 1 {
			t.Errorf("without a barrier it answers after %d questions: %v", asked, err)
		}
		<-behind.catching.turn
	})
}

// TestManyWaitForFewBarriers: those who ask while one is under way share the next one, and none shares one that began
// before it asked.
func TestManyWaitForFewBarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran, hold := 0, make(chan struct{})
		c := newCatching(func(context.Context) error {
			ran++
			<-hold
			return nil
		})
		var under sync.WaitGroup
		ask := func() { under.Go(func() { _ = c.up(t.Context()) }) }
		ask()
		synctest.Wait()
		for range 20 {
			ask()
		}
		synctest.Wait()
		hold <- struct{}{}
		synctest.Wait()
		if ran != 2 {
			t.Fatalf("%d barriers began, the second is for all who asked meanwhile", ran)
		}
		hold <- struct{}{}
		under.Wait()
		if ran != 2 {
			t.Errorf("%d barriers for 21 who asked", ran)
		}
		failing := newCatching(func(context.Context) error { return ErrLease })
		for range 2 {
			if err := failing.up(t.Context()); !errors.Is(err, ErrLease) {
				t.Errorf("a barrier that failed counts: %v", err)
			}
		}
	})
}
