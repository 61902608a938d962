// Package bustest holds what every implementation of the bus must do. An implementation's test gives [Run] a way to
// start its network.
package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Seat is how one party joins a network.
type Seat struct {
	Permissions bus.Permissions
	Observer    bus.Observer
	Queue       int // messages that a subscription holds, beside the one being handled
	QueueBytes  int // bytes of their data; the implementation's default if 0
}

// Network is a bus that tests join. It ends with the test.
type Network interface {
	// Join returns a new connection of a principal that has exactly the seat's permissions.
	Join(t *testing.T, s Seat) bus.Conn
	// MaxPayload is the largest message, in bytes.
	MaxPayload() int
}

// Realm is the realm whose subjects the suite uses.
var Realm = wire.Realm(wire.Hash([]byte("bustest")))

// ID returns the n-th principal of a role.
func ID(role identity.Role, n byte) identity.ID {
	return identity.NewID(role, wire.NewKey([32]byte{byte(role), n}).Public())
}

// Process returns the credential id of the n-th agent.
func Process(n byte) wire.Digest { return wire.Hash([]byte{n}) }

// Agent returns the permissions of the n-th agent with the rights given.
func Agent(n byte, rights trust.Rights) bus.Permissions {
	rights.Rate = 1
	return bus.Party{
		Realm: Realm, Node: ID(identity.Node, 1), Principal: ID(identity.Agent, n), Process: Process(n),
		Status: trust.Active, Rights: rights,
	}.Permissions()
}

// full is a seat that may do everything in the realm.
func full() Seat { return Seat{Permissions: bus.NodePermissions(Realm), Queue: 4096} }

// Run runs the suite; start starts a network of its own for each test.
func Run(t *testing.T, start func(t *testing.T) Network) {
	for _, row := range []struct {
		name string
		test func(t *testing.T, n Network)
	}{
		{"order", testOrder},
		{"wildcards", testWildcards},
		{"data is the caller's again", testOwnership},
		{"bad subjects", testBadSubjects},
		{"ended context", testContext},
		{"payload limit", testPayload},
		{"unsubscribe", testUnsubscribe},
		{"unsubscribe within", testUnsubscribeWithin},
		{"drain", testDrain},
		{"drops are counted", testDrops},
		{"a queue is bounded by bytes", testQueueBytes},
		{"sizes at random", testQueueRandom},
		{"a slow reader harms nobody", testSlowReader},
		{"many publish at once", testManyPublishers},
		{"close drains", testCloseDrains},
		{"close gives up in time", testCloseInTime},
		{"closed", testClosed},
		{"agents are separate", testSeparate},
		{"publishing is what is allowed", testPublishing},
		{"subscribing is what is allowed", testSubscribing},
		{"nothing allowed", testNothing},
	} {
		t.Run(row.name, func(t *testing.T) { row.test(t, start(t)) })
	}
}

// wait bounds every step of the suite.
const wait = 20 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

type message struct {
	subject string
	data    string
}

// listen subscribes and returns what comes.
func listen(t *testing.T, c bus.Conn, pattern string) (<-chan message, bus.Subscription) {
	t.Helper()
	got := make(chan message, 8192)
	s, err := c.Subscribe(pattern, func(subject string, data []byte) { got <- message{subject, string(data)} })
	must(t, err)
	return got, s
}

func next(t *testing.T, got <-chan message) message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-within(t).Done():
		t.Fatal("nothing came")
		return message{}
	}
}

// upTo returns what came before a message whose data is the marker.
func upTo(t *testing.T, got <-chan message, marker string) (before []message) {
	t.Helper()
	for {
		m := next(t, got)
		if m.data == marker {
			return before
		}
		before = append(before, m)
	}
}

func subject(words ...string) string {
	return strings.TrimSuffix(bus.In(Realm).All(), ">") + strings.Join(words, ".")
}

func testOrder(t *testing.T, n Network) {
	from, to := n.Join(t, full()), n.Join(t, full())
	got, _ := listen(t, to, subject("a", "*"))
	for i := range 2000 {
		must(t, from.Publish(within(t), subject("a", fmt.Sprint(i%3)), fmt.Append(nil, i)))
	}
	for i := range 2000 {
		if m := next(t, got); m.data != fmt.Sprint(i) || m.subject != subject("a", fmt.Sprint(i%3)) {
			t.Fatalf("message %d: got %v", i, m)
		}
	}
}

