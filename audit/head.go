package audit

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Leaf records one applied registry command: which, with what verdict and result.
type Leaf struct {
	Index   uint64      `cbor:"1,keyasint"`           // 1 for the first command; the leaf's place in the tree is one less
	Command wire.Digest `cbor:"2,keyasint"`           // ID of the signed command; hash of its bytes if it did not parse
	Verdict fault.Code  `cbor:"3,keyasint,omitempty"` // empty: accepted; otherwise why it was refused
	Result  wire.Digest `cbor:"4,keyasint"`           // SHA-256 of the encoded result; zero for none
}

// Hash returns the leaf's hash in the tree (RFC 9162 §2.1.1).
func (l Leaf) Hash() merkle.Hash {
	b, err := wire.Encode(l)
	if err != nil {
		panic(err) // fixed-size fields and a string always encode
	}
	return merkle.LeafHash(b)
}

// Head is the root of the tree of the first Size commands.
type Head struct {
	Version uint64      `cbor:"0,keyasint"` // 1
	Roster  uint64      `cbor:"1,keyasint"` // number of the roster whose nodes sign
	Size    uint64      `cbor:"2,keyasint"`
	Root    wire.Digest `cbor:"3,keyasint"`
	Time    int64       `cbor:"4,keyasint"` // log time after the last of them, Unix milliseconds
	State   wire.Digest `cbor:"5,keyasint"` // chained digest of all results, equal on equal replicas
}

// Kind implements [wire.Statement].
func (Head) Kind() wire.Kind { return wire.Head }

// Check implements [wire.Statement].
func (h Head) Check() error {
	if h.Version != 1 {
		return wire.ErrVersion
	}
	if h.Size < 1 || h.Root.IsZero() || h.Time < 0 {
		return fmt.Errorf("%w: head without size or root", wire.ErrMalformed)
	}
	return nil
}

var (
	// ErrOldRoster is returned when a head is signed under another roster than the newest known.
	ErrOldRoster = fault.New(fault.Superseded, "audit: head of another roster")
	// ErrNotIncluded is returned when an inclusion does not lead to the head's root.
	ErrNotIncluded = fault.New(fault.BadSignature, "audit: not included under this head")
)

// VerifyHead reads a head and checks that a majority of the roster's nodes has signed it.
func VerifyHead(raw []byte, a *identity.Authority) (wire.Verified[Head], error) {
	c, err := wire.ParseCosigned[Head](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[Head]{}, err
	}
	if c.Claim.Roster != a.Number {
		return wire.Verified[Head]{}, fmt.Errorf("%w: %d, not %d", ErrOldRoster, c.Claim.Roster, a.Number)
	}
	return c.Verify(a.Realm, a.Majority(), identity.Keys(a.Nodes))
}

// Inclusion shows that a leaf stands under a head.
type Inclusion struct {
	Leaf Leaf          `cbor:"1,keyasint"`
	Path []merkle.Hash `cbor:"2,keyasint,omitempty"` // RFC 9162 §2.1.3, bottom up
}

// Verify checks the path against the head. Error: [ErrNotIncluded].
func (i Inclusion) Verify(h wire.Verified[Head]) error {
	s := h.Statement()
	if h.IsZero() || i.Leaf.Index < 1 || i.Leaf.Index > s.Size {
		return ErrNotIncluded
	}
	if err := merkle.VerifyInclusion(merkle.Hash(s.Root), s.Size, i.Leaf.Index-1, i.Leaf.Hash(), i.Path); err != nil {
		return fmt.Errorf("%w: %w", ErrNotIncluded, err)
	}
	return nil
}

// Shows checks that the leaf stands under the head, was accepted, and has exactly this result.
func (i Inclusion) Shows(h wire.Verified[Head], result any) error {
	if err := i.Verify(h); err != nil {
		return err
	}
	b, err := wire.Encode(result)
	if err != nil {
		return err
	}
	if i.Leaf.Verdict != "" || i.Leaf.Result != wire.Hash(b) {
		return fmt.Errorf("%w: another verdict or result", ErrNotIncluded)
	}
	return nil
}

// Receipt is an inclusion with the head it stands under, as a node hands it out.
type Receipt struct {
	Inclusion Inclusion `cbor:"1,keyasint"`
	Head      []byte    `cbor:"2,keyasint"` // cosigned
}

// Verify checks the head and the inclusion, and that the result is the one given.
func (r Receipt) Verify(a *identity.Authority, result any) (wire.Verified[Head], error) {
	h, err := VerifyHead(r.Head, a)
	if err != nil {
		return wire.Verified[Head]{}, err
	}
	return h, r.Inclusion.Shows(h, result)
}
