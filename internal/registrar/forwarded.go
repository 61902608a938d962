package registrar

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var errForwarded = fault.New(fault.Denied, "registrar: a node hands in one command, with one tick of its own at most")

// Forwarded refuses entries that no honest node would hand in to be appended, so that one node cannot fill the log and
// the tree of all: whatever is appended leaves its leaf. It is asked by the node that leads; Apply judges again. What
// this node has not applied yet may make it refuse an honest entry, which is handed in again then.
func (r *Registrar) Forwarded(from identity.ID, raw []byte) error {
	var e ledger.Entry
	if err := wire.Decode(raw, &e); err != nil {
		return err
	}
	if len(e.Ticks) > 1 || len(e.Ticks)+len(e.Command) == 0 {
		return errForwarded
	}
	for _, t := range e.Ticks {
		c, err := wire.ParseCosigned[registry.Command](t, wire.MaxStatement)
		if err != nil {
			return err
		}
		if c.Claim.Type != registry.TypeTick || c.Claim.Author != from {
			return errForwarded
		}
		if _, err := c.Verify(r.Realm(), 1, []wire.PublicKey{from.Key()}); err != nil {
			return fmt.Errorf("tick: %w", err)
		}
	}
	if len(e.Command) == 0 {
		return nil
	}
	if err := r.gated(e.Command); err != nil {
		return err
	}
	return r.ledger.Admissible(e.Command)
}
