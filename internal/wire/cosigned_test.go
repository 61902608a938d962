package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// cosigned assembles the cosigned form by hand; pairs are key, signature.
func cosigned(head, body []byte, pairs ...[]byte) []byte {
	all := array(byte(len(pairs) / 2))
	for i := 0; i < len(pairs); i += 2 {
		all = join(all, array(2), bstr(pairs[i]), bstr(pairs[i+1]))
	}
	return join(array(3), bstr(head), bstr(body), all)
}

// sorted returns the keys in the order that a statement lists them.
func sorted(keys ...wire.Key) []wire.Key {
	slices.SortFunc(keys, func(a, b wire.Key) int {
		x, y := a.Public(), b.Public()
		return bytes.Compare(x[:], y[:])
	})
	return keys
}

func publics(keys ...wire.Key) []wire.PublicKey {
	all := make([]wire.PublicKey, len(keys))
	for i, k := range keys {
		all[i] = k.Public()
	}
	return all
}

func TestCosignMakesTheDocumentedBytes(t *testing.T) {
	head := header("note")
	k := sorted(keyA, keyB)
	first, second := k[0].Public(), k[1].Public()
	want := cosigned(head, payload,
		first[:], sign(t, k[0], realm, "note", head, payload),
		second[:], sign(t, k[1], realm, "note", head, payload))
	got := must(wire.Cosign(realm, honest, k[1], k[0]))(t)
	if !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
	c := must(wire.ParseCosigned[note](got, len(got)))(t)
	if !slices.Equal(c.Keys(), publics(k...)) {
		t.Errorf("keys %x", c.Keys())
	}
	v := must(c.Verify(realm, 2, publics(k...)))(t)
	if id := must(wire.IDOf(realm, honest))(t); v.ID() != id || c.ID(realm) != id || !bytes.Equal(v.Raw(), got) {
		t.Error("id or raw bytes differ")
	}
}

func TestCosignaturesGather(t *testing.T) {
	unsigned := must(wire.Cosign(realm, honest))(t)
	if want := cosigned(header("note"), payload); !bytes.Equal(unsigned, want) {
		t.Fatalf("unsigned: got %x, want %x", unsigned, want)
	}
	one := must(wire.AddCosignature[note](realm, unsigned, keyB))(t)
	both := must(wire.AddCosignature[note](realm, one, keyA))(t)
	again := must(wire.AddCosignature[note](realm, both, keyB))(t)
	if atOnce := must(wire.Cosign(realm, honest, keyA, keyB))(t); !bytes.Equal(both, atOnce) || !bytes.Equal(again, atOnce) {
		t.Error("order or repetition changed the statement")
	}
	_, err := wire.AddCosignature[memo](realm, one, keyA)
	wantCode(t, err, fault.WrongKind)
	_, err = wire.AddCosignature[note](realm, one, wire.Key{})
	wantCode(t, err, fault.BadKey)
	_, err = wire.Cosign(realm, note{Version: 1}, keyA)
	wantCode(t, err, fault.Malformed)
}

func TestParseCosignedRefuses(t *testing.T) {
	head := header("note")
	k := sorted(keyA, keyB)
	first, second := k[0].Public(), k[1].Public()
	s0, s1 := sign(t, k[0], realm, "note", head, payload), sign(t, k[1], realm, "note", head, payload)
	for _, row := range []struct {
		name string
		in   []byte
		want fault.Code
	}{
		{"honest", cosigned(head, payload, first[:], s0, second[:], s1), ""},
		{"nobody has signed yet", cosigned(head, payload), ""},
		{"keys unsorted", cosigned(head, payload, second[:], s1, first[:], s0), fault.Malformed},
		{"key twice", cosigned(head, payload, first[:], s0, first[:], s0), fault.Malformed},
		{"signatures null", join(array(3), bstr(head), bstr(payload), unhex("f6")), fault.Malformed},
		{"short key", cosigned(head, payload, first[:31], s0), fault.Malformed},
		{"short signature", cosigned(head, payload, first[:], s0[:63]), fault.Malformed},
		{"trailing byte", append(cosigned(head, payload), 0), fault.Malformed},
		{"tagged", tagged(cosigned(head, payload, first[:], s0)), fault.Malformed},
		{"other kind", cosigned(header("memo"), payload, first[:], s0), fault.WrongKind},
		{"refused by Check", cosigned(head, unhex("a3 00 01 01 60 02 80")), fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := wire.ParseCosigned[note](row.in, wire.MaxStatement)
			wantCode(t, err, row.want)
		})
	}
	raw := cosigned(head, payload, first[:], s0)
	_, err := wire.ParseCosigned[note](raw, len(raw)-1)
	wantCode(t, err, fault.TooLarge)
}

