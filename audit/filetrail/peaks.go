package filetrail

import (
	"math/bits"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// peaks is an RFC 9162 tree that only tells its root: it keeps the roots of the perfect subtrees that make it up,
// largest first, one for each set bit of the size.
type peaks struct {
	size  uint64
	roots []merkle.Hash
}

func (p *peaks) add(leaf merkle.Hash) {
	for range bits.TrailingZeros64(^p.size) {
		last := len(p.roots) - 1
		leaf = join(p.roots[last], leaf)
		p.roots = p.roots[:last]
	}
	p.roots = append(p.roots, leaf)
	p.size++
}

func (p *peaks) root() wire.Digest {
	if p.size == 0 {
		return wire.Digest(merkle.EmptyRoot())
	}
	last := len(p.roots) - 1
	root := p.roots[last]
	for i := last - 1; i >= 0; i-- {
		root = join(p.roots[i], root)
	}
	return wire.Digest(root)
}

// join is the hash of an inner node, which is the root of a tree of two leaves with these hashes.
func join(left, right merkle.Hash) merkle.Hash { return merkle.Root([]merkle.Hash{left, right}) }
