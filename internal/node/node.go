// Package node is one running node: it wires broker, log, registrar and trail together, and owns what they own. A Node
// is a value that tests start on port 0.
package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/audit/filetrail"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/metrics"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// minFree is how much room the disk must have at start, in bytes.
const minFree = 64 << 20

// Config of a node. It is not changed after [Open].
type Config struct {
	Dir       string       // data directory, made by [Init]
	Listen    string       // host:port instead of the one in conclave.yaml; empty: that one
	Cluster   string       // host:port for other nodes instead of the one in conclave.yaml; empty: that one
	Advertise string       // host that other nodes reach instead of the one in conclave.yaml; empty: that one
	Metrics   string       // host:port of this machine alone for metrics and health; empty: nowhere
	Version   string       // of the program, for status
	Logger    *slog.Logger // discards if nil; never gets payloads or keys
}

// Node is a running node. It is safe for concurrent use.
type Node struct {
	config    Config
	contents  contents
	dir       *datadir.Dir
	trail     *filetrail.Trail
	log       *raftlog.Log
	registrar *registrar.Registrar
	broker    *broker.Broker
	conn      bus.Conn
	cluster   *cluster // nil: this node stays alone
	live      running  // the same, for those who may ask before the node has opened
	meter     *metrics.Meter
	monitor   atomic.Pointer[metrics.Server] // nil if metrics are served nowhere, or not yet
	strangers strangers                      // what refused connections may write into the trail

	stop    context.CancelFunc
	running sync.WaitGroup
	ended   atomic.Bool // closing has begun
	close   sync.Once
	closing error
}

// override returns the settings with what the configuration says instead.
func (c Config) override(s Settings) Settings {
	if c.Listen != "" {
		s.Listen = c.Listen
	}
	if c.Cluster != "" {
		s.Cluster = c.Cluster
	}
	if c.Advertise != "" {
		s.Advertise = c.Advertise
	}
	return s
}

// running is what of a node runs already.
type running struct {
	registrar atomic.Pointer[registrar.Registrar]
	log       atomic.Pointer[raftlog.Log]
	broker    atomic.Pointer[broker.Broker]
}

