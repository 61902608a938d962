package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
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
	Action  Action
	Class   Class         // raises the class that the policy gives; cannot lower it
	Reason  string        // shown to voters as the proposer's words, untrusted
	Key     string        // the same key again is the same decision, also after a restart; empty: always a new one
	Timeout time.Duration // how long votes are awaited, at most as long as the policy allows; 0: that long
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
// level does not propose or the policy denies the kind; no_quorum where the electorate cannot meet the rule.
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
	if p.Timeout <= 0 {
		p.Timeout = time.Duration(consensus.MaxDeadline) * time.Millisecond
	}
	now := a.link.now()
	raw, err := a.link.known.Signer.Sign(a.link.realm, consensus.Proposal{
		Proposer: a.ID(), Action: p.Action, Executor: a.ID(), Store: store.ID(), Class: p.Class, Reason: p.Reason,
		Issued: now, Expires: now + p.Timeout.Milliseconds(), Nonce: nonce,
	})
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
// process. Errors: [ErrRejected]; [ErrPending] when ctx ends first: the decision goes on without the caller; the
// connection's when the nodes refuse it for good.
func (d *Decision) Wait(ctx context.Context) (*Certificate, error) {
	for {
		news, conn := d.docket.link.news.next(), d.docket.link.current().conn
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
