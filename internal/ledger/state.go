package ledger

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Member is what the ledger knows of one principal. Nodes are no members: the roster names them.
type Member struct {
	ID          identity.ID    `cbor:"1,keyasint"`
	Name        string         `cbor:"2,keyasint"`
	Operator    identity.ID    `cbor:"3,keyasint"` // who answers for it; an operator names itself
	Key         wire.PublicKey `cbor:"4,keyasint"` // current identity key
	Status      trust.Status   `cbor:"5,keyasint"`
	Level       identity.Level `cbor:"6,keyasint"` // of an agent; operators have none
	Epoch       uint64         `cbor:"7,keyasint"` // least epoch of credentials accepted
	Serves      []string       `cbor:"8,keyasint,omitempty"`
	Card        []byte         `cbor:"9,keyasint,omitempty"` // signed
	CardID      wire.Digest    `cbor:"10,keyasint"`
	CardNumber  uint64         `cbor:"11,keyasint"`           // its sequence
	Origin      []byte         `cbor:"12,keyasint,omitempty"` // signed enrolment, or command that made it an operator; none for roots
	Successions [][]byte       `cbor:"13,keyasint,omitempty"` // signed, oldest first
	Succession  wire.Digest    `cbor:"14,keyasint"`           // ID of the newest
	Joined      int64          `cbor:"15,keyasint"`           // log time
	Changed     uint64         `cbor:"16,keyasint"`           // index of the last command that changed it
	Done        uint64         `cbor:"17,keyasint"`           // reported outcomes: done
	Failed      uint64         `cbor:"18,keyasint"`           // reported outcomes: failed or uncertain
	Reason      string         `cbor:"19,keyasint,omitempty"` // of the last change of status or level
	Raised      []byte         `cbor:"20,keyasint,omitempty"` // signed command that last raised its level
	Tightened                  // kept from feature level 2 on
}

// Decision is what the ledger knows of one proposal.
type Decision struct {
	ID       wire.Digest           `cbor:"1,keyasint"`
	Proposal []byte                `cbor:"2,keyasint"` // signed
	Opening  consensus.Opening     `cbor:"3,keyasint"`
	Opened   audit.Leaf            `cbor:"4,keyasint"`
	Ballots  [][]byte              `cbor:"5,keyasint,omitempty"` // signed, in order of arrival
	Verdict  consensus.Verdict     `cbor:"6,keyasint"`
	Decided  audit.Leaf            `cbor:"7,keyasint"` // of the command that ended it
	Consumed consensus.Consumption `cbor:"8,keyasint"` // zero until consumed
	Claimed  audit.Leaf            `cbor:"9,keyasint"` // of the consumption
	Report   registry.Report       `cbor:"10,keyasint"`
	Reported bool                  `cbor:"11,keyasint"`
}

type answerKey struct {
	Author identity.ID
	Nonce  [16]byte
}

type remembered struct {
	Author  identity.ID     `cbor:"1,keyasint"`
	Nonce   [16]byte        `cbor:"2,keyasint"`
	Expires int64           `cbor:"3,keyasint"`
	Answer  registry.Answer `cbor:"4,keyasint"`
	Signed  wire.Digest     `cbor:"5,keyasint"` // SHA-256 of the command with its signatures
}

type state struct {
	authority *identity.Authority
	genesis   []byte
	rosters   [][]byte // cosigned, those after the genesis, oldest first
	policy    policy.Policy
	now       int64                // log time, Unix milliseconds
	clocks    map[identity.ID]told // of the roster's nodes
	feature   uint64               // feature level
	chain     wire.Digest          // over all leaves: equal on equal replicas
	tree      *merkle.Tree
	headTime  int64           // log time at the newest leaf
	marks     map[uint64]mark // by size, for heads; of these a snapshot holds the newest
	members   map[identity.ID]*Member
	names     map[string]identity.ID
	keys      map[wire.PublicKey]identity.ID // whose current identity key it is
	tokens    map[wire.Digest]int64          // used tokens of agents and nodes, until they expire
	decisions map[wire.Digest]*Decision
	proposals map[answerKey]wire.Digest // decisions by proposer and nonce
	open      []wire.Digest             // undecided, in order of opening
	answers   map[answerKey]remembered
	sweepAt   int64                       // log time at which expired tokens and answers go next
	since     int64                       // reminders of commands issued by then are no news: others may have come after them, unnoted
	inForce   atomic.Pointer[Tightenings] // nil: to be collected

	change Change // by the entry being applied
}

const sweepEvery = 60 * 1000 // ms of log time

func newState(a *identity.Authority, genesis []byte, p policy.Policy) *state {
	s := &state{
		authority: a, genesis: genesis, policy: p, tree: &merkle.Tree{},
		members: map[identity.ID]*Member{}, names: map[string]identity.ID{}, keys: map[wire.PublicKey]identity.ID{},
		clocks: map[identity.ID]told{}, marks: map[uint64]mark{}, tokens: map[wire.Digest]int64{},
		decisions: map[wire.Digest]*Decision{}, proposals: map[answerKey]wire.Digest{}, answers: map[answerKey]remembered{},
	}
	for i, root := range a.Roots {
		s.put(&Member{
			ID: root, Name: fmt.Sprintf("root-%d", i+1), Operator: root, Key: root.Key(), Status: trust.Active,
		})
	}
	return s
}

func (s *state) put(m *Member) {
	s.members[m.ID] = m
	s.names[m.Name] = m.ID
	s.keys[m.Key] = m.ID
}

// member returns an active or inactive member, or a coded refusal.
func (s *state) member(id identity.ID) (*Member, error) {
	m, ok := s.members[id]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	return m, nil
}

var (
	// ErrUnknown is returned for principals and decisions that the ledger does not know.
	ErrUnknown = fault.New(fault.Unknown, "ledger: unknown")
	// ErrDenied is returned when the author may not do what the command asks for.
	ErrDenied = fault.New(fault.Denied, "ledger: not allowed")
	// ErrQuorum is returned when too few operators have signed what loosens.
	ErrQuorum = fault.New(fault.NoQuorum, "ledger: too few operators have signed")
	// ErrConflict is returned when the object has changed since the author saw it.
	ErrConflict = fault.New(fault.Conflict, "ledger: changed meanwhile")
	// ErrSpent is returned when a one-time thing was used before.
	ErrSpent = fault.New(fault.Spent, "ledger: used before")
	// ErrNameTaken is returned when another principal has the name.
	ErrNameTaken = fault.New(fault.Conflict, "ledger: name taken")
	// ErrRejected is returned when a decision ended with no.
	ErrRejected = fault.New(fault.Rejected, "ledger: the decision was rejected")
	// ErrPending is returned when a decision has not ended.
	ErrPending = fault.New(fault.Pending, "ledger: the decision is open")
	// ErrExpired is returned when a command, token or approval is over by log time.
	ErrExpired = fault.New(fault.Expired, "ledger: expired")
)

// sortedKeys returns a map's keys in the order that compare gives.
func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}
