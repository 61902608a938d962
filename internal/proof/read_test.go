package proof_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// asDecoded holds what reads by hand to what decodes by reflection and encodes again: the same certificate, or a refusal with
// the same code.
func asDecoded(t *testing.T, raw []byte) (accepted bool) {
	t.Helper()
	got, opening, verdict, opened, decided, err := proof.Read(raw)
	want, wantErr := consensus.ParseCertificate(raw)
	var shown [2]audit.Inclusion
	if wantErr == nil {
		wantErr = wire.Decode(want.Opened, &shown[0])
	}
	if wantErr == nil {
		wantErr = wire.Decode(want.Decided, &shown[1])
	}
	if len(raw) > consensus.MaxCertificate {
		return false // Unpack refuses that
	}
	if fault.CodeOf(err) != fault.CodeOf(wantErr) {
		t.Fatalf("%x\nby hand:     %v\nby reflection: %v", raw, err, wantErr)
	}
	if err != nil {
		if !reflect.DeepEqual(got, consensus.Certificate{}) || opening != nil || verdict != nil {
			t.Fatalf("something is read of what is refused: %+v", got)
		}
		return false
	}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual([2]audit.Inclusion{opened, decided}, shown) {
		t.Fatalf("%x\nby hand:       %+v %+v %+v\nby reflection: %+v %+v", raw, got, opened, decided, want, shown)
	}
	if !bytes.Equal(opening, encode(t, want.Opening)) || !bytes.Equal(verdict, encode(t, want.Verdict)) || !bytes.Equal(raw, encode(t, want)) {
		t.Fatalf("%x: the bytes of opening or verdict are others", raw)
	}
	return true
}

// filled gives every field that has an encoding a value of its own, so that a field that the reader does not know shows.
func filled(v reflect.Value, next *uint64) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled(v.Field(i), next)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			filled(v.Index(i), next)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("text")
	case reflect.Int64:
		v.SetInt(int64(*next) << 20)
	case reflect.Uint8:
		v.SetUint(*next%255 + 1)
	default:
		v.SetUint(*next << 30)
	}
}

// full is a certificate with every field, which proves nothing.
func full(t testing.TB) consensus.Certificate {
	t.Helper()
	var c consensus.Certificate
	var i audit.Inclusion
	next := uint64(0)
	filled(reflect.ValueOf(&i).Elem(), &next)
	c.Opened = encode(t, i)
	filled(reflect.ValueOf(&i).Elem(), &next)
	c.Decided = encode(t, i)
	opened, decided := c.Opened, c.Decided
	filled(reflect.ValueOf(&c).Elem(), &next)
	c.Version, c.Opened, c.Decided = consensus.FormatVersion, opened, decided
	return c
}

func TestReadIsDecode(t *testing.T) {
	r, honest := everything(t)
	plain := standard(t)
	empty := full(t)
	empty.Genesis, empty.Policy, empty.Proposal, empty.Head = nil, nil, nil, nil
	empty.Ballots, empty.Opening.Voters, empty.Opening.Alone = [][]byte{{}, {}}, nil, false
	wide := full(t)
	wide.Opening.Opened, wide.Opening.Deadline, wide.Verdict.Until = math.MinInt64, math.MaxInt64, -1
	wide.Opening.Index, wide.Opening.Sum, wide.Opening.Class = math.MaxUint64, math.MaxUint64, 255
	wide.Opening.Voters[0].Family = ""
	wide.Opening.Voters[1].Silenced, wide.Opening.Voters[1].Family = false, "ä"
	for name, c := range map[string]consensus.Certificate{
		"honest": honest, "plain": plain.Certificate(plain.approved("process.exec").Proposal), "full": full(t), "empty": empty, "wide": wide,
	} {
		if !asDecoded(t, encode(t, c)) {
			t.Errorf("%s: refused", name)
		}
	}
	_, _, err := proof.VerifyCertificate(encode(t, honest), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	for name, change := range map[string]func(*consensus.Certificate){
		"version 0":         func(c *consensus.Certificate) { c.Version = 0 },
		"version 2":         func(c *consensus.Certificate) { c.Version = 2 },
		"no inclusion":      func(c *consensus.Certificate) { c.Opened = encode(t, 1) },
		"null as inclusion": func(c *consensus.Certificate) { c.Decided = wire.Raw{0xf6} },
		"a longer label": func(c *consensus.Certificate) {
			c.Decided = slices.Concat(c.Decided[:1], []byte{0x18, 0x01}, c.Decided[2:])
		},
	} {
		c := full(t)
		change(&c)
		if asDecoded(t, encode(t, c)) {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Changed bytes are refused by the reader exactly where decoding and encoding again refuses them.
func TestReadOfChangedBytes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	raw, heads := encode(t, full(t)), []byte{0x00, 0x18, 0x40, 0x58, 0x60, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xf4, 0xf5, 0xf6, 0xf7, 0xff}
	for range 6_000 {
		changed := slices.Clone(raw)
		at := random.IntN(len(changed))
		switch random.IntN(5) {
		case 0:
			changed[at] ^= 1 << random.IntN(8)
		case 1:
			changed[at] = heads[random.IntN(len(heads))]
		case 2:
			changed = slices.Delete(changed, at, min(at+1+random.IntN(3), len(changed)))
		case 3:
			changed = slices.Insert(changed, at, heads[random.IntN(len(heads))])
		case 4:
			changed = changed[:at]
		}
		asDecoded(t, changed)
	}
}

// What is remembered or returned does not change with the bytes that it was read from.
func TestReadBytesAreTheCallersAgain(t *testing.T) {
	r, c := everything(t)
	raw := encode(t, c)
	given := slices.Clone(raw)
	remembers := proof.NewVerifier()
	v, _, err := remembers.Parse(given, proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	clear(given)
	if !bytes.Equal(v.Raw(), raw) || !reflect.DeepEqual(v.Verified().Certificate(), c) {
		t.Error("what was verified has changed")
	}
	wantErr(t, v.Verify(proof.Trust{Realm: r.Realm}, v.Action(), v.NotBefore()), "")
	_, _, err = remembers.Verify(raw, proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	_, _, err = remembers.Verify(given, proof.Trust{Realm: r.Realm})
	wantErr(t, err, fault.Malformed)
}

// FuzzRead holds: what reads by hand is what decodes by reflection and encodes to the same bytes.
func FuzzRead(f *testing.F) {
	f.Add(encode(f, full(f)))
	r := founded(f, plain)
	f.Add(encode(f, r.Certificate(r.decided("db.read").Proposal)))
	f.Add(encode(f, r.Certificate(r.approved("process.exec").Proposal)))
	f.Add(encode(f, consensus.Certificate{Version: 1, Opened: encode(f, audit.Inclusion{}), Decided: encode(f, audit.Inclusion{})}))
	f.Fuzz(func(t *testing.T, raw []byte) { asDecoded(t, raw) })
}
