package registry

import (
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Answer is what the ledger says to one command. It is remembered until the command expires.
type Answer struct {
	Index   uint64      `cbor:"1,keyasint"`           // of the command's leaf, from 1; the tree's size for a tick without one
	Command wire.Digest `cbor:"2,keyasint"`           // its ID
	Code    fault.Code  `cbor:"3,keyasint,omitempty"` // empty: accepted
	Message string      `cbor:"4,keyasint,omitempty"` // why it was refused, for people
	Result  []byte      `cbor:"5,keyasint,omitempty"` // the encoded result, if accepted
	Time    int64       `cbor:"6,keyasint"`           // log time at which it was applied
}

// Err returns the refusal as an error with its code, or nil.
func (a Answer) Err() error {
	if a.Code == "" {
		return nil
	}
	return fault.New(a.Code, a.Message)
}

// Result decodes the result of an accepted command.
func Result[T any](a Answer) (T, error) {
	var result T
	if err := a.Err(); err != nil {
		return result, err
	}
	err := wire.Decode(a.Result, &result)
	return result, err
}
