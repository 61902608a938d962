package sdk_test

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// signedTraces returns the traces of an agent's envelopes of one purpose.
func signedTraces(realm *sdktest.Realm, from *sdk.Agent, purpose envelope.Purpose) (found []string) {
	settle()
	for _, p := range realm.Packets() {
		e, err := envelope.Peek(p.Data, envelope.DefaultLimit)
		if err == nil && e.From == from.ID() && e.Purpose == purpose && e.Trace != "" {
			found = append(found, e.Trace)
		}
	}
	return found
}

// A trace goes with a call, into the handler, on with what the handler calls, and back with the replies.
func TestATraceGoesAllTheWay(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob, carol := realm.Agent(t, "alice"), realm.Agent(t, "bob"), realm.Agent(t, "carol")
		var delivered, carried list[string]
		note := func(ctx context.Context, d *sdk.Delivery) {
			delivered.add(d.Trace)
			carried.add(sdk.TraceOf(ctx))
		}
		serveBytes(t, carol, "text.inner", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			note(ctx, d)
			return d.Content, nil
		})
		serveBytes(t, bob, "text.outer", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			note(ctx, d)
			return sdk.CallBytes(ctx, bob, sdk.Any("text.inner"), d.Content)
		})
		if _, err := sdk.CallBytes(t.Context(), alice, sdk.Any("text.outer"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := sdk.CallBytes(sdk.WithTrace(t.Context(), traceparent), alice, sdk.Any("text.outer"), nil); err != nil {
			t.Fatal(err)
		}
		want := strings.Join([]string{"", "", traceparent, traceparent}, " ")
		for _, got := range [][]string{delivered.all(), carried.all()} {
			if strings.Join(got, " ") != want {
				t.Errorf("handlers saw %q", got)
			}
		}
		for _, c := range []struct {
			from    *sdk.Agent
			purpose envelope.Purpose
		}{{alice, envelope.Request}, {bob, envelope.Request}, {bob, envelope.Reply}, {carol, envelope.Reply}} {
			if got := signedTraces(realm, c.from, c.purpose); len(got) != 1 || got[0] != traceparent {
				t.Errorf("purpose %d: signed traces %q", c.purpose, got)
			}
		}
	})
}

func TestATraceGoesWithATopicsMessage(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.today"); err != nil {
			t.Fatal(err)
		}
		var seen list[string]
		_, err := sdk.SubscribeBytes(bob, "news.*", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			seen.add(d.Trace + " " + sdk.TraceOf(ctx))
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sdk.PublishBytes(sdk.WithTrace(t.Context(), traceparent), alice, "news.today", []byte("a")); err != nil {
			t.Fatal(err)
		}
		if got := seen.all(); len(got) != 1 || got[0] != traceparent+" "+traceparent {
			t.Errorf("%q", got)
		}
	})
}

// A stream's request, its items and what its handler calls carry the trace.
func TestATraceGoesWithAStream(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		var seen list[string]
		handleStreamBytes(t, bob, "count.up", func(ctx context.Context, d *sdk.Delivery) iter.Seq2[[]byte, error] {
			seen.add(d.Trace + " " + sdk.TraceOf(ctx))
			return func(yield func([]byte, error) bool) {
				yield([]byte("one"), nil)
				time.Sleep(time.Second) // so that it leaves by itself, not in a frame
			}
		})
		ctx := sdk.WithTrace(t.Context(), traceparent)
		if items, err := collect(sdk.StreamBytes(ctx, alice, sdk.Any("count.up"), nil)); err != nil || len(items) != 1 {
			t.Fatalf("%q %v", items, err)
		}
		if got := seen.all(); len(got) != 1 || got[0] != traceparent+" "+traceparent {
			t.Errorf("%q", got)
		}
		if got := signedTraces(realm, bob, envelope.Reply); len(got) == 0 || got[0] != traceparent {
			t.Errorf("signed traces %q", got)
		}
		_, err := collect(sdk.StreamBytes(sdk.WithTrace(t.Context(), "00-1"), alice, sdk.Any("count.up"), nil))
		wantCode(t, err, "malformed")
	})
}

// What is no traceparent is not sent.
func TestATraceMustBeWellFormed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		serveBytes(t, bob, "text.echo", func(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil })
		for _, c := range []struct {
			trace string
			code  code.Code
		}{
			{traceparent, ""}, {"", ""}, {"00-01-02-03", "malformed"}, {traceparent + "-more", "malformed"},
			{strings.ToUpper(traceparent), "malformed"}, {"01" + traceparent[2:], "malformed"},
			{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "malformed"},
		} {
			ctx := sdk.WithTrace(t.Context(), c.trace)
			_, err := sdk.CallBytes(ctx, alice, sdk.Any("text.echo"), nil)
			if sdk.CodeOf(err) != c.code {
				t.Errorf("%q: %v", c.trace, err)
			}
		}
	})
}

func serveBytes(t *testing.T, a *sdk.Agent, capability string, h sdk.HandlerFunc) {
	t.Helper()
	if err := sdk.HandleBytes(a, capability, h); err != nil {
		t.Fatalf("handle %s: %v", capability, err)
	}
}
