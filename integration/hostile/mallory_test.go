//go:build hostile

package hostile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// record is what a node says of itself or another, as nodes encode it.
type record struct {
	Node    identity.ID `cbor:"1,keyasint"`
	Cluster string      `cbor:"2,keyasint"`
	Client  string      `cbor:"3,keyasint,omitempty"`
	Routes  string      `cbor:"4,keyasint,omitempty"`
	Server  string      `cbor:"5,keyasint,omitempty"`
	Version string      `cbor:"6,keyasint,omitempty"`
	Feature uint64      `cbor:"7,keyasint,omitempty"`
	Stamp   int64       `cbor:"8,keyasint"`
}

type progress struct {
	Size    uint64 `cbor:"1,keyasint"`
	Applied uint64 `cbor:"2,keyasint"`
}

// greeting is what nodes tell each other every second.
type greeting struct {
	record
	Progress progress `cbor:"9,keyasint"`
	Known    []record `cbor:"10,keyasint,omitempty"`
}

// mallory is the hostile node. It has the key and the directory of a node of the roster.
type mallory struct {
	*realm
	identity.Signer
	dir    string
	mesh   *mesh.Mesh
	broker *broker.Broker
	conn   bus.Conn
	server string // name of its log, as the honest node had it

	mu       sync.Mutex
	where    map[identity.ID]string
	handlers map[string]mesh.Handler
}

// replace closes a node and takes its place.
func (r *realm) replace(n *node.Node) *mallory {
	r.t.Helper()
	m := &mallory{
		realm: r, dir: r.dirs[n.ID()], where: map[identity.ID]string{}, handlers: map[string]mesh.Handler{},
	}
	r.stop(n)
	m.server = r.book(r.nodes[0])[n.ID()].Server
	m.rise()
	return m
}

// book returns what an honest node keeps of the others on disk.
func (r *realm) book(n *node.Node) map[identity.ID]record {
	r.t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dirs[n.ID()], "book.cbor"))
	if err != nil {
		r.t.Fatal(err)
	}
	var list []record
	if err := wire.Decode(raw, &list); err != nil {
		r.t.Fatal(err)
	}
	known := map[identity.ID]record{}
	for _, e := range list {
		known[e.Node] = e
	}
	return known
}

// rise begins to listen with the node's key. Every operation is answered by what handlers hold at that moment.
func (m *mallory) rise() {
	m.t.Helper()
	var err error
	if m.Signer, err = agefile.Load(filepath.Join(m.dir, "node.key"), nil); err != nil {
		m.t.Fatal(err)
	}
	table := map[string]mesh.Handler{}
	for _, op := range []string{"hello", "append", "barrier", "transfer", "cosign", "sender", "present", "gone"} {
		table[op] = func(ctx context.Context, from identity.ID, body []byte) ([]byte, error) {
			m.mu.Lock()
			h := m.handlers[op]
			m.mu.Unlock()
			if h == nil {
				return nil, errNotToday
			}
			return h(ctx, from, body)
		}
	}
	members := m.authority().Members()
	for _, n := range m.nodes {
		m.where[n.ID()] = n.ClusterAddr()
	}
	m.mesh, err = mesh.Listen(mesh.Config{
		Self: m.ID(), Key: m.Key(), Realm: m.realm.id, Listen: anywhere, Members: func() []identity.ID { return members },
		Locate: m.locate, Handlers: table,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = m.mesh.Close() })
}

func (m *mallory) locate(id identity.ID) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.where[id]
	return at, ok
}

// answers sets what the node answers to an operation.
func (m *mallory) answers(op string, h mesh.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handlers[op] = h
}

var errNotToday = errors.New("not today")

// call asks an honest node for an operation.
func (m *mallory) call(to *node.Node, op string, body any) ([]byte, error) {
	m.t.Helper()
	raw, isRaw := body.([]byte)
	if !isRaw {
		var err error
		if raw, err = wire.Encode(body); err != nil {
			m.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	return m.mesh.Call(ctx, to.ID(), op, raw)
}

// honest returns what the node would say of itself if it were honest.
func (m *mallory) honest() greeting {
	g := greeting{record: record{
		Node: m.ID(), Cluster: m.mesh.Addr(), Client: "127.0.0.1:9", Server: m.server, Feature: registry.Feature, Stamp: time.Now().UnixMilli(),
	}}
	if m.broker != nil {
		g.Client, g.Routes = m.broker.Addr(), m.broker.ClusterAddr()
	}
	return g
}

// greet says something to an honest node and returns what that one answers.
func (m *mallory) greet(to *node.Node, g greeting) (greeting, error) {
	m.t.Helper()
	raw, err := m.call(to, "hello", g)
	if err != nil {
		return greeting{}, err
	}
	var out greeting
	return out, wire.Decode(raw, &out)
}

// greetAll says something to all honest nodes.
func (m *mallory) greetAll(g greeting) (err error) {
	m.t.Helper()
	for _, n := range m.nodes {
		_, failed := m.greet(n, g)
		err = errors.Join(err, failed)
	}
	return err
}

// nobody lets no client in.
type nobody struct{}

func (nobody) Admit([]byte, wire.PublicKey, int64) (broker.Admission, error) {
	return broker.Admission{}, errors.New("nobody comes in here")
}

func (nobody) AdmitInvited([]byte, wire.PublicKey, int64) (broker.Admission, error) {
	return broker.Admission{}, errors.New("nobody comes in here")
}

// board starts a broker with routes to the honest ones, over which anything can be published and heard.
func (m *mallory) board() {
	m.t.Helper()
	m.boardWith(nobody{})
}

// boardWith does so and lets clients in.
func (m *mallory) boardWith(gate broker.Gate) {
	m.t.Helper()
	members := m.authority().Members()
	var err error
	m.broker, err = broker.Start(broker.Config{
		Realm: m.realm.id, Node: m.ID(), Key: m.Key(), Listen: anywhere, Gate: gate,
		Cluster: &broker.Cluster{Listen: anywhere, Members: func() []identity.ID { return members }},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.broker.Close)
	var routes []broker.Route
	for _, n := range m.nodes {
		said, err := m.greet(n, m.honest())
		if err != nil {
			m.t.Fatal(err)
		}
		routes = append(routes, broker.Route{Node: n.ID(), Address: said.Routes})
	}
	if err := m.broker.Routes(routes); err != nil {
		m.t.Fatal(err)
	}
	if m.conn, err = m.broker.Connect(m.t.Context(), bus.Observer{}); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = m.conn.Close(context.Background()) })
	until(m.t, "the routes stand", func() bool { return len(m.broker.Peers()) == len(m.nodes) })
}

// publish says anything on any subject.
func (m *mallory) publish(subject string, data []byte) {
	m.t.Helper()
	if err := m.conn.Publish(m.t.Context(), subject, data); err != nil {
		m.t.Fatal(err)
	}
}

func TestTheHostileNodeIsAMember(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	m.board()
	if err := m.greetAll(m.honest()); err != nil {
		t.Fatal(err)
	}
	r.settled()
	r.tick("with-it")
}
