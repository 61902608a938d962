package broker

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	// refusalDelay is how long a refused node waits for its refusal, because nats-server redials routes that it heard
	// of from others without any pause. It is less than handshakeTime.
	refusalDelay = time.Second
	routePing    = 3 * time.Second // a route whose other end has gone without a word is cut after three of them
)

var (
	// ErrRoutes is returned when routes cannot be set; those from before stand.
	ErrRoutes = fault.New(fault.Internal, "broker: cannot change the routes")
	// errStranger is how a handshake for a route ends whose other end is not expected.
	errStranger = fault.New(fault.Denied, "broker: not a node to have a route with")
)

// Cluster says how a broker meets the brokers of its realm's other nodes. It is not changed after [Start].
type Cluster struct {
	Listen string // host:port for other nodes; port 0 takes any; "127.0.0.1:0" if empty
	Name   string // the same at all nodes of the realm; the realm's token if empty
	// Members returns the nodes that may have a route now, among those given to [Broker.Routes]. It is asked at every
	// handshake, by many goroutines at once, and must not block. Required.
	Members func() []identity.ID
}

func (c *Cluster) withDefaults(realm wire.Realm) (*Cluster, error) {
	out := *c
	if out.Members == nil {
		return nil, fmt.Errorf("%w: a cluster needs to know its members", ErrConfig)
	}
	if out.Listen == "" {
		out.Listen = "127.0.0.1:0"
	}
	if out.Name == "" {
		out.Name = bus.TokenOf(wire.Digest(realm)).String()
	}
	return &out, nil
}

// Route is another node and where its broker listens for nodes.
type Route struct {
	Node    identity.ID
	Address string // host:port; if empty the node is not dialled, but may dial
}

// ClusterAddr returns the address that other nodes' brokers reach, host:port, and "" without a cluster.
func (b *Broker) ClusterAddr() string {
	if b.cluster == nil {
		return ""
	}
	return net.JoinHostPort(b.cluster.host, strconv.Itoa(b.cluster.port))
}

// Routes replaces the nodes that this broker has routes with. Nodes that are new are dialled, again and again until
// they answer, and may dial; routes with nodes that are not named any more are cut, though what was under way on them
// may still arrive for [writeDeadline]. Clients and their subscriptions notice nothing. A route only carries messages
// once the other end expects this node too. Calls at the same time are made one after the other. Errors: [ErrConfig]
// for a route that is malformed, double or to the broker itself, and without a cluster; [ErrRoutes].
func (b *Broker) Routes(peers []Route) error {
	if b.cluster == nil {
		return fmt.Errorf("%w: a broker without a cluster has no routes", ErrConfig)
	}
	return b.cluster.set(peers)
}

// Peers returns the nodes with a route that stands now, in the order of their names. Which node is at the other end of
// a route is that end's word, though only members have one.
func (b *Broker) Peers() []identity.ID {
	if b.cluster == nil {
		return nil
	}
	var peers []identity.ID
	for _, r := range b.cluster.live() {
		if id, err := identity.ParseID(r.RemoteName); err == nil {
			peers = append(peers, id)
		}
	}
	slices.SortFunc(peers, identity.ID.Compare)
	return slices.Compact(peers)
}

// cluster is a broker's routes. Its methods do nothing on nil.
type cluster struct {
	config  Config
	host    string
	port    int
	tls     *tls.Config
	stop    <-chan struct{}
	options func() (*server.Options, error) // those of the server without its cluster
	server  *server.Server

	pins    atomic.Pointer[map[wire.PublicKey]struct{}] // whom routes were asked for
	renewal atomic.Bool                                 // a reload is under way

	turn    sync.Mutex // held during a reload
	peers   []Route
	asked   []Route             // for peers, unless apart
	apart   bool                // there are no routes, whatever was asked for
	removed bool                // some node has been removed since the start
	closed  bool                // by the broker's Close
	salt    uint64              // of the pins
	seen    map[uint64]struct{} // routes at the last look, once a node has been removed
}

