package sdk

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/envelope"
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
	refused int // lines that there was no room for to wait
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
		const size, all = envelope.DefaultLimit, 200
		release := make(chan struct{})
		e.blocked["0"] = release
		taken := 0
		go func() {
			for n := range all {
				e.arrive(sender(1), fmt.Sprint(n), size)
				taken++
			}
		}()
		synctest.Wait()
		if taken != (maxHeld-lineCost)/(size+deliveryCost) {
			t.Errorf("took %d", taken)
		}
		close(release)
		if got := e.all(); len(got) != all || e.dropped() != 0 {
			t.Errorf("handled %d, lost %d", len(got), e.dropped())
		}
		e.arrive(sender(1), "huge", 2*maxHeld) // alone it fits
		if got := e.all(); len(got) != all+1 {
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
		e.park(line)
		for range 10 {
			e.arrive(sender(1), "a", size)
			e.arrive(sender(2), "b", size)
		}
		const fit = (maxWaiting - lineCost) / (size + deliveryCost)
		if got := e.all(); len(got) != 10 || e.dropped() != 10+1-fit || e.losing != 1 {
			t.Errorf("handled %q, lost %d, told %d times", got, e.dropped(), e.losing)
		}
		e.unpark(line)
		close(release)
		if got := e.all(); len(got) != 10+fit {
			t.Errorf("handled %q", got)
		}
	})
}

func TestAnEndedSubscriptionHandlesNothingMore(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		release := make(chan struct{})
		e.blocked["0"] = release
		for n := range 5 {
			e.arrive(sender(1), fmt.Sprint(n), maxHeld/6)
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

// waits makes a sender's line wait for something to be learned, behind a delivery whose subject stands for it.
func (e *entry) waits(n byte, size int) {
	subject := fmt.Sprint("waits ", n)
	e.mu.Lock()
	e.blocked[subject] = make(chan struct{})
	e.mu.Unlock()
	e.arrive(sender(n), subject, size)
	synctest.Wait()
	if !e.park(e.lines[sender(n)]) {
		e.refused++
	}
}

// Senders who let this agent wait for what is to be learned of them, however many they are, do not hold up the others.
func TestWaitingLinesHoldNobodyUp(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		const size, hostile = envelope.DefaultLimit, 40
		for n := range byte(hostile) {
			e.waits(n, size)
			for range 20 {
				e.arrive(sender(n), "more", size)
			}
		}
		if e.parked > maxParked || e.bytes != 0 || e.dropped() == 0 || e.losing != 1 || e.refused != 0 {
			t.Errorf("%d bytes wait, %d are held, %d were lost", e.parked, e.bytes, e.dropped())
		}
		for range 40 {
			e.arrive(sender(100), "honest", size)
			synctest.Wait()
		}
		if got := e.all(); len(got) != 40 {
			t.Errorf("handled %d of 40", len(got))
		}
		for n := range byte(hostile) {
			e.waits(100+n, size)
		}
		if e.parked > maxParked || e.refused == 0 {
			t.Errorf("%d bytes wait, %d lines were refused", e.parked, e.refused)
		}
	})
}

// One sender may fill the room and wait afterwards. When others do so too, the longest lines lose their newest.
func TestLinesThatWaitWithMuch(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		const size, of = 1 << 20, 12
		release, lines := make(chan struct{}), []*line{}
		for n := range 3 {
			e.blocked[fmt.Sprint(n)] = release
		}
		for n := range byte(3) {
			for range of {
				e.arrive(sender(n), fmt.Sprint(n), size)
			}
			synctest.Wait()
			lines = append(lines, e.lines[sender(n)])
			if lost := e.dropped(); n == 0 && lost != 0 || !e.park(lines[n]) {
				t.Errorf("line %d: lost %d", n, lost)
			}
			for i, l := range lines {
				if len(l.queue) < min(of, maxParked/size/len(lines)-1) {
					t.Errorf("line %d has %d left", i, len(l.queue))
				}
			}
			if e.parked > maxParked || e.bytes != 0 {
				t.Errorf("%d bytes wait, %d are held", e.parked, e.bytes)
			}
		}
		for _, l := range lines {
			e.unpark(l)
		}
		close(release)
		if got := e.all(); uint64(len(got))+e.dropped() != 3*of || e.parked != 0 || e.bytes != 0 {
			t.Errorf("handled %d, lost %d, %d and %d bytes are kept", len(got), e.dropped(), e.parked, e.bytes)
		}
	})
}

// Deliveries without content, and senders without number, are bounded too.
func TestNothingIsHeldForNothing(t *testing.T) {
	for name, from := range map[string]func(n int) identity.ID{
		"one sender":   func(int) identity.ID { return sender(0) },
		"many senders": func(n int) identity.ID { return sender(byte(n)) },
	} {
		t.Run(name, func(t *testing.T) {
			entering(t, func(t *testing.T, e *entry) {
				e.blocked["x"] = make(chan struct{})
				n := 0
				go func() {
					for ; n < 40_000 && e.crew.ctx.Err() == nil; n++ {
						e.arrive(from(n), "x", 0)
					}
				}()
				synctest.Wait()
				if n > maxHeld/deliveryCost {
					t.Errorf("%d are held", n)
				}
			})
		})
	}
}

// A handler that ends its goroutine, as a test that fails does, loses its sender's line and no more.
func TestAHandlerThatEndsItsGoroutine(t *testing.T) {
	entering(t, func(t *testing.T, e *entry) {
		handle := e.ingress.handle
		e.ingress.handle = func(d *delivery) {
			if d.subject == "exit" {
				runtime.Goexit()
			}
			handle(d)
		}
		e.arrive(sender(1), "exit", 10)
		synctest.Wait()
		if len(e.lines) != 0 || e.bytes != 0 {
			t.Errorf("%d lines and %d bytes are kept", len(e.lines), e.bytes)
		}
		e.arrive(sender(1), "after", 10)
		if got := e.all(); !slices.Equal(got, []string{"after"}) {
			t.Errorf("handled %q", got)
		}
	})
}
