package registrar

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var errNoRecovery = fault.New(fault.Malformed, "registrar: not a roster for recovery").
	WithHint("have one made: conclave cluster recover --data DIR --key FILE")

// Recover puts a roster through the log that the roots alone have signed, because most of the nodes are lost for good.
// A roster that is in force already is passed over. This node signs nothing, so that it does not matter which other
// roster of that number it has signed before.
func (r *Registrar) Recover(ctx context.Context, raw []byte) error {
	r.seats.changing.Lock()
	defer r.seats.changing.Unlock()
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	if !c.Claim.Recovery {
		return errNoRecovery
	}
	a := r.ledger.Authority()
	if c.ID(r.Realm()) == a.Latest() {
		return nil
	}
	if _, err := a.Next(raw); err != nil {
		return err
	}
	now := min(r.nowMilli(), r.ledger.Now()) // log time has stood still since the majority was lost
	command, err := r.command(registry.TypeRoster, registry.PutRoster{Roster: raw}, now)
	if err != nil {
		return err
	}
	answer, err := r.Submit(ctx, command)
	if err != nil {
		return err
	}
	return answer.Err()
}
