package sdk_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// cluster is a realm of several nodes that are played: what they say is signed as it must be, over one bus in memory
// that stands for their routes. Each believes in a roster of its own, so that one can be behind.
type cluster struct {
	t       *testing.T
	network *membus.Network
	realm   sdk.Realm
	policy  policy.Policy
	genesis []byte
	root    identity.Signer

	mu      sync.Mutex
	nodes   []*played // all there ever are; the first is the genesis's
	rosters [][]byte
	members map[sdk.ID]*member
	said    map[wire.Digest]spoken // by credential
	size    uint64
	asked   []asked
	answer  func(node *played, op control.Op) error // may refuse a request before it is looked at; may be nil
	roamers []*roamer
}

// played is one node.
type played struct {
	identity.Signer
	cluster *cluster
	at      string
	roster  int  // number of the newest that it knows
	size    int  // by how much its head is behind
	tickets *int // if not nil, the roster of the next ticket that it hands out, once
}

// member is an enrolled agent.
type member struct {
	identity.Signer
	name string
	card []byte
}

// spoken is what was heard of one process.
type spoken struct {
	principal  sdk.ID
	credential []byte
	presence   []byte
	heard      []sdk.ID // the nodes that were told, in order
}

// asked is one request to a node.
type asked struct {
	node    sdk.ID
	op      control.Op
	command []byte // of OpSubmit
}

// clustered runs a test in a realm of so many nodes, of which the first is in the roster, in a bubble.
func clustered(t *testing.T, n int, fn func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, n)
		for _, node := range c.nodes {
			node.serve(c.network.Join(bus.NodePermissions(c.realm), bus.Observer{}))
		}
		fn(t, c)
	})
}

// newCluster makes a realm of so many nodes that answer nobody yet.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{
		t: t, network: membus.New(membus.Options{Queue: 8192}), members: map[sdk.ID]*member{}, said: map[wire.Digest]spoken{}, size: 7,
		root: newSigner(t, identity.Operator),
	}
	var err error
	if c.policy, err = policy.Preset(policy.Solo); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.nodes = append(c.nodes, &played{
			Signer: newSigner(t, identity.Node), cluster: c, at: string(rune('a'+i)) + ".example:7422",
		})
	}
	c.genesis, err = wire.Cosign(wire.Realm{}, identity.Genesis{
		Version: 1, Created: time.Now().UnixMilli(), Roots: []sdk.ID{c.root.ID()}, Threshold: 1,
		Nodes: []sdk.ID{c.nodes[0].ID()}, Policy: c.policy.Digest(), Nonce: [16]byte{1}, Solo: true,
	}, c.root.Key())
	if err != nil {
		t.Fatal(err)
	}
	if c.realm, err = identity.RealmOf(c.genesis); err != nil {
		t.Fatal(err)
	}
	return c
}

func newSigner(t *testing.T, role identity.Role) identity.Signer {
	t.Helper()
	s, _, err := identity.GenerateSigner(role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// authority returns who runs the realm after so many rosters, those apart that do not verify.
func (c *cluster) authority(roster int) *identity.Authority {
	a, err := identity.VerifyChain(c.realm, c.genesis, c.rosters[:roster], 0)
	if err != nil {
		return c.authority(roster - 1)
	}
	return a
}

// sign makes the roster after a chain, of so many of the nodes, signed by the root and the outgoing nodes.
func (c *cluster) sign(rosters [][]byte, count int) []byte {
	return c.signBy(rosters, count, c.keys)
}

// signBy is sign by others than the outgoing nodes.
func (c *cluster) signBy(rosters [][]byte, count int, by func(outgoing *identity.Authority) []wire.Key) []byte {
	c.t.Helper()
	a, err := identity.VerifyChain(c.realm, c.genesis, rosters, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	r := identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots, Threshold: 1,
	}
	for _, node := range c.nodes[:count] {
		r.Nodes = append(r.Nodes, node.ID())
	}
	slices.SortFunc(r.Nodes, sdk.ID.Compare)
	raw, err := wire.Cosign(c.realm, r, append(by(a), c.root.Key())...)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// grow adds a roster of the first count nodes, of which all nodes know.
func (c *cluster) grow(count int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rosters = append(c.rosters, c.sign(c.rosters, count))
	c.size++
	for _, node := range c.nodes {
		node.roster = len(c.rosters)
	}
}

// set changes what nodes say.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// keys returns those of an authority's nodes.
func (c *cluster) keys(a *identity.Authority) (keys []wire.Key) {
	for _, node := range c.nodes {
		if slices.Contains(a.Nodes, node.ID()) {
			keys = append(keys, node.Key())
		}
	}
	return keys
}

// cosign has a majority of a roster's nodes, and no more, sign a statement.
func (c *cluster) cosign(roster int, s wire.Statement) []byte {
	a := c.authority(roster)
	raw, err := wire.Cosign(c.realm, s, c.keys(a)[:a.Majority()]...)
	if err != nil {
		panic(err)
	}
	return raw
}

// requests returns what was asked since the last call, of one kind, once everybody waits.
func (c *cluster) requests(op control.Op) []asked {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []asked
	for _, a := range c.asked {
		if a.op == op {
			list = append(list, a)
		}
	}
	c.asked = slices.DeleteFunc(c.asked, func(a asked) bool { return a.op == op })
	return list
}

// agent enrols an agent and connects it until the test ends.
func (c *cluster) agent(name string, opts ...sdk.Option) *sdk.Agent {
	c.t.Helper()
	m := &member{Signer: newSigner(c.t, identity.Agent), name: name}
	c.set(func() { c.members[m.ID()] = m })
	all := append([]sdk.Option{
		sdk.WithProfile(c.profile(m.Signer)), sdk.Over(c.connect),
		sdk.WithLogger(slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))),
	}, opts...)
	a, err := sdk.Connect(c.t.Context(), all...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			c.t.Error(err)
		}
	})
	return a
}

