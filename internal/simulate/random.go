package simulate

import (
	"encoding/binary"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// random is the SplitMix64 generator (Steele, Lea, Flood 2014). Each agent has one of its own, so that what one does never
// changes what another would have done.
type random uint64

// newRandom returns the generator of the n-th agent of a population.
func newRandom(seed uint64, population string, n int64) random {
	b := binary.BigEndian.AppendUint64(nil, seed)
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	h := wire.Hash(append(b, population...))
	return random(binary.BigEndian.Uint64(h[:]))
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// below returns a number from 0 to n−1; n is at least 1 and small, so that the remainder's bias does not matter.
func (r *random) below(n int64) int64 { return int64(r.next() % uint64(n)) }

// perMille reports true in n of 1000 cases.
func (r *random) perMille(n int64) bool { return r.below(1000) < n }
