// Package registrar keeps the realm's register on one node: it puts commands through the log, signs tickets and heads,
// knows which processes are there, says who may connect, and answers the control requests of agents and operators.
//
// It knows neither broker nor disk: a log, a connection, a trail and an enforcer are given to it. internal/node gives
// it the real ones, sdk/sdktest those in memory.
package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// Enforcer holds the live connections. Its methods return when the connections are as the ledger says.
type Enforcer interface {
	Revoke(id identity.ID) int // takes away all rights, then disconnects; returns how many there were
	Refresh(id identity.ID)    // asks again what each connection may do
	Live(id identity.ID) int   // how many there are
	// Suspend silences and disconnects everybody and admits nobody, until Resume: this node may not act on what it knows.
	Suspend(why error)
	// Restrict admits nobody until Resume, as Suspend, but lets those that are connected go on with what their admission
	// leaves them ([Admission.Restricted]), among themselves.
	Restrict(why error)
	Resume() // has everybody's rights as the ledger says
}

// Config of a registrar. It is not changed after [Open].
type Config struct {
	Realm   wire.Realm
	Genesis []byte
	Policy  policy.Policy
	Signer  identity.Signer // the node's identity key
	Keeper  Keeper
	Trail   audit.Trail
	// OpenLog opens the log that drives m. realm tells who runs the realm by what m has applied.
	OpenLog func(ctx context.Context, m consensus.Machine, realm func() *identity.Authority) (consensus.Log, error)
	Peers   Peers         // the other nodes; nil where there will never be any
	Seats   Keeper        // of the newest roster that this node has signed; required with Peers
	Kept    Keeper        // of the tightenings in force, as registry.Kept; nowhere if nil
	Roster  uint64        // number of the newest roster that this node knew before its start: by none before it acts alone
	Cluster Cluster       // what the node knows of the others; required with Peers
	Lease   time.Duration // the policy's if 0
	Gate    policy.Gate   // judges proposals before they enter the log, besides the realm's policy; nobody does if nil
	Address func() string // where agents connect, for status
	Monitor func() string // where metrics and health are served, for status; nowhere if nil or empty
	Meter   Meter         // nobody is told if nil
	Version string        // of the program, for status
	Logger  *slog.Logger
	Now     func() time.Time // the wall clock; time.Now if nil
}

// Cluster is what the owner of a registrar knows and does about the realm's nodes. It is safe for concurrent use.
type Cluster interface {
	// Addresses returns where agents reach the nodes of the roster, as far as is known.
	Addresses() []control.Address
	// Machines returns what is known of each node of the roster, for display.
	Machines() []control.Machine
	// Transfer has another node lead: to, or any that has caught up if to is zero.
	Transfer(ctx context.Context, to identity.ID) error
	// Changed is called when there is a new roster, in the goroutine that applies; it must not block.
	Changed()
	// Diverged keeps heads of one size that differ, by the node that signed each.
	Diverged(heads map[string][]byte)
}

// Registrar is a running registrar. It is safe for concurrent use.
type Registrar struct {
	config     Config
	started    time.Time
	ledger     *ledger.Ledger
	log        consensus.Log
	catching   *catching
	clock      *watch
	panel      panel
	heads      *heads
	tickets    *tickets
	seats      *seats
	lease      *lease
	door       door
	grown      growth // happens when the ledger has changed
	presences  *presences
	departures *departures
	enforcer   atomic.Pointer[Enforcer] // nil until it serves
	conn       bus.Conn
	server     *control.Server

	hints   hintQueue
	wake    chan struct{} // deadlines may have changed
	counted chan struct{} // this node counts, maybe since just now, and has no lease
	failed  chan struct{}
	failure error
	fail    sync.Once

	stop    context.CancelFunc
	running sync.WaitGroup
}

// Open restores the register from the log. It admits nobody and answers nothing until [Registrar.Serve].
func Open(ctx context.Context, config Config) (*Registrar, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Monitor == nil {
		config.Monitor = func() string { return "" }
	}
	if config.Meter == nil {
		config.Meter = deaf{}
	}
	if config.Cluster == nil {
		config.Cluster = noCluster{config}
	}
	if config.Lease == 0 {
		config.Lease = time.Duration(config.Policy.Lease.Millis()) * time.Millisecond
	}
	started := time.Now()
	monotonic := func() time.Duration { return time.Since(started) }
	r := &Registrar{
		config: config, started: config.Now(), presences: newPresences(), departures: newDepartures(),
		wake: make(chan struct{}, 1), counted: make(chan struct{}, 1),
		failed: make(chan struct{}), hints: newHintQueue(),
		clock: newWatch(config.Now, monotonic), lease: newLease(config.Lease, newMeanwhile(config.Now, monotonic).now),
	}
	r.seats = &seats{registrar: r, keeper: config.Seats}
	var err error
	if r.ledger, err = ledger.New(config.Realm, config.Genesis, config.Policy, r.onChange); err != nil {
		return nil, Unsigned(err)
	}
	r.panel = panel{signer: config.Signer, ledger: r.ledger, peers: config.Peers, least: config.Roster}
	r.tickets = newTickets(r.panel, r.mayServe, r.door.restricted)
	if r.log, err = config.OpenLog(ctx, r.ledger, r.ledger.Authority); err != nil {
		return nil, err
	}
	r.catching = newCatching(r.log.Barrier)
	if r.heads, err = openHeads(config.Keeper, r.panel, r.alone(), r.Fail, config.Cluster.Diverged); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	return r, nil
}

