package sdktest_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

type ask struct {
	Text string `json:"text"`
}

type answer struct {
	Text string `json:"text"`
}

func upper(_ context.Context, r *sdk.Request[ask]) (answer, error) {
	return answer{strings.ToUpper(r.Data.Text)}, nil
}

func TestTwoAgentsTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		bob := realm.Agent(t, "bob")
		alice := realm.Agent(t, "alice")
		if err := sdk.Handle(bob, "text.upper", upper); err != nil {
			t.Fatal(err)
		}
		out, err := sdk.Call[answer](t.Context(), alice, sdk.Any("text.upper"), ask{"hello"})
		if err != nil || out.Text != "HELLO" {
			t.Fatalf("%+v %v", out, err)
		}
	})
}
