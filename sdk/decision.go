package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
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
	agent *Agent
	id    Digest
}

// ID names the decision. It can be picked up by any process of the agent with [Agent.Decision].
func (d *Decision) ID() Digest { return d.id }

// Propose hands a proposal to the registry, which computes its class, rule and electorate. Errors: denied where the
// level does not propose or the policy denies the kind; no_quorum where the electorate cannot meet the rule.
func (a *Agent) Propose(ctx context.Context, p Proposal) (*Decision, error) {
	store, err := a.spentStore()
	if err != nil {
		return nil, err
	}
	nonce := newNonce()
	if p.Key != "" {
		h := wire.Hash([]byte("conclave proposal key\x00" + p.Key))
		nonce = [16]byte(h[:])
		if d, err := a.proposed(ctx, nonce, p.Action); err == nil || CodeOf(err) != fault.Unknown {
			return d, err
		}
	}
	if p.Timeout <= 0 {
		p.Timeout = time.Duration(consensus.MaxDeadline) * time.Millisecond
	}
	now := a.now()
	raw, err := a.known.Signer.Sign(a.realm, consensus.Proposal{
		Proposer: a.ID(), Action: p.Action, Executor: a.ID(), Store: store.ID(), Class: p.Class, Reason: p.Reason,
		Issued: now, Expires: now + p.Timeout.Milliseconds(), Nonce: nonce,
	})
	if err != nil {
		return nil, err
	}
	opening, err := command[consensus.Opening](ctx, a, registry.TypePropose, registry.Propose{Proposal: raw})
	if p.Key != "" && CodeOf(err) == fault.Spent {
		return a.proposed(ctx, nonce, p.Action) // another call with the key was faster
	}
	if err != nil {
		return nil, err
	}
	return &Decision{agent: a, id: opening.Proposal}, nil
}

var errOtherAction = fault.New(fault.Conflict, "sdk: this key was used for another action").
	WithHint("use a key of its own for each action")

// proposed finds the decision that this agent proposed with the nonce.
func (a *Agent) proposed(ctx context.Context, nonce [16]byte, action Action) (*Decision, error) {
	var v control.DecisionView
	if err := a.ask(ctx, control.OpDecision, control.DecisionID{Proposer: a.ID(), Nonce: nonce}, &v); err != nil {
		return nil, err
	}
	b, err := a.verifyView(v)
	if err != nil {
		return nil, err
	}
	if b.Proposer.ID != a.ID() || b.nonce != nonce {
		return nil, consensus.ErrOtherDecision
	}
	if b.Action.Digest() != action.Digest() {
		return nil, errOtherAction
	}
	return &Decision{agent: a, id: v.ID}, nil
}

// Decision picks up a decision by its id. Error: unknown.
func (a *Agent) Decision(ctx context.Context, id Digest) (*Decision, error) {
	if _, err := a.View(ctx, id.String()); err != nil {
		return nil, err
	}
	return &Decision{agent: a, id: id}, nil
}

// View is one decision as the registry shows it. What the proposer and the voters signed, and the opening, is verified;
// State is the node's word until a certificate proves it.
type View struct {
	ID         Digest    `json:"id"`
	Action     Action    `json:"action"`
	Class      string    `json:"class"`
	Proposer   Peer      `json:"proposer"`
	Executor   ID        `json:"executor"`         // who may then do it, once
	Reason     string    `json:"reason,omitempty"` // the proposer's words, untrusted
	Rule       string    `json:"rule"`
	Alone      bool      `json:"alone,omitempty"`
	Voters     []ID      `json:"voters"`
	Ballots    []Cast    `json:"ballots"`
	State      string    `json:"state"`
	Opened     time.Time `json:"opened"`
	Deadline   time.Time `json:"deadline"`
	Detail     string    `json:"detail,omitempty"` // of the executor's report
	ActionHash Digest    `json:"action_digest"`
	Opening    Digest    `json:"opening_digest"`

	opening consensus.Opening
	nonce   [16]byte
}

// Cast is one ballot.
type Cast struct {
	Voter      ID     `json:"voter"`
	Vote       string `json:"vote"`
	Confidence uint64 `json:"confidence_per_mille"`
	Reason     string `json:"reason,omitempty"`
}

// View fetches a decision by its id, or by the first 8 digits or more of it, and verifies it.
func (a *Agent) View(ctx context.Context, id string) (View, error) {
	prefix, err := decisionPrefix(id)
	if err != nil {
		return View{}, err
	}
	var v control.DecisionView
	if err := a.ask(ctx, control.OpDecision, control.DecisionID{Prefix: prefix}, &v); err != nil {
		return View{}, err
	}
	if !bytes.HasPrefix(v.ID[:], prefix) {
		return View{}, consensus.ErrOtherDecision
	}
	return a.verifyView(v)
}

// Decisions lists the newest decisions, as the node tells them.
func (a *Agent) Decisions(ctx context.Context) ([]control.Summary, error) {
	var list control.Decisions
	err := a.ask(ctx, control.OpDecisions, control.Nothing{}, &list)
	return list.Decisions, err
}

