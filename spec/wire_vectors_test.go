package spec_test

import (
	"bytes"
	"crypto/sha512"

	"filippo.io/edwards25519"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// sign1Vectors are failures of the COSE_Sign1 form, shown on a credential; the signature holds in each, over exactly
// the header and payload that stand there, where the name does not say otherwise.
func sign1Vectors() *group {
	g := &group{folder: "sign1", statement: "credential", realm: theRealm(), context: keyContext{public(key(1))}}
	body := encode(honestCredential())
	head := header(wire.Credential)
	sig := signature(key(1), sigStructure(wire.Credential, g.realm, head, body))
	good := sign1(head, none, body, sig)
	// with is a credential with another payload, signed.
	with := func(payload []byte) []byte { return signedBytes(key(1), g.realm, wire.Credential, payload) }
	// under is a credential with another header, signed.
	under := func(head []byte) []byte {
		return sign1(head, none, body, signature(key(1), sigStructure(wire.Credential, g.realm, head, body)))
	}
	typ := wire.Credential.Typ()

	g.accept("ok", good)
	g.refuse("too-large", "size", fault.TooLarge, good, zeros(wire.MaxStatement))
	g.refuse("no-tag", "tag", fault.Malformed, good[1:])
	g.refuse("other-tag", "tag", fault.Malformed, append([]byte{0xd1}, good[1:]...))
	g.refuse("trailing-byte", "item-trailing", fault.Malformed, append(bytes.Clone(good), 0))
	g.refuse("payload-trailing-byte", "trailing", fault.Malformed, with(append(bytes.Clone(body), 0)))
	g.refuse("longer-integer", "re-encoding", fault.Malformed, with(edited(body, "a8 00 01 01 58 21", "a8 00 18 01 01 58 21")))
	g.refuse("longer-label", "re-encoding", fault.Malformed, with(edited(body, "a8 00 01 01 58 21", "a8 18 00 01 01 58 21")))
	g.refuse("longer-length", "re-encoding", fault.Malformed, with(edited(body, "a8 00 01 01 58 21", "a8 00 01 01 59 00 21")))
	g.refuse("labels-unsorted", "re-encoding", fault.Malformed, with(swapped(body)))
	zeroEpoch := encode(changed(honestCredential(), func(c *identity.Credential) { c.Epoch = 0 }))
	g.refuse("label-missing", "re-encoding", fault.Malformed,
		with(edited(edited(zeroEpoch, "02 00 03 58 20", "03 58 20"), "a8 00 01", "a7 00 01")))
	g.refuse("unknown-label", "unknown-label", fault.Malformed, with(append(edited(body, "a8 00 01", "a9 00 01"), 0x08, 0x00)))
	g.refuse("label-twice", "label-twice", fault.Malformed, with(edited(body, "a8 00 01 01", "a9 00 01 00 01 01")))
	g.refuse("indefinite-map", "indefinite-length", fault.Malformed, with(append(edited(body, "a8 00 01", "bf 00 01"), 0xff)))
	g.refuse("tag-inside", "tag-inside", fault.Malformed, with(edited(body, "05 58 20", "05 d8 40 58 20")))
	// form is the COSE_Sign1 of these items.
	form := func(array byte, items ...[]byte) []byte {
		return append([]byte{0xd2, array}, bytes.Join(items, nil)...)
	}
	h, empty, p, s := encode(head), []byte{0xa0}, encode(body), encode(sig)
	g.refuse("array-of-three", "sign1-array", fault.Malformed, form(0x83, h, empty, p, s))
	g.refuse("array-of-five", "sign1-array", fault.Malformed, form(0x85, h, empty, p, s))
	g.refuse("array-in-1-byte", "item-shortest", fault.Malformed, form(0x98, []byte{4}, h, empty, p, s))
	g.refuse("header-length-in-2-bytes", "item-shortest", fault.Malformed, form(0x84, append([]byte{0x59, 0}, h[1:]...), empty, p, s))
	g.refuse("unprotected-indefinite", "item-definite", fault.Malformed, form(0x84, h, []byte{0xbf, 0xff}, p, s))
	g.refuse("unprotected-array", "item-type", fault.Malformed, form(0x84, h, []byte{0x80}, p, s))
	g.refuse("header-text", "item-type", fault.Malformed, form(0x84, append([]byte{h[0] ^ 0x60 ^ 0x40}, h[1:]...), empty, p, s))
	g.refuse("signature-cut-short", "item-cut", fault.Malformed, form(0x84, h, empty, p, s[:len(s)-1]))
	g.refuse("unprotected-header", "unprotected-header", fault.Malformed, sign1(head, map[int]int{4: 1}, body, sig))
	g.refuse("signature-65-bytes", "signature-length", fault.Malformed, sign1(head, none, body, append(bytes.Clone(sig), 0)))
	g.refuse("alg-eddsa", "protected-header", fault.WrongKind, under(encode(map[int]any{1: -8, 16: typ})))
	g.refuse("alg-missing", "protected-header", fault.WrongKind, under(encode(map[int]any{16: typ})))
	g.refuse("typ-missing", "protected-header", fault.WrongKind, under(encode(map[int]any{1: -19})))
	g.refuse("typ-of-ticket", "protected-header", fault.WrongKind, under(header(wire.Ticket)))
	g.refuse("kid-added", "protected-header", fault.WrongKind, under(encode(map[int]any{1: -19, 4: []byte{1}, 16: typ})))
	g.refuse("signature-flipped", "signature", fault.BadSignature, sign1(head, none, body, flipped(sig)))
	g.refuse("signature-s-plus-order", "signature", fault.BadSignature, sign1(head, none, body, plusOrder(sig)))
	g.refuse("other-signer", "signature", fault.BadSignature, signed(key(9), g.realm, honestCredential()))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(1), wire.Realm{1}, honestCredential()))
	g.refuse("signed-as-ticket", "signature", fault.BadSignature,
		sign1(head, none, body, signature(key(1), sigStructure(wire.Ticket, g.realm, head, body))))
	return g
}

