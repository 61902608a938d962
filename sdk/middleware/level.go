package middleware

import (
	"context"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ErrLevel is returned to a sender whose level is too low.
var ErrLevel = fault.New(fault.Denied, "middleware: the sender's autonomy level is too low").
	WithHint("see what the next level asks for: conclave trust explain NAME")

// MinLevel denies senders whose verified level is below least. A least of L0 does not mean everybody, it denies
// everybody: L0 is what a level is that nobody set.
func MinLevel(least sdk.Level) sdk.Middleware {
	if least == 0 {
		return closed("no least level")
	}
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			if d.From.Level < least {
				return nil, fmt.Errorf("%w: %s, and it takes %s; what is missing says: conclave trust explain %s",
					ErrLevel, d.From.Level, least, d.From.Name)
			}
			return next(ctx, d)
		}
	}
}
