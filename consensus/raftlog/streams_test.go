package raftlog

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

// book knows where the nodes of a test listen.
type book struct {
	mu    sync.Mutex
	nodes map[string]string // key to host:port
}

func newBook() *book { return &book{nodes: make(map[string]string)} }

// tcp is Streams without any protection, over TCP.
type tcp struct {
	net.Listener
	key  string
	book *book
}

type keyAddr string

func (keyAddr) Network() string  { return "key" }
func (a keyAddr) String() string { return string(a) }

func (b *book) listen(t testing.TB, key string) tcp {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes[key] = listener.Addr().String()
	return tcp{listener, key, b}
}

func (p tcp) Addr() net.Addr { return keyAddr(p.key) }

func (p tcp) Dial(node string, timeout time.Duration) (net.Conn, error) {
	p.book.mu.Lock()
	address, ok := p.book.nodes[node]
	p.book.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("nobody knows %s", node)
	}
	return net.DialTimeout("tcp", address, timeout)
}

// TestGrowOverTCP grows from one node to three under writes, over real connections, loses its leader, and gets it back.
func TestGrowOverTCP(t *testing.T) {
	b := newBook()
	c := newCluster(t, 1, recorders)
	defer c.close()
	streams := func(m *member, joins bool) func(*Config) {
		return func(cfg *Config) {
			cfg.transport, cfg.Streams, cfg.Joins = nil, b.listen(t, m.key), joins
			cfg.Pace = 2
		}
	}
	first := c.nodes[0]
	log := first.start(streams(first, false))

	stop, written := make(chan struct{}), make(chan int, 1)
	go func() { // appends until it is told to stop; every append must succeed
		for n := 0; ; n++ {
			select {
			case <-stop:
				written <- n
				return
			default:
			}
			if _, _, err := log.Append(t.Context(), padded(n)); err != nil {
				t.Errorf("Append %d during growth: %v", n, err)
				written <- n
				return
			}
		}
	}()
	var ids []string
	for range 2 {
		m := c.add(recorders)
		m.start(streams(m, true))
		if err := log.Admit(t.Context(), m.log.ServerID()); err != nil {
			t.Fatal(err)
		}
		if err := m.log.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.log.ServerID())
	}
	for {
		err := log.Promote(t.Context(), ids...)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrBehind) {
			t.Fatal(err)
		}
		for _, m := range c.nodes[1:] { // the leader writes faster than they follow
			if err := m.log.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	n := <-written
	if got := len(c.level()); got != n {
		t.Errorf("%d entries, %d were acknowledged", got, n)
	}
	old := c.leader()
	old.crash()
	survivor := c.nodes[(old.number+1)%3]
	c.leader()
	add(t, survivor.log, n, n+50)
	old.start(streams(old, false))
	if err := old.log.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, old.log, n+50, n+60)
	c.level()
	holds(t, old.current.(*logtest.Recorder), n+60)
}

// TestCloseEndsEveryConnection: raft's own transport leaves open what it has accepted.
func TestCloseEndsEveryConnection(t *testing.T) {
	b := newBook()
	inner := b.listen(t, testNode)
	cfg := testConfig(t.TempDir(), new(logtest.Recorder))
	cfg.Streams = inner
	log, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mute, err := inner.Dial(testNode, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }()
	if _, err := mute.Write([]byte{0}); err != nil { // the beginning of a call
		t.Fatal(err)
	}
	shut(t, log)
	if _, err := mute.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if _, err := inner.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the streams are open: %v", err)
	}
}

func TestLayerAfterItsEnd(t *testing.T) {
	b := newBook()
	there := b.listen(t, "NB")
	l := &layer{Streams: b.listen(t, "NA"), open: make(map[*conn]struct{})}
	dialed, err := l.Dial("NB", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := dialed.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection that was open: %v", err)
	}
	for range 2 {
		_ = dialed.Close()
	}
	if _, err := l.Dial("NB", time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial after the end: %v", err)
	}
	l.wait()
	_ = there.Close()
}

func TestOpenClosesStreamsWhenItFails(t *testing.T) {
	b := newBook()
	dir := t.TempDir()
	shut(t, open(t, dir, new(logtest.Recorder)))
	other := strings.Replace(testNode, "A", "B", 1)
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"another's address", func(c *Config) { c.Streams = b.listen(t, other) }, ErrConfig},
		{"another's directory", func(c *Config) { c.NodeKey = other; c.Streams = b.listen(t, other) }, ErrWrongNode},
	} {
		cfg := testConfig(dir, new(logtest.Recorder))
		test.change(&cfg)
		if _, err := Open(t.Context(), cfg); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := cfg.Streams.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the streams are open: %v", test.name, err)
		}
	}
	cfg := testConfig(dir, new(logtest.Recorder))
	cfg.Streams = b.listen(t, testNode)
	log, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := log.Servers(); !slices.Equal(got, []Server{{ID: log.ServerID(), Node: testNode, Voter: true}}) {
		t.Errorf("servers %v", got)
	}
	shut(t, log)
}
