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
	From     int64       `cbor:"5,keyasint,omitempty"` // its begin, if approved: At, or the proposal's not-before if that is later
}

// NewVerdict returns where a decision stands at a log time. What is approved may be done from then, or from the
// proposal's not-before, for the rule's window; what is permitted until the permit ends.
func NewVerdict(p Proposal, o Opening, state State, at int64) Verdict {
	v := Verdict{Proposal: o.Proposal, State: state, At: at}
	if state != Approved {
		return v
	}
	v.From = max(at, p.NotBefore)
	v.Until = v.From + o.Rule.Window
	if p.Permit != nil {
		v.Until = p.Permit.Until
	}
	return v
}

// Consumption is the registry's answer to an executor that is about to act. No two of one decision have the same Use.
type Consumption struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	Executor identity.ID `cbor:"2,keyasint"`
	Store    [16]byte    `cbor:"3,keyasint"` // the executor's spent store
	Use      uint64      `cbor:"4,keyasint"` // 1; of a permit, which of its uses
	At       int64       `cbor:"5,keyasint"` // log time, Unix milliseconds
	Action   wire.Digest `cbor:"6,keyasint"` // what may be done; of a permit, this use's action
}

// MaxCertificate bounds an encoded certificate, in bytes.
const MaxCertificate = 1 << 20

// Certificate carries everything that shows a decision to somebody who knows the realm id and nothing else. It is a
// bundle, not a statement: each part is signed by whoever made it. The whole check is internal/proof's.
type Certificate struct {
	Version    uint64     `cbor:"0,keyasint"` // 1
	Realm      wire.Realm `cbor:"1,keyasint"`
	Genesis    []byte     `cbor:"2,keyasint"`            // cosigned
	Rosters    [][]byte   `cbor:"3,keyasint,omitempty"`  // cosigned, oldest first
	Policy     []byte     `cbor:"4,keyasint"`            // the encoding of the policy in force at the opening
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
	Policies   [][]byte   `cbor:"16,keyasint,omitempty"` // commands that replaced the policy since the genesis, oldest first
	Before     []byte     `cbor:"17,keyasint,omitempty"` // the encoding of the genesis's policy, if Policies has any
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
		return Certificate{}, ErrVersion
	}
	return c, nil
}

// Encode returns the certificate's encoding.
func (c Certificate) Encode() ([]byte, error) { return wire.Encode(c) }
