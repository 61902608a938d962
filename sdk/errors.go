package sdk

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// Errorf makes an error with a code of package code. A handler that returns one sends code and text to the caller.
func Errorf(c code.Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &fault.Error{Code: c, Message: err.Error(), Err: err}
}

// CodeOf returns the code of an error, "internal" if it has none and "" for nil.
func CodeOf(err error) code.Code { return fault.CodeOf(err) }

// Digest is a SHA-256 digest: a message's, decision's or statement's name.
type Digest = wire.Digest

// Realm is a realm's id.
type Realm = wire.Realm

// ID is a principal's name: an nkey U… (agent), O… (operator) or N… (node).
type ID = identity.ID

// Level is an autonomy level, L0 to L5.
type Level = identity.Level

var (
	// ErrNoBus is returned when no realm is named and none is selected.
	ErrNoBus = fault.New(fault.NotFound, "sdk: no bus found").
			WithHint(`start one: conclave dev; or enrol: conclave agent enroll TOKEN`)
	// ErrNoResponder is returned when no live, verified process serves what was asked for.
	ErrNoResponder = fault.New(fault.NoResponder, "sdk: nobody answers for this capability").
			WithHint("see who is there: conclave discover")
	// ErrOtherName is returned when [Name] asks for another agent than the context's key belongs to.
	ErrOtherName = fault.New(fault.Denied, "sdk: the context's key is another agent's").
			WithHint("use that agent's own context, or an operator's, which can enrol it")
	// ErrClosed is returned after Close.
	ErrClosed = fault.New(fault.Unreachable, "sdk: the agent is closed")
	// ErrTimeout is returned when no reply came in time. Whether the request was handled is unknown.
	ErrTimeout = fault.New(fault.Uncertain, "sdk: no reply in time; the request may have been handled")
	// ErrRejected is returned by Wait when a decision ended with no, silence included.
	ErrRejected = fault.New(fault.Rejected, "sdk: the decision was rejected")
	// ErrPending is returned by Wait when its context ends before the decision does.
	ErrPending = fault.New(fault.Pending, "sdk: the decision is still open").
			WithHint("wait again later with the same id; it goes on without you")
	// ErrUncertain is returned for an action that was begun by a process that died: it is never run again.
	ErrUncertain = fault.New(fault.Uncertain, "sdk: the action was begun before and may or may not have been done; it is not run again")
	// ErrSpent is returned when the certificate was used before.
	ErrSpent = fault.New(fault.Spent, "sdk: the certificate was used before")
	errBusy  = fault.New(fault.Rate, "sdk: the agent handles too many requests")
	errForm  = fault.New(fault.Malformed, "sdk: content of another form")
)
