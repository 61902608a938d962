// Package wire is the one way anything is signed: COSE_Sign1 (RFC 9052) in a strict profile over deterministic CBOR
// (RFC 8949 §4.2.1), Ed25519 (COSE algorithm −19, RFC 9864), one encoding a value.
//
// A statement is a struct with integer labels and a [Kind]. [Sign] makes the signed form; [Parse] reads it back into
// a [Claimed], which proves nothing yet; only [Claimed.Verify] makes a [Verified]. Statements that several parties
// sign use [Cosign], [ParseCosigned] and [Cosigned.Verify]. The signed bytes come from [SigStructure] alone, and a
// statement's name is their hash ([ID]), never a hash of the bytes on the wire.
//
// Refused before any key is touched: bytes that re-encode differently, unknown labels, a non-empty unprotected
// header, another algorithm, another kind. Realm and kind are in the signed bytes as external data, so a statement of
// one realm or kind fails as any other.
package wire

import (
	"bytes"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Realm names one deployment: the ID of its genesis. The zero Realm is signed under by a genesis only.
type Realm [32]byte

// String returns r in lower-case hexadecimal.
func (r Realm) String() string { return Digest(r).String() }

// MarshalText returns the hexadecimal form.
func (r Realm) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (r *Realm) UnmarshalText(text []byte) error {
	v, err := ParseRealm(string(text))
	*r = v
	return err
}

// ParseRealm reads 64 lower-case hexadecimal digits.
func ParseRealm(s string) (Realm, error) {
	d, err := ParseDigest(s)
	if err != nil {
		return Realm{}, fmt.Errorf("realm id: %w", err)
	}
	return Realm(d), nil
}

// Statement is something that can be signed: a struct, passed by value, whose exported fields carry integer labels.
type Statement interface {
	// Kind names the statement; it does not depend on the value.
	Kind() Kind
	// Check refuses values that may not be signed or accepted whatever the context: missing fields, bad ranges,
	// wrong version.
	Check() error
}

var (
	// ErrWrongKind is returned when a statement of another kind stands where one was expected.
	ErrWrongKind = fault.New(fault.WrongKind, "wire: statement of another kind")
	// ErrVersion is returned by Check methods for a version that this build does not speak.
	ErrVersion = fault.New(fault.Version, "wire: version not spoken by this build")
)

// algEd25519 is COSE's fully specified Ed25519 (RFC 9864).
const algEd25519 = -19

// tagSign1 is the one-byte encoding of CBOR tag 18, COSE_Sign1.
const tagSign1 = 0xd2

// headerRoom holds the protected header of every kind there is.
const headerRoom = 64

// protected returns the protected header.
func protected(kind Kind) []byte { return appendHeader(make([]byte, 0, headerRoom), kind) }

// appendHeader appends the protected header: the map {1: algEd25519, 16: Typ}.
func appendHeader(dst []byte, kind Kind) []byte {
	dst = AppendInt(append(AppendMapHead(dst, 2), 1), algEd25519)
	dst = appendHead(append(dst, 16), majorText, uint64(len(typBegin)+len(kind)+len(typEnd)))
	return append(append(append(dst, typBegin...), kind...), typEnd...)
}

// appendProtected appends the protected header as a byte string.
func appendProtected(dst []byte, kind Kind) []byte {
	var room [headerRoom]byte
	header := appendHeader(room[:0], kind)
	return append(AppendBytesHead(dst, len(header)), header...)
}

// domain begins all external data.
const domain = "conclave/1"

// External returns the external additional authenticated data: "conclave/1", a zero byte, the kind, a zero byte, the
// realm's 32 bytes.
func External(kind Kind, realm Realm) []byte {
	b := make([]byte, 0, 64)
	b = append(append(b, domain...), 0)
	b = append(append(b, kind...), 0)
	return append(b, realm[:]...)
}

// SigStructure returns the bytes that a signature covers (RFC 9052 §4.4, context "Signature1"). Anybody can check a
// signature over them with an Ed25519 tool.
func SigStructure(kind Kind, realm Realm, payload []byte) []byte {
	dst := make([]byte, 0, sigHead+len(payload))
	return append(AppendSigHead(dst, kind, realm, len(payload)), payload...)
}

// sigHead bounds the bytes of a Sig_structure that stand before its payload, for the kinds there are.
const sigHead = 160

// AppendSigHead appends what stands before the payload, of n bytes, in its [SigStructure].
func AppendSigHead(dst []byte, kind Kind, realm Realm, n int) []byte {
	dst = AppendText(AppendArrayHead(dst, 4), "Signature1")
	dst = appendProtected(dst, kind)
	external := len(domain) + 1 + len(kind) + 1 + len(realm)
	dst = append(AppendBytesHead(dst, external), domain...)
	dst = append(append(append(dst, 0), kind...), 0)
	return AppendBytesHead(append(dst, realm[:]...), n)
}

// ID names a statement: SHA-256 of its [SigStructure].
func ID(kind Kind, realm Realm, payload []byte) Digest {
	return Hash(SigStructure(kind, realm, payload))
}

// IDOf returns the [ID] that s has, or will have, in the realm.
func IDOf(realm Realm, s Statement) (Digest, error) {
	payload, err := encodePayload(s)
	if err != nil {
		return Digest{}, err
	}
	return ID(s.Kind(), realm, payload), nil
}

// A statement on the fast path brings its own codec, which must write and take exactly what [Encode] and [Decode] do.
type (
	payloadAppender interface{ AppendPayload(dst []byte) []byte }
	payloadDecoder  interface{ DecodePayload(payload []byte) error }
)

// payloadRoom holds most payloads that their own codec writes.
const payloadRoom = 1024

func encodePayload(s Statement) ([]byte, error) {
	if a, ok := s.(payloadAppender); ok {
		return a.AppendPayload(make([]byte, 0, payloadRoom)), nil
	}
	return Encode(s)
}

func decodePayload[T Statement](payload []byte, claim *T) error {
	if d, ok := any(claim).(payloadDecoder); ok {
		return d.DecodePayload(payload)
	}
	return Decode(payload, claim)
}

// Sign returns the COSE_Sign1 of s by key.
func Sign(key Key, realm Realm, s Statement) ([]byte, error) {
	raw, _, err := sign(key, realm, s)
	return raw, err
}

// SignNamed is [Sign] and [IDOf] at once.
func SignNamed(key Key, realm Realm, s Statement) ([]byte, Digest, error) {
	raw, message, err := sign(key, realm, s)
	if err != nil {
		return nil, Digest{}, err
	}
	return raw, Hash(message), nil
}

// sign returns the signed form and the bytes that the signature covers.
func sign(key Key, realm Realm, s Statement) (raw, message []byte, err error) {
	if err := s.Check(); err != nil {
		return nil, nil, fmt.Errorf("sign %s: %w", s.Kind(), err)
	}
	payload, err := encodePayload(s)
	if err != nil {
		return nil, nil, err
	}
	message = SigStructure(s.Kind(), realm, payload)
	signature, err := key.sign(message)
	if err != nil {
		return nil, nil, err
	}
	raw = make([]byte, 0, sigHead+len(payload)+len(signature))
	raw = appendProtected(AppendArrayHead(append(raw, tagSign1), 4), s.Kind())
	raw = AppendBytes(AppendMapHead(raw, 0), payload)
	return AppendBytes(raw, signature[:]), message, nil
}

// Claimed is a statement that was read but not verified: anybody may have written it.
type Claimed[T Statement] struct {
	Claim     T // what it says; not to be acted on
	payload   []byte
	signature Signature
	raw       []byte
}

// Verified is a statement whose signatures hold. Only [Claimed.Verify] and [Cosigned.Verify] make one.
type Verified[T Statement] struct {
	statement T
	id        Digest
	raw       []byte
}

// Statement returns what was signed.
func (v Verified[T]) Statement() T { return v.statement }

// ID returns the statement's name.
func (v Verified[T]) ID() Digest { return v.id }

// Raw returns the signed form as it was read. The caller must not change it.
func (v Verified[T]) Raw() []byte { return v.raw }

// IsZero reports whether v is the zero value, which no verification returns.
func (v Verified[T]) IsZero() bool { return v.raw == nil }

// Parse reads the signed form of a T, at most limit bytes, and checks all that needs no key. It keeps raw.
func Parse[T Statement](raw []byte, limit int) (Claimed[T], error) {
	var zero Claimed[T]
	if len(raw) > limit {
		return zero, ErrTooLarge
	}
	if len(raw) == 0 || raw[0] != tagSign1 {
		return zero, fmt.Errorf("%w: not a tagged COSE_Sign1", ErrMalformed)
	}
	c := Claimed[T]{raw: raw}
	r := NewReader(raw[1:])
	if r.Array(4) != 4 {
		r.Refuse("not a COSE_Sign1")
	}
	header := r.Bytes()
	r.Map(0)
	c.payload = r.Bytes()
	r.Fixed(c.signature[:])
	if err := r.End(); err != nil {
		return zero, err
	}
	var err error
	if c.Claim, err = decodeClaim[T](header, c.payload); err != nil {
		return zero, err
	}
	return c, nil
}

func decodeClaim[T Statement](header, payload []byte) (T, error) {
	var claim T
	var room [headerRoom]byte
	if !bytes.Equal(header, appendHeader(room[:0], claim.Kind())) {
		return claim, fmt.Errorf("%w: expected %s", ErrWrongKind, claim.Kind().Typ())
	}
	if err := decodePayload(payload, &claim); err != nil {
		return claim, fmt.Errorf("%s: %w", claim.Kind(), err)
	}
	if err := claim.Check(); err != nil {
		return claim, fmt.Errorf("%s: %w", claim.Kind(), err)
	}
	return claim, nil
}

// ID returns the name the statement has in the realm, if its signature holds.
func (c Claimed[T]) ID(realm Realm) Digest { return ID(c.Claim.Kind(), realm, c.payload) }

// Verify checks the signature by key in the realm. Errors: [ErrBadSignature], [ErrBadKey].
func (c Claimed[T]) Verify(realm Realm, key PublicKey) (Verified[T], error) {
	message := SigStructure(c.Claim.Kind(), realm, c.payload)
	if err := Verify(key, message, c.signature); err != nil {
		return Verified[T]{}, fmt.Errorf("%s: %w", c.Claim.Kind(), err)
	}
	return Verified[T]{statement: c.Claim, id: Hash(message), raw: c.raw}, nil
}
