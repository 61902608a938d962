package control

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// DecisionID names a decision by its id, by the first 4 bytes or more of it where only one has them, or by who
// proposed it with which nonce.
type DecisionID struct {
	Prefix   []byte      `cbor:"1,keyasint,omitempty"`
	Proposer identity.ID `cbor:"2,keyasint"`
	Nonce    [16]byte    `cbor:"3,keyasint"`
}

// DecisionView is one decision. Proposal, ballots and opening are verified by the receiver; the rest is for display
// until a certificate proves it. While the decision is open and its ballots are secret, it says who has voted, and not
// what.
type DecisionView struct {
	ID        wire.Digest       `cbor:"1,keyasint"`
	Proposal  []byte            `cbor:"2,keyasint"`
	Opening   consensus.Opening `cbor:"3,keyasint"`
	Opened    audit.Inclusion   `cbor:"4,keyasint"`
	Head      []byte            `cbor:"5,keyasint"`
	Ballots   [][]byte          `cbor:"6,keyasint,omitempty"`
	Verdict   consensus.Verdict `cbor:"7,keyasint"`
	Proposer  string            `cbor:"8,keyasint"` // its name
	Principal Principal         `cbor:"9,keyasint"` // the proposer's

	Committed []identity.ID `cbor:"10,keyasint,omitempty"` // voters that have committed to a ballot
	Voted     []identity.ID `cbor:"11,keyasint,omitempty"` // voters whose ballots are in
	Void      []identity.ID `cbor:"12,keyasint,omitempty"` // voters whose ballots do not count
	Used      uint64        `cbor:"13,keyasint,omitempty"` // how often it was consumed
	Uses      []Use         `cbor:"14,keyasint,omitempty"` // the newest of them, at most [MaxUsesShown]
	Reason    string        `cbor:"15,keyasint,omitempty"` // of its cancellation
	Settled   *Settlement   `cbor:"16,keyasint,omitempty"`
}

// MaxUsesShown bounds the uses in one answer.
const MaxUsesShown = 16

// Use is one consumption of a decision, and what came of it.
type Use struct {
	Consumption consensus.Consumption `cbor:"1,keyasint"`
	Report      registry.Report       `cbor:"2,keyasint"`
	Reported    bool                  `cbor:"3,keyasint,omitempty"`
}

// Settlement says who has judged a decision, and how.
type Settlement struct {
	Right  bool        `cbor:"1,keyasint,omitempty"`
	Detail string      `cbor:"2,keyasint,omitempty"`
	By     identity.ID `cbor:"3,keyasint"`
	At     int64       `cbor:"4,keyasint"` // log time
}

// UseID names one consumption of a decision by the command that asked for it.
type UseID struct {
	Decision wire.Digest `cbor:"1,keyasint"`
	Command  wire.Digest `cbor:"2,keyasint"`
}

// Used is a consumption, proved.
type Used struct {
	Consumption consensus.Consumption `cbor:"1,keyasint"`
	Receipt     audit.Receipt         `cbor:"2,keyasint"`
}

// DryRun asks what a proposal would need. It must be the asker's own.
type DryRun struct {
	Proposal consensus.Proposal `cbor:"1,keyasint"`
}

// Outlook is the opening that a proposal would have now, unsigned. Its Proposal is zero.
type Outlook struct {
	Opening consensus.Opening `cbor:"1,keyasint"`
}

// Plan asks what the newest decisions would have come to by another policy.
type Plan struct {
	Policy []byte `cbor:"1,keyasint"` // encoded
	Most   uint64 `cbor:"2,keyasint"`
}

// Planned lists decisions, the newest first, for display.
type Planned struct {
	Decisions []Planning `cbor:"1,keyasint,omitempty"`
}

// Planning is what became of one decision, and what would have.
type Planning struct {
	ID      wire.Digest `cbor:"1,keyasint" json:"id"`
	Kind    string      `cbor:"2,keyasint" json:"kind"`
	Target  string      `cbor:"3,keyasint,omitempty" json:"target,omitempty"` // its beginning
	Was     Ruling      `cbor:"4,keyasint" json:"was"`
	Would   Ruling      `cbor:"5,keyasint" json:"would"`
	Changed bool        `cbor:"6,keyasint,omitempty" json:"changed"`
}

// Ruling is what one policy makes of one decision, in words.
type Ruling struct {
	Class   string `cbor:"1,keyasint" json:"class"`
	Rule    string `cbor:"2,keyasint" json:"rule"`
	Alone   bool   `cbor:"3,keyasint,omitempty" json:"alone,omitempty"`
	State   string `cbor:"4,keyasint" json:"state"`
	Refused string `cbor:"5,keyasint,omitempty" json:"refused,omitempty"` // code
}

// Decisions lists decisions: those that are open, then those that have ended, the newest of each first.
type Decisions struct {
	Decisions []Summary `cbor:"1,keyasint,omitempty"`
}

// Summary is one line of the list, for display.
type Summary struct {
	ID       wire.Digest `cbor:"1,keyasint" json:"id"`
	Kind     string      `cbor:"2,keyasint" json:"kind"`
	Target   string      `cbor:"3,keyasint,omitempty" json:"target,omitempty"` // its beginning
	Class    string      `cbor:"4,keyasint" json:"class"`
	Proposer string      `cbor:"5,keyasint" json:"proposer"`
	State    string      `cbor:"6,keyasint" json:"state"`
	Ballots  uint64      `cbor:"7,keyasint" json:"ballots"`
	Voters   uint64      `cbor:"8,keyasint" json:"voters"`
	Opened   int64       `cbor:"9,keyasint" json:"opened"`
	Deadline int64       `cbor:"10,keyasint" json:"deadline"`

	Emergency bool `cbor:"11,keyasint,omitempty" json:"emergency,omitempty"`
	Permit    bool `cbor:"12,keyasint,omitempty" json:"permit,omitempty"`
	Review    bool `cbor:"13,keyasint,omitempty" json:"review,omitempty"` // an emergency that was approved and not settled
}

// Certificate is an approved decision's certificate, encoded, and once it is consumed, and no permit, the proof of that.
type Certificate struct {
	Certificate []byte                `cbor:"1,keyasint"`
	Consumed    consensus.Consumption `cbor:"2,keyasint"` // zero until then
	Receipt     *audit.Receipt        `cbor:"3,keyasint,omitempty"`
}

// Standing is the word for where a decision is: that of its verdict; once consumed, consumed, executed, failed or
// uncertain, by its last use. A permit is consumed once all its uses are, and each use has its own word: see [Use.Standing].
func Standing(v consensus.Verdict, permit *consensus.Permit, used uint64, last Use) string {
	if used == 0 || permit != nil && (used < permit.Uses || v.State != consensus.Approved) {
		return v.State.String()
	}
	if permit != nil {
		return "consumed"
	}
	return last.Standing()
}

// Standing is the word for what came of a use: consumed, executed, failed or uncertain.
func (u Use) Standing() string {
	switch {
	case !u.Reported:
		return "consumed"
	case u.Report.Uncertain:
		return "uncertain"
	case !u.Report.OK:
		return "failed"
	}
	return "executed"
}
