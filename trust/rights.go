package trust

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Rights are what one level may do on the bus. The zero value allows nothing. Patterns are those of
// [identity.MatchCapability]: a name, a name followed by ".*", or "*".
type Rights struct {
	Call       []string `cbor:"1,keyasint,omitempty"` // capabilities it may call
	Serve      []string `cbor:"2,keyasint,omitempty"` // capabilities it may serve, if also granted to the agent
	Publish    []string `cbor:"3,keyasint,omitempty"` // topics it may publish on
	Subscribe  []string `cbor:"4,keyasint,omitempty"` // topics it may read
	Rate       uint64   `cbor:"5,keyasint,omitempty"` // messages a minute it may publish
	MaxPayload uint64   `cbor:"6,keyasint,omitempty"` // bytes of one message
	Propose    bool     `cbor:"7,keyasint,omitempty"` // may open decisions
	Weight     uint64   `cbor:"8,keyasint,omitempty"` // its vote's weight; 0 for none
}

// Check refuses malformed patterns and limits out of range.
func (r Rights) Check() error {
	for _, list := range [][]string{r.Call, r.Serve, r.Publish, r.Subscribe} {
		if err := identity.CheckCapabilities(list); err != nil {
			return err
		}
	}
	if r.Rate > 60_000_000 || r.MaxPayload > 1<<20 || r.Weight > 1000 {
		return fmt.Errorf("%w: rate, payload or weight out of range", wire.ErrMalformed)
	}
	return nil
}