// Open starts the node of a data directory: lock, trail, links to other nodes, log, broker, control, metrics, in this
// order. It returns when
// agents can connect. Errors carry codes: not initialised, in use, loose modes, newer version, disk full, too few root
// signatures, forked, a metrics address that others can reach.
func Open(ctx context.Context, config Config) (*Node, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{config: config, meter: metrics.NewMeter(config.Version)}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	if n.config.Metrics != "" {
		if err := metrics.CheckAddress(n.config.Metrics); err != nil {
			return err
		}
	}
	if n.dir, err = datadir.Open(n.config.Dir); err != nil {
		return err
	}
	if err := n.dir.Probe(minFree); err != nil {
		return err
	}
	if n.contents, err = load(n.config.Dir); err != nil {
		return err
	}
	n.contents.settings = n.config.override(n.contents.settings)
	if err := n.contents.settings.check(); err != nil {
		return err
	}
	trailDir, err := n.dir.Sub("trail")
	if err != nil {
		return err
	}
	if n.trail, err = filetrail.Open(trailDir); err != nil {
		return err
	}
	if n.contents.settings.Cluster != "" {
		if n.cluster, err = n.openCluster(); err != nil {
			return err
		}
	}
	if n.registrar, err = registrar.Open(ctx, n.registrarConfig()); err != nil {
		return err
	}
	n.live.registrar.Store(n.registrar)
	if err := n.finishRecovery(ctx); err != nil {
		return err
	}
	if err := n.openBus(ctx); err != nil {
		return err
	}
	if err := n.openMonitor(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.running.Go(func() { n.watchLog(watching) })
	if n.cluster != nil {
		n.running.Go(func() { steward{n.cluster}.greet(watching) })
		n.running.Go(func() { steward{n.cluster}.attend(watching) })
	}
	n.registrar.Record(audit.Entry{Door: audit.Running, Subject: n.ID().String(), Detail: "started"})
	return n.registrar.Err()
}

func (n *Node) registrarConfig() registrar.Config {
	c := registrar.Config{
		Realm: n.contents.realm, Genesis: n.contents.genesis, Policy: n.contents.policy, Signer: n.contents.signer,
		Keeper: keptFile(filepath.Join(n.config.Dir, "head.cbor")), Trail: n.trail, Address: n.Addr,
		Monitor: n.MetricsAddr, Meter: n.meter, Version: n.config.Version,
		Logger: n.config.Logger.With("part", "registrar"), OpenLog: n.openLog,
		Kept: tighteningsFile(filepath.Join(n.config.Dir, "tightenings.cbor")), Gate: n.contents.gate,
	}
	if n.cluster != nil {
		c.Peers, c.Cluster, c.Seats = n.cluster, overview{n.cluster}, keptFile(filepath.Join(n.config.Dir, seatFile))
		c.Roster = n.cluster.chain.authority().Number
	}
	return c
}

func (n *Node) openLog(ctx context.Context, m consensus.Machine, realm func() *identity.Authority) (consensus.Log, error) {
	dir, err := n.dir.Sub("raft")
	if err != nil {
		return nil, err
	}
	config := raftlog.Config{
		Dir: dir, NodeKey: n.ID().String(), Machine: afflicted(m, n.ID()), Logger: n.config.Logger.With("part", "raft"),
	}
	if c := n.cluster; c != nil {
		c.authority.Store(&realm)
		config.Streams, config.Forward = raftStreams{c.mesh.Streams(mesh.Raft), c.shun}, peering{c}.forward
		config.AskBarrier, config.Applied = peering{c}.askBarrier, c.applied
		config.Joins = len(c.ruling().Members()) > 1
	}
	n.log, err = raftlog.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	n.live.log.Store(n.log)
	return meteredLog{n.log, n.meter}, nil
}

func (n *Node) openBus(ctx context.Context) error {
	config, err := n.brokerConfig()
	if err != nil {
		return err
	}
	if n.broker, err = broker.Start(config); err != nil {
		return err
	}
	n.live.broker.Store(n.broker)
	if n.cluster != nil {
		if err := n.broker.Routes(n.cluster.routes()); err != nil { // the others may be dialling already
			return err
		}
	}
	if n.conn, err = n.broker.Connect(ctx, bus.Observer{}); err != nil {
		return err
	}
	return n.registrar.Serve(n.conn, n.broker)
}

func (n *Node) brokerConfig() (broker.Config, error) {
	c := broker.Config{
		Realm: n.Realm(), Node: n.ID(), Key: n.contents.signer.Key(), Listen: n.contents.settings.Listen,
		OnEvent: n.onConnection, Gate: gate{n.registrar}, Logger: n.config.Logger.With("part", "broker"),
	}
	if n.cluster == nil {
		return c, nil
	}
	listen, err := n.contents.settings.routesListen()
	if err != nil {
		return c, err
	}
	c.Cluster = &broker.Cluster{
		Listen: listen, Name: bus.TokenOf(wire.Digest(n.Realm())).String(), Members: n.cluster.members,
	}
	return c, nil
}

// Close stops the node: it has another one lead if it leads, then ends control, connections, log, links, trail, metrics
// and lock, in this order. A command that was acknowledged
// is on disk. Calling it again returns the same error.
func (n *Node) Close() error {
	n.close.Do(func() { n.closing = n.shutdown() })
	return n.closing
}

func (n *Node) shutdown() (err error) {
	n.ended.Store(true)
	if n.stop != nil {
		n.stop()
		n.running.Wait()
	}
	if n.cluster != nil && n.log != nil {
		steward{n.cluster}.yield()
	}
	if n.registrar != nil {
		n.registrar.Quiet()
	}
	if n.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err = errors.Join(err, n.conn.Close(ctx))
		cancel()
	}
	if n.broker != nil {
		n.broker.Close()
	}
	if n.registrar != nil {
		n.registrar.Record(audit.Entry{Door: audit.Running, Subject: n.ID().String(), Detail: "stopped"})
		err = errors.Join(err, n.registrar.Close())
	}
	if n.cluster != nil {
		err = errors.Join(err, n.cluster.mesh.Close())
	}
	if n.trail != nil {
		err = errors.Join(err, n.trail.Close())
	}
	if m := n.monitor.Load(); m != nil {
		err = errors.Join(err, m.Close())
	}
	if n.dir != nil {
		err = errors.Join(err, n.dir.Close())
	}
	return err
}

