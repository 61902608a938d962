package standing

import (
	"context"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Exchange is what both sides of a call have signed. Each call whose context is that of [Follow] replaces what it holds, so
// it should be used for one call. It is safe for concurrent use; the zero value holds nothing.
type Exchange struct {
	mu    sync.Mutex
	parts Parts
}

// Parts is one call as its caller has it.
type Parts struct {
	Agent    identity.ID `cbor:"1,keyasint"` // who was asked
	Asking   []byte      `cbor:"2,keyasint"` // credential of the process that asked
	Asked    []byte      `cbor:"3,keyasint"` // and of the one that was asked
	Request  Part        `cbor:"4,keyasint"`
	Answer   Part        `cbor:"5,keyasint,omitzero"` // zero if none came
	Answered bool        `cbor:"6,keyasint,omitempty"`
}

// Part is one envelope: as signed, and what its signed digest is of.
type Part struct {
	Envelope []byte `cbor:"1,keyasint"`
	Salt     []byte `cbor:"2,keyasint"`
	Content  []byte `cbor:"3,keyasint"`
}

// Proof is what a call's envelopes prove: both sides have signed it.
type Proof struct {
	Request    wire.Digest // id of the request's envelope
	Result     wire.Digest // id of the answer's; zero for no answer
	Capability string
	Content    []byte // of the request
	Answer     []byte // its content
	Failure    error  // what the handler answered instead, with its code
}

// Keep has the exchange hold what was said. Package sdk calls it.
func (x *Exchange) Keep(p Parts) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parts = p
}

// Parts returns what the exchange holds, and false for nothing: no request has left.
func (x *Exchange) Parts() (Parts, bool) {
	if x == nil {
		return Parts{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.parts, len(x.parts.Request.Envelope) > 0
}

type followKey struct{}

// Follow returns a context in which a call keeps what both sides sign, as evidence for [Outcome.Exchange]. Streams are not
// followed.
func Follow(ctx context.Context) (context.Context, *Exchange) {
	x := new(Exchange)
	return context.WithValue(ctx, followKey{}, x), x
}

// Followed returns the exchange that a call in the context fills, or nil. Package sdk calls it.
func Followed(ctx context.Context) *Exchange {
	x, _ := ctx.Value(followKey{}).(*Exchange)
	return x
}

// unfollowed returns a context whose calls are not kept.
func unfollowed(ctx context.Context) context.Context {
	return context.WithValue(ctx, followKey{}, (*Exchange)(nil))
}
