package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// waiting is a handler that tells when it begins and how its context ends.
type waitingHandler struct {
	begun chan struct{}
	ended chan error
}

func newWaiting() *waitingHandler {
	return &waitingHandler{begun: make(chan struct{}, 1000), ended: make(chan error, 1000)}
}

func (w *waitingHandler) handle(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
	w.begun <- struct{}{}
	<-ctx.Done()
	w.ended <- ctx.Err()
	return nil, ctx.Err()
}

// wantGone demands that a stream is at its end.
func wantGone(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := io.ReadAll(conn)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Error("the stream is still open")
	}
}

// pair opens a stream from one node to another and shows that it works.
func pair(t *testing.T, from, to *Mesh) (near, far net.Conn) {
	t.Helper()
	near, err := from.Streams(Raft).DialNode(to.config.Self.String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	far, err = to.Streams(Raft).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	wantCarries(t, near, far)
	wantCarries(t, far, near)
	return near, far
}

func wantCarries(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := from.Write([]byte("bytes")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "bytes" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestARemovedMemberIsCutOffAtRecheck(t *testing.T) {
	c := newCluster(t)
	w := newWaiting()
	one, two, three := c.node(1, handling("wait", w.handle)), c.node(2), c.node(3)
	near, far := pair(t, one, two)
	back, forth := pair(t, two, one)
	other, another := pair(t, one, three)
	lost := make(chan error, 2)
	go func() { _, err := two.Call(within(t), nodeID(1), "wait", nil); lost <- err }()
	await(t, w.begun)

	c.remove(2)
	one.Recheck()
	wantErr(t, await(t, w.ended), context.Canceled)
	wantCode(t, await(t, lost), fault.Uncertain)
	for _, conn := range []net.Conn{near, far, back, forth} {
		wantGone(t, conn)
	}
	_, err := one.Call(within(t), nodeID(2), "echo", nil)
	wantErr(t, err, ErrStranger)
	_, err = one.Streams(Raft).DialNode(nodeID(2).String(), time.Minute)
	wantErr(t, err, ErrStranger)
	for _, p := range []Protocol{RPC, Raft} {
		_, err = visit(t, 2, p).knock(t, one.Addr())
		wantCode(t, err, fault.Denied)
	}
	wantCarries(t, other, another)
	wantEcho(t, one, 3)
	wantEcho(t, three, 1)

	c.admit(2, two.Addr()) // and back again
	wantEcho(t, two, 1)
	wantEcho(t, one, 2)
}

func TestARemovedMembersCallIsRefusedBeforeRecheck(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.admit(2, "")
	conn, err := visit(t, 2, RPC).knock(t, one.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c.remove(2)
	if err := sendOne(conn, request{ID: 1, Op: "echo"}, maxFrame); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, conn)
}

func TestRecheckLeavesMembersAlone(t *testing.T) {
	c := newCluster(t)
	w := newWaiting()
	one, two := c.node(1, handling("wait", w.handle)), c.node(2)
	near, far := pair(t, one, two)
	ctx, cancel := context.WithCancel(within(t))
	lost := make(chan error, 1)
	go func() { _, err := two.Call(ctx, nodeID(1), "wait", nil); lost <- err }()
	await(t, w.begun)
	one.Recheck()
	two.Recheck()
	wantCarries(t, near, far)
	if len(w.ended) != 0 {
		t.Error("the call was ended")
	}
	cancel()
	wantErr(t, await(t, lost), context.Canceled)
}

func TestDropClosesWhatIsOpenWithOneNode(t *testing.T) {
	c := newCluster(t)
	one, two, three := c.node(1), c.node(2), c.node(3)
	wantEcho(t, one, 2)
	near, far := pair(t, one, two)
	other, another := pair(t, one, three)
	one.Drop(nodeID(2))
	wantGone(t, near)
	wantGone(t, far)
	wantCarries(t, other, another)
	wantEcho(t, one, 2) // over a fresh connection: nothing was sent over the one that was cut
}

func TestCutStreamsGiveNoMoreBytes(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(1), c.node(2)
	near, far := pair(t, two, one)
	if _, err := near.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil { // TLS holds the other byte
		t.Fatal(err)
	}
	c.remove(2)
	one.Recheck()
	if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
