package merkle_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
)

// split cuts raw into whole hashes and drops the rest.
func split(raw []byte) []merkle.Hash {
	var out []merkle.Hash
	for chunk := range slices.Chunk(raw, len(merkle.Hash{})) {
		if len(chunk) == len(merkle.Hash{}) {
			out = append(out, merkle.Hash(chunk))
		}
	}
	return out
}

func join(proof []merkle.Hash) []byte {
	var out []byte
	for _, h := range proof {
		out = append(out, h[:]...)
	}
	return out
}

// Whatever is accepted for a tree we know must be the proof that the tree itself gives.
func FuzzVerifyInclusion(f *testing.F) {
	tree := grown(f, small)
	for _, index := range []uint64{0, 7, small - 1} {
		proof, err := tree.Inclusion(index, small)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(small), index, join(proof))
	}
	f.Add(uint64(1)<<62+1, uint64(3), []byte{})
	f.Fuzz(func(t *testing.T, size, index uint64, raw []byte) {
		leaf, root := merkle.LeafHash(raw), tree.Root()
		if index < small {
			leaf, _ = tree.Leaf(index)
		}
		if size <= small {
			root, _ = tree.RootAt(size)
		}
		if merkle.VerifyInclusion(root, size, index, leaf, split(raw)) != nil || size > small {
			return // a root does not commit to its size, so a larger size we have no root of proves nothing
		}
		want, err := tree.Inclusion(index, size)
		if err != nil || !slices.Equal(want, split(raw)) {
			t.Fatalf("accepted a proof of leaf %d of %d that the tree does not give", index, size)
		}
	})
}

func FuzzVerifyConsistency(f *testing.F) {
	tree := grown(f, small)
	for _, oldSize := range []uint64{0, 1, 6, 32, small} {
		proof, err := tree.Consistency(oldSize, small)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(oldSize, uint64(small), join(proof))
	}
	f.Add(uint64(2), uint64(1)<<62+1, []byte{})
	f.Fuzz(func(t *testing.T, oldSize, newSize uint64, raw []byte) {
		oldRoot, newRoot := tree.Root(), tree.Root()
		if oldSize <= small {
			oldRoot, _ = tree.RootAt(oldSize)
		}
		if newSize <= small {
			newRoot, _ = tree.RootAt(newSize)
		}
		if merkle.VerifyConsistency(oldSize, oldRoot, newSize, newRoot, split(raw)) != nil || newSize > small {
			return
		}
		if oldSize == 0 || oldSize == newSize && len(split(raw)) == 0 {
			return // accepted without a proof, on the roots alone
		}
		want, err := tree.Consistency(oldSize, newSize)
		if err != nil || !slices.Equal(want, split(raw)) {
			t.Fatalf("accepted a proof from %d to %d that the tree does not give", oldSize, newSize)
		}
	})
}