func (c *cluster) profile(s identity.Signer) sdk.Profile {
	return sdk.Profile{Realm: c.realm, Addresses: []string{c.nodes[0].at}, Pins: []sdk.ID{c.nodes[0].ID()}, Signer: s}
}

// connect implements [sdk.Transport]: at the first pin.
func (c *cluster) connect(_ context.Context, o natsbus.Options) (bus.Conn, error) {
	shown, err := o.Present()
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[identity.Credential](shown.Statement, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	id := claimed.ID(c.realm)
	r := &roamer{cluster: c, options: o, principal: claimed.Claim.Principal, process: id, node: o.Pins[0]}
	r.Conn = c.network.Join(r.permissions(o.Pins[0]), o.Observer)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said[id] = spoken{principal: r.principal, credential: shown.Statement}
	c.roamers = append(c.roamers, r)
	return r, nil
}

// of returns the newest connection of an agent.
func (c *cluster) of(a *sdk.Agent) *roamer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range slices.Backward(c.roamers) {
		if r.principal == a.ID() {
			return r
		}
	}
	panic("not connected")
}

// roamer is a connection that goes from node to node, as one over NATS does.
type roamer struct {
	*membus.Conn
	cluster   *cluster
	options   natsbus.Options
	principal sdk.ID
	process   wire.Digest

	mu        sync.Mutex
	node      sdk.ID // zero: it is down
	addresses []string
	pins      []sdk.ID
	extended  int
}

var _ bus.Located = (*roamer)(nil)

func (r *roamer) permissions(node sdk.ID) bus.Permissions {
	return bus.Party{
		Realm: r.cluster.realm, Node: node, Principal: r.principal, Process: r.process, Status: trust.Active,
		Rights: r.cluster.policy.Rights(identity.Journeyer),
	}.Permissions()
}

// Node implements [bus.Located].
func (r *roamer) Node() sdk.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

// Extend is as that of natsbus.
func (r *roamer) Extend(addresses []string, pins []sdk.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses, r.pins = addresses, pins
	r.extended++
	return nil
}

// known returns what the connection was told of nodes, and how often.
func (r *roamer) known() ([]string, []sdk.ID, int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses, r.pins, r.extended
}

// goes has the connection leave its node.
func (r *roamer) goes() {
	r.mu.Lock()
	r.node = sdk.ID{}
	r.mu.Unlock()
	r.options.Observer.Disconnected(nil)
}

// comes has it stand at a node again.
func (r *roamer) comes(to *played) {
	r.cluster.network.Permit(r.Conn, r.permissions(to.ID()))
	r.mu.Lock()
	r.node = to.ID()
	r.mu.Unlock()
	r.options.Observer.Connected()
}

func (r *roamer) moves(to *played) {
	r.goes()
	r.comes(to)
}

// Publish implements [bus.Conn].
func (r *roamer) Publish(ctx context.Context, subject string, data []byte) error {
	if r.Node().IsZero() {
		return bus.ErrUnreachable
	}
	return r.Conn.Publish(ctx, subject, data)
}

// Flush implements [bus.Conn].
func (r *roamer) Flush(ctx context.Context) error {
	if r.Node().IsZero() {
		return bus.ErrUnreachable
	}
	return r.Conn.Flush(ctx)
}

// Subscribe implements [bus.Conn]: nothing is heard while the connection is down.
func (r *roamer) Subscribe(pattern string, fn func(subject string, data []byte)) (bus.Subscription, error) {
	return r.Conn.Subscribe(pattern, func(subject string, data []byte) {
		if !r.Node().IsZero() {
			fn(subject, data)
		}
	})
}

// serve answers requests to the node over its connection until the test ends.
func (n *played) serve(conn bus.Conn) {
	c := n.cluster
	handlers := map[control.Op]control.Handler{}
	answering(n, handlers, control.OpRealm, n.tellRealm)
	answering(n, handlers, control.OpWho, n.tellWho)
	answering(n, handlers, control.OpSender, n.tellSender)
	answering(n, handlers, control.OpFind, n.tellFound)
	answering(n, handlers, control.OpAnnounce, n.hear)
	answering(n, handlers, control.OpSubmit, n.apply)
	server, err := control.Serve(conn, c.realm, n.ID(), handlers)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(server.Close)
}

