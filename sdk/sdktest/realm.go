package sdktest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/memlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// address is where the realm's one node is said to be. Nobody dials it.
const address = "node.test:4222"

// Option says what realm to make.
type Option func(*options)

type options struct {
	policy    policy.Policy
	operators int
}

// Standard makes a realm of the preset "standard" with so many root operators, 2 at least. Without it the realm is solo.
func Standard(operators int) Option {
	return func(o *options) { o.policy.Preset, o.operators = policy.Standard, operators }
}

// WithPolicy makes a realm with this policy and so many root operators.
func WithPolicy(p policy.Policy, operators int) Option {
	return func(o *options) { o.policy, o.operators = p, operators }
}

// Realm is one realm in memory. Its methods are safe for concurrent use, apart from what testing says of Fatal.
type Realm struct {
	id        wire.Realm
	policy    policy.Policy
	node      identity.Signer
	roots     []identity.Signer
	logger    *slog.Logger
	log       *memlog.Log
	door      *door
	registrar *registrar.Registrar
	trail     trail

	mu        sync.Mutex
	operators map[int]*sdk.Agent
	profiles  map[string]sdk.Profile // enrolled agents, by name
}

// New makes a realm and serves it until the test ends. What goes wrong in the background is in the test's output.
func New(t testing.TB, opts ...Option) *Realm {
	t.Helper()
	o := options{policy: policy.Policy{Preset: policy.Solo}, operators: 1}
	for _, opt := range opts {
		opt(&o)
	}
	r := &Realm{
		operators: map[int]*sdk.Agent{}, profiles: map[string]sdk.Profile{},
		logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if err := r.open(t.Context(), o); err != nil {
		t.Fatalf("sdktest: %v", err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Errorf("sdktest: close realm: %v", err)
		}
	})
	return r
}

func (r *Realm) open(ctx context.Context, o options) error {
	genesis, err := r.found(o)
	if err != nil {
		return err
	}
	r.registrar, err = registrar.Open(ctx, registrar.Config{
		Realm: r.id, Genesis: genesis, Policy: r.policy, Signer: r.node, Keeper: &keeper{}, Trail: &r.trail,
		Address: func() string { return address }, Version: "sdktest", Logger: r.logger.With("part", "registrar"),
		OpenLog: func(_ context.Context, m consensus.Machine, _ func() *identity.Authority) (consensus.Log, error) {
			r.log = memlog.New(m)
			return r.log, nil
		},
	})
	if err != nil {
		return err
	}
	r.door = newDoor(r.registrar)
	return r.registrar.Serve(r.door.nodeConn(), r.door)
}

// found makes the keys and the genesis, signed by all roots.
func (r *Realm) found(o options) (genesis []byte, err error) {
	r.policy = o.policy
	if o.policy.Version == 0 {
		if r.policy, err = policy.Preset(o.policy.Preset); err != nil {
			return nil, err
		}
	}
	if r.node, _, err = identity.GenerateSigner(identity.Node); err != nil {
		return nil, err
	}
	g := identity.Genesis{
		Version: 1, Created: time.Now().UnixMilli(), Threshold: r.policy.Loosen, Nodes: []identity.ID{r.node.ID()},
		Policy: r.policy.Digest(), Solo: r.policy.Preset == policy.Solo,
	}
	if _, err := rand.Read(g.Nonce[:]); err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	var keys []wire.Key
	for range o.operators {
		root, _, err := identity.GenerateSigner(identity.Operator)
		if err != nil {
			return nil, err
		}
		r.roots = append(r.roots, root)
		g.Roots = append(g.Roots, root.ID())
		keys = append(keys, root.Key())
	}
	slices.SortFunc(g.Roots, identity.ID.Compare)
	if genesis, err = wire.Cosign(wire.Realm{}, g, keys...); err != nil {
		return nil, err
	}
	r.id, err = identity.RealmOf(genesis)
	return genesis, err
}

func (r *Realm) close() error {
	r.registrar.Quiet()
	r.door.close()
	return r.registrar.Close()
}

// ID returns the realm's id.
func (r *Realm) ID() sdk.Realm { return r.id }

// NodeSigner returns the node's own key, for a test that plays a node that lies: it can sign whatever it likes.
func (r *Realm) NodeSigner() identity.Signer { return r.node }

// Node returns the node's principal.
func (r *Realm) Node() sdk.ID { return r.node.ID() }

// Policy returns the policy in force.
func (r *Realm) Policy() policy.Policy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.policy
}

// Transport connects to the realm's node. Give it to [sdk.Over].
func (r *Realm) Transport() sdk.Transport { return r.door.connect }

// Faults changes what the network does to messages from now on, requests to the node and its answers included. The zero
// value ends it.
func (r *Realm) Faults(f membus.Faults) { r.door.network.SetFaults(f) }

// FailNext makes the registry's log fail the next commands, one for each fault, in order.
func (r *Realm) FailNext(faults ...memlog.Fault) { r.log.FailNext(faults...) }

// Pass has d go by and the registry take notice: levels are lost and leases end by log time. It sleeps, so call it in a bubble
// (testing/synctest), where that takes no time of the test's. Agents that serve something announce themselves every 4 s
// meanwhile: for long spans use a policy with short times, or close them before.
func (r *Realm) Pass(t testing.TB, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	if err := r.registrar.TellTime(t.Context()); err != nil {
		t.Fatalf("sdktest: tell the time: %v", err)
	}
}

// Trail returns what the node has recorded so far.
func (r *Realm) Trail() []audit.Entry { return r.trail.entries() }

// trail is an [audit.Trail] in memory.
type trail struct {
	mu   sync.Mutex
	list []audit.Entry
}

var _ audit.Trail = (*trail)(nil)

// Record implements [audit.Trail].
func (t *trail) Record(e audit.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, e)
	return nil
}

// Close implements [audit.Trail].
func (t *trail) Close() error { return nil }

func (t *trail) entries() []audit.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

// keeper is a [registrar.Keeper] in memory.
type keeper struct {
	mu   sync.Mutex
	head []byte
}

var _ registrar.Keeper = (*keeper)(nil)

// Load implements [registrar.Keeper].
func (k *keeper) Load() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.head, nil
}

// Save implements [registrar.Keeper].
func (k *keeper) Save(head []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.head = head
	return nil
}
