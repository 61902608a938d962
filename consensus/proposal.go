package consensus

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// FormatVersion is the version of proposals, commitments, ballots and certificates; see spec/README.md.
const FormatVersion = 1

// MaxBeneficiaries bounds who a proposal says would gain from its action.
const MaxBeneficiaries = 16

// MaxReason bounds the reason texts of proposals and ballots, in bytes.
const MaxReason = 1024

// Proposal asks that one action be decided. Its ID names the decision.
type Proposal struct {
	Version  uint64      `cbor:"0,keyasint"` // 1
	Proposer identity.ID `cbor:"1,keyasint"`
	Action   Action      `cbor:"2,keyasint"`
	Executor identity.ID `cbor:"3,keyasint"`           // who may consume the certificate
	Store    [16]byte    `cbor:"4,keyasint"`           // the executor's spent store
	Class    Class       `cbor:"5,keyasint,omitempty"` // the least class; raises, never lowers
	Reason   string      `cbor:"6,keyasint,omitempty"` // the proposer's text, untrusted
	Issued   int64       `cbor:"7,keyasint"`           // Unix milliseconds
	Expires  int64       `cbor:"8,keyasint"`           // refused by the registry from then on
	Nonce    [16]byte    `cbor:"9,keyasint"`           // an idempotency key: the same proposal twice is one decision

	NotBefore     int64         `cbor:"10,keyasint,omitempty"` // log time, Unix ms, before which nobody may act; 0: at once
	Beneficiaries []identity.ID `cbor:"11,keyasint,omitempty"` // who gains from it and so does not vote; sorted, each once
	Permit        *Permit       `cbor:"12,keyasint,omitempty"` // makes it one for a bounded set of actions
	Emergency     bool          `cbor:"13,keyasint,omitempty"` // asks by the policy's emergency rule: break-glass
}

// Kind implements [wire.Statement].
func (Proposal) Kind() wire.Kind { return wire.Proposal }

// Check implements [wire.Statement].
func (p Proposal) Check() error {
	if p.Version != FormatVersion {
		return ErrVersion
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
	if p.NotBefore < 0 || p.NotBefore > p.Issued+MaxDeadline {
		return fmt.Errorf("%w: proposal's not-before is over 7 days away", wire.ErrMalformed)
	}
	if len(p.Beneficiaries) > MaxBeneficiaries {
		return fmt.Errorf("%w: over %d beneficiaries", wire.ErrTooLarge, MaxBeneficiaries)
	}
	for i, id := range p.Beneficiaries {
		if err := id.Check(); err != nil {
			return err
		}
		if i > 0 && p.Beneficiaries[i-1].Compare(id) >= 0 {
			return fmt.Errorf("%w: beneficiaries must be sorted, each once", wire.ErrMalformed)
		}
	}
	if p.Permit != nil {
		return p.checkPermit()
	}
	return nil
}

// Gains reports whether the proposal says that a principal gains from its action.
func (p Proposal) Gains(id identity.ID) bool { return slices.Contains(p.Beneficiaries, id) }
