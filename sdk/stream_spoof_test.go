package sdk_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// A request that says it wants a stream gives a handler that makes none no more time than every request has.
func TestWantingAStreamGivesAHandlerNoMoreTime(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, a *sdk.Agent){
		"call": func(ctx context.Context, a *sdk.Agent) { _, _ = sdk.CallBytes(ctx, a, sdk.Any("slow"), nil) },
		"stream": func(ctx context.Context, a *sdk.Agent) {
			for range sdk.StreamBytes(ctx, a, sdk.Any("slow"), nil) {
				continue
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
				ended, over := make(chan struct{}), make(chan struct{})
				serveBytes(t, bob, "slow", func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
					select {
					case <-ctx.Done():
						close(ended)
					case <-over:
					}
					return nil, ctx.Err()
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				ask(ctx, alice)
				select {
				case <-ended:
				case <-time.After(2 * time.Minute):
					t.Error("the handler may still go on after two minutes")
					close(over)
				}
			})
		})
	}
}
