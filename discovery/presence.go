package discovery

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxPresenceLife is the longest life of a presence: 15 s, in milliseconds.
const MaxPresenceLife = 15 * 1000

// Presence is one process's word that it is there. The process's signing key signs it.
type Presence struct {
	Version    uint64      `cbor:"0,keyasint"` // 1
	Principal  identity.ID `cbor:"1,keyasint"`
	Credential wire.Digest `cbor:"2,keyasint"`           // names the process
	Sealing    []byte      `cbor:"3,keyasint"`           // HPKE public key; its digest stands in the credential
	Serves     []string    `cbor:"4,keyasint,omitempty"` // capabilities, sorted
	Topics     []string    `cbor:"5,keyasint,omitempty"` // topics it publishes on, sorted
	Sequence   uint64      `cbor:"6,keyasint"`           // from 1; the higher one is the newer
	Issued     int64       `cbor:"7,keyasint"`           // Unix milliseconds
	Expires    int64       `cbor:"8,keyasint"`
}

// Kind implements [wire.Statement].
func (Presence) Kind() wire.Kind { return wire.Presence }

// Check implements [wire.Statement].
func (p Presence) Check() error {
	if p.Version != 1 {
		return wire.ErrVersion
	}
	if p.Sequence < 1 || p.Credential.IsZero() || len(p.Sealing) == 0 || len(p.Sealing) > 2048 {
		return fmt.Errorf("%w: presence's sequence, credential or sealing key", wire.ErrMalformed)
	}
	if p.Issued <= 0 || p.Expires <= p.Issued || p.Expires-p.Issued > MaxPresenceLife {
		return fmt.Errorf("%w: presence's life", wire.ErrMalformed)
	}
	if err := identity.CheckCapabilities(p.Topics); err != nil {
		return err
	}
	return identity.CheckCapabilities(p.Serves)
}

// VerifyPresence reads a presence and checks that the credential's signing key has signed it, that its sealing key is
// the credential's, and that it is current at now.
func VerifyPresence(raw []byte, realm wire.Realm, credential wire.Verified[identity.Credential], now int64) (wire.Verified[Presence], error) {
	var none wire.Verified[Presence]
	p, err := wire.Parse[Presence](raw, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	c := credential.Statement()
	if p.Claim.Principal != c.Principal || p.Claim.Credential != credential.ID() ||
		wire.Hash(p.Claim.Sealing) != c.Sealing {
		return none, fmt.Errorf("%w: presence of another credential", wire.ErrMalformed)
	}
	v, err := p.Verify(realm, c.Signing)
	if err != nil {
		return none, err
	}
	if err := identity.CheckTime(p.Claim.Issued, p.Claim.Expires, now); err != nil {
		return none, fmt.Errorf("presence: %w", err)
	}
	return v, nil
}
