package sdk_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// TestANameIsThatOfTheKey connects by an agent's context under its own name, and is refused under another's.
func TestANameIsThatOfTheKey(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		saved(t, realm, contexts.Seen{})
		alice, err := sdk.Connect(t.Context(), sdk.Over(realm.Transport()), sdk.Name("alice"))
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Close(t.Context()); err != nil {
			t.Error(err)
		}
		_, err = sdk.Connect(t.Context(), sdk.Over(realm.Transport()), sdk.Name("bob"))
		wantErr(t, err, sdk.ErrOtherName)
	})
}
