package wire

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Limits of what [Decode] takes.
const (
	MaxStatement = 60 << 10 // bytes of one signed statement, envelopes apart
	MaxNesting   = 12       // levels of arrays and maps
	MaxItems     = 1 << 16  // elements of one array, pairs of one map
)

var (
	// ErrMalformed is returned when bytes are not the one encoding of what they should be.
	ErrMalformed = fault.New(fault.Malformed, "wire: not the canonical encoding")
	// ErrTooLarge is returned when a statement exceeds its size limit.
	ErrTooLarge = fault.New(fault.TooLarge, "wire: statement too large")
)

// Raw is one encoded CBOR item inside another.
type Raw = cbor.RawMessage

var encoder, decoder = modes()

func modes() (cbor.EncMode, cbor.DecMode) {
	options := cbor.CoreDetEncOptions()
	options.NilContainers = cbor.NilContainerAsEmpty // or null would be a second encoding of "none"
	enc, err := options.EncMode()
	if err != nil {
		panic(err) // options are constants: cannot happen
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   MaxNesting,
		MaxArrayElements:  MaxItems,
		MaxMapPairs:       MaxItems,
		UTF8:              cbor.UTF8RejectInvalid,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		panic(err) // options are constants: cannot happen
	}
	return enc, dec
}

// Encode returns the deterministic CBOR encoding of v (RFC 8949 §4.2.1). Structs use integer labels.
func Encode(v any) ([]byte, error) {
	b, err := encoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	return b, nil
}

// Decode reads data into v, a pointer, and refuses with [ErrMalformed] everything that [Encode] would not have
// written: unknown or repeated labels, indefinite lengths, longer forms, tags, trailing bytes.
func Decode(data []byte, v any) error {
	if err := decoder.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := encoder.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%w: re-encoding differs", ErrMalformed)
	}
	return nil
}
