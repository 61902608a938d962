package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// startTime is how long the server may take until it listens.
const startTime = 10 * time.Second

// Broker is a running broker. It is safe for concurrent use.
type Broker struct {
	config  Config
	server  *server.Server
	account *server.Account
	secret  string // of connections in this process, made at each start
	table   *table
	clients ends
	cluster *cluster // nil without one

	stop    chan struct{}
	sampler sync.WaitGroup
	close   sync.Once
}

// Start starts a broker and returns when it listens. Errors: [ErrConfig], [ErrInUse], [ErrStart].
func Start(config Config) (*Broker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	b, o, err := newBroker(config)
	if err != nil {
		return nil, err
	}
	if b.server, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	if b.account, err = b.server.LookupAccount(accountName); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	log := &logger{to: config.Logger}
	b.server.SetLoggerV2(log, false, false, false)
	b.server.Start()
	if !ready(b.server, log) {
		b.server.Shutdown()
		b.server.WaitForShutdown()
		return nil, startError(config, log.failure())
	}
	log.started.Store(true)
	b.clients.port = b.server.Addr().(*net.TCPAddr).Port
	if b.cluster != nil {
		b.cluster.started(b)
	}
	b.sampler.Go(b.sample)
	return b, nil
}

// ready waits until the server listens everywhere, and reports false if it says that it cannot or takes too long.
func ready(s *server.Server, log *logger) bool {
	for deadline := time.Now().Add(startTime); log.failure() == nil && time.Now().Before(deadline); {
		if s.ReadyForConnections(startTime / 100) {
			return log.failure() == nil
		}
	}
	return false
}

// newBroker makes what stands through all reloads, and the server's options at the start.
func newBroker(config Config) (*Broker, *server.Options, error) {
	b := &Broker{config: config, secret: rand.Text() + rand.Text(), table: newTable(), stop: make(chan struct{})}
	secure, err := peertls.Server(config.Key)
	if err != nil {
		return nil, nil, err
	}
	b.clients = ends{auth: authenticator{b}, tls: secure}
	o, err := config.serverOptions(b.clients)
	if err != nil || config.Cluster == nil {
		return b, o, err
	}
	if b.cluster, err = newCluster(config, b.stop); err != nil {
		return nil, nil, err
	}
	return b, o, b.cluster.extend(o)
}

// startError says why the server did not come up. The server says it only in words, so the addresses are tried once more.
func startError(config Config, cause error) error {
	addresses := []string{config.Listen}
	if config.Cluster != nil {
		addresses = append(addresses, config.Cluster.Listen)
	}
	for _, listen := range addresses {
		l, err := net.Listen("tcp", listen)
		switch {
		case err == nil:
			cause = errors.Join(cause, l.Close())
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%w: %w", ErrInUse.WithHint("another process listens on "+listen+
				"; stop it or choose another address"), err)
		default:
			return fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	return errors.Join(ErrStart, cause)
}

// Addr returns the address that clients reach, host:port.
func (b *Broker) Addr() string { return b.server.Addr().String() }