// keyVectors are attacks with weak keys and points, on a credential. Each satisfies the plain equation of Ed25519.
func keyVectors() *group {
	g := &group{folder: "keys", statement: "credential", realm: theRealm(), context: keyContext{public(key(1))}}
	body := encode(honestCredential())
	head := header(wire.Credential)
	message := sigStructure(wire.Credential, g.realm, head, body)
	form := func(sig []byte) []byte { return sign1(head, none, body, sig) }
	identityPoint := unhex("01" + zeroBytes30 + "00")
	alias := unhex("ee" + ones30 + "7f") // y = p + 1: the identity, not canonical

	g.accept("ok", form(signature(key(1), message)))
	// To the identity as key, (r·B, r) is a signature of every message.
	one := scalar(append([]byte{1}, make([]byte, 31)...))
	base := new(edwards25519.Point).ScalarBaseMult(one).Bytes()
	universal := append(base, one.Bytes()...)
	g.refuse("small-order-key", "weak-signer", fault.BadKey, form(universal), knowing(keyContext{identityPoint}))
	g.refuse("non-canonical-key", "canonical-signer", fault.BadKey, form(universal), knowing(keyContext{alias}))
	g.refuse("small-order-r", "weak-r", fault.BadSignature, form(withR(1, identityPoint, message)))
	for _, row := range []struct {
		name, check string
		point       []byte
	}{
		{"connect-small-order", "weak-enrolment", identityPoint},
		{"connect-non-canonical", "canonical-enrolment", alias},
		{"connect-mixed-order", "prime-order", mixed(key(2).Public())},
		{"connect-off-curve", "on-curve", unhex("02" + zeroBytes30 + "00")},
	} {
		g.refuse(row.name, row.check, fault.BadKey, signed(key(1), g.realm, changed(honestCredential(),
			func(c *identity.Credential) { c.Connect = wire.PublicKey(row.point) })))
	}
	return g
}

const (
	ones30      = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	zeroBytes30 = "000000000000000000000000000000000000000000000000000000000000"
)

