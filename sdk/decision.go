package sdk

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// Action is exactly what shall be done; see [NewAction].
type Action = consensus.Action

// Class is how much an action can harm: R0 to R3.
type Class = consensus.Class

// NewAction returns an action of the kind on the target with the parameters, sorted. Kinds are named like
// capabilities; the policy says what class each has, and a kind that it does not name is R3.
func NewAction(kind, target string, params map[string][]string) Action {
	return consensus.NewAction(kind, target, params)
}

// Certificate is a verified certificate: a decision that anybody can check who knows the realm's id. Its ID, Action,
// Class, Ballots (how many) and Expires (Unix milliseconds) say what was decided; Raw returns its bytes, which package verify reads. Verify
// makes the whole check again by another trust root, and for an action and a time.
type Certificate = proof.Certificate

// Proposal asks that an action be decided. This agent is its executor.
type Proposal struct {
	Action  Action        // with its Amount, where the policy sums amounts up, and its Rollback, for voters
	Class   Class         // raises the class that the policy gives; cannot lower it
	Reason  string        // shown to voters as the proposer's words, untrusted
	Key     string        // the same key again is the same decision, also after a restart; empty: always a new one
	Timeout time.Duration // how long votes are awaited, at most as long as the policy allows; 0: that long

	NotBefore     time.Time // before which nobody may act, at most 7 days ahead; zero: at once
	Beneficiaries []ID      // who gains from it, and so does not vote
	Permit        *Permit   // makes it one for a bounded set of actions; see [Agent.ExecuteUse]
	Emergency     bool      // asks by the policy's emergency rule: people decide, at once, and it is reviewed afterwards
}

// Permit makes a proposal one for the action and others like it: the kind and the parameters given stay as they are, the
// amount is at most the action's.
type Permit struct {
	Uses    uint64              // how often, 1 to 1,000,000
	Until   time.Time           // no use from then on; at most 7 days ahead
	Open    map[string][]string // parameters that may differ, with the patterns of their values: a text, or its beginning and a star
	Targets []string            // patterns of other targets; none: the action's own only
}

// statement returns the proposal as it is signed.
func (p Proposal) statement(by ID, store [16]byte, nonce [16]byte, now int64) consensus.Proposal {
	if p.Timeout <= 0 {
		p.Timeout = time.Duration(consensus.MaxDeadline) * time.Millisecond
	}
	out := consensus.Proposal{
		Version: consensus.FormatVersion, Proposer: by, Action: p.Action, Executor: by, Store: store, Class: p.Class, Reason: p.Reason,
		Issued: now, Expires: now + p.Timeout.Milliseconds(), Nonce: nonce, Emergency: p.Emergency,
		Beneficiaries: slices.SortedFunc(slices.Values(p.Beneficiaries), ID.Compare),
	}
	out.Beneficiaries = slices.Compact(out.Beneficiaries)
	if !p.NotBefore.IsZero() {
		out.NotBefore = p.NotBefore.UnixMilli()
	}
	if p.Permit != nil {
		out.Permit = p.Permit.statement()
	}
	return out
}

func (t Permit) statement() *consensus.Permit {
	out := &consensus.Permit{
		Uses: t.Uses, Until: t.Until.UnixMilli(), Targets: slices.Compact(slices.Sorted(slices.Values(t.Targets))),
	}
	for _, name := range slices.Sorted(maps.Keys(t.Open)) {
		out.Open = append(out.Open, consensus.Param{
			Name: name, Values: slices.Compact(slices.Sorted(slices.Values(t.Open[name]))),
		})
	}
	return out
}

// Decision is one proposal's decision, under way or ended. It is safe for concurrent use.
type Decision struct {
	docket *docket
	id     Digest
}

// Report tells the registry how the decision's action ended, once. It is for whoever acts outside [Agent.Execute], which
// reports by itself. Errors: denied for who did not consume the certificate, spent where the outcome is known.
func (d *Decision) Report(ctx context.Context, o Outcome) error {
	return tell(ctx, d.docket.link, d.id, o)
}

// ID names the decision. It can be picked up by any process of the agent with [Agent.Decision].
func (d *Decision) ID() Digest { return d.id }

// Propose hands a proposal to the registry, which computes its class, rule and electorate. Errors: denied where the
// level does not propose, the policy denies the kind, lets nobody decide on it as an emergency, or the review of an earlier
// emergency is overdue; no_quorum where the electorate cannot meet the rule.
func (a *Agent) Propose(ctx context.Context, p Proposal) (*Decision, error) {
	store, err := a.executor.open()
	if err != nil {
		return nil, err
	}
	nonce := newNonce()
	if p.Key != "" {
		h := wire.Hash([]byte("conclave proposal key\x00" + p.Key))
		nonce = [16]byte(h[:])
		if d, err := a.docket.proposed(ctx, nonce, p.Action); err == nil || CodeOf(err) != fault.Unknown {
			return d, err
		}
	}
	raw, err := a.link.known.Signer.Sign(a.link.realm, p.statement(a.ID(), store.ID(), nonce, a.link.now()))
	if err != nil {
		return nil, err
	}
	opening, err := command[consensus.Opening](ctx, a.link, registry.TypePropose, registry.Propose{Proposal: raw})
	if p.Key != "" && CodeOf(err) == fault.Spent {
		return a.docket.proposed(ctx, nonce, p.Action) // another call with the key was faster
	}
	if err != nil {
		return nil, err
	}
	return &Decision{docket: a.docket, id: opening.Proposal}, nil
}

