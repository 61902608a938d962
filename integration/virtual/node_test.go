package virtual

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// node is one machine: what survives the end of its process.
type node struct {
	*realm
	number      int
	name        string
	signer      identity.Signer
	dir         string
	clock       *clock
	head, seats cell
	forgiven    int // readings of a wrong clock before it was mended last

	mu    sync.Mutex
	lives int
	up    *life
}

// life is one process of a node, from its start to its end.
type life struct {
	*node
	name      string // "n1/2" is the second life of n1
	registrar *registrar.Registrar
	ledger    *ledger.Ledger
	log       *raftlog.Log
	door      *door
	network   *membus.Network
	own       *link
	reader    *membus.Conn // hears the suspects
}

// cell is a [registrar.Keeper] in memory.
type cell struct {
	mu   sync.Mutex
	kept []byte
}

func (c *cell) Load() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept), nil
}

func (c *cell) Save(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = slices.Clone(b)
	return nil
}

// silent is a trail that keeps nothing.
type silent struct{}

func (silent) Record(audit.Entry) error { return nil }
func (silent) Close() error             { return nil }

// life returns the node's process, or nil if it is down.
func (n *node) life() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

// start begins a life. It serves nobody yet. A node that joins waits until it is admitted to the log.
func (n *node) start(ctx context.Context, joins bool) (*life, error) {
	n.lives++
	l := &life{node: n, name: fmt.Sprintf("%s/%d", n.name, n.lives), network: membus.New(membus.Options{})}
	l.door = &door{life: l, links: map[*link]struct{}{}}
	l.own = &link{Conn: l.network.Join(bus.NodePermissions(n.world.Realm), bus.Observer{}), life: l}
	l.reader = l.network.Join(bus.NodePermissions(n.world.Realm), bus.Observer{})
	var err error
	l.registrar, err = registrar.Open(ctx, registrar.Config{
		Realm: n.world.Realm, Genesis: n.world.Genesis, Policy: n.world.Policy, Signer: n.signer, Keeper: &n.head,
		Seats: &n.seats, Trail: silent{}, Peers: peers{l}, Cluster: cluster{l}, Address: func() string { return n.name },
		Logger: slog.New(slog.DiscardHandler), Now: n.clock.now,
		OpenLog: func(ctx context.Context, m consensus.Machine, _ func() *identity.Authority) (consensus.Log, error) {
			l.ledger = m.(*ledger.Ledger)
			var err error
			l.log, err = raftlog.Open(ctx, raftlog.Config{
				Dir: n.dir, NodeKey: n.signer.ID().String(), Machine: &witness{Machine: m, life: l}, Unsynced: true, Joins: joins,
				Streams: n.exchange.listen(n.number, n.signer.ID().String()),
				Forward: peers{l}.forward, AskBarrier: peers{l}.askBarrier, Applied: n.applied,
			})
			return l.log, err
		},
	})
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = l
	return l, nil
}

// serve lets processes in, and reads what is published.
func (l *life) serve() error {
	if err := l.hear(); err != nil {
		return err
	}
	return l.registrar.Serve(l.own, l.door)
}

// stop ends the node's life, if it has one: nobody hears anything of it meanwhile or after.
func (n *node) stop() error {
	n.mu.Lock()
	l := n.up
	n.up = nil
	n.mu.Unlock()
	if l == nil {
		return nil
	}
	n.wires.cut(n.number)
	err := l.registrar.Close()
	l.door.Suspend(nil)
	for _, c := range []*membus.Conn{l.own.Conn, l.reader} {
		err = errors.Join(err, c.Close(context.Background())) // waits for who handles what has come
	}
	n.wires.heal()
	return err
}

// restart begins the next life of a node and serves.
func (n *node) restart(ctx context.Context) error {
	if err := n.stop(); err != nil {
		return err
	}
	l, err := n.start(ctx, false)
	if err != nil {
		return err
	}
	return l.serve()
}

// applied implements raftlog.Config.Applied.
func (n *node) applied(key string) (uint64, bool) {
	for _, other := range n.realm.nodes {
		if l := other.life(); l != nil && other.signer.ID().String() == key {
			return l.log.Stats().Applied, true
		}
	}
	return 0, false
}

// peers is how a life reaches the other nodes.
type peers struct{ *life }

