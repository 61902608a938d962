package registrar

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// ErrRestricted is returned for what a node without a lease does not do for those that it lets go on with what is R0.
var ErrRestricted = fault.New(fault.Unreachable,
	"registrar: this node is cut off from the majority; it decides nothing and lets in nobody").
	WithHint("connect to another node; see which are up: conclave cluster members")

// without returns how the door is to be where this node has no lease. Only a node that had one, and that counts as far as
// it knows, lets those go on who are connected, if the policy says so; a door that was shut stays so.
func (r timekeeper) without(was doorway) doorway {
	if was == shut || !r.lease.begun() || !r.counts() || r.Err() != nil || !r.ledger.Policy().Lease.Restrict {
		return shut
	}
	return restricted
}

// undecided are the requests that are answered without a lease too, to those who may go on then: none of them decides
// anything, and nothing new is signed for them.
var undecided = map[control.Op]bool{
	control.OpWho: true, control.OpSender: true, control.OpAnnounce: true, control.OpFind: true,
	control.OpMembers: true, control.OpStatus: true, control.OpCluster: true,
	control.OpStanding: true, control.OpRanking: true,
}

// leased answers as long as this node may act on what it knows.
func (r desk) leased(answer control.Handler) control.Handler {
	return func(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
		if r.mayServe() != nil {
			return nil, ErrRestricted
		}
		return answer(ctx, from, body)
	}
}
