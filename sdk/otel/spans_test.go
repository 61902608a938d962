package otel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/otel"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

const secret = "card 4111"

// recorder is where spans go.
type recorder struct {
	*tracetest.SpanRecorder
	provider trace.TracerProvider
}

func newRecorder() recorder {
	r := tracetest.NewSpanRecorder()
	return recorder{r, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))}
}

// named returns the one span of this name.
func (r recorder) named(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range r.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans named %q among %d", len(found), name, len(r.Ended()))
	}
	return found[0]
}

func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// in runs a test in a realm with a recorder.
func in(t *testing.T, fn func(t *testing.T, realm *sdktest.Realm, r recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, sdktest.New(t), newRecorder()) })
}

func serve(t *testing.T, a *sdk.Agent, capability string, h sdk.HandlerFunc) {
	t.Helper()
	if err := sdk.HandleBytes(a, capability, h); err != nil {
		t.Fatal(err)
	}
}

func echo(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil }

func call(ctx context.Context, t *testing.T, a *sdk.Agent, capability string) {
	t.Helper()
	if _, err := sdk.CallBytes(ctx, a, sdk.Any(capability), []byte(secret)); err != nil {
		t.Fatal(err)
	}
}

func wantChild(t *testing.T, child, parent sdktrace.ReadOnlySpan) {
	t.Helper()
	if child.SpanContext().TraceID() != parent.SpanContext().TraceID() || child.Parent().SpanID() != parent.SpanContext().SpanID() {
		t.Errorf("%s is not a child of %s", child.Name(), parent.Name())
	}
}

// A call, and the call that its handler makes, are one trace of four spans, and the trace stands in what was signed.
func TestACallIsOneTrace(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
		alice, bob, carol := realm.Agent(t, "alice"), realm.Agent(t, "bob"), realm.Agent(t, "carol")
		for _, a := range []*sdk.Agent{alice, bob, carol} {
			a.Use(otel.Handler(otel.Provider(r.provider)))
			a.UseCalls(otel.Calls(otel.Provider(r.provider)))
		}
		serve(t, carol, "text.inner", echo)
		serve(t, bob, "text.outer", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			return sdk.CallBytes(ctx, bob, sdk.Any("text.inner"), d.Content)
		})
		call(t.Context(), t, alice, "text.outer")

		outer, handled := r.named(t, "call text.outer"), r.named(t, "handle text.outer")
		inner, last := r.named(t, "call text.inner"), r.named(t, "handle text.inner")
		if outer.Parent().IsValid() {
			t.Errorf("the call has a parent")
		}
		wantChild(t, handled, outer)
		wantChild(t, inner, handled)
		wantChild(t, last, inner)
		if !handled.Parent().IsRemote() || outer.SpanKind() != trace.SpanKindClient || handled.SpanKind() != trace.SpanKindServer {
			t.Errorf("remote %v, kinds %v and %v", handled.Parent().IsRemote(), outer.SpanKind(), handled.SpanKind())
		}
		wantSigned(t, realm, alice.ID(), outer.SpanContext())
		wantSigned(t, realm, bob.ID(), inner.SpanContext())
	})
}

// wantSigned looks for the span in the envelopes that an agent has signed.
func wantSigned(t *testing.T, realm *sdktest.Realm, by sdk.ID, span trace.SpanContext) {
	t.Helper()
	want := "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-01"
	for _, p := range realm.Packets() {
		e, err := envelope.Peek(p.Data, envelope.DefaultLimit)
		if err == nil && p.From == by && e.From == by && e.Trace == want {
			return
		}
	}
	t.Errorf("no envelope of %s carries %s", by, want)
}

func TestAttributes(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		bob.Use(otel.Handler(otel.Provider(r.provider)))
		alice.UseCalls(otel.Calls(otel.Provider(r.provider)))
		serve(t, bob, "text.echo", echo)
		call(t.Context(), t, alice, "text.echo")
		for name, want := range map[string]map[string]string{
			"call text.echo": {
				"messaging.system": "conclave", "messaging.operation.name": "call", "messaging.operation.type": "send",
				"messaging.destination.name": "text.echo", "messaging.message.body.size": "9",
			},
			"handle text.echo": {
				"messaging.system": "conclave", "messaging.operation.name": "handle", "messaging.operation.type": "process",
				"messaging.destination.name": "text.echo", "messaging.message.body.size": "9",
				"conclave.from.id": alice.ID().String(), "conclave.from.name": "alice", "conclave.from.level": "L3",
			},
		} {
			span := r.named(t, name)
			got := attributes(span)
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%s: %s is %q, want %q", name, key, got[key], value)
				}
			}
			if span.Status().Code != codes.Unset || got["error.type"] != "" {
				t.Errorf("%s: status %v", name, span.Status())
			}
		}
		if id := attributes(r.named(t, "handle text.echo"))["messaging.message.id"]; len(id) != 64 {
			t.Errorf("message id %q", id)
		}
	})
}

