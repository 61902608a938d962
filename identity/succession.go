package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Succession replaces a principal's identity key. Both the outgoing and the incoming key sign it.
type Succession struct {
	Version   uint64         `cbor:"0,keyasint"` // 1
	Principal ID             `cbor:"1,keyasint"`
	Number    uint64         `cbor:"2,keyasint"` // 1 for the first
	Previous  wire.Digest    `cbor:"3,keyasint"` // id of the succession before; zero for the first
	Old       wire.PublicKey `cbor:"4,keyasint"`
	New       wire.PublicKey `cbor:"5,keyasint"`
	Issued    int64          `cbor:"6,keyasint"` // Unix milliseconds
}

// Kind implements [wire.Statement].
func (Succession) Kind() wire.Kind { return wire.Succession }

// Check implements [wire.Statement].
func (s Succession) Check() error {
	if s.Version != 1 {
		return wire.ErrVersion
	}
	if s.Number < 1 || s.Issued <= 0 || s.Old == s.New || (s.Number == 1) != s.Previous.IsZero() {
		return fmt.Errorf("%w: succession's number, predecessor or keys", wire.ErrMalformed)
	}
	if err := s.Principal.Check(); err != nil {
		return err
	}
	return wire.CheckKey(s.New)
}

// VerifyFormerKey checks that key is the principal's identity key, or once was, by its successions, oldest first. Error:
// a coded one of bad_key if it never was, besides those of [VerifySuccessions].
func VerifyFormerKey(realm wire.Realm, id ID, chain [][]byte, key wire.PublicKey) error {
	for n := range len(chain) + 1 {
		held, err := VerifySuccessions(realm, id, chain[:n])
		if err != nil {
			return err
		}
		if held == key {
			return nil
		}
	}
	return errNeverHeld
}

var errNeverHeld = fault.New(fault.BadKey, "identity: never was this principal's key")

// VerifySuccessions follows a principal's successions, oldest first, from its inception key to its newest key.
func VerifySuccessions(realm wire.Realm, id ID, chain [][]byte) (wire.PublicKey, error) {
	key, previous := id.Key(), wire.Digest{}
	for i, raw := range chain {
		c, err := wire.ParseCosigned[Succession](raw, wire.MaxStatement)
		if err != nil {
			return wire.PublicKey{}, err
		}
		s := c.Claim
		if s.Principal != id || s.Number != uint64(i+1) || s.Previous != previous || s.Old != key {
			return wire.PublicKey{}, fmt.Errorf("%w: succession %d does not follow", wire.ErrMalformed, i+1)
		}
		v, err := c.Verify(realm, 2, []wire.PublicKey{s.Old, s.New})
		if err != nil {
			return wire.PublicKey{}, err
		}
		key, previous = s.New, v.ID()
	}
	return key, nil
}
