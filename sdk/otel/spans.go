package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Handler starts a span for each delivery, as a child of the one that its envelope names. What the handler sends with
// its ctx names the new span.
func Handler(opts ...Option) sdk.Middleware {
	o := of(opts)
	tracer := o.tracer()
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) (out []byte, err error) {
			destination, kind := d.Capability, trace.SpanKindServer
			if d.Topic != "" {
				destination, kind = d.Topic, trace.SpanKindConsumer
			}
			attributes := append(common("handle", "process", destination, len(d.Content)),
				attribute.String("messaging.message.id", d.ID().String()),
				attribute.String("conclave.from.id", d.From.ID.String()),
				attribute.String("conclave.from.name", d.From.Name),
				attribute.String("conclave.from.level", d.From.Level.String()))
			start := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...)}
			ctx, joined := o.join(ctx, d.Trace)
			ctx, span := tracer.Start(ctx, "handle "+destination, append(start, joined...)...)
			returned := false
			defer func() { end(span, err, returned) }()
			out, err = next(carried(ctx), d)
			returned = true
			return out, err
		}
	}
}

// join says where a delivery's span belongs.
func (o options) join(ctx context.Context, traceparent string) (context.Context, []trace.SpanStartOption) {
	sender := remote(traceparent)
	switch {
	case !sender.IsValid():
		return ctx, nil
	case o.linked:
		return ctx, []trace.SpanStartOption{trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: sender})}
	}
	return trace.ContextWithRemoteSpanContext(ctx, sender), nil
}

// Calls starts a span for each of the agent's own calls, as a child of the one in ctx, or of the one that ctx carries
// for the sdk. The request's envelope names the new span.
func Calls(opts ...Option) sdk.CallMiddleware {
	o := of(opts)
	tracer := o.tracer()
	return func(next sdk.CallFunc) sdk.CallFunc {
		return func(ctx context.Context, to sdk.Target, content []byte) (out []byte, err error) {
			if !trace.SpanContextFromContext(ctx).IsValid() {
				ctx = trace.ContextWithRemoteSpanContext(ctx, remote(sdk.TraceOf(ctx)))
			}
			ctx, span := tracer.Start(ctx, "call "+to.String(), trace.WithSpanKind(trace.SpanKindClient),
				trace.WithAttributes(common("call", "send", to.String(), len(content))...))
			returned := false
			defer func() { end(span, err, returned) }()
			out, err = next(carried(ctx), to, content)
			returned = true
			return out, err
		}
	}
}
