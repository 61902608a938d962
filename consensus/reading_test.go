package consensus_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// These have the fields of what they are named after, and no decoder of their own.
type (
	plainBallot   consensus.Ballot
	plainProposal consensus.Proposal
)

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := wire.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asDecoded holds what a statement reads by hand to what decodes by reflection and encodes again: the same, or both are refused
// as malformed.
func asDecoded(t *testing.T, payload []byte, own, plain any, ownErr error) (accepted bool) {
	t.Helper()
	plainErr := wire.Decode(payload, plain)
	if (ownErr == nil) != (plainErr == nil) || ownErr != nil && (!errors.Is(ownErr, wire.ErrMalformed) || !errors.Is(plainErr, wire.ErrMalformed)) {
		t.Fatalf("%x\nby hand:       %v\nby reflection: %v", payload, ownErr, plainErr)
	}
	if ownErr != nil {
		return false
	}
	got := reflect.ValueOf(own).Elem()
	if want := reflect.ValueOf(plain).Elem().Convert(got.Type()); !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Fatalf("%x\nby hand:       %+v\nby reflection: %+v", payload, got, want)
	}
	if !bytes.Equal(encoded(t, own), payload) {
		t.Fatalf("%x: re-encoding differs", payload)
	}
	return true
}

func ballotAsDecoded(t *testing.T, payload []byte) (accepted bool) {
	t.Helper()
	own := fullBallot() // nothing of what stood there before is left
	return asDecoded(t, payload, &own, &plainBallot{}, own.DecodePayload(payload))
}

func proposalAsDecoded(t *testing.T, payload []byte) (accepted bool) {
	t.Helper()
	own := fullProposal()
	return asDecoded(t, payload, &own, &plainProposal{}, own.DecodePayload(payload))
}

// fullBallot is a ballot with every field.
func fullBallot() consensus.Ballot {
	return consensus.Ballot{
		Version: 1, Proposal: wire.Digest{1}, Action: wire.Digest{2}, Opening: wire.Digest{3}, Voter: identity.ID{4}, Vote: consensus.Recuse,
		Confidence: 1000, Reason: "ä", Issued: now, Sequence: 300,
	}
}

// fullProposal is a proposal with every field.
func fullProposal() consensus.Proposal {
	p := proposal()
	p.Class, p.NotBefore, p.Beneficiaries, p.Emergency = consensus.R2, now+1, []identity.ID{{1}, {2}}, true
	p.Action.Amount, p.Action.Rollback = 70_000, "drop it"
	p.Permit = &consensus.Permit{
		Uses: 25, Until: now + 2, Open: []consensus.Param{{Name: "rows", Values: []string{"1*", "2"}}}, Targets: []string{"orders", "users*"},
	}
	return p
}

// nothingZero fails where a field that has an encoding is zero: what is called full has every field there is.
func nothingZero(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is not there", name)
	}
	switch v.Kind() {
	case reflect.Pointer:
		nothingZero(t, v.Elem(), name)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				nothingZero(t, v.Field(i), name+"."+f.Name)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			nothingZero(t, v.Index(i), name)
		}
	}
}

func TestReadingIsDecoding(t *testing.T) {
	nothingZero(t, reflect.ValueOf(fullBallot()), "ballot")
	nothingZero(t, reflect.ValueOf(fullProposal()), "proposal")
	o := opening(t)
	extreme := consensus.Ballot{Version: math.MaxUint64, Vote: 255, Confidence: math.MaxUint64, Issued: math.MinInt64, Sequence: math.MaxUint64}
	for name, b := range map[string]consensus.Ballot{
		"full": fullBallot(), "honest": ballot(o, agent("scout").ID(), consensus.Approve), "zero": {}, "extreme": extreme,
	} {
		if !ballotAsDecoded(t, encoded(t, b)) {
			t.Errorf("ballot %s: refused", name)
		}
	}
	wide, empty := fullProposal(), fullProposal()
	wide.Class, wide.Issued, wide.NotBefore, wide.Action.Amount = 255, math.MinInt64, -1, math.MaxUint64
	wide.Permit.Uses, wide.Permit.Until = math.MaxUint64, math.MinInt64
	empty.Action.Kind, empty.Action.Params = "", []consensus.Param{{Values: []string{}}, {Values: []string{""}}}
	empty.Permit = &consensus.Permit{Targets: []string{""}}
	for name, p := range map[string]consensus.Proposal{
		"full": fullProposal(), "honest": proposal(), "zero": {}, "wide": wide, "empty": empty,
	} {
		if !proposalAsDecoded(t, encoded(t, p)) {
			t.Errorf("proposal %s: refused", name)
		}
	}
}

