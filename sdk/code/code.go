// Package code names the kinds of failure. A code survives the wire: what a handler returns with sdk.Errorf, its caller
// reads with sdk.CodeOf.
//
//	if sdk.CodeOf(err) == code.NoResponder {
//		return retryLater(err)
//	}
//
// docs/errors.md lists every code and says for each what to do.
package code

import "github.com/seed-3e86d5b2/conclave/internal/fault"

// Code names one kind of failure, in lower-case words joined by underscores. The list is append-only.
type Code = fault.Code

// The codes that handlers and callers meet most.
const (
	Denied       = fault.Denied       // the rights do not allow it
	InvalidInput = fault.InvalidInput // input that its schema or policy refuses
	NotFound     = fault.NotFound     // no such object
	NoResponder  = fault.NoResponder  // nobody answers for this target
	Unreachable  = fault.Unreachable  // no connection, or none in time
	Rejected     = fault.Rejected     // a decision ended with no
	Pending      = fault.Pending      // a decision has not ended
	Expired      = fault.Expired      // its time is over
	Spent        = fault.Spent        // a one-time thing was used before
	Uncertain    = fault.Uncertain    // it is not known whether it took effect
	Quarantined  = fault.Quarantined  // the principal is quarantined
	Malformed    = fault.Malformed    // bytes that are not the one encoding of a statement
	TooLarge     = fault.TooLarge     // over a size limit
	Rate         = fault.Rate         // too many in too short a time
	Unknown      = fault.Unknown      // a principal, credential or proposal nobody here knows
	Conflict     = fault.Conflict     // the object changed meanwhile, or the key was used for something else
)
