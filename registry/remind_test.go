package registry_test

import (
	"bytes"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func signed(t testing.TB, nonce byte, typ registry.Type, body any) []byte {
	t.Helper()
	c, err := registry.New(author, typ, body, [16]byte{nonce}, now)
	wantCode(t, err, "")
	raw, err := wire.Cosign(realm, c, key)
	wantCode(t, err, "")
	return raw
}

func TestParseTightening(t *testing.T) {
	type s = registry.SetStatus
	for _, row := range []struct {
		name string
		typ  registry.Type
		body any
		says registry.Tightening
		want fault.Code
	}{
		{"quarantine", registry.TypeStatus, s{Principal: author, Status: trust.Quarantined},
			registry.Tightening{Principal: author, Status: trust.Quarantined}, ""},
		{"revocation", registry.TypeStatus, s{Principal: author, Status: trust.Revoked},
			registry.Tightening{Principal: author, Status: trust.Revoked}, ""},
		{"level", registry.TypeLevel, registry.SetLevel{Principal: author, Level: 2},
			registry.Tightening{Principal: author, Level: 2}, ""},
		{"epoch", registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: 3},
			registry.Tightening{Principal: author, Epoch: 3}, ""},
		{"release", registry.TypeStatus, s{Principal: author, Status: trust.Active}, registry.Tightening{}, fault.WrongKind},
		{"no status", registry.TypeStatus, s{Principal: author, Status: 4}, registry.Tightening{}, fault.WrongKind},
		{"another body", registry.TypeLevel, registry.Tick{Time: 1}, registry.Tightening{}, fault.Malformed},
		{"grant", registry.TypeGrant, registry.Grant{Principal: author}, registry.Tightening{}, fault.WrongKind},
		{"unknown type", "dance", registry.Grant{Principal: author}, registry.Tightening{}, fault.WrongKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, says, err := registry.ParseTightening(signed(t, 1, row.typ, row.body))
			wantCode(t, err, row.want)
			if err == nil && (says != row.says || c.Claim.Type != row.typ) {
				t.Errorf("got %+v", says)
			}
		})
	}
	_, _, err := registry.ParseTightening(make([]byte, registry.MaxReminded+1))
	wantCode(t, err, fault.TooLarge)
}

// Any tightening fits into a reminder, with the longest reason and all signatures that one may have.
func TestLongestTighteningFits(t *testing.T) {
	c, err := registry.New(author, registry.TypeStatus, registry.SetStatus{
		Principal: author, Status: trust.Revoked, Reason: string(bytes.Repeat([]byte("r"), registry.MaxDetail)),
	}, [16]byte{1}, now)
	wantCode(t, err, "")
	c.Expect = 1 << 60
	var keys []wire.Key
	for i := range wire.MaxCosigners {
		keys = append(keys, wire.NewKey([32]byte{byte(i + 1)}))
	}
	raw, err := wire.Cosign(realm, c, keys...)
	wantCode(t, err, "")
	_, _, err = registry.ParseTightening(raw)
	wantCode(t, err, "")
}

func TestKept(t *testing.T) {
	epoch := func(n byte) []byte {
		return signed(t, n, registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: uint64(n)})
	}
	for _, commands := range [][][]byte{nil, {epoch(1)}, {epoch(1), epoch(2)}} {
		raw, err := registry.Kept{Commands: commands}.Encode()
		wantCode(t, err, "")
		got, err := registry.ParseKept(raw)
		wantCode(t, err, "")
		if len(got.Commands) != len(commands) {
			t.Errorf("%d commands of %d", len(got.Commands), len(commands))
		}
	}
	one := epoch(1)
	for _, row := range []struct {
		name string
		raw  any
		want fault.Code
	}{
		{"honest", registry.Kept{Commands: [][]byte{one}}, ""},
		{"another version", registry.Kept{Version: 1, Commands: [][]byte{one}}, fault.Version},
		{"no tightening", registry.Kept{Commands: [][]byte{signed(t, 1, registry.TypeTick, registry.Tick{Time: 1})}}, fault.WrongKind},
		{"junk in it", registry.Kept{Commands: [][]byte{{1}}}, fault.Malformed},
		{"too many", registry.Kept{Commands: make([][]byte, registry.MaxKept+1)}, fault.TooLarge},
		{"another form", registry.Grant{Principal: author}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw, err := wire.Encode(row.raw)
			wantCode(t, err, "")
			_, err = registry.ParseKept(raw)
			wantCode(t, err, row.want)
		})
	}
	_, err := registry.ParseKept(make([]byte, registry.MaxKeptBytes+1))
	wantCode(t, err, fault.TooLarge)
}

// Of too much, what stands last is kept, and what is written can be read.
func TestKeptLeavesOutTheFirst(t *testing.T) {
	one := signed(t, 1, registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: 1})
	last := signed(t, 2, registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: 2})
	many := append(repeated(one, registry.MaxKept), last)
	raw, err := registry.Kept{Commands: many}.Encode()
	wantCode(t, err, "")
	got, err := registry.ParseKept(raw)
	wantCode(t, err, "")
	if n := len(got.Commands); n != registry.MaxKept || !bytes.Equal(got.Commands[n-1], last) {
		t.Errorf("%d commands", n)
	}
	raw, err = registry.Kept{Commands: repeated(make([]byte, registry.MaxReminded), 2000)}.Encode()
	if wantCode(t, err, ""); len(raw) > registry.MaxKeptBytes || len(raw) < registry.MaxKeptBytes-2*registry.MaxReminded {
		t.Errorf("%d bytes", len(raw))
	}
}

func repeated(one []byte, n int) (all [][]byte) {
	for range n {
		all = append(all, one)
	}
	return all
}

// FuzzKept holds: what parses is written again as it was read, and everything in it names a principal.
func FuzzKept(f *testing.F) {
	raw, err := registry.Kept{Commands: [][]byte{
		signed(f, 1, registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: 1}),
	}}.Encode()
	wantCode(f, err, "")
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := registry.ParseKept(raw)
		if err != nil {
			return
		}
		again, err := k.Encode()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x (%v)", raw, again, err)
		}
		for _, command := range k.Commands {
			if _, _, err := registry.ParseTightening(command); err != nil {
				t.Fatalf("%x: %v", command, err)
			}
		}
	})
}
