package admin

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Nodes is what an [Admin] asks about the realm's nodes; package sdk implements it. It is safe for concurrent use.
type Nodes interface {
	Cluster(ctx context.Context) (Cluster, error)
	// Seat hands in a roster that the roots have signed. The answer may be a refusal.
	Seat(ctx context.Context, roster []byte) (registry.Answer, error)
	Transfer(ctx context.Context, to identity.ID) error
}

// Cluster is what a node knows of the realm's nodes: unsigned, for display.
type Cluster struct {
	Roster  uint64      `json:"roster"`
	Latest  wire.Digest `json:"-"` // id of the newest roster, or the realm's
	Feature uint64      `json:"feature"`
	Lease   int64       `json:"lease"` // milliseconds left to the node asked; 0 if it has none; -1 if it needs none
	Nodes   []Machine   `json:"nodes"`
}

// Machine is one node of a cluster.
type Machine struct {
	Node    identity.ID `json:"node"`
	Client  string      `json:"client,omitempty"`   // host:port for agents
	Cluster string      `json:"cluster,omitempty"`  // host:port for nodes
	State   string      `json:"state"`              // leader, follower, joining, silent, or unknown
	Self    bool        `json:"self"`               // the node asked
	Size    uint64      `json:"commands,omitempty"` // commands it had applied when last heard
	Heard   int64       `json:"heard,omitempty"`    // when that was, Unix milliseconds
	Version string      `json:"version,omitempty"`  // of its program
	Counts  bool        `json:"counts"`             // by the verified roster it is one of those whose majority decides
}

// Leader returns the node that leads, if the node asked knows one.
func (c Cluster) Leader() (Machine, bool) {
	i := slices.IndexFunc(c.Nodes, func(m Machine) bool { return m.State == "leader" })
	if i < 0 {
		return Machine{}, false
	}
	return c.Nodes[i], true
}

var (
	// ErrNoCluster is returned when no node of the realm says where other nodes reach it.
	ErrNoCluster = fault.New(fault.Conflict, "admin: no node of this realm has an address that other nodes can reach").
			WithHint("write `cluster: HOST:PORT` into the node's conclave.yaml, and `advertise: HOST` if it listens on all " +
			"addresses; then restart it")
	// ErrNotRoot is returned when an operator does what only the realm's root operators may.
	ErrNotRoot = fault.New(fault.Denied, "admin: only the realm's root operators may invite and remove nodes").
			WithHint("use a root's context: --context NAME; see who they are: conclave cluster members --json")
	// ErrLastNode is returned when the last node that counts is to be removed.
	ErrLastNode = fault.New(fault.Conflict, "admin: it is the realm's last node that counts").
			WithHint("let another one join before: conclave server token")
	// ErrNoNode is returned for a node that the roster does not name.
	ErrNoNode = fault.New(fault.NotFound, "admin: no such node in the roster").
			WithHint("see which there are: conclave cluster members")
	errStrangers = fault.New(fault.Denied, "admin: the token sends the new node to nodes that are not of this realm").
			WithHint("do not sign it; have another made: conclave server token")
	errOtherRoster = fault.New(fault.Conflict, "admin: the roster does not follow the one in force").
			WithHint("another change came first; make it again: conclave cluster remove NODE --out FILE")
)

// Cluster says which nodes the realm has and how they are, as the node asked tells it. Which of them count comes from
// the verified roster.
func (ad Admin) Cluster(ctx context.Context) (Cluster, error) {
	c, err := ad.registry.Cluster(ctx)
	if err != nil {
		return Cluster{}, err
	}
	for i := range c.Nodes {
		c.Nodes[i].Counts = slices.Contains(ad.known().Authority.Nodes, c.Nodes[i].Node)
	}
	return c, nil
}

// NodeInvitation is a join token: the text to hand over, a secret that is good once and until it expires.
type NodeInvitation struct {
	Text    string
	Expires int64    // Unix milliseconds
	Asks    []string // host:port of the nodes that the new one asks
	Lacks   uint64   // signatures of further roots, by [Admin.CosignNode], without which no node accepts it
}

// InviteNode makes a join token for a node, good for life, at most 24 hours. It names the nodes that can be reached
// now. Errors: [ErrNotRoot], [ErrNoCluster], those of asking.
func (ad Admin) InviteNode(ctx context.Context, life time.Duration) (NodeInvitation, error) {
	k := ad.known()
	if err := k.root(); err != nil {
		return NodeInvitation{}, err
	}
	c, err := ad.Cluster(ctx)
	if err != nil {
		return NodeInvitation{}, err
	}
	now := time.Now().UnixMilli()
	token := identity.JoinToken{
		Version: 1, Issued: now, Expires: now + life.Milliseconds(), Addresses: reachable(c), Pins: k.Authority.Nodes,
		Roster: k.Authority.Number,
	}
	if len(token.Addresses) == 0 {
		return NodeInvitation{}, ErrNoCluster
	}
	i, err := identity.MakeJoinInvitation(k.Signer, k.Realm, token)
	if err != nil {
		return NodeInvitation{}, err
	}
	return k.invitation(i, token)
}

// maxAddresses is how many addresses a join token holds at most.
const maxAddresses = 16

// reachable returns where the nodes that count take others: not where that is every address of a machine.
func reachable(c Cluster) []string {
	var list []string
	for _, m := range c.Nodes {
		host, _, err := net.SplitHostPort(m.Cluster)
		if ip := net.ParseIP(host); err != nil || !m.Counts || host == "" || ip != nil && ip.IsUnspecified() {
			continue
		}
		if len(list) < maxAddresses {
			list = append(list, m.Cluster)
		}
	}
	return list
}

