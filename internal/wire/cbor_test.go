package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

type sample struct {
	Small uint8           `cbor:"0,keyasint"`
	Wide  int64           `cbor:"1,keyasint"`
	Bytes []byte          `cbor:"2,keyasint"`
	Fixed [4]byte         `cbor:"3,keyasint"`
	List  []string        `cbor:"4,keyasint"`
	Maybe string          `cbor:"5,keyasint,omitempty"`
	Map   map[int64]uint8 `cbor:"-7,keyasint,omitempty"`
}

func TestDecodeTakesOnlyTheCanonicalEncoding(t *testing.T) {
	// {0: 1, 1: -2, 2: h'03', 3: h'04040404', 4: ["a"]}
	const good = "a5 0001 0121 024103 034404040404 048161 61"
	for _, row := range []struct {
		name, hex string
		want      fault.Code
	}{
		{"honest", good, ""},
		{"honest with optional field", "a6 0001 0121 024103 034404040404 04816161 056162", ""},
		{"honest with negative label", "a6 0001 0121 024103 034404040404 04816161 26a10506", ""},
		{"number longer than needed", "a5 001801 0121 024103 034404040404 04816161", fault.Malformed},
		{"label longer than needed", "a5 180001 0121 024103 034404040404 04816161", fault.Malformed},
		{"string length longer than needed", "a5 0001 0121 02580103 034404040404 04816161", fault.Malformed},
		{"map length longer than needed", "b805 0001 0121 024103 034404040404 04816161", fault.Malformed},
		{"unknown label", "a6 0001 0121 024103 034404040404 04816161 0601", fault.Malformed},
		{"text label", "a6 0001 0121 024103 034404040404 04816161 613001", fault.Malformed},
		{"label twice", "a6 0001 0001 0121 024103 034404040404 04816161", fault.Malformed},
		{"labels unsorted", "a5 0121 0001 024103 034404040404 04816161", fault.Malformed},
		{"label missing", "a4 0001 0121 024103 034404040404", fault.Malformed},
		{"indefinite map", "bf 0001 0121 024103 034404040404 04816161 ff", fault.Malformed},
		{"indefinite array", "a5 0001 0121 024103 034404040404 049f6161ff", fault.Malformed},
		{"indefinite string", "a5 0001 0121 025f4103ff 034404040404 04816161", fault.Malformed},
		{"tag", "a5 0001 0121 02d84041 03 034404040404 04816161", fault.Malformed},
		{"tag outside", "c6 " + good, fault.Malformed},
		{"null for no bytes", "a5 0001 0121 02f6 034404040404 04816161", fault.Malformed},
		{"null for no list", "a5 0001 0121 024103 034404040404 04f6", fault.Malformed},
		{"undefined for no list", "a5 0001 0121 024103 034404040404 04f7", fault.Malformed},
		{"optional field present and empty", "a6 0001 0121 024103 034404040404 04816161 0560", fault.Malformed},
		{"fixed bytes too short", "a5 0001 0121 024103 0343040404 04816161", fault.Malformed},
		{"fixed bytes too long", "a5 0001 0121 024103 03450404040404 04816161", fault.Malformed},
		{"fixed bytes as array", "a5 0001 0121 024103 038404040404 04816161", fault.Malformed},
		{"bytes as text", "a5 0001 0121 026103 034404040404 04816161", fault.Malformed},
		{"number out of range", "a5 00190100 0121 024103 034404040404 04816161", fault.Malformed},
		{"number below range", "a5 0020 0121 024103 034404040404 04816161", fault.Malformed},
		{"number above int64", "a5 0001 011bffffffffffffffff 024103 034404040404 04816161", fault.Malformed},
		{"float", "a5 0001 01f9c000 024103 034404040404 04816161", fault.Malformed},
		{"bignum", "a5 0001 01c34101 024103 034404040404 04816161", fault.Malformed},
		{"text not UTF-8", "a5 0001 0121 024103 034404040404 048161ff", fault.Malformed},
		{"trailing byte", good + "00", fault.Malformed},
		{"cut short", good[:len(good)-3], fault.Malformed},
		{"array instead of map", "85 01 21 4103 4404040404 816161", fault.Malformed},
		{"nothing", "", fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := unhex(row.hex)
			var v sample
			wantCode(t, wire.Decode(in, &v), row.want)
			if row.want != "" {
				return
			}
			if out := must(wire.Encode(v))(t); !bytes.Equal(out, in) {
				t.Errorf("encodes as %x, want %x", out, in)
			}
		})
	}
}

func TestDecodeBoundsNestingAndLength(t *testing.T) {
	nested := func(levels int) []byte { return append(bytes.Repeat([]byte{0x81}, levels-1), 0x80) }
	list := func(n int) []byte {
		return join([]byte{0x9a, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n))
	}
	for _, row := range []struct {
		name string
		in   []byte
		want fault.Code
	}{
		{"deepest", nested(wire.MaxNesting), ""},
		{"too deep", nested(wire.MaxNesting + 1), fault.Malformed},
		{"longest", list(wire.MaxItems), ""},
		{"too long", list(wire.MaxItems + 1), fault.Malformed},
		{"longer than the input", unhex("9b 7fffffffffffffff"), fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			var v any
			wantCode(t, wire.Decode(row.in, &v), row.want)
		})
	}
}

func TestEncodeWritesEmptyNotNull(t *testing.T) {
	got := must(wire.Encode(sample{}))(t)
	if want := unhex("a5 0000 0100 0240 034400000000 0480"); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if _, err := wire.Encode(make(chan int)); err == nil {
		t.Error("a channel was encoded")
	}
}

func TestDigestText(t *testing.T) {
	const text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got := wire.Hash(nil).String(); got != text {
		t.Fatalf("SHA-256 of nothing is %s", got)
	}
	var d wire.Digest
	var r wire.Realm
	if err := d.UnmarshalText([]byte(text)); err != nil || d != wire.Hash(nil) {
		t.Fatalf("digest does not read its own text: %v", err)
	}
	if err := r.UnmarshalText([]byte(text)); err != nil || r != wire.Realm(d) {
		t.Fatalf("realm does not read its own text: %v", err)
	}
	for _, v := range []interface{ MarshalText() ([]byte, error) }{d, r} {
		if b := must(v.MarshalText())(t); string(b) != text {
			t.Errorf("%T marshals as %s", v, b)
		}
	}
	for _, bad := range []string{"", text[1:], text + "0", "g" + text[1:], strings.ToUpper(text), " " + text[1:]} {
		_, err := wire.ParseDigest(bad)
		wantCode(t, err, fault.Malformed)
		_, err = wire.ParseRealm(bad)
		wantCode(t, err, fault.Malformed)
	}
	if d.IsZero() || !(wire.Digest{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}
