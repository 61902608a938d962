package sdk

import (
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

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

// verifyView checks the proposer's signature by a key that it has had, that the opening stands under a majority-signed
// head, that class, rule and electorate are what the policy says, and every ballot's signature by the key that the
// opening gives its voter.
func verifyView(v control.DecisionView, l lore, now int64) (View, error) {
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
	proposal, err := claimed.Verify(l.authority.Realm, v.Opening.Key)
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
	ticket, _, err := verifyPrincipal(v.Principal, l, now)
	if err != nil {
		return View{}, fmt.Errorf("proposer: %w", err)
	}
	t := ticket.Statement()
	if t.Principal != p.Proposer || t.Operator != v.Opening.Operator {
		return View{}, fmt.Errorf("proposer: %w", consensus.ErrOtherDecision)
	}
	if err := identity.VerifyFormerKey(l.authority.Realm, p.Proposer, v.Principal.Successions, v.Opening.Key); err != nil {
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
	return out, out.addBallots(v.Ballots, l.authority.Realm)
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
