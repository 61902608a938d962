package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

type handlingKey struct{}

// handling is one verified message on its way through a handler: what the handler's context knows of it.
type handling struct {
	session *session
	message *envelope.Message
	flow    *outflow    // the stream that it has become, under streams.mu
	limit   *time.Timer // of a request for a stream: until it has become one
}

// handlingContext returns the context of a request's handler: it ends when ctx does, that of a stream when the agent
// closes. That a request wants a stream is its sender's word, which gives a handler that makes none no more time.
func handlingContext(ctx context.Context, s *session, m *envelope.Message) (context.Context, context.CancelFunc) {
	if m.Envelope().ContentType != streamType {
		return inHandling(ctx, s, m), func() {}
	}
	ctx = inHandling(s.agent.crew.ctx, s, m)
	lasting, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(liveTime*time.Millisecond, func() { cancel(context.DeadlineExceeded) })
	handlingOf(ctx).limit = limit
	return lasting, func() {
		limit.Stop()
		cancel(nil)
	}
}

// steered hears a reader of one of the agent's streams, and reports whether the message is from one.
func steered(ctx context.Context, s *session, m *envelope.Message) bool {
	if m.Purpose() != envelope.Request || m.Envelope().ContentType != flowType {
		return false
	}
	if err := s.agent.streams.steer(ctx, m); err != nil {
		s.agent.link.options.logger.Warn("stream not steered", "code", string(fault.CodeOf(err)), "error", err)
	}
	return true
}

// sequenceOf returns how many items of a stream were sent before it failed.
func sequenceOf(failure error) uint64 {
	var b *brokenStream
	if errors.As(failure, &b) {
		return b.sequence
	}
	return 0
}

// inHandling returns the context of a message's handler.
func inHandling(ctx context.Context, s *session, m *envelope.Message) context.Context {
	return context.WithValue(ctx, handlingKey{}, &handling{session: s, message: m})
}

func handlingOf(ctx context.Context) *handling {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	return h
}

// Await runs fn in a goroutine that the agent's Close waits for, like a handler, and reports whether it does. It is for
// middleware that answers before its handler has returned. ctx is the handler's; Await returns false for any other, and
// when the agent is closing or handles as much as it may: then fn has not been called.
func Await(ctx context.Context, fn func()) bool {
	h := handlingOf(ctx)
	return h != nil && h.session.agent.crew.spawn(fn)
}