func testWildcards(t *testing.T, n Network) {
	c := n.Join(t, full())
	for _, row := range []struct{ pattern, hears string }{
		{"a.b", "a.b"}, {"a.*", "a.b"}, {"a.>", "a.b a.b.c"}, {"*.b", "a.b"}, {"a.*.c", "a.b.c"}, {">", "a a.b a.b.c d"},
	} {
		got, s := listen(t, c, subject(row.pattern))
		for _, word := range []string{"a", "a.b", "a.b.c", "d"} {
			must(t, c.Publish(within(t), subject(word), []byte(word)))
		}
		must(t, c.Flush(within(t)))
		heard := make([]string, 0, 4)
		for range strings.Fields(row.hears) {
			heard = append(heard, next(t, got).data)
		}
		must(t, s.Unsubscribe())
		if strings.Join(heard, " ") != row.hears || len(got) != 0 {
			t.Errorf("%s hears %v and %d more, want %s", row.pattern, heard, len(got), row.hears)
		}
	}
}

func testOwnership(t *testing.T, n Network) {
	from, to := n.Join(t, full()), n.Join(t, full())
	got, _ := listen(t, to, subject("a"))
	data := []byte("before")
	must(t, from.Publish(within(t), subject("a"), data))
	copy(data, "after!")
	must(t, from.Flush(within(t)))
	if m := next(t, got); m.data != "before" {
		t.Errorf("got %q", m.data)
	}
}

func testBadSubjects(t *testing.T, n Network) {
	c := n.Join(t, full())
	for _, s := range []string{
		"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nb", "ä", "a*", "a.b*", ">a", "a.>.b", strings.Repeat("a", bus.MaxSubject+1),
	} {
		want(t, fmt.Sprintf("publish %.20q", s), c.Publish(within(t), s, nil), bus.ErrSubject)
		_, err := c.Subscribe(s, func(string, []byte) {})
		want(t, fmt.Sprintf("subscribe %.20q", s), err, bus.ErrSubject)
	}
	for _, s := range []string{"a.*", "a.>", "*", ">"} {
		want(t, "publish "+s, c.Publish(within(t), subject(s), nil), bus.ErrSubject)
	}
}

func testContext(t *testing.T, n Network) {
	c := n.Join(t, full())
	got, _ := listen(t, c, subject("a"))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	want(t, "publish", c.Publish(ended, subject("a"), []byte("late")), context.Canceled)
	want(t, "flush", c.Flush(ended), context.Canceled)
	must(t, c.Publish(within(t), subject("a"), []byte("end")))
	if before := upTo(t, got, "end"); len(before) != 0 {
		t.Errorf("delivered %v", before)
	}
}

func testPayload(t *testing.T, n Network) {
	c := n.Join(t, full())
	got, _ := listen(t, c, subject("a"))
	most := bytes.Repeat([]byte{'x'}, n.MaxPayload()+1)
	want(t, "limit + 1", c.Publish(within(t), subject("a"), most), bus.ErrTooLarge)
	must(t, c.Publish(within(t), subject("a"), most[1:]))
	must(t, c.Publish(within(t), subject("a"), nil))
	if m := next(t, got); len(m.data) != n.MaxPayload() {
		t.Errorf("got %d bytes", len(m.data))
	}
	if m := next(t, got); m.data != "" {
		t.Errorf("got %q, want an empty message", m.data)
	}
}

func testUnsubscribe(t *testing.T, n Network) {
	c := n.Join(t, full())
	first, s := listen(t, c, subject("a"))
	second, _ := listen(t, c, subject("a"))
	must(t, c.Publish(within(t), subject("a"), []byte("1")))
	next(t, first)
	must(t, s.Unsubscribe())
	must(t, s.Unsubscribe())
	must(t, c.Publish(within(t), subject("a"), []byte("2")))
	must(t, c.Flush(within(t)))
	upTo(t, second, "2")
	if len(first) != 0 {
		t.Errorf("heard %v after Unsubscribe", <-first)
	}
}

// testDrain ends a subscription that has messages queued and under way.
func testDrain(t *testing.T, n Network) {
	from, to := n.Join(t, full()), n.Join(t, full())
	ready, calls := make(chan struct{}), make(chan string, 64)
	s, err := to.Subscribe(subject("a"), func(_ string, data []byte) {
		<-ready
		calls <- string(data)
	})
	must(t, err)
	for i := range 32 {
		must(t, from.Publish(within(t), subject("a"), []byte(strconv.Itoa(i))))
	}
	must(t, from.Flush(within(t)))
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(within(t)) }()
	close(ready)
	must(t, <-drained)
	if len(calls) != 32 {
		t.Errorf("handled %d of 32", len(calls))
	}
	for i := range len(calls) {
		if got := <-calls; got != strconv.Itoa(i) {
			t.Errorf("message %d is %s", i, got)
		}
	}
	must(t, from.Publish(within(t), subject("a"), []byte("after")))
	must(t, from.Flush(within(t)))
	must(t, to.Flush(within(t)))
	if len(calls) != 0 {
		t.Errorf("heard %v after Drain", <-calls)
	}
	must(t, s.Unsubscribe())
}

