package proof_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
)

// member is one gzip member of the bytes, by the library's writer, with the header's optional fields that change sets.
func member(t testing.TB, raw []byte, level int, change func(*gzip.Header)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	wantErr(t, err, "")
	if change != nil {
		change(&w.Header)
	}
	_, err = w.Write(raw)
	wantErr(t, err, "")
	wantErr(t, w.Close(), "")
	return b.Bytes()
}

func TestPackedCertificatesVerify(t *testing.T) {
	r, c := everything(t)
	raw, trust := encode(t, c), proof.Trust{Realm: r.Realm}
	packed := proof.Pack(raw)
	if len(packed) >= len(raw) || !bytes.HasPrefix(packed, []byte{0x1f, 0x8b, 8, 0}) || !bytes.Equal(packed, proof.Pack(raw)) {
		t.Fatalf("%d bytes of %d, %x", len(packed), len(raw), packed[:4])
	}
	remembers := proof.NewVerifier()
	for name, file := range map[string][]byte{
		"as it is": raw, "packed": packed, "stored": member(t, raw, gzip.NoCompression, nil), "fastest": member(t, raw, gzip.BestSpeed, nil),
		"by another system": member(t, raw, gzip.DefaultCompression, func(h *gzip.Header) { h.OS = 3 }),
	} {
		unpacked, err := proof.Unpack(file)
		wantErr(t, err, "")
		if !bytes.Equal(unpacked, raw) {
			t.Errorf("%s: another encoding", name)
		}
		for _, parse := range []func([]byte, proof.Trust) (*proof.Certificate, proof.Report, error){proof.ParseCertificate, remembers.Parse} {
			got, report, err := parse(file, trust)
			if err != nil || !report.Valid || len(report.Checks) != 12 {
				t.Fatalf("%s: %v %+v", name, err, report)
			}
			if !bytes.Equal(got.Raw(), raw) || !bytes.Equal(got.File(), packed) {
				t.Errorf("%s: Raw and File are of other bytes", name)
			}
			wantErr(t, got.Verify(trust, got.Action(), got.NotBefore()), "")
		}
		if x := proof.Explain(file, trust); !x.Valid || len(x.Unreadable) != 0 || x.Decision == nil {
			t.Errorf("%s: explained as %v %+v", name, x.Failure, x.Unreadable)
		}
		_, report, err := proof.ParseCertificate(file, proof.Trust{Realm: r.Realm, Roster: 9})
		wantErr(t, err, fault.Superseded)
		if len(report.Checks) != 2 {
			t.Errorf("%s: checks %+v", name, report.Checks)
		}
	}
}

// What is shorter as it is stays so, and reads again.
func TestPackOfWhatDoesNotShrink(t *testing.T) {
	for _, raw := range [][]byte{nil, {}, {0xa0}, []byte("\xa1\x00\x01"), member(t, make([]byte, 4096), gzip.BestCompression, nil)} {
		if packed := proof.Pack(raw); !bytes.Equal(packed, raw) {
			t.Errorf("%x became %x", raw, packed)
		}
	}
	got, err := proof.Unpack([]byte{0xa0})
	if err != nil || !bytes.Equal(got, []byte{0xa0}) {
		t.Errorf("%x, %v", got, err)
	}
}

// exhausting is a gzip member of so many bytes of 0, by hand: one block by the fixed codes (RFC 1951 §3.2.6), a literal and
// then copies of 258 bytes.
func exhausting(n int) []byte {
	out, bits, have := []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"), uint64(0), 0
	put := func(code uint64, n int) {
		for bits, have = bits|code<<have, have+n; have >= 8; bits, have = bits>>8, have-8 {
			out = append(out, byte(bits))
		}
	}
	const literal0, copy258, endOfBlock = 0b00001100, 0b10100011, 0 // codes stand with their first bit lowest
	put(0b011, 3)
	put(literal0, 8)
	for range (n - 1) / 258 {
		put(copy258, 8)
		put(0, 5) // from one byte back
	}
	for range (n - 1) % 258 {
		put(literal0, 8)
	}
	put(endOfBlock, 7)
	put(0, 7)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(make([]byte, n)))
	return binary.LittleEndian.AppendUint32(out, uint32(n))
}

