package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/bustest"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// members is what a node's ledger would say of who belongs to the realm.
type members struct {
	mu   sync.Mutex
	list []identity.ID
}

func (m *members) get() []identity.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list
}

func (m *members) set(list ...identity.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = list
}

func meshKey(n int) wire.Key { return testKey(5000 + n) }

func meshID(n int) identity.ID { return identity.NewID(identity.Node, meshKey(n).Public()) }

// meshNode is one broker of several; it believes the first ten to be members unless told otherwise.
type meshNode struct {
	*fixture
	id      identity.ID
	members *members
}

func startNode(t *testing.T, n int, change ...func(*Config)) *meshNode {
	t.Helper()
	m := &meshNode{id: meshID(n), members: &members{}}
	for i := range 10 {
		m.members.list = append(m.members.list, meshID(i))
	}
	m.fixture = start(t, append([]func(*Config){func(c *Config) {
		c.Node, c.Key, c.Cluster = m.id, meshKey(n), &Cluster{Members: m.members.get}
	}}, change...)...)
	m.fixture.next = 100 * n // agents of different nodes differ
	return m
}

func (m *meshNode) route() Route { return Route{Node: m.id, Address: m.ClusterAddr()} }

// expect gives a node routes to the others.
func (m *meshNode) expect(t *testing.T, others ...*meshNode) {
	t.Helper()
	var routes []Route
	for _, o := range others {
		if o != m {
			routes = append(routes, o.route())
		}
	}
	must(t, m.Routes(routes))
}

// seesOnly waits until the node has routes with exactly the others.
func (m *meshNode) seesOnly(t *testing.T, others ...*meshNode) {
	t.Helper()
	var want []identity.ID
	for _, o := range others {
		if o != m {
			want = append(want, o.id)
		}
	}
	slices.SortFunc(want, identity.ID.Compare)
	until(t, func() bool { return slices.Equal(m.Peers(), want) }, func() string { return fmt.Sprintf("peers %v, want %v", m.Peers(), want) })
}

// until polls what nats-server tells to nobody.
func until(t *testing.T, done func() bool, state func() string) {
	t.Helper()
	ticker, bound := time.NewTicker(2*time.Millisecond), ctx(t)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-bound.Done():
			t.Fatal(state())
		}
	}
}

// mesh starts n brokers with routes between all.
func mesh(t *testing.T, n int) []*meshNode {
	t.Helper()
	nodes := make([]*meshNode, n)
	for i := range nodes {
		nodes[i] = startNode(t, i)
	}
	connectAll(t, nodes...)
	return nodes
}

func connectAll(t *testing.T, nodes ...*meshNode) {
	t.Helper()
	for _, m := range nodes {
		m.expect(t, nodes...)
	}
	for _, m := range nodes {
		m.seesOnly(t, nodes...)
	}
}

// newAgent makes an agent that all the nodes' gates know.
func newAgent(p bus.Permissions, nodes ...*meshNode) *agent {
	a := nodes[0].agent(p)
	for _, m := range nodes[1:] {
		m.gate.set("c"+a.name, a.grant)
	}
	return a
}

// at returns options to reach the nodes, in that order.
func (a *agent) at(nodes ...*meshNode) natsbus.Options {
	o := a.options(nodes[0].fixture)
	o.Addresses, o.Pins, o.Ordered = nil, nil, true
	for _, m := range nodes {
		o.Addresses, o.Pins = append(o.Addresses, m.Addr()), append(o.Pins, m.id)
	}
	return o
}

// reach publishes on a subject until the channel has something: a subscription becomes known to other nodes some time
// after the node it was made at has it.
func reach(t *testing.T, from bus.Conn, words string, got <-chan string) {
	t.Helper()
	until(t, func() bool {
		must(t, from.Publish(ctx(t), subject(words), []byte("probe")))
		select {
		case <-got:
			return true
		default:
			return false
		}
	}, func() string { return "no probe arrived" })
}

func nextBut(t *testing.T, got <-chan string, skipped string) string {
	t.Helper()
	for {
		if s := next(t, got); s != skipped {
			return s
		}
	}
}