// ID returns the node's principal.
func (n *Node) ID() identity.ID { return n.contents.signer.ID() }

// Realm returns the realm's id.
func (n *Node) Realm() wire.Realm { return n.contents.realm }

// Addr returns where agents connect, host:port.
func (n *Node) Addr() string { return n.broker.Addr() }

// ClusterAddr returns where other nodes connect, as they are told, host:port; empty if this node stays alone.
func (n *Node) ClusterAddr() string {
	if n.cluster == nil {
		return ""
	}
	return n.cluster.self().Cluster
}

// Done is closed when the node cannot go on: its log or trail failed. Close it then.
func (n *Node) Done() <-chan struct{} { return n.registrar.Done() }

// Err returns why the node cannot go on, or nil.
func (n *Node) Err() error { return n.registrar.Err() }

// watchLog fails the node when its log fails: what it answers from then on could not be kept.
func (n *Node) watchLog(ctx context.Context) {
	select {
	case <-n.log.Failed():
		n.registrar.Fail(n.log.Err())
	case <-ctx.Done():
	}
}

// onConnection records what happens at the broker's door.
func (n *Node) onConnection(e broker.Event) {
	n.count(e)
	if e.Kind == broker.Admitted {
		n.registrar.Entered(e.Principal, e.Process)
	}
	if e.Kind == broker.Left {
		n.registrar.Left(e.Principal, e.Process)
		return
	}
	subject, leftOut := e.Principal.String(), 0
	if e.Kind == broker.Refused {
		record := true
		if record, leftOut = n.strangers.admit(time.Now()); !record {
			return
		}
		if e.Principal.IsZero() {
			subject = e.Address
		}
	}
	n.registrar.Record(audit.Entry{
		Door: audit.Admission, Subject: subject, Code: string(e.Code), Object: e.Process,
		Detail: noted(string(e.Kind), leftOut),
	})
}

// gate lets connections in by what the registrar says.
type gate struct{ registrar *registrar.Registrar }

var _ broker.Gate = gate{}

// Admit implements [broker.Gate].
func (g gate) Admit(credential []byte, connect wire.PublicKey, now int64) (broker.Admission, error) {
	a, err := g.registrar.Admit(credential, connect, now)
	return broker.Admission(a), err
}

// AdmitInvited implements [broker.Gate].
func (g gate) AdmitInvited(token []byte, connect wire.PublicKey, now int64) (broker.Admission, error) {
	a, err := g.registrar.AdmitInvited(token, connect, now)
	return broker.Admission(a), err
}

// keptFile keeps the newest of what this node has signed in a file.
type keptFile string

var _ registrar.Keeper = keptFile("")

// Load implements [registrar.Keeper].
func (f keptFile) Load() ([]byte, error) {
	raw, err := datadir.ReadPrivate(string(f), wire.MaxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// Save implements [registrar.Keeper].
func (f keptFile) Save(head []byte) error { return datadir.WritePrivate(string(f), head) }

// tighteningsFile keeps the tightenings in force: no part of the log, so that who restores that need not restore it.
type tighteningsFile string

var _ registrar.Keeper = tighteningsFile("")

// Load implements [registrar.Keeper].
func (f tighteningsFile) Load() ([]byte, error) {
	raw, err := datadir.ReadPrivate(string(f), registry.MaxKeptBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// Save implements [registrar.Keeper].
func (f tighteningsFile) Save(kept []byte) error { return datadir.WritePrivate(string(f), kept) }

// Conn returns the node's own connection, which may use every subject of the realm: what a hostile node could do on
// the bus. Demonstrations and tests attack agents over it.
func (n *Node) Conn() bus.Conn { return n.conn }

// Submit puts one signed command through the log, as a request from an agent would.
func (n *Node) Submit(ctx context.Context, command []byte) (registry.Answer, error) {
	return n.registrar.Submit(ctx, command)
}
