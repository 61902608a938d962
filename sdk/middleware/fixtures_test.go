package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// agent makes a sender at a level.
func agent(t *testing.T, level sdk.Level) sdk.Peer {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.Peer{ID: s.ID(), Name: "agent", Level: level, Status: "active"}
}

// delivery makes a request as if it had been received.
func delivery(t *testing.T, from sdk.Peer, content string) *sdk.Delivery {
	t.Helper()
	return &sdk.Delivery{From: from, Capability: "text.upper", Content: []byte(content)}
}

// wantCode fails unless err has the code; "" stands for no error.
func wantCode(t *testing.T, err error, want code.Code) {
	t.Helper()
	if sdk.CodeOf(err) != want {
		t.Fatalf("error %v has code %q, want %q", err, sdk.CodeOf(err), want)
	}
}

// counted is a handler that counts its calls and answers with what it was made with.
type counted struct {
	mu    sync.Mutex
	calls int
	fails []error // of the first calls
}

func (c *counted) handle(_ context.Context, d *sdk.Delivery) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.calls <= len(c.fails) {
		return nil, c.fails[c.calls-1]
	}
	return bytes.ToUpper(d.Content), nil
}

func (c *counted) want(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls != n {
		t.Fatalf("the handler was called %d times, want %d", c.calls, n)
	}
}

// buffer is a logger's output, safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *buffer) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }

// mustHandle returns the answer of a delivery that has to be handled.
func mustHandle(t *testing.T, h sdk.HandlerFunc, d *sdk.Delivery) string {
	t.Helper()
	out, err := h(t.Context(), d)
	if err != nil {
		t.Fatalf("%s: %v", d.Content, err)
	}
	return string(out)
}

var errPlain = errors.New("plain")
