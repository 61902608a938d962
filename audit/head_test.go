package audit_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const now = int64(1_800_000_000_000) // Unix milliseconds

var realm = wire.Realm{1, 2, 3}

func key(name string) wire.Key { return wire.NewKey(sha256.Sum256([]byte(name))) }

// authority returns a realm's authority with the nodes n-1 to n-size, by the roster of that number.
func authority(number uint64, size int) (*identity.Authority, []wire.Key) {
	a := &identity.Authority{Realm: realm, Number: number, Threshold: 1}
	var keys []wire.Key
	for i := range size {
		keys = append(keys, key(fmt.Sprintf("n-%d", i+1)))
		a.Nodes = append(a.Nodes, identity.NewID(identity.Node, keys[i].Public()))
	}
	slices.SortFunc(a.Nodes, identity.ID.Compare)
	return a, keys
}

type result struct {
	Text string `cbor:"1,keyasint"`
}

func resultOf(i int) result { return result{Text: fmt.Sprintf("result %d", i)} }

func digest(t testing.TB, v any) wire.Digest {
	t.Helper()
	b, err := wire.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Hash(b)
}

// record returns the leaves of some commands, the third of which was refused, and their tree.
func record(t testing.TB, size int) ([]audit.Leaf, *merkle.Tree) {
	t.Helper()
	var leaves []audit.Leaf
	tree := new(merkle.Tree)
	for i := range size {
		l := audit.Leaf{
			Index: uint64(i + 1), Command: wire.Hash([]byte{byte(i)}), Result: digest(t, resultOf(i+1)),
		}
		if i == 2 {
			l.Verdict = fault.Denied
		}
		leaves = append(leaves, l)
		if err := tree.Append(l.Hash()); err != nil {
			t.Fatal(err)
		}
	}
	return leaves, tree
}

func headOf(tree *merkle.Tree, roster uint64) audit.Head {
	return audit.Head{
		Version: 1, Roster: roster, Size: tree.Size(), Root: wire.Digest(tree.Root()), Time: now,
		State: wire.Hash([]byte("state")),
	}
}

