package sdk_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

func TestCallsPassThroughTheirMiddleware(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		var seen list[string]
		mark := func(name string) sdk.CallMiddleware {
			return func(next sdk.CallFunc) sdk.CallFunc {
				return func(ctx context.Context, to sdk.Target, content []byte) ([]byte, error) {
					seen.add(name + " " + to.String() + " " + string(content))
					out, err := next(ctx, to, content)
					seen.add(name + " " + string(out))
					return out, err
				}
			}
		}
		mustCall(t, alice, sdk.Any("text.upper"))
		alice.UseCalls(mark("outer"), mark("middle"))
		alice.UseCalls(mark("inner"))
		if got := mustCall(t, alice, sdk.Any("text.upper")); got != "HELLO" {
			t.Fatal(got)
		}
		sent, back := ` text.upper {"text":"hello"}`, ` {"text":"HELLO"}`
		want := []string{
			"outer" + sent, "middle" + sent, "inner" + sent, "inner" + back, "middle" + back, "outer" + back,
		}
		if got := seen.all(); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// Middleware may refuse, and change target and content.
func TestCallMiddlewareDecides(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		alice.UseCalls(func(next sdk.CallFunc) sdk.CallFunc {
			return func(ctx context.Context, to sdk.Target, content []byte) ([]byte, error) {
				switch to.String() {
				case "text.secret":
					return nil, sdk.Errorf(code.Denied, "not from here")
				case "text.loud":
					return next(ctx, sdk.Any("text.upper"), []byte(strings.Replace(string(content), "hello", "hello!", 1)))
				}
				return next(ctx, to, content)
			}
		})
		if got := mustCall(t, alice, sdk.Any("text.loud")); got != "HELLO!" {
			t.Error(got)
		}
		_, err := call(t, alice, sdk.Any("text.secret"))
		wantCode(t, err, code.Denied)
		_, err = call(t, alice, sdk.Any("text.nobody"))
		wantErr(t, err, sdk.ErrNoResponder)
	})
}
