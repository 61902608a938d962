package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// Realm is where the load goes.
type Realm struct {
	Operator sdk.Profile // with the pins of all nodes
	Doors    []string    // each node's address for agents, host:port
	Names    []string    // each node's name in the history
	Keys     []sdk.ID    // each node's key
	StateDir string      // for what executors remember
}

// Size says who there is. Paces are the pauses between two operations of one client.
type Size struct {
	Targets    int // members that operators change and read
	Registrars int // operators' connections that do so, each through one node
	Servers    int // agents that answer calls, each through one node
	Callers    int
	Publishers int
	Readers    int
	Suspects   int // publishers that are quarantined and released
	Deciders   int // agents that act on certificates, which the operator approves
	Pace       time.Duration
	Silence    time.Duration // how long a suspect stays quarantined, and free
	Strict     bool          // reads of members are linearizable
	Apart      bool          // each client connects to one node first, in turn, and turns to others only if it must
}

// Usual is a load for three nodes on a small machine.
func Usual() Size {
	return Size{
		Targets: 4, Registrars: 3, Servers: 2, Callers: 2, Publishers: 2, Readers: 2, Suspects: 1, Deciders: 1,
		Pace: 40 * time.Millisecond, Silence: 8 * time.Second,
	}
}

// limit bounds one operation.
const limit = 5 * time.Second

// Load is a realm's load while it lasts.
type Load struct {
	realm    Realm
	size     Size
	recorder *Recorder
	members  []identity.Signer // targets and suspects
	names    map[identity.ID]string
	suspects map[identity.ID]bool
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// Start enrols everybody through the first node, connects them, each to one node with the others to turn to, and lets
// them work until Stop. It returns when every client is connected.
func Start(ctx context.Context, r Realm, s Size, rec *Recorder) (*Load, error) {
	l := &Load{realm: r, size: s, recorder: rec, names: map[identity.ID]string{}, suspects: map[identity.ID]bool{}}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	clients, err := l.clients(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	for i, c := range clients {
		if err := c.connect(ctx); err != nil {
			cancel()
			for _, earlier := range clients[:i+1] {
				earlier.close()
			}
			return nil, err
		}
	}
	for _, c := range clients {
		l.work.Go(func() { l.keepBusy(running, c) })
	}
	return l, nil
}

// Stop ends all clients and waits for them.
func (l *Load) Stop() error {
	l.cancel()
	l.work.Wait()
	return l.recorder.Err()
}

// client is one connection and what it does over and over.
type client struct {
	name     string
	node     int
	profile  sdk.Profile
	agent    *sdk.Agent
	approver *client // a decider's operator
	random   *rand.Rand
	prepare  func(context.Context, *client) error // once it is connected; may be nil
	work     func(context.Context, *client)       // one operation; nil: it only answers
	done     uint64                               // operations so far
	process  uint64                               // of a suspect: how often it has connected anew
	seen     map[string]uint64                    // a registrar's: the last change of each target as it saw it
}

// connect connects the client, as soon as its node lets it: one that has just started has no lease yet.
func (c *client) connect(ctx context.Context) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := c.connectOnce(ctx)
		if err == nil {
			return nil
		}
		c.close()
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (c *client) connectOnce(ctx context.Context) (err error) {
	if c.agent, err = sdk.Connect(ctx, sdk.WithProfile(c.profile)); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if c.approver != nil {
		if err := c.approver.connectOnce(ctx); err != nil {
			return err
		}
	}
	if c.prepare == nil {
		return nil
	}
	return c.prepare(ctx, c)
}

// close ends the connection, if there is one.
func (c *client) close() {
	if c.approver != nil {
		c.approver.close()
	}
	if c.agent == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = c.agent.Close(ctx) // its node may be gone
	c.agent = nil
}

// keepBusy has the client work until ctx ends.
func (l *Load) keepBusy(ctx context.Context, c *client) {
	defer c.close()
	if c.work == nil {
		<-ctx.Done()
		return
	}
	pace := time.NewTicker(l.size.Pace)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
			c.done++
			bounded, cancel := context.WithTimeout(ctx, limit)
			c.work(bounded, c)
			cancel()
		}
	}
}

