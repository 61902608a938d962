package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// fleet is a realm whose nodes are processes of their own on this machine, with real logs, links and fsync.
type fleet struct {
	*realm
	members []*member // in the order in which they joined
	fsync   float64   // microseconds
}

// member is one node of a fleet.
type member struct {
	dir string
	at  node.Place
	door
	running *process // nil while it is down
}

// openFleet makes a realm of n nodes, which run until the bout's end, and connects its operator.
func openFleet(ctx context.Context, b *bout, rules policy.Policy, n int) (*fleet, error) {
	if b.Self == "" {
		return nil, errNoSelf
	}
	fsync, err := fsyncTime(b.dir)
	if err != nil {
		return nil, err
	}
	place, err := freePlace()
	if err != nil {
		return nil, err
	}
	r, err := foundRealm(b, rules, place)
	if err != nil {
		return nil, err
	}
	f := &fleet{realm: r, fsync: fsync, members: []*member{{dir: r.dir, at: place}}}
	b.say("starting the first node", 0, n)
	if err := f.start(ctx, f.members[0]); err != nil {
		return nil, err
	}
	f.door = f.members[0].door
	if err := f.govern(ctx); err != nil {
		return nil, err
	}
	for len(f.members) < n {
		b.say("adding nodes", len(f.members), n)
		if err := f.grow(ctx); err != nil {
			return nil, fmt.Errorf("node %d: %w", len(f.members)+1, err)
		}
	}
	return f, f.seated(ctx)
}

// start runs a node's process and returns when agents can connect to it.
func (f *fleet) start(ctx context.Context, m *member) error {
	var said struct{ Address, Node string }
	p, err := f.bout.launch(ctx, "node", func(out io.Reader) error { return json.NewDecoder(out).Decode(&said) },
		f.bout.Self, "server", "run", "--json", "--metrics-listen", "off", "--data", m.dir)
	if err != nil {
		return err
	}
	m.running, m.address = p, said.Address
	m.pin, err = identity.ParseID(said.Node)
	return err
}

// grow adds a node by a join token.
func (f *fleet) grow(ctx context.Context) error {
	invitation, err := f.admin.InviteNode(ctx, time.Hour)
	if err != nil {
		return err
	}
	m := &member{dir: filepath.Join(filepath.Dir(f.dir), fmt.Sprintf("node-%d", len(f.members)+1))}
	if m.at, err = freePlace(); err != nil {
		return err
	}
	if _, err := node.Join(ctx, m.dir, invitation.Text, m.at); err != nil {
		return err
	}
	f.members = append(f.members, m)
	return f.start(ctx, m)
}

// seated waits until every node counts, serves, and can lead.
func (f *fleet) seated(ctx context.Context) error {
	for i, m := range f.members {
		f.bout.say("waiting until all nodes count", i, len(f.members))
		if err := f.serves(ctx, m, 0); err != nil {
			return err
		}
	}
	for _, m := range f.members[min(1, len(f.members)-1):] {
		if len(f.members) == 1 {
			return nil
		}
		if err := f.bout.insist(ctx, func() error { return f.admin.Transfer(ctx, m.pin) }); err != nil {
			return fmt.Errorf("have a node lead: %w", err)
		}
	}
	_, err := f.leader(ctx)
	return err
}

var errNotSeated = fault.New(fault.Unreachable, "bench: a node of the realm does not serve yet")

// serves waits until a node lets clients in, counts, and has applied as many commands.
func (f *fleet) serves(ctx context.Context, m *member, size uint64) error {
	return f.bout.insist(ctx, func() (err error) {
		o, err := sdk.Connect(ctx, sdk.WithProfile(f.profileAt(m.door, f.operator)))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shut(o)) }()
		status, err := o.Admin().Status(ctx)
		if err != nil {
			return err
		}
		c, err := o.Admin().Cluster(ctx)
		if err != nil {
			return err
		}
		if status.Node != m.pin || status.Size < size || c.Lease == 0 || len(c.Nodes) != len(f.members) {
			return errNotSeated
		}
		for _, other := range c.Nodes {
			if !other.Counts || other.State != "leader" && other.State != "follower" {
				return errNotSeated
			}
		}
		return nil
	})
}

