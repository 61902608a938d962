package consensus

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Verdict is where a decision stood after one registry command, and once approved, when it may be consumed. Its
// digest is the result of a ballot.
type Verdict struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	State    State       `cbor:"2,keyasint"`
	At       int64       `cbor:"3,keyasint"`           // log time, Unix milliseconds
	Until    int64       `cbor:"4,keyasint,omitempty"` // end of the execution window, if approved
}

// Consumption is the registry's answer to an executor that is about to act. Only one says First.
type Consumption struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	Executor identity.ID `cbor:"2,keyasint"`
	Store    [16]byte    `cbor:"3,keyasint"` // the executor's spent store
	First    bool        `cbor:"4,keyasint"`
	At       int64       `cbor:"5,keyasint"` // log time, Unix milliseconds
}

// MaxCertificate bounds an encoded certificate, in bytes.
const MaxCertificate = 1 << 20

// Certificate carries everything that shows a decision to somebody who knows the realm id and nothing else. It is a
// bundle, not a statement: each part is signed by whoever made it. The whole check is internal/proof's.
type Certificate struct {
	Version    uint64     `cbor:"0,keyasint"` // 0
	Realm      wire.Realm `cbor:"1,keyasint"`
	Genesis    []byte     `cbor:"2,keyasint"`            // cosigned
	Rosters    [][]byte   `cbor:"3,keyasint,omitempty"`  // cosigned, oldest first
	Policy     []byte     `cbor:"4,keyasint"`            // the policy's encoding; its digest is in the genesis
	Proposal   []byte     `cbor:"5,keyasint"`            // signed by the proposer
	Opening    Opening    `cbor:"6,keyasint"`            // class, rule, electorate
	Opened     wire.Raw   `cbor:"7,keyasint"`            // audit inclusion of the opening
	Ballots    [][]byte   `cbor:"8,keyasint,omitempty"`  // signed by the voters, those that counted
	Verdict    Verdict    `cbor:"9,keyasint"`            // approved, when, until when
	Decided    wire.Raw   `cbor:"10,keyasint"`           // audit inclusion of the verdict; of the opening where alone
	Head       []byte     `cbor:"11,keyasint"`           // cosigned by a majority of nodes; covers both inclusions
	Enrolments [][]byte   `cbor:"12,keyasint,omitempty"` // of the proposer and the voters that are agents
	Operators  [][]byte   `cbor:"13,keyasint,omitempty"` // commands that made operators of those who are not roots
	Keys       [][]byte   `cbor:"14,keyasint,omitempty"` // successions of everybody named here who has had any
	Levels     [][]byte   `cbor:"15,keyasint,omitempty"` // commands that raised agents above what their tokens gave
}

// ParseCertificate reads a certificate and proves nothing about it.
func ParseCertificate(raw []byte) (Certificate, error) {
	var c Certificate
	if len(raw) > MaxCertificate {
		return c, wire.ErrTooLarge
	}
	if err := wire.Decode(raw, &c); err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	if c.Version != FormatVersion {
		return Certificate{}, ErrVersion0
	}
	return c, nil
}

// Encode returns the certificate's encoding.
func (c Certificate) Encode() ([]byte, error) { return wire.Encode(c) }
