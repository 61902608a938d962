package consensus

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// FormatVersion is the version of proposals, ballots and certificates. It is provisional; see spec/README.md.
const FormatVersion = 0

// MaxReason bounds the reason texts of proposals and ballots, in bytes.
const MaxReason = 1024

// Proposal asks that one action be decided. Its ID names the decision.
type Proposal struct {
	Version  uint64      `cbor:"0,keyasint"` // 0
	Proposer identity.ID `cbor:"1,keyasint"`
	Action   Action      `cbor:"2,keyasint"`
	Executor identity.ID `cbor:"3,keyasint"`           // who may consume the certificate
	Store    [16]byte    `cbor:"4,keyasint"`           // the executor's spent store
	Class    Class       `cbor:"5,keyasint,omitempty"` // the least class; raises, never lowers
	Reason   string      `cbor:"6,keyasint,omitempty"` // the proposer's text, untrusted
	Issued   int64       `cbor:"7,keyasint"`           // Unix milliseconds
	Expires  int64       `cbor:"8,keyasint"`           // refused by the registry from then on
	Nonce    [16]byte    `cbor:"9,keyasint"`           // an idempotency key: the same proposal twice is one decision
}

// Kind implements [wire.Statement].
func (Proposal) Kind() wire.Kind { return wire.Proposal }

// Check implements [wire.Statement].
func (p Proposal) Check() error {
	if p.Version != FormatVersion {
		return ErrVersion0
	}
	if err := p.Proposer.Check(); err != nil {
		return err
	}
	if err := p.Executor.Check(); err != nil {
		return err
	}
	if err := p.Action.Check(); err != nil {
		return err
	}
	if p.Proposer.Role() == identity.Node || p.Executor.Role() == identity.Node || p.Class > R3 || len(p.Reason) > MaxReason {
		return fmt.Errorf("%w: proposal's parties, class or reason", wire.ErrMalformed)
	}
	if p.Issued <= 0 || p.Expires <= p.Issued || p.Expires-p.Issued > MaxDeadline {
		return fmt.Errorf("%w: proposal's life", wire.ErrMalformed)
	}
	return nil
}
