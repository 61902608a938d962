package ledger

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// pileKey names what is summed up together: one operator's and its agents' actions of one of the policy's patterns on one
// target.
type pileKey struct {
	Operator        identity.ID
	Pattern, Target string
}

// portion is what one decision adds to a pile.
type portion struct {
	index  uint64 // of the decision's opening
	at     int64  // log time of the opening
	amount uint64
}

// pile holds portions in order of opening and their sum, in 128 bits: nothing is lost where amounts are large.
type pile struct {
	portions []portion
	high     uint64
	low      uint64
}

func (p *pile) add(amount uint64) {
	var carry uint64
	p.low, carry = bits.Add64(p.low, amount, 0)
	p.high += carry
}

func (p *pile) subtract(amount uint64) {
	var borrow uint64
	p.low, borrow = bits.Sub64(p.low, amount, 0)
	p.high -= borrow
}

// sum returns the sum, at most what 64 bits hold.
func (p *pile) sum() uint64 {
	if p.high > 0 {
		return math.MaxUint64
	}
	return p.low
}

// forget drops the portions from before a log time, inclusive.
func (p *pile) forget(before int64) {
	n := 0
	for n < len(p.portions) && p.portions[n].at <= before {
		p.subtract(p.portions[n].amount)
		n++
	}
	p.portions = p.portions[n:]
}

// times returns a product, at most what 64 bits hold.
func times(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high > 0 {
		return math.MaxUint64
	}
	return low
}

// amountOf returns what a proposal comes to, each use of a permit counted; without an amount an action counts as 1.
func amountOf(p consensus.Proposal) uint64 {
	amount := max(p.Action.Amount, 1)
	if p.Permit != nil {
		return times(p.Permit.Uses, amount)
	}
	return amount
}

// counts returns what a decision adds to a sum now: what it may come to while it is open or approved, what was done of it
// where it was taken back, and otherwise nothing.
func (d *Decision) counts() uint64 {
	switch d.Verdict.State {
	case consensus.Open, consensus.Approved:
		return amountOf(*d.claim)
	case consensus.Cancelled:
		return times(d.Used(), max(d.claim.Action.Amount, 1))
	}
	return 0
}

// sumWith returns what the policy wants summed up for a proposal of the operator or one of its agents, the proposal
// included; 0 if the policy sums nothing up.
func (s *state) sumWith(operator identity.ID, p consensus.Proposal) uint64 {
	pattern, window, summed := s.policy.Summed(p.Action)
	if !summed {
		return 0
	}
	key := pileKey{operator, pattern, p.Action.Target}
	var before uint64
	if pile := s.piles[key]; pile != nil {
		pile.forget(s.now - window)
		if before = pile.sum(); len(pile.portions) == 0 {
			delete(s.piles, key)
		}
	}
	sum, carry := bits.Add64(before, amountOf(p), 0)
	if carry > 0 {
		return math.MaxUint64
	}
	return sum
}

func (s *state) keyOf(d *Decision) (pileKey, bool) {
	pattern, _, summed := s.policy.Summed(d.claim.Action)
	return pileKey{d.Opening.Operator, pattern, d.claim.Action.Target}, summed
}

// count adds a decision to its sum. It must have been opened after all others there.
func (s *state) count(d *Decision) {
	key, summed := s.keyOf(d)
	if !summed {
		return
	}
	if s.piles[key] == nil {
		s.piles[key] = &pile{}
	}
	p, amount := s.piles[key], d.counts()
	p.add(amount)
	p.portions = append(p.portions, portion{d.Opening.Index, d.Opening.Opened, amount})
}

// recount changes what a decision adds to its sum to what it does now. Whoever changes a verdict or adds a use to what is
// taken back calls it.
func (s *state) recount(d *Decision) {
	key, summed := s.keyOf(d)
	if !summed || s.piles[key] == nil {
		return
	}
	p := s.piles[key]
	i, found := slices.BinarySearchFunc(p.portions, d.Opening.Index, func(a portion, index uint64) int {
		return cmp.Compare(a.index, index)
	})
	if !found {
		return // too old to count
	}
	p.subtract(p.portions[i].amount)
	p.portions[i].amount = d.counts()
	p.add(p.portions[i].amount)
}

// resum makes all sums anew: after a restore, and after the policy changed.
func (s *state) resum() {
	clear(s.piles)
	var list []*Decision
	for _, d := range s.decisions {
		_, window, summed := s.policy.Summed(d.claim.Action)
		if summed && d.Opening.Opened > s.now-window {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *Decision) int { return cmp.Compare(a.Opening.Index, b.Opening.Index) })
	for _, d := range list {
		s.count(d)
	}
}
