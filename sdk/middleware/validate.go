package middleware

import (
	"context"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// ErrInput is returned for content that a check refused.
var ErrInput = fault.New(fault.InvalidInput, "middleware: content refused")

// Validate refuses, with [ErrInput] and the text of check's error, content that check returns an error for. It is for
// handlers of bytes; typed ones check their content against the schema of its type by themselves. A nil check denies
// everything. check must be safe for concurrent use and not change what it is given.
func Validate(check func(content []byte) error) sdk.Middleware {
	if check == nil {
		return closed("no check")
	}
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			if err := check(d.Content); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrInput, err)
			}
			return next(ctx, d)
		}
	}
}
