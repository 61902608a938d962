package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func testKey(n byte) wire.Key { return wire.NewKey([32]byte{n}) }

func nodeID(n byte) identity.ID { return identity.NewID(identity.Node, testKey(n).Public()) }

// cluster is the nodes of one realm, on the loopback.
type cluster struct {
	t     *testing.T
	realm wire.Realm

	mu      sync.Mutex
	members []identity.ID
	book    map[identity.ID]string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	t.Cleanup(func() { checkGoroutines(t) }) // last: after every node is closed
	return bare(t)
}

// bare is a cluster that does not look for goroutines at the end.
func bare(t *testing.T) *cluster {
	return &cluster{t: t, realm: wire.Realm{1}, book: map[identity.ID]string{}}
}

// checkGoroutines demands that no goroutine of the package is left. One that has just told its owner may still be on
// its last lines, so it yields to them until the test's own deadline.
func checkGoroutines(t *testing.T) {
	for stop := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "mesh.(*") {
			return
		}
		if time.Now().After(stop) {
			t.Errorf("goroutines are left:\n%s", stacks)
			return
		}
	}
}

func (c *cluster) Members() []identity.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

func (c *cluster) Locate(id identity.ID) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.book[id]
	return at, ok
}

func (c *cluster) admit(n byte, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, nodeID(n))
	c.book[nodeID(n)] = address
}

func (c *cluster) remove(n byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(id identity.ID) bool { return id == nodeID(n) })
}

// config is that of an honest node.
func (c *cluster) config(n byte) Config {
	return Config{
		Self: nodeID(n), Key: testKey(n), Realm: c.realm, Listen: "127.0.0.1:0",
		Members: c.Members, Locate: c.Locate,
		Handlers: map[string]Handler{"echo": echo},
	}
}

// node starts a member.
func (c *cluster) node(n byte, edits ...func(*Config)) *Mesh {
	c.t.Helper()
	m := c.outsider(n, edits...)
	c.admit(n, m.Addr())
	return m
}

