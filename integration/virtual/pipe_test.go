package virtual

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// half is one direction of a connection. What is written comes in order, each part when the weather at its writing lets
// it, and nothing while the route is held. It is safe for one reader and any writers.
type half struct {
	wires *wires
	route route

	mu       sync.Mutex
	parts    []part
	ended    bool          // the writer has closed
	left     bool          // the reader has closed
	deadline time.Time     // of the reader
	wake     chan struct{} // closed when any of these changes
}

type part struct {
	data []byte
	at   time.Time
}

func newHalf(w *wires, r route) *half { return &half{wires: w, route: r, wake: make(chan struct{})} }

// change does something under the lock and wakes the reader.
func (h *half) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	close(h.wake)
	h.wake = make(chan struct{})
}

func (h *half) write(b []byte) (n int, err error) {
	takes, lost := h.wires.pass(h.route)
	at := time.Now().Add(takes + time.Duration(lost)*resend)
	h.change(func() {
		if h.ended || h.left {
			err = net.ErrClosed
			return
		}
		if last := len(h.parts) - 1; last >= 0 && h.parts[last].at.After(at) {
			at = h.parts[last].at
		}
		h.parts, n = append(h.parts, part{append([]byte(nil), b...), at}), len(b)
	})
	return n, err
}

// read waits for something, the end, or the deadline.
func (h *half) read(b []byte) (int, error) {
	for {
		held, changed := h.wires.look(h.route)
		n, wait, wake, err := h.take(b, held)
		if n > 0 || err != nil {
			return n, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

const forever = 1000 * time.Hour

// take takes what there is, or says how long to wait for it.
func (h *half) take(b []byte, held bool) (n int, wait time.Duration, wake <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait, wake = forever, h.wake
	if !h.deadline.IsZero() {
		wait = time.Until(h.deadline)
	}
	switch {
	case h.left:
		return 0, 0, nil, net.ErrClosed
	case wait <= 0:
		return 0, 0, nil, os.ErrDeadlineExceeded
	case held:
		return 0, wait, wake, nil
	case len(h.parts) == 0 && h.ended:
		return 0, 0, nil, io.EOF
	case len(h.parts) == 0:
		return 0, wait, wake, nil
	}
	first := &h.parts[0]
	if early := time.Until(first.at); early > 0 {
		return 0, min(wait, early), wake, nil
	}
	n = copy(b, first.data)
	if first.data = first.data[n:]; len(first.data) == 0 {
		h.parts = h.parts[1:]
	}
	return n, 0, nil, nil
}

// pipe is one end of a connection in memory.
type pipe struct {
	in, out *half
	at      key // of the other end
}

// key names a node in raft's eyes.
type key string

func (key) Network() string  { return "virtual" }
func (k key) String() string { return string(k) }

var _ net.Conn = (*pipe)(nil)

func (p *pipe) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }

func (p *pipe) Close() error {
	p.in.change(func() { p.in.left = true })
	p.out.change(func() { p.out.ended = true })
	return nil
}

func (p *pipe) LocalAddr() net.Addr  { return key("") }
func (p *pipe) RemoteAddr() net.Addr { return p.at }

func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.change(func() { p.in.deadline = t })
	return nil
}

// SetWriteDeadline does nothing: writing never waits.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// exchange knows who listens.
type exchange struct {
	wires *wires
	mu    sync.Mutex
	at    map[string]*streams
	open  map[*pipe]struct{}
}

func newExchange(w *wires) *exchange {
	return &exchange{wires: w, at: map[string]*streams{}, open: map[*pipe]struct{}{}}
}

// streams is one node's raftlog.Streams.
type streams struct {
	*exchange
	number  int
	key     key
	arrived chan net.Conn
	over    chan struct{}
	once    sync.Once
}

func (e *exchange) listen(number int, name string) *streams {
	s := &streams{exchange: e, number: number, key: key(name), arrived: make(chan net.Conn), over: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at[name] = s
	return s
}

// reset breaks every connection, as a firewall does that forgets, and returns how many there were.
func (e *exchange) reset() int {
	e.mu.Lock()
	broken := e.open
	e.open = map[*pipe]struct{}{}
	e.mu.Unlock()
	for p := range broken {
		_ = p.Close()
	}
	return len(broken)
}

func (s *streams) Addr() net.Addr { return s.key }

func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.arrived:
		return c, nil
	case <-s.over:
		return nil, net.ErrClosed
	}
}

