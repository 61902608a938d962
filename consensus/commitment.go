package consensus

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// SaltSize is the size of the salt that hides a ballot until it is revealed, in bytes.
const SaltSize = 32

// Commitment binds an agent to a ballot that nobody can read yet. The ballot is revealed, with its salt, once enough have
// committed; until then a commitment with a higher sequence replaces it.
type Commitment struct {
	Version  uint64      `cbor:"0,keyasint"` // 1
	Proposal wire.Digest `cbor:"1,keyasint"`
	Opening  wire.Digest `cbor:"2,keyasint"`
	Voter    identity.ID `cbor:"3,keyasint"`
	Sequence uint64      `cbor:"4,keyasint"` // of the ballot inside, from 1
	Hidden   wire.Digest `cbor:"5,keyasint"` // see [Hide]
	Issued   int64       `cbor:"6,keyasint"` // Unix milliseconds
}

// Kind implements [wire.Statement].
func (Commitment) Kind() wire.Kind { return wire.Commitment }

// Check implements [wire.Statement].
func (c Commitment) Check() error {
	if c.Version != FormatVersion {
		return ErrVersion
	}
	if c.Sequence < 1 || c.Issued <= 0 || c.Voter.Role() != identity.Agent {
		return fmt.Errorf("%w: commitment's sequence, time or voter", wire.ErrMalformed)
	}
	return c.Voter.Check()
}

// Hide returns what a commitment to a ballot says: SHA-256 of salt and signed ballot. The salt has [SaltSize] bytes and
// is used once.
func Hide(salt, ballot []byte) wire.Digest {
	return wire.Hash(append(append(make([]byte, 0, len(salt)+len(ballot)), salt...), ballot...))
}

// Errors of commit and reveal.
var (
	// ErrSecret is returned for an agent's ballot where the rule wants it committed first.
	ErrSecret = fault.New(fault.Denied, "consensus: agents commit to their ballots first, and reveal them then")
	// ErrNotCommitted is returned for a ballot that is not the one that its voter committed to.
	ErrNotCommitted = fault.New(fault.Denied, "consensus: not the ballot that was committed to")
	// ErrEarly is returned for a ballot revealed before enough others have committed to theirs.
	ErrEarly = fault.New(fault.Pending, "consensus: ballots are revealed once enough voters have committed to theirs")
	// ErrLate is returned for a commitment or reveal after its time.
	ErrLate = fault.New(fault.Expired, "consensus: the time to commit, or to reveal, is over")
	// ErrNoContradiction is returned for two signed statements that do not contradict each other.
	ErrNoContradiction = fault.New(fault.InvalidInput, "consensus: these two do not contradict each other")
)

// VerifyCommitment reads a commitment and checks that a member of the opening's electorate signed it for exactly that
// decision, and that the rule asks for commitments.
func VerifyCommitment(raw []byte, realm wire.Realm, o Opening) (wire.Verified[Commitment], error) {
	return o.Freeze().VerifyCommitment(raw, realm)
}

// VerifyCommitment is [VerifyCommitment].
func (f Frozen) VerifyCommitment(raw []byte, realm wire.Realm) (wire.Verified[Commitment], error) {
	var none wire.Verified[Commitment]
	c, err := wire.Parse[Commitment](raw, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	if c.Claim.Proposal != f.opening.Proposal || c.Claim.Opening != f.digest {
		return none, ErrOtherDecision
	}
	voter, err := f.voter(c.Claim.Voter)
	if err != nil {
		return none, err
	}
	if f.opening.Rule.Commit == 0 {
		return none, fmt.Errorf("%w: this decision's ballots are open", wire.ErrMalformed)
	}
	return c.Verify(realm, voter.Key)
}

// VerifyEquivocation checks that one voter signed two statements of one kind, ballots or commitments, with one sequence
// for one decision, that say different things. It returns the voter. Anybody can show two such statements.
func VerifyEquivocation(first, second []byte, realm wire.Realm, o Opening) (identity.ID, error) {
	f := o.Freeze()
	a, errA := f.VerifyBallot(first, realm)
	b, errB := f.VerifyBallot(second, realm)
	if errA == nil && errB == nil {
		x, y := a.Statement(), b.Statement()
		if x.Voter != y.Voter || x.Sequence != y.Sequence || a.ID() == b.ID() {
			return identity.ID{}, ErrNoContradiction
		}
		return x.Voter, nil
	}
	c, errC := f.VerifyCommitment(first, realm)
	d, errD := f.VerifyCommitment(second, realm)
	if errC != nil || errD != nil {
		return identity.ID{}, fmt.Errorf("%w: not two ballots nor two commitments of this decision", ErrNoContradiction)
	}
	x, y := c.Statement(), d.Statement()
	if x.Voter != y.Voter || x.Sequence != y.Sequence || x.Hidden == y.Hidden {
		return identity.ID{}, ErrNoContradiction
	}
	return x.Voter, nil
}
