package proof

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Verifier makes the same check as [VerifyCertificate] and remembers, within bounds, which genesis, rosters, policies,
// heads, enrolments and electorates passed it before, so that many certificates of one realm cost little more than the
// signatures that are new in each. It answers nothing from memory but for the same bytes, all of them, in the same realm:
// a memory's name is the hash of everything that its check reads. It remembers no refusal. It is safe for concurrent use;
// the nil Verifier remembers nothing.
type Verifier struct {
	mu          sync.Mutex
	authorities memory[*identity.Authority]
	reigns      memory[reign]
	heads       memory[wire.Verified[audit.Head]]
	enrolments  memory[invited]
	electorates memory[struct{}]
	rooms       sync.Pool // of *name, each in one check's use
	lately      [ofSorts]atomic.Pointer[hashed]
}

// What a name is of, where most certificates name the same.
const (
	ofChain = iota
	ofPolicies
	ofElectorate
	ofSorts
)

// hashed is a name and its hash.
type hashed struct {
	name name
	hash wire.Digest
}

// hash returns the hash of a name: from memory, if it is byte for byte what was hashed last for the same.
func (v *Verifier) hash(of int, n name) wire.Digest {
	if len(n) > nameRoom {
		return n.hash()
	}
	last := v.lately[of].Load()
	if last == nil || !bytes.Equal(last.name, n) {
		last = &hashed{name: bytes.Clone(n), hash: n.hash()}
		v.lately[of].Store(last)
	}
	return last.hash
}

// NewVerifier returns a Verifier that remembers the last 64 chains and heads, and 4096 enrolments and electorates.
func NewVerifier() *Verifier {
	const few, many = 64, 4096
	return &Verifier{
		authorities: newMemory[*identity.Authority](few), reigns: newMemory[reign](few),
		heads: newMemory[wire.Verified[audit.Head]](few), enrolments: newMemory[invited](many),
		electorates: newMemory[struct{}](many),
		rooms:       sync.Pool{New: func() any { n := make(name, 0, nameRoom); return &n }},
	}
}

// Verify is [VerifyCertificate].
func (v *Verifier) Verify(raw []byte, t Trust) (*Verified, Report, error) {
	e := &examination{trust: t, raw: raw, known: v}
	if v != nil {
		e.room = v.rooms.Get().(*name)
		defer v.rooms.Put(e.room)
	}
	return e.verify()
}

// invited is what a verified enrolment says.
type invited struct {
	agent, operator identity.ID
	level           identity.Level
}

// memory holds the newest entries, the oldest making room.
type memory[T any] struct {
	entries map[wire.Digest]T
	order   []wire.Digest // a ring once it is full
	next    int
	most    int
}

func newMemory[T any](most int) memory[T] {
	return memory[T]{entries: map[wire.Digest]T{}, most: most}
}

func (m *memory[T]) keep(name wire.Digest, value T) {
	if _, ok := m.entries[name]; !ok {
		if len(m.order) < m.most {
			m.order = append(m.order, name)
		} else {
			delete(m.entries, m.order[m.next])
			m.order[m.next] = name
			m.next = (m.next + 1) % m.most
		}
	}
	m.entries[name] = value
}

// name is what the hash of an entry's name is taken of. Different parts give different names: each stands behind its
// length, and so does each list.
type name []byte

func (n name) bytes(part []byte) name {
	return append(binary.BigEndian.AppendUint64(n, uint64(len(part))), part...)
}

func (n name) list(parts [][]byte) name {
	n = n.number(uint64(len(parts)))
	for _, part := range parts {
		n = n.bytes(part)
	}
	return n
}

func (n name) number(value uint64) name { return binary.BigEndian.AppendUint64(n, value) }

func (n name) hash() wire.Digest { return wire.Hash(n) }

// nameRoom holds what the longest name of most certificates is the hash of.
const nameRoom = 16 << 10

// named begins a name, in the room of the one before.
func (e *examination) named() name { return (*e.room)[:0] }

// chain names what the roster is read from.
func (e *examination) chain() wire.Digest {
	if e.chainID.IsZero() {
		e.chainID = e.known.hash(ofChain, e.named().bytes(e.c.Realm[:]).bytes(e.c.Genesis).list(e.c.Rosters))
	}
	return e.chainID
}