// clients enrols and lists everybody.
func (l *Load) clients(ctx context.Context) ([]*client, error) {
	operator, err := sdk.Connect(ctx, sdk.WithProfile(l.at(0, l.realm.Operator.Signer)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = operator.Close(ctx) }() // it has done its work
	e := &enroller{load: l, operator: operator}
	for i := range l.size.Targets {
		e.member(ctx, fmt.Sprint("target-", i))
	}
	for i := range l.size.Registrars {
		c := e.add(fmt.Sprint("registrar-", i), l.realm.Operator.Signer, nil, l.change)
		c.profile = l.only(c.node, c.profile.Signer) // what it reads is one node's word
	}
	for i := range l.size.Servers {
		e.agent(ctx, fmt.Sprint("server-", i), l.serve, nil)
	}
	for i := range l.size.Callers {
		e.agent(ctx, fmt.Sprint("caller-", i), nil, l.call)
	}
	for i := range l.size.Readers {
		e.agent(ctx, fmt.Sprint("reader-", i), l.read, nil)
	}
	for i := range l.size.Publishers {
		e.agent(ctx, fmt.Sprint("publisher-", i), advertise, l.publish)
	}
	for i := range l.size.Suspects {
		name := fmt.Sprint("suspect-", i)
		signer := e.member(ctx, name)
		l.suspects[signer.ID()] = true
		e.add(name, signer, advertise, l.publishAnyhow)
		e.add("warden-"+name, l.realm.Operator.Signer, nil, l.watchOver(signer.ID()))
	}
	for i := range l.size.Deciders {
		c := e.agent(ctx, fmt.Sprint("decider-", i), nil, l.decide())
		c.approver = &client{name: "approver", profile: l.at(i+1, l.realm.Operator.Signer)}
	}
	if e.err == nil {
		e.err = l.first(ctx, operator)
	}
	return e.clients, e.err
}

// enroller collects clients until something fails.
type enroller struct {
	load     *Load
	operator *sdk.Agent
	clients  []*client
	err      error
}

// enrol makes an agent.
func (e *enroller) enrol(ctx context.Context, name string) identity.Signer {
	if e.err != nil {
		return identity.Signer{}
	}
	token, err := e.operator.Admin().Invite(name, identity.Journeyer, []string{"load.*"}, time.Hour)
	if err == nil {
		var signer identity.Signer
		if signer, _, err = sdk.Enrol(ctx, token, sdk.KeepNothing()); err == nil {
			return signer
		}
	}
	e.err = fmt.Errorf("enrol %s: %w", name, err)
	return identity.Signer{}
}

// member makes an agent that operators change.
func (e *enroller) member(ctx context.Context, name string) identity.Signer {
	signer := e.enrol(ctx, name)
	if e.err == nil {
		e.load.members = append(e.load.members, signer)
		e.load.names[signer.ID()] = name
	}
	return signer
}

func (e *enroller) agent(ctx context.Context, name string, prepare func(context.Context, *client) error, work func(context.Context, *client)) *client {
	return e.add(name, e.enrol(ctx, name), prepare, work)
}

// add lists a client; the nodes take turns.
func (e *enroller) add(name string, signer identity.Signer, prepare func(context.Context, *client) error, work func(context.Context, *client)) *client {
	node := len(e.clients) % len(e.load.realm.Doors)
	c := &client{
		name: name, node: node, profile: e.load.at(node, signer), prepare: prepare, work: work, seen: map[string]uint64{},
		random: rand.New(rand.NewPCG(e.load.recorder.seed, uint64(len(e.clients)))),
	}
	if e.load.size.Apart {
		c.profile = e.load.only(node, signer)
	}
	e.clients = append(e.clients, c)
	return c
}

// at returns a profile that begins at one node and may turn to the others.
func (l *Load) at(node int, signer identity.Signer) sdk.Profile {
	p := l.realm.Operator
	node %= len(l.realm.Doors)
	p.Signer, p.StateDir = signer, ""
	p.Addresses = slices.Concat(l.realm.Doors[node:], l.realm.Doors[:node])
	return p
}

// only returns a profile that knows one node alone.
func (l *Load) only(node int, signer identity.Signer) sdk.Profile {
	p := l.at(node, signer)
	p.Addresses = p.Addresses[:1]
	return p
}

// outcome says what a failed operation's caller knows: it was refused for good, or nobody knows.
func outcome(err error) (check.Result, string) {
	c := sdk.CodeOf(err)
	switch {
	case err == nil:
		return check.OK, ""
	case c == "" || c == code.Uncertain || c == code.Unreachable || c == code.Pending:
		return check.Unknown, string(c)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return check.Unknown, string(c)
	default:
		return check.Refused, string(c)
	}
}
