package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Agent is one principal's connection to a realm: usually an agent's, or an operator's, which can control but neither
// send nor receive messages. It is safe for concurrent use. Its goroutines end with Close.
type Agent struct {
	options   options
	known     known
	realm     wire.Realm
	lore      atomic.Pointer[lore]
	peers     *bus.Peers
	windows   *envelope.LiveWindows // of all sessions: streams name the process they go to
	keys      sealingKeys
	strangers strangers // whom the node is asked about
	news      *bell     // rung when a node says that something changed

	cards lane // for publishing a card: they have a sequence

	mu         sync.Mutex
	session    *session           // in use
	retired    []*session         // replaced, still receiving
	capability map[string]*served // by name
	topics     map[string]bool    // published on
	readers    []*Subscription
	middleware []Middleware
	ballots    []balloting
	closed     bool

	storeMu   sync.Mutex
	store     *spent.Store
	tempDir   string          // of a store nobody asked to keep
	executing map[Digest]bool // decisions that Execute works on now

	ctx      context.Context // ends when the last handler has, or may run no longer
	stop     context.CancelFunc
	handlers sync.WaitGroup // handlers and voter functions
	running  sync.WaitGroup // everything else
	slots    chan struct{}  // of handlers
	chores   chan struct{}  // of what handlers may wait for: replies, new tickets, joins
}

const (
	maxPeers     = 16384            // principals whose tickets are remembered
	maxStreams   = 65536            // senders' counters that are remembered
	maxHandlers  = 256              // requests and messages handled at a time
	callTime     = 30 * time.Second // for calls whose context has no deadline
	liveTime     = 60 * 1000        // ms: life of an envelope
	presenceTime = 12 * 1000        // ms: life of a presence
	announceTime = 4 * time.Second  // between presences
	askTime      = 10 * time.Second // for a node's answer in the background
	withdrawTime = time.Second      // for saying that a process serves nothing any more
)

// Connect connects to a realm, verifies it from its id, and returns the agent. Where to, and as whom, comes from the
// options, $CONCLAVE_CONTEXT, or the selected context, in this order. Errors: [ErrNoBus], those of the context and key
// file, unreachable, denied, what does not verify.
func Connect(ctx context.Context, opts ...Option) (*Agent, error) {
	a := &Agent{
		capability: map[string]*served{}, topics: map[string]bool{}, news: newBell(),
		slots: make(chan struct{}, maxHandlers), chores: make(chan struct{}, maxHandlers),
		windows: envelope.NewLiveWindows(maxStreams), executing: map[Digest]bool{}, cards: newLane(),
	}
	if err := a.options.fill(opts); err != nil {
		return nil, err
	}
	var err error
	if a.known, err = a.options.resolve(ctx); err != nil {
		return nil, err
	}
	if len(a.known.Pins) == 0 || len(a.known.Addresses) == 0 {
		return nil, fmt.Errorf("%w: no addresses or pins", ErrNoBus)
	}
	a.realm = a.known.Realm
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.peers = bus.NewPeers(a.realm, maxPeers, func(l Level) trust.Rights { return a.lore.Load().policy.Rights(l) })
	if err := a.begin(ctx); err != nil {
		return nil, errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	}
	return a, nil
}

// begin makes the first session and starts the loops.
func (a *Agent) begin(ctx context.Context) error {
	s, err := a.dial(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.session = s
	a.mu.Unlock()
	a.running.Go(a.presenceLoop)
	a.running.Go(a.renewLoop)
	return a.settle(ctx)
}

// ID returns the principal.
func (a *Agent) ID() ID { return a.known.Signer.ID() }

// Process names the process: the id of the credential in use.
func (a *Agent) Process() Digest { return a.current().process.Credential().ID() }

// Realm returns the realm's id.
func (a *Agent) Realm() Realm { return a.realm }

// Context returns the name of the context in use, or "".
func (a *Agent) Context() string { return a.known.context }

// Run serves until ctx ends or the connection is refused for good, then closes the agent and says why it ended; nil
// where ctx did.
func (a *Agent) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case <-a.current().conn.Done():
		err = a.current().conn.Err()
	case <-a.ctx.Done():
	}
	return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
}