// governing names what the policy in force is read from, the chain by its name.
func (e *examination) governing() wire.Digest {
	if e.governingID.IsZero() {
		chain := e.chain()
		n := e.named().bytes(chain[:]).bytes(e.c.Policy).bytes(e.c.Before).list(e.c.Policies)
		if len(e.c.Policies) > 0 {
			n = n.list(e.c.Operators).list(e.c.Keys)
		}
		e.governingID = e.known.hash(ofPolicies, n)
	}
	return e.governingID
}

// signing names what a head is verified by.
func (e *examination) signing() wire.Digest {
	chain := e.chain()
	return e.named().bytes(chain[:]).bytes(e.c.Head).hash()
}

// electorate names all that vouching for the parties reads.
func (e *examination) electorate() wire.Digest {
	governing, proposer := e.governing(), e.proposal.Statement().Proposer
	n := e.named().bytes(governing[:]).list(e.c.Operators).list(e.c.Keys).list(e.c.Levels).list(e.c.Enrolments)
	o, alone := &e.c.Opening, uint64(0)
	if o.Alone {
		alone = 1
	}
	n = n.bytes(proposer[:]).bytes(o.Operator[:]).bytes(o.Key[:]).number(o.Level).number(alone)
	for i := range o.Voters {
		v := &o.Voters[i]
		n = n.bytes(v.ID[:]).bytes(v.Operator[:]).bytes(v.Key[:]).number(v.Level)
	}
	return e.known.hash(ofElectorate, n)
}

// recall returns what a memory has by a name, or else what find finds, and keeps that.
func recall[T any](v *Verifier, among func(*Verifier) *memory[T], named func() wire.Digest, find func() (T, error)) (T, error) {
	if v == nil {
		return find()
	}
	id := named()
	v.mu.Lock()
	value, ok := among(v).entries[id]
	v.mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := find()
	if err == nil {
		v.mu.Lock()
		among(v).keep(id, value)
		v.mu.Unlock()
	}
	return value, err
}

func (e *examination) authority() (*identity.Authority, error) {
	return recall(e.known, func(v *Verifier) *memory[*identity.Authority] { return &v.authorities },
		e.chain,
		func() (*identity.Authority, error) {
			return identity.VerifyChain(e.c.Realm, bytes.Clone(e.c.Genesis), cloned(e.c.Rosters), 0)
		})
}

// cloned copies what may be remembered: a memory must not hold whole certificates.
func cloned(list [][]byte) [][]byte {
	all := make([][]byte, len(list))
	for i, b := range list {
		all[i] = bytes.Clone(b)
	}
	return all
}

func (e *examination) reign() (reign, error) {
	return recall(e.known, func(v *Verifier) *memory[reign] { return &v.reigns },
		e.governing, e.followPolicies)
}

func (e *examination) signedHead() (wire.Verified[audit.Head], error) {
	return recall(e.known, func(v *Verifier) *memory[wire.Verified[audit.Head]] { return &v.heads },
		e.signing,
		func() (wire.Verified[audit.Head], error) { return audit.VerifyHead(bytes.Clone(e.c.Head), e.a) })
}

func (e *examination) vouched() error {
	_, err := recall(e.known, func(v *Verifier) *memory[struct{}] { return &v.electorates },
		e.electorate,
		func() (struct{}, error) { return struct{}{}, e.vouch() })
	return err
}

// enrolment verifies an enrolment by an identity key of its operator.
func (v *Verifier) enrolment(raw []byte, realm wire.Realm, key wire.PublicKey) (invited, error) {
	return recall(v, func(v *Verifier) *memory[invited] { return &v.enrolments },
		func() wire.Digest { return name{}.bytes(realm[:]).bytes(key[:]).bytes(raw).hash() },
		func() (invited, error) {
			e, t, err := identity.VerifyEnrolment(raw, realm, key)
			if err != nil {
				return invited{}, err
			}
			return invited{agent: e.Statement().Agent, operator: t.Statement().Operator, level: t.Statement().Level}, nil
		})
}
