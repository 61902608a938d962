package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

func TestErrorsKeepTheirCodesAndHints(t *testing.T) {
	sentinel := fault.New(fault.Conflict, "changed")
	var failure atomic.Value
	c := newCluster(t)
	one := c.node(1)
	c.node(2, handling("fail", func(context.Context, identity.ID, []byte) ([]byte, error) {
		return []byte("not to be seen"), failure.Load().(struct{ error }).error
	}))
	for name, row := range map[string]struct {
		err           error
		code          fault.Code
		message, hint string
	}{
		"none":            {nil, "", "", ""},
		"sentinel":        {sentinel, fault.Conflict, "changed", ""},
		"wrapped":         {fmt.Errorf("apply: %w", sentinel), fault.Conflict, "apply: changed", ""},
		"hint":            {fmt.Errorf("apply: %w", sentinel.WithHint("look again")), fault.Conflict, "apply: changed", "look again"},
		"no code":         {errors.New("broken"), fault.Internal, "broken", ""},
		"unreachable":     {fault.New(fault.Unreachable, "elsewhere"), fault.Unreachable, "elsewhere", ""},
		"a later code":    {fault.New("a_code_of_tomorrow", "new"), "a_code_of_tomorrow", "new", ""},
		"stopped":         {context.Canceled, fault.Uncertain, "context canceled", ""},
		"over its time":   {context.DeadlineExceeded, fault.Uncertain, "context deadline exceeded", ""},
		"not UTF-8":       {errors.New("a\xffb"), fault.Internal, "ab", ""},
		"long":            {errors.New(strings.Repeat("x", 2*maxText)), fault.Internal, strings.Repeat("x", maxText), ""},
		"cut in a letter": {errors.New(strings.Repeat("é", maxText/2) + "x"), fault.Internal, strings.Repeat("é", maxText/2), ""},
	} {
		t.Run(name, func(t *testing.T) {
			failure.Store(struct{ error }{row.err})
			body, err := one.Call(within(t), nodeID(2), "fail", nil)
			wantCode(t, err, row.code)
			if row.code == "" {
				return
			}
			if body != nil {
				t.Errorf("a body beside the error: %q", body)
			}
			refused, ok := errors.AsType[*fault.Error](err)
			if !ok || refused.Message != row.message || fault.HintOf(err) != row.hint {
				t.Errorf("got %q, hint %q", err, fault.HintOf(err))
			}
		})
	}
}

func TestAbsentOperationsAreRefused(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.node(2)
	wantEcho(t, one, 2)
	for _, op := range []string{"Echo", "echo ", "join", "\xff"} {
		_, err := one.Call(within(t), nodeID(2), op, nil)
		if err == nil {
			t.Errorf("%q was answered", op)
		}
	}
	_, err := one.Call(within(t), nodeID(2), "absent", nil)
	wantCode(t, err, fault.Denied)
	wantEcho(t, one, 2)
}

