package registrar

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var errNoRecovery = fault.New(fault.Malformed, "registrar: not a roster for recovery").
	WithHint("have one made: conclave cluster recover --data DIR --key FILE")

// Recover puts a roster through the log that the roots alone have signed, because most of the nodes are lost for good.
// A roster that is in force already is passed over.
func (r *Registrar) Recover(ctx context.Context, raw []byte) error {
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	if !c.Claim.Recovery {
		return errNoRecovery
	}
	if c.ID(r.Realm()) == r.ledger.Authority().Latest() {
		return nil
	}
	_, err = r.seats.seat(ctx, raw)
	return err
}
