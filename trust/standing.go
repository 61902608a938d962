package trust

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Status says whether a principal takes part. The zero value is none that exists, and allows nothing.
type Status uint8

// The statuses.
const (
	Active      Status = 1
	Quarantined Status = 2 // silent until released
	Revoked     Status = 3 // for ever
)

// String returns the status's word.
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Quarantined:
		return "quarantined"
	case Revoked:
		return "revoked"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

var (
	// ErrQuarantined is returned when the principal is quarantined.
	ErrQuarantined = fault.New(fault.Quarantined, "trust: the principal is quarantined")
	// ErrRevoked is returned when the principal is revoked, or its status is unknown.
	ErrRevoked = fault.New(fault.Revoked, "trust: the principal is revoked")
	// ErrSuperseded is returned when a credential's epoch is below the least one accepted.
	ErrSuperseded = fault.New(fault.Superseded, "trust: superseded key or epoch")
	// ErrDenied is returned when the rights do not allow what was tried.
	ErrDenied = fault.New(fault.Denied, "trust: not allowed")
)

// Check refuses every status but [Active].
func (s Status) Check() error {
	switch s {
	case Active:
		return nil
	case Quarantined:
		return ErrQuarantined
	}
	return ErrRevoked
}

// MaxTicketLife is the longest life of a ticket: 10 minutes, in milliseconds.
const MaxTicketLife = 10 * 60 * 1000

// Ticket is a majority of nodes' word on one principal.
type Ticket struct {
	Version   uint64         `cbor:"0,keyasint"` // 1
	Principal identity.ID    `cbor:"1,keyasint"`
	Name      string         `cbor:"2,keyasint"`
	Operator  identity.ID    `cbor:"3,keyasint"` // who answers for it; an operator names itself, a node nobody
	Status    Status         `cbor:"4,keyasint"`
	Level     identity.Level `cbor:"5,keyasint"`
	Key       wire.PublicKey `cbor:"6,keyasint"` // current identity key
	Epoch     uint64         `cbor:"7,keyasint"` // credentials below it are refused
	Inbox     wire.Digest    `cbor:"8,keyasint"` // inbox statement, zero for none
	Card      wire.Digest    `cbor:"9,keyasint"` // granted card, zero for none
	Serves    []string       `cbor:"10,keyasint,omitempty"`
	Policy    wire.Digest    `cbor:"11,keyasint"`
	Roster    uint64         `cbor:"12,keyasint"`
	Index     uint64         `cbor:"13,keyasint"` // of the last log entry that it reflects
	Issued    int64          `cbor:"14,keyasint"` // Unix milliseconds
	Expires   int64          `cbor:"15,keyasint"`
}

// Kind implements [wire.Statement].
func (Ticket) Kind() wire.Kind { return wire.Ticket }

// Check implements [wire.Statement].
func (t Ticket) Check() error {
	if t.Version != 1 {
		return wire.ErrVersion
	}
	if err := t.Principal.Check(); err != nil {
		return err
	}
	if err := identity.CheckName(t.Name); err != nil {
		return err
	}
	if err := t.Level.Check(); err != nil {
		return err
	}
	if err := identity.CheckCapabilities(t.Serves); err != nil {
		return err
	}
	if err := wire.CheckKey(t.Key); err != nil {
		return err
	}
	if err := t.checkOperator(); err != nil {
		return err
	}
	if t.Status < Active || t.Status > Revoked || t.Policy.IsZero() {
		return fmt.Errorf("%w: ticket's status or policy", wire.ErrMalformed)
	}
	if t.Issued <= 0 || t.Expires <= t.Issued || t.Expires-t.Issued > MaxTicketLife {
		return fmt.Errorf("%w: ticket's life", wire.ErrMalformed)
	}
	return nil
}

// checkOperator refuses an agent without an operator, an operator that answers to another, and a node that answers to
// anybody.
func (t Ticket) checkOperator() error {
	switch role := t.Principal.Role(); {
	case role == identity.Agent && t.Operator.Role() == identity.Operator:
		return t.Operator.Check()
	case role == identity.Operator && t.Operator == t.Principal, role == identity.Node && t.Operator.IsZero():
		return nil
	}
	return fmt.Errorf("%w: ticket's operator", wire.ErrMalformed)
}

// VerifyTicket reads a ticket and checks that a majority of the roster's nodes signed it, that it names that roster,
// and that it is current at now (Unix milliseconds). Its status may be any: see [Ticket.Allow].
func VerifyTicket(raw []byte, a *identity.Authority, now int64) (wire.Verified[Ticket], error) {
	var none wire.Verified[Ticket]
	c, err := wire.ParseCosigned[Ticket](raw, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	if c.Claim.Roster != a.Number {
		return none, fmt.Errorf("ticket of roster %d, not %d: %w", c.Claim.Roster, a.Number, ErrSuperseded)
	}
	v, err := c.Verify(a.Realm, a.Majority(), identity.Keys(a.Nodes))
	if err != nil {
		return none, err
	}
	if err := identity.CheckTime(c.Claim.Issued, c.Claim.Expires, now); err != nil {
		return none, fmt.Errorf("ticket: %w", err)
	}
	return v, nil
}

// Allow refuses principals that are not active, and credentials of another principal or a superseded epoch.
func (t Ticket) Allow(c identity.Credential) error {
	if c.Principal != t.Principal {
		return fmt.Errorf("%w: credential of another principal", ErrDenied)
	}
	if err := t.Status.Check(); err != nil {
		return err
	}
	if c.Epoch < t.Epoch {
		return ErrSuperseded
	}
	return nil
}
