package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// plainTopic is the topic that the policy of the benchmarks leaves unencrypted.
const plainTopic = "bench.plain"

// rate is what agents may publish in the realms of benchmarks, in messages a minute: more than any machine sends.
const rate = 60_000_000

// atOnce is how many agents are enrolled, connected or closed at the same time.
const atOnce = 16

// realm is one with a node, on disk in the bout's directory.
type realm struct {
	bout     *bout
	dir      string // the node's
	id       wire.Realm
	operator identity.Signer
	door     door
	admin    admin.Admin
}

// door is where to connect.
type door struct {
	address string
	pin     identity.ID
}

// foundRealm makes a realm. Its node, which will listen at the place, does not run yet.
func foundRealm(b *bout, rules policy.Policy, at node.Place) (*realm, error) {
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(b.dir, "realm-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := &realm{bout: b, dir: filepath.Join(home, "node"), operator: operator}
	p := node.Plan{
		Policy: rules, Roots: []identity.ID{operator.ID()}, Place: at, Now: time.Now().UnixMilli(),
	}
	if _, err := rand.Read(p.Nonce[:]); err != nil {
		return nil, err
	}
	if r.id, err = node.Init(r.dir, p); err != nil {
		return nil, err
	}
	return r, node.SignGenesis(r.dir, operator)
}

// rules is the preset solo with a topic that it leaves plain, and a rate that does not come into play.
func rules() (policy.Policy, error) {
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		return p, err
	}
	p.Levels[identity.Journeyer].Rights.Rate = rate
	p.Plain = []string{plainTopic}
	return p, nil
}

// open starts the realm's node in this process.
func (r *realm) open(ctx context.Context) (*node.Node, error) {
	n, err := node.Open(ctx, node.Config{Dir: r.dir})
	if err != nil {
		return nil, err
	}
	r.door = door{n.Addr(), n.ID()}
	return n, nil
}

// openRealm makes a realm whose node runs until the bout's end.
func openRealm(ctx context.Context, b *bout) (*realm, error) {
	b.say("making a realm", 0, 0)
	p, err := rules()
	if err != nil {
		return nil, err
	}
	r, err := foundRealm(b, p, node.Place{Listen: "127.0.0.1:0"})
	if err != nil {
		return nil, err
	}
	n, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	b.later(n.Close)
	return r, r.govern(ctx)
}

// govern connects the operator, until the bout's end.
func (r *realm) govern(ctx context.Context) error {
	o, err := sdk.Connect(ctx, sdk.WithProfile(r.profile(r.operator)))
	if err != nil {
		return err
	}
	r.bout.later(func() error { return shut(o) })
	r.admin = o.Admin()
	return nil
}

func (r *realm) profile(signer identity.Signer) sdk.Profile { return r.profileAt(r.door, signer) }

func (r *realm) profileAt(at door, signer identity.Signer) sdk.Profile {
	return sdk.Profile{Realm: r.id, Addresses: []string{at.address}, Pins: []identity.ID{at.pin}, Signer: signer}
}

// enrol lets n agents in, as any agent is: by an operator's token and a key of its own.
func (r *realm) enrol(ctx context.Context, n int) ([]identity.Signer, error) {
	signers := make([]identity.Signer, n)
	var done atomic.Int64
	err := crowd(ctx, n, atOnce, func(ctx context.Context, i int) error {
		invitation, err := r.admin.Invite(fmt.Sprintf("agent-%d", i), identity.Journeyer, []string{"bench.*"}, 5*time.Minute)
		if err != nil {
			return err
		}
		if signers[i], _, err = sdk.Enrol(ctx, invitation, sdk.KeepNothing()); err != nil {
			return fmt.Errorf("enrol agent %d: %w", i, err)
		}
		if d := int(done.Add(1)); d%50 == 0 || d == n {
			r.bout.say("enrolling agents", d, n)
		}
		return nil
	})
	return signers, err
}

// agents enrols and connects n agents, until the bout's end.
func (r *realm) agents(ctx context.Context, n int) ([]*sdk.Agent, error) {
	signers, err := r.enrol(ctx, n)
	if err != nil {
		return nil, err
	}
	agents := make([]*sdk.Agent, n)
	r.bout.later(func() error { return shutAll(agents) })
	r.bout.say("connecting agents", 0, n)
	return agents, crowd(ctx, n, atOnce, func(ctx context.Context, i int) (err error) {
		agents[i], err = sdk.Connect(ctx, sdk.WithProfile(r.profile(signers[i])))
		return err
	})
}

func shut(a *sdk.Agent) error {
	ctx, cancel := closing()
	defer cancel()
	return a.Close(ctx)
}

// shutAll closes agents, of which some may be nil.
func shutAll(agents []*sdk.Agent) error {
	return crowd(context.Background(), len(agents), atOnce, func(_ context.Context, i int) error {
		if agents[i] == nil {
			return nil
		}
		return shut(agents[i])
	})
}
