package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

type count struct {
	To int `json:"to"`
}

type number struct {
	N int `json:"n"`
}

// counting streams the numbers below what it is asked for.
func counting(_ context.Context, r *sdk.Request[count]) iter.Seq2[number, error] {
	return func(yield func(number, error) bool) {
		for n := range r.Data.To {
			if !yield(number{n}, nil) {
				return
			}
		}
	}
}

func handleStream[In, Item any](t *testing.T, a *sdk.Agent, capability string, h sdk.StreamHandler[In, Item]) {
	t.Helper()
	if err := sdk.HandleStream(a, capability, h); err != nil {
		t.Fatalf("handle %s: %v", capability, err)
	}
}

func handleStreamBytes(t *testing.T, a *sdk.Agent, capability string, h sdk.StreamFunc) {
	t.Helper()
	if err := sdk.HandleStreamBytes(a, capability, h); err != nil {
		t.Fatalf("handle %s: %v", capability, err)
	}
}

// collect reads a stream to its end.
func collect[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for v, e := range seq {
		if e != nil {
			return items, e
		}
		items = append(items, v)
	}
	return items, nil
}

// endless streams numbers until its ctx ends, and says why it did. produced counts what was taken from it.
type endless struct {
	produced atomic.Int64
	running  atomic.Int64
	ended    chan error
}

func newEndless() *endless { return &endless{ended: make(chan error, 128)} }

func (e *endless) stream(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		e.running.Add(1)
		defer func() {
			<-ctx.Done()
			e.ended <- context.Cause(ctx)
		}()
		for n := 0; yield([]byte(strconv.Itoa(n)), nil); n++ {
			e.produced.Add(1)
		}
	}
}

func TestStream(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		for _, n := range []int{0, 1, 2, 63, 64, 65, 200} {
			items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{n}))
			if err != nil || len(items) != n {
				t.Fatalf("%d items of %d: %v", len(items), n, err)
			}
			for i, item := range items {
				if item.N != i {
					t.Fatalf("item %d is %d", i, item.N)
				}
			}
		}
		found := alice.Discover(t.Context(), sdk.Query{Capability: "count.up"})
		for f, err := range found {
			if err != nil || len(f.Capabilities) != 1 || !strings.Contains(f.Capabilities[0].Output, `"n"`) {
				t.Errorf("%v %v", f, err)
			}
		}
	})
}

// Order and completeness of many items, with a window much smaller than the stream.
func TestStreamOfTenThousand(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		next := 0
		for item, err := range sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{10_000}) {
			if err != nil || item.N != next {
				t.Fatalf("item %d is %d: %v", next, item.N, err)
			}
			next++
		}
		if next != 10_000 {
			t.Errorf("%d items", next)
		}
	})
}

// A sequence can be used again: each use is a request of its own.
func TestStreamsAreRequestsOfTheirOwn(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var ids list[sdk.Digest]
		handleStreamBytes(t, bob, "echo.once", func(_ context.Context, d *sdk.Delivery) iter.Seq2[[]byte, error] {
			ids.add(d.ID())
			return func(yield func([]byte, error) bool) { yield(d.Content, nil) }
		})
		seq := sdk.StreamBytes(t.Context(), alice, sdk.Any("echo.once"), []byte("a"))
		for range 3 {
			if items, err := collect(seq); err != nil || len(items) != 1 || string(items[0]) != "a" {
				t.Fatalf("%q %v", items, err)
			}
		}
		if got := ids.all(); len(got) != 3 || got[0] == got[1] || got[1] == got[2] {
			t.Errorf("%v", got)
		}
	})
}

func TestStreamItemsMayBeEmptyOrLarge(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		sizes := []int{0, 1, 0, 200 << 10, 3, 200 << 10, 200 << 10, 200 << 10, 200 << 10, 200 << 10, 200 << 10}
		handleStreamBytes(t, bob, "blocks", func(context.Context, *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for i, size := range sizes {
					if !yield(bytes.Repeat([]byte{byte(i)}, size), nil) {
						return
					}
				}
			}
		})
		for _, opts := range [][]sdk.StreamOption{nil, {sdk.Window(2, 1)}, {sdk.Window(0, 0)}, {sdk.Window(1000, 100<<20)}, {sdk.Window(1<<62, 1<<62)}} {
			items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("blocks"), nil, opts...))
			if err != nil || len(items) != len(sizes) {
				t.Fatalf("%d items: %v", len(items), err)
			}
			for i, item := range items {
				if len(item) != sizes[i] || len(item) > 0 && item[len(item)-1] != byte(i) {
					t.Errorf("item %d has %d bytes", i, len(item))
				}
			}
		}
		sizes = []int{5, 300 << 10}
		items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("blocks"), nil))
		if len(items) != 1 {
			t.Errorf("%d items", len(items))
		}
		wantCode(t, err, "too_large")
	})
}