var errOtherAction = fault.New(fault.Conflict, "sdk: this key was used for another action").
	WithHint("use a key of its own for each action")

// DryRun returns what a proposal would need if it were made now: class, rule and electorate, as the node computes them.
// Nothing is opened, signed or kept. Errors: those that [Agent.Propose] would have.
func (a *Agent) DryRun(ctx context.Context, p Proposal) (ballot.Outlook, error) {
	s := p.statement(a.ID(), [16]byte{}, newNonce(), a.link.now())
	if err := s.Check(); err != nil {
		return ballot.Outlook{}, err
	}
	var o consensus.Opening
	err := vouched(ctx, a.link, nil, control.OpDryRun, control.DryRun{Proposal: s}, func(said control.Outlook, l lore) error {
		rules, err := l.ruledBy(said.Opening.Policy)
		if err != nil {
			return err
		}
		o = said.Opening
		if o.Action != s.Action.Digest() {
			return consensus.ErrOtherDecision
		}
		return proof.CheckOpening(rules, s, o)
	})
	if err != nil {
		return ballot.Outlook{}, err
	}
	return ballot.Outlook{
		Class: o.Class.String(), Sum: o.Sum, Rule: o.Rule.String(), Alone: o.Alone, Emergency: o.Emergency, Secret: secret(o),
		Voters: votersOf(o), Deadline: time.UnixMilli(o.Deadline), Policy: o.Policy,
	}, nil
}

// Cancel takes the decision back while it is open, or approved and not consumed; of a permit, what is left of it. Only its
// proposer may, or the operator that answers for the proposer. Errors: denied, spent, expired.
func (d *Decision) Cancel(ctx context.Context, reason string) error {
	_, err := command[consensus.Verdict](ctx, d.docket.link, registry.TypeCancel, registry.Cancel{Proposal: d.id, Reason: reason})
	return err
}

// Settle says, once, whether the action was right to do, as it turned out: voters are scored by it. Of an emergency it is
// the review. Errors: denied for who is neither a root nor the proposer's operator, has voted on it, or executes it; pending
// while nothing has come of it; spent.
func (d *Decision) Settle(ctx context.Context, right bool, detail string) error {
	_, err := command[registry.Settle](ctx, d.docket.link, registry.TypeSettle, registry.Settle{
		Proposal: d.id, Right: right, Detail: detail,
	})
	return err
}

// Settle is [Decision.Settle] of the decision with the id.
func (a *Agent) Settle(ctx context.Context, id Digest, right bool, detail string) error {
	return (&Decision{docket: a.docket, id: id}).Settle(ctx, right, detail)
}

// Equivocation shows the registry two ballots, or two commitments, of one voter on one decision that contradict each other,
// as they were signed. Both are void, and the voter is quarantined. Anybody may. Errors: invalid_input where they do not;
// spent where that was shown before.
func (a *Agent) Equivocation(ctx context.Context, id Digest, first, second []byte) error {
	_, err := command[registry.Change](ctx, a.link, registry.TypeEquivocate, registry.Equivocate{
		Proposal: id, First: first, Second: second,
	})
	return err
}

// Decision picks up a decision by its id. Error: unknown.
func (a *Agent) Decision(ctx context.Context, id Digest) (*Decision, error) {
	if _, err := a.Ballots().View(ctx, id.String()); err != nil {
		return nil, err
	}
	return &Decision{docket: a.docket, id: id}, nil
}

// lookAgain is how often a waiting decision is looked at when no hint comes: hints can be lost.
const lookAgain = 2 * time.Second

// Wait returns the certificate once the decision is approved, verified in full. It may be called many times, by any
// process. Errors: [ErrRejected], also where it was cancelled or superseded by a new policy; [ErrPending] when ctx ends first: the decision goes on without the caller; the
// connection's when the nodes refuse it for good.
func (d *Decision) Wait(ctx context.Context) (*Certificate, error) {
	bell := d.docket.link.following.follow(d.id)
	defer d.docket.link.following.unfollow(d.id)
	for {
		news, conn := bell.next(), d.docket.link.current().conn
		c, err := d.certificate(ctx)
		switch CodeOf(err) {
		case fault.Pending, fault.Unreachable, fault.Uncertain:
		case fault.Rejected:
			return nil, errors.Join(ErrRejected, err)
		default:
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil, errors.Join(ErrPending, err)
			}
			return c, err
		}
		select {
		case <-news:
		case <-time.After(lookAgain):
		case <-conn.Done():
			if d.docket.link.current().conn == conn { // and not one that was replaced meanwhile
				return nil, conn.Err()
			}
		case <-d.docket.link.crew.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, errors.Join(ErrPending, ctx.Err())
		}
	}
}

func (d *Decision) certificate(ctx context.Context) (*Certificate, error) {
	c, err := d.docket.fetch(ctx, d.id)
	if err != nil {
		return nil, err
	}
	return c.certificate, nil
}
