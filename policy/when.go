package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// When raises the class of one action of its kind, or denies it, by what the action says of itself: where all that it names
// holds, or, where Not, where that does not hold. It names a target, a parameter or an amount at least. It never lowers a
// class. Texts are compared as they stand, byte by byte: neither case nor paths are evened out.
type When struct {
	Target string `cbor:"1,keyasint,omitempty"` // the target is like this text, in which each star stands for any bytes or none
	Param  string `cbor:"2,keyasint,omitempty"` // the parameter of this name is there, and
	Value  string `cbor:"3,keyasint,omitempty"` // one of its values is like this text; with Param only. Without values it has the empty one
	Above  uint64 `cbor:"4,keyasint,omitempty"` // the action's own amount is greater; 0: whatever the amount
	Not    bool   `cbor:"5,keyasint,omitempty"` // it applies where the rest does not hold

	Class consensus.Class `cbor:"6,keyasint"`           // at least; R3 where Deny
	Deny  bool            `cbor:"7,keyasint,omitempty"` // nobody may do it, whoever approves
}

// Limits of a kind's conditions.
const (
	MaxWhen  = 16  // of one kind
	MaxLike  = 256 // bytes of a text that another is like
	MaxStars = 4   // in it
)

// Applies reports whether the condition raises the action's class, or denies it.
func (w When) Applies(a consensus.Action) bool {
	return w.holds(a) != w.Not
}

func (w When) holds(a consensus.Action) bool {
	if w.Target != "" && !like(w.Target, a.Target) {
		return false
	}
	if w.Param != "" && !w.among(a) {
		return false
	}
	return w.Above == 0 || a.Amount > w.Above
}

// among reports whether the parameter is there with a value like the one asked for.
func (w When) among(a consensus.Action) bool {
	for _, p := range a.Params {
		if p.Name != w.Param {
			continue
		}
		if len(p.Values) == 0 {
			return like(w.Value, "")
		}
		for _, v := range p.Values {
			if like(w.Value, v) {
				return true
			}
		}
	}
	return false
}

// like reports whether the text is the pattern's, with any bytes or none in the place of each star.
func like(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// raise returns the class that the kind's conditions leave an action of the class, and whether one of them denies it.
func (k Kind) raise(a consensus.Action, class consensus.Class) (raised consensus.Class, denied bool) {
	for _, w := range k.When {
		if w.Applies(a) {
			class, denied = max(class, w.Class), denied || w.Deny
		}
	}
	return class, denied
}

// checkWhen refuses conditions that ask nothing, that change nothing, or that say the same twice.
func (k Kind) checkWhen(path string) error {
	path += "/when"
	switch {
	case len(k.When) > MaxWhen:
		return refuse(path, "must be at most %d", MaxWhen)
	case len(k.When) > 0 && k.Deny:
		return refuse(path, "what is denied is denied whatever else it says")
	}
	seen := make(map[When]bool, len(k.When))
	for i, w := range k.When {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := w.check(at, k.Class); err != nil {
			return err
		}
		if seen[w] {
			return refuse(at, "stands there twice")
		}
		seen[w] = true
	}
	return nil
}

func (w When) check(path string, base consensus.Class) error {
	switch {
	case w.Target == "" && w.Param == "" && w.Above == 0:
		return refuse(path, "must name a target, a param or an amount")
	case (w.Param == "") != (w.Value == ""):
		return refuse(path, "must name a param and its value together; the value \"*\" is any")
	case len(w.Target) > MaxLike || len(w.Param) > MaxLike || len(w.Value) > MaxLike:
		return refuse(path, "a text must have at most %d bytes", MaxLike)
	case strings.Count(w.Target, "*") > MaxStars || strings.Count(w.Value, "*") > MaxStars:
		return refuse(path, "a text must have at most %d stars", MaxStars)
	case !plain(w.Target) || !plain(w.Param) || !plain(w.Value):
		return refuse(path, "a text must be UTF-8 without control characters")
	case w.Class > consensus.R3:
		return refuse(path, "a class is R0 to R3")
	case w.Deny && w.Class != consensus.R3:
		return refuse(path, "what is denied has no class but R3")
	case !w.Deny && w.Class <= base:
		return refuse(path, "must raise: %s does not raise %s", w.Class, base)
	}
	return nil
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
