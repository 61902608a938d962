package proof

import (
	"encoding/binary"
	"sync"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
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
}

// NewVerifier returns a Verifier that remembers the last 64 chains and heads, and 4096 enrolments and electorates.
func NewVerifier() *Verifier {
	const few, many = 64, 4096
	return &Verifier{
		authorities: newMemory[*identity.Authority](few), reigns: newMemory[reign](few),
		heads: newMemory[wire.Verified[audit.Head]](few), enrolments: newMemory[invited](many),
		electorates: newMemory[struct{}](many),
	}
}

// Verify is [VerifyCertificate].
func (v *Verifier) Verify(raw []byte, t Trust) (*Verified, Report, error) {
	e := &examination{trust: t, raw: raw, known: v}
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

// chain names what the roster is read from.
func chain(c consensus.Certificate) name {
	return make(name, 0, 4<<10).bytes(c.Realm[:]).bytes(c.Genesis).list(c.Rosters)
}

// governing names what the policy in force is read from, the chain by its hash.
func governing(chain wire.Digest, c consensus.Certificate) name {
	n := make(name, 0, 4<<10).bytes(chain[:]).bytes(c.Policy).bytes(c.Before).list(c.Policies)
	if len(c.Policies) > 0 {
		n = n.list(c.Operators).list(c.Keys)
	}
	return n
}

// electorate names all that vouching for the parties reads.
func electorate(chain wire.Digest, c consensus.Certificate, proposer identity.ID) name {
	policies := governing(chain, c).hash()
	n := make(name, 0, 16<<10).bytes(policies[:]).list(c.Operators).list(c.Keys).list(c.Levels).list(c.Enrolments)
	o, alone := c.Opening, uint64(0)
	if o.Alone {
		alone = 1
	}
	n = n.bytes(proposer[:]).bytes(o.Operator[:]).bytes(o.Key[:]).number(o.Level).number(alone)
	for _, v := range o.Voters {
		n = n.bytes(v.ID[:]).bytes(v.Operator[:]).bytes(v.Key[:]).number(v.Level)
	}
	return n
}

// recall returns what a memory has by a name, or else what find finds, and keeps that.
func recall[T any](v *Verifier, among func(*Verifier) *memory[T], named func() name, find func() (T, error)) (T, error) {
	if v == nil {
		return find()
	}
	id := named().hash()
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
		func() name { return chain(e.c) },
		func() (*identity.Authority, error) {
			return identity.VerifyChain(e.c.Realm, e.c.Genesis, e.c.Rosters, 0)
		})
}

func (e *examination) reign() (reign, error) {
	return recall(e.known, func(v *Verifier) *memory[reign] { return &v.reigns },
		func() name { return governing(e.chained(), e.c) }, e.followPolicies)
}

func (e *examination) signedHead() (wire.Verified[audit.Head], error) {
	return recall(e.known, func(v *Verifier) *memory[wire.Verified[audit.Head]] { return &v.heads },
		func() name { id := e.chained(); return name{}.bytes(id[:]).bytes(e.c.Head) },
		func() (wire.Verified[audit.Head], error) { return audit.VerifyHead(e.c.Head, e.a) })
}

func (e *examination) vouched() error {
	_, err := recall(e.known, func(v *Verifier) *memory[struct{}] { return &v.electorates },
		func() name { return electorate(e.chained(), e.c, e.proposal.Statement().Proposer) },
		func() (struct{}, error) { return struct{}{}, e.vouch() })
	return err
}

// chained returns the hash that stands for genesis and rosters.
func (e *examination) chained() wire.Digest {
	if e.chainID.IsZero() {
		e.chainID = chain(e.c).hash()
	}
	return e.chainID
}

// enrolment verifies an enrolment by an identity key of its operator.
func (v *Verifier) enrolment(raw []byte, realm wire.Realm, key wire.PublicKey) (invited, error) {
	return recall(v, func(v *Verifier) *memory[invited] { return &v.enrolments },
		func() name { return name{}.bytes(realm[:]).bytes(key[:]).bytes(raw) },
		func() (invited, error) {
			e, t, err := identity.VerifyEnrolment(raw, realm, key)
			if err != nil {
				return invited{}, err
			}
			return invited{agent: e.Statement().Agent, operator: t.Statement().Operator, level: t.Statement().Level}, nil
		})
}
