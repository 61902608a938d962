package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// sign1 assembles a COSE_Sign1 by hand.
func sign1(head, unprotected, body, signature []byte) []byte {
	return tagged(join(array(4), bstr(head), unprotected, bstr(body), bstr(signature)))
}

var noHeader = unhex("a0")

func TestSignMakesTheDocumentedBytes(t *testing.T) {
	got := must(wire.Sign(keyA, realm, honest))(t)
	head := header("note")
	want := sign1(head, noHeader, payload, sign(t, keyA, realm, "note", head, payload))
	if !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
	c := must(wire.Parse[note](got, len(got)))(t)
	v := must(c.Verify(realm, keyA.Public()))(t)
	if v.Statement().Text != "hi" || v.IsZero() || !bytes.Equal(v.Raw(), got) {
		t.Errorf("verified %+v", v.Statement())
	}
	id := wire.Hash(wire.SigStructure("note", realm, payload))
	if byValue := must(wire.IDOf(realm, honest))(t); v.ID() != id || c.ID(realm) != id || byValue != id {
		t.Errorf("ids differ: %s %s %s", v.ID(), c.ID(realm), byValue)
	}
	if other := c.ID(wire.Realm{2}); other == id {
		t.Error("two realms give one id")
	}
	if !(wire.Verified[note]{}).IsZero() {
		t.Error("the zero Verified is not zero")
	}
}

func TestSignRefuses(t *testing.T) {
	_, err := wire.Sign(keyA, realm, note{Version: 2, Text: "hi"})
	wantCode(t, err, fault.Version)
	_, err = wire.Sign(keyA, realm, note{Version: 1})
	wantCode(t, err, fault.Malformed)
	_, err = wire.Sign(wire.Key{}, realm, honest)
	wantCode(t, err, fault.BadKey)
}

func TestParseRefuses(t *testing.T) {
	head := header("note")
	good := sign(t, keyA, realm, "note", head, payload)
	// signed returns a statement whose signature holds over the header and payload as they are.
	signed := func(head, body []byte) []byte {
		return sign1(head, noHeader, body, sign(t, keyA, realm, "note", head, body))
	}
	typ := text("application/conclave-note+cbor")
	for _, row := range []struct {
		name string
		in   []byte
		want fault.Code
	}{
		{"honest", signed(head, payload), ""},
		{"no tag", signed(head, payload)[1:], fault.Malformed},
		{"other tag", append([]byte{0xd1}, signed(head, payload)[1:]...), fault.Malformed},
		{"tag longer than needed", append([]byte{0xd8, 0x12}, signed(head, payload)[1:]...), fault.Malformed},
		{"tag twice", tagged(signed(head, payload)), fault.Malformed},
		{"nothing", nil, fault.Malformed},
		{"trailing byte", append(signed(head, payload), 0), fault.Malformed},
		{"unprotected header not empty", sign1(head, unhex("a1 04 41 00"), payload, good), fault.Malformed},
		{"unprotected header null", sign1(head, unhex("f6"), payload, good), fault.Malformed},
		{"unprotected header an array", sign1(head, unhex("80"), payload, good), fault.Malformed},
		{"signature too short", sign1(head, noHeader, payload, good[:63]), fault.Malformed},
		{"signature too long", sign1(head, noHeader, payload, append(good[:64:64], 0)), fault.Malformed},
		{"three elements", tagged(join(array(3), bstr(head), noHeader, bstr(payload))), fault.Malformed},
		{"payload null", tagged(join(array(4), bstr(head), noHeader, unhex("f6"), bstr(good))), fault.Malformed},
		{"payload with trailing byte", signed(head, append(bytes.Clone(payload), 0)), fault.Malformed},
		{"payload not canonical", signed(head, unhex("a3 00 1801 01 62 6869 02 80")), fault.Malformed},
		{"payload with unknown label", signed(head, unhex("a4 00 01 01 62 6869 02 80 03 00")), fault.Malformed},
		{"payload refused by Check", signed(head, unhex("a3 00 01 01 60 02 80")), fault.Malformed},
		{"other version", signed(head, unhex("a3 00 02 01 62 6869 02 80")), fault.Version},
		{"deprecated EdDSA", signed(join(unhex("a2 01 27 10"), typ), payload), fault.WrongKind},
		{"no alg", signed(join(unhex("a1 10"), typ), payload), fault.WrongKind},
		{"kid added", signed(join(unhex("a3 01 32 04 41 00 10"), typ), payload), fault.WrongKind},
		{"header unsorted", signed(join(unhex("a2 10"), typ, unhex("01 32")), payload), fault.WrongKind},
		{"other typ", signed(header("memo"), payload), fault.WrongKind},
		{"empty header", signed(nil, payload), fault.WrongKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := wire.Parse[note](row.in, wire.MaxStatement)
			wantCode(t, err, row.want)
			if err != nil {
				return
			}
			_, err = c.Verify(realm, keyA.Public())
			wantCode(t, err, "")
		})
	}
}

func TestParseRefusesAboveTheLimit(t *testing.T) {
	raw := must(wire.Sign(keyA, realm, honest))(t)
	_, err := wire.Parse[note](raw, len(raw))
	wantCode(t, err, "")
	_, err = wire.Parse[note](raw, len(raw)-1)
	wantCode(t, err, fault.TooLarge)
}

func TestVerifyRefuses(t *testing.T) {
	head := header("note")
	good := sign(t, keyA, realm, "note", head, payload)
	flipped := func(i int) []byte {
		s := bytes.Clone(good)
		s[i] ^= 1
		return s
	}
	for _, row := range []struct {
		name      string
		signature []byte
		realm     wire.Realm
		key       wire.PublicKey
		want      fault.Code
	}{
		{"honest", good, realm, keyA.Public(), ""},
		{"other realm", good, wire.Realm{2}, keyA.Public(), fault.BadSignature},
		{"signed for another realm", sign(t, keyA, wire.Realm{2}, "note", head, payload), realm, keyA.Public(), fault.BadSignature},
		{"signed as another kind", sign(t, keyA, realm, "memo", head, payload), realm, keyA.Public(), fault.BadSignature},
		{"other key", good, realm, keyB.Public(), fault.BadSignature},
		{"other payload signed", sign(t, keyA, realm, "note", head, unhex("a3 00 01 01 62 6868 02 80")), realm, keyA.Public(), fault.BadSignature},
		{"R flipped", flipped(0), realm, keyA.Public(), fault.BadSignature},
		{"S flipped", flipped(32), realm, keyA.Public(), fault.BadSignature},
		{"zero key", good, realm, wire.PublicKey{}, fault.BadKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := must(wire.Parse[note](sign1(head, noHeader, payload, row.signature), wire.MaxStatement))(t)
			v, err := c.Verify(row.realm, row.key)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with verified %+v", err, v.Statement())
			}
		})
	}
	_, err := wire.Claimed[note]{}.Verify(realm, keyA.Public())
	wantCode(t, err, fault.BadSignature)
}

func TestAStatementIsNoOtherKind(t *testing.T) {
	raw := must(wire.Sign(keyA, realm, honest))(t)
	_, err := wire.Parse[memo](raw, wire.MaxStatement)
	if !errors.Is(err, wire.ErrWrongKind) {
		t.Errorf("got %v", err)
	}
}

func TestKinds(t *testing.T) {
	if got := wire.Credential.Typ(); got != "application/conclave-credential+cbor" {
		t.Errorf("got %s", got)
	}
}
