package wire_test

import (
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// note is the statement that these tests sign.
type note struct {
	Version uint64   `cbor:"0,keyasint"`
	Text    string   `cbor:"1,keyasint"`
	Tags    []string `cbor:"2,keyasint"`
}

func (note) Kind() wire.Kind { return "note" }

func (n note) Check() error {
	if n.Version != 1 {
		return wire.ErrVersion
	}
	if n.Text == "" {
		return fmt.Errorf("%w: empty note", wire.ErrMalformed)
	}
	return nil
}

// memo has the same fields and another kind.
type memo struct {
	Version uint64   `cbor:"0,keyasint"`
	Text    string   `cbor:"1,keyasint"`
	Tags    []string `cbor:"2,keyasint"`
}

func (memo) Kind() wire.Kind { return "memo" }
func (memo) Check() error    { return nil }

var (
	realm   = wire.Realm{1}
	honest  = note{Version: 1, Text: "hi"}
	keyA    = wire.NewKey([32]byte{'a'})
	keyB    = wire.NewKey([32]byte{'b'})
	keyC    = wire.NewKey([32]byte{'c'})
	payload = unhex("a3 00 01 01 62 6869 02 80") // honest, encoded by hand
)

// header is the protected header {1: -19, 16: typ} of the kind, encoded by hand.
func header(kind string) []byte {
	return join(unhex("a2 01 32 10"), text("application/conclave-"+kind+"+cbor"))
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// item is a CBOR string of the major type (0x40 bytes, 0x60 text) in its shortest form, up to 65,535 bytes.
func item(major byte, b []byte) []byte {
	switch n := len(b); {
	case n < 24:
		return join([]byte{major | byte(n)}, b)
	case n < 256:
		return join([]byte{major | 24, byte(n)}, b)
	default:
		return join([]byte{major | 25}, binary.BigEndian.AppendUint16(nil, uint16(n)), b)
	}
}

func text(s string) []byte   { return item(0x60, []byte(s)) }
func bstr(b []byte) []byte   { return item(0x40, b) }
func array(n byte) []byte    { return []byte{0x80 | n} }
func tagged(b []byte) []byte { return join([]byte{0xd2}, b) }

// sign returns the Ed25519 signature by key of the bytes that a conclave signature covers, built by hand.
func sign(t testing.TB, key wire.Key, r wire.Realm, kind string, head, body []byte) []byte {
	t.Helper()
	external := join([]byte("conclave/1\x00"+kind+"\x00"), r[:])
	message := join(array(4), text("Signature1"), bstr(head), bstr(external), bstr(body))
	s, err := key.Handshake().Sign(nil, message, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantCode(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