// leader waits until a node that runs is known to lead, and returns it.
func (f *fleet) leader(ctx context.Context) (leader *member, err error) {
	return leader, f.bout.insist(ctx, func() error {
		c, err := f.admin.Cluster(ctx)
		if err != nil {
			return err
		}
		found, _ := c.Leader()
		for _, m := range f.members {
			if m.pin == found.Node && m.running != nil {
				leader = m
				return nil
			}
		}
		return errNotSeated
	})
}

// insist tries again and again, for as long as the bout is patient.
func (b *bout) insist(ctx context.Context, attempt func() error) error {
	const pause = 20 * time.Millisecond
	limit := time.NewTimer(b.patience)
	defer limit.Stop()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-limit.C:
			return fmt.Errorf("for %s: %w", b.patience, err)
		case <-time.After(pause):
		}
	}
}

// profileOf is a principal's, who knows all nodes and begins at any of them.
func (f *fleet) profileOf(signer identity.Signer) sdk.Profile {
	p := sdk.Profile{Realm: f.id, Signer: signer}
	for _, m := range f.members {
		p.Addresses, p.Pins = append(p.Addresses, m.address), append(p.Pins, m.pin)
	}
	return p
}

// connectAt connects a principal to one node, until the bout's end.
func (f *fleet) connectAt(ctx context.Context, m *member, signer identity.Signer) (*sdk.Agent, error) {
	return f.connect(ctx, f.profileAt(m.door, signer))
}

// connect connects a principal, until the bout's end. One that was just let in is not known to all nodes yet.
func (f *fleet) connect(ctx context.Context, p sdk.Profile) (a *sdk.Agent, err error) {
	err = f.bout.insist(ctx, func() (err error) {
		a, err = sdk.Connect(ctx, sdk.WithProfile(p))
		return err
	})
	if err == nil {
		f.bout.later(func() error { return shut(a) })
	}
	return a, err
}

// enrolOne lets one agent in, at a level, by an operator.
func enrolOne(ctx context.Context, by admin.Admin, name string, level identity.Level) (identity.Signer, error) {
	invitation, err := by.Invite(name, level, []string{"bench.*"}, 5*time.Minute)
	if err != nil {
		return identity.Signer{}, err
	}
	signer, _, err := sdk.Enrol(ctx, invitation, sdk.KeepNothing())
	if err != nil {
		return identity.Signer{}, fmt.Errorf("enrol %s: %w", name, err)
	}
	return signer, nil
}

// order has the realm's operator change something.
func (f *fleet) order(ctx context.Context, typ registry.Type, body any) error {
	raw, err := f.admin.Prepare(typ, body, 0)
	if err != nil {
		return err
	}
	_, err = f.admin.Submit(ctx, raw)
	return err
}

// finish fills in what all results of fleets have.
func (f *fleet) finish(r Result, err error) (Result, error) {
	r.Fsync, r.Nodes = f.fsync, len(f.members)
	return r, err
}

// freePlace returns where a node can listen for as long as it comes and goes: ports that nobody uses now and that the
// system gives nobody who asks for any.
func freePlace() (node.Place, error) {
	const first, last, tries, together = 10_000, 32_000, 100, 3 // below the range of ports for those who ask for any
	for range tries {
		port := first + rand.IntN((last-first)/together)*together
		if free(port) && free(port+1) && free(port+2) {
			return node.Place{Listen: local(port), Cluster: local(port + 1)}, nil // and for brokers the next one
		}
	}
	return node.Place{}, errNoPort
}

var errNoPort = fault.New(fault.Unreachable, "bench: no free ports on this machine")

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func free(port int) bool {
	l, err := net.Listen("tcp", local(port))
	return err == nil && l.Close() == nil
}