// The status of a failure is its code, on both sides; nothing that was said is in any span.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		handler sdk.HandlerFunc
		code    string
	}{
		"coded": {func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			return nil, sdk.Errorf(code.NotFound, "no %s", d.Content)
		}, "not_found"},
		"without a code": {func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			return nil, errors.New(string(d.Content))
		}, "handler_failed"},
		"panic": {func(_ context.Context, d *sdk.Delivery) ([]byte, error) { panic(string(d.Content)) }, "handler_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
				alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
				bob.Use(recovering, otel.Handler(otel.Provider(r.provider)))
				alice.UseCalls(otel.Calls(otel.Provider(r.provider)))
				serve(t, bob, "text.echo", c.handler)
				if _, err := sdk.CallBytes(t.Context(), alice, sdk.Any("text.echo"), []byte(secret)); string(sdk.CodeOf(err)) != c.code {
					t.Fatalf("%v", err)
				}
				if s := r.named(t, "call text.echo").Status(); s.Code != codes.Error || s.Description != c.code {
					t.Errorf("the call's status is %v", s)
				}
				if s := r.named(t, "handle text.echo").Status(); s.Code != codes.Error {
					t.Errorf("the handler's status is %v", s)
				}
				for _, s := range r.Ended() {
					for key, value := range attributes(s) {
						if strings.Contains(value, "4111") || strings.Contains(s.Status().Description, "4111") {
							t.Errorf("%s: %s quotes the content", s.Name(), key)
						}
					}
					if len(s.Events()) > 0 {
						t.Errorf("%s has events", s.Name())
					}
				}
			})
		})
	}
}

func recovering(next sdk.HandlerFunc) sdk.HandlerFunc {
	return func(ctx context.Context, d *sdk.Delivery) (out []byte, err error) {
		defer func() {
			if recover() != nil {
				err = errors.New("panicked")
			}
		}()
		return next(ctx, d)
	}
}

func TestTopics(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		bob.Use(otel.Handler(otel.Provider(r.provider)))
		if err := alice.Advertise(t.Context(), "news.today"); err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		_, err := sdk.SubscribeBytes(bob, "news.*", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			heard <- d.Trace
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, span := r.provider.Tracer("test").Start(t.Context(), "root")
		parent := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
		if _, err := sdk.PublishBytes(sdk.WithTrace(ctx, parent), alice, "news.today", []byte(secret)); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != parent {
			t.Errorf("the message's trace is %q", got)
		}
		span.End()
		synctest.Wait()
		child := r.named(t, "handle news.today")
		wantChild(t, child, r.named(t, "root"))
		if child.SpanKind() != trace.SpanKindConsumer {
			t.Errorf("kind %v", child.SpanKind())
		}
	})
}

// With Linked a sender does not choose the receiver's trace.
func TestLinked(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		bob.Use(otel.Handler(otel.Provider(r.provider), otel.Linked()))
		alice.UseCalls(otel.Calls(otel.Provider(r.provider)))
		serve(t, bob, "text.echo", echo)
		call(t.Context(), t, alice, "text.echo")
		sent, handled := r.named(t, "call text.echo").SpanContext(), r.named(t, "handle text.echo")
		if handled.Parent().IsValid() || handled.SpanContext().TraceID() == sent.TraceID() {
			t.Error("the delivery is in the sender's trace")
		}
		if l := handled.Links(); len(l) != 1 || l[0].SpanContext.SpanID() != sent.SpanID() {
			t.Errorf("links %v", l)
		}
	})
}

// A caller that has no spans, but got a trace from elsewhere, is not cut out of it; one without any starts one.
func TestATraceWithoutASpan(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	in(t, func(t *testing.T, realm *sdktest.Realm, r recorder) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		bob.Use(otel.Handler(otel.Provider(r.provider)))
		serve(t, bob, "text.plain", echo)
		call(sdk.WithTrace(t.Context(), parent), t, alice, "text.plain")
		if p := r.named(t, "handle text.plain").Parent(); p.SpanID().String() != parent[36:52] {
			t.Errorf("parent %s", p.SpanID())
		}
		alice.UseCalls(otel.Calls(otel.Provider(r.provider)))
		serve(t, bob, "text.traced", echo)
		call(sdk.WithTrace(t.Context(), parent), t, alice, "text.traced")
		if p := r.named(t, "call text.traced").Parent(); p.TraceID().String() != parent[3:35] {
			t.Errorf("parent %s", p.TraceID())
		}
		serve(t, bob, "text.new", echo)
		call(t.Context(), t, alice, "text.new")
		if s := r.named(t, "call text.new"); s.Parent().IsValid() {
			t.Errorf("parent %v", s.Parent())
		}
	})
}

// Without a provider there are no spans, and what is carried stays as it is.
func TestWithoutAProvider(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	in(t, func(t *testing.T, realm *sdktest.Realm, _ recorder) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		bob.Use(otel.Handler())
		alice.UseCalls(otel.Calls())
		var carried, delivered string
		serve(t, bob, "text.echo", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			carried, delivered = sdk.TraceOf(ctx), d.Trace
			return d.Content, nil
		})
		call(sdk.WithTrace(t.Context(), parent), t, alice, "text.echo")
		if carried != parent || delivered != parent {
			t.Errorf("%q and %q", carried, delivered)
		}
	})
}