// answering adds a handler of requests with a body of one form. The cluster is locked while it runs.
func answering[In any](
	n *played, handlers map[control.Op]control.Handler, op control.Op, fn func(from control.Caller, in In) (any, error),
) {
	handlers[op] = func(_ context.Context, from control.Caller, body wire.Raw) (any, error) {
		in, err := control.Decode[In](body)
		if err != nil {
			return nil, err
		}
		c := n.cluster
		c.mu.Lock()
		defer c.mu.Unlock()
		request := asked{node: n.ID(), op: op}
		if s, ok := any(in).(control.Submit); ok {
			request.command = s.Command
		}
		c.asked = append(c.asked, request)
		if c.answer != nil {
			if err := c.answer(n, op); err != nil {
				return nil, err
			}
		}
		return fn(from, in)
	}
}

func (n *played) tellRealm(control.Caller, control.Nothing) (any, error) {
	c := n.cluster
	size := c.size - uint64(n.size)
	out := control.Realm{
		Genesis: c.genesis, Rosters: c.rosters[:n.roster], Policy: c.policy.Encode(), Node: n.ID(), Time: time.Now().UnixMilli(),
		Head: c.cosign(n.roster, audit.Head{
			Version: 1, Roster: uint64(n.roster), Size: size, Root: wire.Digest{byte(size)}, Time: time.Now().UnixMilli(), State: wire.Digest{1},
		}),
	}
	for _, other := range c.nodes {
		out.Nodes = append(out.Nodes, control.Address{Node: other.ID(), At: other.at})
	}
	return out, nil
}

// principal is what the node says of a member.
func (n *played) principal(m *member) control.Principal {
	roster, now := n.roster, time.Now().UnixMilli()
	if n.tickets != nil {
		roster, n.tickets = *n.tickets, nil
	}
	t := trust.Ticket{
		Version: 1, Principal: m.ID(), Name: m.name, Operator: n.cluster.root.ID(), Status: trust.Active, Level: identity.Journeyer,
		Key: m.Public(), Serves: []string{"*"}, Policy: n.cluster.policy.Digest(), Roster: uint64(roster), Index: n.cluster.size,
		Issued: now, Expires: now + trust.MaxTicketLife,
	}
	if m.card != nil {
		claimed, err := wire.Parse[discovery.Card](m.card, wire.MaxStatement)
		if err != nil {
			panic(err)
		}
		t.Card = claimed.ID(n.cluster.realm)
	}
	return control.Principal{Ticket: n.cluster.cosign(roster, t), Card: m.card}
}

var errNobody = fault.New(fault.Unknown, "test: nobody")

func (n *played) tellWho(_ control.Caller, w control.Who) (any, error) {
	for _, m := range n.cluster.members {
		if m.ID() == w.ID || m.name == w.Name {
			return n.principal(m), nil
		}
	}
	return nil, errNobody
}

func (n *played) vouch(s spoken) control.Vouched {
	return control.Vouched{
		Credential: s.credential, Principal: n.principal(n.cluster.members[s.principal]), Presence: s.presence,
	}
}

func (n *played) tellSender(_ control.Caller, p control.Process) (any, error) {
	s, ok := n.cluster.said[p.Credential]
	if !ok || s.principal != p.Principal {
		return nil, errNobody
	}
	return n.vouch(s), nil
}

func (n *played) tellFound(_ control.Caller, f control.Find) (any, error) {
	var out control.Found
	for _, s := range n.cluster.said {
		if s.presence == nil || !f.ID.IsZero() && s.principal != f.ID {
			continue
		}
		claimed, err := wire.Parse[discovery.Presence](s.presence, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		p := claimed.Claim
		if time.Now().UnixMilli() < p.Expires && (f.Capability == "" || slices.Contains(p.Serves, f.Capability)) &&
			(f.Topic == "" || slices.Contains(p.Topics, f.Topic)) {
			out.Processes = append(out.Processes, n.vouch(s))
		}
	}
	return out, nil
}

func (n *played) hear(from control.Caller, a control.Announce) (any, error) {
	claimed, err := wire.Parse[discovery.Presence](a.Presence, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	s := n.cluster.said[claimed.Claim.Credential]
	if s.principal != from.Principal {
		return nil, errNobody
	}
	s.presence, s.heard = a.Presence, append(s.heard, n.ID())
	n.cluster.said[claimed.Claim.Credential] = s
	return control.Nothing{}, nil
}

// apply takes cards; other commands change nothing.
func (n *played) apply(_ control.Caller, in control.Submit) (any, error) {
	claimed, err := wire.ParseCosigned[registry.Command](in.Command, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	m := n.cluster.members[claimed.Claim.Author]
	if put, err := registry.Body[registry.PutCard](claimed.Claim); err == nil && claimed.Claim.Type == registry.TypeCard {
		m.card = bytes.Clone(put.Card)
	}
	result, err := wire.Encode(registry.Change{Principal: m.ID(), Status: trust.Active, Level: identity.Journeyer, Key: m.Public()})
	if err != nil {
		return nil, err
	}
	return control.Submitted{Answer: registry.Answer{Index: n.cluster.size, Command: claimed.ID(n.cluster.realm), Result: result}}, nil
}
