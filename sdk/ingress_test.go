package sdk

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// entry is an ingress whose deliveries need no check, with what it has handled.
type entry struct {
	*ingress
	crew *crew

	mu      sync.Mutex
	handled []string
	blocked map[string]chan struct{} // handling waits for these, by subject
	losing  int
}

func entering(t *testing.T, fn func(t *testing.T, e *entry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &entry{crew: newCrew(), blocked: map[string]chan struct{}{}}
		e.ingress = newIngress(e.crew, &pool{crew: e.crew}, e.handle, func() { e.losing++ })
		fn(t, e)
		e.crew.shut()
		e.crew.finish(context.Background())
		e.crew.wait()
	})
}

func (e *entry) handle(d *delivery) {
	e.mu.Lock()
	wait := e.blocked[d.subject]
	e.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-e.crew.ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handled = append(e.handled, d.subject)
}

// arrive has something come from a sender, checked already.
func (e *entry) arrive(from identity.ID, subject string, size int) {
	d := newDelivery(nil, subject, "", make([]byte, size))
	d.claimed.Store(true)
	close(d.done)
	e.take(from, d)
}

// all returns what was handled, once everybody waits.
func (e *entry) all() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.handled)
}

func sender(n byte) identity.ID {
	return identity.NewID(identity.Agent, wire.NewKey([32]byte{n}).Public())
}

func TestEachSenderHasALineOfItsOwn(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		release := make(chan struct{})
		e.blocked["a1"] = release
		for n := range 3 {
			e.arrive(sender(1), fmt.Sprint("a", n), 10)
			e.arrive(sender(2), fmt.Sprint("b", n), 10)
		}
		of := func(sender byte) []string {
			return slices.DeleteFunc(e.all(), func(s string) bool { return s[0] != sender })
		}
		if got := of('a'); !slices.Equal(got, []string{"a0"}) {
			t.Errorf("of who waits: %q", got)
		}
		if got := of('b'); !slices.Equal(got, []string{"b0", "b1", "b2"}) {
			t.Errorf("of the other one: %q", got)
		}
		close(release)
		if got := of('a'); !slices.Equal(got, []string{"a0", "a1", "a2"}) {
			t.Errorf("in the end: %q", got)
		}
		if len(e.lines) != 0 || e.bytes != 0 {
			t.Errorf("%d lines and %d bytes are kept", len(e.lines), e.bytes)
		}
	})
}

// What does not fit makes the bus wait, which drops what it cannot hold; nothing is lost here.
func TestAFullSubscriptionMakesTheBusWait(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		const size = 1 << 20
		release := make(chan struct{})
		e.blocked["0"] = release
		taken := 0
		go func() {
			for n := range 40 {
				e.arrive(sender(1), fmt.Sprint(n), size)
				taken++
			}
		}()
		synctest.Wait()
		if taken != maxHeld/size {
			t.Errorf("took %d MiB", taken)
		}
		close(release)
		if got := e.all(); len(got) != 40 || e.dropped() != 0 {
			t.Errorf("handled %d, lost %d", len(got), e.dropped())
		}
		e.arrive(sender(1), "huge", 2*maxHeld) // alone it fits
		if got := e.all(); len(got) != 41 {
			t.Errorf("handled %d", len(got))
		}
	})
}

// A sender of whom something is to be learned first may take only a part of the room; more is lost, counted, told once.
func TestAWaitingLineIsBounded(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		const size = 1 << 20
		release := make(chan struct{})
		e.blocked["a"] = release
		e.arrive(sender(1), "a", size)
		synctest.Wait()
		line := e.lines[sender(1)]
		e.waiting(line, true)
		for range 10 {
			e.arrive(sender(1), "a", size)
			e.arrive(sender(2), "b", size)
		}
		if got := e.all(); len(got) != 10 || e.dropped() != 10+1-maxWaiting/size || e.losing != 1 {
			t.Errorf("handled %q, lost %d, told %d times", got, e.dropped(), e.losing)
		}
		e.waiting(line, false)
		close(release)
		if got := e.all(); len(got) != 10+maxWaiting/size {
			t.Errorf("handled %q", got)
		}
	})
}

func TestAnEndedSubscriptionHandlesNothingMore(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		release := make(chan struct{})
		e.blocked["0"] = release
		for n := range 5 {
			e.arrive(sender(1), fmt.Sprint(n), maxHeld/5)
		}
		waiting := make(chan struct{})
		go func() {
			e.arrive(sender(2), "waits for room", maxHeld/2)
			close(waiting)
		}()
		synctest.Wait()
		e.end()
		<-waiting
		close(release)
		e.arrive(sender(1), "too late", 1)
		if got := e.all(); !slices.Equal(got, []string{"0"}) || e.dropped() != 0 || e.bytes != 0 {
			t.Errorf("handled %q, lost %d, %d bytes are kept", got, e.dropped(), e.bytes)
		}
	})
}
