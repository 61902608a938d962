package ballot

import (
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// View is one decision as the registry shows it. What the proposer and the voters signed, and the opening, is verified;
// State is the node's word until a certificate proves it. Only what a [Box] or sdk.Agent.OnBallot hands out is verified;
// a ballot on any other View is still for exactly the action in it, or refused.
type View struct {
	ID         wire.Digest      `json:"id"`
	Action     consensus.Action `json:"action"`
	Class      string           `json:"class"`
	Proposer   Proposer         `json:"proposer"`
	Executor   identity.ID      `json:"executor"`         // who may then do it, once
	Reason     string           `json:"reason,omitempty"` // the proposer's words, untrusted
	Rule       string           `json:"rule"`
	Alone      bool             `json:"alone,omitempty"`
	Voters     []identity.ID    `json:"voters"`
	Ballots    []Cast           `json:"ballots"`
	State      string           `json:"state"`
	Opened     time.Time        `json:"opened"`
	Deadline   time.Time        `json:"deadline"`
	Detail     string           `json:"detail,omitempty"` // of the executor's report
	ActionHash wire.Digest      `json:"action_digest"`
	Opening    wire.Digest      `json:"opening_digest"`
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
}

// mayVote reports whether the principal is in the electorate and has not voted.
func (v View) mayVote(id identity.ID) bool {
	voted := func(c Cast) bool { return c.Voter == id }
	return slices.Contains(v.Voters, id) && !slices.ContainsFunc(v.Ballots, voted)
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
