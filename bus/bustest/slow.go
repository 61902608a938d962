package bustest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus"
)

// drops waits until the subscription has dropped n messages: a message may be dropped shortly after a Flush.
func drops(t *testing.T, s bus.Subscription, n uint64) {
	t.Helper()
	ctx := within(t)
	for s.Dropped() < n && ctx.Err() == nil {
		runtime.Gosched()
	}
	if d := s.Dropped(); d != n {
		t.Fatalf("dropped %d, want %d", d, n)
	}
}

// stuck is a subscription whose handler says when it begins its first message and then waits for resume.
type stuck struct {
	bus.Subscription
	running, resume chan struct{}
	handled         chan []byte
}

// stick subscribes and publishes a first message from the sender, which is being handled when stick returns.
func stick(t *testing.T, from, to bus.Conn, subject string, first []byte) *stuck {
	t.Helper()
	s := &stuck{running: make(chan struct{}, 1), resume: make(chan struct{}), handled: make(chan []byte, 8192)}
	var err error
	s.Subscription, err = to.Subscribe(subject, func(_ string, data []byte) {
		select {
		case s.running <- struct{}{}:
		default:
		}
		<-s.resume
		s.handled <- data
	})
	must(t, err)
	must(t, from.Publish(within(t), subject, first))
	select {
	case <-s.running:
	case <-within(t).Done():
		t.Fatal("the first message did not come")
	}
	return s
}

func (s *stuck) next(t *testing.T) []byte {
	t.Helper()
	select {
	case data := <-s.handled:
		return data
	case <-within(t).Done():
		t.Fatal("nothing came")
		return nil
	}
}

// numbered is a message of the size given that begins with its number.
func numbered(n, size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), bytes.Repeat([]byte{byte(n)}, size-4)...)
}

func number(t *testing.T, data []byte) int {
	t.Helper()
	n := int(binary.BigEndian.Uint32(data))
	if !bytes.Equal(data, numbered(n, len(data))) {
		t.Fatalf("message %d was changed", n)
	}
	return n
}

func testQueueBytes(t *testing.T, n Network) {
	const size, holds, sent = 512, 32, 400
	told := make(chan uint64, sent)
	from := n.Join(t, full())
	seat := full()
	seat.QueueBytes = holds*size + size - 1
	seat.Observer.Dropped = func(_ string, lost uint64) { told <- lost }
	to := n.Join(t, seat)
	s := stick(t, from, to, subject("a"), numbered(0, size))
	for i := 1; i <= holds; i++ {
		must(t, from.Publish(within(t), subject("a"), numbered(i, size)))
	}
	must(t, from.Flush(within(t)))
	must(t, to.Flush(within(t)))
	drops(t, s, 0)
	for i := holds + 1; i < sent; i++ {
		must(t, from.Publish(within(t), subject("a"), numbered(i, size)))
	}
	must(t, from.Flush(within(t)))
	drops(t, s, sent-1-holds)
	for _, want := range []uint64{1, 9, 90} {
		if lost := <-told; lost != want {
			t.Errorf("told of %d lost, want %d", lost, want)
		}
	}
	close(s.resume)
	for i := range holds + 1 {
		if got := number(t, s.next(t)); got != i {
			t.Fatalf("place %d: got message %d", i, got)
		}
	}
	for i := sent; i < sent+holds; i++ { // as much as the queue holds fits again
		must(t, from.Publish(within(t), subject("a"), numbered(i, size)))
	}
	for i := sent; i < sent+holds; i++ {
		if got := number(t, s.next(t)); got != i {
			t.Fatalf("after resuming: got message %d, want %d", got, i)
		}
	}
	must(t, to.Close(within(t)))
	if s.Dropped() != sent-1-holds || len(s.handled) != 0 || len(told) != 0 {
		t.Errorf("dropped %d in all, %d handled too often, told %d times too often", s.Dropped(), len(s.handled), len(told))
	}
}

