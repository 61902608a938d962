package policy

import (
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Lengths of a lease, in milliseconds.
const (
	MinLease     = 1_000
	DefaultLease = 3_000
	MaxLease     = 60_000
)

// Lease says for how long a node of several acts on what it knows of the registry without a sign that a majority had it,
// and what it does then. The zero value has [DefaultLease] and serves nobody afterwards.
type Lease struct {
	Length   int64 `cbor:"1,keyasint,omitempty"` // milliseconds, [MinLease] to [MaxLease]; 0 for [DefaultLease], never that itself
	Restrict bool  `cbor:"2,keyasint,omitempty"` // those connected go on with what is R0, in place of nobody with anything
}

// Millis returns how long the lease is, in milliseconds: the default for a length that does not pass Check.
func (l Lease) Millis() int64 {
	if l.check() != nil || l.Length == 0 {
		return DefaultLease
	}
	return l.Length
}

// Set changes the length, in milliseconds, to one that has one encoding. Error: a [*Fault]; the lease is unchanged then.
func (l *Lease) Set(ms int64) error {
	changed := Lease{Length: ms, Restrict: l.Restrict}
	if ms == 0 {
		return refuse("lease.length", lengthRule)
	}
	if ms == DefaultLease {
		changed.Length = 0
	}
	if err := changed.check(); err != nil {
		return err
	}
	*l = changed
	return nil
}

const lengthRule = "must be 1s to 60s"

func (l Lease) check() error {
	switch {
	case l.Length == DefaultLease:
		return refuse("lease.length", "is the default, which has no number in the encoding")
	case l.Length != 0 && (l.Length < MinLease || l.Length > MaxLease):
		return refuse("lease.length", lengthRule)
	}
	return nil
}

// RestrictedRights returns what is left of the level's rights at a node whose lease has ended under a policy that says
// restrict: to call, serve, publish and subscribe to what is R0 and nothing else, at the level's rate and size; neither
// proposals nor a vote. It is nothing at all if no such name is left. What the policy lets a level do by a pattern is cut
// down to the names and patterns of kinds that are R0 throughout. The lists are sorted, each pattern once, and the
// caller's own; they may be longer than 64.
func (p Policy) RestrictedRights(l identity.Level) trust.Rights {
	r := p.Rights(l)
	out := trust.Rights{
		Call: harmless(p, r.Call), Serve: harmless(p, r.Serve), Publish: harmless(p, r.Publish),
		Subscribe: harmless(p, r.Subscribe),
	}
	if len(out.Call)+len(out.Serve)+len(out.Publish)+len(out.Subscribe) > 0 {
		out.Rate, out.MaxPayload = r.Rate, r.MaxPayload
	}
	return out
}

// harmless returns what of the patterns is R0 throughout.
func harmless(p Policy, patterns []string) []string {
	var out []string
	for _, k := range p.Kinds {
		for _, pattern := range patterns {
			if both := narrower(k.Pattern, pattern); both != "" && harmlessThroughout(p, both) {
				out = append(out, both)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// harmlessThroughout reports whether every name that the pattern matches is R0: the most specific kind that covers it is,
// and so is every kind within it.
func harmlessThroughout(p Policy, pattern string) bool {
	longest, class := -1, consensus.R3
	for _, k := range p.Kinds {
		fixed := len(strings.TrimSuffix(k.Pattern, "*"))
		switch {
		case covers(k.Pattern, pattern):
			if fixed > longest {
				longest, class = fixed, k.most()
			}
		case covers(pattern, k.Pattern) && k.most() != consensus.R0:
			return false
		}
	}
	return class == consensus.R0
}

// most returns the highest class that an action of the kind can have by what it is, says and sums up to; R3 where it may be
// denied.
func (k Kind) most() consensus.Class {
	class := k.Class
	for _, w := range k.When {
		class = max(class, w.Class)
	}
	for _, s := range k.Steps {
		class = max(class, s.Class)
	}
	return class
}

// narrower returns what both patterns match: one of them, or nothing, since no two overlap otherwise.
func narrower(a, b string) string {
	switch {
	case covers(a, b):
		return b
	case covers(b, a):
		return a
	}
	return ""
}

// covers reports whether the first pattern matches every name that the second one matches.
func covers(pattern, other string) bool {
	prefix, starred := strings.CutSuffix(pattern, "*")
	if !starred {
		return pattern == other
	}
	return strings.HasPrefix(other, prefix) // "db.*" covers "db.*" and "db.read", not "db"
}
