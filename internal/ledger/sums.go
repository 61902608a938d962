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
// target; or what their permits for further targets come to, on whichever; or all of that.
type pileKey struct {
	Operator        identity.ID
	Pattern, Target string // no target but where the reach is one
	Reach           reach
}

// reach is on which targets the decisions of a pile may act.
type reach uint8

const (
	one     reach = iota // one target
	several              // what permits name: whoever spells targets as patterns could reach any
	every                // all decisions together
)

// portion is what one decision adds to a pile.
type portion struct {
	index  uint64 // of the decision's opening
	last   int64  // log time of the last of it that was or can be done
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

// forget drops the portions of which nothing was done, or can be, after a log time.
func (p *pile) forget(until int64) {
	p.portions = slices.DeleteFunc(p.portions, func(a portion) bool {
		if a.last <= until {
			p.subtract(a.amount)
		}
		return a.last <= until
	})
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

// last returns the log time of the last that was, or may still be, done by a decision. It never rises again once the
// decision has ended: until then, nobody knows.
func (d *Decision) last() int64 {
	p, used := d.claim, d.Used()
	switch {
	case d.Verdict.State == consensus.Open:
		return math.MaxInt64
	case d.Verdict.State != consensus.Approved && used == 0:
		return d.Verdict.At
	case used > 0 && (d.Verdict.State != consensus.Approved || p.Permit == nil || used >= p.Permit.Uses):
		return d.Uses[len(d.Uses)-1].Consumption.At
	}
	return d.Verdict.Until
}

// sumWith returns what the policy wants summed up for a proposal of the operator or one of its agents, the proposal
// included; 0 if the policy sums nothing up. A permit for several targets is summed up with all that was done to any, and is
// part of every target's sum: whoever asks for one does not split anything by it.
func (s *state) sumWith(operator identity.ID, p consensus.Proposal) uint64 {
	pattern, window, summed := s.policy.Summed(p.Action)
	if !summed {
		return 0
	}
	sum := amountOf(p)
	for _, key := range sumKeys(operator, pattern, p) {
		pile := s.piles[key]
		if pile == nil {
			continue
		}
		pile.forget(s.now - window)
		sum = plus(sum, pile.sum())
		if len(pile.portions) == 0 {
			delete(s.piles, key)
		}
	}
	return sum
}

func roams(p consensus.Proposal) bool { return p.Permit != nil && len(p.Permit.Targets) > 0 }

// sumKeys names the piles that a proposal is summed up with.
func sumKeys(operator identity.ID, pattern string, p consensus.Proposal) []pileKey {
	if roams(p) {
		return []pileKey{{operator, pattern, "", every}}
	}
	return []pileKey{{operator, pattern, p.Action.Target, one}, {operator, pattern, "", several}}
}

// keysOf names the piles that a decision is part of; none if the policy sums nothing up for it.
func (s *state) keysOf(d *Decision) []pileKey {
	pattern, _, summed := s.policy.Summed(d.claim.Action)
	if !summed {
		return nil
	}
	key := pileKey{d.Opening.Operator, pattern, d.claim.Action.Target, one}
	if roams(*d.claim) {
		key.Target, key.Reach = "", several
	}
	return []pileKey{key, {d.Opening.Operator, pattern, "", every}}
}

// count adds a decision to its sums. It must have been opened after all others there.
func (s *state) count(d *Decision) {
	for _, key := range s.keysOf(d) {
		if s.piles[key] == nil {
			s.piles[key] = &pile{}
		}
		p, amount := s.piles[key], d.counts()
		p.add(amount)
		p.portions = append(p.portions, portion{d.Opening.Index, d.last(), amount})
	}
}

// recount changes what a decision adds to its sums to what it does now. Whoever changes a verdict or adds a use calls it.
func (s *state) recount(d *Decision) {
	for _, key := range s.keysOf(d) {
		p := s.piles[key]
		if p == nil {
			continue
		}
		i, found := slices.BinarySearchFunc(p.portions, d.Opening.Index, func(a portion, index uint64) int {
			return cmp.Compare(a.index, index)
		})
		if !found {
			continue // too old to count
		}
		p.subtract(p.portions[i].amount)
		p.portions[i].amount, p.portions[i].last = d.counts(), d.last()
		p.add(p.portions[i].amount)
	}
}

// resum makes all sums anew: after a restore, and after the policy changed.
func (s *state) resum() {
	clear(s.piles)
	var list []*Decision
	for _, d := range s.decisions {
		_, window, summed := s.policy.Summed(d.claim.Action)
		if summed && d.last() > s.now-window {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *Decision) int { return cmp.Compare(a.Opening.Index, b.Opening.Index) })
	for _, d := range list {
		s.count(d)
	}
}
