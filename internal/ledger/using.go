package ledger

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// keptUses is how many uses of one permit the ledger remembers, the newest ones. Of an older one the tree holds the leaf,
// and its executor the receipt.
const keptUses = 1024

var (
	errEarly   = fault.New(fault.NotYet, "ledger: the execution window has not begun")
	errUsedUp  = fault.New(fault.Spent, "ledger: every use of the permit is taken").WithHint("propose a new permit")
	errCovered = fault.New(fault.Denied, "ledger: the permit does not cover this action").
			WithHint("see what it covers: conclave decision show; propose what it does not cover by itself")
	errAbove = fault.New(fault.Denied, "ledger: the policy gives this action a higher class than the permit's").
			WithHint("propose it by itself")
)

// consume claims an approved decision for its executor and that executor's spent store: once, or, of a permit, one use.
func consume(s *state, o *order) (any, error) {
	body, d, err := named(s, o, func(b registry.Consume) wire.Digest { return b.Proposal })
	if err != nil {
		return nil, err
	}
	p := d.proposal()
	if p.Executor != o.Author || p.Store != body.Store {
		return nil, fmt.Errorf("%w: the certificate is for another executor or another spent store", ErrDenied)
	}
	if err := consumable(s, d, p); err != nil {
		return nil, err
	}
	action, err := actionOf(p, body.Action)
	if err != nil {
		return nil, err
	}
	if body.Action != nil {
		if err := s.withinClass(d, *body.Action); err != nil {
			return nil, err
		}
	}
	c := consensus.Consumption{
		Proposal: d.ID, Executor: o.Author, Store: body.Store, Use: d.Used() + 1, At: s.now, Action: action,
	}
	d.Uses = append(d.Uses[max(0, len(d.Uses)-keptUses+1):], Use{Consumption: c, Claimed: leafOf(o, c)})
	s.recount(d)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return c, nil
}

// consumable refuses decisions that nobody may act on now: not approved, used up, or outside the execution window.
func consumable(s *state, d *Decision, p consensus.Proposal) error {
	switch v := d.Verdict; {
	case v.State == consensus.Open:
		return ErrPending
	case v.State != consensus.Approved:
		return fmt.Errorf("%w: %s", ErrRejected, v.State)
	case p.Permit == nil && d.Used() > 0:
		return fmt.Errorf("%w: certificate, at %d", ErrSpent, d.Uses[0].Claimed.Index)
	case p.Permit != nil && d.Used() >= p.Permit.Uses:
		return fmt.Errorf("%w: %d", errUsedUp, p.Permit.Uses)
	case s.now < v.From:
		return fmt.Errorf("%w: it begins at %d ms of log time, now is %d: in %d ms", errEarly, v.From, s.now, v.From-s.now)
	case s.now >= v.Until:
		return fmt.Errorf("%w: the execution window ended at %d ms of log time", ErrExpired, v.Until)
	}
	return nil
}

// actionOf returns the digest of what will be done: the proposal's action, or one that its permit covers.
func actionOf(p consensus.Proposal, a *consensus.Action) (wire.Digest, error) {
	switch {
	case p.Permit == nil && a == nil:
		return p.Action.Digest(), nil
	case p.Permit == nil:
		return wire.Digest{}, fmt.Errorf("%w: only a use of a permit names its action", wire.ErrMalformed)
	case a == nil:
		return wire.Digest{}, fmt.Errorf("%w: a use of a permit names its action", wire.ErrMalformed)
	}
	if err := a.Check(); err != nil {
		return wire.Digest{}, err
	}
	if !p.Covers(*a) {
		return wire.Digest{}, errCovered
	}
	return a.Digest(), nil
}

// withinClass refuses a use of a permit that is, by what it says of itself, of a higher class than what was approved, or denied:
// voters knew the permit's own action and its patterns, not every action among them. The policy is that of the opening.
func (s *state) withinClass(d *Decision, a consensus.Action) error {
	rules := s.policy
	if n := len(s.policies); n > 0 && s.policies[n-1].Index >= d.Opening.Index {
		var err error
		if rules, _, err = s.lineage(d.Opening.Index); err != nil {
			return err
		}
	}
	class, err := rules.Classify(a, consensus.R0, 0)
	if err == nil && class > d.Opening.Class {
		err = fmt.Errorf("%w: %s, not %s", errAbove, class, d.Opening.Class)
	}
	return err
}

// report says how the action of a consumed decision ended, or of one use of a permit; once each.
func report(s *state, o *order) (any, error) {
	body, d, err := named(s, o, func(b registry.Report) wire.Digest { return b.Proposal })
	if err != nil {
		return nil, err
	}
	if len(body.Detail) > registry.MaxDetail || (body.OK && body.Uncertain) {
		return nil, fmt.Errorf("%w: report's detail or outcome", wire.ErrMalformed)
	}
	p := d.proposal()
	if p.Executor != o.Author || d.Used() == 0 {
		return nil, fmt.Errorf("%w: only who consumed it reports", ErrDenied)
	}
	if (p.Permit == nil) != (body.Use == 0) {
		return nil, fmt.Errorf("%w: the report of a permit's use names it, from 1; no other names one", wire.ErrMalformed)
	}
	u, err := d.use(max(body.Use, 1))
	if err != nil {
		return nil, err
	}
	if u.Reported {
		return nil, fmt.Errorf("%w: report", ErrSpent)
	}
	u.Report, u.Reported = body, true
	if body.OK {
		o.author.Done++
	} else {
		o.author.Failed++
	}
	s.change.Members = append(s.change.Members, o.Author)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return body, nil
}

// Used returns how often the decision was consumed.
func (d Decision) Used() uint64 {
	if len(d.Uses) == 0 {
		return 0
	}
	return d.Uses[len(d.Uses)-1].Consumption.Use
}

// Use returns the use with the number, from 1; 0 is the only use of what is no permit. False if there was none, or over
// 1,024 uses ago.
func (d Decision) Use(number uint64) (Use, bool) {
	u, err := d.use(max(number, 1))
	if err != nil {
		return Use{}, false
	}
	return *u, true
}

func (d Decision) use(number uint64) (*Use, error) {
	if number < 1 || number > d.Used() {
		return nil, fmt.Errorf("%w: use %d of %s", ErrUnknown, number, d.ID)
	}
	ago := d.Used() - number
	if ago >= uint64(len(d.Uses)) {
		return nil, fmt.Errorf("%w: use %d of %s is over %d uses ago", ErrExpired, number, d.ID, keptUses)
	}
	return &d.Uses[uint64(len(d.Uses))-1-ago], nil
}