func (s *streams) Close() error {
	s.once.Do(func() { close(s.over) })
	return nil
}

var errRefused = errors.New("virtual: nobody listens there")

func (s *streams) Dial(node string, timeout time.Duration) (net.Conn, error) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	s.mu.Lock()
	to := s.at[node]
	s.mu.Unlock()
	if to == nil {
		return nil, errRefused
	}
	there, back := route{s.number, to.number}, route{to.number, s.number}
	for _, r := range []route{there, back} {
		for held, changed := s.wires.look(r); held; held, changed = s.wires.look(r) {
			select {
			case <-changed:
			case <-limit.C:
				return nil, os.ErrDeadlineExceeded
			case <-s.over:
				return nil, net.ErrClosed
			}
		}
	}
	forth, reply := newHalf(s.wires, there), newHalf(s.wires, back)
	near, far := &pipe{in: reply, out: forth, at: to.key}, &pipe{in: forth, out: reply, at: s.key}
	select {
	case to.arrived <- far:
	case <-to.over:
		return nil, errRefused
	case <-s.over:
		return nil, net.ErrClosed
	case <-limit.C:
		return nil, os.ErrDeadlineExceeded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[near] = struct{}{}
	return near, nil
}

// connected returns both ends of a connection from node 0 to node 1.
func connected(t *testing.T, w *wires) (near, far net.Conn) {
	t.Helper()
	e := newExchange(w)
	from, to := e.listen(0, "NA"), e.listen(1, "NB")
	accepted := make(chan net.Conn)
	go func() {
		c, err := to.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	near, err := from.Dial("NB", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return near, <-accepted
}

func TestPipesCarryInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires(1)
		w.set(func(route) bool { return true }, weather{delay: time.Millisecond, vary: time.Second, loss: 200})
		near, far := connected(t, w)
		for i := range 100 {
			if _, err := near.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		_ = near.Close()
		got, err := io.ReadAll(far)
		if err != nil || len(got) != 100 {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
		for i, b := range got {
			if int(b) != i {
				t.Fatalf("byte %d is %d", i, b)
			}
		}
		if _, err := far.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("written to who has left: %v", err)
		}
	})
}

func TestPipesWaitForAHeldRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires(1)
		w.heal()
		near, far := connected(t, w)
		w.cut(1)
		if _, err := near.Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
		_ = far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("through a cut: %v", err)
		}
		_ = far.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Hour, w.heal)
		began := time.Now()
		if _, err := far.Read(make([]byte, 1)); err != nil || time.Since(began) < time.Hour-time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		_ = far.Close()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after the end: %v", err)
		}
	})
}

func TestDialsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires(1)
		w.heal()
		e := newExchange(w)
		from, to := e.listen(0, "NA"), e.listen(1, "NB")
		if _, err := from.Dial("NC", time.Second); !errors.Is(err, errRefused) {
			t.Errorf("to nobody: %v", err)
		}
		if _, err := from.Dial("NB", time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("to one who accepts nothing: %v", err)
		}
		w.cut(1)
		if _, err := from.Dial("NB", time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a cut: %v", err)
		}
		w.heal()
		_ = to.Close()
		if _, err := from.Dial("NB", time.Second); !errors.Is(err, errRefused) {
			t.Errorf("to one who has left: %v", err)
		}
		if _, err := to.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepted after the end: %v", err)
		}
	})
}
