// Package fault gives the errors that leave a process a code from one closed list.
//
// A domain package declares its sentinels with [New]; callers compare with errors.Is and wrap with %w as usual. What
// crosses the wire, an exit status or a test vector is the [Code], never the text. The list is append-only: a code
// keeps its meaning for ever. An error without a code is [Internal].
package fault

import "errors"

// Code names one kind of failure, in lower-case words joined by underscores.
type Code string

// The codes. docs/errors.md says for each what to do.
const (
	Internal      Code = "internal"       // a fault of ours, or of the machine
	Usage         Code = "usage"          // the command line or a parameter is wrong
	Malformed     Code = "malformed"      // bytes that are not the one encoding of a statement
	TooLarge      Code = "too_large"      // over a size limit
	Version       Code = "version"        // a version this build does not speak
	WrongRealm    Code = "wrong_realm"    // made for another realm
	WrongKind     Code = "wrong_kind"     // a statement of another kind
	BadSignature  Code = "bad_signature"  // the signature does not verify
	BadKey        Code = "bad_key"        // a weak or non-canonical public key
	Expired       Code = "expired"        // its time is over
	NotYet        Code = "not_yet"        // issued in the future, beyond the tolerated skew
	Unknown       Code = "unknown"        // a principal, credential or proposal nobody here knows
	Superseded    Code = "superseded"     // an older key, epoch, roster or head than one already seen
	Quarantined   Code = "quarantined"    // the principal is quarantined
	Revoked       Code = "revoked"        // the principal is revoked
	Misaddressed  Code = "misaddressed"   // for another recipient, process or subject
	Replayed      Code = "replayed"       // its counter was used before
	WindowFull    Code = "window_full"    // no room to remember one more sender
	Denied        Code = "denied"         // the rights do not allow it
	NoQuorum      Code = "no_quorum"      // too few valid signatures, ballots or nodes
	Conflict      Code = "conflict"       // compare-and-set: the object changed meanwhile
	Spent         Code = "spent"          // a one-time thing was used before
	Rejected      Code = "rejected"       // a decision ended with no
	Pending       Code = "pending"        // a decision has not ended
	NotFound      Code = "not_found"      // no such object
	NoResponder   Code = "no_responder"   // nobody answers for this target
	Unreachable   Code = "unreachable"    // no connection, or none in time
	InvalidInput  Code = "invalid_input"  // input that its schema or policy refuses
	HandlerFailed Code = "handler_failed" // the other side's handler returned an error
	InUse         Code = "in_use"         // a data directory, port or name another process holds
	LooseMode     Code = "loose_mode"     // a private file that others may read
	DiskFull      Code = "disk_full"      // no room, or a failed write
	Uncertain     Code = "uncertain"      // it is not known whether it took effect
	Rate          Code = "rate"           // too many in too short a time
)

// Error is a failure with a code. Values made by [New] serve as sentinels.
type Error struct {
	Code    Code   // never empty
	Message string // for people; nothing decides on it
	Hint    string // what to do about it, may be empty
	Err     error  // the cause, may be nil
}

// New returns a sentinel with the code and message given.
func New(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// WithHint returns a copy of e that wraps e and tells people what to do.
func (e *Error) WithHint(hint string) *Error {
	return &Error{Code: e.Code, Message: e.Message, Hint: hint, Err: e}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [Error] in err's chain, [Internal] if there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// HintOf returns the first hint in err's tree, depth first as errors.As walks it, or "".
func HintOf(err error) string {
	if e, ok := err.(*Error); ok && e.Hint != "" {
		return e.Hint
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return HintOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if hint := HintOf(part); hint != "" {
				return hint
			}
		}
	}
	return ""
}

// Retryable reports whether the same request may succeed later without a change.
func (c Code) Retryable() bool {
	switch c {
	case Unreachable, NoResponder, Pending, Uncertain, Rate, WindowFull, Conflict:
		return true
	}
	return false
}
