package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// admitting lets anybody join who asks with a body.
func admitting(c *Config) {
	c.Join = func(_ context.Context, oneTime wire.PublicKey, body []byte) ([]byte, error) {
		switch string(body) {
		case "":
			return nil, fault.New(fault.Expired, "the token's time is over").WithHint("ask for another")
		case "panic":
			panic("oh no")
		case "huge":
			return make([]byte, MaxBody+1), nil
		}
		return fmt.Appendf(nil, "%x %d", oneTime, len(body)), nil
	}
}

// ask asks node 1 to join with a one-time key. The tests' requests come from one address: those after the first
// second wait for the bucket only if they are refused for that.
func ask(t *testing.T, m *Mesh, realm wire.Realm, body []byte) ([]byte, error) {
	t.Helper()
	for {
		got, err := AskToJoin(within(t), m.Addr(), []identity.ID{nodeID(1)}, realm, testKey(200), body)
		if fault.CodeOf(err) != fault.Rate {
			return got, err
		}
		m.entrance.mu.Lock()
		clear(m.entrance.bucket.next) // as if a second had gone by
		m.entrance.mu.Unlock()
	}
}

func TestAStrangerJoins(t *testing.T) {
	c := newCluster(t)
	one := c.node(1, admitting)
	for _, size := range []int{1, 1000, maxJoin - maxOpening} {
		got, err := ask(t, one, c.realm, bytes.Repeat([]byte{1}, size))
		if want := fmt.Sprintf("%x %d", testKey(200).Public(), size); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if len(one.callees) != 0 {
		t.Error("joining made a connection for calls")
	}
}

func TestJoiningRefused(t *testing.T) {
	c := newCluster(t)
	one, closed := c.node(1, admitting), c.node(2)
	if _, err := ask(t, one, c.realm, []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err := ask(t, one, c.realm, nil)
	wantCode(t, err, fault.Expired)
	if fault.HintOf(err) != "ask for another" {
		t.Errorf("hint %q", fault.HintOf(err))
	}
	_, err = ask(t, one, c.realm, []byte("panic"))
	wantCode(t, err, fault.Internal)
	_, err = ask(t, one, c.realm, []byte("huge"))
	wantCode(t, err, fault.TooLarge)
	_, err = ask(t, one, wire.Realm{2}, []byte("x"))
	wantCode(t, err, fault.WrongRealm)
	_, err = ask(t, one, c.realm, make([]byte, maxJoin))
	wantErr(t, err, ErrTooLarge)
	for name, row := range map[string]struct {
		address string
		pins    []identity.ID
		key     wire.Key
		want    error
	}{
		"another node there": {closed.Addr(), []identity.ID{nodeID(1)}, testKey(200), peertls.ErrPin},
		"no pins":            {one.Addr(), nil, testKey(200), peertls.ErrNoPins},
		"no key":             {one.Addr(), []identity.ID{nodeID(1)}, wire.Key{}, wire.ErrBadKey},
		"nobody there":       {deadAddress(t), []identity.ID{nodeID(1)}, testKey(200), ErrUnreachable},
	} {
		_, err := AskToJoin(within(t), row.address, row.pins, c.realm, row.key, []byte("x"))
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
	}
	_, err = AskToJoin(within(t), closed.Addr(), []identity.ID{nodeID(1), nodeID(2)}, c.realm, testKey(200), []byte("x"))
	wantCode(t, err, fault.Denied) // nobody joins there
}

func TestJoiningIsLimited(t *testing.T) {
	c := newCluster(t)
	begun, release := make(chan struct{}, 16), make(chan struct{})
	one := c.node(1, func(c *Config) {
		c.Join = func(context.Context, wire.PublicKey, []byte) ([]byte, error) {
			begun <- struct{}{}
			<-release
			return []byte("welcome"), nil
		}
	})
	from := func(local string) (net.Conn, error) {
		v := visit(t, 200, Join)
		v.local = local
		return v.knock(t, one.Addr())
	}
	var conns []net.Conn
	for i := range maxJoining {
		conn, err := from(fmt.Sprintf("127.0.0.%d", i+2))
		if err != nil {
			t.Fatal(err)
		}
		if err := sendOne(conn, request{ID: 1, Op: joinOp, Body: []byte("x")}, maxJoin); err != nil {
			t.Fatal(err)
		}
		await(t, begun)
		conns = append(conns, conn)
	}
	_, err := from("127.0.0.9")
	wantCode(t, err, fault.Rate)
	close(release)
	for _, conn := range conns {
		var r reply
		if err := receiveOne(conn, maxFrame, &r); err != nil || string(r.Body) != "welcome" {
			t.Errorf("got %+v, %v", r, err)
		}
		wantClosed(t, conn) // after one answer
	}
	for within(t).Err() == nil { // until the last has left
		if _, err := from("127.0.0.9"); err == nil {
			break
		}
	}
	_, err = from("127.0.0.9") // at once again, from one address
	wantCode(t, err, fault.Rate)
	if _, err = from("127.0.0.10"); err != nil {
		t.Errorf("another address: %v", err)
	}
}

func TestRequestsToJoinThatAreNone(t *testing.T) {
	c := newCluster(t)
	one := c.node(1, admitting)
	good := frameOf(t, request{ID: 1, Op: joinOp, Body: []byte("x")})
	for i, row := range []struct {
		name  string
		frame []byte
		want  fault.Code
	}{
		{"honest", good, ""},
		{"garbage", []byte{0, 0, 0, 1, 0xff}, fault.Malformed},
		{"empty frame", []byte{0, 0, 0, 0}, fault.Malformed},
		{"oversized", []byte{0, 1, 0, 1}, fault.TooLarge},
		{"a call", frameOf(t, request{ID: 1, Op: "echo"}), fault.Denied},
		{"another id", frameOf(t, request{ID: 2, Op: joinOp}), fault.Denied},
	} {
		v := visit(t, 200, Join)
		v.local = fmt.Sprintf("127.0.0.%d", i+2)
		conn, err := v.knock(t, one.Addr())
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if _, err := conn.Write(row.frame); err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := receiveOne(conn, maxFrame, &r); err != nil || r.Refusal.Code != row.want {
			t.Errorf("%s: got %+v, %v", row.name, r, err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: then %v", row.name, err)
		}
	}
}

func TestAskToJoinHeedsItsContext(t *testing.T) {
	c := newCluster(t)
	begun := make(chan struct{})
	one := c.node(1, func(c *Config) {
		c.Join = func(ctx context.Context, _ wire.PublicKey, _ []byte) ([]byte, error) {
			close(begun)
			<-ctx.Done() // ends when the mesh closes
			return nil, ctx.Err()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := AskToJoin(ctx, one.Addr(), []identity.ID{nodeID(1)}, c.realm, testKey(200), []byte("x"))
		got <- err
	}()
	await(t, begun)
	cancel()
	err := await(t, got)
	wantErr(t, err, context.Canceled)
	wantErr(t, err, ErrUncertain)
	_, err = AskToJoin(ctx, one.Addr(), []identity.ID{nodeID(1)}, c.realm, testKey(200), []byte("x"))
	wantErr(t, err, context.Canceled)
	wantErr(t, err, ErrUnreachable)
}

func TestBucket(t *testing.T) {
	var b bucket
	start := time.UnixMilli(0)
	for i, row := range []struct {
		ip   string
		at   time.Duration
		want bool
	}{
		{"a", 0, true},
		{"a", 0, false},
		{"b", 0, true},
		{"a", joinEvery - 1, false},
		{"a", joinEvery, true}, // refused requests do not put it off
		{"a", joinEvery + 1, false},
		{"a", 10 * joinEvery, true},
	} {
		if got := b.take(row.ip, start.Add(row.at)); got != row.want {
			t.Errorf("row %d: %v", i, got)
		}
	}
	if len(b.next) != 1 {
		t.Errorf("%d addresses are remembered", len(b.next))
	}
	b = bucket{}
	for i := range maxJoinSources {
		if !b.take(fmt.Sprint(i), start) {
			t.Fatalf("address %d was refused", i)
		}
	}
	if b.take("one more", start) {
		t.Error("more addresses are remembered than the limit")
	}
	if !b.take("one more", start.Add(joinEvery)) {
		t.Error("no room after a second")
	}
}

func TestGate(t *testing.T) {
	var g gate
	enter := func(ip string, want bool) {
		t.Helper()
		if got := g.enter(ip); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	for range maxPerAddress {
		enter("a", true)
	}
	enter("a", false)
	for i := range maxHandshakes - maxPerAddress {
		enter(fmt.Sprint(i), true)
	}
	enter("b", false)
	g.leave("a")
	enter("b", true)
	enter("a", false) // of all
	g.leave("b")
	enter("a", true)
	for range maxPerAddress {
		g.leave("a")
	}
	for i := range maxHandshakes - maxPerAddress {
		g.leave(fmt.Sprint(i))
	}
	if g.total != 0 || len(g.from) != 0 {
		t.Errorf("left: %+v", g)
	}
}
