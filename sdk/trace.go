package sdk

import "context"

// WithTrace returns a context whose requests, replies and messages carry the W3C traceparent given, version 00
// ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), in their signed part, where everybody on the way can
// read it. One that is not well formed makes sending fail with the code malformed; "" carries none.
//
// A handler's context carries the trace of what it handles, so that what it sends belongs to the same one.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// TraceOf returns the traceparent that a context carries, or "". In a handler it is the sender's word, well formed.
func TraceOf(ctx context.Context) string { return traceOf(ctx) }
