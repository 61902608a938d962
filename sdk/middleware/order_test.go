package middleware_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// The order that the package recommends, end to end: one honest call, and every refusal with its code.
func TestAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		low := realm.Agent(t, "carol", sdktest.Level(identity.Apprentice))
		var out buffer
		bob.Use(
			middleware.Log(out.logger()),
			middleware.MinLevel(identity.Journeyer),
			middleware.RateLimit(middleware.Rate{Every: time.Second, Burst: 4}),
			middleware.Validate(func(content []byte) error {
				if !json.Valid(content) {
					return sdk.Errorf(code.InvalidInput, "no JSON")
				}
				return nil
			}),
			middleware.Dedup(middleware.Window{}),
			middleware.Timeout(10*time.Second),
			middleware.Retry(middleware.Backoff{}),
			middleware.Recover(out.logger()),
		)
		h := counted{fails: []error{sdk.Errorf(code.Unreachable, "away")}}
		if err := sdk.HandleBytes(bob, "text.upper", h.handle); err != nil {
			t.Fatal(err)
		}
		call := func(a *sdk.Agent, content string) (string, error) {
			answer, err := sdk.CallBytes(t.Context(), a, sdk.Any("text.upper"), []byte(content))
			return string(answer), err
		}
		for range 2 { // handled at the second attempt, and then known
			if got, err := call(alice, `"a"`); err != nil || got != `"A"` {
				t.Fatalf("%s %v", got, err)
			}
		}
		h.want(t, 2)
		_, err := call(alice, `a`)
		wantCode(t, err, code.InvalidInput)
		_, err = call(low, `"a"`)
		wantCode(t, err, code.Denied)
		if _, err = call(alice, `"b"`); err != nil {
			t.Fatal(err)
		}
		_, err = call(alice, `"c"`)
		wantCode(t, err, "rate")
		h.want(t, 3)
		if n := strings.Count(out.String(), `"msg":"handled"`); n != 6 {
			t.Errorf("%d deliveries were logged:\n%s", n, out.String())
		}
	})
}
