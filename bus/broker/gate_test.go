package broker

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/bustest"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// stubGate admits the statements written into it, each only with its connect key.
type stubGate struct {
	mu   sync.Mutex
	book map[string]grant
	hook func() // called by every judgement, before it reads the book
}

type grant struct {
	connect   wire.PublicKey
	admission Admission
	err       error
}

func (g *stubGate) Admit(statement []byte, connect wire.PublicKey, _ int64) (Admission, error) {
	return g.ask("c"+string(statement), connect)
}

func (g *stubGate) AdmitInvited(statement []byte, connect wire.PublicKey, _ int64) (Admission, error) {
	return g.ask("i"+string(statement), connect)
}

var errUnknown = fault.New(fault.Unknown, "gate: unknown")

func (g *stubGate) ask(name string, connect wire.PublicKey) (Admission, error) {
	g.mu.Lock()
	hook := g.hook
	entry, ok := g.book[name]
	g.mu.Unlock()
	if hook != nil {
		hook()
	}
	if !ok || entry.connect != connect {
		return Admission{}, errUnknown
	}
	return entry.admission, entry.err
}

func (g *stubGate) set(name string, entry grant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.book[name] = entry
}

func (g *stubGate) setHook(hook func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook = hook
}

func testKey(n int) wire.Key { return wire.NewKey([32]byte{byte(n), byte(n >> 8), 0xcc}) }

var nodeID = identity.NewID(identity.Node, testKey(0).Public())

// fixture is a broker with its gate and what it has said.
type fixture struct {
	*Broker
	gate   *stubGate
	events chan Event
	next   int
}

func start(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{gate: &stubGate{book: map[string]grant{}}, events: make(chan Event, 4096)}
	config := Config{
		Realm: bustest.Realm, Node: nodeID, Key: testKey(0), Gate: f.gate, MaxPayload: 64 << 10,
		OnEvent: func(e Event) { f.events <- e },
		Logger:  slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}
	for _, c := range change {
		c(&config)
	}
	b, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	f.Broker = b
	return f
}

// wants waits for an event of the kind and returns it.
func (f *fixture) wants(t *testing.T, kind EventKind) Event {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e := <-f.events:
			if e.Kind == kind {
				return e
			}
		case <-deadline:
			t.Fatalf("no event %q", kind)
		}
	}
}

// agent is one admitted process.
type agent struct {
	id    identity.ID
	key   wire.Key
	grant grant
	name  string
}

// agent writes a new agent with the permissions into the gate's book.
func (f *fixture) agent(p bus.Permissions) *agent {
	f.next++
	id := bustest.ID(identity.Agent, byte(f.next))
	return f.process(id, p)
}

func (f *fixture) process(id identity.ID, p bus.Permissions) *agent {
	f.next++
	a := &agent{id: id, key: testKey(f.next), name: fmt.Sprintf("credential %d", f.next)}
	a.grant = grant{connect: a.key.Public(), admission: Admission{
		Principal: id, Process: wire.Hash([]byte(a.name)), Permissions: p, Rate: 1 << 30,
		Expires: time.Now().Add(time.Hour).UnixMilli(),
	}}
	f.gate.set("c"+a.name, a.grant)
	return a
}

// refuse makes the gate refuse the agent from now on.
func (f *fixture) refuse(a *agent, err error) {
	f.gate.set("c"+a.name, grant{connect: a.key.Public(), err: err})
}

func (a *agent) options(f *fixture) natsbus.Options {
	return natsbus.Options{
		Addresses: []string{f.Addr()}, Pins: []identity.ID{nodeID}, MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond,
		Present: func() (natsbus.Presentation, error) {
			return natsbus.Presentation{Connect: a.key, Statement: []byte(a.name)}, nil
		},
	}
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

func (f *fixture) dial(t *testing.T, a *agent) bus.Conn {
	t.Helper()
	return f.dialWith(t, a.options(f))
}

func (f *fixture) dialWith(t *testing.T, o natsbus.Options) bus.Conn {
	t.Helper()
	c, err := natsbus.Dial(ctx(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx(t)) })
	return c
}

// hub returns the node's own connection.
func (f *fixture) hub(t *testing.T) bus.Conn {
	t.Helper()
	c, err := f.Connect(ctx(t), bus.Observer{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx(t)) })
	return c
}

// raw connects a plain NATS client.
func (f *fixture) raw(t *testing.T, key wire.Key, token string, more ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	options := append([]nats.Option{
		nats.Secure(clientConfig(t, key)), nats.TLSHandshakeFirst(), nats.Token(token), nats.NoReconnect(), nats.Timeout(10 * time.Second),
	}, more...)
	c, err := nats.Connect(f.Addr(), options...)
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func token(a *agent) string { return base64.RawURLEncoding.EncodeToString([]byte(a.name)) }

func subject(words string) string {
	all := bus.In(bustest.Realm).All()
	return all[:len(all)-1] + words
}

func allow(publish, subscribe string) bus.Permissions {
	p := bus.Permissions{}
	if publish != "" {
		p.Publish = []string{subject(publish)}
	}
	if subscribe != "" {
		p.Subscribe = []string{subject(subscribe)}
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen subscribes and returns the data that comes.
func listen(t *testing.T, c bus.Conn, words string) <-chan string {
	t.Helper()
	got := make(chan string, 1<<16)
	_, err := c.Subscribe(subject(words), func(_ string, data []byte) { got <- string(data) })
	must(t, err)
	return got
}

func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-ctx(t).Done():
		t.Fatal("nothing came")
		return ""
	}
}

// conformance adapts the broker to the suite.
type conformance struct{ *fixture }

func (c conformance) MaxPayload() int { return c.config.MaxPayload }

func (c conformance) Join(t *testing.T, s bustest.Seat) bus.Conn {
	o := c.agent(s.Permissions).options(c.fixture)
	o.Observer, o.Queue, o.QueueBytes = s.Observer, s.Queue, s.QueueBytes
	return c.dialWith(t, o)
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bustest.Network { return conformance{start(t)} })
}

// inProcess joins the same suite over the pipe where a seat may do everything.
type inProcessNetwork struct{ conformance }

func (c inProcessNetwork) Join(t *testing.T, s bustest.Seat) bus.Conn {
	if s.Permissions.Within(bus.NodePermissions(bustest.Realm)) && bus.NodePermissions(bustest.Realm).Within(s.Permissions) && s.Queue > 1000 && s.QueueBytes == 0 {
		return c.hub(t)
	}
	return c.conformance.Join(t, s)
}

func TestConformanceInProcess(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bustest.Network { return inProcessNetwork{conformance{start(t)}} })
}

func present(c *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return c, nil }
}

func clientConfig(t *testing.T, key wire.Key) *tls.Config {
	t.Helper()
	certificate, err := peertls.Certificate(key)
	must(t, err)
	config, err := peertls.Client([]identity.ID{nodeID}, present(certificate))
	must(t, err)
	return config
}