func TestParseCosignedBoundsSignatures(t *testing.T) {
	var keys []wire.Key
	for i := range wire.MaxCosigners + 1 {
		keys = append(keys, wire.NewKey([32]byte{byte(i), 1}))
	}
	most := must(wire.Cosign(realm, honest, keys[1:]...))(t)
	must(wire.ParseCosigned[note](most, wire.MaxStatement))(t)
	_, err := wire.ParseCosigned[note](must(wire.Cosign(realm, honest, keys...))(t), wire.MaxStatement)
	wantCode(t, err, fault.Malformed)
}

func TestCosignedVerify(t *testing.T) {
	head := header("note")
	sigOf := func(k wire.Key) []byte { return sign(t, k, realm, "note", head, payload) }
	two := must(wire.Cosign(realm, honest, keyA, keyB))(t)
	k := sorted(keyA, keyB)
	first, second := k[0].Public(), k[1].Public()
	all := publics(keyA, keyB, keyC)
	weak := wire.PublicKey{1}
	for _, row := range []struct {
		name  string
		in    []byte
		realm wire.Realm
		need  int
		among []wire.PublicKey
		want  fault.Code
	}{
		{"both of three", two, realm, 2, all, ""},
		{"more than needed", two, realm, 1, all, ""},
		{"extra valid signature of a stranger", two, realm, 1, publics(keyA), ""},
		{"too few", two, realm, 3, all, fault.NoQuorum},
		{"a stranger does not count", two, realm, 2, publics(keyA, keyC), fault.NoQuorum},
		{"a key listed twice counts once", two, realm, 2, publics(keyA, keyA), fault.NoQuorum},
		{"threshold zero", two, realm, 0, all, fault.NoQuorum},
		{"threshold negative", two, realm, -1, all, fault.NoQuorum},
		{"nobody asked for", two, realm, 1, nil, fault.NoQuorum},
		{"nobody signed, threshold zero", cosigned(head, payload), realm, 0, all, fault.NoQuorum},
		{"nobody signed", cosigned(head, payload), realm, 1, all, fault.NoQuorum},
		{"other realm", two, wire.Realm{2}, 2, all, fault.BadSignature},
		{"extra invalid signature", cosigned(head, payload, first[:], sigOf(k[0]), second[:], sigOf(keyC)),
			realm, 1, []wire.PublicKey{first}, fault.BadSignature},
		{"extra signature by a weak key", cosigned(head, payload, weak[:], append(weak[:], make([]byte, 32)...), first[:], sigOf(k[0])),
			realm, 1, []wire.PublicKey{first}, fault.BadKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := must(wire.ParseCosigned[note](row.in, wire.MaxStatement))(t)
			v, err := c.Verify(row.realm, row.need, row.among)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with verified %+v", err, v.Statement())
			}
		})
	}
}

