package integration

import (
	"context"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// TestNameEnrolsOnce connects twice by an operator's context under an agent's name: the agent is enrolled at the first
// time, as asked for, and its key used again at the second.
func TestNameEnrolsOnce(t *testing.T) {
	w := newWorld(t)
	w.solo()
	connect := func() *sdk.Agent {
		a, err := sdk.Connect(t.Context(), sdk.Context("operator"), sdk.Name("minted"), sdk.AtLevel(identity.Apprentice), sdk.Serves("text.*"))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := connect()
	id := first.ID()
	me, err := first.Who(t.Context(), "minted")
	if err != nil || me.ID != id || me.Level != identity.Apprentice {
		t.Errorf("enrolled as %+v: %v", me, err)
	}
	echo := func(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil }
	if err := sdk.HandleBytes(first, "text.echo", echo); err != nil {
		t.Error(err)
	}
	if err := sdk.HandleBytes(first, "other.echo", echo); sdk.CodeOf(err) != code.Denied {
		t.Errorf("it serves what was not asked for: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	second := connect()
	if second.ID() != id {
		t.Error("enrolled again")
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
