package registrar

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

var errOperators = fault.New(fault.Denied, "registrar: only an operator may change the cluster").
	WithHint("use an operator's context: --context operator")

// operator refuses callers that are not active operators.
func (r desk) operator(from control.Caller) error {
	m, err := r.ledger.Member(from.Principal)
	if err != nil {
		return err
	}
	if m.ID.Role() != identity.Operator || m.Status != trust.Active {
		return errOperators
	}
	return nil
}

func (r desk) onCluster(context.Context, control.Caller, wire.Raw) (any, error) {
	a := r.ledger.Authority()
	latest := a.Latest()
	out := control.Cluster{
		Roster: a.Number, Latest: latest[:], Feature: r.ledger.Feature(), Lease: r.lease.left().Milliseconds(),
		Nodes: r.config.Cluster.Machines(),
	}
	if r.alone() {
		out.Lease = -1
	}
	return out, nil
}

// onRoster takes a roster that the roots have signed. Whoever hands it in is an operator only so that nobody else keeps
// the nodes busy; what counts are the signatures.
func (r desk) onRoster(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.PutRoster](body)
	if err != nil {
		return nil, err
	}
	if err := r.operator(from); err != nil {
		return nil, err
	}
	answer, err := r.seats.seat(ctx, in.Roster)
	if err != nil {
		return nil, err
	}
	return control.Submitted{Answer: answer}, nil
}

func (r desk) onTransfer(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Transfer](body)
	if err != nil {
		return nil, err
	}
	if err := r.operator(from); err != nil {
		return nil, err
	}
	return control.Nothing{}, r.config.Cluster.Transfer(ctx, in.To)
}
