package node

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// overview is what a registrar sees of the cluster.
type overview struct{ *cluster }

var _ registrar.Cluster = overview{}

// Addresses implements [registrar.Cluster].
func (c overview) Addresses() []control.Address {
	var list []control.Address
	for _, id := range c.ruling().Nodes {
		at := c.book.of(id).Client
		if id == c.node.ID() {
			at = c.self().Client
		}
		if at != "" {
			list = append(list, control.Address{Node: id, At: at})
		}
	}
	return list
}

// Machines implements [registrar.Cluster].
func (c overview) Machines() []control.Machine {
	a, leader := c.ruling(), ""
	if l := c.node.live.log.Load(); l != nil {
		leader, _ = l.Leader()
	}
	var list []control.Machine
	for _, id := range a.Members() {
		m, known := control.Machine{Node: id}, c.book.of(id)
		if id == c.node.ID() {
			known = acquaintance{record: c.self(), progress: c.progress(), heard: time.Now()}
			m.Self = true
		}
		m.Client, m.Cluster, m.Version, m.Size = known.Client, known.Cluster, known.Version, known.Size
		if !known.heard.IsZero() {
			m.Heard = time.Now().Add(-time.Since(known.heard)).UnixMilli()
		}
		switch {
		case !recent(known):
			m.State = "silent"
		case slices.Contains(a.Joining, id):
			m.State = "joining"
		case id.String() == leader:
			m.State = "leader"
		default:
			m.State = "follower"
		}
		list = append(list, m)
	}
	return list
}

// Transfer implements [registrar.Cluster]. A node that does not lead asks the one that does.
func (c overview) Transfer(ctx context.Context, to identity.ID) error {
	l := c.node.live.log.Load()
	if l.Leads() {
		return c.handOver(ctx, to)
	}
	leader, known := l.Leader()
	if !known {
		return consensus.ErrNotLeader
	}
	id, err := identity.ParseID(leader)
	if err != nil || id == to {
		return err
	}
	body, err := wire.Encode(to)
	if err != nil {
		return err
	}
	_, err = c.mesh.Call(ctx, id, opTransfer, body)
	return err
}

// handOver has another node lead; none named: any that has caught up.
func (c overview) handOver(ctx context.Context, to identity.ID) error {
	name := ""
	if !to.IsZero() {
		name = to.String()
	}
	if to == c.node.ID() {
		return nil
	}
	return c.node.live.log.Load().Transfer(ctx, name)
}

// Changed implements [registrar.Cluster].
func (c overview) Changed() { c.wake() }

// Diverged implements [registrar.Cluster].
func (c overview) Diverged(heads map[string][]byte) {
	raw, err := wire.Encode(heads)
	if err == nil {
		err = datadir.WritePrivate(filepath.Join(c.node.config.Dir, evidenceFile), raw)
	}
	c.node.config.Logger.Error("nodes have signed different heads of one size", "kept", evidenceFile, "error", err)
}
