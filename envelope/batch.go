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
const MaxBatch = 1024

// errBatch is returned when an envelope is not the member of the signed batch that it claims to be.
var errBatch = fault.New(fault.BadSignature, "envelope: not a member of the signed batch")

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

// Bundle is a signed batch of envelopes that go to any destinations, at the sender. Make it with [SealBatch]. It does not
// change and is safe for concurrent use. What goes to one destination travels in less bytes as a [Frame].
type Bundle struct {
	head     []byte // signed Batch
	payloads [][]byte
	ids      []wire.Digest
	sessions []*Key
	tree     *merkle.Tree
}

// SealBatch makes envelopes of the drafts as [Seal] does and signs them together. A draft's Limit bounds its payload;
// the delivered size is what [Bundle.Member] returns. Two drafts may not have one destination and counter. It returns
// drafts' errors as Seal does, and [wire.ErrMalformed] for no draft or more than [MaxBatch].
func SealBatch(p *identity.Process, drafts []Draft, random io.Reader) (*Bundle, error) {
	if len(drafts) < 1 || len(drafts) > MaxBatch {
		return nil, fmt.Errorf("%w: batch of %d drafts", wire.ErrMalformed, len(drafts))
	}
	if err := checkCounters(drafts); err != nil {
		return nil, err
	}
	n := len(drafts)
	b := &Bundle{payloads: make([][]byte, 0, n), ids: make([]wire.Digest, 0, n), sessions: make([]*Key, 0, n)}
	leaves := make([]merkle.Hash, 0, n)
	for i := range drafts {
		leaf, err := b.add(p, &drafts[i], random)
		if err != nil {
			return nil, fmt.Errorf("draft %d: %w", i, err)
		}
		leaves = append(leaves, leaf)
	}
	var err error
	if b.tree, err = merkle.Restore(leaves); err != nil {
		return nil, err
	}
	b.head, err = p.Sign(Batch{
		Version: 1, Credential: p.Credential().ID(), Size: uint64(len(drafts)), Root: b.tree.Root(),
	})
	return b, err
}

// add adds the envelope of one draft and returns its leaf hash.
func (b *Bundle) add(p *identity.Process, draft *Draft, random io.Reader) (merkle.Hash, error) {
	e, secret, err := compose(p, draft, random)
	if err != nil {
		return merkle.Hash{}, err
	}
	payload := e.AppendPayload(make([]byte, 0, 512+len(e.Enc)+len(e.Body)))
	if len(payload) > orDefault(draft.Limit) {
		return merkle.Hash{}, wire.ErrTooLarge
	}
	leaf, id := leafAndID(p.Realm(), payload)
	b.payloads, b.ids = append(b.payloads, payload), append(b.ids, id)
	b.sessions = append(b.sessions, opened(&e, id, secret))
	return leaf, nil
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
func (b *Bundle) ID(index int) wire.Digest { return b.ids[index] }

// Session returns the session that the member at index opens, as [Signed] has it.
func (b *Bundle) Session(index int) *Key { return b.sessions[index] }

// Member returns the form in which the member at index, counted from 0, travels and is proven alone.
func (b *Bundle) Member(index int) ([]byte, error) {
	if index < 0 || index >= len(b.payloads) {
		return nil, fmt.Errorf("%w: member %d of %d", wire.ErrMalformed, index, len(b.payloads))
	}
	return cut(b.head, b.tree, index, b.payloads[index])
}

// cut returns the member form of the payload at index of a tree.
func cut(head []byte, tree *merkle.Tree, index int, payload []byte) ([]byte, error) {
	path, err := tree.Inclusion(uint64(index), tree.Size())
	if err != nil {
		return nil, err
	}
	form := memberForm{Form: formMember, Head: head, Index: uint64(index), Path: path, Payload: payload}
	return form.encode(), nil
}
