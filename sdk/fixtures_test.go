package sdk_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

type ask struct {
	Text string `json:"text" jsonschema:"text to work on"`
	Tone string `json:"tone,omitempty"`
}

type answer struct {
	Text string `json:"text"`
}

// in runs a test in a realm of its own, in a bubble whose clock only moves when everybody waits.
func in(t *testing.T, fn func(t *testing.T, realm *sdktest.Realm), opts ...sdktest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, sdktest.New(t, opts...)) })
}

func upper(_ context.Context, r *sdk.Request[ask]) (answer, error) {
	return answer{strings.ToUpper(r.Data.Text)}, nil
}

func handle[In, Out any](t *testing.T, a *sdk.Agent, capability string, h sdk.Handler[In, Out]) {
	t.Helper()
	if err := sdk.Handle(a, capability, h); err != nil {
		t.Fatalf("handle %s: %v", capability, err)
	}
}

func call(t *testing.T, a *sdk.Agent, to sdk.Target) (string, error) {
	t.Helper()
	out, err := sdk.Call[answer](t.Context(), a, to, ask{Text: "hello"})
	return out.Text, err
}

func mustCall(t *testing.T, a *sdk.Agent, to sdk.Target) string {
	t.Helper()
	text, err := call(t, a, to)
	if err != nil {
		t.Fatalf("call %s: %v", to, err)
	}
	return text
}

// settle waits until everybody waits: what is under way has arrived.
func settle() { synctest.Wait() }

func wantCode(t *testing.T, err error, want code.Code) {
	t.Helper()
	if sdk.CodeOf(err) != want {
		t.Fatalf("error %v has code %q, want %q", err, sdk.CodeOf(err), want)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// codes keeps the codes of what an agent's logger was told.
type codes struct {
	mu   sync.Mutex
	seen []string
}

func (c *codes) Enabled(context.Context, slog.Level) bool { return true }

func (c *codes) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "code" {
			c.seen = append(c.seen, a.Value.String())
		}
		return true
	})
	return nil
}

func (c *codes) WithAttrs([]slog.Attr) slog.Handler { return c }

func (c *codes) WithGroup(string) slog.Handler { return c }

// take returns what was kept since the last take, once everybody waits.
func (c *codes) take() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

func (c *codes) option() sdktest.AgentOption { return sdktest.With(sdk.WithLogger(slog.New(c))) }

// list collects what handlers saw. It is safe for concurrent use.
type list[T any] struct {
	mu    sync.Mutex
	items []T
}

func (l *list[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = append(l.items, v)
}

// all returns what was collected, once everybody waits.
func (l *list[T]) all() []T {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.items)
}

// lines keeps what an agent's logger was told.
type lines struct{ list[string] }

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.add(r.Message)
	return nil
}

func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *lines) WithGroup(string) slog.Handler { return l }

func (l *lines) option() sdktest.AgentOption { return sdktest.With(sdk.WithLogger(slog.New(l))) }

// copyDir copies a directory of private files and directories, without their locks.
func copyDir(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rest), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rest), content, 0o600)
	})
}
