package wire_test

import (
	"bytes"
	"crypto"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// FuzzParse holds: what parses re-encodes to the same bytes, whatever they are.
func FuzzParse(f *testing.F) {
	f.Add(must(wire.Sign(keyA, realm, honest))(f))
	f.Add(tagged(join(array(4), bstr(header("note")), noHeader, bstr(payload), bstr(make([]byte, 64)))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.Parse[note](raw, wire.MaxStatement)
		if err != nil {
			return
		}
		body := must(wire.Encode(c.Claim))(t)
		again := sign1(header("note"), noHeader, body, raw[len(raw)-64:])
		if !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x", raw, again)
		}
	})
}

// FuzzParseCosigned holds: what parses re-encodes to the same bytes when nothing is added.
func FuzzParseCosigned(f *testing.F) {
	f.Add(must(wire.Cosign(realm, honest, keyA, keyB))(f))
	f.Add(must(wire.Cosign(realm, honest))(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := wire.ParseCosigned[note](raw, wire.MaxStatement); err != nil {
			return
		}
		if again := must(wire.AddCosignature[note](realm, raw))(t); !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x", raw, again)
		}
	})
}

// FuzzMergeCosigned holds: what parses merges with itself to the same bytes, and brings its keys to the unsigned form.
func FuzzMergeCosigned(f *testing.F) {
	f.Add(must(wire.Cosign(realm, honest, keyA, keyB))(f))
	f.Add(must(wire.Cosign(realm, honest))(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.ParseCosigned[note](raw, wire.MaxStatement)
		if err != nil {
			return
		}
		unsigned := must(wire.Cosign(realm, c.Claim))(t)
		for _, first := range [][]byte{raw, unsigned} {
			if merged := must(wire.MergeCosigned[note](first, raw))(t); !bytes.Equal(merged, raw) {
				t.Fatalf("read   %x\nmerged %x", raw, merged)
			}
		}
	})
}

// FuzzVerify holds: a signature that verifies ceases to when any bit of it or of the message changes.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("message"), uint16(3))
	f.Fuzz(func(t *testing.T, message []byte, bit uint16) {
		signature := wire.Signature(must(keyA.Handshake().Sign(nil, message, crypto.Hash(0)))(t))
		wantCode(t, wire.Verify(keyA.Public(), message, signature), "")
		signature[bit/8%64] ^= 1 << (bit % 8)
		if wire.Verify(keyA.Public(), message, signature) == nil {
			t.Fatalf("bit %d of the signature does not matter", bit%512)
		}
	})
}