// Connect opens the node's own connection, which may use every subject of the realm and is not rated. The caller
// closes it; it ends with the broker. Should it be cut as too slow, it comes back by itself.
func (b *Broker) Connect(ctx context.Context, o bus.Observer) (bus.Conn, error) {
	c, err := natsbus.InProcess(ctx, b.server, b.secret, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close cuts all connections and returns when nothing of the broker runs any more. A second Close waits likewise.
func (b *Broker) Close() {
	b.close.Do(func() { close(b.stop) })
	b.sampler.Wait()
	b.cluster.close()
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// admit judges a connection and registers it. Whoever changes rights first changes what the gate says and then calls
// Revoke or Refresh, which move the table's revision: a judgement is used only if the revision did not move since
// before it was asked for, so that no connection slips in on a word that was already taken back.
func (b *Broker) admit(c server.ClientAuthentication, shown presented) (identity.ID, wire.Digest, error) {
	for range judgements {
		if why := b.table.bars(); why != nil {
			return identity.ID{}, wire.Digest{}, why
		}
		revision := b.table.current()
		a, err := b.judge(shown)
		if err != nil {
			return a.Principal, a.Process, err
		}
		replaced, err := b.table.enter(revision, &client{
			id: c.GetID(), handle: c, shown: shown, admission: a, address: address(c),
		}, a.user(b.account, b.config.Now()), b.config.Now())
		b.disconnect(replaced, fault.Superseded)
		if errors.Is(err, errTooMany) && b.prune(a.Principal) {
			continue
		}
		if !errors.Is(err, errMoved) {
			return a.Principal, a.Process, err
		}
	}
	return identity.ID{}, wire.Digest{}, errUnsettled
}

// prune forgets the principal's connections that have gone since the last sample, and reports whether there were any.
func (b *Broker) prune(id identity.ID) bool {
	gone := b.table.prune(id, func(client uint64) bool { return b.server.GetClient(client) == nil })
	for _, e := range gone {
		b.emit(e)
	}
	return len(gone) > 0
}

// Revoke silences and disconnects all live connections of the principal, and returns how many there were. When it
// returns, nothing that they send is delivered any more, though the sockets may take [writeDeadline] to close; of what
// they sent before, at most the one message of each that the server had in hand is. The caller has seen to it that the
// gate refuses the principal from before the call.
func (b *Broker) Revoke(id identity.ID) int {
	cut := b.table.revoke(id)
	b.disconnect(cut, fault.Revoked)
	return len(cut)
}

// Refresh has the gate judge all live connections of the principal anew. More rights take effect at once. Fewer, or a
// refusal, silence and disconnect as [Broker.Revoke] does, so that subscriptions go with them; the client may come
// back with what it has left. The caller has seen to it that the gate knows the new rights from before the call.
func (b *Broker) Refresh(id identity.ID) {
	for _, c := range b.table.begin(id) {
		if err := b.refresh(c); err != nil {
			b.disconnect(b.table.drop(c), fault.CodeOf(err))
		}
	}
}

// errFewer is why a connection whose rights shrank is cut.
var errFewer = fault.New(fault.Denied, "broker: fewer rights than before")

func (b *Broker) refresh(c *client) error {
	for range judgements {
		revision := b.table.current()
		a, err := b.judge(c.shown)
		if err != nil {
			return err
		}
		if err := b.table.change(revision, c, a); !errors.Is(err, errMoved) {
			return err
		}
	}
	return errUnsettled
}

// Live returns how many connections the principal has.
func (b *Broker) Live(id identity.ID) int { return b.table.live(id) }

// disconnect cuts connections that the table has silenced already.
func (b *Broker) disconnect(cut []*client, why fault.Code) {
	for _, c := range cut {
		_ = b.server.DisconnectClientByID(c.id) // an error says that it has gone by itself
		b.emit(c.event(Cut, why))
	}
}

func (b *Broker) emit(e Event) {
	e.At = b.config.Now()
	b.config.OnEvent(e)
}

// sample looks at how much every connection has published, forgets those that have gone, and opens and closes rate
// windows. It takes at most a tenth of one core, however many connections there are.
func (b *Broker) sample() {
	timer := time.NewTimer(b.config.SampleEvery)
	defer timer.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-timer.C:
		}
		began := time.Now()
		published := func() map[uint64]int64 { return published(b.server, b.config.MaxConnections+64) }
		for _, e := range b.table.count(published, b.config.Now()) {
			b.emit(e)
		}
		b.cluster.recheck()
		timer.Reset(max(b.config.SampleEvery, 9*time.Since(began)))
	}
}

// published returns how many messages each connection has published so far, of at most limit connections.
func published(s *server.Server, limit int) map[uint64]int64 {
	list, err := s.Connz(&server.ConnzOptions{Limit: limit})
	if err != nil {
		return nil
	}
	counts := make(map[uint64]int64, len(list.Conns))
	for _, c := range list.Conns {
		counts[c.Cid] = c.InMsgs
	}
	return counts
}
