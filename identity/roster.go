package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Roster is who runs the realm from one number on. Number 0 is the genesis itself and is never written as a roster
// statement; every later one names the one before it.
type Roster struct {
	Version   uint64      `cbor:"0,keyasint"` // 1
	Number    uint64      `cbor:"1,keyasint"` // one more than the roster before
	Previous  wire.Digest `cbor:"2,keyasint"` // its id; the realm id before number 1
	Issued    int64       `cbor:"3,keyasint"` // Unix milliseconds
	Roots     []ID        `cbor:"4,keyasint"`
	Threshold uint64      `cbor:"5,keyasint"`
	Nodes     []ID        `cbor:"6,keyasint"`
	Recovery  bool        `cbor:"7,keyasint"` // signed by the roots alone, the outgoing nodes being lost
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
	return checkSorted(r.Nodes, Node)
}

var (
	// ErrWrongRealm is returned when a statement belongs to another realm.
	ErrWrongRealm = fault.New(fault.WrongRealm, "identity: statement of another realm")
	// ErrRollback is returned when a roster, head or epoch is older than one already seen.
	ErrRollback = fault.New(fault.Superseded, "identity: older than one already seen")
)

// Authority is who runs a realm by the newest roster of a verified chain. Make it with [VerifyChain]; do not change
// it. It is safe for concurrent use.
type Authority struct {
	Realm     wire.Realm
	Number    uint64 // of the newest roster; 0 for the genesis
	Roots     []ID
	Threshold uint64
	Nodes     []ID
	Policy    wire.Digest // of the policy that the genesis named
	Solo      bool
	Recovered bool // some roster of the chain was signed by roots alone
	latest    wire.Digest
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
		if a, err = a.next(raw); err != nil {
			return nil, err
		}
	}
	if a.Number < least {
		return nil, fmt.Errorf("%w: roster %d, seen %d", ErrRollback, a.Number, least)
	}
	return a, nil
}

// next checks a roster by the authority that it replaces.
func (a *Authority) next(raw []byte) (*Authority, error) {
	c, err := wire.ParseCosigned[Roster](raw, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	r := c.Claim
	if r.Number != a.Number+1 || r.Previous != a.latest {
		return nil, fmt.Errorf("%w: roster %d does not follow roster %d", wire.ErrMalformed, r.Number, a.Number)
	}
	v, err := c.Verify(a.Realm, int(a.Threshold), Keys(a.Roots))
	if err != nil {
		return nil, fmt.Errorf("roots: %w", err)
	}
	if !r.Recovery {
		if _, err := c.Verify(a.Realm, a.Majority(), Keys(a.Nodes)); err != nil {
			return nil, fmt.Errorf("outgoing nodes: %w", err)
		}
	}
	return &Authority{
		Realm: a.Realm, Number: r.Number, Roots: r.Roots, Threshold: r.Threshold, Nodes: r.Nodes, Policy: a.Policy,
		Solo: a.Solo && len(r.Roots) == 1, Recovered: a.Recovered || r.Recovery, latest: v.ID(),
	}, nil
}

// Majority returns how many nodes are a majority of the roster.
func (a *Authority) Majority() int { return len(a.Nodes)/2 + 1 }

// Latest returns the id of the newest roster statement, or of the genesis: what the next roster names as Previous.
func (a *Authority) Latest() wire.Digest { return a.latest }
