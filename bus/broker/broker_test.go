package broker

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/bustest"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestRawClientsAreRefused(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x.>", "x.>"))
	if _, err := f.raw(t, a.key, token(a)); err != nil {
		t.Fatalf("the honest twin: %v", err)
	}
	f.wants(t, Admitted)
	for _, row := range []struct {
		name  string
		key   wire.Key
		token string
		more  []nats.Option
		code  fault.Code // "" where the broker's authenticator is not even asked
	}{
		{name: "another's token", key: testKey(99), token: token(a), code: fault.Unknown},
		{name: "no token", key: a.key, token: "", code: fault.Denied},
		{name: "unknown token", key: a.key, token: "AAAA", code: fault.Unknown},
		{name: "token not base64url", key: a.key, token: token(a) + "=", code: fault.Malformed},
		{name: "credential as invitation", key: a.key, token: natsbus.InvitedPrefix + token(a), code: fault.Unknown},
		{name: "oversize token", key: a.key, token: strings.Repeat("A", natsbus.MaxToken+4), code: fault.TooLarge},
		{name: "token beyond the control line", key: a.key, token: strings.Repeat("A", 8000)},
		{name: "user and password too", key: a.key, token: token(a), more: []nats.Option{nats.UserInfo("U", "p")}, code: fault.Denied},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := f.raw(t, row.key, row.token, row.more...); err == nil {
				t.Fatal("admitted")
			}
			if row.code == "" {
				return
			}
			if e := f.wants(t, Refused); e.Code != row.code {
				t.Errorf("code %q, want %q", e.Code, row.code)
			}
		})
	}
}

