package sdk_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// gate admits the members of a cluster at one node.
type gate struct{ node *played }

// Admit implements [broker.Gate].
func (g gate) Admit(credential []byte, _ wire.PublicKey, _ int64) (broker.Admission, error) {
	c := g.node.cluster
	claimed, err := wire.Parse[identity.Credential](credential, wire.MaxStatement)
	if err != nil {
		return broker.Admission{}, err
	}
	id, who := claimed.ID(c.realm), claimed.Claim.Principal
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[who] == nil {
		return broker.Admission{}, errNobody
	}
	if _, known := c.said[id]; !known {
		c.said[id] = spoken{principal: who, credential: credential}
	}
	rights := c.policy.Rights(identity.Journeyer)
	p := bus.Party{
		Realm: c.realm, Node: g.node.ID(), Principal: who, Process: id, Status: trust.Active, Rights: rights,
	}
	return broker.Admission{
		Principal: who, Process: id, Permissions: p.Permissions(), Rate: rights.Rate + bus.ControlRate, Expires: claimed.Claim.Expires,
	}, nil
}

// AdmitInvited implements [broker.Gate].
func (gate) AdmitInvited([]byte, wire.PublicKey, int64) (broker.Admission, error) {
	return broker.Admission{}, errNobody
}

// brokers starts a broker for each node, with routes between all, and has the nodes answer over them.
func (c *cluster) brokers() []*broker.Broker {
	c.t.Helper()
	var members []sdk.ID
	for _, node := range c.nodes {
		members = append(members, node.ID())
	}
	var list []*broker.Broker
	var routes []broker.Route
	for _, node := range c.nodes {
		b, err := broker.Start(broker.Config{
			Realm: c.realm, Node: node.ID(), Key: node.Key(), Gate: gate{node},
			Cluster: &broker.Cluster{Members: func() []sdk.ID { return members }},
		})
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(b.Close)
		node.at = b.Addr()
		list, routes = append(list, b), append(routes, broker.Route{Node: node.ID(), Address: b.ClusterAddr()})
	}
	for i, b := range list {
		others := append(append([]broker.Route(nil), routes[:i]...), routes[i+1:]...)
		if err := b.Routes(others); err != nil {
			c.t.Fatal(err)
		}
		conn, err := b.Connect(c.t.Context(), bus.Observer{})
		if err != nil {
			c.t.Fatal(err)
		}
		c.nodes[i].serve(conn)
	}
	return list
}

// Two agents that knew one node only, and learned of the others while they ran, go on when that one dies: over real
// brokers and sockets.
func TestAgentsOutliveTheirNode(t *testing.T) {
	c := newCluster(t, 3)
	brokers := c.brokers()
	dial := sdk.Over(func(ctx context.Context, o natsbus.Options) (bus.Conn, error) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 20*time.Millisecond
		return natsbus.Dial(ctx, o)
	})
	alice, bob := c.agent("alice", dial), c.agent("bob", dial)
	bob.Use(middleware.Dedup(middleware.Window{}))
	handle(t, bob, "text.upper", upper)
	alice.UseCalls(middleware.RetryCalls(middleware.Backoff{Attempts: 16, Each: 2 * time.Second, Again: true}))
	mustCall(t, alice, sdk.Any("text.upper"))
	c.grow(3)
	for _, a := range []*sdk.Agent{alice, bob} {
		if err := sdk.Relearn(t.Context(), a); err != nil || sdk.Roster(a) != 1 {
			t.Fatalf("roster %d: %v", sdk.Roster(a), err)
		}
	}
	c.set(func() { c.asked = nil })
	brokers[0].Close()
	if text := mustCall(t, alice, sdk.Any("text.upper")); text != "HELLO" {
		t.Errorf("%q", text)
	}
	if _, err := alice.Who(t.Context(), "bob"); err != nil {
		t.Error(err)
	}
	c.set(func() {
		for _, a := range c.asked {
			if a.op == control.OpWho && a.node == c.nodes[0].ID() {
				t.Error("the dead node was asked")
			}
		}
	})
}
