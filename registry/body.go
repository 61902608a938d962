package registry

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Tick tells the time by a node's clock, and what the node's build speaks. Log time is the greatest time that a
// majority of the roster's nodes has told.
type Tick struct {
	Time    int64  `cbor:"1,keyasint"`           // Unix milliseconds
	Feature uint64 `cbor:"2,keyasint,omitempty"` // feature level, see [Feature]
}

// Enrol admits an agent by a signed enrolment (identity.Enrolment).
type Enrol struct {
	Enrolment []byte `cbor:"1,keyasint"`
}

// AddOperator makes a person an operator.
type AddOperator struct {
	Operator identity.ID `cbor:"1,keyasint"`
	Name     string      `cbor:"2,keyasint"`
}

// SetStatus quarantines, releases or revokes a principal.
type SetStatus struct {
	Principal identity.ID  `cbor:"1,keyasint"`
	Status    trust.Status `cbor:"2,keyasint"`
	Reason    string       `cbor:"3,keyasint,omitempty"` // at most 256 bytes
}

// SetLevel changes an agent's autonomy level.
type SetLevel struct {
	Principal identity.ID    `cbor:"1,keyasint"`
	Level     identity.Level `cbor:"2,keyasint"`
	Reason    string         `cbor:"3,keyasint,omitempty"` // at most 256 bytes
}

// Grant replaces the capability patterns that an agent may serve, and says of which model family it is.
type Grant struct {
	Principal identity.ID `cbor:"1,keyasint"`
	Serves    []string    `cbor:"2,keyasint,omitempty"`
	Family    string      `cbor:"3,keyasint,omitempty"` // "": as it was; at most 64 bytes, written like a capability

	// Make is the SHA-256 of what the agent is made of, model, prompt and tools, as its operator states it; nil: as it was. A
	// change of it costs a level. From feature level 4 on.
	Make *wire.Digest `cbor:"4,keyasint,omitempty"`
}

// Evidence hands in a statement about an agent (trust.Evidence, signed by its parties). The result is a trust.Effect.
type Evidence struct {
	Statement []byte `cbor:"1,keyasint"`
}

// PutCard publishes an agent's signed card (discovery.Card).
type PutCard struct {
	Card []byte `cbor:"1,keyasint"`
}

// Succeed replaces a principal's identity key (identity.Succession).
type Succeed struct {
	Succession []byte `cbor:"1,keyasint"`
}

// RaiseEpoch ends every credential of the principal with a lower epoch.
type RaiseEpoch struct {
	Principal identity.ID `cbor:"1,keyasint"`
	Epoch     uint64      `cbor:"2,keyasint"`
}

// Propose opens a decision (consensus.Proposal). The result is its consensus.Opening.
type Propose struct {
	Proposal []byte `cbor:"1,keyasint"`
}

// Cast casts a ballot (consensus.Ballot), or reveals one that its voter has committed to. The result is a consensus.Verdict.
type Cast struct {
	Ballot []byte `cbor:"1,keyasint"`
	Salt   []byte `cbor:"2,keyasint,omitempty"` // of the commitment, consensus.SaltSize bytes; none for an open ballot
}

// Commit commits an agent to a ballot (consensus.Commitment). The result is a consensus.Verdict.
type Commit struct {
	Commitment []byte `cbor:"1,keyasint"`
}

// Cancel takes a decision back that is open, or approved and not consumed. The result is a consensus.Verdict.
type Cancel struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	Reason   string      `cbor:"2,keyasint,omitempty"` // at most 256 bytes
}

// Equivocate shows two ballots, or two commitments, of one voter that contradict each other. Both are void, and the voter is
// quarantined. The result is the voter's [Change].
type Equivocate struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	First    []byte      `cbor:"2,keyasint"`
	Second   []byte      `cbor:"3,keyasint"`
}

// Settle says, once, whether the action of a decision was right to do, as it turned out. Voters are scored by it. Of an
// emergency it is the review.
type Settle struct {
	Proposal wire.Digest `cbor:"1,keyasint"`
	Right    bool        `cbor:"2,keyasint"`
	Detail   string      `cbor:"3,keyasint,omitempty"` // for people, at most 256 bytes
}

// PutPolicy replaces the realm's policy (policy.Policy, encoded). Decisions that are open end as superseded.
type PutPolicy struct {
	Policy []byte `cbor:"1,keyasint"`
}

// Governed is the result of a command that replaced the policy.
type Governed struct {
	Policy wire.Digest `cbor:"1,keyasint"`
	Before wire.Digest `cbor:"2,keyasint"` // the policy that it replaced
	Number uint64      `cbor:"3,keyasint"` // how often the policy was replaced since the genesis
}

// Consume claims an approved decision, once, or one use of a permit. The result is a consensus.Consumption.
type Consume struct {
	Proposal wire.Digest       `cbor:"1,keyasint"`
	Store    [16]byte          `cbor:"2,keyasint"`           // the executor's spent store
	Action   *consensus.Action `cbor:"3,keyasint,omitempty"` // of a permit: what will be done; otherwise absent
}

// Report says how a consumed decision's action ended.
type Report struct {
	Proposal  wire.Digest `cbor:"1,keyasint"`
	OK        bool        `cbor:"2,keyasint"`
	Uncertain bool        `cbor:"3,keyasint,omitempty"` // the executor died while acting and will not act again
	Detail    string      `cbor:"4,keyasint,omitempty"` // for people, at most 256 bytes
	Use       uint64      `cbor:"5,keyasint,omitempty"` // of a permit, which of its uses; otherwise 0
}

// PutRoster replaces the realm's roster by its successor (identity.Roster, cosigned). The result is [Seated].
type PutRoster struct {
	Roster []byte `cbor:"1,keyasint"`
}

// Seated is the result of a command that changed the roster.
type Seated struct {
	Number  uint64        `cbor:"1,keyasint"`
	ID      wire.Digest   `cbor:"2,keyasint"` // of the roster: what the next one names as its predecessor
	Nodes   []identity.ID `cbor:"3,keyasint"`
	Joining []identity.ID `cbor:"4,keyasint,omitempty"`
}

// MaxDetail bounds reasons and details, in bytes.
const MaxDetail = 256

// Change is the result of a command that changed one principal.
type Change struct {
	Principal identity.ID    `cbor:"1,keyasint"`
	Status    trust.Status   `cbor:"2,keyasint"`
	Level     identity.Level `cbor:"3,keyasint"`
	Epoch     uint64         `cbor:"4,keyasint"`
	Key       wire.PublicKey `cbor:"5,keyasint"`
}