func TestMessagesCrossRoutes(t *testing.T) {
	nodes := mesh(t, 3)
	asker := nodes[0].dialWith(t, newAgent(allow("ask", "answer"), nodes[0]).at(nodes[0]))
	server := nodes[2].dialWith(t, newAgent(allow("answer", "ask"), nodes[2]).at(nodes[2]))
	answers := listen(t, asker, "answer")
	asked := make(chan string, 1<<12)
	_, err := server.Subscribe(subject("ask"), func(_ string, data []byte) {
		asked <- string(data)
		if err := server.Publish(context.Background(), subject("answer"), append([]byte("re: "), data...)); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	reach(t, asker, "ask", asked)
	reach(t, asker, "ask", answers) // the way back is known too
	for i := range 50 {
		must(t, asker.Publish(ctx(t), subject("ask"), []byte(strconv.Itoa(i))))
		if s := nextBut(t, answers, "re: probe"); s != "re: "+strconv.Itoa(i) {
			t.Fatalf("answer %q to %d", s, i)
		}
	}
	hub := nodes[1].hub(t)
	words := listen(t, hub, "nod.*")
	reach(t, nodes[0].hub(t), "nod."+nodes[0].id.String(), words)
}

// shake does what a node with the key would to get a route, and returns what the broker says first, or why it does not.
func (m *meshNode) shake(t *testing.T, key wire.Key) (*tls.Conn, string, error) {
	t.Helper()
	certificate, err := peertls.Certificate(key)
	must(t, err)
	config, err := peertls.Client([]identity.ID{m.id}, present(certificate))
	must(t, err)
	conn, err := tls.Dial("tcp", m.ClusterAddr(), config)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	first := make([]byte, 4096)
	n, err := conn.Read(first)
	return conn, string(first[:n]), err
}

func TestOnlyMembersAskedForGetRoutes(t *testing.T) {
	t.Parallel()
	m := startNode(t, 0)
	m.members.set(m.id, meshID(1), meshID(2))
	must(t, m.Routes([]Route{{Node: meshID(1)}, {Node: meshID(3)}}))
	for _, row := range []struct {
		name string
		key  wire.Key
		ok   bool
	}{
		{"member with a route", meshKey(1), true},
		{"member without a route", meshKey(2), false},
		{"route without membership", meshKey(3), false},
		{"stranger", meshKey(4), false},
		{"the node itself", meshKey(0), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, said, err := m.shake(t, row.key)
			if row.ok && (err != nil || !strings.HasPrefix(said, "INFO ")) {
				t.Errorf("heard %q, %v", said, err)
			}
			if !row.ok && (err == nil || said != "") {
				t.Errorf("a stranger heard %q", said)
			}
		})
	}
}

func TestRoutesNeedTLS13AndACertificate(t *testing.T) {
	m := startNode(t, 0)
	must(t, m.Routes([]Route{{Node: meshID(1)}}))
	if _, said, err := m.shake(t, meshKey(1)); err != nil || !strings.HasPrefix(said, "INFO ") {
		t.Fatalf("the honest twin heard %q, %v", said, err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": {InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
		"TLS 1.2":        {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
	} {
		conn, err := tls.Dial("tcp", m.ClusterAddr(), config)
		if err != nil {
			continue
		}
		must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		if n, err := conn.Read(make([]byte, 16)); err == nil || n > 0 {
			t.Errorf("%s: heard something", name)
		}
		conn.Close()
	}
	conn, err := net.Dial("tcp", m.ClusterAddr())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	fmt.Fprintf(conn, "INFO {}\r\nCONNECT {}\r\nPING\r\n")
	said, _ := io.ReadAll(conn)
	if strings.Contains(string(said), "INFO") || strings.Contains(string(said), "PONG") {
		t.Errorf("plain TCP heard %q", said)
	}
}

// TestAFourthNodeStaysOutside: it has a good key and the realm's name, and dials a node that does not expect it.
func TestAFourthNodeStaysOutside(t *testing.T) {
	refused := make(lines, 256)
	nodes := []*meshNode{startNode(t, 0, func(c *Config) { c.Logger = refused.logger() }), startNode(t, 1)}
	connectAll(t, nodes...)
	fourth := startNode(t, 4)
	fourth.expect(t, nodes...)
	refused.wants(t, "handshake") // and it tries again
	refused.wants(t, "handshake")
	if peers := fourth.Peers(); len(peers) > 0 {
		t.Errorf("it has routes to %v", peers)
	}
	for _, m := range nodes {
		m.seesOnly(t, nodes...)
	}
	connectAll(t, nodes[0], nodes[1], fourth) // expected, it gets them
}

func TestRemovalCutsTheRoute(t *testing.T) {
	nodes := mesh(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	all := newAgent(allow("x", "x"), nodes...)
	keeps := a.dialWith(t, all.at(a))
	got := listen(t, keeps, "x")
	stays, goes := c.hub(t), b.hub(t)
	reach(t, stays, "x", got)
	reach(t, goes, "x", got)
	must(t, goes.Flush(ctx(t)))
	a.expect(t, c)
	c.expect(t, a)
	a.seesOnly(t, c)
	c.seesOnly(t, a)
	b.seesOnly(t) // though it expects them still
	must(t, goes.Publish(ctx(t), subject("x"), []byte("gone")))
	must(t, goes.Flush(ctx(t)))
	must(t, stays.Publish(ctx(t), subject("x"), []byte("here")))
	if s := nextBut(t, got, "probe"); s != "here" {
		t.Errorf("heard %q", s)
	}
	if _, said, err := a.shake(t, meshKey(1)); err == nil {
		t.Errorf("the removed node heard %q", said)
	}
}

// TestRouteHeldBackIsCut: a node lets a connection wait that its peer has accepted, is removed, and then makes it a route.
func TestRouteHeldBackIsCut(t *testing.T) {
	info := func(m *meshNode, n int) string {
		return fmt.Sprintf("INFO {\"server_id\":\"ID%d\",\"server_name\":%q,\"cluster\":%q,\"proto\":1,\"host\":\"127.0.0.1\","+
			"\"port\":1,\"route_pool_size\":1,\"compression\":\"off\",\"max_payload\":1000}\r\n", n, meshID(n), m.config.Cluster.Name)
	}
	login := func(m *meshNode, n int) string {
		return fmt.Sprintf("CONNECT {\"name\":\"ID%d\",\"cluster\":%q,\"lnoc\":true,\"ln\":true}\r\nPING\r\n", n, m.config.Cluster.Name)
	}
	m := startNode(t, 0)
	both := []Route{{Node: meshID(1)}, {Node: meshID(2)}}
	must(t, m.Routes(both))
	var conns []*tls.Conn
	for _, n := range []int{1, 2} {
		conn, _, err := m.shake(t, meshKey(n))
		must(t, err)
		_, err = io.WriteString(conn, login(m, n))
		must(t, err)
		answer := make([]byte, 4096)
		for seen := ""; !strings.Contains(seen, "PONG"); {
			k, err := conn.Read(answer)
			must(t, err)
			seen += string(answer[:k])
		}
		conns = append(conns, conn)
	}
	_, err := io.WriteString(conns[0], info(m, 1))
	must(t, err)
	until(t, func() bool { return slices.Equal(m.Peers(), []identity.ID{meshID(1)}) }, func() string { return "the honest twin got no route" })
	must(t, m.Routes(both[:1]))
	_, err = io.WriteString(conns[1], info(m, 2))
	must(t, err)
	_, _ = io.Copy(io.Discard, conns[1]) // ends when the broker hangs up
	until(t, func() bool { return slices.Equal(m.Peers(), []identity.ID{meshID(1)}) }, func() string { return "the removed node has a route" })
	if err := conns[1].SetReadDeadline(time.Now()); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestGrowth: clients of the first node notice nothing while it gets a second and a third.
func TestGrowth(t *testing.T) {
	first := startNode(t, 0)
	broken := make(chan error, 16)
	watch := bus.Observer{Disconnected: func(err error) { broken <- err }, Refused: func(err error) { broken <- err }}
	o, p := newAgent(allow("there", "back"), first).at(first), newAgent(allow("back", "there"), first).at(first)
	o.Observer, p.Observer = watch, watch
	one, two := first.dialWith(t, o), first.dialWith(t, p)
	back := listen(t, one, "back")
	_, err := two.Subscribe(subject("there"), func(_ string, data []byte) {
		if err := two.Publish(context.Background(), subject("back"), data); err != nil {
			broken <- err
		}
	})
	must(t, err)
	var exchanged atomic.Int64
	stop, stopped, bound := make(chan struct{}), make(chan error, 1), ctx(t)
	go func() {
		for i := 0; !isClosed(stop); i++ {
			if err := one.Publish(bound, subject("there"), []byte(strconv.Itoa(i))); err != nil {
				stopped <- err
				return
			}
			select {
			case s := <-back:
				if s != strconv.Itoa(i) {
					stopped <- fmt.Errorf("got %s, want %d", s, i)
					return
				}
			case <-bound.Done():
				stopped <- fmt.Errorf("message %d was lost", i)
				return
			}
			exchanged.Add(1)
		}
		stopped <- nil
	}()
	nodes := []*meshNode{first}
	for n := 1; n < 3; n++ {
		before := exchanged.Load()
		nodes = append(nodes, startNode(t, n))
		connectAll(t, nodes...)
		until(t, func() bool { return exchanged.Load() > before+10 }, func() string { return "the exchange stands still" })
	}
	close(stop)
	must(t, <-stopped)
	far := listen(t, nodes[2].hub(t), "far")
	reach(t, first.hub(t), "far", far)
	must(t, errors.Join(one.Flush(ctx(t)), two.Flush(ctx(t))))
	if len(broken) > 0 {
		t.Errorf("a client was disturbed: %v", <-broken)
	}
}

// TestConnectWhileRoutesChange: a reload neither hinders an honest client that is logging in nor helps another.
func TestConnectWhileRoutesChange(t *testing.T) {
	m := startNode(t, 0)
	stop := make(chan struct{})
	var changing sync.WaitGroup
	for n := range 2 { // two at a time, too
		changing.Go(func() {
			for i := 0; !isClosed(stop); i++ {
				must(t, m.Routes([]Route{{Node: meshID(1 + n + 2*(i%2))}}))
			}
		})
	}
	defer changing.Wait()
	defer close(stop)
	stays := m.agent(allow("stays", "stays"))
	c := m.dialWith(t, stays.at(m))
	got := listen(t, c, "stays")
	wrong := m.agent(allow("x", "x"))
	m.refuse(wrong, errUnknown)
	hub := listen(t, m.hub(t), ">")
	for i := range 60 {
		m.dialWith(t, m.agent(allow("x", "x")).at(m))
		if _, err := natsbus.Dial(ctx(t), wrong.at(m)); !errors.Is(err, natsbus.ErrRefused) {
			t.Fatalf("round %d: a wrong client got %v", i, err)
		}
		must(t, c.Publish(ctx(t), subject("forbidden"), []byte("forged")))
		must(t, c.Publish(ctx(t), subject("stays"), []byte(strconv.Itoa(i))))
		if s := next(t, got); s != strconv.Itoa(i) {
			t.Fatalf("round %d: heard %q", i, s)
		}
		if s := next(t, hub); s != strconv.Itoa(i) {
			t.Fatalf("round %d: the node heard %q", i, s)
		}
	}
	m.refuse(stays, errUnknown)
	if n := m.Revoke(stays.id); n != 1 {
		t.Errorf("revoked %d", n)
	}
}

// TestClientsOfADeadNodeComeBackElsewhere also shows that they wait for nothing: a delay would last an hour.
func TestClientsOfADeadNodeComeBackElsewhere(t *testing.T) {
	nodes := mesh(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	up := make(chan struct{}, 8)
	o := newAgent(allow("x", "y"), nodes...).at(b, a, c)
	o.MinDelay, o.MaxDelay = time.Hour, time.Hour
	o.Observer.Connected = func() { up <- struct{}{} }
	moved, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	defer moved.Close(ctx(t))
	if moved.Node() != b.id {
		t.Fatalf("connected to %s", moved.Node())
	}
	got := listen(t, moved, "y")
	other := c.hub(t)
	reach(t, other, "y", got)
	b.Close()
	select {
	case <-up:
	case <-ctx(t).Done():
		t.Fatal("it did not come back")
	}
	if moved.Node() != a.id && moved.Node() != c.id {
		t.Errorf("came back at %s", moved.Node())
	}
	reach(t, other, "y", got)
	heard := listen(t, other, "x")
	reach(t, moved, "x", heard)
	a.seesOnly(t, c)
}

func TestRoutesAreChecked(t *testing.T) {
	m := startNode(t, 0)
	good := Route{Node: meshID(1), Address: "127.0.0.1:9"}
	must(t, m.Routes([]Route{good, {Node: meshID(2)}}))
	must(t, m.Routes([]Route{good, {Node: meshID(2)}})) // changes nothing
	for name, routes := range map[string][]Route{
		"twice":           {good, good},
		"itself":          {{Node: m.id, Address: "127.0.0.1:9"}},
		"nobody":          {{Address: "127.0.0.1:9"}},
		"an agent":        {{Node: bustest.ID(identity.Agent, 1), Address: "127.0.0.1:9"}},
		"no port":         {{Node: meshID(1), Address: "127.0.0.1"}},
		"port 0":          {{Node: meshID(1), Address: "127.0.0.1:0"}},
		"no host":         {{Node: meshID(1), Address: ":9"}},
		"port in letters": {{Node: meshID(1), Address: "127.0.0.1:nats"}},
	} {
		if err := m.Routes(routes); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if alone := start(t); alone.ClusterAddr() != "" || alone.Peers() != nil || !errors.Is(alone.Routes(nil), ErrConfig) {
		t.Error("a broker without a cluster has routes")
	}
	m.Close()
	if err := m.Routes(nil); !errors.Is(err, ErrRoutes) || len(m.Peers()) != 0 {
		t.Errorf("after Close: %v, peers %v", err, m.Peers())
	}
}

func TestClusterConfigIsChecked(t *testing.T) {
	m := startNode(t, 0)
	for name, row := range map[string]struct {
		cluster Cluster
		want    error
	}{
		"members unknown": {Cluster{}, ErrConfig},
		"every address":   {Cluster{Listen: ":0", Members: m.members.get}, ErrConfig},
		"bad port":        {Cluster{Listen: "127.0.0.1:x", Members: m.members.get}, ErrConfig},
		"address in use":  {Cluster{Listen: m.ClusterAddr(), Members: m.members.get}, ErrInUse},
	} {
		b, err := Start(Config{Realm: bustest.Realm, Node: meshID(1), Key: meshKey(1), Gate: m.gate, Cluster: &row.cluster})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil {
			b.Close()
		}
		if row.want == ErrInUse && !strings.Contains(fault.HintOf(err), m.ClusterAddr()) {
			t.Errorf("hint %q", fault.HintOf(err))
		}
	}
}

// TestARealmsBrokersMeetNoOthers: the name is the realm's, unless given.
func TestARealmsBrokersMeetNoOthers(t *testing.T) {
	a := startNode(t, 0)
	said := make(lines, 256)
	other := startNode(t, 1, func(c *Config) { c.Cluster.Name, c.Logger = "another", said.logger() })
	a.expect(t, other)
	other.expect(t, a)
	said.wants(t, "cluster name")
	if len(a.Peers())+len(other.Peers()) > 0 {
		t.Error("two clusters have a route")
	}
}

// TestChangingRoutesWarnsOfNothing but that a node which was removed is refused.
func TestChangingRoutesWarnsOfNothing(t *testing.T) {
	said := make(lines, 256)
	m := startNode(t, 0, func(c *Config) { c.Logger = said.logger() })
	connectAll(t, m, startNode(t, 1))
	if len(said) > 0 {
		t.Errorf("said %s", <-said)
	}
	must(t, m.Routes(nil))
	m.Close()
	for len(said) > 0 {
		if s := <-said; !strings.Contains(s, "authentication error") && !strings.Contains(s, errStranger.Error()) {
			t.Errorf("said %s", s)
		}
	}
}