// CosignNode adds this root's signature to a join token that another root made. Errors: [ErrNotRoot]; malformed, or of
// another realm; denied if it names nodes that the realm does not have.
func (ad Admin) CosignNode(text string) (NodeInvitation, error) {
	k := ad.known()
	i, token, err := identity.ParseJoinInvitation(text)
	if err != nil {
		return NodeInvitation{}, err
	}
	if err := k.root(); err != nil {
		return NodeInvitation{}, err
	}
	if i.Realm != k.Realm {
		return NodeInvitation{}, fmt.Errorf("%w: join token of %s", identity.ErrWrongRealm, i.Realm)
	}
	for _, pin := range token.Pins {
		if !slices.Contains(k.Authority.Nodes, pin) {
			return NodeInvitation{}, fmt.Errorf("%w: %s", errStrangers, pin)
		}
	}
	if i, err = i.Cosign(k.Signer); err != nil {
		return NodeInvitation{}, err
	}
	return k.invitation(i, token)
}

func (k Known) invitation(i identity.JoinInvitation, t identity.JoinToken) (NodeInvitation, error) {
	text, err := i.Encode()
	if err != nil {
		return NodeInvitation{}, err
	}
	c, err := wire.ParseCosigned[identity.JoinToken](i.Token, wire.MaxStatement)
	if err != nil {
		return NodeInvitation{}, err
	}
	return NodeInvitation{Text: text, Expires: t.Expires, Asks: t.Addresses, Lacks: lacks(k, c)}, nil
}

// lacks returns how many more roots must sign.
func lacks[T wire.Statement](k Known, c wire.Cosigned[T]) uint64 {
	need := k.Authority.Threshold
	for _, root := range k.Authority.Roots {
		if _, err := c.Verify(k.Realm, 1, []wire.PublicKey{root.Key()}); err == nil && need > 0 {
			need--
		}
	}
	return need
}

func (k Known) root() error {
	if !slices.Contains(k.Authority.Roots, k.Signer.ID()) {
		return ErrNotRoot
	}
	return nil
}

// RemoveNode returns the realm's next roster, without the node, signed by this root. lacks says how many more roots
// must sign, by [Admin.CosignRoster]; [Admin.SeatRoster] hands it in, within 10 minutes. Errors: [ErrNotRoot],
// [ErrNoNode], [ErrLastNode].
func (ad Admin) RemoveNode(node identity.ID) (roster []byte, lack uint64, err error) {
	k := ad.known()
	a := k.Authority
	if err := k.root(); err != nil {
		return nil, 0, err
	}
	if !slices.Contains(a.Members(), node) {
		return nil, 0, fmt.Errorf("%w: %s", ErrNoNode, node)
	}
	next := identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots,
		Threshold: a.Threshold, Nodes: without(a.Nodes, node), Joining: without(a.Joining, node),
	}
	if len(next.Nodes) == 0 {
		return nil, 0, ErrLastNode
	}
	if roster, err = k.Signer.Cosign(k.Realm, next); err != nil {
		return nil, 0, err
	}
	return k.toSeat(roster)
}

// without returns a copy of the list without one, nil if nothing is left.
func without(list []identity.ID, node identity.ID) []identity.ID {
	var rest []identity.ID
	for _, id := range list {
		if id != node {
			rest = append(rest, id)
		}
	}
	return rest
}

// CosignRoster adds this root's signature to a roster that another root has signed and that follows the one in force.
func (ad Admin) CosignRoster(raw []byte) (roster []byte, lack uint64, err error) {
	k := ad.known()
	if err := k.root(); err != nil {
		return nil, 0, err
	}
	if roster, err = identity.AddTo[identity.Roster](k.Signer, k.Realm, raw); err != nil {
		return nil, 0, err
	}
	return k.toSeat(roster)
}

// toSeat checks that a roster follows the one in force and says how many roots have yet to sign it.
func (k Known) toSeat(raw []byte) ([]byte, uint64, error) {
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return nil, 0, err
	}
	if c.Claim.Number != k.Authority.Number+1 || c.Claim.Previous != k.Authority.Latest() {
		return nil, 0, fmt.Errorf("%w: roster %d, in force is %d", errOtherRoster, c.Claim.Number, k.Authority.Number)
	}
	return raw, lacks(k, c), nil
}

// SeatRoster hands in a roster that the roots have signed; the outgoing nodes sign it before it takes effect. Refusals
// are errors with their codes.
func (ad Admin) SeatRoster(ctx context.Context, raw []byte) (registry.Seated, error) {
	k := ad.known()
	if _, _, err := k.toSeat(raw); err != nil {
		return registry.Seated{}, err
	}
	answer, err := ad.registry.Seat(ctx, raw)
	if err == nil {
		err = answer.Err()
	}
	if err == nil {
		return registry.Result[registry.Seated](answer)
	}
	c, parseErr := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if now, askErr := ad.registry.Cluster(ctx); parseErr == nil && askErr == nil && now.Latest == c.ID(k.Realm) {
		// The answer was lost with the connection, as when its node was removed, and another node was asked again.
		return registry.Seated{Number: c.Claim.Number, ID: now.Latest, Nodes: c.Claim.Nodes, Joining: c.Claim.Joining}, nil
	}
	return registry.Seated{}, err
}

// Transfer has another node lead: to, or any that has caught up if to is zero. It returns when the node that led has
// given it up.
func (ad Admin) Transfer(ctx context.Context, to identity.ID) error {
	return ad.registry.Transfer(ctx, to)
}
