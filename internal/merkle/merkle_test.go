package merkle_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
)

// Exhaustive tests go up to this size: two levels past a power of two and back.
const small = 34

func numbered(n int) []merkle.Hash {
	leaves := make([]merkle.Hash, n)
	for i := range leaves {
		leaves[i] = merkle.LeafHash(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	return leaves
}

func grown(t testing.TB, n int) *merkle.Tree {
	t.Helper()
	var tree merkle.Tree
	for _, leaf := range numbered(n) {
		if err := tree.Append(leaf); err != nil {
			t.Fatal(err)
		}
	}
	return &tree
}

// definition is the recursive text of RFC 9162 §2.1.1, with nothing shared with the code under test.
func definition(leaves []merkle.Hash) merkle.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := definition(leaves[:k]), definition(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

func TestRootsFollowTheDefinition(t *testing.T) {
	tree, leaves := grown(t, 300), numbered(300)
	for n := range 301 {
		want := definition(leaves[:n])
		if got := merkle.Root(leaves[:n]); got != want {
			t.Errorf("Root of %d = %s, want %s", n, got, want)
		}
		if got, err := tree.RootAt(uint64(n)); err != nil || got != want {
			t.Errorf("RootAt(%d) = %s, %v, want %s", n, got, err, want)
		}
	}
	if tree.Root() != definition(leaves) {
		t.Error("Root differs from RootAt(Size)")
	}
}

func TestRootAllocatesNothing(t *testing.T) {
	leaves := numbered(257)
	if n := testing.AllocsPerRun(10, func() { merkle.Root(leaves) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEveryInclusion(t *testing.T) {
	tree, leaves := grown(t, small), numbered(small)
	for size := uint64(1); size <= small; size++ {
		root := definition(leaves[:size])
		paths, err := merkle.Paths(leaves[:size])
		if err != nil {
			t.Fatal(err)
		}
		for index := range size {
			proof, err := tree.Inclusion(index, size)
			if err != nil || !slices.Equal(proof, paths[index]) {
				t.Fatalf("Inclusion(%d, %d) = %v, %v; Paths says %v", index, size, proof, err, paths[index])
			}
			if err := merkle.VerifyInclusion(root, size, index, leaves[index], proof); err != nil {
				t.Errorf("leaf %d of %d: %v", index, size, err)
			}
			plantInclusion(t, root, size, index, leaves, proof)
		}
	}
}

// plantInclusion spoils one good proof in every way it knows and expects a refusal each time.
func plantInclusion(t *testing.T, root merkle.Hash, size, index uint64, leaves, proof []merkle.Hash) {
	t.Helper()
	refused := func(what string, root merkle.Hash, size, index uint64, leaf merkle.Hash, proof []merkle.Hash) {
		t.Helper()
		if err := merkle.VerifyInclusion(root, size, index, leaf, proof); !errors.Is(err, merkle.ErrProof) {
			t.Errorf("leaf %d of %d, %s: %v, want ErrProof", index, size, what, err)
		}
	}
	leaf := leaves[index]
	refused("other root", flip(root, 0), size, index, leaf, proof)
	refused("other leaf", root, size, index, flip(leaf, 31), proof)
	refused("one hash more", root, size, index, leaf, append(slices.Clone(proof), leaf))
	refused("one hash before", root, size, index, leaf, append([]merkle.Hash{leaf}, proof...))
	if len(proof) > 0 {
		refused("last hash missing", root, size, index, leaf, proof[:len(proof)-1])
		refused("first hash missing", root, size, index, leaf, proof[1:])
	}
	for _, bad := range flips(proof) {
		refused("flipped byte", root, size, index, leaf, bad)
	}
	for other := range size {
		if other != index {
			refused("other index", root, size, other, leaf, proof)
		}
	}
}

func TestEveryConsistency(t *testing.T) {
	tree, leaves := grown(t, small), numbered(small)
	for newSize := range uint64(small + 1) {
		for oldSize := range newSize + 1 {
			oldRoot, newRoot := definition(leaves[:oldSize]), definition(leaves[:newSize])
			proof, err := tree.Consistency(oldSize, newSize)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyConsistency(oldSize, oldRoot, newSize, newRoot, proof); err != nil {
				t.Errorf("%d to %d: %v", oldSize, newSize, err)
			}
			plantConsistency(t, oldSize, oldRoot, newSize, newRoot, proof)
		}
	}
}

func plantConsistency(t *testing.T, oldSize uint64, oldRoot merkle.Hash, newSize uint64, newRoot merkle.Hash, proof []merkle.Hash) {
	t.Helper()
	refused := func(what string, oldRoot, newRoot merkle.Hash, proof []merkle.Hash) {
		t.Helper()
		if err := merkle.VerifyConsistency(oldSize, oldRoot, newSize, newRoot, proof); !errors.Is(err, merkle.ErrProof) {
			t.Errorf("%d to %d, %s: %v, want ErrProof", oldSize, newSize, what, err)
		}
	}
	refused("other old root", flip(oldRoot, 5), newRoot, proof)
	if oldSize > 0 || newSize == 0 {
		refused("other new root", oldRoot, flip(newRoot, 6), proof)
	}
	refused("one hash more", oldRoot, newRoot, append(slices.Clone(proof), newRoot))
	if len(proof) > 0 {
		refused("last hash missing", oldRoot, newRoot, proof[:len(proof)-1])
		refused("no proof", oldRoot, newRoot, nil)
	}
	for _, bad := range flips(proof) {
		refused("flipped byte", oldRoot, newRoot, bad)
	}
}

func flip(h merkle.Hash, at int) merkle.Hash {
	h[at] ^= 0x01
	return h
}

// flips returns one copy of the proof for each of its bytes, with that byte changed.
func flips(proof []merkle.Hash) [][]merkle.Hash {
	var out [][]merkle.Hash
	for i := range proof {
		for b := range proof[i] {
			bad := slices.Clone(proof)
			bad[i] = flip(bad[i], b)
			out = append(out, bad)
		}
	}
	return out
}

func TestOutOfRange(t *testing.T) {
	tree := grown(t, 5)
	root := tree.Root()
	verify := merkle.VerifyInclusion
	consistency := func(oldSize, newSize uint64) error {
		return merkle.VerifyConsistency(oldSize, root, newSize, root, nil)
	}
	tests := []struct {
		name string
		err  error
	}{
		{"index at size", verify(root, 5, 5, root, nil)},
		{"index above size", verify(root, 5, math.MaxUint64, root, nil)},
		{"leaf of the empty tree", verify(merkle.EmptyRoot(), 0, 0, root, nil)},
		{"size above MaxSize", verify(root, merkle.MaxSize+1, 0, root, nil)},
		{"size at the end of uint64", verify(root, math.MaxUint64, 0, root, nil)},
		{"size where int64 turns", verify(root, 1<<63, 0, root, nil)},
		{"old above new", consistency(6, 5)},
		{"new above MaxSize", consistency(5, merkle.MaxSize+1)},
		{"new at the end of uint64", consistency(0, math.MaxUint64)},
		{"RootAt above Size", second(tree.RootAt(6))},
		{"Leaf at Size", second(tree.Leaf(5))},
		{"Inclusion above Size", second(tree.Inclusion(0, 6))},
		{"Inclusion at size", second(tree.Inclusion(5, 5))},
		{"Consistency above Size", second(tree.Consistency(1, 6))},
		{"Consistency backwards", second(tree.Consistency(3, 2))},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, merkle.ErrRange) {
			t.Errorf("%s: %v, want ErrRange", tt.name, tt.err)
		}
	}
	if err := verify(root, merkle.MaxSize, merkle.MaxSize-1, root, make([]merkle.Hash, 40)); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("largest tree: %v, want ErrProof", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSnapshotAndRestore(t *testing.T) {
	tree := grown(t, 21)
	snapshot := tree.Leaves()
	clone := tree.Clone()
	if !slices.Equal(snapshot, numbered(21)) {
		t.Fatal("Leaves differ from what was appended")
	}
	back, err := merkle.Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	snapshot[3] = merkle.Hash{} // the tree keeps no reference
	for _, tr := range []*merkle.Tree{tree, back} {
		if err := tr.Append(merkle.LeafHash([]byte("next"))); err != nil {
			t.Fatal(err)
		}
	}
	if back.Root() != tree.Root() || back.Size() != 22 {
		t.Error("a restored tree grows differently")
	}
	if want, _ := tree.RootAt(21); clone.Root() != want || clone.Size() != 21 {
		t.Error("a clone changed with its original")
	}
	if leaf, err := back.Leaf(3); err != nil || leaf != numbered(4)[3] {
		t.Errorf("Leaf(3) = %s, %v", leaf, err)
	}
}

func TestEmptyTree(t *testing.T) {
	var tree merkle.Tree
	if tree.Size() != 0 || tree.Root() != merkle.EmptyRoot() || len(tree.Leaves()) != 0 {
		t.Error("the zero Tree is not the empty tree")
	}
	if paths, err := merkle.Paths(nil); err != nil || len(paths) != 0 {
		t.Errorf("Paths(nil) = %v, %v", paths, err)
	}
}
