package wire_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// sheet is a struct with every kind of field that a FieldReader reads.
type sheet struct {
	Number uint64   `cbor:"1,keyasint"`
	Byte   uint8    `cbor:"2,keyasint"`
	Above  uint64   `cbor:"3,keyasint,omitempty"`
	Time   int64    `cbor:"4,keyasint,omitempty"`
	True   bool     `cbor:"5,keyasint,omitempty"`
	Words  string   `cbor:"6,keyasint,omitempty"`
	Some   []uint64 `cbor:"7,keyasint,omitempty"`
	Any    []uint64 `cbor:"8,keyasint"`
}

var sheetHas = wire.Labels(1, 2, 8)

func readSheet(raw []byte) (s sheet, err error) {
	r := wire.NewFieldReader(raw)
	numbers := func(n int) []uint64 {
		all := make([]uint64, n)
		for i := range all {
			all[i] = r.Number()
		}
		return all
	}
	r.Fields(sheetHas, 8, func(label uint64) {
		switch label {
		case 1:
			s.Number = r.Number()
		case 2:
			s.Byte = r.Byte()
		case 3:
			s.Above = r.Above()
		case 4:
			s.Time = r.NonZero()
		case 5:
			s.True = r.True()
		case 6:
			s.Words = r.Words()
		case 7:
			s.Some = numbers(r.Some())
		case 8:
			s.Any = numbers(r.Any())
		default:
			r.Refuse("unknown label")
		}
	})
	return s, r.End()
}

// asSheet holds the reader to Decode.
func asSheet(t *testing.T, raw []byte) error {
	t.Helper()
	var want sheet
	got, err := readSheet(raw)
	wantErr := wire.Decode(raw, &want)
	if fault.CodeOf(err) != fault.CodeOf(wantErr) || err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%x\nby hand:       %+v, %v\nby reflection: %+v, %v", raw, got, err, want, wantErr)
	}
	return err
}

func TestFieldReader(t *testing.T) {
	for _, s := range []sheet{
		{},
		{Any: []uint64{0}},
		{math.MaxUint64, 255, 1, math.MinInt64, true, "a", []uint64{0}, []uint64{math.MaxUint64, 24}},
	} {
		wantCode(t, asSheet(t, must(wire.Encode(s))(t)), "")
	}
	for name, hex := range map[string]string{
		"number missing":        "a2 0200 0880",
		"byte missing":          "a2 0100 0880",
		"list missing":          "a2 0100 0200",
		"nothing":               "",
		"nothing there":         "a0",
		"a label too few":       "a4 0100 0200 0880",
		"a label too many":      "a2 0100 0200 0880",
		"labels unsorted":       "a3 0200 0100 0880",
		"label twice":           "a4 0100 0100 0200 0880",
		"last label twice":      "a4 0100 0200 0880 0880",
		"label unknown":         "a4 0000 0100 0200 0880",
		"label above the most":  "a4 0100 0200 0880 0900",
		"label of 64":           "a4 0100 0200 0880 184000",
		"label as text":         "a3 6100 0200 0880",
		"more labels than are":  "b83f 0100 0200 0880",
		"byte of 256":           "a3 0100 02190100 0880",
		"above of 0":            "a4 0100 0200 0300 0880",
		"time of 0":             "a4 0100 0200 0400 0880",
		"true of false":         "a4 0100 0200 05f4 0880",
		"words of none":         "a4 0100 0200 0660 0880",
		"words not UTF-8":       "a4 0100 0200 0661ff 0880",
		"some of none":          "a4 0100 0200 0780 0880",
		"some of fewer":         "a4 0100 0200 0783000880",
		"some of many":          "a4 0100 0200 079a00010001",
		"any of fewer":          "a3 0100 0200 088200",
		"any of many":           "a3 0100 0200 089bffffffffffffffff",
		"null for a list":       "a3 0100 0200 08f6",
		"trailing byte":         "a3 0100 0200 0880 00",
		"trailing pair":         "a3 0100 0200 0880 0900",
		"a number that is none": "a3 0120 0200 0880",
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, asSheet(t, unhex(hex)), fault.Malformed) })
	}
}

// FuzzFieldReader holds: what reads field by field, Decode takes as the same value, and the other way round.
func FuzzFieldReader(f *testing.F) {
	f.Add(must(wire.Encode(sheet{}))(f))
	f.Add(must(wire.Encode(sheet{24, 1, 1, -1, true, "ä", []uint64{0}, []uint64{math.MaxUint64}}))(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) <= wire.MaxStatement {
			_ = asSheet(t, raw)
		}
	})
}
