package natsbus_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	otherKey = wire.NewKey([32]byte{1, 1})
	other    = identity.NewID(identity.Node, otherKey.Public())
)

// moody is a gate that can refuse everybody, and counts how often it was asked.
type moody struct {
	gate
	refuses atomic.Bool
	asked   atomic.Int32
	heard   chan struct{} // a refusal; what does not fit is dropped
}

func (m *moody) Admit(statement []byte, connect wire.PublicKey, now int64) (broker.Admission, error) {
	m.asked.Add(1)
	if m.refuses.Load() {
		select {
		case m.heard <- struct{}{}:
		default:
		}
		return broker.Admission{}, fault.New(fault.Denied, "test: in a mood")
	}
	return m.gate.Admit(statement, connect, now)
}

func startMoody(t *testing.T, key wire.Key, listen string) (*broker.Broker, *moody) {
	t.Helper()
	m := &moody{gate: gate{admitted: make(chan wire.PublicKey, 1024)}, heard: make(chan struct{}, 1024)}
	b, err := broker.Start(broker.Config{
		Realm: realmID, Node: identity.NewID(identity.Node, key.Public()), Key: key, Gate: m, Listen: listen,
	})
	must(t, err)
	t.Cleanup(b.Close)
	return b, m
}

// both returns options for two nodes, the first one first; up hears of connections made again.
func both(first, second *broker.Broker) (o natsbus.Options, up chan struct{}) {
	o = options(first.Addr(), second.Addr())
	up = make(chan struct{}, 64)
	o.Ordered, o.Pins, o.Observer.Connected = true, []identity.ID{node, other}, func() { up <- struct{}{} }
	return o, up
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-ctx(t).Done():
		t.Fatal("nothing happened")
	}
}

func TestNodeIsWhoWasProved(t *testing.T) {
	first, _ := startMoody(t, nodeKey, "")
	second, _ := startMoody(t, otherKey, "")
	o, up := both(first, second)
	var told bus.Located
	seen := make(chan identity.ID, 8)
	ready := make(chan struct{})
	o.Observer.Connected = func() { <-ready; seen <- told.Node(); up <- struct{}{} }
	down := make(chan struct{}, 8)
	o.Observer.Disconnected = func(error) { <-ready; seen <- told.Node(); down <- struct{}{} }
	c := dial(t, 1, o)
	told = c
	close(ready)
	if c.Node() != node {
		t.Errorf("at first %s", c.Node())
	}
	first.Close()
	wait(t, down)
	wait(t, up)
	if while, after := <-seen, <-seen; !while.IsZero() || after != other || c.Node() != other {
		t.Errorf("while down %s, told %s, then %s", while, after, c.Node())
	}
	must(t, c.Close(ctx(t)))
	if id := c.Node(); !id.IsZero() {
		t.Errorf("after Close %s", id)
	}
	hub, err := second.Connect(ctx(t), bus.Observer{})
	must(t, err)
	defer hub.Close(ctx(t))
	if id := hub.(bus.Located).Node(); !id.IsZero() {
		t.Errorf("in process %s", id)
	}
}

// TestOneRefusingNodeIsNotAll: as long as another address may yet answer, refusals end nothing.
func TestOneRefusingNodeIsNotAll(t *testing.T) {
	first, _ := startMoody(t, nodeKey, "")
	second, mood := startMoody(t, otherKey, "")
	o, up := both(first, second)
	o.Refusals = 2
	c := dial(t, 1, o)
	mood.refuses.Store(true)
	address := first.Addr()
	first.Close()
	for range 5 * o.Refusals {
		wait(t, mood.heard)
	}
	must(t, c.Err())
	_, again := startMoody(t, nodeKey, address)
	wait(t, up)
	if c.Node() != node || again.asked.Load() == 0 {
		t.Errorf("came back at %s", c.Node())
	}
}

func TestRefusedByAllEnds(t *testing.T) {
	first, one := startMoody(t, nodeKey, "")
	second, two := startMoody(t, otherKey, "")
	o, _ := both(first, second)
	o.Refusals = 3
	c := dial(t, 1, o)
	one.refuses.Store(true)
	two.refuses.Store(true)
	if n := first.Revoke(agent); n != 1 {
		t.Fatalf("revoked %d", n)
	}
	wait(t, c.Done())
	if !errors.Is(c.Err(), natsbus.ErrRefused) {
		t.Errorf("ended with %v", c.Err())
	}
	for _, m := range []*moody{one, two} {
		if n := m.asked.Load(); n < int32(o.Refusals) {
			t.Errorf("a node was asked %d times", n)
		}
	}
}

