package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Genesis begins a realm. Its ID, under the zero realm, is the realm's id, so whoever holds the id can check all
// that follows.
type Genesis struct {
	Version   uint64      `cbor:"0,keyasint"` // 1
	Created   int64       `cbor:"1,keyasint"` // Unix milliseconds
	Roots     []ID        `cbor:"2,keyasint"` // root operators, sorted
	Threshold uint64      `cbor:"3,keyasint"` // how many of them must sign what roots sign
	Nodes     []ID        `cbor:"4,keyasint"` // first nodes, sorted
	Policy    wire.Digest `cbor:"5,keyasint"` // SHA-256 of the policy's encoding
	Solo      bool        `cbor:"6,keyasint"` // one person governs, and may approve own agents' actions
	Nonce     [16]byte    `cbor:"7,keyasint"` // makes equal settings two realms
}

// Kind implements [wire.Statement].
func (Genesis) Kind() wire.Kind { return wire.Genesis }

// Check implements [wire.Statement].
func (g Genesis) Check() error {
	if g.Version != 1 {
		return wire.ErrVersion
	}
	if g.Created <= 0 || g.Policy.IsZero() || g.Nonce == [16]byte{} {
		return fmt.Errorf("%w: genesis without time, policy or nonce", wire.ErrMalformed)
	}
	if err := checkThreshold(g.Roots, g.Threshold); err != nil {
		return err
	}
	if g.Solo && len(g.Roots) != 1 {
		return fmt.Errorf("%w: a solo realm has exactly one root", wire.ErrMalformed)
	}
	return checkSorted(g.Nodes, Node)
}

func checkThreshold(roots []ID, threshold uint64) error {
	if err := checkSorted(roots, Operator); err != nil {
		return err
	}
	if threshold < 1 || threshold > uint64(len(roots)) {
		return fmt.Errorf("%w: threshold %d of %d roots", wire.ErrMalformed, threshold, len(roots))
	}
	return nil
}

// VerifyGenesis reads a genesis and checks that it is the realm's and that its own threshold of roots has signed.
func VerifyGenesis(raw []byte, realm wire.Realm) (wire.Verified[Genesis], error) {
	c, err := wire.ParseCosigned[Genesis](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[Genesis]{}, err
	}
	if wire.Realm(c.ID(wire.Realm{})) != realm {
		return wire.Verified[Genesis]{}, ErrWrongRealm
	}
	return c.Verify(wire.Realm{}, int(c.Claim.Threshold), Keys(c.Claim.Roots))
}

// RealmOf returns the realm id that a genesis has, signed or not.
func RealmOf(raw []byte) (wire.Realm, error) {
	c, err := wire.ParseCosigned[Genesis](raw, wire.MaxStatement)
	if err != nil {
		return wire.Realm{}, err
	}
	return wire.Realm(c.ID(wire.Realm{})), nil
}