func TestWithoutClientCertificateOrTLS(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x.>", "x.>"))
	bare := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	_, err := nats.Connect(f.Addr(), nats.Secure(bare), nats.TLSHandshakeFirst(), nats.Token(token(a)), nats.NoReconnect())
	if err == nil {
		t.Error("admitted without a client certificate")
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if conn, err := tls.Dial("tcp", f.Addr(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.2 accepted")
	}
	conn, err := net.Dial("tcp", f.Addr())
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprintf(conn, "CONNECT {\"auth_token\":%q,\"verbose\":true}\r\nPING\r\n", token(a))
	reply := make([]byte, 512)
	n, _ := conn.Read(reply)
	if s := string(reply[:n]); strings.Contains(s, "INFO") || strings.Contains(s, "PONG") || strings.Contains(s, "+OK") {
		t.Errorf("plain TCP got %q", s)
	}
}

func TestOversizeCredentialIsRefusedByTheClientWithACode(t *testing.T) {
	f := start(t)
	o := f.agent(allow("x", "x")).options(f)
	o.Present = func() (natsbus.Presentation, error) {
		return natsbus.Presentation{Connect: testKey(5), Statement: make([]byte, 3000)}, nil
	}
	if _, err := natsbus.Dial(ctx(t), o); !errors.Is(err, natsbus.ErrToken) || fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestPipeNeedsTheSecret(t *testing.T) {
	f := start(t)
	f.hub(t)
	if e := f.wants(t, Admitted); e.Principal != nodeID {
		t.Errorf("admitted %s", e.Principal)
	}
	if _, err := natsbus.InProcess(ctx(t), f.server, f.secret+"x", bus.Observer{}); err == nil {
		t.Error("a wrong secret admits")
	}
	if e := f.wants(t, Refused); e.Code != fault.Denied {
		t.Errorf("code %q", e.Code)
	}
	a := f.agent(allow("x", "x"))
	if _, err := f.raw(t, a.key, f.secret); err == nil {
		t.Error("the secret admits over the network")
	}
}

func TestInvitedComesInForEnrolmentOnly(t *testing.T) {
	f := start(t)
	once := testKey(77)
	f.gate.set("itoken", grant{connect: once.Public(), admission: Admission{
		Principal: bus.OneTime(once.Public()), Process: wire.Hash([]byte("x")), Rate: 100,
		Permissions: bus.OneTimePermissions(bustest.Realm, nodeID, once.Public()),
		Expires:     time.Now().Add(time.Hour).UnixMilli(),
	}})
	hub := f.hub(t)
	got := listen(t, hub, ">")
	c := f.dialWith(t, natsbus.Options{
		Addresses: []string{f.Addr()}, Pins: []identity.ID{nodeID},
		Present: func() (natsbus.Presentation, error) {
			return natsbus.Presentation{Connect: once, Statement: []byte("token"), Invitation: true}, nil
		},
	})
	r, id := bus.In(bustest.Realm), bus.Token{1}
	answer := make(chan string, 1)
	_, err := c.Subscribe(r.ControlReplies(bus.OneTime(once.Public()), bus.OneTimeProcess(once.Public())),
		func(_ string, data []byte) { answer <- string(data) })
	must(t, err)
	must(t, c.Publish(ctx(t), r.Control(nodeID, bus.OneTime(once.Public()), bus.OneTimeProcess(once.Public()), id), []byte("forged")))
	must(t, c.Publish(ctx(t), r.Enrol(nodeID, once.Public(), id), []byte("enrol")))
	if s := next(t, got); s != "enrol" {
		t.Errorf("the node heard %q", s)
	}
	must(t, hub.Publish(ctx(t), r.ControlReply(bus.OneTime(once.Public()), bus.OneTimeProcess(once.Public()), id), []byte("done")))
	if s := next(t, answer); s != "done" {
		t.Errorf("answer %q", s)
	}
	if _, err := c.Subscribe(r.Hints(), func(string, []byte) {}); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("hints: %v", err)
	}
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	for _, live := range f.table.clients {
		if left := live.admission.Expires - time.Now().UnixMilli(); left > InvitedLife.Milliseconds() {
			t.Errorf("admitted for %d ms", left)
		}
	}
}

func TestBadAdmissionsAreRefused(t *testing.T) {
	f := start(t)
	for name, spoil := range map[string]func(*Admission){
		"none":                   func(*Admission) {},
		"no permissions":         func(a *Admission) { a.Permissions = bus.Permissions{} },
		"no rate":                func(a *Admission) { a.Rate = 0 },
		"nobody":                 func(a *Admission) { a.Principal = identity.ID{} },
		"over":                   func(a *Admission) { a.Expires = time.Now().UnixMilli() - 1 },
		"everything":             func(a *Admission) { a.Permissions.Publish = []string{">"} },
		"another realm":          func(a *Admission) { a.Permissions = bus.NodePermissions(wire.Realm{1}) },
		"malformed":              func(a *Admission) { a.Permissions.Publish = []string{subject("a..b")} },
		"star the server widens": func(a *Admission) { a.Permissions.Subscribe = []string{subject("a.*")} },
	} {
		t.Run(name, func(t *testing.T) {
			a := f.agent(allow("x", "x"))
			spoil(&a.grant.admission)
			f.gate.set("c"+a.name, a.grant)
			_, err := natsbus.Dial(ctx(t), a.options(f))
			if name == "none" {
				must(t, err)
			} else if !errors.Is(err, natsbus.ErrRefused) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGateThatPanicsRefuses(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	f.gate.setHook(func() { panic("gate") })
	if _, err := natsbus.Dial(ctx(t), a.options(f)); !errors.Is(err, natsbus.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if e := f.wants(t, Refused); e.Code != fault.Internal {
		t.Errorf("code %q", e.Code)
	}
	f.gate.setHook(nil)
	f.dial(t, a)
}

// TestRevokedFloodIsSilent has a client that does not read its socket publish as fast as it can. Nothing that it sends
// after Revoke has returned is delivered, and of what it sent before at most the one message that the server had in
// hand: the hub's marker, published after Revoke, tells.
func TestRevokedFloodIsSilent(t *testing.T) {
	f := start(t, func(c *Config) { c.SampleEvery = time.Hour })
	a := f.agent(allow("flood", "flood"))
	flood(t, f, a, func() {
		f.refuse(a, errUnknown)
		if n := f.Revoke(a.id); n != 1 {
			t.Fatalf("revoked %d connections", n)
		}
	})
	if e := f.wants(t, Cut); e.Principal != a.id || e.Code != fault.Revoked {
		t.Errorf("event %+v", e)
	}
	if _, err := natsbus.Dial(ctx(t), a.options(f)); !errors.Is(err, natsbus.ErrRefused) {
		t.Errorf("back: %v", err)
	}
}

// flood has the agent do that, calls cut and tells what was delivered from then on.
func flood(t *testing.T, f *fixture, a *agent, cut func()) {
	t.Helper()
	hub, err := nats.Connect("", nats.InProcessServer(f.server), nats.Token(f.secret), nats.NoReconnect())
	must(t, err)
	defer hub.Close()
	delivered, marked, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	var before, inHand, after int // of the handler, until done
	all, err := hub.Subscribe(subject(">"), func(m *nats.Msg) {
		s, data := m.Subject, m.Data
		switch {
		case s == subject("marker"):
			close(marked)
		case s == subject("last"):
			close(done)
		case string(data) == "2":
			after++
		case isClosed(marked):
			inHand++
		default:
			if before++; before == 1000 {
				delivered <- struct{}{}
			}
		}
	})
	must(t, err)
	must(t, all.SetPendingLimits(-1, -1)) // the marker must not be dropped
	must(t, hub.Flush())
	conn := rawSocket(t, f, a)
	revoked, stopped := make(chan struct{}), make(chan struct{})
	go func() { // never reads; ends when the broker has closed the socket
		defer close(stopped)
		for {
			phase := "1"
			if isClosed(revoked) {
				phase = "2"
			}
			flood := strings.Repeat("PUB "+subject("flood")+" 1\r\n"+phase+"\r\n", 64)
			if _, err := conn.Write([]byte(flood)); err != nil {
				return
			}
		}
	}()
	<-delivered
	cut()
	close(revoked)
	must(t, hub.Publish(subject("marker"), nil))
	<-marked
	<-stopped // so nothing more can come
	must(t, hub.Publish(subject("last"), nil))
	<-done
	if after > 0 || inHand > 1 {
		t.Errorf("delivered after it was cut: %d sent later, %d sent earlier; %d before", after, inHand, before)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// rawSocket logs in without a NATS library and returns the connection once the server has answered.
func rawSocket(t *testing.T, f *fixture, a *agent) net.Conn {
	t.Helper()
	o := a.options(f)
	conn, err := tls.Dial("tcp", f.Addr(), clientConfig(t, a.key))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	shown, err := o.Present()
	must(t, err)
	text, err := shown.Token()
	must(t, err)
	fmt.Fprintf(conn, "CONNECT {\"auth_token\":%q,\"verbose\":false,\"protocol\":1}\r\nSUB %s 1\r\nPING\r\n", text, subject("flood"))
	var seen strings.Builder
	part := make([]byte, 1024)
	for !strings.Contains(seen.String(), "PONG") {
		n, err := conn.Read(part)
		must(t, err)
		seen.Write(part[:n])
	}
	return conn
}

// TestConnectAgainstRevoke races admissions with a revocation: whatever the order, nobody is connected after it.
func TestConnectAgainstRevoke(t *testing.T) {
	f := start(t)
	for round := range 40 {
		a := f.agent(allow("x", "x"))
		var dialling sync.WaitGroup
		began := make(chan struct{}, 64)
		f.gate.setHook(func() { began <- struct{}{} })
		for range 3 {
			dialling.Go(func() {
				if c, err := natsbus.Dial(ctx(t), a.options(f)); err == nil {
					defer c.Close(ctx(t))
					<-c.Done()
				}
			})
		}
		for range round % 4 {
			<-began
		}
		f.refuse(a, errUnknown)
		f.Revoke(a.id)
		f.gate.setHook(nil)
		dialling.Wait() // all were refused, or cut and then refused for good
		if n := f.Live(a.id); n != 0 {
			t.Fatalf("round %d: %d connections after the revocation", round, n)
		}
	}
}

// TestAdmissionOnAnOldWordIsJudgedAgain stops a judgement after the gate has read the old status.
func TestAdmissionOnAnOldWordIsJudgedAgain(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	old := a.grant
	var once sync.Once
	g := &lateGate{Gate: f.gate, before: func() {
		once.Do(func() {
			f.refuse(a, errUnknown)
			f.Revoke(a.id)
		})
	}, stale: old.admission}
	f.config.Gate = g
	if _, err := natsbus.Dial(ctx(t), a.options(f)); !errors.Is(err, natsbus.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if f.Live(a.id) != 0 || g.asked.Load() != 2 {
		t.Errorf("%d live, asked %d times", f.Live(a.id), g.asked.Load())
	}
}

// lateGate answers the first question with a word that is taken back before the answer is used.
type lateGate struct {
	Gate
	before func()
	stale  Admission
	asked  atomic.Int32
}

func (g *lateGate) Admit(statement []byte, connect wire.PublicKey, now int64) (Admission, error) {
	if g.asked.Add(1) == 1 {
		g.before()
		return g.stale, nil
	}
	return g.Gate.Admit(statement, connect, now)
}

func TestConnectionEndsWithItsCredential(t *testing.T) {
	f := start(t, func(c *Config) { c.SampleEvery = time.Millisecond })
	a := f.agent(allow("x", "x"))
	a.grant.admission.Expires = time.Now().Add(300 * time.Millisecond).UnixMilli()
	f.gate.set("c"+a.name, a.grant)
	c, err := natsbus.Dial(ctx(t), a.options(f))
	must(t, err)
	defer c.Close(ctx(t))
	select {
	case <-c.Done():
	case <-ctx(t).Done():
		t.Fatal("still connected")
	}
	if !errors.Is(c.Err(), natsbus.ErrRefused) {
		t.Errorf("ended with %v", c.Err())
	}
	if e := f.wants(t, Left); e.Principal != a.id {
		t.Errorf("event %+v", e)
	}
	for f.Live(a.id) != 0 {
		runtime.Gosched()
	}
}

func TestRefreshRaisesInPlace(t *testing.T) {
	f := start(t)
	a := f.agent(allow("low", ""))
	hub := f.hub(t)
	got := listen(t, hub, ">")
	c := f.dial(t, a)
	must(t, c.Publish(ctx(t), subject("high"), []byte("too early")))
	must(t, c.Publish(ctx(t), subject("low"), []byte("1")))
	if s := next(t, got); s != "1" {
		t.Fatalf("heard %q", s)
	}
	a.grant.admission.Permissions.Publish = append(a.grant.admission.Permissions.Publish, subject("high"))
	f.gate.set("c"+a.name, a.grant)
	f.Refresh(a.id)
	must(t, c.Publish(ctx(t), subject("high"), []byte("2")))
	if s := next(t, got); s != "2" {
		t.Errorf("heard %q", s)
	}
	if f.Live(a.id) != 1 {
		t.Error("reconnected for more rights")
	}
}

func TestRefreshThatTakesAwayCuts(t *testing.T) {
	f := start(t)
	a := f.agent(bus.Permissions{Publish: []string{subject("low"), subject("high")}, Subscribe: []string{subject("in")}})
	hub := f.hub(t)
	got := listen(t, hub, "*")
	back := make(chan struct{}, 4)
	o := a.options(f)
	o.Observer.Connected = func() { back <- struct{}{} }
	c := f.dialWith(t, o)
	must(t, c.Publish(ctx(t), subject("high"), []byte("1")))
	next(t, got)
	a.grant.admission.Permissions = allow("low", "")
	f.gate.set("c"+a.name, a.grant)
	f.Refresh(a.id)
	if e := f.wants(t, Cut); e.Code != fault.Denied {
		t.Errorf("code %q", e.Code)
	}
	<-back
	must(t, c.Publish(ctx(t), subject("high"), []byte("forged")))
	must(t, c.Publish(ctx(t), subject("low"), []byte("2")))
	if s := next(t, got); s != "2" {
		t.Errorf("heard %q", s)
	}
	f.refuse(a, fault.New(fault.Quarantined, "test"))
	f.Refresh(a.id)
	if e := f.wants(t, Cut); e.Code != fault.Quarantined {
		t.Errorf("code %q", e.Code)
	}
	<-c.Done()
}

func TestProcessReplacesItsOlderConnection(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	first, err := f.raw(t, a.key, token(a), nats.MaxReconnects(0))
	must(t, err)
	second, err := f.raw(t, a.key, token(a))
	must(t, err)
	if e := f.wants(t, Cut); e.Code != fault.Superseded {
		t.Errorf("code %q", e.Code)
	}
	must(t, second.Flush())
	if err := first.Flush(); err == nil || f.Live(a.id) != 1 {
		t.Errorf("older: %v, %d live", err, f.Live(a.id))
	}
}

func TestAtMostEightProcesses(t *testing.T) {
	f := start(t)
	id := bustest.ID(identity.Agent, 200)
	for range MaxPerPrincipal {
		f.dial(t, f.process(id, allow("x", "x")))
	}
	if _, err := natsbus.Dial(ctx(t), f.process(id, allow("x", "x")).options(f)); !errors.Is(err, natsbus.ErrRefused) {
		t.Errorf("ninth: %v", err)
	}
	if e := f.wants(t, Refused); e.Code != fault.Rate || e.Principal != id {
		t.Errorf("event %+v", e)
	}
	f.dial(t, f.agent(allow("x", "x")))
}

func TestRateWindow(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixMilli())
	f := start(t, func(c *Config) { c.SampleEvery, c.Now = time.Millisecond, clock.Load })
	id := bustest.ID(identity.Agent, 201)
	fast, other := f.process(id, allow("fast", "")), f.process(id, allow("other", ""))
	for _, a := range []*agent{fast, other} {
		a.grant.admission.Rate = 120 // 20 at once
		f.gate.set("c"+a.name, a.grant)
	}
	hub := f.hub(t)
	got := listen(t, hub, "*")
	c, sibling, stranger := f.dial(t, fast), f.dial(t, other), f.dial(t, f.agent(allow("stranger", "")))
	for range 100 {
		must(t, c.Publish(ctx(t), subject("fast"), []byte("x")))
	}
	must(t, c.Flush(ctx(t)))
	for range 2 { // both connections of the principal
		if e := f.wants(t, RateClosed); e.Principal != id {
			t.Fatalf("event %+v", e)
		}
	}
	must(t, hub.Publish(ctx(t), subject("end"), []byte("end")))
	for next(t, got) != "end" { // what came before the window closed
	}
	must(t, c.Publish(ctx(t), subject("fast"), []byte("late")))
	must(t, sibling.Publish(ctx(t), subject("other"), []byte("late")))
	must(t, errors.Join(c.Flush(ctx(t)), sibling.Flush(ctx(t))))
	must(t, stranger.Publish(ctx(t), subject("stranger"), []byte("free")))
	if s := next(t, got); s != "free" {
		t.Errorf("heard %q while the window was closed", s)
	}
	clock.Add(longestDebt)
	f.wants(t, RateOpened)
	f.wants(t, RateOpened)
	must(t, c.Publish(ctx(t), subject("fast"), []byte("again")))
	if s := next(t, got); s != "again" {
		t.Errorf("heard %q", s)
	}
}

func TestAddressInUse(t *testing.T) {
	f := start(t)
	_, err := Start(Config{Realm: bustest.Realm, Node: nodeID, Key: testKey(0), Gate: f.gate, Listen: f.Addr()})
	if !errors.Is(err, ErrInUse) || fault.CodeOf(err) != fault.InUse || fault.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

func TestBadConfig(t *testing.T) {
	good := Config{Realm: bustest.Realm, Node: nodeID, Key: testKey(0), Gate: &stubGate{}}
	for name, spoil := range map[string]func(*Config){
		"no gate":       func(c *Config) { c.Gate = nil },
		"no key":        func(c *Config) { c.Key = wire.Key{} },
		"no realm":      func(c *Config) { c.Realm = wire.Realm{} },
		"no node":       func(c *Config) { c.Node = identity.ID{} },
		"every address": func(c *Config) { c.Listen = ":0" },
		"bad port":      func(c *Config) { c.Listen = "127.0.0.1:x" },
		"payload":       func(c *Config) { c.MaxPayload = 2 << 20 },
	} {
		config := good
		spoil(&config)
		if b, err := Start(config); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", name, err)
			if err == nil {
				b.Close()
			}
		}
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	f := &fixture{gate: &stubGate{book: map[string]grant{}}, events: make(chan Event, 64)}
	b, err := Start(Config{Realm: bustest.Realm, Node: nodeID, Key: testKey(0), Gate: f.gate})
	must(t, err)
	f.Broker = b
	hub, err := b.Connect(ctx(t), bus.Observer{})
	must(t, err)
	listen(t, hub, ">")
	a := f.agent(allow("x", "x"))
	c, err := natsbus.Dial(ctx(t), a.options(f))
	must(t, err)
	listen(t, c, "x")
	b.Close()
	b.Close()
	<-hub.Done()
	must(t, hub.Close(ctx(t)))
	if err := c.Publish(ctx(t), subject("x"), nil); err != nil && fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("publish: %v", err)
	}
	must(t, c.Close(ctx(t)))
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func TestTokensHaveOneSpelling(t *testing.T) {
	f := start(t)
	a := f.agent(allow("x", "x"))
	a.name = "ab"
	f.gate.set("cab", a.grant)
	if _, err := f.raw(t, a.key, base64.RawURLEncoding.EncodeToString([]byte("ab"))); err != nil {
		t.Fatal(err)
	}
	f.wants(t, Admitted)
	if _, err := f.raw(t, a.key, "YWJ"); err == nil { // "YWI" with a stray low bit
		t.Error("a second spelling was admitted")
	}
	if _, err := f.raw(t, a.key, "YW\nI"); err == nil {
		t.Error("a spelling with a line break was admitted")
	}
}

func TestNodesConnectionComesBack(t *testing.T) {
	f := start(t)
	up := make(chan struct{}, 1)
	hub, err := f.Connect(ctx(t), bus.Observer{Connected: func() { up <- struct{}{} }})
	must(t, err)
	defer hub.Close(ctx(t))
	got := listen(t, hub, "x")
	must(t, f.server.DisconnectClientByID(f.wants(t, Admitted).Client))
	<-up
	must(t, hub.Publish(ctx(t), subject("x"), []byte("again")))
	if s := next(t, got); s != "again" {
		t.Errorf("heard %q", s)
	}
}