// The handler's error is the last element, with its code, after all items before it.
func TestStreamErrorsKeepTheirCodes(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var failure error
		handleStream(t, bob, "count.up", func(ctx context.Context, r *sdk.Request[count]) iter.Seq2[number, error] {
			return func(yield func(number, error) bool) {
				for n, err := range counting(ctx, r) {
					if !yield(n, err) {
						return
					}
				}
				if failure != nil {
					yield(number{}, failure)
				}
			}
		})
		for _, c := range []struct {
			failure error
			code    code.Code
		}{
			{nil, ""}, {sdk.Errorf(code.NotFound, "no more"), code.NotFound},
			{fmt.Errorf("reading: %w", sdk.Errorf(code.Expired, "too old")), code.Expired},
			{errors.New("plain"), "handler_failed"},
		} {
			failure = c.failure
			for _, n := range []int{0, 3, 100} {
				items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{n}))
				if sdk.CodeOf(err) != c.code || len(items) != n {
					t.Errorf("%v: %d items of %d, %v", c.failure, len(items), n, err)
				}
			}
		}
	})
}

func TestStreamRefusals(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice, low := realm.Agent(t, "bob"), realm.Agent(t, "alice"), realm.Agent(t, "carol", sdktest.Level(identity.Observer))
		handleStream(t, bob, "count.up", counting)
		handle(t, bob, "text.upper", upper)
		if items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{3})); err != nil || len(items) != 3 {
			t.Fatalf("%d %v", len(items), err)
		}
		stream := func(a *sdk.Agent, capability, content string) error {
			_, err := collect(sdk.StreamBytes(t.Context(), a, sdk.Any(capability), []byte(content)))
			return err
		}
		for _, c := range []struct {
			name string
			err  error
			code code.Code
		}{
			{"nobody there", stream(alice, "count.down", ``), code.NoResponder},
			{"not allowed to call", stream(low, "count.up", `{"to":1}`), code.Denied},
			{"another schema", stream(alice, "count.up", `{"to":"a"}`), code.InvalidInput},
			{"a handler that answers once", stream(alice, "text.upper", `{"text":"a"}`), code.InvalidInput},
		} {
			if sdk.CodeOf(c.err) != c.code {
				t.Errorf("%s: %v has code %q, want %q", c.name, c.err, sdk.CodeOf(c.err), c.code)
			}
		}
		_, err := sdk.CallBytes(t.Context(), alice, sdk.Any("count.up"), []byte(`{"to":1}`))
		wantCode(t, err, code.InvalidInput)
	})
}

// Items that do not fit the reader's schema end the stream, on both sides.
func TestStreamItemsAreCheckedAgainstTheirSchema(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		ended := make(chan error, 1)
		handleStreamBytes(t, bob, "count.up", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				_ = yield([]byte(`{"n":1}`), nil) && yield([]byte(`{"n":"two"}`), nil)
				<-ctx.Done()
				ended <- context.Cause(ctx)
			}
		})
		items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{3}))
		wantCode(t, err, code.InvalidInput)
		if len(items) != 1 || sdk.CodeOf(<-ended) != code.Expired {
			t.Errorf("%v", items)
		}
	})
}

// Leaving the loop ends the handler's ctx.
func TestBreakEndsTheHandler(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		e := newEndless()
		handleStreamBytes(t, bob, "count.up", e.stream)
		for item, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if string(item) == "5" {
				break
			}
		}
		wantCode(t, <-e.ended, code.Expired)
	})
}

// ctx ends the stream on both sides, also in the middle of waiting.
func TestTheReadersContextEndsBothSides(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		ended := make(chan error, 1)
		handleStreamBytes(t, bob, "count.up", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				yield([]byte("one"), nil)
				<-ctx.Done()
				ended <- context.Cause(ctx)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		items, err := collect(sdk.StreamBytes(ctx, alice, sdk.Any("count.up"), nil))
		if len(items) != 1 || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sdk.ErrTimeout) {
			t.Errorf("%q %v", items, err)
		}
		wantCode(t, <-ended, code.Expired)
	})
}

// A handler that closes ends its streams as an error, never as their end.
func TestTheServersCloseIsNoEnd(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStreamBytes(t, bob, "count.up", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				yield([]byte("one"), nil)
				<-ctx.Done() // and ends as if nothing were
			}
		})
		var items []string
		var last error
		for item, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), nil) {
			if last = err; err != nil {
				break
			}
			items = append(items, string(item))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = bob.Close(ctx)
			cancel()
		}
		if len(items) != 1 || last == nil {
			t.Errorf("%q %v", items, last)
		}
	})
}

// A stream lasts as long as both sides live, however slow it is; nobody's deadline for requests ends it.
func TestASlowStreamLasts(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStreamBytes(t, bob, "count.slowly", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for n := range 5 {
					time.Sleep(7 * time.Minute)
					if !yield([]byte(strconv.Itoa(n)), context.Cause(ctx)) {
						return
					}
				}
			}
		})
		items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("count.slowly"), nil))
		if err != nil || len(items) != 5 {
			t.Fatalf("%q %v", items, err)
		}
		// and so does one that is read slowly: what has arrived is kept, though its envelopes expire
		handleStream(t, bob, "count.up", counting)
		read := 0
		for item, err := range sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{80}) {
			if err != nil || item.N != read {
				t.Fatalf("item %d is %d: %v", read, item.N, err)
			}
			read++
			time.Sleep(2 * time.Minute)
		}
		if read != 80 {
			t.Errorf("%d items", read)
		}
	})
}

