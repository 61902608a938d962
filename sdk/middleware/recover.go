package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ErrPanicked is returned for a handler that panicked. What it had done until then is unknown.
var ErrPanicked = fault.New(fault.HandlerFailed, "middleware: the handler panicked")

// Recover turns a panic of the handler into [ErrPanicked]. The logger, which may be nil, gets the stack and the type of
// the value that the handler panicked with; never the value, which may hold content.
func Recover(l *slog.Logger) sdk.Middleware {
	l = orDiscard(l)
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) (out []byte, err error) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				l.ErrorContext(ctx, "handler panicked", "id", d.ID().String(), "from", d.From.ID.String(), place(d),
					"panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				out, err = nil, ErrPanicked
			}()
			return next(ctx, d)
		}
	}
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// place says on which capability or topic a delivery came.
func place(d *sdk.Delivery) slog.Attr {
	if d.Topic != "" {
		return slog.String("topic", d.Topic)
	}
	return slog.String("capability", d.Capability)
}
