package wire

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
)

// MaxCosigners bounds the signatures of one statement.
const MaxCosigners = 64

// Cosignature is one party's signature on a statement that several parties sign.
type Cosignature struct {
	_         struct{} `cbor:",toarray"`
	Key       PublicKey
	Signature Signature
}

type cosigned struct {
	_          struct{} `cbor:",toarray"`
	Protected  []byte
	Payload    []byte
	Signatures []Cosignature
}

// Cosigned is a statement with several signatures, read but not verified. Each of them is exactly the signature of a
// COSE_Sign1 by that key over the same header and payload; they stand sorted by key, each key once.
type Cosigned[T Statement] struct {
	Claim      T // what it says; not to be acted on
	payload    []byte
	signatures []Cosignature
	raw        []byte
	proved     *atomic.Pointer[Realm] // the realm under which all signatures were found good; shared by copies
}

// Cosign returns s signed by all the keys.
func Cosign(realm Realm, s Statement, keys ...Key) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("cosign %s: %w", s.Kind(), err)
	}
	payload, err := Encode(s)
	if err != nil {
		return nil, err
	}
	return assemble(realm, s.Kind(), payload, nil, keys)
}

// AddCosignature returns raw, a cosigned T, with the signatures of keys added. Those that stand there are not
// verified. A key that has signed before replaces its signature.
func AddCosignature[T Statement](realm Realm, raw []byte, keys ...Key) ([]byte, error) {
	c, err := ParseCosigned[T](raw, MaxStatement)
	if err != nil {
		return nil, err
	}
	return assemble(realm, c.Claim.Kind(), c.payload, c.signatures, keys)
}

// MergeCosigned returns raw, a cosigned T, with the signatures added that others bring: the same statement, signed by
// others. No signature is verified, and of a key that several bring the first is kept, so what comes from somebody who
// is not trusted must pass [Cosigned.Verify] before. It refuses with [ErrMalformed] another statement of the kind, and
// more than [MaxCosigners] keys.
func MergeCosigned[T Statement](raw []byte, others ...[]byte) ([]byte, error) {
	c, err := ParseCosigned[T](raw, MaxStatement)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(c.signatures)
	for _, other := range others {
		o, err := ParseCosigned[T](other, MaxStatement)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(o.payload, c.payload) {
			return nil, fmt.Errorf("%w: signatures on another %s", ErrMalformed, c.Claim.Kind())
		}
		for _, s := range o.signatures {
			if at, found := slices.BinarySearchFunc(all, s, compareCosignatures); !found {
				all = slices.Insert(all, at, s)
			}
		}
	}
	if len(all) > MaxCosigners {
		return nil, fmt.Errorf("%w: at most %d signatures", ErrMalformed, MaxCosigners)
	}
	return Encode(cosigned{Protected: protected(c.Claim.Kind()), Payload: c.payload, Signatures: all})
}

func assemble(realm Realm, kind Kind, payload []byte, have []Cosignature, keys []Key) ([]byte, error) {
	message := SigStructure(kind, realm, payload)
	all := slices.Clone(have)
	for _, k := range keys {
		signature, err := k.sign(message)
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(c Cosignature) bool { return c.Key == k.Public() })
		all = append(all, Cosignature{Key: k.Public(), Signature: signature})
	}
	slices.SortFunc(all, compareCosignatures)
	if all == nil {
		all = []Cosignature{}
	}
	return Encode(cosigned{Protected: protected(kind), Payload: payload, Signatures: all})
}

func compareCosignatures(a, b Cosignature) int { return bytes.Compare(a.Key[:], b.Key[:]) }

// ParseCosigned reads the cosigned form of a T, at most limit bytes, and checks all that needs no key. A statement
// that nobody has signed yet parses too; [Cosigned.Verify] refuses it. It keeps raw.
func ParseCosigned[T Statement](raw []byte, limit int) (Cosigned[T], error) {
	var zero Cosigned[T]
	if len(raw) > limit {
		return zero, ErrTooLarge
	}
	var s cosigned
	if err := Decode(raw, &s); err != nil {
		return zero, err
	}
	if s.Signatures == nil || len(s.Signatures) > MaxCosigners {
		return zero, fmt.Errorf("%w: at most %d signatures", ErrMalformed, MaxCosigners)
	}
	for i := 1; i < len(s.Signatures); i++ {
		if compareCosignatures(s.Signatures[i-1], s.Signatures[i]) >= 0 {
			return zero, fmt.Errorf("%w: signatures not sorted by key", ErrMalformed)
		}
	}
	claim, err := decodeClaim[T](s.Protected, s.Payload)
	if err != nil {
		return zero, err
	}
	return Cosigned[T]{
		Claim: claim, payload: s.Payload, signatures: s.Signatures, raw: raw, proved: &atomic.Pointer[Realm]{},
	}, nil
}

// ID returns the name the statement has in the realm.
func (c Cosigned[T]) ID(realm Realm) Digest { return ID(c.Claim.Kind(), realm, c.payload) }

// Keys returns the keys that claim to have signed, sorted.
func (c Cosigned[T]) Keys() []PublicKey {
	keys := make([]PublicKey, len(c.signatures))
	for i, s := range c.signatures {
		keys[i] = s.Key
	}
	return keys
}

// check verifies one signature, unless all of them were found good before.
func (c Cosigned[T]) check(realm Realm, message []byte, s Cosignature) error {
	if c.proved == nil {
		return Verify(s.Key, message, s.Signature)
	}
	if proved := c.proved.Load(); proved != nil && *proved == realm {
		return nil
	}
	return Verify(s.Key, message, s.Signature)
}

// Verify checks every signature, also those of keys the caller does not ask for, and that at least need of the
// distinct keys in among have signed. It refuses need < 1. Errors: [ErrBadSignature], [ErrBadKey], [ErrTooFew].
func (c Cosigned[T]) Verify(realm Realm, need int, among []PublicKey) (Verified[T], error) {
	message := SigStructure(c.Claim.Kind(), realm, c.payload)
	signed := 0
	for _, s := range c.signatures {
		if err := c.check(realm, message, s); err != nil {
			return Verified[T]{}, fmt.Errorf("%s: %w", c.Claim.Kind(), err)
		}
		if slices.Contains(among, s.Key) {
			signed++
		}
	}
	if c.proved != nil { // it was read, not made by hand
		c.proved.Store(&realm)
	}
	if need < 1 || signed < need {
		return Verified[T]{}, fmt.Errorf("%s: %w: %d of %d", c.Claim.Kind(), ErrTooFew, signed, need)
	}
	return Verified[T]{statement: c.Claim, id: Hash(message), raw: c.raw}, nil
}
