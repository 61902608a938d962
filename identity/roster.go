package identity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Roster is who runs the realm from one number on. Number 0 is the genesis itself and is never written as a roster
// statement; every later one names the one before it. Nodes that join have connections to the others and follow the
// ledger; they count for no majority and sign nothing that counts, until a later roster moves them to Nodes.
type Roster struct {
	Version   uint64      `cbor:"0,keyasint"` // 1
	Number    uint64      `cbor:"1,keyasint"` // one more than the roster before
	Previous  wire.Digest `cbor:"2,keyasint"` // its id; the realm id before number 1
	Issued    int64       `cbor:"3,keyasint"` // Unix milliseconds
	Roots     []ID        `cbor:"4,keyasint"`
	Threshold uint64      `cbor:"5,keyasint"`
	Nodes     []ID        `cbor:"6,keyasint"`
	Recovery  bool        `cbor:"7,keyasint"`           // signed by the roots alone, the outgoing nodes being lost
	Joining   []ID        `cbor:"8,keyasint,omitempty"` // nodes that do not count yet, sorted; none of Nodes
	Admission []byte      `cbor:"9,keyasint,omitempty"` // of the one node that this roster adds to Joining
}

// Kind implements [wire.Statement].
func (Roster) Kind() wire.Kind { return wire.Roster }

// Check implements [wire.Statement].
func (r Roster) Check() error {
	if r.Version != 1 {
		return wire.ErrVersion
	}
	if r.Number < 1 || r.Issued <= 0 || r.Previous.IsZero() {
		return fmt.Errorf("%w: roster without number, time or predecessor", wire.ErrMalformed)
	}
	if err := checkThreshold(r.Roots, r.Threshold); err != nil {
		return err
	}
	if err := checkSorted(r.Nodes, Node); err != nil {
		return err
	}
	return r.checkJoining()
}

func (r Roster) checkJoining() error {
	if r.Recovery && len(r.Admission) > 0 {
		return fmt.Errorf("%w: a recovery admits nobody", wire.ErrMalformed)
	}
	if len(r.Joining) == 0 {
		return nil
	}
	if err := checkSorted(r.Joining, Node); err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if len(r.Nodes)+len(r.Joining) > wire.MaxCosigners {
		return fmt.Errorf("%w: at most %d nodes with those that join", wire.ErrMalformed, wire.MaxCosigners)
	}
	if slices.ContainsFunc(r.Joining, func(n ID) bool { return slices.Contains(r.Nodes, n) }) {
		return fmt.Errorf("%w: a node that joins is no node yet", wire.ErrMalformed)
	}
	return nil
}

var (
	// ErrWrongRealm is returned when a statement belongs to another realm.
	ErrWrongRealm = fault.New(fault.WrongRealm, "identity: statement of another realm")
	// ErrRollback is returned when a roster, head or epoch is older than one already seen.
	ErrRollback = fault.New(fault.Superseded, "identity: older than one already seen")

	errNeedsRoots = wire.ErrTooFew.WithHint("have the root operators sign it: by themselves nodes may only admit one node " +
		"by its admission, or let nodes that join count")
	errNotAdmission = fault.New(fault.Malformed, "identity: a roster with an admission does more than add that one node "+
		"to those that join").WithHint("change nothing else in the same roster")
	errTokenSpent = fault.New(fault.Spent, "identity: the join token was used before").WithHint(
		"have the root operators make another join token")
)

// Authority is who runs a realm by the newest roster of a verified chain. Make it with [VerifyChain]; do not change
// it. It is safe for concurrent use.
type Authority struct {
	Realm     wire.Realm
	Number    uint64 // of the newest roster; 0 for the genesis
	Roots     []ID
	Threshold uint64
	Nodes     []ID        // those that count
	Joining   []ID        // those that do not count yet
	Policy    wire.Digest // of the policy that the genesis named
	Solo      bool
	Recovered bool // some roster of the chain was signed by roots alone
	latest    wire.Digest
	spent     []wire.PublicKey // one-time keys of the join tokens that the chain has used
}

// VerifyChain checks a genesis and the rosters after it, oldest first, and returns who runs the realm now. A chain
// that ends below least is refused with [ErrRollback].
func VerifyChain(realm wire.Realm, genesis []byte, rosters [][]byte, least uint64) (*Authority, error) {
	g, err := VerifyGenesis(genesis, realm)
	if err != nil {
		return nil, err
	}
	s := g.Statement()
	a := &Authority{
		Realm: realm, Roots: s.Roots, Threshold: s.Threshold, Nodes: s.Nodes, Policy: s.Policy, Solo: s.Solo,
		latest: wire.Digest(realm),
	}
	for _, raw := range rosters {
		if a, err = a.Next(raw); err != nil {
			return nil, err
		}
	}
	if a.Number < least {
		return nil, fmt.Errorf("%w: roster %d, seen %d", ErrRollback, a.Number, least)
	}
	return a, nil
}

