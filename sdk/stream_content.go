package sdk

import "github.com/seed-3e86d5b2/conclave/internal/wire"

// Content types, signed, by which a receiver knows what belongs to streams before it reads the content.
const (
	streamType = "conclave/stream" // of requests that want a stream
	flowType   = "conclave/flow"   // of requests that steer one; they have no answer
)

// windowContent is how much a reader takes: in a request from the start, in a flow in all, so that the latest word is
// the only one that counts. A sender may send an item as long as it has sent fewer items and fewer bytes than these.
type windowContent struct {
	Items uint64 `cbor:"1,keyasint"`
	Bytes uint64 `cbor:"2,keyasint"` // of items
}

// flowContent steers a stream. Only the process that asked for the stream is heard.
type flowContent struct {
	Stream  wire.Digest   `cbor:"1,keyasint"` // the id of the request
	Granted windowContent `cbor:"2,keyasint"`
	Stop    bool          `cbor:"3,keyasint,omitempty"` // the reader has gone
	Ping    bool          `cbor:"4,keyasint,omitempty"` // asks for a sign of life
}

// What one answer of a stream is.
const (
	itemPart  uint8 = 1
	endPart   uint8 = 2 // the stream is complete
	alivePart uint8 = 3 // nothing new
)

// partContent is one answer of a stream. Faults are those of every request, with the sequence in addition.
type partContent struct {
	Sequence uint64 `cbor:"1,keyasint"` // items before this one
	Part     uint8  `cbor:"2,keyasint"`
	Item     []byte `cbor:"3,keyasint,omitempty"`
}

// brokenStream is why a stream ended early, and after how many items.
type brokenStream struct {
	sequence uint64
	err      error
}

// Error implements error.
func (b *brokenStream) Error() string { return b.err.Error() }

// Unwrap returns what the handler's sequence ended with.
func (b *brokenStream) Unwrap() error { return b.err }
