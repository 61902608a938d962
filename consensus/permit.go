package consensus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Permit makes a proposal one for a bounded set of actions: the proposal's action, with other values where the permit
// says so, so many times, until a moment. Each use is counted in the registry.
type Permit struct {
	Uses  uint64  `cbor:"1,keyasint"`           // 1 to [MaxUses]
	Until int64   `cbor:"2,keyasint"`           // log time, Unix milliseconds: no use from then on
	Open  []Param `cbor:"3,keyasint,omitempty"` // parameters that may differ, by name, with the patterns their values match

	// Targets are patterns of other targets; none: the action's own only. A pattern is a text, or the beginning of one
	// and a star; a star elsewhere stands for itself.
	Targets []string `cbor:"4,keyasint,omitempty"`
}

// MaxUses bounds the uses of a permit.
const MaxUses = 1_000_000

// checkPermit refuses a permit without uses, without an end or one over [MaxDeadline] from the proposal, patterns that are unsorted,
// doubled or empty, a parameter that is both fixed and open, and a permit for an emergency.
func (p Proposal) checkPermit() error {
	t := p.Permit
	switch {
	case t.Uses < 1 || t.Uses > MaxUses:
		return fmt.Errorf("%w: a permit's uses are 1 to %d", wire.ErrMalformed, MaxUses)
	case t.Until <= p.Issued || t.Until <= p.NotBefore || t.Until > p.Issued+MaxDeadline:
		return fmt.Errorf("%w: a permit ends after it begins, and within 7 days", wire.ErrMalformed)
	case p.Emergency:
		return fmt.Errorf("%w: an emergency is one action, not a permit", wire.ErrMalformed)
	}
	if !patterns(t.Targets) {
		return fmt.Errorf("%w: a permit's targets must be texts, sorted, each once", wire.ErrMalformed)
	}
	for i, open := range t.Open {
		if open.Name == "" || i > 0 && t.Open[i-1].Name >= open.Name || len(open.Values) == 0 || !patterns(open.Values) {
			return fmt.Errorf("%w: a permit's parameters must be named and sorted, each once, each with patterns", wire.ErrMalformed)
		}
		if p.Action.has(open.Name) {
			return fmt.Errorf("%w: a permit's parameter %.32q is fixed by the action", wire.ErrMalformed, open.Name)
		}
	}
	b, err := wire.Encode(t)
	if err != nil || len(b) > MaxActionText {
		return fmt.Errorf("%w: permit, at most %d bytes", wire.ErrTooLarge, MaxActionText)
	}
	return nil
}

func patterns(list []string) bool {
	for i, s := range list {
		if s == "" || i > 0 && list[i-1] >= s {
			return false
		}
	}
	return true
}

// Covers reports whether the proposal, once approved, allows exactly this action: its own, or one that its permit
// includes. Kind and rollback are always the proposal's, and the amount at most its amount. A parameter that the permit
// leaves open may be absent, and have any number of values.
func (p Proposal) Covers(a Action) bool {
	if a.Check() != nil {
		return false
	}
	if p.Permit == nil {
		return a.Digest() == p.Action.Digest()
	}
	if a.Kind != p.Action.Kind || a.Rollback != p.Action.Rollback || a.Amount > p.Action.Amount {
		return false
	}
	if a.Target != p.Action.Target && !matches(p.Permit.Targets, a.Target) {
		return false
	}
	for _, fixed := range p.Action.Params {
		if !slices.ContainsFunc(a.Params, func(q Param) bool { return q.Name == fixed.Name && slices.Equal(q.Values, fixed.Values) }) {
			return false
		}
	}
	for _, q := range a.Params {
		if p.Action.has(q.Name) {
			continue
		}
		i := slices.IndexFunc(p.Permit.Open, func(open Param) bool { return open.Name == q.Name })
		if i < 0 {
			return false
		}
		for _, v := range q.Values {
			if !matches(p.Permit.Open[i].Values, v) {
				return false
			}
		}
	}
	return true
}

func (a Action) has(name string) bool {
	return slices.ContainsFunc(a.Params, func(p Param) bool { return p.Name == name })
}

// matches reports whether a text is one of the patterns, or begins like one that ends in a star.
func matches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if begin, ok := strings.CutSuffix(p, "*"); ok {
			return strings.HasPrefix(text, begin)
		}
		return p == text
	})
}