// verifyView checks the proposer's signature by a key that it has had, that the opening stands under a majority-signed
// head, that class, rule and electorate are what the policy says, and every ballot's signature by the key that the
// opening gives its voter.
func (a *Agent) verifyView(v control.DecisionView) (View, error) {
	l := *a.lore.Load()
	head, err := audit.VerifyHead(v.Head, l.authority)
	if err != nil {
		return View{}, err
	}
	if err := v.Opened.Shows(head, v.Opening); err != nil {
		return View{}, fmt.Errorf("opening: %w", err)
	}
	claimed, err := wire.Parse[consensus.Proposal](v.Proposal, wire.MaxStatement)
	if err != nil {
		return View{}, err
	}
	proposal, err := claimed.Verify(a.realm, v.Opening.Key)
	if err != nil {
		return View{}, err
	}
	p := proposal.Statement()
	if proposal.ID() != v.ID || v.Opening.Proposal != v.ID || v.Opening.Action != p.Action.Digest() {
		return View{}, consensus.ErrOtherDecision
	}
	if err := proof.CheckOpening(l.policy, p, v.Opening); err != nil {
		return View{}, err
	}
	ticket, _, err := verifyPrincipal(v.Principal, l, a.now())
	if err != nil {
		return View{}, fmt.Errorf("proposer: %w", err)
	}
	t := ticket.Statement()
	if t.Principal != p.Proposer || t.Operator != v.Opening.Operator {
		return View{}, fmt.Errorf("proposer: %w", consensus.ErrOtherDecision)
	}
	if err := identity.VerifyFormerKey(a.realm, p.Proposer, v.Principal.Successions, v.Opening.Key); err != nil {
		return View{}, fmt.Errorf("proposer: %w", err)
	}
	out := View{
		ID: v.ID, Action: p.Action, Executor: p.Executor, Class: v.Opening.Class.String(), Reason: p.Reason, Alone: v.Opening.Alone,
		Rule:     v.Opening.Rule.String(),
		Proposer: Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()},
		State:    control.Standing(v.Verdict, v.Consumed, v.Report, v.Reported), Detail: v.Report.Detail,
		Opened: time.UnixMilli(v.Opening.Opened), Deadline: time.UnixMilli(v.Opening.Deadline),
		ActionHash: v.Opening.Action, Opening: v.Opening.Digest(), opening: v.Opening,
		nonce: p.Nonce,
	}
	for _, voter := range v.Opening.Voters {
		out.Voters = append(out.Voters, voter.ID)
	}
	return out, out.addBallots(v.Ballots, a.realm)
}

func (v *View) addBallots(raws [][]byte, realm wire.Realm) error {
	for _, raw := range raws {
		b, err := consensus.VerifyBallot(raw, realm, v.opening)
		if err != nil {
			return fmt.Errorf("ballot: %w", err)
		}
		s := b.Statement()
		v.Ballots = append(v.Ballots, Cast{
			Voter: s.Voter, Vote: s.Vote.String(), Confidence: s.Confidence, Reason: s.Reason,
		})
	}
	return nil
}

// decisionPrefix reads a decision's id or the beginning of one: an even number of hexadecimal digits, 8 at least.
func decisionPrefix(id string) ([]byte, error) {
	if len(id)%2 == 1 {
		id = id[:len(id)-1]
	}
	if len(id) < 8 || len(id) > 64 {
		return nil, errDecisionID
	}
	padded, err := wire.ParseDigest(id + zeros[:64-len(id)])
	if err != nil {
		return nil, errDecisionID
	}
	return padded[:len(id)/2], nil
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

var errDecisionID = fault.New(fault.Usage, "sdk: a decision's id is 64 hexadecimal digits; the first 8 or more will do")

// lookAgain is how often a waiting decision is looked at when no hint comes: hints can be lost.
const lookAgain = 2 * time.Second

// Wait returns the certificate once the decision is approved, verified in full. It may be called many times, by any
// process. Errors: [ErrRejected]; [ErrPending] when ctx ends first: the decision goes on without the caller; the
// connection's when the nodes refuse it for good.
func (d *Decision) Wait(ctx context.Context) (*Certificate, error) {
	for {
		news, conn := d.agent.news.next(), d.agent.current().conn
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
			if d.agent.current().conn == conn { // and not one that was replaced meanwhile
				return nil, conn.Err()
			}
		case <-d.agent.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, errors.Join(ErrPending, ctx.Err())
		}
	}
}

func (d *Decision) certificate(ctx context.Context) (*Certificate, error) {
	c, err := d.agent.fetch(ctx, d.id)
	if err != nil {
		return nil, err
	}
	return c.certificate, nil
}

// Waiting returns the decisions that wait for this principal's vote, verified, the newest first. What does not verify is
// left out, and the logger told.
func (a *Agent) Waiting(ctx context.Context) ([]View, error) {
	list, err := a.Decisions(ctx)
	if err != nil {
		return nil, err
	}
	var waiting []View
	for _, s := range list {
		if s.State != consensus.Open.String() {
			continue
		}
		v, err := a.View(ctx, s.ID.String())
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // one that cannot be shown must not hide the others
			a.options.logger.Warn("decision left out", "decision", s.ID.String(), "code", string(CodeOf(err)), "error", err)
			continue
		}
		if v.mayVote(a.ID()) {
			waiting = append(waiting, v)
		}
	}
	return waiting, nil
}

// mayVote reports whether the principal is in the electorate and has not voted.
func (v View) mayVote(id ID) bool {
	if _, ok := v.opening.Voter(id); !ok {
		return false
	}
	for _, b := range v.Ballots {
		if b.Voter == id {
			return false
		}
	}
	return true
}
