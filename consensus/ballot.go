package consensus

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Vote is what a ballot says. The zero value says nothing and is refused.
type Vote uint8

// The votes.
const (
	Approve Vote = 1
	Reject  Vote = 2
	Abstain Vote = 3
	Recuse  Vote = 4 // abstains for a reason of the voter's own, such as an interest in the outcome
)

// String returns the vote's word.
func (v Vote) String() string {
	switch v {
	case Approve:
		return "approve"
	case Reject:
		return "reject"
	case Abstain:
		return "abstain"
	case Recuse:
		return "recuse"
	}
	return fmt.Sprintf("vote(%d)", uint8(v))
}

// Ballot is one voter's signed vote on one decision. It names the action and the opening that the voter saw, so it
// counts for nothing else.
type Ballot struct {
	Version    uint64      `cbor:"0,keyasint"` // 1
	Proposal   wire.Digest `cbor:"1,keyasint"`
	Action     wire.Digest `cbor:"2,keyasint"` // of the action as the voter rendered it
	Opening    wire.Digest `cbor:"3,keyasint"` // of the opening, hence of the electorate and the rule
	Voter      identity.ID `cbor:"4,keyasint"`
	Vote       Vote        `cbor:"5,keyasint"`
	Confidence uint64      `cbor:"6,keyasint"`           // per mille, 500 to 1000
	Reason     string      `cbor:"7,keyasint,omitempty"` // for people; at most [MaxReason] bytes
	Issued     int64       `cbor:"8,keyasint"`           // Unix milliseconds
	Sequence   uint64      `cbor:"9,keyasint"`           // from 1; two ballots of one voter, decision and sequence are equivocation
}

// Kind implements [wire.Statement].
func (Ballot) Kind() wire.Kind { return wire.Ballot }

// Check implements [wire.Statement].
func (b Ballot) Check() error {
	if b.Version != FormatVersion {
		return ErrVersion
	}
	if b.Vote < Approve || b.Vote > Recuse || b.Sequence < 1 || b.Confidence < 500 || b.Confidence > 1000 || len(b.Reason) > MaxReason ||
		b.Issued <= 0 || b.Voter.Role() == identity.Node {
		return fmt.Errorf("%w: ballot's vote, sequence, confidence, reason, time or voter", wire.ErrMalformed)
	}
	return b.Voter.Check()
}

var ballotHas = wire.Labels(0, 1, 2, 3, 4, 5, 6, 8, 9)

// DecodePayload reads the encoding of a ballot and refuses all else, as [wire.Decode] does.
func (b *Ballot) DecodePayload(payload []byte) error {
	*b = Ballot{}
	r := wire.NewFieldReader(payload)
	r.Fields(ballotHas, 9, func(label uint64) {
		switch label {
		case 0:
			b.Version = r.Number()
		case 1:
			r.Fixed(b.Proposal[:])
		case 2:
			r.Fixed(b.Action[:])
		case 3:
			r.Fixed(b.Opening[:])
		case 4:
			r.Fixed(b.Voter[:])
		case 5:
			b.Vote = Vote(r.Byte())
		case 6:
			b.Confidence = r.Number()
		case 7:
			b.Reason = r.Words()
		case 8:
			b.Issued = r.Int()
		case 9:
			b.Sequence = r.Number()
		}
	})
	return r.End()
}

var (
	// ErrNotVoter is returned when somebody outside the electorate votes.
	ErrNotVoter = fault.New(fault.Denied, "consensus: not a member of this electorate")
	// ErrOtherDecision is returned when a ballot is for another proposal, action or electorate.
	ErrOtherDecision = fault.New(fault.Misaddressed, "consensus: ballot for another decision")
	// ErrVoted is returned when a voter has voted on this decision before.
	ErrVoted = fault.New(fault.Spent, "consensus: this voter has voted")
)

// VerifyBallot reads a ballot and checks that a member of the opening's electorate signed it for exactly that
// decision.
func VerifyBallot(raw []byte, realm wire.Realm, o Opening) (wire.Verified[Ballot], error) {
	return o.Freeze().VerifyBallot(raw, realm)
}

// VerifyBallot is [VerifyBallot].
func (f Frozen) VerifyBallot(raw []byte, realm wire.Realm) (wire.Verified[Ballot], error) {
	var none wire.Verified[Ballot]
	c, err := wire.Parse[Ballot](raw, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	b := c.Claim
	if b.Proposal != f.opening.Proposal || b.Action != f.opening.Action || b.Opening != f.digest {
		return none, ErrOtherDecision
	}
	voter, err := f.voter(b.Voter)
	if err != nil {
		return none, err
	}
	return c.Verify(realm, voter.Key)
}