// Each label left out, given twice, or given the value null, and a label too many.
func TestReadingOfOtherFields(t *testing.T) {
	for name, s := range map[string]struct {
		full      any
		optional  []uint64
		asDecoded func(*testing.T, []byte) bool
	}{
		"ballot":   {fullBallot(), []uint64{7}, ballotAsDecoded},
		"proposal": {fullProposal(), []uint64{5, 6, 10, 11, 12, 13}, proposalAsDecoded},
	} {
		var fields map[uint64]wire.Raw
		if err := wire.Decode(encoded(t, s.full), &fields); err != nil {
			t.Fatal(err)
		}
		for label, value := range fields {
			delete(fields, label)
			if got := s.asDecoded(t, encoded(t, fields)); got != slices.Contains(s.optional, label) {
				t.Errorf("%s without label %d: accepted %t", name, label, got)
			}
			for _, other := range []string{"\x00", "\x20", "\x40", "\x60", "\x80", "\xa0", "\xf4", "\xf6", "\xf7", "\x81\x80", "\x81\x82\x60\xf6"} {
				fields[label] = wire.Raw(other)
				s.asDecoded(t, encoded(t, fields))
			}
			fields[label] = value
			twice := encoded(t, fields)
			twice[0]++
			s.asDecoded(t, append(append(twice, byte(label)), value...))
		}
		fields[63] = wire.Raw{0}
		if s.asDecoded(t, encoded(t, fields)) {
			t.Errorf("%s: a label too many is accepted", name)
		}
	}
}

// Changed bytes are refused where decoding and encoding again refuses them.
func TestReadingOfChangedBytes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	heads := []byte{0x00, 0x18, 0x40, 0x58, 0x60, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xf4, 0xf5, 0xf6, 0xf7, 0xff}
	change := func(raw []byte) []byte {
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
		return changed
	}
	b, p := encoded(t, fullBallot()), encoded(t, fullProposal())
	for range 10_000 {
		ballotAsDecoded(t, change(b))
		proposalAsDecoded(t, change(p))
	}
}

// FuzzReadBallot holds: what a ballot reads by hand is what decodes by reflection and encodes to the same bytes.
func FuzzReadBallot(f *testing.F) {
	f.Add(encoded(f, fullBallot()))
	f.Add(encoded(f, consensus.Ballot{}))
	f.Fuzz(func(t *testing.T, payload []byte) { ballotAsDecoded(t, payload) })
}

// FuzzReadProposal holds the same of proposals.
func FuzzReadProposal(f *testing.F) {
	f.Add(encoded(f, fullProposal()))
	f.Add(encoded(f, consensus.Proposal{}))
	f.Add(encoded(f, consensus.Proposal{Permit: &consensus.Permit{}, Action: consensus.Action{Params: []consensus.Param{{}}}}))
	f.Fuzz(func(t *testing.T, payload []byte) { proposalAsDecoded(t, payload) })
}

// Frozen from the bytes that it was read from, an opening is as if frozen anew; from others, nobody has voted on it.
func TestFreezeRead(t *testing.T) {
	o, s := opening(t), agent("scout")
	encoding, raw := encoded(t, o), sign(t, s, ballot(o, s.ID(), consensus.Approve))
	f := o.FreezeRead(encoding)
	if !reflect.DeepEqual(f, o.Freeze()) {
		t.Errorf("%+v, not %+v", f, o.Freeze())
	}
	others := o.FreezeRead(append(slices.Clone(encoding), 0))
	clear(encoding)
	clear(o.Voters)
	if v, err := f.VerifyBallot(raw, realm); err != nil || v.Statement().Voter != s.ID() {
		t.Error(err)
	}
	if _, err := others.VerifyBallot(raw, realm); !errors.Is(err, consensus.ErrOtherDecision) {
		t.Errorf("by other bytes: %v", err)
	}
}
