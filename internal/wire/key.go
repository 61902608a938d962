package wire

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"filippo.io/edwards25519"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Digest is a SHA-256 digest.
type Digest [32]byte

// String returns d in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is all zeros, which stands for "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText returns the hexadecimal form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (d *Digest) UnmarshalText(text []byte) error {
	v, err := ParseDigest(string(text))
	*d = v
	return err
}

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) || hex.EncodeToString(b) != s {
		return Digest{}, fmt.Errorf("%w: a digest is 64 lower-case hexadecimal digits", ErrMalformed)
	}
	copy(d[:], b)
	return d, nil
}

// Hash returns the SHA-256 digest of b.
func Hash(b []byte) Digest { return sha256.Sum256(b) }

// PublicKey is an Ed25519 public key as RFC 8032 encodes it. Values from outside pass [CheckKey] before they are
// enrolled; [Verify] refuses weak ones anyway.
type PublicKey [32]byte

// Signature is an Ed25519 signature.
type Signature [64]byte

var (
	// ErrBadKey is returned when a public key is not canonical, not on the curve, or not of prime order.
	ErrBadKey = fault.New(fault.BadKey, "wire: weak or non-canonical public key")
	// ErrTooFew is returned when fewer parties than needed have signed.
	ErrTooFew = fault.New(fault.NoQuorum, "wire: too few signatures")
	// ErrBadSignature is returned when a signature does not verify.
	ErrBadSignature = fault.New(fault.BadSignature, "wire: signature does not verify")
)

// Key is a private Ed25519 key that signs statements, and nothing else, through [Sign] and [Cosign]. It is safe for
// concurrent use. The zero value signs nothing.
type Key struct {
	public PublicKey
	// private returns the private key. It is a function, so that no way of printing a Key, or a struct that holds
	// one, prints what it returns.
	private func() crypto.Signer
}

// NewKey makes the key of a 32-byte seed.
func NewKey(seed [32]byte) Key {
	k := ed25519.NewKeyFromSeed(seed[:])
	return Key{public: PublicKey(k[32:]), private: func() crypto.Signer { return k }}
}

// GenerateKey makes a fresh key from random, or from crypto/rand if random is nil.
func GenerateKey(random io.Reader) (Key, error) {
	if random == nil {
		random = rand.Reader
	}
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return Key{}, fmt.Errorf("wire: generate key: %w", err)
	}
	return NewKey(seed), nil
}

// Public returns the public half.
func (k Key) Public() PublicKey { return k.public }

// IsZero reports whether k is the zero value.
func (k Key) IsZero() bool { return k.private == nil }

// Handshake returns the key as TLS and libp2p want it. Their handshakes sign bytes that begin with a context of
// their own (RFC 8446 §4.4.3), which no Sig_structure can begin with.
func (k Key) Handshake() crypto.Signer {
	if k.private == nil {
		return nil
	}
	return k.private()
}

func (k Key) sign(message []byte) (Signature, error) {
	if k.private == nil {
		return Signature{}, fmt.Errorf("wire: sign: %w", ErrBadKey)
	}
	b, err := k.private().Sign(nil, message, crypto.Hash(0))
	if err != nil {
		return Signature{}, fmt.Errorf("wire: sign: %w", err)
	}
	if len(b) != len(Signature{}) {
		return Signature{}, fmt.Errorf("wire: sign: %w", ErrBadSignature)
	}
	return Signature(b), nil
}

// CheckKey refuses, with [ErrBadKey], keys that may not be enrolled: non-canonical encodings, points of small order
// and points outside the prime-order subgroup.
func CheckKey(k PublicKey) error {
	if knownSound(k) {
		return nil
	}
	if !canonical(k) || smallOrder(k) {
		return ErrBadKey
	}
	p, err := new(edwards25519.Point).SetBytes(k[:])
	if err != nil {
		return ErrBadKey
	}
	// p has prime order ℓ exactly if (ℓ-1)·p = -p; ℓ-1 is -1 as a scalar.
	minusOne := new(edwards25519.Scalar).Negate(scalarOne())
	if new(edwards25519.Point).ScalarMult(minusOne, p).Equal(new(edwards25519.Point).Negate(p)) != 1 {
		return ErrBadKey
	}
	keepSound(k)
	return nil
}

func scalarOne() *edwards25519.Scalar {
	one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err) // a constant: cannot happen
	}
	return one
}

// Verify checks an Ed25519 signature by the one strict rule used everywhere: canonical encodings, no small-order key
// or R, S below the group order, no cofactor (RFC 8032 §5.1.7 as crypto/ed25519 does it).
func Verify(k PublicKey, message []byte, s Signature) error {
	r := PublicKey(s[:32])
	if !canonical(k) || smallOrder(k) {
		return ErrBadKey
	}
	if !canonical(r) || smallOrder(r) || !ed25519.Verify(k[:], message, s[:]) {
		return ErrBadSignature
	}
	return nil
}

// canonical reports whether the y coordinate is below p = 2^255-19. (The two encodings with x = 0 and the sign bit
// set are of small order and refused there.)
func canonical(k PublicKey) bool {
	if k[31]&0x7f != 0x7f {
		return true
	}
	for i := 30; i > 0; i-- {
		if k[i] != 0xff {
			return true
		}
	}
	return k[0] < 0xed
}

// smallOrder reports whether k encodes one of the eight points whose order divides 8: their five y coordinates,
// either sign.
func smallOrder(k PublicKey) bool {
	k[31] &= 0x7f
	for _, y := range smallOrderY {
		if k == y {
			return true
		}
	}
	return false
}

var smallOrderY = [...]PublicKey{
	{},
	{0x01},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
}