func TestMergeCosigned(t *testing.T) {
	sign := func(keys ...wire.Key) []byte { return must(wire.Cosign(realm, honest, keys...))(t) }
	unsigned, all := sign(), sign(keyA, keyB, keyC)
	for name, got := range map[string][]byte{
		"nothing":             must(wire.MergeCosigned[note](all))(t),
		"unsigned":            must(wire.MergeCosigned[note](all, unsigned))(t),
		"one by one":          must(wire.MergeCosigned[note](unsigned, sign(keyC), sign(keyA), sign(keyB)))(t),
		"overlapping":         must(wire.MergeCosigned[note](sign(keyB), sign(keyA, keyB), sign(keyC, keyB)))(t),
		"all into the others": must(wire.MergeCosigned[note](sign(keyA), all, all))(t),
	} {
		if !bytes.Equal(got, all) {
			t.Errorf("%s: got %x, want %x", name, got, all)
		}
	}
	if got := must(wire.MergeCosigned[note](unsigned, unsigned))(t); !bytes.Equal(got, unsigned) {
		t.Errorf("nobody has signed: %x", got)
	}
	one := sign(keyA)
	kept := bytes.Clone(one)
	must(wire.MergeCosigned[note](one, sign(keyB), sign(keyC)))(t)
	if !bytes.Equal(one, kept) {
		t.Error("merging changed what it was given")
	}
}

func TestMergeCosignedKeepsTheFirstOfAKey(t *testing.T) {
	head, a := header("note"), keyA.Public()
	first, second := bytes.Repeat([]byte{1}, 64), bytes.Repeat([]byte{2}, 64)
	got := must(wire.MergeCosigned[note](cosigned(head, payload, a[:], first), cosigned(head, payload, a[:], second)))(t)
	if want := cosigned(head, payload, a[:], first); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestMergeCosignedRefuses(t *testing.T) {
	one := must(wire.Cosign(realm, honest, keyA))(t)
	other := honest
	other.Text = "ho"
	var many [2][]wire.Key
	for i := range wire.MaxCosigners + 1 {
		many[i%2] = append(many[i%2], wire.NewKey([32]byte{byte(i), 1}))
	}
	half := must(wire.Cosign(realm, honest, many[0]...))(t)
	for _, row := range []struct {
		name   string
		raw    []byte
		others [][]byte
		want   fault.Code
	}{
		{"honest", one, [][]byte{must(wire.Cosign(realm, honest, keyB))(t)}, ""},
		{"another realm's signature, which nobody verifies here", one, [][]byte{must(wire.Cosign(wire.Realm{2}, honest, keyB))(t)}, ""},
		{"another statement of the kind", one, [][]byte{must(wire.Cosign(realm, other, keyB))(t)}, fault.Malformed},
		{"the second is another", one, [][]byte{one, must(wire.Cosign(realm, other, keyB))(t)}, fault.Malformed},
		{"another kind", one, [][]byte{cosigned(header("memo"), payload)}, fault.WrongKind},
		{"another kind to begin with", cosigned(header("memo"), payload), [][]byte{one}, fault.WrongKind},
		{"not a statement", one, [][]byte{nil}, fault.Malformed},
		{"nothing to begin with", nil, [][]byte{one}, fault.Malformed},
		{"too large", one, [][]byte{make([]byte, wire.MaxStatement+1)}, fault.TooLarge},
		{"most signatures", half, [][]byte{must(wire.Cosign(realm, honest, many[1][1:]...))(t)}, ""},
		{"too many signatures", half, [][]byte{must(wire.Cosign(realm, honest, many[1]...))(t)}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := wire.MergeCosigned[note](row.raw, row.others...)
			wantCode(t, err, row.want)
			if err == nil {
				must(wire.ParseCosigned[note](got, wire.MaxStatement))(t)
			}
		})
	}
}

// A statement that was verified once is not verified again, but only under the same realm and only the same bytes.
func TestVerifyingAgainAsksTheSame(t *testing.T) {
	key, here, there := keyA, realm, wire.Realm{2}
	raw := must(wire.Cosign(here, honest, key))(t)
	c := must(wire.ParseCosigned[note](raw, len(raw)))(t)
	for range 2 {
		must(c.Verify(here, 1, publics(key)))(t)
	}
	if _, err := c.Verify(there, 1, publics(key)); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("under another realm: %v", err)
	}
	if _, err := c.Verify(here, 2, publics(key)); !errors.Is(err, wire.ErrTooFew) {
		t.Errorf("two of one: %v", err)
	}
	if _, err := c.Verify(here, 1, nil); !errors.Is(err, wire.ErrTooFew) {
		t.Errorf("among nobody: %v", err)
	}
}
