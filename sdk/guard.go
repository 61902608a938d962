package sdk

import (
	"context"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
)

// GuardSpec says what a guarded handler does.
type GuardSpec[In any] struct {
	// Action describes exactly what handling the request will do. It is what is decided.
	Action func(r *Request[In]) (Action, error)
	// Reason, if not nil, is shown to voters as the proposer's words.
	Reason func(r *Request[In]) string
	// Timeout bounds the wait for votes; 0: as long as the policy allows.
	Timeout time.Duration
	// Beneficiaries, if not nil, names who gains from the action, and so does not vote.
	Beneficiaries func(r *Request[In]) []ID
}

// Guard returns a handler that runs h only with a certificate for the action that spec describes, consumed in the
// registry for this one run. The decision is bound to the request: the same request never makes two.
func Guard[In, Out any](a *Agent, spec GuardSpec[In], h Handler[In, Out]) Handler[In, Out] {
	return func(ctx context.Context, r *Request[In]) (Out, error) {
		var out Out
		if spec.Action == nil {
			return out, Errorf(fault.Usage, "sdk: a guard without an action")
		}
		action, err := spec.Action(r)
		if err != nil {
			return out, err
		}
		p := Proposal{Action: action, Key: "request " + r.ID.String(), Timeout: spec.Timeout}
		if spec.Reason != nil {
			p.Reason = spec.Reason(r)
		}
		if spec.Beneficiaries != nil {
			p.Beneficiaries = spec.Beneficiaries(r)
		}
		d, err := a.Propose(ctx, p)
		if err != nil {
			return out, err
		}
		err = a.Execute(ctx, d, action, func(ctx context.Context) error {
			var err error
			out, err = h(ctx, r)
			return err
		})
		return out, err
	}
}

// Execute waits for the decision's certificate, and for its not-before, consumes it, and calls act, at most once in the life of this agent's
// spent store, whatever crashes. It acts only on proofs: the certificate recomputed from the signed policy and the
// voters' own ballots, and the consumption under a majority-signed head. It then reports the outcome. An error of act
// comes back as it is. Other errors: those of [Decision.Wait]; [ErrSpent]; [ErrUncertain] where an earlier process
// began and did not finish; misaddressed where the certificate is for another action, executor or store; usage for a permit, which [Agent.ExecuteUse] uses.
func (a *Agent) Execute(ctx context.Context, d *Decision, action Action, act func(ctx context.Context) error) error {
	j := job{decision: d, use: spent.Use{Decision: d.id}, action: action, act: act}
	return a.executor.execute(ctx, j, a.executor.consume)
}

// matchKind reports whether an action's kind is covered by the patterns.
func matchKind(patterns []string, kind string) bool { return identity.MatchCapability(patterns, kind) }