// cosignedVectors are failures of the cosigned form, shown on a succession, which needs both of two keys, and on a
// genesis for what two keys cannot show.
func cosignedVectors() *group {
	s := honestSuccession()
	g := &group{folder: "cosigned", statement: "succession", realm: theRealm(), context: successionContext{Principal: s.Principal}}
	body := encode(s)
	both := pairs(g.realm, wire.Succession, body, []wire.Key{key(1), key(2)})
	third := pairs(g.realm, wire.Succession, body, []wire.Key{key(3)})[0]
	form := func(all ...pair) []byte { return assembled(wire.Succession, body, all) }

	g.accept("ok", form(both...))
	g.accept("extra-valid-signature", form(sorted([]pair{both[0], both[1], third})...))
	g.refuse("too-large", "cosigned-size", fault.TooLarge, form(both...), zeros(wire.MaxStatement))
	g.refuse("unsorted", "cosigner-order", fault.Malformed, form(both[1], both[0]))
	g.refuse("key-twice", "cosigner-order", fault.Malformed, form(both[0], both[0], both[1]))
	g.refuse("too-many", "cosigner-limit", fault.Malformed, cosigned(g.realm, s, keys(1, wire.MaxCosigners+1)...))
	g.refuse("signatures-null", "cosigned-null", fault.Malformed, encode([]any{header(wire.Succession), body, nil}))
	g.refuse("tagged", "tag-inside", fault.Malformed, append([]byte{0xd2}, form(both...)...))
	g.refuse("extra-invalid-signature", "every-signature", fault.BadSignature,
		form(sorted([]pair{both[0], both[1], {third.key, flipped(third.sig)}})...))
	g.refuse("nobody", "quorum", fault.NoQuorum, form())
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, s, key(1), key(2)))
	g.refuse("other-kind", "protected-header", fault.WrongKind,
		encode([]any{header(wire.Roster), body, []any{[]any{both[0].key, both[0].sig}, []any{both[1].key, both[1].sig}}}))
	return g
}

// swapped exchanges the first two entries of an encoded credential.
func swapped(body []byte) []byte {
	const first, second = 1 + 2, 1 + 2 + 1 + 2 + 33 // map header, {0: 1}, {1: 33 bytes}
	out := bytes.Clone(body[:1])
	out = append(out, body[first:second]...)
	out = append(out, body[1:first]...)
	return append(out, body[second:]...)
}

func flipped(sig []byte) []byte {
	b := bytes.Clone(sig)
	b[40] ^= 1
	return b
}

// plusOrder adds the group order to S, which satisfies the same equation.
func plusOrder(sig []byte) []byte {
	order := unhex("edd3f55c1a631258d69cf7a2def9de14" + "00000000000000000000000000000010")
	b, carry := bytes.Clone(sig), 0
	for i, o := range order {
		sum := int(b[32+i]) + int(o) + carry
		b[32+i], carry = byte(sum), sum>>8
	}
	return b
}

func scalar(b []byte) *edwards25519.Scalar {
	s, err := edwards25519.NewScalar().SetCanonicalBytes(b)
	if err != nil {
		panic(err)
	}
	return s
}

// withR is the signature (R, k·a) by key n: valid by the plain equation if R is the identity.
func withR(n byte, r, message []byte) []byte {
	seed := [32]byte{n}
	h := sha512.Sum512(seed[:])
	a, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	k := sha512.Sum512(bytes.Join([][]byte{r, public(key(n)), message}, nil))
	c, err := edwards25519.NewScalar().SetUniformBytes(k[:])
	if err != nil {
		panic(err)
	}
	return append(bytes.Clone(r), edwards25519.NewScalar().Multiply(c, a).Bytes()...)
}

// mixed adds a point of order 8 to k.
func mixed(k wire.PublicKey) []byte {
	p, err := new(edwards25519.Point).SetBytes(k[:])
	if err != nil {
		panic(err)
	}
	eighth, err := new(edwards25519.Point).SetBytes(unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
	if err != nil {
		panic(err)
	}
	return p.Add(p, eighth).Bytes()
}
