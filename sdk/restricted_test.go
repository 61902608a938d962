package sdk_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// tells has a node say whether it is restricted, and waits until everybody has heard it.
func (n *played) tells(restricted bool) {
	c := n.cluster
	c.t.Helper()
	raw, err := wire.Encode(control.Hint{Size: 8, Restricted: restricted})
	if err != nil {
		c.t.Fatal(err)
	}
	conn := c.network.Join(bus.NodePermissions(c.realm), bus.Observer{})
	defer func() { _ = conn.Close(context.Background()) }() // the network is in memory
	if err := conn.Publish(c.t.Context(), bus.In(c.realm).Hint(n.ID()), raw); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// restrictable has a server and a caller at the first of two nodes. It returns a call of a capability, and how many
// requests have reached a handler.
func restrictable(t *testing.T, c *cluster) (server, caller *sdk.Agent, call func(capability string) code.Code, handled *atomic.Int64) {
	t.Helper()
	c.grow(2)
	server, caller, handled = c.agent("server"), c.agent("caller"), new(atomic.Int64)
	for _, capability := range []string{"db.read", "process.exec"} { // R0 and R2 by the preset
		if err := sdk.HandleBytes(server, capability, func(context.Context, *sdk.Delivery) ([]byte, error) {
			handled.Add(1)
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	call = func(capability string) code.Code {
		_, err := sdk.CallBytes(t.Context(), caller, sdk.To("server", capability), nil)
		return sdk.CodeOf(err)
	}
	for _, capability := range []string{"db.read", "process.exec"} {
		if got := call(capability); got != "" {
			t.Fatalf("%s before: %s", capability, got)
		}
	}
	return server, caller, call, handled
}

func TestRestrictedAgentsDoWhatIsR0(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		_, caller, call, handled := restrictable(t, c)
		c.nodes[1].tells(true) // another node
		if got := call("process.exec"); got != "" {
			t.Errorf("another node is restricted: %s", got)
		}
		for range 2 {
			c.nodes[0].tells(true)
		}
		before := handled.Load()
		if got := call("process.exec"); got != code.Unreachable {
			t.Errorf("R2: %q", got)
		}
		if got := call("nobody.knows"); got != code.Unreachable {
			t.Errorf("of no known kind: %q", got)
		}
		var refusals []code.Code
		for _, err := range sdk.StreamBytes(t.Context(), caller, sdk.To("server", "process.exec"), nil) {
			refusals = append(refusals, sdk.CodeOf(err))
		}
		if !slices.Equal(refusals, []code.Code{code.Unreachable}) {
			t.Errorf("a stream: %q", refusals)
		}
		if handled.Load() != before {
			t.Error("something was handled")
		}
		if got := call("db.read"); got != "" || handled.Load() != before+1 {
			t.Errorf("R0: %q", got)
		}
		for range 2 {
			c.nodes[0].tells(false)
		}
		if got := call("process.exec"); got != "" {
			t.Errorf("after it: %q", got)
		}
	})
}

// TestRestrictedServerRefuses has a caller that does not know of it, or does not care.
func TestRestrictedServerRefuses(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		_, caller, call, handled := restrictable(t, c)
		c.of(caller).moves(c.nodes[1])
		synctest.Wait()
		if got := call("process.exec"); got != "" {
			t.Fatalf("the honest twin: %q", got)
		}
		c.nodes[0].tells(true)
		before := handled.Load()
		if got := call("process.exec"); got != code.Unreachable || handled.Load() != before {
			t.Errorf("R2: %q", got)
		}
		if got := call("db.read"); got != "" || handled.Load() != before+1 {
			t.Errorf("R0: %q", got)
		}
	})
}

// TestRestrictionEndsWithTheConnection: wherever the agent comes to, a node that is restricted lets nobody in.
func TestRestrictionEndsWithTheConnection(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		server, caller, call, _ := restrictable(t, c)
		c.nodes[0].tells(true)
		if got := call("process.exec"); got != code.Unreachable {
			t.Fatalf("R2: %q", got)
		}
		for _, a := range []*sdk.Agent{server, caller} {
			c.of(a).moves(c.nodes[1])
		}
		synctest.Wait()
		if got := call("process.exec"); got != "" {
			t.Errorf("at the other node: %q", got)
		}
	})
}
