// Package ledger is the realm's state machine: it applies signed commands, one after the other, to who takes part and
// to what is decided, and keeps a hash tree over all of them.
//
// Every replica applies the same commands and comes to the same state: nothing here reads a clock, a socket, a map's
// order or a random number. A command is checked here in full, signatures included, whoever handed it in; a refusal is
// an answer like any other and changes nothing but the tree.
package ledger

import (
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Entry is what stands in one log entry: ticks of nodes, if they have a time to tell, and a command, if there is one.
type Entry struct {
	Ticks   [][]byte `cbor:"1,keyasint,omitempty"` // cosigned commands of type tick, at most wire.MaxCosigners
	Command []byte   `cbor:"2,keyasint,omitempty"` // cosigned command
}

// Change is what one entry changed, for who keeps something in step with the ledger.
type Change struct {
	Members   []identity.ID // principals changed
	Decisions []wire.Digest // decisions opened, voted on, ended, consumed, reported or settled
	Roster    bool          // there is a new roster
	Policy    bool          // there is a new policy
	All       bool          // a snapshot was restored, or the policy replaced: anything may differ
}

// Ledger is a [consensus.Machine] over the realm's state. Its methods are safe for concurrent use.
type Ledger struct {
	realm   wire.Realm
	mu      sync.RWMutex
	state   *state
	changed func(Change)
}

var _ consensus.Machine = (*Ledger)(nil)

// New returns the ledger of a realm as its genesis leaves it: the roots as operators, nobody else, no decision. The
// policy must be the one the genesis names. The function changed, if not nil, is called after each entry with
// what it changed, and after a restore, in the goroutine that applies.
func New(realm wire.Realm, genesis []byte, p policy.Policy, changed func(Change)) (*Ledger, error) {
	authority, err := identity.VerifyChain(realm, genesis, nil, 0)
	if err != nil {
		return nil, err
	}
	if p.Digest() != authority.Policy {
		return nil, fmt.Errorf("%w: the policy is not the one that the genesis names", wire.ErrMalformed)
	}
	if err := p.CheckRoots(len(authority.Roots)); err != nil {
		return nil, err
	}
	if authority.Solo != (p.Preset == policy.Solo) {
		return nil, fmt.Errorf("%w: genesis and policy differ on whether the realm is solo", wire.ErrMalformed)
	}
	if changed == nil {
		changed = func(Change) {}
	}
	return &Ledger{realm: realm, state: newState(authority, genesis, p), changed: changed}, nil
}

// Apply implements [consensus.Machine]. It answers with the encoded [registry.Answer] of the command, or of the last
// tick where the entry holds only ticks: those that left no leaf answer with the size of the tree as their index.
func (l *Ledger) Apply(_ uint64, entry []byte) []byte {
	p := prepare(l.realm, entry)
	l.mu.Lock()
	s := l.state
	s.change = Change{}
	answer := s.applyEntry(entry, p)
	change := s.change
	l.mu.Unlock()
	l.changed(change)
	b, err := wire.Encode(answer)
	if err != nil {
		panic(err) // an answer holds integers, texts and bytes
	}
	return b
}

// Snapshot implements [consensus.Machine].
func (l *Ledger) Snapshot() ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.encode()
}

// Restore implements [consensus.Machine].
func (l *Ledger) Restore(snapshot []byte) error {
	l.mu.Lock()
	s, err := decodeState(l.state, snapshot)
	if err == nil {
		l.state = s
	}
	l.mu.Unlock()
	if err == nil {
		l.changed(Change{All: true})
	}
	return err
}

// ParseAnswer reads what Apply returned.
func ParseAnswer(raw []byte) (registry.Answer, error) {
	var a registry.Answer
	err := wire.Decode(raw, &a)
	return a, err
}
