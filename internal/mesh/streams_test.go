package mesh

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

func TestStreamsCarryBytesBothWays(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	near, far := pair(t, one, two)
	back, forth := pair(t, two, one)
	wantCarries(t, near, far)
	wantCarries(t, forth, back)
	near.Close()
	wantGone(t, far)
	wantCarries(t, back, forth)
}

func TestStreamsAreNamedByTheirNode(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	streams := one.Streams(Raft)
	if a := streams.Addr(); a.String() != nodeID(1).String() || a.Network() == "" {
		t.Errorf("address %s of %q", a, a.Network())
	}
	if one.Streams(Raft) != streams {
		t.Error("other streams at the second call")
	}
	for _, p := range []Protocol{RPC, Join, "", "conclave-raft/2"} {
		if one.Streams(p) != nil {
			t.Errorf("streams of %q", p)
		}
	}
}

func TestDialNodeRefuses(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	pair(t, one, two)
	agent := identity.NewID(identity.Agent, testKey(2).Public())
	c.admit(5, deadAddress(t))
	c.admit(6, two.Addr())
	for name, row := range map[string]struct {
		node string
		want fault.Code
	}{
		"no name":       {two.Addr(), fault.Malformed},
		"nothing":       {"", fault.Malformed},
		"an agent":      {agent.String(), fault.Denied},
		"a stranger":    {nodeID(7).String(), fault.Denied},
		"itself":        {nodeID(1).String(), fault.InUse},
		"nobody there":  {nodeID(5).String(), fault.Unreachable},
		"another there": {nodeID(6).String(), fault.Denied},
	} {
		_, err := one.Streams(Raft).DialNode(row.node, time.Minute)
		if got := fault.CodeOf(err); got != row.want {
			t.Errorf("%s: got %v, want %q", name, err, row.want)
		}
	}
	_, err := one.Streams(Raft).DialNode(nodeID(2).String(), -1)
	wantErr(t, err, ErrUnreachable)
}

func TestClosedStreamsTakeNothing(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	near, far := pair(t, one, two)
	accepted := make(chan error, 1)
	go func() { _, err := two.Streams(Raft).Accept(); accepted <- err }()
	two.Streams(Raft).Close()
	two.Streams(Raft).Close() // again
	wantErr(t, await(t, accepted), net.ErrClosed)
	_, err := two.Streams(Raft).Accept()
	wantErr(t, err, net.ErrClosed)
	_, err = one.Streams(Raft).DialNode(nodeID(2).String(), time.Minute)
	wantCode(t, err, fault.Denied)
	wantCarries(t, near, far) // what was open stays
	wantEcho(t, one, 2)
}

func TestCloseEndsStreamsAndAccept(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	near, far := pair(t, one, two)
	back, forth := pair(t, two, one)
	accepted := make(chan error, 1)
	go func() { _, err := two.Streams(Raft).Accept(); accepted <- err }()
	wantErr(t, two.Close(), nil)
	wantErr(t, await(t, accepted), net.ErrClosed)
	for _, conn := range []net.Conn{near, far, back, forth} {
		wantGone(t, conn)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	nodes := []*Mesh{c.node(2), c.node(3), c.node(4)}
	var dialling sync.WaitGroup
	for _, m := range nodes {
		dialling.Go(func() {
			for range 4 {
				conn, err := m.Streams(Raft).DialNode(nodeID(1).String(), time.Minute)
				if err != nil {
					t.Error(err)
					continue
				}
				conn.Write([]byte(m.config.Self.String()))
				conn.Close()
			}
		})
	}
	heard := map[string]int{}
	for range 4 * len(nodes) {
		conn, err := one.Streams(Raft).Accept()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 128)
		n, err := conn.Read(b)
		if err != nil {
			t.Error(err)
		}
		heard[string(b[:n])]++
		conn.Close()
	}
	dialling.Wait()
	for _, m := range nodes {
		if n := heard[m.config.Self.String()]; n != 4 {
			t.Errorf("%d streams of %s", n, m.config.Self)
		}
	}
	one.sockets.mu.Lock()
	defer one.sockets.mu.Unlock()
	if len(one.sockets.open) != 0 {
		t.Errorf("%d connections are still noted", len(one.sockets.open))
	}
}

func TestADialThatHangsEndsInTime(t *testing.T) {
	c := newCluster(t)
	one := c.node(1, func(c *Config) {
		c.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) > handshakeLimit {
				return nil, errors.New("no limit")
			}
			return nil, context.DeadlineExceeded
		}
	})
	c.node(2)
	_, err := one.Streams(Raft).DialNode(nodeID(2).String(), time.Hour)
	wantErr(t, err, ErrUnreachable)
	wantErr(t, err, context.DeadlineExceeded)
	_, err = one.Call(within(t), nodeID(2), "echo", nil)
	wantErr(t, err, context.DeadlineExceeded)
	wantErr(t, err, ErrUnreachable)
}

func TestStreamsSayWhoIsThere(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	near, far := pair(t, one, two)
	if id, ok := Peer(near); !ok || id != nodeID(2) {
		t.Errorf("who dialled node 2 finds %s", id)
	}
	if id, ok := Peer(far); !ok || id != nodeID(1) {
		t.Errorf("whom node 1 dialled finds %s", id)
	}
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	if id, ok := Peer(here); ok || !id.IsZero() {
		t.Errorf("a connection of nobody's is with %s", id)
	}
}
