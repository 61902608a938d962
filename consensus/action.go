package consensus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Class is how much an action can harm. An action of no known kind is [R3].
type Class uint8

// The classes.
const (
	R0 Class = iota // read, report
	R1              // reversible, in its own scope
	R2              // hard to reverse, or in others' scope
	R3              // irreversible, external, money, safety, or trust policy
)

// String returns "R0" to "R3".
func (c Class) String() string { return fmt.Sprintf("R%d", uint8(c)) }

// ParseClass reads "R0" to "R3".
func ParseClass(s string) (Class, error) {
	if len(s) != 2 || (s[0] != 'R' && s[0] != 'r') || s[1] < '0' || s[1] > '3' {
		return R3, fmt.Errorf("%w: a class is R0 to R3, not %.16q", wire.ErrMalformed, s)
	}
	return Class(s[1] - '0'), nil
}

// Param is one named parameter of an action: a list of texts.
type Param struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Values []string
}

// Action is exactly what shall be done. Two actions are the same if and only if their digests are equal.
type Action struct {
	Kind   string  `cbor:"1,keyasint"`           // a capability-like name: process.exec, db.migrate
	Target string  `cbor:"2,keyasint,omitempty"` // what it is done to
	Params []Param `cbor:"3,keyasint,omitempty"` // sorted by name, each once

	// Amount is how much of its kind the action does, in the kind's own unit: cents, rows, bytes. 0 counts as 1 where the
	// policy classes actions by their sum.
	Amount   uint64 `cbor:"4,keyasint,omitempty"`
	Rollback string `cbor:"5,keyasint,omitempty"` // how it would be undone, for voters; at most [MaxReason] bytes
}

// MaxActionText bounds all texts of an action together, in bytes.
const MaxActionText = 32 << 10

// Check refuses a malformed kind, parameters that are unsorted or doubled, control characters in the kind or target,
// and actions that are too long.
func (a Action) Check() error {
	if err := identity.CheckCapability(a.Kind); err != nil {
		return fmt.Errorf("action kind: %w", err)
	}
	if strings.ContainsFunc(a.Target, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: control character in an action's target", wire.ErrMalformed)
	}
	if len(a.Rollback) > MaxReason {
		return fmt.Errorf("%w: rollback of %d bytes, at most %d", wire.ErrTooLarge, len(a.Rollback), MaxReason)
	}
	size := len(a.Kind) + len(a.Target) + len(a.Rollback)
	for i, p := range a.Params {
		if p.Name == "" || (i > 0 && a.Params[i-1].Name >= p.Name) {
			return fmt.Errorf("%w: parameters must be named and sorted, each once", wire.ErrMalformed)
		}
		size += len(p.Name)
		for _, v := range p.Values {
			size += len(v)
		}
	}
	if size > MaxActionText {
		return fmt.Errorf("%w: action of %d bytes, at most %d", wire.ErrTooLarge, size, MaxActionText)
	}
	return nil
}

// Digest names the action: SHA-256 of its encoding. The action must pass Check.
func (a Action) Digest() wire.Digest {
	b, err := wire.Encode(a)
	if err != nil {
		panic(err) // strings always encode
	}
	return wire.Hash(b)
}

// Values returns the values of the parameter named, or nil.
func (a Action) Values(name string) []string {
	for _, p := range a.Params {
		if p.Name == name {
			return p.Values
		}
	}
	return nil
}

// NewAction returns the action with its parameters sorted.
func NewAction(kind, target string, params map[string][]string) Action {
	a := Action{Kind: kind, Target: target}
	for name, values := range params {
		a.Params = append(a.Params, Param{Name: name, Values: slices.Clone(values)})
	}
	slices.SortFunc(a.Params, func(x, y Param) int { return strings.Compare(x.Name, y.Name) })
	return a
}
