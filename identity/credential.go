package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Times in milliseconds.
const (
	MaxCredentialLife = 24 * 60 * 60 * 1000 // a credential's longest life
	Skew              = 30 * 1000           // how far two honest clocks may differ
)

// Credential is an identity key's statement of the keys that one process uses. Its ID names the process.
type Credential struct {
	Version   uint64         `cbor:"0,keyasint"` // 1
	Principal ID             `cbor:"1,keyasint"`
	Epoch     uint64         `cbor:"2,keyasint"` // refused once the ticket's least epoch is above it
	Connect   wire.PublicKey `cbor:"3,keyasint"` // its TLS client certificate
	Signing   wire.PublicKey `cbor:"4,keyasint"` // its envelopes, batches and presences
	Sealing   wire.Digest    `cbor:"5,keyasint"` // SHA-256 of its HPKE public key
	Issued    int64          `cbor:"6,keyasint"` // Unix milliseconds
	Expires   int64          `cbor:"7,keyasint"` // at most 24 h later
}

// Kind implements [wire.Statement].
func (Credential) Kind() wire.Kind { return wire.Credential }

// Check implements [wire.Statement].
func (c Credential) Check() error {
	if c.Version != 1 {
		return wire.ErrVersion
	}
	if c.Sealing.IsZero() || c.Connect == c.Signing {
		return fmt.Errorf("%w: credential keys missing or equal", wire.ErrMalformed)
	}
	if err := c.Principal.Check(); err != nil {
		return err
	}
	for _, k := range []wire.PublicKey{c.Connect, c.Signing} {
		if err := wire.CheckKey(k); err != nil {
			return err
		}
	}
	return checkSpan(c.Issued, c.Expires, MaxCredentialLife)
}

var (
	// ErrExpired is returned when a statement's time is over, by the receiver's clock and the tolerated skew.
	ErrExpired = fault.New(fault.Expired, "identity: expired")
	// ErrNotYet is returned when a statement was issued in the future, beyond the tolerated skew.
	ErrNotYet = fault.New(fault.NotYet, "identity: issued in the future")
)

func checkSpan(issued, expires, longest int64) error {
	if issued <= 0 || expires <= issued || expires-issued > longest {
		return fmt.Errorf("%w: life of %d ms, at most %d", wire.ErrMalformed, expires-issued, longest)
	}
	return nil
}

// CheckTime refuses what is over or not yet issued at now, all in Unix milliseconds, with [Skew] tolerated.
func CheckTime(issued, expires, now int64) error {
	if now >= expires+Skew {
		return ErrExpired
	}
	if issued > now+Skew {
		return ErrNotYet
	}
	return nil
}

// VerifyCredential reads a credential and checks that it is signed by current, the principal's identity key as the
// registry knows it, and valid at now.
func VerifyCredential(raw []byte, realm wire.Realm, current wire.PublicKey, now int64) (wire.Verified[Credential], error) {
	c, err := wire.Parse[Credential](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[Credential]{}, err
	}
	v, err := c.Verify(realm, current)
	if err != nil {
		return wire.Verified[Credential]{}, err
	}
	if err := CheckTime(c.Claim.Issued, c.Claim.Expires, now); err != nil {
		return wire.Verified[Credential]{}, fmt.Errorf("credential: %w", err)
	}
	return v, nil
}
