package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// peering is what nodes ask each other: greetings, and what only the node that leads can do.
type peering struct{ *cluster }

func (c peering) handlers() map[string]mesh.Handler {
	table := map[string]mesh.Handler{opHello: c.onHello, opAppend: c.onAppend, opBarrier: c.onBarrier, opTransfer: c.onTransfer}
	for _, op := range registrar.PeerOps() {
		table[op] = func(ctx context.Context, from identity.ID, body []byte) ([]byte, error) {
			r := c.node.live.registrar.Load()
			if r == nil {
				return nil, errStarting
			}
			return r.AnswerPeer(ctx, op, from, body)
		}
	}
	for op, answer := range table {
		table[op] = func(ctx context.Context, from identity.ID, body []byte) ([]byte, error) {
			if !slices.Contains(c.members(), from) {
				return nil, errRemoved
			}
			return answer(ctx, from, body)
		}
	}
	return table
}

func (c peering) onHello(_ context.Context, from identity.ID, body []byte) ([]byte, error) {
	if err := c.hear(from, body); err != nil {
		return nil, err
	}
	return wire.Encode(c.greeting())
}

// onAppend appends an entry for a node that does not lead, if an honest one would hand it in. The ledger checks what is
// in it.
func (c peering) onAppend(ctx context.Context, from identity.ID, body []byte) ([]byte, error) {
	l, r := c.node.live.log.Load(), c.node.live.registrar.Load()
	if l == nil || r == nil {
		return nil, errStarting
	}
	if !l.Leads() {
		return nil, consensus.ErrNotLeader
	}
	if err := r.Forwarded(from, body); err != nil {
		return nil, err
	}
	index, err := l.AppendHere(ctx, body)
	if err != nil {
		return nil, err
	}
	return wire.Encode(index)
}

func (c peering) onBarrier(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
	l := c.node.live.log.Load()
	if l == nil {
		return nil, errStarting
	}
	index, err := l.BarrierHere(ctx)
	if err != nil {
		return nil, err
	}
	return wire.Encode(index)
}

// onTransfer hands the leadership over for a node that does not lead, which an operator has asked.
func (c peering) onTransfer(ctx context.Context, _ identity.ID, body []byte) ([]byte, error) {
	var to identity.ID
	if err := wire.Decode(body, &to); err != nil {
		return nil, err
	}
	l := c.node.live.log.Load()
	if l == nil {
		return nil, errStarting
	}
	if !l.Leads() {
		return nil, consensus.ErrNotLeader
	}
	if c.shun.had(to, time.Now()) {
		return nil, errShunned
	}
	return nil, overview(c).handOver(ctx, to)
}

// forward implements raftlog.Config.Forward.
func (c peering) forward(ctx context.Context, leader string, entry []byte) (uint64, error) {
	return c.askLeader(ctx, leader, opAppend, entry)
}

// askBarrier implements raftlog.Config.AskBarrier.
func (c peering) askBarrier(ctx context.Context, leader string) (uint64, error) {
	return c.askLeader(ctx, leader, opBarrier, nil)
}

func (c peering) askLeader(ctx context.Context, leader, op string, body []byte) (uint64, error) {
	id, err := identity.ParseID(leader)
	if err != nil {
		return 0, err
	}
	raw, err := c.mesh.Call(ctx, id, op, body)
	switch fault.CodeOf(err) {
	case "":
	case fault.Unreachable: // nothing was sent, or the peer does not lead
		return 0, fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
	case fault.TooLarge:
		return 0, fmt.Errorf("%w: %w", consensus.ErrTooLarge, err)
	default:
		return 0, err
	}
	var index uint64
	return index, wire.Decode(raw, &index)
}