func cosign(t testing.TB, statement wire.Statement, keys ...wire.Key) []byte {
	t.Helper()
	raw, err := wire.Cosign(realm, statement, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func inclusion(t testing.TB, leaves []audit.Leaf, tree *merkle.Tree, index uint64) audit.Inclusion {
	t.Helper()
	path, err := tree.Inclusion(index-1, tree.Size())
	if err != nil {
		t.Fatal(err)
	}
	return audit.Inclusion{Leaf: leaves[index-1], Path: path}
}

func TestHeadNeedsAMajority(t *testing.T) {
	_, tree := record(t, 5)
	stranger := key("stranger")
	for _, c := range []struct {
		nodes, signed int
		strangers     bool
		ok            bool
	}{
		{1, 1, false, true},
		{1, 0, false, false},
		{2, 2, false, true},
		{2, 1, false, false},
		{3, 2, false, true},
		{3, 3, false, true},
		{3, 1, false, false},
		{3, 1, true, false}, // a stranger does not count
		{3, 2, true, true},  // and does not harm
		{4, 3, false, true},
		{4, 2, false, false},
		{5, 3, false, true},
		{5, 2, false, false},
		{5, 2, true, false},
	} {
		t.Run(fmt.Sprintf("%d of %d, strangers %t", c.signed, c.nodes, c.strangers), func(t *testing.T) {
			a, keys := authority(4, c.nodes)
			signers := slices.Clone(keys[:c.signed])
			if c.strangers {
				signers = append(signers, stranger)
			}
			want := headOf(tree, 4)
			v, err := audit.VerifyHead(cosign(t, want, signers...), a)
			if c.ok && (err != nil || v.Statement() != want) {
				t.Errorf("%+v, %v", v.Statement(), err)
			}
			if !c.ok && (!errors.Is(err, wire.ErrTooFew) || fault.CodeOf(err) != fault.NoQuorum || !v.IsZero()) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHeadRefusals(t *testing.T) {
	_, tree := record(t, 5)
	a, keys := authority(4, 3)
	honest := cosign(t, headOf(tree, 4), keys...)
	if _, err := audit.VerifyHead(honest, a); err != nil {
		t.Fatal(err)
	}
	tampered := slices.Clone(honest)
	tampered[len(tampered)-1] ^= 1
	elsewhere, err := wire.Cosign(wire.Realm{9}, headOf(tree, 4), keys...)
	if err != nil {
		t.Fatal(err)
	}
	roster := identity.Roster{
		Version: 1, Number: 1, Previous: wire.Digest(realm), Issued: now, Threshold: 1, Nodes: a.Nodes,
		Roots: []identity.ID{identity.NewID(identity.Operator, key("root").Public())},
	}
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"an older roster", cosign(t, headOf(tree, 3), keys...), audit.ErrOldRoster},
		{"a newer roster", cosign(t, headOf(tree, 5), keys...), audit.ErrOldRoster},
		{"tampered", tampered, wire.ErrBadSignature},
		{"another realm", elsewhere, wire.ErrBadSignature},
		{"another kind", cosign(t, roster, keys...), wire.ErrWrongKind},
		{"nothing", nil, wire.ErrMalformed},
		{"too large", make([]byte, wire.MaxStatement+1), wire.ErrTooLarge},
	} {
		if v, err := audit.VerifyHead(c.raw, a); !errors.Is(err, c.want) || !v.IsZero() {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if code := fault.CodeOf(audit.ErrOldRoster); code != fault.Superseded {
		t.Errorf("another roster has the code %s", code)
	}
}

// The nodes of an earlier roster are nobody under the next one.
func TestHeadOfFormerNodes(t *testing.T) {
	_, tree := record(t, 5)
	a, keys := authority(4, 3)
	raw := cosign(t, headOf(tree, 4), keys...)
	if _, err := audit.VerifyHead(raw, a); err != nil {
		t.Fatal(err)
	}
	replaced := *a
	replaced.Nodes = []identity.ID{identity.NewID(identity.Node, key("new").Public())}
	if _, err := audit.VerifyHead(raw, &replaced); !errors.Is(err, wire.ErrTooFew) {
		t.Errorf("got %v", err)
	}
}

func TestHeadCheck(t *testing.T) {
	_, tree := record(t, 1)
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*audit.Head)
	}{
		{"honest", nil, func(*audit.Head) {}},
		{"before the first tick", nil, func(h *audit.Head) { h.Time = 0 }},
		{"of the genesis' nodes", nil, func(h *audit.Head) { h.Roster = 0 }},
		{"version 0", wire.ErrVersion, func(h *audit.Head) { h.Version = 0 }},
		{"version 2", wire.ErrVersion, func(h *audit.Head) { h.Version = 2 }},
		{"of nothing", wire.ErrMalformed, func(h *audit.Head) { h.Size = 0 }},
		{"without a root", wire.ErrMalformed, func(h *audit.Head) { h.Root = wire.Digest{} }},
		{"before 1970", wire.ErrMalformed, func(h *audit.Head) { h.Time = -1 }},
	} {
		h := headOf(tree, 1)
		c.change(&h)
		if err := h.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func verifiedHead(t testing.TB, tree *merkle.Tree) wire.Verified[audit.Head] {
	t.Helper()
	a, keys := authority(4, 3)
	h, err := audit.VerifyHead(cosign(t, headOf(tree, 4), keys...), a)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEveryLeafIsIncluded(t *testing.T) {
	for size := 1; size <= 9; size++ {
		leaves, tree := record(t, size)
		h := verifiedHead(t, tree)
		for i := range leaves {
			in := inclusion(t, leaves, tree, uint64(i+1))
			if err := in.Verify(h); err != nil {
				t.Errorf("leaf %d of %d: %v", i+1, size, err)
			}
			err := in.Shows(h, resultOf(i+1))
			if refused := i == 2; (err == nil) == refused {
				t.Errorf("leaf %d of %d, refused %t: %v", i+1, size, refused, err)
			}
		}
	}
}

func TestInclusionRefusals(t *testing.T) {
	leaves, tree := record(t, 7)
	h := verifiedHead(t, tree)
	if err := inclusion(t, leaves, tree, 5).Shows(h, resultOf(5)); err != nil {
		t.Fatal(err)
	}
	_, shorter := record(t, 4)
	for _, c := range []struct {
		name   string
		head   wire.Verified[audit.Head]
		shown  any
		change func(*audit.Inclusion)
	}{
		{"another result", h, resultOf(6), func(*audit.Inclusion) {}},
		{"no result", h, nil, func(*audit.Inclusion) {}},
		{"a result put in", h, resultOf(6), func(i *audit.Inclusion) { i.Leaf.Result = digest(t, resultOf(6)) }},
		{"another command", h, resultOf(5), func(i *audit.Inclusion) { i.Leaf.Command[0] ^= 1 }},
		{"another leaf's path", h, resultOf(5), func(i *audit.Inclusion) { i.Path = inclusion(t, leaves, tree, 6).Path }},
		{"another leaf's place", h, resultOf(5), func(i *audit.Inclusion) { i.Leaf.Index = 6 }},
		{"place 0", h, resultOf(5), func(i *audit.Inclusion) { i.Leaf.Index = 0 }},
		{"beyond the head", h, resultOf(5), func(i *audit.Inclusion) { i.Leaf.Index = 8 }},
		{"far beyond the head", h, resultOf(5), func(i *audit.Inclusion) { i.Leaf.Index = 1 << 63 }},
		{"a short path", h, resultOf(5), func(i *audit.Inclusion) { i.Path = i.Path[1:] }},
		{"a long path", h, resultOf(5), func(i *audit.Inclusion) { i.Path = append(i.Path, merkle.Hash{}) }},
		{"a changed path", h, resultOf(5), func(i *audit.Inclusion) { i.Path[0][0] ^= 1 }},
		{"an older head", verifiedHead(t, shorter), resultOf(5), func(*audit.Inclusion) {}},
		{"no head", wire.Verified[audit.Head]{}, resultOf(5), func(*audit.Inclusion) {}},
	} {
		in := inclusion(t, leaves, tree, 5)
		c.change(&in)
		if err := in.Shows(c.head, c.shown); !errors.Is(err, audit.ErrNotIncluded) || fault.CodeOf(err) != fault.BadSignature {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A refused command stands in the tree like any other, and shows nothing.
func TestRefusedVerdict(t *testing.T) {
	leaves, tree := record(t, 7)
	h := verifiedHead(t, tree)
	in := inclusion(t, leaves, tree, 3)
	if err := in.Verify(h); err != nil {
		t.Fatal(err)
	}
	if err := in.Shows(h, resultOf(3)); !errors.Is(err, audit.ErrNotIncluded) {
		t.Errorf("a refused command shows its result: %v", err)
	}
	in.Leaf.Verdict = "" // nor can its refusal be left out
	if err := in.Shows(h, resultOf(3)); !errors.Is(err, audit.ErrNotIncluded) {
		t.Errorf("a refusal was left out: %v", err)
	}
}

func TestShowsNeedsAResultThatEncodes(t *testing.T) {
	leaves, tree := record(t, 1)
	if err := inclusion(t, leaves, tree, 1).Shows(verifiedHead(t, tree), make(chan int)); err == nil {
		t.Error("a channel was shown")
	}
}

func TestReceipt(t *testing.T) {
	leaves, tree := record(t, 6)
	a, keys := authority(4, 3)
	honest := audit.Receipt{Inclusion: inclusion(t, leaves, tree, 2), Head: cosign(t, headOf(tree, 4), keys[:2]...)}
	raw, err := wire.Encode(honest)
	if err != nil {
		t.Fatal(err)
	}
	var r audit.Receipt
	if err := wire.Decode(raw, &r); err != nil {
		t.Fatal(err)
	}
	h, err := r.Verify(a, resultOf(2))
	if err != nil || h.Statement().Size != 6 {
		t.Fatalf("%+v, %v", h.Statement(), err)
	}
	if _, err := r.Verify(a, resultOf(1)); !errors.Is(err, audit.ErrNotIncluded) {
		t.Errorf("another result: %v", err)
	}
	r.Head = cosign(t, headOf(tree, 4), keys[:1]...)
	if _, err := r.Verify(a, resultOf(2)); !errors.Is(err, wire.ErrTooFew) {
		t.Errorf("a minority's head: %v", err)
	}
	r.Head = cosign(t, headOf(tree, 3), keys...)
	if _, err := r.Verify(a, resultOf(2)); !errors.Is(err, audit.ErrOldRoster) {
		t.Errorf("another roster's head: %v", err)
	}
}

// A leaf's hash covers every field.
func TestLeafHash(t *testing.T) {
	leaves, _ := record(t, 1)
	seen := map[merkle.Hash]string{leaves[0].Hash(): "the honest leaf"}
	for name, change := range map[string]func(*audit.Leaf){
		"index":   func(l *audit.Leaf) { l.Index++ },
		"command": func(l *audit.Leaf) { l.Command[31] ^= 1 },
		"verdict": func(l *audit.Leaf) { l.Verdict = fault.Denied },
		"result":  func(l *audit.Leaf) { l.Result[31] ^= 1 },
	} {
		l := leaves[0]
		change(&l)
		if other, ok := seen[l.Hash()]; ok {
			t.Errorf("another %s: the hash of %s", name, other)
		}
		seen[l.Hash()] = name
	}
}

// No bytes are a head but those that a majority signed.
func FuzzVerifyHead(f *testing.F) {
	_, tree := record(f, 5)
	a, keys := authority(4, 3)
	want := headOf(tree, 4)
	f.Add(cosign(f, want, keys...))
	f.Add(cosign(f, want, keys[:2]...))
	f.Add(cosign(f, want, keys[:1]...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := audit.VerifyHead(raw, a)
		if err == nil && v.Statement() != want {
			t.Fatalf("accepted: %x", raw)
		}
		if err != nil && fault.CodeOf(err) == fault.Internal {
			t.Fatalf("a refusal without a code: %v", err)
		}
	})
}
