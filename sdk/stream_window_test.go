package sdk_test

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// The window bounds what is kept in bytes too, however slowly a sender that ignores it fills the reader's memory.
func TestAWindowOfBytes(t *testing.T) {
	const size, all = 200 << 10, 60
	for name, c := range map[string]struct {
		ignore bool
		items  int
		code   code.Code
	}{
		"an honest sender waits": {false, all, ""},
		"another one":            {true, 6, "window_full"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
				handleStreamBytes(t, bob, "flood", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
					if c.ignore {
						sdk.IgnoreWindow(ctx)
					}
					return func(yield func([]byte, error) bool) {
						for n := 0; n < all && yield(bytes.Repeat([]byte{1}, size), nil); n++ {
							time.Sleep(time.Millisecond) // so that the reader opens it before the next one comes
						}
					}
				})
				items := 0
				var failure error
				for _, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("flood"), nil, sdk.Window(1<<16, 1<<20)) {
					if failure = err; err != nil {
						break
					}
					if items++; items == 1 {
						time.Sleep(time.Second) // everything that may be sent has been
					}
				}
				wantCode(t, failure, c.code)
				if items != c.items {
					t.Errorf("%d items of %d bytes were kept, want %d", items, size, c.items)
				}
			})
		})
	}
}
