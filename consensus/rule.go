package consensus

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Rule is what a decision of one class needs. The zero Rule is invalid: there is no rule that nobody must meet.
type Rule struct {
	Approvals uint64 `cbor:"1,keyasint"`           // distinct voters that must approve, at least 1
	People    uint64 `cbor:"2,keyasint,omitempty"` // of them, people
	Operators uint64 `cbor:"3,keyasint,omitempty"` // distinct operators among the approvers
	Share     uint64 `cbor:"4,keyasint,omitempty"` // per mille of the whole electorate's weight that must approve
	Own       bool   `cbor:"5,keyasint,omitempty"` // the proposer's operator may vote (a solo realm)
	Deadline  int64  `cbor:"6,keyasint"`           // ms from opening until silence rejects
	Window    int64  `cbor:"7,keyasint"`           // ms from approval in which it may be consumed
}

// Longest times of a rule, in milliseconds.
const (
	MaxDeadline = 7 * 24 * 60 * 60 * 1000
	MaxWindow   = 24 * 60 * 60 * 1000
)

// ErrBadRule is returned for a rule that nobody need meet, or that nobody can.
var ErrBadRule = fault.New(fault.InvalidInput, "consensus: rule that nobody need meet, or nobody can")

// Check refuses rules without an approval, with more people or operators than approvals, or without times.
func (r Rule) Check() error {
	switch {
	case r.Approvals < 1:
		return fmt.Errorf("%w: approvals must be at least 1", ErrBadRule)
	case r.People > r.Approvals || r.Operators > r.Approvals:
		return fmt.Errorf("%w: more people or operators than approvals", ErrBadRule)
	case r.Share > 1000:
		return fmt.Errorf("%w: share above 1000 per mille", ErrBadRule)
	case r.Deadline < 1 || r.Deadline > MaxDeadline || r.Window < 1 || r.Window > MaxWindow:
		return fmt.Errorf("%w: deadline or window out of range", ErrBadRule)
	}
	return nil
}

// String says in words what the rule needs.
func (r Rule) String() string {
	s := fmt.Sprintf("%d approvals", r.Approvals)
	if r.Approvals == 1 {
		s = "1 approval"
	}
	if r.People > 0 {
		s += fmt.Sprintf(", %d by a person", r.People)
	}
	if r.Operators > 1 {
		s += fmt.Sprintf(", of %d operators", r.Operators)
	}
	if r.Share > 0 {
		s += fmt.Sprintf(", %d‰ of the electorate's weight", r.Share)
	}
	return s
}

// ErrVersion0 is returned where a decision's format is not the provisional one this build speaks.
var ErrVersion0 = fmt.Errorf("%w: decision formats are v: 0", wire.ErrVersion)
