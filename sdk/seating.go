package sdk

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// Cluster implements [admin.Nodes].
func (n lent) Cluster(ctx context.Context) (admin.Cluster, error) {
	var c control.Cluster
	err := n.link.ask(ctx, control.OpCluster, control.Nothing{}, &c)
	out := admin.Cluster{Roster: c.Roster, Feature: c.Feature, Lease: c.Lease}
	copy(out.Latest[:], c.Latest)
	for _, m := range c.Nodes {
		out.Nodes = append(out.Nodes, admin.Machine{
			Node: m.Node, Client: m.Client, Cluster: m.Cluster, State: m.State, Self: m.Self, Size: m.Size, Heard: m.Heard,
			Version: m.Version,
		})
	}
	return out, err
}

// Seat implements [admin.Nodes].
func (n lent) Seat(ctx context.Context, roster []byte) (registry.Answer, error) {
	var out control.Submitted
	err := n.link.ask(ctx, control.OpRoster, control.PutRoster{Roster: roster}, &out)
	return out.Answer, err
}

// Transfer implements [admin.Nodes].
func (n lent) Transfer(ctx context.Context, to identity.ID) error {
	return n.link.ask(ctx, control.OpTransfer, control.Transfer{To: to}, nil)
}
