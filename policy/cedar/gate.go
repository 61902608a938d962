package cedar

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	cedar "github.com/cedar-policy/cedar-go"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// Limits of a set.
const (
	MaxText  = 64 << 10 // bytes
	MaxRules = 256      // policies
)

var (
	// ErrInvalid is returned for a text that is no set of policies that only forbid.
	ErrInvalid = fault.New(fault.InvalidInput, "cedar: refused")
	// ErrUnjudged is returned for a request that a policy could not be evaluated on. It is denied.
	ErrUnjudged = fault.New(fault.Denied, "cedar: a policy cannot be evaluated")
)

// rule is what a policy does where it applies.
type rule struct {
	name  string
	raise consensus.Class // 0: it denies
}

// Gate judges by one set of policies. The zero Gate denies everything. It is safe for concurrent use.
type Gate struct {
	set   *cedar.PolicySet
	rules map[cedar.PolicyID]rule
}

var _ policy.Gate = (*Gate)(nil)

// New reads a set of policies; name is the file's name in errors. Error: [ErrInvalid], with the line.
func New(name string, text []byte) (*Gate, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: %s: larger than %d bytes", ErrInvalid, name, MaxText)
	}
	list, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	if len(list) == 0 || len(list) > MaxRules {
		return nil, fmt.Errorf("%w: %s: must have 1 to %d policies, not %d", ErrInvalid, name, MaxRules, len(list))
	}
	g := &Gate{set: cedar.NewPolicySet(), rules: make(map[cedar.PolicyID]rule, len(list))}
	for _, p := range list {
		at := p.Position()
		r, err := ruleOf(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %s:%d: %w", ErrInvalid, name, at.Line, err)
		}
		if r.name == "" {
			r.name = fmt.Sprintf("%s:%d", name, at.Line)
			if _, taken := g.rules[cedar.PolicyID(r.name)]; taken {
				r.name += fmt.Sprintf(":%d", at.Column)
			}
		}
		id := cedar.PolicyID(r.name)
		if !g.set.Add(id, p) {
			return nil, fmt.Errorf("%w: %s:%d: another policy is named %.64q", ErrInvalid, name, at.Line, r.name)
		}
		g.rules[id] = r
	}
	return g, nil
}

var (
	errPermit = errors.New("permits: a gate only forbids, and what it does not forbid is left to the realm's policy")
	errRaise  = errors.New(`@raise is "R1", "R2" or "R3"`)
)

func ruleOf(p *cedar.Policy) (rule, error) {
	if p.Effect() != cedar.Forbid {
		return rule{}, errPermit
	}
	var r rule
	for key, value := range p.Annotations() {
		switch key {
		case "id":
			if value == "" || len(value) > 64 {
				return rule{}, errors.New("@id is a name of 1 to 64 bytes")
			}
			r.name = string(value)
		case "raise":
			c, err := consensus.ParseClass(string(value))
			if err != nil || c.String() != string(value) || c == consensus.R0 {
				return rule{}, errRaise
			}
			r.raise = c
		default:
			return rule{}, fmt.Errorf("unknown annotation @%.64s; known are @id and @raise", key)
		}
	}
	return r, nil
}

// Judge implements [policy.Gate]. Errors: [ErrUnjudged], and [ErrInvalid] of the zero Gate.
func (g *Gate) Judge(r policy.Request) (policy.Verdict, error) {
	if g == nil || g.set == nil {
		return policy.Verdict{}, fmt.Errorf("%w: no policies", ErrInvalid)
	}
	asked, entities, err := question(r)
	if err != nil {
		return policy.Verdict{}, err
	}
	_, diagnostic := cedar.Authorize(g.set, entities, asked) // without a permit it is always a denial: what counts is why
	if len(diagnostic.Errors) > 0 {
		return policy.Verdict{}, fmt.Errorf("%w: %s", ErrUnjudged, firstError(diagnostic.Errors))
	}
	v := policy.Verdict{Pass: true}
	for _, reason := range diagnostic.Reasons {
		rule, known := g.rules[reason.PolicyID]
		v.Rules = append(v.Rules, rule.name)
		v.Pass = v.Pass && known && rule.raise > consensus.R0
		v.Least = max(v.Least, rule.raise)
	}
	slices.Sort(v.Rules)
	if !v.Pass {
		return policy.Verdict{Rules: v.Rules}, nil
	}
	return v, nil
}

// firstError is the text of the error that comes first by name: which one comes first otherwise is chance.
func firstError(all []cedar.DiagnosticError) string {
	first := slices.MinFunc(all, func(a, b cedar.DiagnosticError) int {
		return strings.Compare(string(a.PolicyID), string(b.PolicyID))
	})
	return fmt.Sprintf("%s: %.256s", first.PolicyID, first.Message)
}
