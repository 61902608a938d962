package sdk_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// Whatever publishes, waits, flushes, renews or stops at the time: closing comes to an end, and leaves no goroutine.
func TestClosingAtAnyMoment(t *testing.T) {
	for seed := range uint64(10) {
		in(t, func(t *testing.T, realm *sdktest.Realm) {
			rng := rand.New(rand.NewPCG(seed, 1))
			life := sdktest.With(sdk.CredentialLife(12 * time.Minute))
			bob, alice := realm.Agent(t, "bob", life), realm.Agent(t, "alice", life)
			if err := bob.Advertise(t.Context(), "news"); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				var sub *sdk.Subscription
				var mu sync.Mutex
				n := 0
				stopAt := rng.IntN(300)
				s, err := sdk.SubscribeBytes(alice, "news", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					n++
					_, _ = sdk.PublishBytes(ctx, alice, "echo", d.Content)
					if n%50 == 0 {
						_ = alice.Flush(ctx)
					}
					if n == stopAt && sub != nil {
						_ = sub.Stop()
					}
					return nil, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				sub = s
				mu.Unlock()
			}
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					for i := 1; ctx.Err() == nil; i++ {
						r, err := sdk.PublishBytes(ctx, bob, "news", make([]byte, 1000))
						if errors.Is(err, sdk.ErrClosed) {
							return
						}
						if i%50 == 0 {
							_, _ = r.Wait(ctx)
							time.Sleep(time.Duration(i/50%20) * time.Second)
						}
					}
				})
			}
			time.Sleep(time.Duration(rng.IntN(800)) * time.Second)
			short, done := context.WithTimeout(context.Background(), time.Duration(rng.IntN(2000))*time.Millisecond)
			first, second := bob, alice
			if seed%2 == 0 {
				first, second = alice, bob
			}
			group.Go(func() { _ = first.Close(short) })
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			_ = second.Close(short)
			done()
			group.Wait()
			cancel()
		})
	}
}
