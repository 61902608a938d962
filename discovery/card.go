package discovery

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxCard bounds a signed card, in bytes.
const MaxCard = 8 << 10

// Capability is one thing an agent can be asked to do.
type Capability struct {
	Name        string `cbor:"1,keyasint" json:"name"`                              // see [identity.CheckCapability]
	Description string `cbor:"2,keyasint,omitempty" json:"description,omitempty"`   // the agent's own words, untrusted
	Input       string `cbor:"3,keyasint,omitempty" json:"input_schema,omitempty"`  // JSON Schema, or empty
	Output      string `cbor:"4,keyasint,omitempty" json:"output_schema,omitempty"` // JSON Schema, or empty
}

// Card is an agent's statement of its capabilities. A card with a higher sequence replaces the one before.
type Card struct {
	Version      uint64       `cbor:"0,keyasint"` // 1
	Agent        identity.ID  `cbor:"1,keyasint"`
	Sequence     uint64       `cbor:"2,keyasint"`           // from 1
	Capabilities []Capability `cbor:"3,keyasint,omitempty"` // sorted by name
	Issued       int64        `cbor:"4,keyasint"`           // Unix milliseconds
}

// Kind implements [wire.Statement].
func (Card) Kind() wire.Kind { return wire.Card }

// Check implements [wire.Statement].
func (c Card) Check() error {
	if c.Version != 1 {
		return wire.ErrVersion
	}
	if c.Agent.Role() != identity.Agent || c.Sequence < 1 || c.Issued <= 0 || len(c.Capabilities) > 64 {
		return fmt.Errorf("%w: card's agent, sequence, time or length", wire.ErrMalformed)
	}
	for i, k := range c.Capabilities {
		if i > 0 && c.Capabilities[i-1].Name >= k.Name {
			return fmt.Errorf("%w: capabilities must be sorted, each once", wire.ErrMalformed)
		}
		if err := identity.CheckCapability(k.Name); err != nil {
			return err
		}
	}
	return nil
}

// Names returns the capabilities' names.
func (c Card) Names() []string {
	names := make([]string, len(c.Capabilities))
	for i, k := range c.Capabilities {
		names[i] = k.Name
	}
	return names
}

// VerifyCard reads a card and checks that its agent's current identity key has signed it.
func VerifyCard(raw []byte, realm wire.Realm, agent identity.ID, key wire.PublicKey) (wire.Verified[Card], error) {
	c, err := wire.Parse[Card](raw, MaxCard)
	if err != nil {
		return wire.Verified[Card]{}, err
	}
	if c.Claim.Agent != agent {
		return wire.Verified[Card]{}, fmt.Errorf("%w: card of another agent", wire.ErrMalformed)
	}
	return c.Verify(realm, key)
}
