package natsbus_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	realmID = wire.Realm{5}
	nodeKey = wire.NewKey([32]byte{1})
	node    = identity.NewID(identity.Node, nodeKey.Public())
	agent   = identity.NewID(identity.Agent, wire.NewKey([32]byte{2}).Public())
	subject = strings.TrimSuffix(bus.In(realmID).All(), ">") + "x"
)

// gate admits every statement that is the hexadecimal form of the connect key shown.
type gate struct{ admitted chan wire.PublicKey }

func (g gate) Admit(statement []byte, connect wire.PublicKey, now int64) (broker.Admission, error) {
	if string(statement) != wire.Digest(connect).String() {
		return broker.Admission{}, fault.New(fault.Unknown, "test")
	}
	g.admitted <- connect
	return broker.Admission{
		Principal: agent, Process: wire.Digest(connect), Permissions: bus.NodePermissions(realmID), Rate: 1 << 30,
		Expires: now + 3_600_000,
	}, nil
}

func (g gate) AdmitInvited([]byte, wire.PublicKey, int64) (broker.Admission, error) {
	return broker.Admission{}, fault.New(fault.Denied, "test")
}

func start(t testing.TB, listen string) (*broker.Broker, gate) {
	t.Helper()
	g := gate{admitted: make(chan wire.PublicKey, 64)}
	b, err := broker.Start(broker.Config{Realm: realmID, Node: node, Key: nodeKey, Gate: g, Listen: listen})
	must(t, err)
	t.Cleanup(b.Close)
	return b, g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

func show(n byte) natsbus.Presentation {
	key := wire.NewKey([32]byte{n, 0xee})
	return natsbus.Presentation{Connect: key, Statement: []byte(wire.Digest(key.Public()).String())}
}

func options(addresses ...string) natsbus.Options {
	return natsbus.Options{
		Addresses: addresses, Pins: []identity.ID{node}, MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond,
		Present: func() (natsbus.Presentation, error) { return show(1), nil },
	}
}

// deaf returns the address of a listener that accepts connections and says nothing.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

func TestDialErrorsAreCoded(t *testing.T) {
	b, _ := start(t, "")
	errPresent := errors.New("no credential yet")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, row := range []struct {
		name   string
		ctx    context.Context
		change func(*natsbus.Options)
		want   error
	}{
		{"honest", ctx(t), func(*natsbus.Options) {}, nil},
		{"second address", ctx(t), func(o *natsbus.Options) { o.Addresses = []string{closedPort(t), b.Addr()} }, nil},
		{"no address", ctx(t), func(o *natsbus.Options) { o.Addresses = nil }, natsbus.ErrOptions},
		{"no pin", ctx(t), func(o *natsbus.Options) { o.Pins = nil }, natsbus.ErrOptions},
		{"no credential", ctx(t), func(o *natsbus.Options) { o.Present = nil }, natsbus.ErrOptions},
		{"pin of an agent", ctx(t), func(o *natsbus.Options) { o.Pins = []identity.ID{agent} }, identity.ErrBadID},
		{"wrong pin", ctx(t), func(o *natsbus.Options) {
			o.Pins = []identity.ID{identity.NewID(identity.Node, wire.NewKey([32]byte{9}).Public())}
		}, peertls.ErrPin},
		{"nobody there", ctx(t), func(o *natsbus.Options) { o.Addresses = []string{closedPort(t)} }, bus.ErrUnreachable},
		{"no answer", ctx(t), func(o *natsbus.Options) {
			o.Addresses, o.DialTimeout = []string{deaf(t)}, 50*time.Millisecond
		}, bus.ErrUnreachable},
		{"ended context", ended, func(*natsbus.Options) {}, context.Canceled},
		{"credential fails", ctx(t), func(o *natsbus.Options) {
			o.Present = func() (natsbus.Presentation, error) { return natsbus.Presentation{}, errPresent }
		}, errPresent},
		{"no key", ctx(t), func(o *natsbus.Options) {
			o.Present = func() (natsbus.Presentation, error) { return natsbus.Presentation{Statement: []byte{1}}, nil }
		}, wire.ErrBadKey},
		{"refused", ctx(t), func(o *natsbus.Options) {
			o.Present = func() (natsbus.Presentation, error) {
				return natsbus.Presentation{Connect: show(1).Connect, Statement: show(2).Statement}, nil
			}
		}, natsbus.ErrRefused},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := options(b.Addr())
			row.change(&o)
			c, err := natsbus.Dial(row.ctx, o)
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if err == nil {
				must(t, c.Close(ctx(t)))
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := natsbus.Dial(soon, options(deaf(t))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 4*time.Second { // the dial timeout is 5 s
		t.Errorf("took %v", took)
	}
}

// TestReconnect stops the broker and starts another at the same address.
func TestReconnect(t *testing.T) {
	first, g := start(t, "")
	var shown atomic.Int32
	down, up := make(chan struct{}, 8), make(chan struct{}, 8)
	o := options(first.Addr())
	o.Present = func() (natsbus.Presentation, error) { return show(byte(min(shown.Add(1), 100))), nil }
	o.Observer = bus.Observer{Disconnected: func(error) { down <- struct{}{} }, Connected: func() { up <- struct{}{} }}
	c, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	defer c.Close(ctx(t))
	got := make(chan string, 8)
	_, err = c.Subscribe(subject, func(_ string, data []byte) { got <- string(data) })
	must(t, err)
	before := <-g.admitted
	address := first.Addr()
	first.Close()
	<-down
	if err := c.Publish(ctx(t), subject, []byte("stale")); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("publish: %v", err)
	}
	if err := c.Flush(ctx(t)); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("flush: %v", err)
	}
	if c.Err() != nil {
		t.Errorf("ended: %v", c.Err())
	}
	_, g = start(t, address)
	<-up
	if after := <-g.admitted; after == before {
		t.Error("came back with the old credential")
	}
	must(t, c.Flush(ctx(t)))
	must(t, c.Publish(ctx(t), subject, []byte("fresh")))
	if s := <-got; s != "fresh" {
		t.Errorf("heard %q", s)
	}
}

func TestCloseWhileNobodyAnswers(t *testing.T) {
	b, _ := start(t, "")
	down := make(chan struct{}, 8)
	o := options(b.Addr())
	o.Observer.Disconnected = func(error) { down <- struct{}{} }
	c, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	address := b.Addr()
	b.Close()
	<-down
	l, err := net.Listen("tcp", address)
	must(t, err)
	defer l.Close()
	taken, err := l.Accept() // a handshake that will not be answered
	must(t, err)
	defer taken.Close()
	began := time.Now()
	must(t, c.Close(ctx(t)))
	if took := time.Since(began); took > 4*time.Second { // the dial timeout is 5 s
		t.Errorf("took %v", took)
	}
	if !errors.Is(c.Err(), bus.ErrClosed) {
		t.Errorf("ended with %v", c.Err())
	}
}

func TestNodesConnectionEndsWithItsBroker(t *testing.T) {
	b, _ := start(t, "")
	c, err := b.Connect(ctx(t), bus.Observer{})
	must(t, err)
	b.Close()
	<-c.Done()
	if !errors.Is(c.Err(), bus.ErrUnreachable) {
		t.Errorf("ended with %v", c.Err())
	}
	must(t, c.Close(ctx(t)))
}

func TestToken(t *testing.T) {
	p := natsbus.Presentation{Statement: []byte{0xfb, 0xff}}
	if s, err := p.Token(); err != nil || s != "-_8" {
		t.Errorf("credential: %q, %v", s, err)
	}
	p.Invitation = true
	if s, err := p.Token(); err != nil || s != natsbus.InvitedPrefix+"-_8" {
		t.Errorf("invitation: %q, %v", s, err)
	}
	most := base64.RawURLEncoding.DecodedLen(natsbus.MaxToken)
	p = natsbus.Presentation{Statement: make([]byte, most)}
	if s, err := p.Token(); err != nil || len(s) != natsbus.MaxToken {
		t.Errorf("longest: %d, %v", len(s), err)
	}
	p.Statement = make([]byte, most+1)
	if _, err := p.Token(); !errors.Is(err, natsbus.ErrToken) {
		t.Errorf("one longer: %v", err)
	}
}
