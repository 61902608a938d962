package natsbus_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
)

// wall is a proxy before a node that can stop taking what clients send.
type wall struct {
	net.Listener
	node  string
	built chan struct{} // closed: nothing more is taken on the connections that stand
	ended sync.WaitGroup
}

func newWall(t *testing.T, node string) *wall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wall{Listener: l, node: node, built: make(chan struct{})}
	w.ended.Go(w.serve)
	t.Cleanup(func() { l.Close(); w.ended.Wait() })
	return w
}

func (w *wall) serve() {
	for n := 0; ; n++ {
		client, err := w.Accept()
		if err != nil {
			return
		}
		w.ended.Go(func() { w.join(client, n == 0) })
	}
}

// join carries both ways until the client hangs up; the first client's way ends at the wall.
func (w *wall) join(client net.Conn, first bool) {
	defer client.Close()
	node, err := net.Dial("tcp", w.node)
	if err != nil {
		return
	}
	defer node.Close()
	buffer := make([]byte, 4<<10)
	w.ended.Go(func() {
		_, _ = io.Copy(client, node)
		client.Close()
	})
	for {
		if first {
			select {
			case <-w.built:
				_, _ = io.Copy(io.Discard, node) // until the client's end is closed, by who waits on it
				return
			default:
			}
		}
		n, err := client.Read(buffer)
		if _, bad := node.Write(buffer[:n]); err != nil || bad != nil {
			return
		}
	}
}

// TestPeerThatDoesNotRead has many goroutines publish to a node that takes nothing: a call lasts no longer than a write
// may, plus its turn, the connection breaks, and the next one works.
func TestPeerThatDoesNotRead(t *testing.T) {
	for _, size := range []int{64, 8 << 10, 200 << 10} { // written by nats.go's flusher, by either, by Publish itself
		t.Run(fmt.Sprint(size), func(t *testing.T) { peerThatDoesNotRead(t, make([]byte, size)) })
	}
}

func peerThatDoesNotRead(t *testing.T, data []byte) {
	const publishers, timeout = 8, 300 * time.Millisecond
	b, _ := start(t, "")
	w := newWall(t, b.Addr())
	o := options(w.Addr().String())
	o.WriteTimeout = timeout
	down, up := make(chan struct{}, 64), make(chan struct{}, 64)
	o.Observer = bus.Observer{Disconnected: func(error) { down <- struct{}{} }, Connected: func() { up <- struct{}{} }}
	c := dial(t, 1, o)
	got := make(chan string, 1<<16)
	_, err := dial(t, 2, options(b.Addr())).Subscribe(subject, func(_ string, data []byte) { got <- string(data[:1]) })
	must(t, err)
	must(t, c.Publish(ctx(t), subject, []byte("1")))
	if s := <-got; s != "1" {
		t.Fatalf("heard %q", s)
	}
	close(w.built)
	longest := make(chan time.Duration, publishers)
	for range publishers {
		go func() { longest <- pound(t, c, data) }()
	}
	for range publishers {
		if took := <-longest; took > 10*timeout { // the machine may be busy; without a bound it would be for ever
			t.Errorf("a call lasted %v", took)
		}
	}
	<-down
	<-up
	must(t, c.Publish(ctx(t), subject, []byte("2")))
	must(t, c.Flush(ctx(t)))
	for s := range got {
		if s == "2" {
			break
		}
	}
}

// pound publishes until it is refused and returns how long the longest call lasted.
func pound(t *testing.T, c *natsbus.Conn, data []byte) (longest time.Duration) {
	for {
		began := time.Now()
		err := c.Publish(ctx(t), subject, data)
		longest = max(longest, time.Since(began))
		if err != nil {
			if !errors.Is(err, bus.ErrUnreachable) {
				t.Errorf("got %v", err)
			}
			return longest
		}
	}
}