// ask asks the node with the key, wherever it is.
func ask[T any](ctx context.Context, p peers, key string, question func(context.Context, *life) (T, error)) (T, error) {
	i := slices.IndexFunc(p.realm.nodes, func(n *node) bool { return n.signer.ID().String() == key })
	return call(ctx, p.wires, p.number, i, func(ctx context.Context) (none T, err error) {
		there := p.realm.nodes[i].life()
		if there == nil {
			return none, errUnsent
		}
		return question(ctx, there)
	})
}

// Call implements [registrar.Peers].
func (p peers) Call(ctx context.Context, to identity.ID, op string, body []byte) ([]byte, error) {
	return ask(ctx, p, to.String(), func(ctx context.Context, there *life) ([]byte, error) {
		return there.registrar.AnswerPeer(ctx, op, p.signer.ID(), body)
	})
}

// forward implements raftlog.Config.Forward.
func (p peers) forward(ctx context.Context, leader string, entry []byte) (uint64, error) {
	return leading(ask(ctx, p, leader, func(ctx context.Context, there *life) (uint64, error) {
		if err := there.registrar.Forwarded(p.signer.ID(), entry); err != nil {
			return 0, err
		}
		return there.log.AppendHere(ctx, entry)
	}))
}

// askBarrier implements raftlog.Config.AskBarrier.
func (p peers) askBarrier(ctx context.Context, leader string) (uint64, error) {
	return leading(ask(ctx, p, leader, func(ctx context.Context, there *life) (uint64, error) {
		return there.log.BarrierHere(ctx)
	}))
}

// leading says, as internal/node does, that nothing was appended where nothing can have been.
func leading(index uint64, err error) (uint64, error) {
	if fault.CodeOf(err) == fault.Unreachable {
		return 0, fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
	}
	return index, err
}

// cluster is what a life's registrar may know of the others: nothing is asked of it here.
type cluster struct{ *life }

func (cluster) Addresses() []control.Address                { return nil }
func (cluster) Machines() []control.Machine                 { return nil }
func (cluster) Transfer(context.Context, identity.ID) error { return net.ErrClosed }
func (cluster) Changed()                                    {}

// Diverged says that two nodes have signed different heads of one size.
func (c cluster) Diverged(heads map[string][]byte) {
	c.realm.note("%s holds %d heads that differ", c.life.name, len(heads))
}

// witness is a ledger between the log and what it saw of the log, entry by entry.
type witness struct {
	consensus.Machine
	life *life
	told int64
}

// statesEvery is after how many entries a life tells its digests.
const statesEvery = 8

// Apply implements [consensus.Machine].
func (w *witness) Apply(index uint64, entry []byte) []byte {
	l := w.life
	if l.realm.distort != nil {
		entry = l.realm.distort(l.node, entry)
	}
	before := l.ledger.Size()
	out := w.Machine.Apply(index, entry)
	l.witnessTime(index, w)
	l.witnessCommand(before, entry, out)
	if index%statesEvery == 0 {
		l.witnessState(index, false)
	}
	return out
}

// witnessTime records log time where it has changed.
func (l *life) witnessTime(index uint64, w *witness) {
	now := l.ledger.Now()
	if now == w.told {
		return
	}
	w.told = now
	at := l.recorder.Now()
	l.recorder.Add(check.Event{
		Op: check.LogTime, Agent: l.name, Node: l.node.name, Start: at, Result: check.OK, Applied: index, Time: now,
		Clocks: l.realm.shown(),
	})
}

// witnessCommand records a command that took effect at this replica: as a message of the log, which comes once, in order.
func (l *life) witnessCommand(before uint64, entry, out []byte) {
	var e ledger.Entry
	answer, err := ledger.ParseAnswer(out)
	if err != nil || wire.Decode(entry, &e) != nil || len(e.Command) == 0 || answer.Code != "" || l.ledger.Size() == before {
		return
	}
	at := l.recorder.Now()
	l.recorder.Add(check.Event{
		Op: check.Handle, Agent: l.name, Start: at, Result: check.OK, ID: answer.Command.String(), From: "log",
		Topic: "commands", Counter: answer.Index,
	})
}

// witnessState records the life's digests after so many entries.
func (l *life) witnessState(applied uint64, final bool) {
	head := l.ledger.Head()
	at := l.recorder.Now()
	l.recorder.Add(check.Event{
		Op: check.State, Agent: l.name, Node: l.node.name, Start: at, Result: check.OK, Index: head.Size, Applied: applied,
		Root: head.Root.String(), State: fmt.Sprint(head.State, " at ", head.Time), Final: final,
	})
}