// Close stops taking requests, waits for handlers that run until ctx ends, cancels the contexts of those that still do,
// and disconnects once they have returned. It must not be called from a handler. Calling it again does nothing.
func (a *Agent) Close(ctx context.Context) error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	sessions := slices.Clone(a.retired)
	if a.session != nil {
		sessions = append(sessions, a.session)
	}
	a.mu.Unlock()
	withdraw(ctx, sessions)
	a.finish(ctx)
	var err error
	for _, s := range sessions {
		err = errors.Join(err, s.close(ctx))
	}
	a.running.Wait()
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	if a.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(a.tempDir))
	}
	return err
}

// finish waits for handlers, whose replies still go out, and then ends everything that runs in the background.
func (a *Agent) finish(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		a.handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	a.mu.Lock()
	a.stop()
	a.mu.Unlock()
	<-done
}

// current returns the session in use.
func (a *Agent) current() *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// ask puts a control request to the node until it is answered, however often the node goes away meanwhile, or ctx ends,
// or the agent closes. Without a deadline in ctx it gives up after 30 s.
func (a *Agent) ask(ctx context.Context, op control.Op, in, out any) error {
	if a.ctx.Err() != nil {
		return ErrClosed
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	return persist(ctx, a.current().conn, func(ctx context.Context) error {
		if a.ctx.Err() != nil {
			return ErrClosed
		}
		return a.current().control.Ask(ctx, op, in, out)
	})
}

// command signs and hands in one command and returns its result.
func command[R any](ctx context.Context, a *Agent, typ registry.Type, body any) (R, error) {
	s := a.current()
	return submit[R](ctx, s.conn, s.control, a.known.Signer, a.realm, typ, body)
}

func (a *Agent) now() int64 { return time.Now().UnixMilli() }

// Me returns what the realm says of this agent now, verified.
func (a *Agent) Me(ctx context.Context) (Peer, error) { return a.who(ctx, control.Who{ID: a.ID()}) }

// Who returns what the realm says of a principal, by name or nkey, verified.
func (a *Agent) Who(ctx context.Context, nameOrKey string) (Peer, error) {
	w, err := whoOf(nameOrKey)
	if err != nil {
		return Peer{}, err
	}
	return a.who(ctx, w)
}

func whoOf(nameOrKey string) (control.Who, error) {
	if id, err := identity.ParseID(nameOrKey); err == nil {
		return control.Who{ID: id}, nil
	}
	return control.Who{Name: nameOrKey}, identity.CheckName(nameOrKey)
}

func (a *Agent) who(ctx context.Context, w control.Who) (Peer, error) {
	var p control.Principal
	if err := a.ask(ctx, control.OpWho, w, &p); err != nil {
		return Peer{}, err
	}
	v, _, err := verifyPrincipal(p, *a.lore.Load(), a.now())
	if err != nil {
		return Peer{}, err
	}
	t := v.Statement()
	if (!w.ID.IsZero() && t.Principal != w.ID) || (w.Name != "" && t.Name != w.Name) {
		return Peer{}, errForm
	}
	return Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()}, nil
}

// Peer is a principal as the realm's nodes vouch for it.
type Peer struct {
	ID       ID     `json:"id"`
	Name     string `json:"name"`
	Operator ID     `json:"operator"` // who answers for it
	Level    Level  `json:"level"`
	Status   string `json:"status"` // active, quarantined or revoked; what a handler gets is always active
}

// settle reports outcomes that an earlier process of this principal left open: what was begun and never finished is
// uncertain. Only a store that outlives the process can hold any.
func (a *Agent) settle(ctx context.Context) error {
	if a.known.StateDir == "" || a.ID().Role() != identity.Agent {
		return nil
	}
	if _, err := os.Stat(a.known.StateDir); err != nil {
		return nil // nothing was ever consumed here
	}
	store, err := a.spentStore()
	if err != nil {
		if fault.CodeOf(err) == fault.InUse {
			return nil // another process of this agent executes; it settles its own
		}
		return err
	}
	a.storeMu.Lock()
	open, err := store.Unsettled()
	a.storeMu.Unlock()
	if err != nil {
		return err
	}
	for id, r := range open {
		if err := a.report(ctx, id, r); err != nil {
			return err
		}
	}
	return nil
}