// testQueueRandom sends messages of random sizes to stuck readers that hold different amounts.
func testQueueRandom(t *testing.T, n Network) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	const sent = 400
	from := n.Join(t, full())
	for reader, bound := range []int{n.MaxPayload(), 3 * n.MaxPayload(), 10 * n.MaxPayload()} {
		seat := full()
		seat.QueueBytes = bound
		s := stick(t, from, n.Join(t, seat), subject(fmt.Sprint(reader)), numbered(0, 4))
		held, wanted := 0, []int{0}
		for i := 1; i <= sent; i++ {
			data := numbered(i, 4+r.IntN(n.MaxPayload()-4)>>r.IntN(8))
			must(t, from.Publish(within(t), subject(fmt.Sprint(reader)), data))
			if held+len(data) <= bound {
				held += len(data)
				wanted = append(wanted, i)
			}
		}
		must(t, from.Flush(within(t)))
		drops(t, s, uint64(1+sent-len(wanted)))
		if len(wanted) == 1+sent {
			t.Errorf("bound %d: all fit", bound)
		}
		close(s.resume)
		for _, want := range wanted {
			if got := number(t, s.next(t)); got != want {
				t.Fatalf("bound %d: got message %d, want %d", bound, got, want)
			}
		}
	}
}

// testSlowReader floods a connection that has one stuck subscription: its other subscriptions, other connections and
// the sender do not notice.
func testSlowReader(t *testing.T, n Network) {
	const size, holds, sent = 256, 8, 4000
	broken := make(chan error, 64)
	watch := bus.Observer{Disconnected: func(err error) { broken <- err }}
	from := n.Join(t, Seat{Permissions: bus.NodePermissions(Realm), Queue: 4096, Observer: watch})
	to := n.Join(t, Seat{Permissions: bus.NodePermissions(Realm), Queue: 8192, QueueBytes: holds * size, Observer: watch})
	other := n.Join(t, full())
	s := stick(t, from, to, subject("a"), numbered(0, size))
	var beside [3]<-chan message
	beside[0], _ = listen(t, to, subject("b"))
	beside[1], _ = listen(t, other, subject("*"))
	beside[2], _ = listen(t, from, subject("a"))
	for i := 1; i <= sent; i++ {
		must(t, from.Publish(within(t), subject("a"), numbered(i, size)))
		if i%8 == 0 {
			must(t, from.Publish(within(t), subject("b"), fmt.Append(nil, i)))
			if m := next(t, beside[0]); m.data != fmt.Sprint(i) {
				t.Fatalf("the same connection's other subscription heard %q, want %d", m.data, i)
			}
		}
	}
	for i := 1; i <= sent; i++ {
		for _, got := range beside[1:] {
			if m := next(t, got); number(t, []byte(m.data)) != i {
				t.Fatalf("another connection missed message %d", i)
			}
		}
		if i%8 == 0 {
			next(t, beside[1]) // it hears b as well
		}
	}
	drops(t, s, sent-holds)
	close(s.resume)
	for i := range holds + 1 {
		if got := number(t, s.next(t)); got != i {
			t.Errorf("place %d: got message %d", i, got)
		}
	}
	for _, c := range []bus.Conn{from, to, other} {
		must(t, c.Flush(within(t)))
		must(t, c.Err())
	}
	if len(broken) != 0 {
		t.Errorf("a connection broke: %v", <-broken)
	}
}

// testManyPublishers publishes from many goroutines of one connection: nothing is lost, torn or, of one goroutine,
// out of order.
func testManyPublishers(t *testing.T, n Network) {
	const publishers, each = 16, 200
	from, to := n.Join(t, full()), n.Join(t, full())
	got := make(chan []byte, publishers*each)
	_, err := to.Subscribe(subject("*"), func(s string, data []byte) {
		if s != subject(fmt.Sprint(data[3]%publishers)) {
			data = nil
		}
		got <- data
	})
	must(t, err)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				if err := from.Publish(within(t), subject(fmt.Sprint(p)), numbered(i*publishers+p, 4+i)); err != nil {
					t.Errorf("publisher %d: %v", p, err)
					return
				}
			}
		})
	}
	all.Wait()
	must(t, from.Flush(within(t)))
	var heard [publishers]int
	for range publishers * each {
		select {
		case data := <-got:
			if data == nil {
				t.Fatal("a message came on another's subject")
			}
			n := number(t, data)
			if n/publishers != heard[n%publishers] {
				t.Fatalf("publisher %d: message %d, want %d", n%publishers, n/publishers, heard[n%publishers])
			}
			heard[n%publishers]++
		case <-within(t).Done():
			t.Fatalf("heard %v", heard)
		}
	}
}