// outsider starts a node that nobody has admitted.
func (c *cluster) outsider(n byte, edits ...func(*Config)) *Mesh {
	c.t.Helper()
	config := c.config(n)
	for _, edit := range edits {
		edit(&config)
	}
	m, err := Listen(config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return m
}

// handling adds a handler to a node's configuration.
func handling(op string, h Handler) func(*Config) {
	return func(c *Config) { c.Handlers[op] = h }
}

// echo answers with who asked and what.
func echo(_ context.Context, from identity.ID, body []byte) ([]byte, error) {
	return append([]byte(from.String()+" "), body...), nil
}

// within bounds what must not hang; it decides nothing.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wantEcho(t *testing.T, from *Mesh, to byte) {
	t.Helper()
	got, err := from.Call(within(t), nodeID(to), "echo", []byte("hello"))
	if want := from.config.Self.String() + " hello"; err != nil || string(got) != want {
		t.Errorf("echo: got %q, %v, want %q", got, err, want)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// await receives, or fails the test.
func await[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-within(t).Done():
		t.Fatal("nothing came")
	}
	return v
}

func TestNodesCallEachOther(t *testing.T) {
	c := newCluster(t)
	meshes := map[byte]*Mesh{1: c.node(1), 2: c.node(2), 3: c.node(3)}
	for from, m := range meshes {
		for to := range meshes {
			if from != to {
				wantEcho(t, m, to)
			}
		}
	}
}

func TestBodiesOfEverySize(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.node(2, handling("same", func(_ context.Context, _ identity.ID, b []byte) ([]byte, error) { return b, nil }))
	for _, size := range []int{0, 1, 4096, 1 << 18, MaxBody} {
		body := bytes.Repeat([]byte{7}, size)
		got, err := one.Call(within(t), nodeID(2), "same", body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
	_, err := one.Call(within(t), nodeID(2), "same", make([]byte, MaxBody+1))
	wantErr(t, err, ErrTooLarge)
	for _, op := range []string{"", strings.Repeat("x", maxOp+1)} {
		_, err := one.Call(within(t), nodeID(2), op, nil)
		wantErr(t, err, ErrConfig)
	}
}

func TestConcurrentCallsShareOneConnection(t *testing.T) {
	c := newCluster(t)
	var dials atomic.Int32
	one := c.node(1, func(c *Config) {
		c.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	c.node(2, handling("same", func(_ context.Context, _ identity.ID, b []byte) ([]byte, error) { return b, nil }))
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for j := range 10 {
				want := fmt.Sprintf("%d/%d", i, j)
				got, err := one.Call(within(t), nodeID(2), "same", []byte(want))
				if err != nil || string(got) != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	callers.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

func TestASlowCallHoldsUpNobody(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	begun, release := make(chan struct{}), make(chan struct{})
	c.node(2, handling("slow", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		close(begun)
		<-release
		return []byte("late"), nil
	}))
	answer := make(chan string, 1)
	go func() {
		b, err := one.Call(within(t), nodeID(2), "slow", nil)
		answer <- fmt.Sprint(string(b), err)
	}()
	await(t, begun)
	wantEcho(t, one, 2)
	close(release)
	if got := await(t, answer); got != "late<nil>" {
		t.Errorf("the slow call gave %s", got)
	}
}

func TestListenRefuses(t *testing.T) {
	c := newCluster(t)
	honest := c.node(9)
	for name, row := range map[string]struct {
		edit func(*Config)
		want error
	}{
		"honest":             {func(*Config) {}, nil},
		"no key":             {func(c *Config) { c.Key = wire.Key{} }, ErrConfig},
		"another's key":      {func(c *Config) { c.Key = testKey(2) }, ErrConfig},
		"an agent":           {func(c *Config) { c.Self = identity.NewID(identity.Agent, testKey(1).Public()) }, ErrConfig},
		"no realm":           {func(c *Config) { c.Realm = wire.Realm{} }, ErrConfig},
		"no members":         {func(c *Config) { c.Members = nil }, ErrConfig},
		"no addresses":       {func(c *Config) { c.Locate = nil }, ErrConfig},
		"a nameless handler": {handling("", echo), ErrConfig},
		"a long name":        {handling(strings.Repeat("x", maxOp+1), echo), ErrConfig},
		"a handler of nil":   {handling("nil", nil), ErrConfig},
	} {
		config := c.config(1)
		row.edit(&config)
		m, err := Listen(config)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
		if err == nil {
			wantErr(t, m.Close(), nil)
			wantErr(t, m.Close(), nil) // again
		}
	}
	config := c.config(1)
	config.Listen = honest.Addr()
	_, err := Listen(config)
	wantCode(t, err, fault.InUse)
	if fault.HintOf(err) == "" {
		t.Error("no hint")
	}
	config.Listen = "nowhere"
	if _, err := Listen(config); err == nil {
		t.Error("listens nowhere")
	}
}

func TestDialsRefused(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	wantEcho(t, one, 2)
	call := func(m *Mesh, to byte) error {
		_, err := m.Call(within(t), nodeID(to), "echo", nil)
		return err
	}
	t.Run("not a member", func(t *testing.T) {
		outsider := c.outsider(7)
		wantErr(t, call(one, 7), ErrStranger)        // the dialler's own roster
		wantCode(t, call(outsider, 2), fault.Denied) // the listener's answer
		wantCode(t, call(outsider, 2), fault.Denied) // nothing is remembered in its favour
		if hint := fault.HintOf(call(outsider, 2)); hint == "" {
			t.Error("no hint")
		}
	})
	t.Run("no address", func(t *testing.T) {
		c.admit(6, "")
		c.mu.Lock()
		delete(c.book, nodeID(6))
		c.mu.Unlock()
		wantErr(t, call(one, 6), ErrUnreachable)
	})
	t.Run("nobody there", func(t *testing.T) {
		c.admit(5, deadAddress(t))
		wantErr(t, call(one, 5), ErrUnreachable)
	})
	t.Run("another node's address", func(t *testing.T) {
		c.admit(4, two.Addr())
		err := call(one, 4)
		wantErr(t, err, peertls.ErrPin)
	})
	t.Run("own address", func(t *testing.T) {
		c.admit(3, one.Addr())
		err := call(one, 3)
		wantErr(t, err, ErrSelf)
		wantCode(t, err, fault.InUse)
	})
	t.Run("itself", func(t *testing.T) { wantErr(t, call(one, 1), ErrSelf) })
	t.Run("another realm with the same keys", func(t *testing.T) {
		other := bare(t)
		other.realm = wire.Realm{2}
		twin := other.node(1)
		other.admit(2, two.Addr())
		wantCode(t, call(twin, 2), fault.WrongRealm)
	})
	t.Run("a program that is no node", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Write([]byte("220 mail\r\n"))
				conn.Close()
			}
		}()
		c.admit(8, listener.Addr().String())
		wantErr(t, call(one, 8), ErrUnreachable)
	})
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestANodeThatComesBackIsCalledAgain(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	two := c.node(2)
	wantEcho(t, one, 2)
	address := two.Addr()
	wantErr(t, two.Close(), nil)
	// Until the connection's end is noticed, a call may be lost; from then on the node is unreachable.
	for {
		_, err := one.Call(within(t), nodeID(2), "echo", nil)
		if errors.Is(err, ErrUnreachable) {
			break
		}
		wantErr(t, err, ErrUncertain)
	}
	c.outsider(2, func(c *Config) { c.Listen = address })
	wantEcho(t, one, 2)
}

func TestCloseWithCallsInFlight(t *testing.T) {
	c := newCluster(t)
	begun, ended := make(chan struct{}, 2), make(chan error, 2)
	wait := handling("wait", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	one, two := c.node(1, wait), c.node(2, wait)
	lost := make(chan error, 2)
	go func() { _, err := one.Call(within(t), nodeID(2), "wait", nil); lost <- err }()
	go func() { _, err := two.Call(within(t), nodeID(1), "wait", nil); lost <- err }()
	await(t, begun)
	await(t, begun)
	wantErr(t, two.Close(), nil)
	for range 2 {
		wantErr(t, await(t, ended), context.Canceled)
		wantCode(t, await(t, lost), fault.Uncertain)
	}
	_, err := two.Call(within(t), nodeID(1), "echo", nil)
	wantErr(t, err, ErrClosed)
	_, err = two.Streams(Raft).DialNode(nodeID(1).String(), time.Minute)
	wantCode(t, err, fault.Unreachable)
}
