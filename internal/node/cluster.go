package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// cluster is this node's part in the realm's cluster: its links to the other nodes and what it knows of them. [peering]
// answers them, [steward] keeps everything in step with the roster, and [overview] shows it to the registrar. It is safe
// for concurrent use.
type cluster struct {
	node      *Node
	mesh      *mesh.Mesh
	book      *book
	chain     *chain
	shun      *shun
	kick      chan struct{}                              // there may be something to do
	following sync.Mutex                                 // held while a new roster is taken to heart; guards links
	links     []identity.ID                              // as links were last brought in line with
	authority atomic.Pointer[func() *identity.Authority] // by what the ledger has applied; nil before the log is opened
}

var _ registrar.Peers = (*cluster)(nil)

// What nodes ask each other, besides what registrars do.
const (
	opHello   = "hello"   // greeting → greeting
	opAppend  = "append"  // entry → index
	opBarrier = "barrier" // nothing → index

	opTransfer = "transfer" // who shall lead, or nobody → nothing
)

// greeting is what a node tells another of itself, and of those it knows.
type greeting struct {
	record
	Progress progress `cbor:"9,keyasint"`
	Known    []record `cbor:"10,keyasint,omitempty"`
}

// openCluster listens for the other nodes, if the settings say where.
func (n *Node) openCluster() (*cluster, error) {
	c := &cluster{node: n, shun: newShun(), kick: make(chan struct{}, 1)}
	var err error
	if c.chain, err = openChain(n.config.Dir, n.contents); err != nil {
		return nil, err
	}
	if c.book, err = openBook(n.config.Dir, c.wake); err != nil {
		return nil, err
	}
	c.mesh, err = mesh.Listen(mesh.Config{
		Self: n.ID(), Key: n.contents.signer.Key(), Realm: n.Realm(), Listen: n.contents.settings.Cluster, Members: c.linked,
		Locate: c.book.locate, Handlers: peering{c}.handlers(), Join: peering{c}.onJoin, Logger: n.config.Logger.With("part", "mesh"),
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// wake has the cluster look at once whether there is something to do. It does not block.
func (c *cluster) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// ruling returns who runs the realm by the newest roster that this node has seen.
func (c *cluster) ruling() *identity.Authority {
	seen := c.chain.authority()
	if apply := c.authority.Load(); apply != nil {
		if a := (*apply)(); a.Number >= seen.Number {
			return a
		}
	}
	return seen
}

// members returns which nodes may ask something here.
func (c *cluster) members() []identity.ID { return c.ruling().Members() }

// linked returns which nodes may connect here, sorted: the members, and nodes that the log still has as servers. Without
// these a log that is to let most of its servers go could not even commit that.
func (c *cluster) linked() []identity.ID {
	list := c.members()
	if l := c.node.live.log.Load(); l != nil {
		for _, s := range l.Servers() {
			if id, err := identity.ParseID(s.Node); err == nil && !slices.Contains(list, id) {
				list = append(list, id)
			}
		}
	}
	slices.SortFunc(list, identity.ID.Compare)
	return list
}

var errRemoved = fault.New(fault.Denied, "node: the asking node is not in the roster any more")

var errStarting = fault.New(fault.Unreachable, "node: starting")

// Call implements [registrar.Peers].
func (c *cluster) Call(ctx context.Context, to identity.ID, op string, body []byte) ([]byte, error) {
	return c.mesh.Call(ctx, to, op, body)
}

// self returns what this node says of itself.
func (c *cluster) self() record {
	n := c.node
	r := record{
		Node: n.ID(), Cluster: c.advertised(c.mesh.Addr()), Version: n.config.Version, Feature: registry.Feature,
		Stamp: time.Now().UnixMilli(),
	}
	if b := n.live.broker.Load(); b != nil {
		r.Client, r.Routes = c.advertised(b.Addr()), c.advertised(b.ClusterAddr())
	}
	if l := n.live.log.Load(); l != nil {
		r.Server = l.ServerID()
	}
	return r
}

// advertised returns an address that others reach, for one that this node listens on.
func (c *cluster) advertised(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || c.node.contents.settings.Advertise == "" {
		return address
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return address
	}
	return net.JoinHostPort(c.node.contents.settings.Advertise, port)
}

func (c *cluster) progress() progress {
	var p progress
	if r := c.node.live.registrar.Load(); r != nil {
		p.Size = r.Size()
	}
	if l := c.node.live.log.Load(); l != nil {
		p.Applied = l.Stats().Applied
	}
	return p
}

func (c *cluster) greeting() greeting {
	return greeting{record: c.self(), Progress: c.progress(), Known: c.book.records()}
}

var errSpeaksForOther = fault.New(fault.Denied, "node: a node speaks for itself")

func (c *cluster) hear(from identity.ID, body []byte) error {
	var g greeting
	if err := wire.Decode(body, &g); err != nil {
		return err
	}
	if g.Node != from {
		return errSpeaksForOther
	}
	if len(g.Known) > maxRecords {
		return fmt.Errorf("%w: a greeting with %d records", wire.ErrTooLarge, len(g.Known))
	}
	members := c.members()
	others := slices.DeleteFunc(g.Known, func(r record) bool {
		return r.Node == from || r.Node == c.node.ID() || !slices.Contains(members, r.Node)
	})
	if err := c.book.hear(g.record, g.Progress); err != nil {
		return err
	}
	return c.book.overhear(from, others)
}

// applied implements raftlog.Config.Applied.
func (c *cluster) applied(node string) (uint64, bool) {
	id, err := identity.ParseID(node)
	if err != nil {
		return 0, false
	}
	a := c.book.of(id)
	return a.Applied, recent(a)
}

// silence is after how long without a word a node counts as silent.
const silence = 3 * time.Second

func recent(a acquaintance) bool { return !a.heard.IsZero() && time.Since(a.heard) < silence }

// routes are where the brokers of the other nodes are reached.
func (c *cluster) routes() []broker.Route {
	var list []broker.Route
	for _, id := range c.members() {
		if id != c.node.ID() {
			list = append(list, broker.Route{Node: id, Address: c.book.of(id).Routes}) // without an address it may dial
		}
	}
	return list
}
