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
	Raised      []Signed       `cbor:"20,keyasint,omitempty"` // commands that raised its level, oldest first

	Family        string `cbor:"21,keyasint,omitempty"` // model family of an agent, as its operator names it
	StatusAt      int64  `cbor:"22,keyasint,omitempty"` // log time of the last change of status; 0: never changed
	StatusSigners uint64 `cbor:"23,keyasint,omitempty"` // active operators that signed it; [wire.MaxCosigners] where a proof made it
	Settlements   uint64 `cbor:"24,keyasint,omitempty"` // ballots of it that were scored
	ErrorSum      uint64 `cbor:"25,keyasint,omitempty"` // their squared errors, in millionths

	// What a lowering by fewer operators than loosen took away counts on for a while, silenced: see silencedLately.
	Before        identity.Level `cbor:"26,keyasint,omitempty"` // its level before; 0: nothing was taken away so
	BeforeAt      int64          `cbor:"27,keyasint,omitempty"` // log time of the lowering
	BeforeSigners uint64         `cbor:"28,keyasint,omitempty"` // active operators that signed it

	// Kept from feature level 4 on.
	Parent   identity.ID `cbor:"29,keyasint,omitzero"` // the agent on whose behalf it acts; zero: none
	Make     wire.Digest `cbor:"30,keyasint,omitzero"` // what it is made of, as its operator last stated it; zero: never
	Throttle uint64      `cbor:"-"`                    // what suspicion takes away of its rate, per mille, in steps of 100

	Tightened // kept from feature level 2 on
}

// Decision is what the ledger knows of one proposal.
type Decision struct {
	ID       wire.Digest       `cbor:"1,keyasint"`
	Proposal []byte            `cbor:"2,keyasint"` // signed
	Opening  consensus.Opening `cbor:"3,keyasint"`
	Opened   audit.Leaf        `cbor:"4,keyasint"`
	Ballots  [][]byte          `cbor:"5,keyasint,omitempty"` // signed, in order of arrival
	Verdict  consensus.Verdict `cbor:"6,keyasint"`
	Decided  audit.Leaf        `cbor:"7,keyasint"` // of the command that ended it
	Uses     []Use             `cbor:"-"`          // one; of a permit, the newest 1,024; snapshots hold them apart

	Commitments  [][]byte      `cbor:"9,keyasint,omitempty"`  // signed, the newest of each voter, in the order of their first
	Void         []identity.ID `cbor:"10,keyasint,omitempty"` // voters whose ballots did not count when it ended, or do not now
	Contradicted []identity.ID `cbor:"11,keyasint,omitempty"` // voters shown to have contradicted themselves, before or after the end

	Reason     string          `cbor:"12,keyasint,omitempty"` // of its cancellation
	Settled    bool            `cbor:"13,keyasint,omitempty"`
	Settlement registry.Settle `cbor:"14,keyasint"` // zero until settled
	SettledAt  int64           `cbor:"15,keyasint,omitempty"`
	SettledBy  identity.ID     `cbor:"16,keyasint"`

	claim *consensus.Proposal // what the proposal says; never nil
	urn   *urn                // what has come in; nil until something does, and after a restore
}

// proposal returns what the proposal says.
func (d *Decision) proposal() consensus.Proposal { return *d.claim }

// void reports whether a voter's ballot counts for nothing.
func (d *Decision) void(voter identity.ID) bool { return slices.Contains(d.Void, voter) }

// Use is one claim of an approved decision by its executor, and what came of it.
type Use struct {
	Consumption consensus.Consumption `cbor:"1,keyasint"`
	Claimed     audit.Leaf            `cbor:"2,keyasint"` // of the consumption
	Report      registry.Report       `cbor:"3,keyasint"` // zero until reported
	Reported    bool                  `cbor:"4,keyasint,omitempty"`
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
	rosters   [][]byte             // cosigned, those after the genesis, oldest first
	policies  []Signed             // commands that replaced the policy, oldest first
	founded   policy.Policy        // the genesis names it
	policy    policy.Policy        // in force
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
	open      map[wire.Digest]*Decision // undecided
	openOf    map[identity.ID]int       // how many of them, by the proposer's operator
	due       agenda                    // when which of them is counted without anybody voting
	piles     map[pileKey]*pile         // what has been proposed of kinds that the policy sums up
	answers   map[answerKey]remembered
	sweepAt   int64                       // log time at which expired tokens and answers go next
	since     int64                       // reminders of commands issued by then are no news: others may have come after them, unnoted
	inForce   atomic.Pointer[Tightenings] // nil: to be collected
	reckoner  *reckoner                   // what evidence is counted in; nil below feature level 4

	change Change // by the entry being applied
}

const sweepEvery = 60 * 1000 // ms of log time

func newState(a *identity.Authority, genesis []byte, p policy.Policy) *state {
	s := &state{
		authority: a, genesis: genesis, founded: p, policy: p, tree: &merkle.Tree{},
		members: map[identity.ID]*Member{}, names: map[string]identity.ID{}, keys: map[wire.PublicKey]identity.ID{},
		clocks: map[identity.ID]told{}, marks: map[uint64]mark{}, tokens: map[wire.Digest]int64{},
		decisions: map[wire.Digest]*Decision{}, proposals: map[answerKey]wire.Digest{}, answers: map[answerKey]remembered{},
		open: map[wire.Digest]*Decision{}, openOf: map[identity.ID]int{}, piles: map[pileKey]*pile{},
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
