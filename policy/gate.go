package policy

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Gate judges proposals before a node hands them to the ledger, besides the realm's policy. It denies, or asks for a higher
// class; it allows nothing that the policy does not. It is one node's own: certificates do not show it, and who asks another
// node asks another gate. It is safe for concurrent use, and keeps nothing.
type Gate interface {
	// Judge judges one request. After an error the verdict is the zero one, which denies.
	Judge(Request) (Verdict, error)
}

// Request is who proposes what.
type Request struct {
	Proposer  identity.ID
	Name      string // of the proposer
	Operator  identity.ID
	Level     identity.Level
	Score     *uint64 // in the action's class, per mille; nil if nothing is known
	Action    consensus.Action
	Class     consensus.Class // that the policy gives the action, sums aside
	Emergency bool
	Permit    bool // for many uses
}

// Verdict is what a gate says. The zero Verdict denies.
type Verdict struct {
	Pass  bool
	Least consensus.Class // with Pass: the class that the proposal must ask for at least
	Rules []string        // names of the gate's rules that said so, sorted
}

// ErrGate is returned for a proposal that the node's gate refuses.
var ErrGate = fault.New(fault.Denied, "policy: the node's own rules refuse this")

// Admit asks the gate about a proposal that asks for the class least by itself. Errors: [ErrGate], with a hint if a higher
// class would do. Whatever goes wrong, the proposal is refused.
func Admit(g Gate, r Request, least consensus.Class) error {
	if g == nil {
		return fmt.Errorf("%w: there are none", ErrGate)
	}
	v, err := g.Judge(r)
	switch {
	case err != nil:
		return fmt.Errorf("%w: they cannot be told: %w", ErrGate, err)
	case !v.Pass:
		return fmt.Errorf("%w: %.256q", ErrGate, v.Rules)
	case v.Least > consensus.R3:
		return fmt.Errorf("%w: they ask for a class above R3", ErrGate)
	case least < v.Least:
		return fmt.Errorf("%w below %s: %.256q", ErrGate.WithHint("propose it with the class "+v.Least.String()+" at least"),
			v.Least, v.Rules)
	}
	return nil
}
