package consensus

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Limits of an electorate.
const (
	MaxVoters = 64
	MaxWeight = 1000 // of one voter
)

// Voter is one member of an electorate, as the registry knew it when the decision opened.
type Voter struct {
	_        struct{} `cbor:",toarray"`
	ID       identity.ID
	Key      wire.PublicKey // the identity key its ballot must verify with
	Operator identity.ID    // who answers for it; a person names itself
	Level    uint64         // an agent's autonomy level; 0 for a person
	Weight   uint64         // 1 to [MaxWeight]

	// Family is an agent's model family as its operator names it; "" if it names none, which is a family of its own.
	Family string
	// Calibration is what the voter's stated confidence is worth by its settled votes, 0 to 1000 per mille; of a person, 1000.
	Calibration uint64
	// Silenced voters were quarantined lately by fewer than must sign what loosens: they cannot vote, and their weight still counts.
	Silenced bool
}

// Person reports whether the voter is an operator, which stands for a person.
func (v Voter) Person() bool { return v.ID.Role() == identity.Operator }

// Opening is what the registry decided when it accepted a proposal: class, rule, and who may vote, frozen. Every
// replica computes it; the guard recomputes class and rule from the policy.
type Opening struct {
	Proposal wire.Digest    `cbor:"1,keyasint"`
	Action   wire.Digest    `cbor:"2,keyasint"`
	Policy   wire.Digest    `cbor:"3,keyasint"`
	Class    Class          `cbor:"4,keyasint"`
	Level    uint64         `cbor:"5,keyasint"`           // the proposer's level
	Operator identity.ID    `cbor:"6,keyasint"`           // the proposer's operator
	Alone    bool           `cbor:"7,keyasint,omitempty"` // the proposer's level decides this class alone
	Rule     Rule           `cbor:"8,keyasint"`           // of the class, also where Alone
	Voters   []Voter        `cbor:"9,keyasint,omitempty"` // sorted by ID; empty where Alone
	Index    uint64         `cbor:"10,keyasint"`          // of the log entry
	Opened   int64          `cbor:"11,keyasint"`          // log time, Unix milliseconds
	Deadline int64          `cbor:"12,keyasint"`          // log time
	Key      wire.PublicKey `cbor:"13,keyasint"`          // the proposer's identity key

	// Sum is the amount of all actions of the kind on the target by the proposer's operator and its agents, this one
	// included, in the window of the policy's kind; 0 if the policy sums nothing up.
	Sum       uint64 `cbor:"14,keyasint,omitempty"`
	Emergency bool   `cbor:"15,keyasint,omitempty"` // the rule is the policy's emergency rule, and only people vote
}

// CommitsUntil returns the log time from which on no agent can commit any more; ballots are revealed until [Opening.RevealsUntil].
func (o Opening) CommitsUntil() int64 { return o.Opened + o.Rule.Commit }

// RevealsUntil returns the log time from which on a commitment that was not revealed counts as silence.
func (o Opening) RevealsUntil() int64 { return o.Opened + 2*o.Rule.Commit }

// Digest names the opening, and with it the electorate: voters sign it in their ballots. It encodes the whole opening: see
// [Opening.Freeze] for many ballots.
func (o Opening) Digest() wire.Digest {
	b, err := wire.Encode(o)
	if err != nil {
		panic(err) // fixed-size fields and strings always encode
	}
	return wire.Hash(b)
}

// Voter returns the member named.
func (o Opening) Voter(id identity.ID) (Voter, bool) {
	i := slices.IndexFunc(o.Voters, func(v Voter) bool { return v.ID == id })
	if i < 0 {
		return Voter{}, false
	}
	return o.Voters[i], true
}

// Frozen is an opening that does not change any more, with its digest computed: for whoever checks and counts several ballots
// by it. It is safe for concurrent use. The zero value has no voters.
type Frozen struct {
	opening Opening
	digest  wire.Digest
}

// Freeze computes the opening's digest, once. What happens to the opening afterwards does not change what is frozen.
func (o Opening) Freeze() Frozen { return o.freeze(o.Digest()) }

