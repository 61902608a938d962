// Package broker is the node's message broker: an embedded nats-server that admits nobody but by its [Gate].
//
// A client shows one Ed25519 key in a TLS 1.3 handshake that comes before everything else, and its signed credential as
// CONNECT token. The Gate says who that is, which subjects it may use, at what rate and until when; what the Gate does
// not say is refused. There is no other way in for a client: no user, password, nonce signature, WebSocket, MQTT, leaf
// node, gateway, JetStream, header or monitoring port, and the node's own connection goes over a pipe in this process
// with a secret made at each start.
//
// Brokers of one realm pass messages on to each other over routes, to [Broker.Routes] and nobody else. Both ends of a
// route prove their node keys over TLS 1.3. What comes over a route is as good as the node that forwards it, so nothing
// may be concluded from the subject of a message: the envelope's signature says who sent it.
//
// [Broker.Revoke] takes a principal's rights away on its live connections before it cuts them, so that a client that
// does not read its socket and keeps publishing is silent all the same when Revoke returns. [Broker.Suspend] does that to
// all clients at once; [Broker.Restrict] leaves those that are connected what the Gate said of that case.
package broker

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Limits that no configuration changes.
const (
	MaxPerPrincipal = 8                // live connections of one principal
	InvitedLife     = 30 * time.Second // longest connection of a one-time key
	maxControlLine  = 4096             // bytes; the whole CONNECT must fit
	maxSubs         = 128              // subscriptions of one connection
	maxPending      = 8 << 20          // bytes that wait for a client before it is cut: some frames of several senders
	writeDeadline   = 2 * time.Second
	handshakeTime   = 2.0 // seconds for TLS, and again for CONNECT
	pingEvery       = 20 * time.Second
)

var (
	// ErrStart is returned when the broker cannot start.
	ErrStart = fault.New(fault.Internal, "broker: cannot start")
	// ErrInUse is returned when another process listens on the address.
	ErrInUse = fault.New(fault.InUse, "broker: the address is in use")
	// ErrConfig is returned when the configuration lacks something or contradicts itself.
	ErrConfig = fault.New(fault.Usage, "broker: configuration")
)

// Admission is what the Gate says of one connection.
type Admission struct {
	Principal   identity.ID     // whose it is; for a one-time key, [bus.OneTime]
	Process     wire.Digest     // id of its credential; for a one-time key, the key's digest
	Permissions bus.Permissions // of this realm only, not empty
	Restricted  []string        // subjects that it may still publish on under [Broker.Restrict]; none: it is disconnected
	Rate        uint64          // messages a minute that the principal may publish on all its connections; not 0
	Expires     int64           // Unix milliseconds: the connection ends then
}

// Gate decides who comes in. Its methods are called from many goroutines at once, again for every live connection at
// [Broker.Refresh], and sometimes twice for one connection. They must not block on the network or call the broker. An
// error's code is what the trail gets, with the admission's principal and process if they are set; the client learns
// only that it was refused.
type Gate interface {
	// Admit judges a credential as it came, nothing verified yet, shown by a client that proved the key connect,
	// which must be the credential's. now is in Unix milliseconds.
	Admit(credential []byte, connect wire.PublicKey, now int64) (Admission, error)
	// AdmitInvited judges an operator's signed enrolment token, nothing verified yet, shown by a client that proved
	// the key connect, which must be the token's one-time key.
	AdmitInvited(token []byte, connect wire.PublicKey, now int64) (Admission, error)
}

// Config of a broker. It is not changed after [Start].
type Config struct {
	Realm  wire.Realm
	Node   identity.ID  // whose broker it is; also the server's name
	Key    wire.Key     // its TLS key, which clients pin
	Listen string       // host:port; port 0 takes any; "127.0.0.1:0" if empty
	Gate   Gate         // required
	Logger *slog.Logger // discards if nil

	Cluster *Cluster // how other nodes are met; a broker without it has no routes and no port for them

	// OnEvent hears of admissions, refusals, revocations and rate windows; may be nil. It is called from many
	// goroutines at once, with no lock held, and must not block for long.
	OnEvent func(Event)
	Now     func() int64 // Unix milliseconds; the system's clock if nil

	MaxPayload     int           // bytes of one message; 256 KiB if 0
	MaxConnections int           // 12,000 if 0
	SampleEvery    time.Duration // how often rates are looked at; 100 ms if 0
}

func (c Config) withDefaults() (Config, error) {
	if c.Gate == nil || c.Key.IsZero() || c.Realm == (wire.Realm{}) || c.Node.Role() != identity.Node {
		return c, fmt.Errorf("%w: realm, node, key and gate are required", ErrConfig)
	}
	if c.Cluster != nil {
		var err error
		if c.Cluster, err = c.Cluster.withDefaults(c.Realm); err != nil {
			return c, err
		}
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	if c.Now == nil {
		c.Now = func() int64 { return time.Now().UnixMilli() }
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 256 << 10
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 12_000
	}
	if c.SampleEvery == 0 {
		c.SampleEvery = 100 * time.Millisecond
	}
	if c.MaxPayload < 0 || c.MaxPayload > 1<<20 || c.MaxConnections < 0 || c.SampleEvery < 0 {
		return c, fmt.Errorf("%w: a limit is out of range", ErrConfig)
	}
	return c, nil
}

// accountName is the one account that all clients share.
const accountName = "AGENTS"

// ends is what a server's options hold that is made once: a reload compares them as pointers.
type ends struct {
	auth server.Authentication
	tls  *tls.Config
	port int // of the listener; 0 before it is known
}

// serverOptions says all that nats-server is told. Features not named here are off. Each call makes them anew, because
// the server keeps and changes what it is given.
func (c Config) serverOptions(clients ends) (*server.Options, error) {
	host, port, err := listenAddress(c.Listen)
	if err != nil {
		return nil, err
	}
	if clients.port != 0 {
		port = clients.port
	}
	return &server.Options{
		ServerName: c.Node.String(), Host: host, Port: port, NoSigs: true,
		TLSConfig: clients.tls, TLS: true, TLSHandshakeFirst: true, TLSTimeout: handshakeTime, AuthTimeout: handshakeTime,
		CustomClientAuthentication: clients.auth,
		Accounts:                   []*server.Account{server.NewAccount(accountName)},
		NoSystemAccount:            true, // nobody reads it, so nobody can be mistaken for it
		NoHeaderSupport:            true, // the envelope says everything; headers could ask the server for traces
		MaxConn:                    c.MaxConnections, MaxPayload: int32(c.MaxPayload), MaxControlLine: maxControlLine,
		MaxPending: maxPending, MaxSubs: maxSubs, MaxSubTokens: 16, WriteDeadline: writeDeadline,
		PingInterval: pingEvery, MaxPingsOut: 2, MaxClosedClients: 64, DisableJetStreamBanner: true,
	}, nil
}

// listenAddress splits host:port as the server wants it, where -1 takes any port.
func listenAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%w: listen address: %w", ErrConfig, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || host == "" { // an empty host would listen everywhere
		return "", 0, fmt.Errorf("%w: listen address %q is not host:port", ErrConfig, address)
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}
