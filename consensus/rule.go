package consensus

import (
	"fmt"
	"strings"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Rule is what a decision of one class needs. The zero Rule is invalid: there is no rule that nobody must meet.
type Rule struct {
	Approvals uint64 `cbor:"1,keyasint"`           // distinct voters that must approve, at least 1
	People    uint64 `cbor:"2,keyasint,omitempty"` // of them, people
	Operators uint64 `cbor:"3,keyasint,omitempty"` // distinct operators among the approvers
	Share     uint64 `cbor:"4,keyasint,omitempty"` // per mille of the whole electorate's weight that must approve, after the caps
	Own       bool   `cbor:"5,keyasint,omitempty"` // the proposer's operator may vote (a solo realm)
	Deadline  int64  `cbor:"6,keyasint"`           // ms from opening until silence rejects
	Window    int64  `cbor:"7,keyasint"`           // ms from approval in which it may be consumed

	Families    uint64 `cbor:"8,keyasint,omitempty"`  // distinct model families among the agents that approve
	OperatorCap uint64 `cbor:"9,keyasint,omitempty"`  // per mille of the electorate's weight that one operator's voters count at most; 0: no cap
	FamilyCap   uint64 `cbor:"10,keyasint,omitempty"` // the same for the agents of one model family
	Faults      uint64 `cbor:"11,keyasint,omitempty"` // lying voters to tolerate: of n, (n+Faults)/2+1 must approve, and n is at least 3·Faults+1
	Confidence  uint64 `cbor:"12,keyasint,omitempty"` // per mille: least consensus.confidence, 500 to 1000; 0: not asked for
	Stewards    uint64 `cbor:"13,keyasint,omitempty"` // rejections by L5 agents of so many operators are a veto; 0: never
	Commit      int64  `cbor:"14,keyasint,omitempty"` // ms in which agents commit to their ballots, and as long again to reveal them; 0: they vote openly
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
	case r.Families > r.Approvals-r.People || r.Stewards > r.Approvals || r.Faults > MaxVoters/3:
		return fmt.Errorf("%w: more families, stewards or faults than there are approvals", ErrBadRule)
	case r.OperatorCap > 1000 || r.FamilyCap > 1000:
		return fmt.Errorf("%w: cap above 1000 per mille", ErrBadRule)
	case r.Confidence != 0 && (r.Confidence < 500 || r.Confidence > 1000):
		return fmt.Errorf("%w: confidence is 500 to 1000 per mille", ErrBadRule)
	case r.Commit < 0 || r.Commit > r.Deadline/2:
		return fmt.Errorf("%w: commit and reveal take longer than the deadline", ErrBadRule)
	case r.Deadline < 1 || r.Deadline > MaxDeadline || r.Window < 1 || r.Window > MaxWindow:
		return fmt.Errorf("%w: deadline or window out of range", ErrBadRule)
	}
	return nil
}

// String says in words what the rule needs: all but its deadline and window.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", many(r.Approvals, "approval"))
	add := func(really bool, format string, args ...any) {
		if really {
			fmt.Fprintf(&b, ", "+format, args...)
		}
	}
	add(r.People > 0, "%d by a person", r.People)
	add(r.Operators > 1, "of %d operators", r.Operators)
	add(r.Families > 1, "of %d model families", r.Families)
	add(r.Share > 0, "%s of the electorate's weight", percent(r.Share))
	add(r.OperatorCap > 0, "where one operator counts %s at most", percent(r.OperatorCap))
	add(r.FamilyCap > 0, "where one model family counts %s at most", percent(r.FamilyCap))
	add(r.Faults > 0, "enough in spite of %s", many(r.Faults, "lying voter"))
	add(r.Confidence > 0, "consensus confidence %s", percent(r.Confidence))
	add(r.Stewards > 0, "no rejection by stewards of %s", many(r.Stewards, "operator"))
	add(r.Commit > 0, "agents commit within %d s and then reveal", (r.Commit+999)/1000)
	add(r.Own, "the proposer's own person may approve")
	return b.String()
}

// many returns a number of things in words.
func many(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// percent writes per mille as people read them: 66.7%.
func percent(perMille uint64) string {
	if perMille%10 == 0 {
		return fmt.Sprintf("%d%%", perMille/10)
	}
	return fmt.Sprintf("%d.%d%%", perMille/10, perMille%10)
}

// ErrVersion is returned where a decision's format is not the one that this build speaks.
var ErrVersion = fmt.Errorf("%w: decision formats are v: 1", wire.ErrVersion)
