package wire_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The append functions write what Encode writes.
func TestAppendIsEncode(t *testing.T) {
	for _, n := range []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxUint64} {
		same(t, wire.AppendUint(nil, n), n)
	}
	for _, n := range []int64{0, -1, -24, -25, 24, -256, -257, math.MaxInt64, math.MinInt64} {
		same(t, wire.AppendInt(nil, n), n)
	}
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65536} {
		same(t, wire.AppendBytes(nil, make([]byte, n)), make([]byte, n))
		same(t, wire.AppendText(nil, string(bytes.Repeat([]byte("a"), n))), string(bytes.Repeat([]byte("a"), n)))
		same(t, append(wire.AppendArrayHead(nil, n), make([]byte, n)...), make([]uint16, n))
	}
	same(t, append(wire.AppendMapHead(nil, 1), 1, 2), map[int]int{1: 2})
}

func same(t *testing.T, got []byte, v any) {
	t.Helper()
	if want := must(wire.Encode(v))(t); !bytes.Equal(got, want) {
		t.Errorf("%T %v: got %x, want %x", v, v, got[:min(9, len(got))], want[:min(9, len(want))])
	}
}

// The reader takes the one encoding of each item and nothing else.
func TestReader(t *testing.T) {
	number := func(r *wire.Reader) { r.Uint(math.MaxUint64) }
	signed := func(r *wire.Reader) { r.Int() }
	text := func(r *wire.Reader) { r.Text() }
	data := func(r *wire.Reader) { r.Bytes() }
	four := func(r *wire.Reader) { r.Fixed(make([]byte, 4)) }
	list := func(r *wire.Reader) { r.Array(2) }
	pairs := func(r *wire.Reader) { r.Map(2) }
	truth := func(r *wire.Reader) { r.Bool() }
	for _, row := range []struct {
		name, hex string
		read      func(*wire.Reader)
		want      fault.Code
	}{
		{"zero", "00", number, ""},
		{"one byte", "1818", number, ""},
		{"largest", "1bffffffffffffffff", number, ""},
		{"longer than needed, one byte", "1817", number, fault.Malformed},
		{"longer than needed, two bytes", "1900ff", number, fault.Malformed},
		{"longer than needed, four bytes", "1a0000ffff", number, fault.Malformed},
		{"longer than needed, eight bytes", "1b00000000ffffffff", number, fault.Malformed},
		{"cut short", "19ff", number, fault.Malformed},
		{"reserved length", "1c", number, fault.Malformed},
		{"indefinite", "1f", number, fault.Malformed},
		{"nothing", "", number, fault.Malformed},
		{"negative where unsigned", "20", number, fault.Malformed},
		{"above the limit", "05", func(r *wire.Reader) { r.Uint(4) }, fault.Malformed},
		{"at the limit", "04", func(r *wire.Reader) { r.Uint(4) }, ""},
		{"trailing byte", "0000", number, fault.Malformed},
		{"negative", "20", signed, ""},
		{"least", "3b7fffffffffffffff", signed, ""},
		{"below the least", "3b8000000000000000", signed, fault.Malformed},
		{"above the greatest", "1b8000000000000000", signed, fault.Malformed},
		{"text where a number", "60", signed, fault.Malformed},
		{"text", "6161", text, ""},
		{"empty text", "60", text, ""},
		{"text of two bytes a letter", "62c3a4", text, ""},
		{"text not UTF-8", "61ff", text, fault.Malformed},
		{"text cut", "6261", text, fault.Malformed},
		{"text of indefinite length", "7f6161ff", text, fault.Malformed},
		{"bytes as text", "4161", text, fault.Malformed},
		{"bytes", "4161", data, ""},
		{"no bytes", "40", data, ""},
		{"null for bytes", "f6", data, fault.Malformed},
		{"bytes longer than the input", "5bffffffffffffffff00", data, fault.Malformed},
		{"fixed", "4401020304", four, ""},
		{"fixed, short", "43010203", four, fault.Malformed},
		{"fixed, long", "450102030405", four, fault.Malformed},
		{"array", "80", list, ""},
		{"array above the limit", "83", list, fault.Malformed},
		{"array of indefinite length", "9fff", list, fault.Malformed},
		{"array of many", "9bffffffffffffffff", list, fault.Malformed},
		{"map", "a0", pairs, ""},
		{"map above the limit", "a3", pairs, fault.Malformed},
		{"no", "f4", truth, ""},
		{"yes", "f5", truth, ""},
		{"null where a truth", "f6", truth, fault.Malformed},
		{"a truth in two bytes", "f815", truth, fault.Malformed},
		{"number where a truth", "01", truth, fault.Malformed},
		{"no truth", "", truth, fault.Malformed},
		{"truth and a byte more", "f500", truth, fault.Malformed},
		{"tag", "c100", number, fault.Malformed},
		{"refused by the caller", "00", func(r *wire.Reader) { r.Uint(0); r.Refuse("no") }, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := wire.NewReader(unhex(row.hex))
			row.read(&r)
			wantCode(t, r.End(), row.want)
			if row.want != "" && (r.Uint(9) != 0 || r.Int() != 0 || r.Bytes() != nil || r.Text() != nil || r.Array(9) != 0 || r.Next() != 0 ||
				r.Bool() || r.Rest() != nil) {
				t.Error("something is read after the refusal")
			}
		})
	}
}

// FuzzReader holds: what the reader takes as one item, Decode takes as the same value, and the other way round.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"00", "1818", "3b7fffffffffffffff", "6161", "4161", "62c3a4", "61ff", "5bffffffffffffffff", "f4", "f5", "f6", "f815"} {
		f.Add(unhex(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n uint64
		var i int64
		var s string
		var b []byte
		var yes bool
		r := wire.NewReader(raw)
		if rest := r.Rest(); !bytes.Equal(rest, raw) || r.Len() != len(raw) {
			t.Fatalf("%d bytes are left of %d", len(rest), len(raw))
		}
		if got, generalErr := r.Bool(), wire.Decode(raw, &yes); (r.End() == nil) != (generalErr == nil) || (r.Err() == nil && got != yes) {
			t.Fatalf("truth: %v, %v", r.Err(), generalErr)
		}
		r = wire.NewReader(raw)
		if got, generalErr := r.Uint(math.MaxUint64), wire.Decode(raw, &n); (r.End() == nil) != (generalErr == nil) || (r.Err() == nil && got != n) {
			t.Fatalf("number: %v, %v", r.Err(), generalErr)
		}
		r = wire.NewReader(raw)
		if got, generalErr := r.Int(), wire.Decode(raw, &i); (r.End() == nil) != (generalErr == nil) || (r.Err() == nil && got != i) {
			t.Fatalf("signed number: %v, %v", r.Err(), generalErr)
		}
		r = wire.NewReader(raw)
		if got, generalErr := r.Text(), wire.Decode(raw, &s); (r.End() == nil) != (generalErr == nil) || (r.Err() == nil && string(got) != s) {
			t.Fatalf("text: %v, %v", r.Err(), generalErr)
		}
		r = wire.NewReader(raw)
		if got, generalErr := r.Bytes(), wire.Decode(raw, &b); (r.End() == nil) != (generalErr == nil) || (r.Err() == nil && !bytes.Equal(got, b)) {
			t.Fatalf("bytes: %v, %v", r.Err(), generalErr)
		}
	})
}
