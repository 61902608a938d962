// Package merkle is the hash tree of RFC 9162 §2.1 (the same tree as RFC 6962's), over SHA-256.
//
// It is a thin layer over golang.org/x/mod/sumdb/tlog and its only importer. A [Tree] grows by leaf
// hashes and proves; [VerifyInclusion] and [VerifyConsistency] check proofs and hold no state.
//
//	var t merkle.Tree
//	err := t.Append(merkle.LeafHash(entry))
//	path, err := t.Inclusion(0, t.Size())
//	err = merkle.VerifyInclusion(t.Root(), t.Size(), 0, merkle.LeafHash(entry), path)
//
// Verification is strict: a proof of another length than the tree's shape demands is refused, as are
// an index outside the tree and sizes above [MaxSize]. The empty tree has the root [EmptyRoot].
// A root alone does not fix its tree's size (RFC 9162 hashes no sizes): take root and size together
// from one signed statement.
//
// The package is pure: no clock, no goroutine, no randomness, no I/O.
package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// A Hash is a leaf hash, an inner node's hash or a root: 32 bytes of SHA-256.
type Hash [sha256.Size]byte

// String returns the hash in lower-case hexadecimal, 64 characters.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MaxSize is the largest size of a tree, in leaves. It bounds proofs to 41 hashes, and keeps
// sizes from strangers far from where 64-bit arithmetic would overflow.
const MaxSize = 1 << 40

var (
	// ErrRange is returned when an index lies outside its tree, an older size is above the newer
	// one, or a size is above MaxSize or above what the tree holds.
	ErrRange = errors.New("merkle: index or size out of range")
	// ErrProof is returned when a proof does not lead to the given root or roots, or is longer or
	// shorter than the shape of the tree demands.
	ErrProof = errors.New("merkle: proof does not hold")
)

// LeafPrefix is the byte that stands before a leaf's data when it is hashed (RFC 9162 §2.1.1).
const LeafPrefix = 0x00

// EmptyRoot returns the root of the tree without leaves: the SHA-256 of nothing (RFC 9162 §2.1.1).
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// LeafHash returns the hash of one leaf: SHA-256(0x00 ‖ data).
func LeafHash(data []byte) Hash { return Hash(tlog.RecordHash(data)) }

// nodeHash returns the hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
func nodeHash(left, right Hash) Hash {
	return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}

// Root returns the root of the tree with the given leaf hashes, EmptyRoot if there are none.
// It allocates nothing and makes one hash fewer than there are leaves.
func Root(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return EmptyRoot()
	}
	// peaks[:n] are the roots of the perfect subtrees that make up the leaves so far, largest first.
	var peaks [64]Hash
	n := 0
	for i, leaf := range leaves {
		for range bits.TrailingZeros(^uint(i)) {
			n--
			leaf = nodeHash(peaks[n], leaf)
		}
		peaks[n] = leaf
		n++
	}
	root := peaks[n-1]
	for i := n - 2; i >= 0; i-- {
		root = nodeHash(peaks[i], root)
	}
	return root
}

// Paths returns the inclusion proof of every leaf in the tree with the given leaf hashes:
// Paths(leaves)[i] proves leaf i under Root(leaves). The proofs share no memory with each other.
func Paths(leaves []Hash) ([][]Hash, error) {
	t, err := Restore(leaves)
	if err != nil {
		return nil, err
	}
	paths := make([][]Hash, len(leaves))
	for i := range leaves {
		if paths[i], err = t.Inclusion(uint64(i), t.Size()); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// VerifyInclusion checks that the tree of the given size and root has leaf at index.
// Errors: ErrRange if index ≥ size or size > MaxSize, ErrProof for all else.
func VerifyInclusion(root Hash, size, index uint64, leaf Hash, proof []Hash) error {
	if size > MaxSize || index >= size {
		return fmt.Errorf("%w: leaf %d of %d", ErrRange, index, size)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(toTlog(proof)), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf)); err != nil {
		return fmt.Errorf("%w: leaf %d of %d", ErrProof, index, size)
	}
	return nil
}

// VerifyConsistency checks that the tree of newSize leaves under newRoot begins with the oldSize
// leaves under oldRoot.
//
// Equal sizes need equal roots and an empty proof. The empty tree is a beginning of every tree:
// oldSize 0 needs EmptyRoot and an empty proof, and says nothing about newRoot.
// Errors: ErrRange if oldSize > newSize or newSize > MaxSize, ErrProof for all else.
func VerifyConsistency(oldSize uint64, oldRoot Hash, newSize uint64, newRoot Hash, proof []Hash) error {
	if newSize > MaxSize || oldSize > newSize {
		return fmt.Errorf("%w: size %d to %d", ErrRange, oldSize, newSize)
	}
	if !consistent(oldSize, oldRoot, newSize, newRoot, proof) {
		return fmt.Errorf("%w: size %d to %d", ErrProof, oldSize, newSize)
	}
	return nil
}

func consistent(oldSize uint64, oldRoot Hash, newSize uint64, newRoot Hash, proof []Hash) bool {
	if newSize == 0 && newRoot != EmptyRoot() {
		return false
	}
	if oldSize == 0 {
		return oldRoot == EmptyRoot() && len(proof) == 0
	}
	return tlog.CheckTree(tlog.TreeProof(toTlog(proof)), int64(newSize), tlog.Hash(newRoot), int64(oldSize), tlog.Hash(oldRoot)) == nil
}

func toTlog(proof []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(proof))
	for i, h := range proof {
		out[i] = tlog.Hash(h)
	}
	return out
}

func fromTlog(proof []tlog.Hash) []Hash {
	out := make([]Hash, len(proof))
	for i, h := range proof {
		out[i] = Hash(h)
	}
	return out
}
