package sdk

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
)

// A crew that is shut starts no more handlers or loops, and goes on with what its handlers wait for until they end.
func TestCrewEndsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		release, loopEnded := make(chan struct{}), false
		if !c.keep(func() { <-c.ctx.Done(); loopEnded = true }) || !c.spawn(func() { <-release }) {
			t.Fatal("a new crew takes nothing")
		}
		if !c.shut() || c.shut() {
			t.Fatal("shutting reports that it was the first only once")
		}
		if c.keep(func() {}) || c.spawn(func() {}) {
			t.Error("a crew that was shut takes handlers or loops")
		}
		finished := make(chan struct{})
		go func() {
			c.finish(context.Background())
			close(finished)
		}()
		synctest.Wait()
		if c.ctx.Err() != nil || !c.chore(func() { close(release) }) {
			t.Error("a handler that still runs gets nothing to wait for")
		}
		<-finished
		c.wait()
		if !loopEnded || c.chore(func() {}) {
			t.Errorf("loop ended: %v; chores must end with it", loopEnded)
		}
	})
}

// Handlers and chores have bounded room, each their own.
func TestCrewHasBoundedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		release := make(chan struct{})
		for i := range maxHandlers {
			if !c.spawn(func() { <-release }) {
				t.Fatalf("no room for handler %d of %d", i+1, maxHandlers)
			}
		}
		if c.spawn(func() {}) {
			t.Errorf("room for more than %d handlers", maxHandlers)
		}
		if !c.chore(func() {}) {
			t.Error("handlers have taken the room of what they wait for")
		}
		close(release)
		synctest.Wait()
		if !c.spawn(func() {}) {
			t.Error("handlers that returned still take room")
		}
		c.shut()
		c.finish(context.Background())
		c.wait()
	})
}

// Calls go round the processes of each target, by themselves.
func TestTurnsAreOfATarget(t *testing.T) {
	var turns turnstile
	for want := uint64(1); want <= 3; want++ {
		if got := turns.next(Any("text.upper")); got != want {
			t.Errorf("turn %d, want %d", got, want)
		}
	}
	if got := turns.next(To("bob", "text.upper")); got != 1 {
		t.Errorf("another target's turn %d, want 1", got)
	}
	for i := range 5000 {
		turns.next(To("bob", string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))))
	}
	if len(turns.last) > 4097 {
		t.Errorf("%d targets are remembered", len(turns.last))
	}
}

// One goroutine that has run a handler waits for the next one; a crew that ends does not wait for it.
func TestAHandlersGoroutineWaitsForTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		ran := 0
		for range 10 {
			if !c.spawn(func() { ran++ }) {
				t.Fatal("no room")
			}
			synctest.Wait()
			if len(c.parked) != 1 || len(c.slots) != 0 {
				t.Fatalf("%d wait, %d slots are taken", len(c.parked), len(c.slots))
			}
		}
		release := make(chan struct{})
		for range 5 {
			c.spawn(func() { <-release })
		}
		synctest.Wait()
		if len(c.parked) != 0 || len(c.slots) != 5 {
			t.Errorf("%d wait, %d slots are taken", len(c.parked), len(c.slots))
		}
		close(release)
		synctest.Wait()
		if ran != 10 || len(c.parked) != 1 {
			t.Errorf("ran %d, %d wait", ran, len(c.parked))
		}
		c.shut()
		c.finish(context.Background())
		c.wait()
	})
}

// A handler that ends its goroutine, as a test that fails does, gives its slot back, and Close does not wait for it.
func TestACrewAfterAHandlerThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		c.spawn(runtime.Goexit)
		synctest.Wait()
		if len(c.slots) != 0 {
			t.Errorf("%d slots are taken", len(c.slots))
			<-c.slots
			c.handlers.Done()
		}
		c.shut()
		c.finish(context.Background())
		c.wait()
	})
}