func TestUnpackIsBounded(t *testing.T) {
	most, err := proof.Unpack(exhausting(consensus.MaxCertificate))
	if err != nil || len(most) != consensus.MaxCertificate {
		t.Fatalf("the most: %d bytes, %v", len(most), err)
	}
	for name, file := range map[string][]byte{
		"a byte more":             exhausting(consensus.MaxCertificate + 1),
		"a long file":             make([]byte, consensus.MaxCertificate+1),
		"a long file, packed":     append(proof.Pack(make([]byte, 100)), make([]byte, consensus.MaxCertificate)...),
		"a bomb that is cut off":  exhausting(4 * consensus.MaxCertificate)[:9000],
		"a bomb with more behind": append(exhausting(4*consensus.MaxCertificate), 1, 2, 3),
	} {
		raw, err := proof.Unpack(file)
		wantErr(t, err, fault.TooLarge)
		if raw != nil || fault.HintOf(err) == "" {
			t.Errorf("%s: %d bytes, %v", name, len(raw), err)
		}
		_, report, err := proof.ParseCertificate(file, proof.Trust{})
		wantErr(t, err, fault.TooLarge)
		if len(report.Checks) != 1 || report.Code != fault.TooLarge {
			t.Errorf("%s: %+v", name, report)
		}
	}
	file := exhausting(64 * consensus.MaxCertificate)
	if len(file) > consensus.MaxCertificate {
		t.Fatalf("a bomb of %d bytes would be refused for that", len(file))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = proof.Unpack(file)
	runtime.ReadMemStats(&after)
	wantErr(t, err, fault.TooLarge)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20*consensus.MaxCertificate {
		t.Errorf("it takes %d bytes of memory to refuse a bomb", grown)
	}
}

func TestUnpackRefuses(t *testing.T) {
	r, c := everything(t)
	raw, trust := encode(t, c), proof.Trust{Realm: r.Realm}
	packed := proof.Pack(raw)
	_, _, err := proof.VerifyCertificate(packed, trust)
	wantErr(t, err, "")
	put := func(at int, b ...byte) []byte {
		changed := slices.Clone(packed)
		copy(changed[(at+len(packed))%len(packed):], b)
		return changed
	}
	files := map[string][]byte{
		"two members":            slices.Concat(packed, packed),
		"an empty member behind": slices.Concat(packed, member(t, nil, gzip.BestSpeed, nil)),
		"an empty member before": slices.Concat(member(t, nil, gzip.BestSpeed, nil), packed),
		"two members of halves": slices.Concat(member(t, raw[:len(raw)/2], gzip.BestSpeed, nil),
			member(t, raw[len(raw)/2:], gzip.BestSpeed, nil)),
		"a byte behind":        append(slices.Clone(packed), 0),
		"the mark behind":      append(slices.Clone(packed), 0x1f, 0x8b),
		"a line's end behind":  append(slices.Clone(packed), '\n'),
		"packed twice":         member(t, packed, gzip.NoCompression, nil),
		"nothing packed":       member(t, nil, gzip.BestSpeed, nil),
		"text packed":          member(t, []byte("certificate\n"), gzip.BestSpeed, nil),
		"a byte more, packed":  member(t, append(slices.Clone(raw), 0), gzip.BestSpeed, nil),
		"a byte less, packed":  member(t, raw[:len(raw)-1], gzip.BestSpeed, nil),
		"a name":               member(t, raw, gzip.BestSpeed, func(h *gzip.Header) { h.Name = "decision.cert" }),
		"a comment":            member(t, raw, gzip.BestSpeed, func(h *gzip.Header) { h.Comment = "honest" }),
		"an extra field":       member(t, raw, gzip.BestSpeed, func(h *gzip.Header) { h.Extra = []byte("more") }),
		"another method":       put(2, 7),
		"a flag for text":      put(3, 1),
		"a reserved flag":      put(3, 0x80),
		"another checksum":     put(-8, packed[len(packed)-8]^1),
		"another length":       put(-4, packed[len(packed)-4]^1),
		"a reserved block":     put(10, 7),
		"no encoding packed":   member(t, put(0, 0), gzip.BestSpeed, nil),
		"the mark with a byte": {0x1f, 0x8b, 8},
	}
	for _, n := range []int{2, 3, 4, 9, 10, 11, 18, len(packed) / 2, len(packed) - 9, len(packed) - 8, len(packed) - 4, len(packed) - 1} {
		files[fmt.Sprintf("cut off after %d bytes", n)] = packed[:n]
	}
	for name, file := range files {
		_, report, err := proof.VerifyCertificate(file, trust)
		if fault.CodeOf(err) != fault.Malformed || len(report.Checks) != 1 || report.Valid {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
		if x := proof.Explain(file, trust); x.Valid || len(x.Unreadable) != 1 || x.Unreadable[0].Code != fault.Malformed {
			t.Errorf("%s: explained as %+v", name, x.Unreadable)
		}
	}
}

// gzipEdge is how many bytes at either end of a file are tried in full.
const gzipEdge = 24

// A changed bit of a file is refused, or changes nothing of what it holds: gzip has bits that nobody reads.
func TestEveryBitOfAFile(t *testing.T) {
	r := standard(t)
	raw := encode(t, r.Certificate(r.approved("process.exec").Proposal))
	packed, idle := proof.Pack(raw), 0
	for at := 0; at < 8*len(packed); at++ {
		if edge := at < 8*gzipEdge || at >= 8*(len(packed)-gzipEdge); !edge {
			at += 4 // and so another bit of each byte
		}
		packed[at/8] ^= 1 << (at % 8)
		if got, err := proof.Unpack(packed); err == nil && at >= 16 { // without its mark it is no gzip
			if idle++; !bytes.Equal(got, raw) {
				t.Fatalf("bit %d changed: another certificate", at)
			}
		}
		packed[at/8] ^= 1 << (at % 8)
	}
	if most := 8*6 + 8; idle > most { // time, speed and system in the head, and what fills the last byte of the blocks
		t.Errorf("%d bits count for nothing", idle)
	}
}

func FuzzUnpack(f *testing.F) {
	small := []byte("\xa2\x00\x01\x01conclave conclave conclave conclave conclave conclave")
	f.Add([]byte{})
	f.Add(small)
	f.Add(proof.Pack(small))
	f.Add(append(proof.Pack(small), proof.Pack(small)...))
	f.Add(exhausting(4096))
	f.Add(exhausting(consensus.MaxCertificate + 1))
	f.Add(member(f, small, gzip.NoCompression, func(h *gzip.Header) { h.Name = "a" }))
	f.Fuzz(func(t *testing.T, file []byte) {
		raw, err := proof.Unpack(file)
		if err != nil {
			if code := fault.CodeOf(err); raw != nil || code != fault.Malformed && code != fault.TooLarge {
				t.Fatalf("%d bytes with %v", len(raw), err)
			}
			return
		}
		if len(raw) > consensus.MaxCertificate {
			t.Fatalf("%d bytes", len(raw))
		}
		if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
			if !bytes.Equal(raw, file) {
				t.Fatal("changed what is not packed")
			}
			return
		}
		all, err := gzip.NewReader(bytes.NewReader(file)) // the library, left to itself, reads the same
		if err != nil {
			t.Fatal(err)
		}
		var same bytes.Buffer
		if _, err := same.ReadFrom(all); err != nil || !bytes.Equal(same.Bytes(), raw) {
			t.Fatalf("the library reads %d bytes, %v; here %d", same.Len(), err, len(raw))
		}
		if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
			return // what begins like that is no certificate
		}
		if again, err := proof.Unpack(proof.Pack(raw)); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("packed again: %v", err)
		}
	})
}
