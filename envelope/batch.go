package envelope

import (
	"fmt"
	"io"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxBatch is the largest number of envelopes under one signature.
const MaxBatch = 256

var (
	// errBatch is returned when an envelope is not the member of the signed batch that it claims to be.
	errBatch = fault.New(fault.BadSignature, "envelope: not a member of the signed batch")
	// errMixed is returned when the members of a frame do not all go to one destination on one subject, in the order
	// of their counters.
	errMixed = fault.New(fault.Malformed, "envelope: a frame has one destination, one subject and ascending counters")
)

// Batch is the statement that signs several envelopes of one process at once. A leaf is the complete bytes that the
// envelope's own signature would cover ([wire.SigStructure]), hashed with the leaf prefix of RFC 9162 §2.1.1. Order
// and destinations are free; each member carries its own.
type Batch struct {
	Version    uint64      `cbor:"0,keyasint"` // 1
	Credential wire.Digest `cbor:"1,keyasint"` // the members' sender
	Size       uint64      `cbor:"2,keyasint"` // number of leaves, 1 to MaxBatch
	Root       merkle.Hash `cbor:"3,keyasint"`
}

// Kind implements [wire.Statement].
func (Batch) Kind() wire.Kind { return wire.Batch }

// Check implements [wire.Statement].
func (b Batch) Check() error {
	if b.Version != 1 {
		return wire.ErrVersion
	}
	if b.Credential.IsZero() || b.Size < 1 || b.Size > MaxBatch {
		return fmt.Errorf("%w: batch of %d", wire.ErrMalformed, b.Size)
	}
	return nil
}

// Bundle is a signed batch with its members, at the sender. Make it with [SealBatch]. It does not change and is safe
// for concurrent use.
type Bundle struct {
	head      []byte // signed Batch
	envelopes []Envelope
	payloads  [][]byte // their encodings
	digests   digests
}

// SealBatch makes envelopes of the drafts as [Seal] does and signs them together. The sealingKeys belong to the drafts
// by index, nil for topics. A draft's Limit bounds its payload; the delivered size is what [Bundle.Member] or
// [Bundle.Frame] return. Two drafts may not have one destination and counter. It returns drafts' errors as Seal does,
// and [wire.ErrMalformed] for no draft or more than [MaxBatch].
func SealBatch(p *identity.Process, drafts []Draft, sealingKeys [][]byte, random io.Reader) (*Bundle, error) {
	if len(drafts) < 1 || len(drafts) > MaxBatch || len(drafts) != len(sealingKeys) {
		return nil, fmt.Errorf("%w: batch of %d drafts and %d keys", wire.ErrMalformed, len(drafts), len(sealingKeys))
	}
	if err := checkCounters(drafts); err != nil {
		return nil, err
	}
	b := &Bundle{envelopes: make([]Envelope, len(drafts)), payloads: make([][]byte, len(drafts))}
	for i, draft := range drafts {
		var err error
		if b.envelopes[i], err = compose(p, draft, sealingKeys[i], random); err != nil {
			return nil, fmt.Errorf("draft %d: %w", i, err)
		}
		if b.payloads[i], err = wire.Encode(b.envelopes[i]); err != nil {
			return nil, err
		}
		if len(b.payloads[i]) > orDefault(draft.Limit) {
			return nil, fmt.Errorf("draft %d: %w", i, wire.ErrTooLarge)
		}
	}
	b.digests = digest(p.Realm(), b.payloads)
	var err error
	b.head, err = p.Sign(Batch{
		Version: 1, Credential: p.Credential().ID(), Size: uint64(len(drafts)), Root: merkle.Root(b.digests.leaves),
	})
	return b, err
}

func checkCounters(drafts []Draft) error {
	type place struct {
		to      Destination
		counter uint64
	}
	seen := make(map[place]bool, len(drafts))
	for _, draft := range drafts {
		at := place{draft.To, draft.Counter}
		if seen[at] {
			return fmt.Errorf("%w: counter %d twice", wire.ErrMalformed, draft.Counter)
		}
		seen[at] = true
	}
	return nil
}

// Len returns the number of members.
func (b *Bundle) Len() int { return len(b.payloads) }

// ID returns the id of the member at index, counted from 0.
func (b *Bundle) ID(index int) wire.Digest { return b.digests.ids[index] }

// Member returns the form in which the member at index, counted from 0, travels and is proven alone.
func (b *Bundle) Member(index int) ([]byte, error) {
	return cut(b.head, b.payloads, b.digests.leaves, index)
}

// Frame returns the form in which all members travel together, without paths. They must go to one destination on one
// subject, in the order of their counters; else the error has the code malformed.
func (b *Bundle) Frame() ([]byte, error) {
	if err := checkUniform(b.envelopes); err != nil {
		return nil, err
	}
	return wire.Encode(frameForm{Form: formFrame, Head: b.head, Payloads: b.payloads})
}

// digests are the names and leaf hashes of members, in their order.
type digests struct {
	ids    []wire.Digest
	leaves []merkle.Hash
}

func digest(realm wire.Realm, payloads [][]byte) digests {
	d := digests{ids: make([]wire.Digest, len(payloads)), leaves: make([]merkle.Hash, len(payloads))}
	for i, payload := range payloads {
		message := wire.SigStructure(wire.Envelope, realm, payload)
		d.ids[i], d.leaves[i] = wire.Hash(message), merkle.LeafHash(message)
	}
	return d
}

// cut returns the member form of one payload.
func cut(head []byte, payloads [][]byte, leaves []merkle.Hash, index int) ([]byte, error) {
	if index < 0 || index >= len(payloads) {
		return nil, fmt.Errorf("%w: member %d of %d", wire.ErrMalformed, index, len(payloads))
	}
	tree, err := merkle.Restore(leaves)
	if err != nil {
		return nil, err
	}
	path, err := tree.Inclusion(uint64(index), tree.Size())
	if err != nil {
		return nil, err
	}
	return wire.Encode(memberForm{
		Form: formMember, Head: head, Index: uint64(index), Path: path, Payload: payloads[index],
	})
}
