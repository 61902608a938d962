package lab_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// line is a connection through a proxy: what it looks like from both ends.
type line struct {
	proxy     *lab.Proxy
	near, far *net.TCPConn
}

func newLine(t *testing.T) line {
	t.Helper()
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := lab.NewProxy("127.0.0.1:0", far.Addr().String(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	got, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range []io.Closer{near, got, far, p} {
			_ = c.Close() // most have ended
		}
	})
	return line{p, near.(*net.TCPConn), got.(*net.TCPConn)}
}

// echo sends bytes and returns what comes out at the other end.
func echo(t *testing.T, from, to net.Conn, content []byte) []byte {
	t.Helper()
	var sender sync.WaitGroup
	sender.Go(func() {
		if _, err := from.Write(content); err != nil {
			t.Error(err)
		}
	})
	got := make([]byte, len(content))
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	sender.Wait()
	return got
}

func TestProxyPassesBothWays(t *testing.T) {
	l := newLine(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if got := echo(t, l.near, l.far, content); !bytes.Equal(got, content) {
		t.Error("other bytes arrived")
	}
	if got := echo(t, l.far, l.near, content[:1]); !bytes.Equal(got, content[:1]) {
		t.Error("other bytes came back")
	}
	if n := l.proxy.Touched(lab.Forth) + l.proxy.Touched(lab.Back); n != 0 {
		t.Errorf("%d bytes met weather, and there was none", n)
	}
}

func TestProxyPassesHalfAnEnd(t *testing.T) {
	l := newLine(t)
	if err := l.near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(l.far); err != nil || len(rest) != 0 {
		t.Fatalf("%q: %v", rest, err)
	}
	if got := echo(t, l.far, l.near, []byte("still here")); string(got) != "still here" {
		t.Errorf("%q", got)
	}
}

// TestProxyDelays looks only at what can be no sooner: the far end's clock when the bytes are there.
func TestProxyDelays(t *testing.T) {
	l := newLine(t)
	const delay = 30 * time.Millisecond
	l.proxy.Set(lab.Forth, lab.Weather{Delay: delay, Jitter: time.Millisecond})
	began := time.Now()
	var want []byte
	for i := range 50 {
		want = append(want, byte(i))
	}
	if got := echo(t, l.near, l.far, want); !bytes.Equal(got, want) {
		t.Errorf("the order changed: %v", got)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("it took %v", took)
	}
	if l.proxy.Touched(lab.Forth) != 50 || l.proxy.Touched(lab.Back) != 0 {
		t.Errorf("%d and %d bytes met weather", l.proxy.Touched(lab.Forth), l.proxy.Touched(lab.Back))
	}
}

func TestProxyStallsOneWay(t *testing.T) {
	l := newLine(t)
	l.proxy.Set(lab.Forth, lab.Weather{Stall: true})
	if _, err := l.near.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if got := echo(t, l.far, l.near, []byte("back")); string(got) != "back" {
		t.Errorf("the other way: %q", got)
	}
	if err := l.far.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := l.far.Read(make([]byte, 4)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes passed: %v", n, err)
	}
	if err := l.far.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	l.proxy.Set(lab.Forth, lab.Weather{})
	if got := echo(t, l.near, l.far, []byte("again")); string(got) != "latea" {
		t.Errorf("after the stall: %q", got)
	}
	if l.proxy.Touched(lab.Forth) == 0 {
		t.Error("no byte met weather")
	}
}

func TestProxyCorrupts(t *testing.T) {
	l := newLine(t)
	l.proxy.Set(lab.Back, lab.Weather{Corrupt: 100})
	content := make([]byte, 100_000)
	got := echo(t, l.far, l.near, content)
	changed := uint64(len(content) - bytes.Count(got, []byte{0}))
	if changed == 0 || changed != l.proxy.Touched(lab.Back) {
		t.Errorf("%d bytes changed, %d told", changed, l.proxy.Touched(lab.Back))
	}
	if got := echo(t, l.near, l.far, content); !bytes.Equal(got, content) {
		t.Error("the other way changed too")
	}
}

func TestProxyCutsAndGoesOn(t *testing.T) {
	l := newLine(t)
	echo(t, l.near, l.far, []byte("x"))
	if n := l.proxy.Cut(); n != 2 {
		t.Errorf("cut %d ends", n)
	}
	for _, c := range []net.Conn{l.near, l.far} {
		if _, err := bufio.NewReader(c).ReadByte(); err == nil {
			t.Error("a cut connection says something")
		}
	}
	again, err := net.Dial("tcp", l.proxy.Address())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestProxyClosesWhatIsStalled(t *testing.T) {
	l := newLine(t)
	l.proxy.Set(lab.Forth, lab.Weather{Stall: true})
	l.proxy.Set(lab.Back, lab.Weather{Delay: time.Hour})
	for _, c := range []net.Conn{l.near, l.far} {
		if _, err := c.Write([]byte("never")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := l.proxy.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", l.proxy.Address()); err == nil {
		t.Errorf("a closed proxy listens: %v", c.Close())
	}
}

func TestProxyTellsThatNobodyListens(t *testing.T) {
	p, err := lab.NewProxy("127.0.0.1:0", "127.0.0.1:1", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if rest, err := io.ReadAll(c); len(rest) != 0 {
		t.Errorf("%q: %v", rest, err)
	}
	if other, err := lab.NewProxy(p.Address(), "127.0.0.1:1", netip.Addr{}); err == nil {
		t.Errorf("two on one address: %v", other.Close())
	}
}
