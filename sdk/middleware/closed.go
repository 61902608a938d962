package middleware

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// closed denies everything: what middleware does that was made with parameters that mean nothing.
func closed(why string) sdk.Middleware {
	err := fault.New(fault.Denied, "middleware: "+why+": everything is denied")
	return func(sdk.HandlerFunc) sdk.HandlerFunc {
		return func(context.Context, *sdk.Delivery) ([]byte, error) { return nil, err }
	}
}