func TestDialAsksEveryNode(t *testing.T) {
	first, one := startMoody(t, nodeKey, "")
	second, two := startMoody(t, otherKey, "")
	o, _ := both(first, second)
	o.Present = func() (natsbus.Presentation, error) { return show(1), nil }
	one.refuses.Store(true)
	c, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	if c.Node() != other {
		t.Errorf("at %s", c.Node())
	}
	must(t, c.Close(ctx(t)))
	two.refuses.Store(true)
	if _, err := natsbus.Dial(ctx(t), o); !errors.Is(err, natsbus.ErrRefused) {
		t.Errorf("refused by all: %v", err)
	}
	for _, addresses := range [][]string{{first.Addr(), closedPort(t)}, {closedPort(t), first.Addr()}} {
		o.Addresses = addresses
		if _, err := natsbus.Dial(ctx(t), o); !errors.Is(err, bus.ErrUnreachable) {
			t.Errorf("refused by one, no answer by another: %v", err)
		}
	}
}

func TestExtend(t *testing.T) {
	first, _ := startMoody(t, nodeKey, "")
	second, _ := startMoody(t, otherKey, "")
	o, up := both(first, second)
	o.Addresses, o.Pins, o.MinDelay, o.MaxDelay = o.Addresses[:1], o.Pins[:1], time.Hour, time.Hour
	c := dial(t, 1, o)
	got := make(chan string, 64)
	_, err := c.Subscribe(subject, func(_ string, data []byte) { got <- string(data) })
	must(t, err)
	must(t, c.Extend([]string{second.Addr()}, []identity.ID{node, other}))
	must(t, c.Flush(ctx(t)))
	if c.Node() != node || len(up) > 0 {
		t.Error("a wider choice moved the connection")
	}
	// The first node is a node no more, so its connection ends, and the only other one is tried without delay.
	must(t, c.Extend(nil, []identity.ID{other}))
	wait(t, up)
	if c.Node() != other {
		t.Errorf("at %s", c.Node())
	}
	must(t, c.Publish(ctx(t), subject, []byte("there")))
	if s := <-got; s != "there" {
		t.Errorf("heard %q", s)
	}
}

func TestExtendIsChecked(t *testing.T) {
	b, _ := startMoody(t, nodeKey, "")
	c := dial(t, 1, options(b.Addr()))
	must(t, c.Extend([]string{b.Addr()}, []identity.ID{node}))
	for name, row := range map[string]struct {
		pins []identity.ID
		want error
	}{
		"no pins":         {nil, natsbus.ErrOptions},
		"pin of an agent": {[]identity.ID{node, agent}, identity.ErrBadID},
	} {
		if err := c.Extend([]string{"127.0.0.1:9"}, row.pins); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	must(t, c.Flush(ctx(t)))
	hub, err := b.Connect(ctx(t), bus.Observer{})
	must(t, err)
	defer hub.Close(ctx(t))
	if err := hub.(*natsbus.Conn).Extend([]string{b.Addr()}, []identity.ID{node}); !errors.Is(err, natsbus.ErrOptions) {
		t.Errorf("in process: %v", err)
	}
	must(t, c.Close(ctx(t)))
	if err := c.Extend([]string{"127.0.0.1:9"}, []identity.ID{node}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestPinsHoldWhenComingBack: another node at the address of a pinned one is not spoken to, however long.
func TestPinsHoldWhenComingBack(t *testing.T) {
	first, _ := startMoody(t, nodeKey, "")
	address := first.Addr()
	c := dial(t, 1, options(address))
	first.Close()
	_, impostor := startMoody(t, otherKey, address)
	wait(t, c.Done())
	if !errors.Is(c.Err(), natsbus.ErrRefused) || impostor.asked.Load() > 0 {
		t.Errorf("ended with %v; the impostor was shown %d credentials", c.Err(), impostor.asked.Load())
	}
}

// What the new node confirms must not pass for the old one's word, however late the observer hears of the break: the
// new node has asked its gate by then, and before that the observer was told.
func TestRediallingIsToldBeforeTheNextNodeHearsAnything(t *testing.T) {
	first, _ := startMoody(t, nodeKey, "")
	second, mood := startMoody(t, otherKey, "")
	o, up := both(first, second)
	var told, early atomic.Int32
	o.Observer.Redialling = func() {
		told.Add(1)
		if mood.asked.Load() == 0 {
			early.Add(1)
		}
	}
	c := dial(t, 1, o)
	must(t, c.Flush(ctx(t)))
	before := early.Load()
	first.Close()
	wait(t, up)
	if mood.asked.Load() == 0 || early.Load() <= before {
		t.Errorf("told %d times, %d of them in time", told.Load(), early.Load())
	}
}
