package otel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// scope names this package to tracers.
const scope = "github.com/seed-3e86d5b2/conclave/sdk/otel"

// Option says how spans are made.
type Option func(*options)

type options struct {
	provider trace.TracerProvider
	linked   bool
}

// Provider makes spans by p instead of the global tracer provider, which is asked for at each call of [Handler] and
// [Calls].
func Provider(p trace.TracerProvider) Option { return func(o *options) { o.provider = p } }

// Linked starts a trace of its own for each delivery, linked to the sender's, instead of one more span in it.
func Linked() Option { return func(o *options) { o.linked = true } }

func of(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.provider == nil {
		o.provider = otel.GetTracerProvider()
	}
	return o
}

func (o options) tracer() trace.Tracer { return o.provider.Tracer(scope) }

// header is where the propagator looks for a traceparent.
const header = "traceparent"

// remote returns the span that a traceparent names; one that is not valid if it names none.
func remote(traceparent string) trace.SpanContext {
	carrier := propagation.MapCarrier{header: traceparent}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// carried returns a context whose messages carry the span in it.
func carried(ctx context.Context) context.Context {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if carrier[header] == "" {
		return ctx
	}
	return sdk.WithTrace(ctx, carrier[header])
}

// common are the attributes of every span.
func common(name, kind, destination string, size int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "conclave"),
		attribute.String("messaging.operation.name", name),
		attribute.String("messaging.operation.type", kind),
		attribute.String("messaging.destination.name", destination),
		attribute.Int("messaging.message.body.size", size),
	}
}

// end ends a span with the outcome of what it spans.
func end(span trace.Span, err error, returned bool) {
	code := string(sdk.CodeOf(err))
	if !returned {
		code = "panic"
	}
	if code != "" {
		span.SetStatus(codes.Error, code)
		span.SetAttributes(attribute.String("error.type", code))
	}
	span.End()
}