func newCluster(config Config, stop <-chan struct{}) (*cluster, error) {
	c := &cluster{config: config, stop: stop}
	c.pins.Store(&map[wire.PublicKey]struct{}{})
	var err error
	if c.host, c.port, err = listenAddress(config.Cluster.Listen); err != nil {
		return nil, err
	}
	if c.tls, err = peertls.Server(config.Key); err != nil {
		return nil, err
	}
	c.tls.InsecureSkipVerify = true // no CA: verify compares the key itself, at either end
	c.tls.VerifyConnection = c.verify
	return c, nil
}

// started is told of the server once it listens.
func (c *cluster) started(b *Broker) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.server = b.server
	c.port = b.server.ClusterAddr().Port
	c.options = func() (*server.Options, error) { return b.config.serverOptions(b.clients) }
}

// close waits for a reload under way, after which there is none.
func (c *cluster) close() {
	if c == nil {
		return
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	c.closed = true
}

// verify ends every handshake for a route, at either end.
func (c *cluster) verify(state tls.ConnectionState) error {
	key, err := peertls.Peer(state)
	if err != nil {
		return err
	}
	if c.expects(key) {
		return nil
	}
	timer := time.NewTimer(refusalDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stop:
	}
	return errStranger
}

// expects reports whether the node with the key may have a route now.
func (c *cluster) expects(key wire.PublicKey) bool {
	_, ok := (*c.pins.Load())[key]
	return ok && slices.Contains(c.config.Cluster.Members(), identity.NewID(identity.Node, key))
}

// Check implements [server.Authentication] for the end of a route that was dialled: who was removed since its
// handshake is refused. The server asks again at each reload.
func (c *cluster) Check(r server.ClientAuthentication) bool {
	state := r.GetTLSConnectionState()
	if r.Kind() != server.ROUTER || state == nil {
		return false
	}
	key, err := peertls.Peer(*state)
	return err == nil && c.expects(key)
}

// extend writes the cluster into a server's options.
func (c *cluster) extend(o *server.Options) error {
	o.CustomRouterAuthentication = c
	o.Cluster = server.ClusterOpts{
		Name: c.config.Cluster.Name, Host: c.host, Port: c.port, NoAdvertise: true,
		TLSConfig: c.tls, TLSTimeout: handshakeTime, AuthTimeout: handshakeTime,
		TLSPinnedCerts: server.PinnedCertSet{}, // not nil, which would mean any
		PoolSize:       1,                      // of routes to one node: there is one account
		Compression:    server.CompressionOpts{Mode: server.CompressionOff},
		PingInterval:   routePing, MaxPingsOut: 2, WriteDeadline: writeDeadline,
	}
	for key := range *c.pins.Load() {
		der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(key[:]))
		if err != nil {
			return fmt.Errorf("broker: pin: %w", err)
		}
		o.Cluster.TLSPinnedCerts[pinOf(der)] = struct{}{}
	}
	if c.salt > 0 { // no key's: it makes the server look at all routes anew
		o.Cluster.TLSPinnedCerts[pinOf(strconv.AppendUint(nil, c.salt, 10))] = struct{}{}
	}
	for _, r := range c.peers {
		if r.Address != "" {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: r.Address})
		}
	}
	return nil
}

func pinOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// set changes whom there are routes with.
func (c *cluster) set(peers []Route) error {
	pins, err := pinsOf(c.config.Node, peers)
	if err != nil {
		return err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.apart {
		c.asked = slices.Clone(peers)
		return nil
	}
	if err := c.use(peers, pins); err != nil {
		return err
	}
	c.asked = c.peers
	return nil
}

// isolate cuts all routes if alone says so once it is its turn, and else sets those again that were asked for last.
func (c *cluster) isolate(alone func() bool) error {
	if c == nil {
		return nil
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	apart := alone()
	if apart == c.apart {
		return nil
	}
	peers := c.asked
	if apart {
		peers = nil
	}
	pins, err := pinsOf(c.config.Node, peers)
	if err != nil {
		return err
	}
	c.apart = apart
	return c.use(peers, pins)
}

// use has routes with these peers and no others. The turn is held.
func (c *cluster) use(peers []Route, pins map[wire.PublicKey]struct{}) error {
	if slices.Equal(peers, c.peers) {
		return nil
	}
	oldPins, oldPeers := c.pins.Load(), c.peers
	c.pins.Store(&pins) // before the server acts on it: handshakes that end meanwhile are judged by it
	c.peers = slices.Clone(peers)
	if err := c.reload(); err != nil {
		c.pins.Store(oldPins)
		c.peers = oldPeers
		return fmt.Errorf("%w: %w", ErrRoutes, err)
	}
	for key := range *oldPins {
		if _, ok := pins[key]; !ok {
			c.removed = true
		}
	}
	return nil
}

// pinsOf checks the routes of a node and returns the keys of their other ends.
func pinsOf(self identity.ID, peers []Route) (map[wire.PublicKey]struct{}, error) {
	pins := map[wire.PublicKey]struct{}{}
	for _, r := range peers {
		if err := r.Node.Check(); err != nil || r.Node.Role() != identity.Node || r.Node == self {
			return nil, fmt.Errorf("%w: no route to %s", ErrConfig, r.Node)
		}
		if _, double := pins[r.Node.Key()]; double {
			return nil, fmt.Errorf("%w: two routes to %s", ErrConfig, r.Node)
		}
		pins[r.Node.Key()] = struct{}{}
		if r.Address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(r.Address)
		if err != nil || host == "" {
			return nil, fmt.Errorf("%w: the address %q of %s is not host:port", ErrConfig, r.Address, r.Node)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%w: the address %q of %s has no port", ErrConfig, r.Address, r.Node)
		}
	}
	return pins, nil
}

// reload has the server read its options anew. The turn is held.
func (c *cluster) reload() error {
	if c.closed || c.server == nil {
		return errNotRunning
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := c.extend(o); err != nil {
		return err
	}
	c.renewal.Store(true)
	defer c.renewal.Store(false)
	return reload(c.server, o)
}

// reload is a function of its own so that [cluster.reloads] finds it among its callers.
//
//go:noinline
func reload(s *server.Server, o *server.Options) error { return s.ReloadOptions(o) }

var reloadName = sync.OnceValue(func() string { return runtime.FuncForPC(reflect.ValueOf(reload).Pointer()).Name() })

// reloads reports whether it is called from within a reload, in whose goroutine the server asks for every connection
// anew. At the same time it may ask for a connection that is just logging in, in that one's own goroutine, with the same
// arguments; only the callers tell the two apart.
func (c *cluster) reloads() bool {
	if c == nil || !c.renewal.Load() {
		return false
	}
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if frame.Function == reloadName() {
			return true
		}
		if !more {
			return false
		}
	}
}

// recheck has the server compare the keys of all routes with the pins again, if there is a route that was not there at
// the last look. A reload does not see connections whose handshake had ended but that were no routes yet, so a node that
// was just removed could keep one back and make it a route later.
func (c *cluster) recheck() {
	if c == nil {
		return
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if !c.removed || c.closed {
		return
	}
	live, news := map[uint64]struct{}{}, false
	for _, r := range c.live() {
		live[r.Rid] = struct{}{}
		if _, known := c.seen[r.Rid]; !known {
			news = true
		}
	}
	if news {
		c.salt++
		if err := c.reload(); err != nil {
			c.config.Logger.Error("routes could not be checked", "error", err)
			return // and looked at again the next time
		}
	}
	c.seen = live
}

// live returns the routes that stand.
func (c *cluster) live() []*server.RouteInfo {
	list, err := c.server.Routez(nil)
	if err != nil {
		return nil // Routez has no way to fail today
	}
	return list.Routes
}

var _ server.Authentication = (*cluster)(nil)
