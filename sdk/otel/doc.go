// Package otel makes OpenTelemetry spans of an agent's calls and handlers, joined through the signed trace context of
// the envelopes:
//
//	agent.Use(otel.Handler())
//	agent.UseCalls(otel.Calls())
//
// Without options it uses the global tracer provider. Names and attributes follow OpenTelemetry's conventions for
// messaging: a call is a span of kind client named "call text.upper", its handling one of kind server named "handle
// text.upper", a topic's message one of kind consumer. A failure's status is its code; neither contents nor the texts
// of errors, which quote contents, are recorded.
//
// A trace context is the sender's word: signed, but chosen freely, the sampling flag included. Where senders are not to
// choose in whose trace, and how often, a receiver records, give [Linked].
package otel