// Unsigned adds to the error of a genesis that too few roots have signed what to do about it.
func Unsigned(err error) error {
	if errors.Is(err, wire.ErrTooFew) {
		return fmt.Errorf("genesis: %w", wire.ErrTooFew.WithHint("each root operator runs: conclave operator sign --data DIR"))
	}
	return err
}

// Serve begins to answer requests over conn, which stays the caller's, and to enforce changes by e.
func (r *Registrar) Serve(conn bus.Conn, e Enforcer) (err error) {
	r.conn = conn
	r.lease.changed = timekeeper{r}.attune
	r.enforcer.Store(&e)
	consequences{r}.reseated()   // without a lease, whoever comes now shall try another node, and not take this for a refusal
	consequences{r}.enforceAll() // what was applied since the enforcer began to admit
	loops, stop := context.WithCancel(context.Background())
	r.stop = stop
	if r.server, err = control.Serve(conn, r.Realm(), r.ID(), metered(desk{r}.handlers(), r.config.Meter)); err != nil {
		return err
	}
	if r.config.Peers != nil {
		if _, err = conn.Subscribe(bus.In(r.Realm()).Words(), whereabouts{r}.hear); err != nil { // ends with the connection
			return err
		}
		r.running.Go(func() { timekeeper{r}.keepTime(loops) })
		r.running.Go(func() { whereabouts{r}.tellDepartures(loops) })
	}
	r.running.Go(func() { consequences{r}.broadcast(loops) })
	r.running.Go(func() { timekeeper{r}.watchDeadlines(loops) })
	if r.config.Kept != nil {
		r.running.Go(func() { (&memory{Registrar: r}).follow(loops) })
	}
	return nil
}

// Quiet ends serving and waits for what runs. The log stays open.
func (r *Registrar) Quiet() {
	r.lease.close()
	if r.stop != nil {
		r.stop()
	}
	if r.server != nil {
		r.server.Close()
	}
	r.running.Wait()
}

// Close ends serving, if it has not ended, and closes the log. The trail stays the caller's.
func (r *Registrar) Close() error {
	r.Quiet()
	return r.log.Close()
}

// ID returns the node's principal.
func (r *Registrar) ID() identity.ID { return r.config.Signer.ID() }

// Realm returns the realm's id.
func (r *Registrar) Realm() wire.Realm { return r.config.Realm }

// Done is closed when the registrar cannot go on, because what it answers could not be kept or recorded.
func (r *Registrar) Done() <-chan struct{} { return r.failed }

// Err returns why the registrar cannot go on, or nil.
func (r *Registrar) Err() error {
	select {
	case <-r.failed:
		return r.failure
	default:
		return nil
	}
}

// Fail stops the registrar from taking commands: what it answers could not be kept, or not recorded.
func (r *Registrar) Fail(err error) {
	r.fail.Do(func() {
		r.failure = err
		close(r.failed)
		r.config.Logger.Error("registrar failed", "code", string(fault.CodeOf(err)), "error", err)
	})
}

// Record writes to the trail at the present time. A registrar that cannot record stops.
func (r *Registrar) Record(e audit.Entry) {
	e.Time = r.config.Now().UnixMilli()
	if err := r.config.Trail.Record(e); err != nil {
		r.Fail(fmt.Errorf("trail: %w", err))
	}
}

func (r *Registrar) live(id identity.ID) int {
	if e := r.enforcer.Load(); e != nil {
		return (*e).Live(id)
	}
	return 0
}

// SignedHead returns a head over everything applied so far, signed by a majority, or nil before the first command.
func (r *Registrar) SignedHead(ctx context.Context) ([]byte, error) {
	raw, _, err := r.heads.current(ctx, r.ledger.Size())
	return raw, err
}

// Authority returns who runs the realm by what is applied here.
func (r *Registrar) Authority() *identity.Authority { return r.ledger.Authority() }

// Rosters returns the rosters after the genesis, oldest first. The caller must not change them.
func (r *Registrar) Rosters() [][]byte { return r.ledger.Rosters() }

// TellTime has log time follow this node's clock, as every command does.
func (r *Registrar) TellTime(ctx context.Context) error {
	_, err := timekeeper{r}.tellTime(ctx)
	return err
}

// Feature returns the level of features that all nodes of the roster speak.
func (r *Registrar) Feature() uint64 { return r.ledger.Feature() }

// Size returns how many commands are applied here.
func (r *Registrar) Size() uint64 { return r.ledger.Size() }

// noCluster is what a node knows that has no others.
type noCluster struct{ config Config }

func (c noCluster) Addresses() []control.Address {
	return []control.Address{{Node: c.config.Signer.ID(), At: c.config.Address()}}
}

func (c noCluster) Machines() []control.Machine {
	return []control.Machine{{
		Node: c.config.Signer.ID(), Client: c.config.Address(), State: "leader", Self: true, Version: c.config.Version,
	}}
}

var errNoOthers = fault.New(fault.Conflict, "registrar: this realm has one node").
	WithHint("add two: conclave server token, and conclave server join on each")

func (noCluster) Transfer(context.Context, identity.ID) error { return errNoOthers }
func (noCluster) Changed()                                    {}
func (noCluster) Diverged(map[string][]byte)                  {}