// A reader that takes nothing stops the handler's sequence at the window: its memory holds no more than that.
func TestASlowReaderBlocksTheHandler(t *testing.T) {
	for _, c := range []struct {
		opts []sdk.StreamOption
		most int64
	}{{nil, 64}, {[]sdk.StreamOption{sdk.Window(7, 1<<20)}, 7}, {[]sdk.StreamOption{sdk.Window(1000, 10)}, 10}} {
		in(t, func(t *testing.T, realm *sdktest.Realm) {
			bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
			e := newEndless()
			handleStreamBytes(t, bob, "count.up", e.stream)
			read := int64(0)
			for _, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), nil, c.opts...) {
				if err != nil {
					t.Fatal(err)
				}
				settle() // as if this took for ever
				produced := e.produced.Load()
				if read == 0 && produced != c.most {
					t.Errorf("%d items were produced for a reader that has read none, want %d", produced, c.most)
				}
				if produced > read+c.most {
					t.Errorf("%d items were produced for a reader that has read %d", produced, read)
				}
				if read++; read == 5*c.most {
					break
				}
			}
			<-e.ended
		})
	}
}

func TestStreamsServedAreBounded(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		e := newEndless()
		handleStreamBytes(t, bob, "count.up", e.stream)
		var stops []func()
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		begin := func(a *sdk.Agent) error {
			next, stop := iter.Pull2(sdk.StreamBytes(t.Context(), a, sdk.Any("count.up"), nil))
			stops = append(stops, stop)
			_, err, _ := next()
			return err
		}
		for i := range 4 {
			a := realm.Agent(t, "reader-"+strconv.Itoa(i))
			for range 16 {
				if err := begin(a); err != nil {
					t.Fatal(err)
				}
			}
			wantCode(t, begin(a), "rate") // its share
		}
		last := realm.Agent(t, "last")
		wantCode(t, begin(last), "rate")
		if n := e.running.Load(); n != 64 {
			t.Errorf("%d streams are served", n)
		}
		stops[0]()
		<-e.ended
		settle()
		if err := begin(last); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	})
}

// Middleware goes around streams, and sees how they end.
func TestMiddlewareAroundStreams(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var outcomes list[string]
		bob.Use(func(next sdk.HandlerFunc) sdk.HandlerFunc {
			return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
				if len(d.Content) == 0 {
					return nil, sdk.Errorf(code.Denied, "nothing asked")
				}
				out, err := next(ctx, d)
				outcomes.add(string(sdk.CodeOf(err)))
				return out, err
			}
		})
		handleStream(t, bob, "count.up", counting)
		stream := func(content string) (int, error) {
			items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), []byte(content)))
			return len(items), err
		}
		if n, err := stream(`{"to":5}`); err != nil || n != 5 {
			t.Fatalf("%d %v", n, err)
		}
		_, err := stream(``)
		wantCode(t, err, code.Denied)
		_, err = stream(`{}`)
		wantCode(t, err, code.InvalidInput)
		if got := outcomes.all(); !slices.Equal(got, []string{"", "invalid_input"}) {
			t.Errorf("%q", got)
		}
	})
}

// Middleware that calls the handler again does so before anything was sent, or not at all.
func TestAStreamIsNotBegunTwice(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		bob.Use(func(next sdk.HandlerFunc) sdk.HandlerFunc {
			return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
				if out, err := next(ctx, d); err == nil {
					return out, nil
				}
				return next(ctx, d)
			}
		})
		var runs atomic.Int64
		handleStreamBytes(t, bob, "flaky", func(_ context.Context, d *sdk.Delivery) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				again := runs.Add(1) > 1
				if string(d.Content) == "late" || again {
					if !yield([]byte("item"), nil) {
						return
					}
				}
				if !again {
					yield(nil, sdk.Errorf(code.Unreachable, "away"))
				}
			}
		})
		if items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("flaky"), []byte("early"))); err != nil || len(items) != 1 {
			t.Errorf("%q %v", items, err)
		}
		runs.Store(0)
		items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("flaky"), []byte("late")))
		wantCode(t, err, code.Unreachable)
		if len(items) != 1 || runs.Load() != 1 {
			t.Errorf("%q, %d runs", items, runs.Load())
		}
	})
}

// An answer that middleware remembers from another stream is not taken for an empty one.
func TestAnotherStreamsEndIsNone(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var answer []byte
		bob.Use(func(next sdk.HandlerFunc) sdk.HandlerFunc {
			return func(ctx context.Context, d *sdk.Delivery) (_ []byte, err error) {
				if answer == nil {
					answer, err = next(ctx, d)
				}
				return answer, err
			}
		})
		handleStream(t, bob, "count.up", counting)
		seq := sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{5})
		if items, err := collect(seq); err != nil || len(items) != 5 {
			t.Fatalf("%d %v", len(items), err)
		}
		_, err := collect(seq)
		wantErr(t, err, sdk.ErrGap)
	})
}
