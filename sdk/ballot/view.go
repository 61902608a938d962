package ballot

import (
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// View is one decision as the registry shows it. What the proposer and the voters signed, the opening and what follows from
// these is verified; State, From, Until, Used, Uses, Settled, Cancelled and who has committed are the node's word until a certificate proves the
// outcome. Only what a [Box] or sdk.Agent.OnBallot hands out is verified; a ballot on any other View is still for exactly the
// action in it, or refused.
type View struct {
	ID            wire.Digest       `json:"id"`
	Action        consensus.Action  `json:"action"`
	Class         string            `json:"class"`
	Sum           uint64            `json:"sum,omitempty"` // of amounts, where the class depends on it
	Proposer      Proposer          `json:"proposer"`
	Executor      identity.ID       `json:"executor"`         // who may then do it, once, or as often as the permit says
	Reason        string            `json:"reason,omitempty"` // the proposer's words, untrusted
	Beneficiaries []identity.ID     `json:"beneficiaries,omitempty"`
	NotBefore     time.Time         `json:"not_before,omitzero"`
	Permit        *consensus.Permit `json:"permit,omitempty"`
	Rule          string            `json:"rule"`
	Policy        wire.Digest       `json:"policy_digest"`
	Alone         bool              `json:"alone,omitempty"`
	Emergency     bool              `json:"emergency,omitempty"`
	Secret        bool              `json:"secret,omitempty"` // agents commit to their ballots, and reveal them later
	CommitsUntil  time.Time         `json:"commits_until,omitzero"`
	RevealsUntil  time.Time         `json:"reveals_until,omitzero"`
	Voters        []Voter           `json:"voters"`
	Ballots       []Cast            `json:"ballots"`                        // where secret, none until it has ended
	Confidence    uint64            `json:"confidence_per_mille,omitempty"` // of the ballots shown, calibrated
	State         string            `json:"state"`
	Cancelled     string            `json:"cancelled,omitempty"` // why, if it was
	Opened        time.Time         `json:"opened"`
	Deadline      time.Time         `json:"deadline"`
	From          time.Time         `json:"from,omitzero"`    // when it may be done, if approved
	Until         time.Time         `json:"until,omitzero"`   // and until when
	Used          uint64            `json:"used,omitempty"`   // how often the executor has claimed it
	Uses          []Use             `json:"uses,omitempty"`   // the newest of them
	Detail        string            `json:"detail,omitempty"` // of the executor's last report
	Settled       *Settlement       `json:"settled,omitempty"`
	ActionHash    wire.Digest       `json:"action_digest"`
	Opening       wire.Digest       `json:"opening_digest"`
}

// Voter is one member of the electorate, frozen at the opening, and how far its vote has come.
type Voter struct {
	ID          identity.ID    `json:"id"`
	Operator    identity.ID    `json:"operator"`
	Level       identity.Level `json:"level"`
	Weight      uint64         `json:"weight"`
	Family      string         `json:"family,omitempty"`
	Calibration uint64         `json:"calibration_per_mille"`
	Silenced    bool           `json:"silenced,omitempty"`  // quarantined lately: counts in the total, and cannot vote
	Committed   bool           `json:"committed,omitempty"` // to a ballot, as the node says
	Voted       bool           `json:"voted,omitempty"`     // as the node says; see Ballots
	Void        bool           `json:"void,omitempty"`      // its ballot does not count
}

// Use is one claim of an approved decision by its executor, as the node tells it.
type Use struct {
	Number uint64      `json:"use"`
	At     time.Time   `json:"at"`
	Action wire.Digest `json:"action_digest"`
	State  string      `json:"state"` // consumed, executed, failed or uncertain
	Detail string      `json:"detail,omitempty"`
}

// Settlement says whether the action was right, as somebody entitled to has judged.
type Settlement struct {
	Right  bool        `json:"right"`
	Detail string      `json:"detail,omitempty"`
	By     identity.ID `json:"by"`
	At     time.Time   `json:"at"`
}

// Outlook is what a proposal would need if it were made now.
type Outlook struct {
	Class     string      `json:"class"`
	Sum       uint64      `json:"sum,omitempty"`
	Rule      string      `json:"rule"`
	Alone     bool        `json:"alone,omitempty"`
	Emergency bool        `json:"emergency,omitempty"`
	Secret    bool        `json:"secret,omitempty"`
	Voters    []Voter     `json:"voters"`
	Deadline  time.Time   `json:"deadline"`
	Policy    wire.Digest `json:"policy_digest"`
}

// Proposer is who proposed the action, as the realm's nodes vouch for it.
type Proposer struct {
	ID       identity.ID    `json:"id"`
	Name     string         `json:"name"`
	Operator identity.ID    `json:"operator"` // who answers for it
	Level    identity.Level `json:"level"`
	Status   string         `json:"status"` // active, quarantined or revoked
}

// Cast is one ballot.
type Cast struct {
	Voter      identity.ID `json:"voter"`
	Vote       string      `json:"vote"`
	Confidence uint64      `json:"confidence_per_mille"`
	Reason     string      `json:"reason,omitempty"`
}

// Summary is one decision as the node tells it, for display. Times are Unix milliseconds.
type Summary struct {
	ID       wire.Digest `json:"id"`
	Kind     string      `json:"kind"`
	Target   string      `json:"target,omitempty"` // its beginning
	Class    string      `json:"class"`
	Proposer string      `json:"proposer"`
	State    string      `json:"state"`
	Ballots  uint64      `json:"ballots"`
	Voters   uint64      `json:"voters"`
	Opened   int64       `json:"opened"`
	Deadline int64       `json:"deadline"`

	Emergency bool `json:"emergency,omitempty"`
	Permit    bool `json:"permit,omitempty"`
	Review    bool `json:"review,omitempty"` // an emergency that was approved and that nobody has settled
}

// Votes reports whether the principal is in the electorate.
func (v View) Votes(id identity.ID) bool {
	return slices.ContainsFunc(v.Voters, func(e Voter) bool { return e.ID == id })
}

// MayVote reports whether the principal is in the electorate, can vote, and has neither voted nor committed to a ballot.
func (v View) MayVote(id identity.ID) bool {
	return v.State == consensus.Open.String() && slices.ContainsFunc(v.Voters, func(e Voter) bool {
		return e.ID == id && !e.Voted && !e.Committed && !e.Silenced && !e.Void
	})
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
