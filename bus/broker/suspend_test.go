package broker

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var errLease = fault.New(fault.NoQuorum, "test: no lease")

// TestSuspendedFloodIsSilent: see TestRevokedFloodIsSilent.
func TestSuspendedFloodIsSilent(t *testing.T) {
	f := start(t, func(c *Config) { c.SampleEvery = time.Hour })
	a := f.agent(allow("flood", "flood"))
	flood(t, f, a, func() { f.Suspend(errLease) })
	if e := f.wants(t, Cut); e.Principal != a.id || e.Code != fault.NoQuorum {
		t.Errorf("event %+v", e)
	}
	if e := f.wants(t, Suspended); e.Code != fault.NoQuorum || e.At == 0 {
		t.Errorf("event %+v", e)
	}
	if f.Live(a.id) != 0 {
		t.Error("still there")
	}
}

func TestSuspendedBrokerAdmitsNobody(t *testing.T) {
	f := start(t)
	a, hub := f.agent(allow("x", "x")), f.hub(t)
	got := listen(t, hub, "hub")
	if _, err := f.raw(t, a.key, token(a)); err != nil {
		t.Fatal(err)
	}
	must(t, f.Accepting())
	for range 2 { // the second changes nothing
		f.Suspend(errLease)
	}
	if err := f.Accepting(); !errors.Is(err, errLease) {
		t.Errorf("accepting: %v", err)
	}
	// Nobody is told that the credential is bad, and the gate is not even asked.
	f.gate.setHook(func() { t.Error("the gate was asked") })
	if _, err := natsbus.Dial(ctx(t), a.options(f)); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if e := f.wants(t, Refused); e.Code != fault.NoQuorum {
		t.Errorf("event %+v", e)
	}
	must(t, hub.Publish(ctx(t), subject("hub"), []byte("still here")))
	if s := next(t, got); s != "still here" {
		t.Errorf("heard %q", s)
	}
	f.hub(t)
	f.gate.setHook(nil)
	for range 2 {
		f.Resume()
	}
	must(t, f.Accepting())
	f.dial(t, a)
	f.Close()
	counts := map[EventKind]int{}
	for len(f.events) > 0 {
		counts[(<-f.events).Kind]++
	}
	if counts[Resumed] != 1 || counts[Suspended] > 0 { // the one Suspended was passed over above
		t.Errorf("events %v", counts)
	}
}

func TestSuspendWithoutAReason(t *testing.T) {
	f := start(t)
	f.Resume() // nothing to resume
	f.dial(t, f.agent(allow("x", "x")))
	f.Suspend(nil)
	if e := f.wants(t, Suspended); e.Code != fault.Unreachable || f.Accepting() == nil {
		t.Errorf("event %+v", e)
	}
}

// TestClientsOutlastASuspension: they are not refused, so they try as long as it takes, and come back with what they
// had.
func TestClientsOutlastASuspension(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	up := make(chan struct{}, 64)
	o := a.options(f)
	o.Refusals, o.Observer.Connected = 1, func() { up <- struct{}{} }
	c := f.dialWith(t, o)
	got := listen(t, c, "x")
	f.Suspend(errLease)
	for range 5 {
		f.wants(t, Refused)
	}
	must(t, c.Err())
	f.Resume()
	<-up
	must(t, c.Publish(ctx(t), subject("x"), []byte("back")))
	if s := next(t, got); s != "back" {
		t.Errorf("heard %q", s)
	}
}

// TestClientsOfASuspendedNodeGoToAnother: without a delay, which would last an hour.
func TestClientsOfASuspendedNodeGoToAnother(t *testing.T) {
	nodes := mesh(t, 2)
	o := newAgent(allow("x", "x"), nodes...).at(nodes...)
	up := make(chan struct{}, 64)
	o.MinDelay, o.MaxDelay, o.Observer.Connected = time.Hour, time.Hour, func() { up <- struct{}{} }
	c, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	defer c.Close(ctx(t))
	nodes[0].Suspend(errLease)
	<-up
	if c.Node() != nodes[1].id {
		t.Errorf("at %s", c.Node())
	}
	nodes[0].seesOnly(t, nodes[1]) // routes stay
}

// TestConnectAgainstSuspend races admissions with a suspension: whatever the order, nobody is connected after it.
func TestConnectAgainstSuspend(t *testing.T) {
	f := start(t)
	for round := range 40 {
		a := f.agent(allow("x", "x"))
		var dialling sync.WaitGroup
		began := make(chan struct{}, 64)
		f.gate.setHook(func() { began <- struct{}{} })
		for range 3 {
			dialling.Go(func() {
				o := a.options(f)
				if c, err := natsbus.Dial(ctx(t), o); err == nil {
					must(t, c.Close(ctx(t)))
				}
			})
		}
		for range round % 4 {
			<-began
		}
		f.Suspend(errLease)
		if n := f.Live(a.id); n != 0 {
			t.Fatalf("round %d: %d connections", round, n)
		}
		dialling.Wait()
		if n := f.Traffic().Admitted; n != 0 {
			t.Fatalf("round %d: %d connections after it", round, n)
		}
		f.gate.setHook(nil)
		f.Resume()
	}
}

// TestAdmissionOnAWordFromBeforeASuspension stops a judgement after the gate has agreed.
func TestAdmissionOnAWordFromBeforeASuspension(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	var once sync.Once
	f.config.Gate = &lateGate{Gate: f.gate, before: func() { once.Do(func() { f.Suspend(errLease) }) }, stale: a.grant.admission}
	if _, err := natsbus.Dial(ctx(t), a.options(f)); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if f.Live(a.id) != 0 {
		t.Error("admitted")
	}
	// A suspension that has ended meanwhile counts too: the word is from before it.
	f.Resume()
	g := &lateGate{Gate: f.gate, before: func() { f.Suspend(errLease); f.Resume() }, stale: a.grant.admission}
	f.config.Gate = g
	c, err := natsbus.Dial(ctx(t), a.options(f))
	must(t, err)
	defer c.Close(ctx(t))
	if n := g.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if f.Live(a.id) != 1 {
		t.Error("not admitted")
	}
}

// TestTableAdmitsNobodyWhileBarred: a connection may ask for the revision after the suspension has moved it.
func TestTableAdmitsNobodyWhileBarred(t *testing.T) {
	table := newTable()
	table.bar(errLease)
	if _, err := table.enter(table.current(), &client{}, nil, 0); !errors.Is(err, errLease) {
		t.Errorf("got %v", err)
	}
}
