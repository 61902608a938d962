package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// visitor is a client that need not be honest.
type visitor struct {
	local    string // IP address; empty: the system's choice
	config   *tls.Config
	protocol []string
	opening  []byte // a frame
}

// visit makes an honest client of node 1 that shows key n.
func visit(t *testing.T, n byte, p Protocol) *visitor {
	t.Helper()
	certificate, err := peertls.Certificate(testKey(n))
	if err != nil {
		t.Fatal(err)
	}
	config, err := peertls.Client([]identity.ID{nodeID(1)}, func() (*tls.Certificate, error) { return certificate, nil })
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{config: config, protocol: []string{string(p)}, opening: frameOf(t, opening{Realm: wire.Realm{1}})}
}

func frameOf(t *testing.T, message any) []byte {
	t.Helper()
	frame, err := pack(message, maxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func dialFrom(t *testing.T, local, address string) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	conn, err := d.DialContext(within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // against hanging; decides nothing
	return conn
}

// knock shakes hands with a node. The error is its refusal, or that of the handshake.
func (v *visitor) knock(t *testing.T, address string) (net.Conn, error) {
	t.Helper()
	config := v.config.Clone()
	config.NextProtos = v.protocol
	conn := tls.Client(dialFrom(t, v.local, address), config)
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	if _, err := conn.Write(v.opening); err != nil {
		return nil, err
	}
	var w welcome
	if err := receiveOne(conn, maxWelcome, &w); err != nil {
		return nil, err
	}
	return conn, w.Refusal.Err()
}

func TestWhoIsRefused(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	two, err := peertls.Certificate(testKey(2))
	if err != nil {
		t.Fatal(err)
	}
	shows := func(c tls.Certificate) func(*visitor) {
		return func(v *visitor) {
			v.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
		}
	}
	speaks := func(p ...string) func(*visitor) { return func(v *visitor) { v.protocol = p } }
	says := func(frame []byte) func(*visitor) { return func(v *visitor) { v.opening = frame } }
	const any = fault.Internal // an alert or an end: what is not a refusal has no code
	for name, row := range map[string]struct {
		key   byte
		spoil func(*visitor)
		want  fault.Code
	}{
		"honest":            {2, func(*visitor) {}, ""},
		"stranger":          {3, func(*visitor) {}, fault.Denied},
		"its own key":       {1, func(*visitor) {}, fault.InUse},
		"another realm":     {2, says(frameOf(t, opening{Realm: wire.Realm{2}})), fault.WrongRealm},
		"no realm":          {2, says(frameOf(t, opening{})), fault.WrongRealm},
		"no certificate":    {2, shows(tls.Certificate{}), any},
		"two certificates":  {2, shows(tls.Certificate{Certificate: [][]byte{two.Certificate[0], two.Certificate[0]}, PrivateKey: two.PrivateKey}), any},
		"another's key":     {2, shows(tls.Certificate{Certificate: two.Certificate, PrivateKey: testKey(3).Handshake()}), any},
		"TLS 1.2":           {2, func(v *visitor) { v.config.MinVersion, v.config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, any},
		"no protocol":       {2, speaks(), any},
		"another protocol":  {2, speaks("conclave-rpc/2"), any},
		"almost a protocol": {2, speaks("conclave-rpc/1 "), any},
		"oversized opening": {2, says([]byte{0, 0, 4, 1}), any},
		"empty opening":     {2, says([]byte{0, 0, 0, 0}), any},
		"garbage opening":   {2, says([]byte{0, 0, 0, 2, 0xff, 0xff}), any},
		"a request at once": {2, says(frameOf(t, request{ID: 1, Op: "echo"})), any},
	} {
		for _, p := range []Protocol{RPC, Raft} {
			t.Run(name+", "+string(p), func(t *testing.T) {
				if name != "honest" { // what is spoilt is what is refused
					conn, err := visit(t, 2, p).knock(t, one.Addr())
					if err != nil {
						t.Fatalf("the honest twin: %v", err)
					}
					conn.Close()
				}
				v := visit(t, row.key, p)
				row.spoil(v)
				_, err := v.knock(t, one.Addr())
				wantCode(t, err, row.want)
			})
		}
	}
}

func TestNoSessionIsResumed(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	v := visit(t, 2, RPC)
	v.config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	v.config.SessionTicketsDisabled = false
	for range 2 {
		conn, err := v.knock(t, one.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if conn.(*tls.Conn).ConnectionState().DidResume {
			t.Error("the session was resumed")
		}
	}
}

// mutes opens n connections that say nothing.
func mutes(t *testing.T, n int, local, address string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = dialFrom(t, local, address)
	}
	return conns
}

// wantClosed demands that the other end closes without a word.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	n, err := conn.Read(make([]byte, 1))
	if n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("still open")
	}
}

func TestMuteClientsHoldUpNobody(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	two := c.node(2)
	mutes(t, maxPerAddress-1, "", one.Addr())
	wantEcho(t, two, 1)
	stream, err := two.Streams(Raft).DialNode(nodeID(1).String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Streams(Raft).Accept(); err != nil {
		t.Error(err)
	}
	stream.Close()
}

func TestHandshakesFromOneAddressAreLimited(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	mute := mutes(t, maxPerAddress, "127.0.0.2", one.Addr())
	wantClosed(t, dialFrom(t, "127.0.0.2", one.Addr()))
	v := visit(t, 2, RPC)
	if _, err := v.knock(t, one.Addr()); err != nil {
		t.Errorf("another address: %v", err)
	}
	mute[0].Close()
	for v.local = "127.0.0.2"; within(t).Err() == nil; { // until its end has been noticed
		if _, err := v.knock(t, one.Addr()); err == nil {
			return
		}
	}
	t.Error("no room again")
}

func TestHandshakesAreLimited(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	honest := visit(t, 2, RPC)
	if _, err := honest.knock(t, one.Addr()); err != nil {
		t.Fatal(err)
	}
	for _, local := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
		mutes(t, maxHandshakes/4, local, one.Addr())
	}
	wantClosed(t, dialFrom(t, "127.0.0.6", one.Addr()))
}

func TestOneMemberCannotOpenConnectionsWithoutEnd(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	c.admit(3, "")
	for i := range maxOpen {
		if _, err := visit(t, 2, RPC).knock(t, one.Addr()); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	_, err := visit(t, 2, RPC).knock(t, one.Addr())
	wantCode(t, err, fault.Rate)
	if _, err := visit(t, 3, RPC).knock(t, one.Addr()); err != nil {
		t.Errorf("another member: %v", err)
	}
}

func TestWhatEndsAConnection(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	echoed := func(t *testing.T, conn net.Conn) {
		t.Helper()
		if err := sendOne(conn, request{ID: 7, Op: "echo", Body: []byte("x")}, maxFrame); err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := receiveOne(conn, maxFrame, &r); err != nil || r.ID != 7 || r.Refusal.Code != "" {
			t.Fatalf("got %+v, %v", r, err)
		}
	}
	for name, bytes := range map[string][]byte{
		"oversized frame":  {0, 0x10, 0, 1},
		"4 GiB frame":      {0xff, 0xff, 0xff, 0xff},
		"empty frame":      {0, 0, 0, 0},
		"garbage":          {0, 0, 0, 3, 0xde, 0xad, 0xbe},
		"unknown label":    {0, 0, 0, 3, 0xa1, 0x09, 0x01},
		"longer form":      {0, 0, 0, 4, 0xa1, 0x01, 0x18, 0x01},
		"call without id":  frameOf(t, request{Op: "echo"}),
		"body without op":  frameOf(t, request{ID: 1, Body: []byte{1}}),
		"op over 64 bytes": frameOf(t, request{ID: 1, Op: string(make([]byte, maxOp+1))}),
		"a reply":          frameOf(t, reply{ID: 1, Body: []byte{1}}),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := visit(t, 2, RPC).knock(t, one.Addr())
			if err != nil {
				t.Fatal(err)
			}
			echoed(t, conn)
			if _, err := conn.Write(bytes); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, conn)
		})
	}
}

func TestACallBegunTwiceEndsTheConnection(t *testing.T) {
	c := newCluster(t)
	begun := make(chan struct{}, 2)
	one := c.node(1, handling("wait", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	c.admit(2, "")
	conn, err := visit(t, 2, RPC).knock(t, one.Addr())
	if err != nil {
		t.Fatal(err)
	}
	frame := frameOf(t, request{ID: 1, Op: "wait"})
	conn.Write(frame)
	await(t, begun)
	conn.Write(frame)
	if _, err := io.ReadAll(conn); err == nil {
		t.Log("the end came with a farewell")
	}
	if len(begun) != 0 {
		t.Error("it began twice")
	}
}
