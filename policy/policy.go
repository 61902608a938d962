package policy

import (
	"fmt"
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Policy is a realm's rules. The zero value is invalid. It is not changed after [Parse] or [Preset] made it, and then
// safe for concurrent use.
type Policy struct {
	Version uint64           `cbor:"0,keyasint"` // 1
	Preset  string           `cbor:"1,keyasint"` // what it began from, and whether one person governs: see [Solo]
	Enrol   identity.Level   `cbor:"2,keyasint"` // highest level that one operator's token gives, at most L3
	Loosen  uint64           `cbor:"3,keyasint"` // distinct operators that must sign what loosens, at least 1
	Levels  []Level          `cbor:"4,keyasint"` // exactly 6: L0 to L5
	Kinds   []Kind           `cbor:"5,keyasint"` // sorted by pattern, each once, at most [MaxKinds]
	Classes []consensus.Rule `cbor:"6,keyasint"` // exactly 4: R0 to R3

	// Plain lists the topics whose messages are signed but not encrypted, as patterns of [identity.MatchCapability],
	// sorted, each once, at most 64. The messages of all other topics are encrypted.
	Plain []string `cbor:"7,keyasint,omitempty"`

	// Lease is what a node of several does without a sign of the majority. The zero value has the default length and
	// stops; it is not in the encoding.
	Lease Lease `cbor:"8,keyasint,omitempty"`

	// Emergency says who may do what without the class's rule: break-glass. Nil: nobody.
	Emergency *Emergency `cbor:"9,keyasint,omitempty"`

	// Reckoning is how evidence becomes a score, and Rungs what the levels L1 to L5 ask for. Nil, and not in the encoding,
	// they are what [Policy.Params] and [Policy.Ladder] say; that itself has no other encoding. See [Policy.SetTrust].
	Reckoning *trust.Params `cbor:"10,keyasint,omitempty"`
	Rungs     []trust.Rung  `cbor:"11,keyasint,omitempty"`
}

// Emergency lets people decide alone, at once and loudly, on the actions that it lists. Each use is reviewed afterwards; while
// one is left without review for longer than Review, there are no others.
type Emergency struct {
	Kinds    []string `cbor:"1,keyasint"` // patterns of [identity.MatchCapability], sorted, each once, at least one
	People   uint64   `cbor:"2,keyasint"` // of distinct operators, at least 2
	Deadline int64    `cbor:"3,keyasint"` // ms, at most 15 minutes
	Window   int64    `cbor:"4,keyasint"` // ms, at most 15 minutes
	Review   int64    `cbor:"5,keyasint"` // ms, at most 72 hours
}

// Rule returns what an emergency needs.
func (e Emergency) Rule() consensus.Rule {
	return consensus.Rule{
		Approvals: e.People, People: e.People, Operators: e.People, Deadline: e.Deadline, Window: e.Window,
	}
}

// Level is what one autonomy level may do.
type Level struct {
	Rights trust.Rights `cbor:"1,keyasint"`
	Alone  uint64       `cbor:"2,keyasint,omitempty"` // decides alone 0: nothing, 1: R0, 2: R0 and R1, 3: R0 to R2; never R3
}

// Kind gives the actions that its pattern matches a class, or denies them.
type Kind struct {
	Pattern string          `cbor:"1,keyasint"`           // as in [identity.MatchCapability]
	Class   consensus.Class `cbor:"2,keyasint"`           // R3 where Deny
	Deny    bool            `cbor:"3,keyasint,omitempty"` // nobody may do it, whoever approves

	// Window and Steps class an action by the sum of what the proposer's operator and its agents have done, or may still do,
	// of this pattern's kinds to the same target in the last Window ms, this action included: splitting it does not help.
	Window int64  `cbor:"4,keyasint,omitempty"` // at most 30 days; 0 without steps
	Steps  []Step `cbor:"5,keyasint,omitempty"` // by rising sum and class, at most 3

	// When raises the class of single actions, or denies them, by their target, parameters and amount; at most [MaxWhen].
	When []When `cbor:"6,keyasint,omitempty"`
}

// Step gives a sum of amounts a class.
type Step struct {
	Above uint64          `cbor:"1,keyasint"` // a greater sum has at least the class
	Class consensus.Class `cbor:"2,keyasint"`
}

// Limits of a policy.
const (
	MaxSize   = 60 << 10 // bytes of its encoding
	MaxKinds  = 256
	MaxSteps  = 3           // of one kind
	MaxSummed = 30 * day    // ms over which a kind's amounts are summed up
	MaxUrgent = 15 * minute // ms of an emergency's deadline and window
	MaxReview = 72 * hour   // ms until an emergency must have been reviewed
)

// ErrDenied is returned by [Policy.Classify] for an action that the policy denies whoever approves.
var ErrDenied = fault.New(fault.Denied, "policy: this kind of action is denied")

// Encode returns the policy's one encoding. The policy must pass Check.
func (p Policy) Encode() []byte {
	b, err := wire.Encode(p)
	if err != nil {
		panic(err) // integers and strings always encode
	}
	return b
}

// Digest names the policy: SHA-256 of its encoding. The policy must pass Check.
func (p Policy) Digest() wire.Digest { return wire.Hash(p.Encode()) }

// Parse reads what [Policy.Encode] wrote and refuses all else, and what Check refuses. Errors: [wire.ErrTooLarge],
// [wire.ErrMalformed], [*Fault].
func Parse(raw []byte) (Policy, error) {
	if len(raw) > MaxSize {
		return Policy{}, fmt.Errorf("policy: %w", wire.ErrTooLarge)
	}
	var p Policy
	if err := wire.Decode(raw, &p); err != nil {
		return Policy{}, fmt.Errorf("policy: %w", err)
	}
	if err := p.Check(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// Classify returns the action's class: that of the most specific pattern that matches its kind, R3 if none does, what that
// kind's conditions and sums raise it to, and least if that is higher, because a proposer may raise the class and never
// lower it. Errors: [ErrDenied], what [consensus.Action.Check] says, and [wire.ErrMalformed] for a least above R3; the class
// is R3 then. The sum is what [Policy.Summed] says is summed up, this action included.
func (p Policy) Classify(a consensus.Action, least consensus.Class, sum uint64) (consensus.Class, error) {
	if err := a.Check(); err != nil {
		return consensus.R3, err
	}
	if least > consensus.R3 {
		return consensus.R3, fmt.Errorf("%w: class above R3", wire.ErrMalformed)
	}
	kind, known := p.kind(a.Kind)
	switch {
	case !known:
		return consensus.R3, nil
	case kind.Deny:
		return consensus.R3, fmt.Errorf("%w: %s", ErrDenied, kind.Pattern)
	}
	class, denied := kind.raise(a, max(kind.Class, least))
	if denied {
		return consensus.R3, fmt.Errorf("%w: %s, by what the action says", ErrDenied, kind.Pattern)
	}
	for _, s := range kind.Steps {
		if sum > s.Above {
			class = max(class, s.Class)
		}
	}
	return class, nil
}

// Base returns the class of a kind of action before conditions and sums; false for a kind that no pattern matches, or that
// is denied. What is earned with such actions counts in this class: nobody comes to a higher one by an action's text.
func (p Policy) Base(kind string) (class consensus.Class, known bool) {
	k, known := p.kind(kind)
	return k.Class, known && !k.Deny
}

// Summed returns the pattern whose kinds are summed up with the action's, and over how many ms; false if its class does not
// depend on a sum.
func (p Policy) Summed(a consensus.Action) (pattern string, window int64, summed bool) {
	kind, known := p.kind(a.Kind)
	return kind.Pattern, kind.Window, known && len(kind.Steps) > 0
}

// Urgent reports whether the policy lets people decide on an action as an emergency.
func (p Policy) Urgent(a consensus.Action) bool {
	return p.Emergency != nil && identity.MatchCapability(p.Emergency.Kinds, a.Kind)
}

// kind returns the entry with the longest pattern that matches. An exact name is longer than any pattern that ends in
// a star, so no two entries are alike.
func (p Policy) kind(name string) (best Kind, known bool) {
	longest := -1
	for _, k := range p.Kinds {
		fixed := len(strings.TrimSuffix(k.Pattern, "*"))
		if fixed > longest && identity.MatchCapability([]string{k.Pattern}, name) {
			best, known, longest = k, true, fixed
		}
	}
	return best, known
}

// Rule returns what a decision of the class needs; for an unknown class, what R3 needs. Of a policy that does not pass
// Check it may be the zero Rule, which nothing meets.
func (p Policy) Rule(c consensus.Class) consensus.Rule {
	if len(p.Classes) != classes {
		return consensus.Rule{}
	}
	return p.Classes[min(c, consensus.R3)]
}

// Rights returns what the level may do; nothing for an unknown level. The caller must not change the lists in it.
func (p Policy) Rights(l identity.Level) trust.Rights {
	if int(l) >= len(p.Levels) {
		return trust.Rights{}
	}
	return p.Levels[l].Rights
}

// Alone reports whether an agent of the level decides actions of the class by itself. It never does for R3, or for an
// unknown level or class.
func (p Policy) Alone(l identity.Level, c consensus.Class) bool {
	return int(l) < len(p.Levels) && c < consensus.R3 && uint64(c) < p.Levels[l].Alone
}

// PlainTopic reports whether messages of the topic are signed but not encrypted. Of the zero policy no topic is plain.
func (p Policy) PlainTopic(topic string) bool { return identity.MatchCapability(p.Plain, topic) }