func testUnsubscribeWithin(t *testing.T, n Network) {
	c := n.Join(t, full())
	ready, calls := make(chan struct{}), make(chan string, 16)
	var s bus.Subscription
	s, err := c.Subscribe(subject("a"), func(_ string, data []byte) {
		<-ready
		calls <- string(data)
		s.Unsubscribe()
	})
	must(t, err)
	other, _ := listen(t, c, subject("a"))
	for range 4 {
		must(t, c.Publish(within(t), subject("a"), []byte("x")))
	}
	must(t, c.Flush(within(t)))
	close(ready)
	for range 4 {
		next(t, other)
	}
	must(t, c.Close(within(t)))
	if len(calls) != 1 {
		t.Errorf("called %d times, want once", len(calls))
	}
}

func testDrops(t *testing.T, n Network) {
	const queue, sent = 8, 100
	told := make(chan uint64, sent)
	from := n.Join(t, full())
	to := n.Join(t, Seat{
		Permissions: bus.NodePermissions(Realm), Queue: queue,
		Observer: bus.Observer{Dropped: func(pattern string, n uint64) {
			if pattern == subject("a") {
				told <- n
			}
		}},
	})
	running, resume := make(chan struct{}), make(chan struct{})
	got := make(chan string, sent)
	s, err := to.Subscribe(subject("a"), func(_ string, data []byte) {
		select {
		case running <- struct{}{}:
			<-resume
		case <-resume:
		}
		got <- string(data)
	})
	must(t, err)
	must(t, from.Publish(within(t), subject("a"), []byte("0")))
	<-running
	for i := 1; i < sent; i++ {
		must(t, from.Publish(within(t), subject("a"), fmt.Append(nil, i)))
	}
	must(t, from.Flush(within(t)))
	must(t, to.Flush(within(t)))
	drops(t, s, sent-queue-1)
	select {
	case n := <-told:
		if n == 0 {
			t.Error("told of no drops")
		}
	case <-within(t).Done():
		t.Error("the observer was not told")
	}
	close(resume)
	must(t, to.Close(within(t)))
	if len(got) != queue+1 || s.Dropped() != sent-queue-1 {
		t.Errorf("handled %d, dropped %d, want %d and %d", len(got), s.Dropped(), queue+1, sent-queue-1)
	}
	for i := range queue + 1 {
		if v := <-got; v != fmt.Sprint(i) {
			t.Errorf("place %d: got %s", i, v)
		}
	}
}

// blocked subscribes to a subject with a handler that waits for resume and publishes sent messages to it.
func blocked(t *testing.T, c bus.Conn, sent int) (resume chan struct{}, handled chan string) {
	t.Helper()
	resume, handled = make(chan struct{}), make(chan string, sent)
	_, err := c.Subscribe(subject("a"), func(_ string, data []byte) {
		<-resume
		handled <- string(data)
	})
	must(t, err)
	for i := range sent {
		must(t, c.Publish(within(t), subject("a"), fmt.Append(nil, i)))
	}
	must(t, c.Flush(within(t)))
	return resume, handled
}

func testCloseDrains(t *testing.T, n Network) {
	from, to := n.Join(t, full()), n.Join(t, full())
	resume, handled := blocked(t, to, 20)
	got, _ := listen(t, to, subject("other"))
	witness, _ := listen(t, from, subject("last"))
	must(t, to.Publish(within(t), subject("last"), []byte("end")))
	closed := make(chan error)
	go func() { closed <- to.Close(within(t)) }()
	upTo(t, witness, "end") // what was published before Close went out
	close(resume)
	must(t, <-closed)
	if len(handled) != 20 {
		t.Errorf("handled %d of 20 queued", len(handled))
	}
	must(t, from.Publish(within(t), subject("other"), []byte("late")))
	must(t, from.Flush(within(t)))
	if len(got) != 0 {
		t.Errorf("heard %v after Close", <-got)
	}
}

func testCloseInTime(t *testing.T, n Network) {
	c := n.Join(t, full())
	resume, handled := blocked(t, c, 2)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	want(t, "close with a stuck handler", c.Close(ended), context.Canceled)
	close(resume)
	for range 2 {
		select {
		case <-handled:
		case <-within(t).Done():
			t.Fatal("what was queued was not handled")
		}
	}
}

func testClosed(t *testing.T, n Network) {
	c := n.Join(t, full())
	_, s := listen(t, c, subject("a"))
	select {
	case <-c.Done():
		t.Fatal("done before Close")
	default:
	}
	must(t, c.Err())
	must(t, c.Close(within(t)))
	<-c.Done()
	want(t, "err", c.Err(), bus.ErrClosed)
	want(t, "publish", c.Publish(within(t), subject("a"), nil), bus.ErrClosed)
	want(t, "flush", c.Flush(within(t)), bus.ErrClosed)
	_, err := c.Subscribe(subject("a"), func(string, []byte) {})
	want(t, "subscribe", err, bus.ErrClosed)
	must(t, s.Unsubscribe())
	must(t, c.Close(within(t)))
}