// Next checks the roster that is to follow the chain and returns who runs the realm with it. What a roster changes says
// who must sign it:
//
//   - with an Admission it adds the one node that the admission names to Joining and changes nothing else, and a majority
//     of the outgoing nodes signs; the roots have signed the token in the admission, which is current when the roster is
//     issued and was not used in the chain before;
//   - a roster that only moves nodes from Joining to Nodes is signed by a majority of the outgoing nodes;
//   - any other change is signed by the outgoing threshold of the outgoing roots besides, or with Recovery by them alone.
func (a *Authority) Next(raw []byte) (*Authority, error) {
	next, c, err := a.consent(raw)
	if err != nil || c.Claim.Recovery {
		return next, err
	}
	if _, err := c.Verify(a.Realm, a.Majority(), Keys(a.Nodes)); err != nil {
		return nil, fmt.Errorf("outgoing nodes: %w", err)
	}
	return next, nil
}

// Consents makes the checks of [Authority.Next], the majority of the outgoing nodes apart: one of them may sign the
// roster if it answers nil. Signatures that others have added are verified only if the roots' are needed.
func (a *Authority) Consents(raw []byte) error {
	_, _, err := a.consent(raw)
	return err
}

// consent makes all checks of a roster but that for the outgoing nodes' signatures.
func (a *Authority) consent(raw []byte) (*Authority, wire.Cosigned[Roster], error) {
	c, err := wire.ParseCosigned[Roster](raw, wire.MaxStatement)
	if err != nil {
		return nil, c, err
	}
	r, spent := c.Claim, a.spent
	if r.Number != a.Number+1 || r.Previous != a.latest {
		return nil, c, fmt.Errorf("%w: roster %d does not follow roster %d", wire.ErrMalformed, r.Number, a.Number)
	}
	switch {
	case len(r.Admission) > 0:
		once, err := a.admits(r)
		if err != nil {
			return nil, c, fmt.Errorf("admission: %w", err)
		}
		spent = append(slices.Clone(spent), once)
	case !a.promotes(r):
		if err := a.verifyRoots(c); err != nil {
			return nil, c, fmt.Errorf("roots: %w", err)
		}
	}
	return &Authority{
		Realm: a.Realm, Number: r.Number, Roots: r.Roots, Threshold: r.Threshold, Nodes: r.Nodes, Joining: r.Joining,
		Policy: a.Policy, Solo: a.Solo && len(r.Roots) == 1, Recovered: a.Recovered || r.Recovery,
		latest: c.ID(a.Realm), spent: spent,
	}, c, nil
}

func (a *Authority) verifyRoots(c wire.Cosigned[Roster]) error {
	_, err := c.Verify(a.Realm, int(a.Threshold), Keys(a.Roots))
	if errors.Is(err, wire.ErrTooFew) {
		return fmt.Errorf("%w: %w", errNeedsRoots, err)
	}
	return err
}

// governsAlike reports whether the roster leaves the roots and their threshold as they are.
func (a *Authority) governsAlike(r Roster) bool {
	return slices.Equal(r.Roots, a.Roots) && r.Threshold == a.Threshold
}

// promotes reports whether the roster does nothing but move some nodes from Joining to Nodes.
func (a *Authority) promotes(r Roster) bool {
	moved := func(n ID) bool { return !slices.Contains(r.Nodes, n) }
	return !r.Recovery && a.governsAlike(r) && len(r.Nodes) > len(a.Nodes) && !slices.ContainsFunc(a.Nodes, moved) &&
		slices.Equal(a.Members(), merged(r.Nodes, r.Joining))
}

// admits checks the roster's admission, and that the roster does nothing but what it asks for. It returns the token's
// one-time key.
func (a *Authority) admits(r Roster) (wire.PublicKey, error) {
	admission, token, err := VerifyAdmission(r.Admission, a.Realm, a.Roots, a.Threshold)
	if err != nil {
		return wire.PublicKey{}, err
	}
	newcomer, t := admission.Statement().Node, token.Statement()
	if !a.governsAlike(r) || !slices.Equal(r.Nodes, a.Nodes) || !slices.Equal(r.Joining, merged(a.Joining, []ID{newcomer})) {
		return wire.PublicKey{}, errNotAdmission
	}
	if t.Roster > a.Number {
		return wire.PublicKey{}, fmt.Errorf("%w: roster %d, the token names %d", ErrRollback, a.Number, t.Roster)
	}
	if r.Issued >= t.Expires {
		return wire.PublicKey{}, fmt.Errorf("join token: %w", ErrExpired)
	}
	if r.Issued < t.Issued-Skew {
		return wire.PublicKey{}, fmt.Errorf("join token: %w", ErrNotYet)
	}
	if slices.Contains(a.spent, t.OneTime) {
		return wire.PublicKey{}, errTokenSpent
	}
	return t.OneTime, nil
}

// merged returns the IDs of both lists, sorted.
func merged(a, b []ID) []ID {
	all := slices.Concat(a, b)
	slices.SortFunc(all, ID.Compare)
	return all
}

// Members returns the nodes that count and those that join, sorted.
func (a *Authority) Members() []ID { return merged(a.Nodes, a.Joining) }

// Majority returns how many nodes are a majority of the roster's Nodes; those that join do not count.
func (a *Authority) Majority() int { return len(a.Nodes)/2 + 1 }

// Latest returns the id of the newest roster statement, or of the genesis: what the next roster names as Previous.
func (a *Authority) Latest() wire.Digest { return a.latest }