// FreezeRead is [Opening.Freeze] for an opening that was just read from its one encoding, which it takes instead of encoding the
// opening again. That these are the bytes is the caller's to know: frozen from others, the opening has no ballots.
func (o Opening) FreezeRead(encoding []byte) Frozen { return o.freeze(wire.Hash(encoding)) }

func (o Opening) freeze(digest wire.Digest) Frozen {
	o.Voters = slices.Clone(o.Voters)
	return Frozen{opening: o, digest: digest}
}

// Digest is [Opening.Digest].
func (f Frozen) Digest() wire.Digest { return f.digest }

// voter returns the member named, if it can vote. Error: [ErrNotVoter].
func (f Frozen) voter(id identity.ID) (Voter, error) {
	v, ok := f.opening.Voter(id)
	if !ok || v.Silenced {
		return Voter{}, ErrNotVoter
	}
	return v, nil
}

// ErrUnreachable is returned when an electorate is too small, or too alike, to meet its rule.
var ErrUnreachable = fault.New(fault.NoQuorum, "consensus: this electorate cannot meet the rule")

// CheckElectorate refuses electorates that are unsorted, doubled, too large, contain the proposer or (unless the rule
// allows own votes) agents or people of the proposer's operator, hold a weightless voter or one above [MaxWeight], an agent in
// an emergency, or could not meet the rule even if everybody who can approved and was certain, or where nobody's calibration
// lets it be as sure as the rule asks for.
func CheckElectorate(o Opening, proposer identity.ID) error {
	if err := checkVoters(o); err != nil {
		return err
	}
	for _, v := range o.Voters {
		if !Eligible(o.Rule, proposer, o.Operator, v.ID, v.Operator) {
			return fmt.Errorf("%w: %s may not vote on this proposal", wire.ErrMalformed, v.ID)
		}
	}
	c, err := newCount(Frozen{opening: o}, Poll{}, o.Opened)
	if err != nil {
		return err
	}
	if o.Rule.Check() != nil || !c.met(c.best) || !c.convinced() {
		return fmt.Errorf("%w: %d voters", ErrUnreachable, len(o.Voters))
	}
	return nil
}

// convinced reports whether anybody can be as sure as the rule asks for: a mean is never above the surest.
func (c *count) convinced() bool {
	return c.o.Rule.Confidence == 0 || slices.ContainsFunc(c.o.Voters, func(v Voter) bool {
		return c.able(v) && chance(Approve, 1000, v.Calibration) >= c.o.Rule.Confidence
	})
}

// checkVoters checks the form of an electorate: what a tally may rely on without knowing the proposal.
func checkVoters(o Opening) error {
	if len(o.Voters) > MaxVoters {
		return fmt.Errorf("%w: %d voters, at most %d", wire.ErrTooLarge, len(o.Voters), MaxVoters)
	}
	for i, v := range o.Voters {
		if i > 0 && o.Voters[i-1].ID.Compare(v.ID) >= 0 {
			return fmt.Errorf("%w: voters must be sorted, each once", wire.ErrMalformed)
		}
		if v.Weight < 1 || v.Weight > MaxWeight || v.Calibration > 1000 || !v.proper() {
			return fmt.Errorf("%w: voter %s", wire.ErrMalformed, v.ID)
		}
		if o.Emergency && !v.Person() {
			return fmt.Errorf("%w: in an emergency people decide, not %s", wire.ErrMalformed, v.ID)
		}
	}
	return nil
}

// proper reports whether the voter is an agent of a person, or a person with nothing that only agents have.
func (v Voter) proper() bool {
	if v.Operator.Role() != identity.Operator {
		return false
	}
	if v.Person() {
		return v.Operator == v.ID && v.Calibration == 1000 && v.Family == "" && v.Level == 0 && !v.Silenced
	}
	return v.ID.Role() == identity.Agent && v.Level <= uint64(identity.Steward)
}

// Eligible reports whether a principal may vote on a proposal: never the proposer itself where it is an agent; nobody
// of the proposer's operator, unless the rule allows own votes, and then the person only.
func Eligible(r Rule, proposer, proposerOperator, voter, voterOperator identity.ID) bool {
	if voterOperator != proposerOperator {
		return voter != proposer
	}
	return r.Own && voter.Role() == identity.Operator
}