func TestAHandlerThatPanicsFailsItsCallerOnly(t *testing.T) {
	c := newCluster(t)
	log := &lockedBuffer{}
	one := c.node(1)
	c.node(2, handling("panic", func(context.Context, identity.ID, []byte) ([]byte, error) { panic("oh no") }),
		func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	_, err := one.Call(within(t), nodeID(2), "panic", nil)
	wantCode(t, err, fault.Internal)
	if strings.Contains(err.Error(), "oh no") {
		t.Error("the caller sees the panic's text")
	}
	if got := log.String(); !strings.Contains(got, "oh no") || !strings.Contains(got, "serve_test.go") {
		t.Errorf("the log says %q", got)
	}
	wantEcho(t, one, 2)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAnAnswerOverTheLimitIsARefusal(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.node(2, handling("size", func(_ context.Context, _ identity.ID, b []byte) ([]byte, error) {
		return make([]byte, MaxBody+int(b[0])), nil
	}))
	got, err := one.Call(within(t), nodeID(2), "size", []byte{0})
	if err != nil || len(got) != MaxBody {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = one.Call(within(t), nodeID(2), "size", []byte{1})
	wantCode(t, err, fault.TooLarge)
	wantEcho(t, one, 2)
}

func TestCallsOfOneNodeAreLimited(t *testing.T) {
	c := newCluster(t)
	w := newWaiting()
	one, three := c.node(1), c.node(3)
	c.node(2, handling("wait", w.handle))
	ctx, cancel := context.WithCancel(within(t))
	var callers sync.WaitGroup
	for range maxServing {
		callers.Go(func() {
			_, err := one.Call(ctx, nodeID(2), "wait", nil)
			wantErr(t, err, context.Canceled)
			wantCode(t, err, fault.Uncertain)
		})
	}
	for range maxServing {
		await(t, w.begun)
	}
	_, err := one.Call(within(t), nodeID(2), "wait", nil)
	wantCode(t, err, fault.Rate)
	wantEcho(t, three, 2) // its room is its own
	cancel()
	callers.Wait()
	for range maxServing { // the end of the callers reaches the handlers
		wantErr(t, await(t, w.ended), context.Canceled)
	}
	for within(t).Err() == nil { // until the last has left
		if _, err := one.Call(within(t), nodeID(2), "echo", nil); fault.CodeOf(err) != fault.Rate {
			wantErr(t, err, nil)
			return
		}
	}
}

func TestTheDeadlineTravels(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	got := make(chan time.Duration, 1)
	c.node(2, handling("left", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			return nil, errors.New("no deadline")
		}
		got <- time.Until(deadline)
		return nil, nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := one.Call(ctx, nodeID(2), "left", nil); err != nil {
		t.Fatal(err)
	}
	if left := await(t, got); left <= 0 || left > time.Hour {
		t.Errorf("%v are left", left)
	}
	if _, err := one.Call(context.Background(), nodeID(2), "left", nil); err != nil {
		t.Fatal(err)
	}
	if left := await(t, got); left < 24*time.Hour {
		t.Errorf("without a deadline %v are left", left)
	}
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	c := newCluster(t)
	one := c.node(1)
	c.node(2, handling("never", func(context.Context, identity.ID, []byte) ([]byte, error) {
		t.Error("it was sent")
		return nil, nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 { // first without a connection, then with one
		_, err := one.Call(ctx, nodeID(2), "never", nil)
		wantErr(t, err, context.Canceled)
		wantErr(t, err, ErrUnreachable)
		wantEcho(t, one, 2)
	}
}

// brittle is a connection whose next Write passes on that many bytes and fails, once it is armed.
type brittle struct {
	net.Conn
	armed *atomic.Int64
}

func (b *brittle) Write(p []byte) (int, error) {
	pass := b.armed.Load()
	if pass < 0 {
		return b.Conn.Write(p)
	}
	n, _ := b.Conn.Write(p[:min(int(pass), len(p))])
	b.armed.Store(-1)
	return n, errors.New("broken")
}

func TestARequestIsSentTwiceOnlyIfNothingOfItWasSent(t *testing.T) {
	for _, row := range []struct {
		pass int64
		want fault.Code
	}{{0, ""}, {1, fault.Uncertain}, {math.MaxInt32, fault.Uncertain}} {
		t.Run(fmt.Sprint(row.pass), func(t *testing.T) {
			c := newCluster(t)
			var armed atomic.Int64
			var begun, dials atomic.Int32
			armed.Store(-1)
			one := c.node(1, func(c *Config) {
				c.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					dials.Add(1)
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					return &brittle{conn, &armed}, err
				}
			})
			two := c.node(2, handling("count", func(context.Context, identity.ID, []byte) ([]byte, error) {
				begun.Add(1)
				return nil, nil
			}))
			wantEcho(t, one, 2)
			armed.Store(row.pass)
			_, err := one.Call(within(t), nodeID(2), "count", nil)
			if row.want != "" || err != nil {
				// The answer may come before the failure is noticed, if everything was sent.
				if fault.CodeOf(err) != row.want && !(row.pass == math.MaxInt32 && err == nil) {
					t.Errorf("got %v, want %q", err, row.want)
				}
			}
			wantEcho(t, one, 2)
			wantErr(t, two.Close(), nil) // waits for handlers
			if begun.Load() > 1 || (row.pass == 0 && begun.Load() != 1) {
				t.Errorf("it ran %d times", begun.Load())
			}
			if dials.Load() != 2 {
				t.Errorf("%d dials", dials.Load())
			}
		})
	}
}

func TestCallsWaitForOneDialTogether(t *testing.T) {
	c := newCluster(t)
	var dials atomic.Int32
	dialling, release := make(chan struct{}), make(chan struct{})
	one := c.node(1, func(c *Config) {
		c.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			close(dialling)
			<-release
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	c.node(2)
	ctx, cancel := context.WithCancel(within(t))
	first := make(chan error, 1)
	go func() { _, err := one.Call(ctx, nodeID(2), "echo", nil); first <- err }()
	await(t, dialling)
	cancel() // who began the dial leaves at once; the dial goes on
	wantErr(t, await(t, first), context.Canceled)
	second := make(chan error, 1)
	go func() { _, err := one.Call(within(t), nodeID(2), "echo", nil); second <- err }()
	close(release)
	wantErr(t, await(t, second), nil)
	if dials.Load() != 1 {
		t.Errorf("%d dials", dials.Load())
	}
}
