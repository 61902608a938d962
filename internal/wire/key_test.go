package wire_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"testing"

	"filippo.io/edwards25519"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// rfc8032 holds the literal vectors of RFC 8032 §7.1.
var rfc8032 = []struct{ name, seed, public, message, signature string }{
	{"TEST 1",
		"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"TEST 2",
		"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		"72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"TEST 3",
		"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		"af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"TEST SHA(abc)",
		"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
		"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
}

func TestRFC8032(t *testing.T) {
	for _, row := range rfc8032 {
		t.Run(row.name, func(t *testing.T) {
			key := wire.NewKey([32]byte(unhex(row.seed)))
			public, message := wire.PublicKey(unhex(row.public)), unhex(row.message)
			signature := wire.Signature(unhex(row.signature))
			if key.Public() != public {
				t.Fatalf("public key %x", key.Public())
			}
			if got := must(key.Handshake().Sign(nil, message, crypto.Hash(0)))(t); !bytes.Equal(got, signature[:]) {
				t.Errorf("signature %x", got)
			}
			wantCode(t, wire.CheckKey(public), "")
			wantCode(t, wire.Verify(public, message, signature), "")
			wantCode(t, wire.Verify(public, append(message, 0), signature), fault.BadSignature)
		})
	}
}

// order is ℓ, the order of the prime subgroup (RFC 8032 §5.1), little-endian.
var order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")

func TestVerifyRefusesTheOtherS(t *testing.T) {
	public, signature := wire.PublicKey(unhex(rfc8032[1].public)), wire.Signature(unhex(rfc8032[1].signature))
	message := unhex(rfc8032[1].message)
	wantCode(t, wire.Verify(public, message, signature), "")
	carry := 0
	for i, b := range order { // S + ℓ satisfies the equation too
		sum := int(signature[32+i]) + int(b) + carry
		signature[32+i], carry = byte(sum), sum>>8
	}
	wantCode(t, wire.Verify(public, message, signature), fault.BadSignature)
}

const (
	ones   = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	zeroes = "000000000000000000000000000000000000000000000000000000000000"
)

// weak are the encodings of the eight points of small order, and encodings that are not canonical.
var weak = []struct{ name, hex string }{
	{"order 1", "01" + zeroes + "00"},
	{"order 1, sign set", "01" + zeroes + "80"},
	{"order 2", "ec" + ones + "7f"},
	{"order 2, sign set", "ec" + ones + "ff"},
	{"order 4", "00" + zeroes + "00"},
	{"order 4, sign set", "00" + zeroes + "80"},
	{"order 8, first", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
	{"order 8, second", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
	{"order 8, third", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
	{"order 8, fourth", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
	{"y = p", "ed" + ones + "7f"},
	{"y = p + 1", "ee" + ones + "7f"},
	{"y = p + 3", "f0" + ones + "7f"},
	{"y = p + 4, sign set", "f1" + ones + "ff"},
	{"y = 2^255 - 1", "ff" + ones + "7f"},
}

func TestWeakKeysAreRefused(t *testing.T) {
	// With the identity as key, (R, S) = (identity, 0) verifies for every message by the plain rule.
	forged := wire.Signature(append(unhex("01"+zeroes+"00"), make([]byte, 32)...))
	if identity := unhex(weak[0].hex); !ed25519.Verify(identity, []byte("any"), forged[:]) {
		t.Fatal("the attack does not work on the plain rule, so the test shows nothing")
	}
	for _, row := range weak {
		t.Run(row.name, func(t *testing.T) {
			k := wire.PublicKey(unhex(row.hex))
			wantCode(t, wire.CheckKey(k), fault.BadKey)
			wantCode(t, wire.Verify(k, []byte("any"), forged), fault.BadKey)
		})
	}
	wantCode(t, wire.CheckKey(keyA.Public()), "")
}

// scalarOf returns the private scalar of an Ed25519 seed (RFC 8032 §5.1.5).
func scalarOf(t *testing.T, seed [32]byte) *edwards25519.Scalar {
	t.Helper()
	h := sha512.Sum512(seed[:])
	return must(edwards25519.NewScalar().SetBytesWithClamping(h[:32]))(t)
}

// challenge returns H(R ‖ A ‖ M) as a scalar.
func challenge(t *testing.T, r, a, message []byte) *edwards25519.Scalar {
	t.Helper()
	h := sha512.Sum512(join(r, a, message))
	return must(edwards25519.NewScalar().SetUniformBytes(h[:]))(t)
}

func TestSmallOrderRIsRefused(t *testing.T) {
	seed, message := [32]byte{7}, []byte("any")
	public := wire.NewKey(seed).Public()
	r := unhex("01" + zeroes + "00") // the identity: then S = k·a satisfies the equation
	s := edwards25519.NewScalar().Multiply(challenge(t, r, public[:], message), scalarOf(t, seed))
	signature := wire.Signature(join(r, s.Bytes()))
	if !ed25519.Verify(public[:], message, signature[:]) {
		t.Fatal("the plain rule refuses it too, so the test shows nothing")
	}
	wantCode(t, wire.Verify(public, message, signature), fault.BadSignature)
	for _, row := range weak {
		copy(signature[:32], unhex(row.hex))
		wantCode(t, wire.Verify(public, message, signature), fault.BadSignature)
	}
}

func TestMixedOrderKeysAreNotEnrolled(t *testing.T) {
	public := keyA.Public()
	p := must(new(edwards25519.Point).SetBytes(public[:]))(t)
	for _, row := range weak[1:10] {
		torsion, err := new(edwards25519.Point).SetBytes(unhex(row.hex))
		if err != nil || torsion.Equal(edwards25519.NewIdentityPoint()) == 1 {
			continue // the sign-set forms of x = 0
		}
		mixed := wire.PublicKey(new(edwards25519.Point).Add(p, torsion).Bytes())
		wantCode(t, wire.CheckKey(mixed), fault.BadKey)
	}
}

func TestKeysOffTheCurveAreNotEnrolled(t *testing.T) {
	off := 0
	for y := range byte(32) {
		k := wire.PublicKey{2 + y}
		if _, err := new(edwards25519.Point).SetBytes(k[:]); err != nil {
			off++
			wantCode(t, wire.CheckKey(k), fault.BadKey)
		}
	}
	if off == 0 {
		t.Fatal("no such key was tried")
	}
}

func TestGenerateKey(t *testing.T) {
	seed := bytes.Repeat([]byte{9}, 32)
	k := must(wire.GenerateKey(bytes.NewReader(seed)))(t)
	if k.Public() != wire.NewKey([32]byte(seed)).Public() || k.IsZero() {
		t.Error("not the key of the bytes read")
	}
	if _, err := wire.GenerateKey(bytes.NewReader(seed[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short source gives %v", err)
	}
	if a, b := must(wire.GenerateKey(nil))(t), must(wire.GenerateKey(nil))(t); a.Public() == b.Public() {
		t.Error("two fresh keys are equal")
	}
	if !(wire.Key{}).IsZero() || (wire.Key{}).Handshake() != nil {
		t.Error("the zero key holds something")
	}
}

func TestPrintingAKeyShowsNoSecret(t *testing.T) {
	seed := [32]byte(bytes.Repeat([]byte{0xab}, 32))
	holder := struct{ K wire.Key }{wire.NewKey(seed)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		got := []byte(fmt.Sprintf(verb, holder))
		for _, secret := range []string{"abababab", "171 171 171 171", "0xab, 0xab, 0xab, 0xab", "\xab\xab\xab\xab"} {
			if bytes.Contains(got, []byte(secret)) {
				t.Errorf("%s shows the seed: %s", verb, got)
			}
		}
	}
}
