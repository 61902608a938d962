package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// openOfOne is how many decisions each operator's agent opens: as many as the ledger lets one operator have open.
const openOfOne = 64

// openLasts is how long they stay open, in milliseconds: longer than any run.
const openLasts = 6 * 60 * 60 * 1000

// Names of what stands beside calls in a realm with open decisions.
const (
	noneOpen    = "none open"
	noneOpenYet = "the same realm, before any was open"
	otherThen   = "the other realm, at that time"
)

var errOpen = fault.New(fault.Internal, "bench: a realm does not have as many open decisions as it should")

// measureOpen compares calls in a realm with many open decisions with calls in a realm that has none.
func measureOpen(ctx context.Context, b *bout) (Result, error) {
	rules, err := lastingRules()
	if err != nil {
		return Result{}, err
	}
	full, calls, err := openCalled(ctx, b, rules)
	if err != nil {
		return Result{}, err
	}
	empty, others, err := openCalled(ctx, b, rules)
	if err != nil {
		return Result{}, err
	}
	before := []contender{
		whileOpen(full, 0, callsInTurn(b, noneOpenYet, calls)), whileOpen(empty, 0, callsInTurn(b, otherThen, others)),
	}
	before[0].of = otherThen
	samples, err := b.compete(ctx, before)
	if err != nil {
		return Result{}, err
	}
	if err := full.openMany(ctx, b.Decisions); err != nil {
		return Result{}, err
	}
	p := plan{
		what: fmt.Sprintf("one agent's requests to another one, each after the last one's reply, in a realm in which %d decisions are open "+
			"that nobody votes on, and in a realm like it in which none is; each realm's node is a process of its own", b.Decisions),
		unit: "us", lower: true, window: 1, delay: "request to reply", scale: "us",
		bound: "what a call takes anyhow; a call asks the registry nothing that open decisions are part of, but shares the machine with the node, " +
			"which ticks, and counts them when their time to commit is over",
		ours: whileOpen(full, b.Decisions, callsInTurn(b, "conclave", calls)), peer: whileOpen(empty, 0, callsInTurn(b, noneOpen, others)),
	}
	r, err := b.hold(ctx, p)
	if err != nil {
		return r, err
	}
	for i, c := range before {
		r.Variants = append(r.Variants, p.variant(c, samples[i], before, samples))
	}
	r.Commands = map[string]int{"decisions open in every round": b.Decisions} // else it has failed
	return r, nil
}

// lastingRules is the preset solo in which what is risky is decided as the preset standard has it, and stays open for long.
func lastingRules() (policy.Policy, error) {
	p, err := rules()
	if err != nil {
		return p, err
	}
	standard, err := policy.Preset(policy.Standard)
	if err != nil {
		return p, err
	}
	for _, class := range []consensus.Class{consensus.R2, consensus.R3} {
		r := standard.Classes[class]
		r.Own, r.Deadline = true, openLasts // one person founds the realm
		p.Classes[class] = r
	}
	return p, nil
}

// openCalled makes a realm of one node, a process of its own, with one agent that calls another.
func openCalled(ctx context.Context, b *bout, rules policy.Policy) (*fleet, caller, error) {
	f, err := openFleet(ctx, b, rules, 1)
	if err != nil {
		return nil, nil, err
	}
	agents, err := f.agents(ctx, 2)
	if err != nil {
		return nil, nil, err
	}
	if err := sdk.HandleBytes(agents[1], echoCapability, echo); err != nil {
		return nil, nil, err
	}
	to := sdk.To(agents[1].ID().String(), echoCapability)
	return f, func(ctx context.Context, content []byte) ([]byte, error) {
		return sdk.CallBytes(ctx, agents[0], to, content)
	}, nil
}

// whileOpen has a contender's round count only if so many decisions are open before and after it.
func whileOpen(f *fleet, n int, c contender) contender {
	run := c.run
	c.run = func(ctx context.Context) (sample, error) {
		if err := f.countOpen(ctx, n); err != nil {
			return sample{}, err
		}
		s, err := run(ctx)
		return s, errors.Join(err, f.countOpen(ctx, n))
	}
	return c
}

func (f *fleet) countOpen(ctx context.Context, n int) error {
	status, err := f.admin.Status(ctx)
	if err != nil {
		return err
	}
	if status.Open != uint64(n) {
		return fmt.Errorf("%w: %d, not %d", errOpen, status.Open, n)
	}
	return nil
}

// openMany has n decisions opened, by as many operators' agents as that takes. All operators are there before, so that the
// electorates are as large as they get.
func (f *fleet) openMany(ctx context.Context, n int) error {
	operators := make([]identity.Signer, (n+openOfOne-1)/openOfOne)
	for i := range operators {
		f.bout.say("adding operators", i, len(operators))
		var err error
		if operators[i], _, err = identity.GenerateSigner(identity.Operator); err != nil {
			return err
		}
		added := registry.AddOperator{Operator: operators[i].ID(), Name: fmt.Sprintf("operator-%d", i)}
		if err := f.order(ctx, registry.TypeOperator, added); err != nil {
			return err
		}
	}
	var opened atomic.Int64
	return crowd(ctx, len(operators), atOnce, func(ctx context.Context, i int) error {
		proposer, err := f.agentOf(ctx, operators[i], fmt.Sprintf("proposer-%d", i))
		if err != nil {
			return err
		}
		return f.briefly(ctx, proposer, func(a *sdk.Agent) error {
			for nth := range min(openOfOne, n-i*openOfOne) {
				action := sdk.NewAction(decidedKind, fmt.Sprintf("bench-%d-%d", i, nth), nil)
				if _, err := a.Propose(ctx, sdk.Proposal{Action: action}); err != nil {
					return err
				}
				if done := int(opened.Add(1)); done%50 == 0 || done == n {
					f.bout.say("opening decisions", done, n)
				}
			}
			return nil
		})
	})
}

// agentOf lets an agent of an operator in.
func (f *fleet) agentOf(ctx context.Context, operator identity.Signer, name string) (agent identity.Signer, err error) {
	return agent, f.briefly(ctx, operator, func(o *sdk.Agent) error {
		agent, err = enrolOne(ctx, o.Admin(), name, identity.Journeyer)
		return err
	})
}

// briefly connects a principal for as long as use runs.
func (f *fleet) briefly(ctx context.Context, signer identity.Signer, use func(*sdk.Agent) error) (err error) {
	var a *sdk.Agent
	err = f.bout.insist(ctx, func() (err error) { // whoever was just let in may not be known yet
		a, err = sdk.Connect(ctx, sdk.WithProfile(f.profileAt(f.door, signer)))
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut(a)) }()
	return use(a)
}
