package merkle

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree is an append-only hash tree in memory. It keeps the hashes of all leaves and of all
// complete subtrees, just under 64 bytes a leaf, so that each root and proof of any size up to its
// own costs at most a few dozen hashes. The zero Tree is empty and ready to use.
//
// A Tree is not safe for concurrent use while it grows.
type Tree struct {
	size   uint64
	stored []tlog.Hash // in the order of tlog.StoredHashIndex
}

// Restore returns the tree with the given leaf hashes: what [Tree.Leaves] returned. It keeps no
// reference to leaves. Errors: ErrRange above MaxSize.
func Restore(leaves []Hash) (*Tree, error) {
	t := &Tree{stored: make([]tlog.Hash, 0, tlog.StoredHashCount(int64(len(leaves))))}
	for _, leaf := range leaves {
		if err := t.Append(leaf); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Append adds one leaf hash at index Size. Errors: ErrRange if the tree has MaxSize leaves.
func (t *Tree) Append(leaf Hash) error {
	if t.size >= MaxSize {
		return fmt.Errorf("%w: tree holds %d leaves", ErrRange, t.size)
	}
	hashes, err := tlog.StoredHashesForRecordHash(int64(t.size), tlog.Hash(leaf), t.reader())
	if err != nil {
		return fmt.Errorf("merkle: append leaf %d: %w", t.size, err)
	}
	t.stored = append(t.stored, hashes...)
	t.size++
	return nil
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the root over all leaves, EmptyRoot if there are none.
func (t *Tree) Root() Hash {
	root, err := t.RootAt(t.size)
	if err != nil {
		panic("merkle: no root at the tree's own size: " + err.Error()) // stored hashes are complete by construction
	}
	return root
}

// RootAt returns the root that the tree had at the given size. Errors: ErrRange above Size.
func (t *Tree) RootAt(size uint64) (Hash, error) {
	if size > t.size {
		return Hash{}, fmt.Errorf("%w: size %d of %d", ErrRange, size, t.size)
	}
	if size == 0 {
		return EmptyRoot(), nil
	}
	root, err := tlog.TreeHash(int64(size), t.reader())
	return Hash(root), err
}

// Leaf returns the leaf hash at index. Errors: ErrRange if index ≥ Size.
func (t *Tree) Leaf(index uint64) (Hash, error) {
	if index >= t.size {
		return Hash{}, fmt.Errorf("%w: leaf %d of %d", ErrRange, index, t.size)
	}
	return Hash(t.stored[tlog.StoredHashIndex(0, int64(index))]), nil
}

// Leaves returns a copy of all leaf hashes in order, 32 bytes each: a snapshot for Restore.
func (t *Tree) Leaves() []Hash {
	leaves := make([]Hash, t.size)
	for i := range leaves {
		leaves[i] = Hash(t.stored[tlog.StoredHashIndex(0, int64(i))])
	}
	return leaves
}

// Clone returns an independent copy of the tree.
func (t *Tree) Clone() *Tree {
	return &Tree{size: t.size, stored: slices.Clone(t.stored)}
}

// Inclusion returns the proof, at most 40 hashes, that the leaf at index stands in the tree of the
// given size. It is empty for a tree of one leaf. Errors: ErrRange if index ≥ size or size > Size.
func (t *Tree) Inclusion(index, size uint64) ([]Hash, error) {
	if size > t.size || index >= size {
		return nil, fmt.Errorf("%w: leaf %d of %d, tree holds %d", ErrRange, index, size, t.size)
	}
	proof, err := tlog.ProveRecord(int64(size), int64(index), t.reader())
	if err != nil {
		return nil, fmt.Errorf("merkle: prove leaf %d of %d: %w", index, size, err)
	}
	return fromTlog(proof), nil
}

// Consistency returns the proof, at most 41 hashes, that the tree of newSize leaves begins with
// that of oldSize. It is empty if the sizes are equal or oldSize is 0.
// Errors: ErrRange if oldSize > newSize or newSize > Size.
func (t *Tree) Consistency(oldSize, newSize uint64) ([]Hash, error) {
	if newSize > t.size || oldSize > newSize {
		return nil, fmt.Errorf("%w: size %d to %d, tree holds %d", ErrRange, oldSize, newSize, t.size)
	}
	if oldSize == 0 {
		return []Hash{}, nil
	}
	proof, err := tlog.ProveTree(int64(newSize), int64(oldSize), t.reader())
	if err != nil {
		return nil, fmt.Errorf("merkle: prove size %d to %d: %w", oldSize, newSize, err)
	}
	return fromTlog(proof), nil
}

// reader gives tlog the stored hashes it asks for.
func (t *Tree) reader() tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index < 0 || index >= int64(len(t.stored)) {
				return nil, fmt.Errorf("%w: stored hash %d of %d", ErrRange, index, len(t.stored))
			}
			out[i] = t.stored[index]
		}
		return out, nil
	}
}
