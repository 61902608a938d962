package sdk

import "context"

type traceKey struct{}

// withTrace returns a context whose calls and messages carry the traceparent. "" changes nothing.
func withTrace(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// traceOf returns the traceparent that ctx was given, or "".
func traceOf(ctx context.Context) string {
	trace, _ := ctx.Value(traceKey{}).(string)
	return trace
}
