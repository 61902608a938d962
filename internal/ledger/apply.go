package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// order is one command that passed the checks common to all: who signed it is known.
type order struct {
	registry.Command
	id      wire.Digest
	raw     []byte
	author  *Member              // nil where the author is a node, or enrols
	signers map[identity.ID]bool // active operators among those who signed, by ID
	leaf    audit.Leaf           // being made; its index is known, its result not yet
}

func (s *state) applyEntry(raw []byte) registry.Answer {
	var e Entry
	if err := wire.Decode(raw, &e); err != nil {
		return s.record(wire.Hash(raw), nil, err)
	}
	if len(e.Tick)+len(e.Command) == 0 {
		return s.record(wire.Hash(raw), nil, fmt.Errorf("%w: entry without a command", wire.ErrMalformed))
	}
	var answer registry.Answer
	if len(e.Tick) > 0 && (len(e.Command) == 0 || s.news(e.Tick)) {
		answer = s.applyCommand(e.Tick)
	}
	if len(e.Command) > 0 {
		answer = s.applyCommand(e.Command)
	}
	return answer
}

// news reports whether a tick that accompanies a command tells a later time. One that does not leaves no trace: two
// commands that were handed in together may reach the log in either order.
func (s *state) news(tick []byte) bool {
	c, err := wire.ParseCosigned[registry.Command](tick, wire.MaxStatement)
	if err != nil {
		return true
	}
	body, err := registry.Body[registry.Tick](c.Claim)
	return err != nil || body.Time > s.now
}

// applyCommand checks and executes one command, or finds the answer that it got before.
func (s *state) applyCommand(raw []byte) registry.Answer {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return s.record(wire.Hash(raw), nil, err)
	}
	id := c.ID(s.authority.Realm)
	key := answerKey{Author: c.Claim.Author, Nonce: c.Claim.Nonce}
	before, used := s.answers[key]
	if used && before.answers(id, raw) {
		return before.Answer
	}
	o, err := s.admit(c, id, raw)
	if err != nil {
		return s.record(id, nil, err)
	}
	if used && before.Answer.Command != id {
		return s.record(id, nil, fmt.Errorf("%w: this author used the nonce for another command", ErrSpent))
	}
	if err := s.timely(o); err != nil {
		return s.record(id, nil, err)
	}
	o.leaf = audit.Leaf{Index: s.tree.Size() + 1, Command: id}
	result, err := s.execute(o)
	answer := s.record(id, result, err)
	if o.Type != registry.TypeTick {
		s.answers[key] = remembered{
			Author: o.Author, Nonce: o.Nonce, Expires: o.Expires, Answer: answer, Signed: wire.Hash(raw),
		}
	}
	return answer
}

// answers reports whether the command was answered before. An acceptance holds for the command; a refusal only for the
// signatures that came with it, so that nobody can spoil a command by handing it in with too few of them.
func (r remembered) answers(id wire.Digest, raw []byte) bool {
	return r.Answer.Command == id && (r.Answer.Code == "" || r.Signed == wire.Hash(raw))
}

// admit finds out who signed a command and refuses those whose author has not, or may not take part.
func (s *state) admit(c wire.Cosigned[registry.Command], id wire.Digest, raw []byte) (*order, error) {
	o := &order{Command: c.Claim, id: id, raw: raw, signers: map[identity.ID]bool{}}
	key, err := s.authorKey(o)
	if err != nil {
		return nil, err
	}
	if _, err := c.Verify(s.authority.Realm, 1, []wire.PublicKey{key}); err != nil {
		return nil, err
	}
	for _, signer := range c.Keys() {
		m, ok := s.members[s.keys[signer]]
		if ok && m.ID.Role() == identity.Operator && m.Status == trust.Active {
			o.signers[m.ID] = true
		}
	}
	return o, nil
}

func (s *state) authorKey(o *order) (wire.PublicKey, error) {
	switch {
	case o.Author.Role() == identity.Node:
		for _, n := range s.authority.Nodes {
			if n == o.Author {
				return n.Key(), nil
			}
		}
		return wire.PublicKey{}, fmt.Errorf("%w: node %s is not in the roster", ErrUnknown, o.Author)
	case o.Type == registry.TypeEnrol:
		if _, known := s.members[o.Author]; known {
			return wire.PublicKey{}, fmt.Errorf("%w: %s is enrolled", ErrConflict, o.Author)
		}
		return o.Author.Key(), nil
	}
	m, err := s.member(o.Author)
	if err != nil {
		return wire.PublicKey{}, err
	}
	if err := m.Status.Check(); err != nil {
		return wire.PublicKey{}, err
	}
	o.author = m
	return m.Key, nil
}

// timely checks a command against log time. Ticks make log time and are checked when executed.
func (s *state) timely(o *order) error {
	if o.Type == registry.TypeTick {
		return nil
	}
	if o.Expires <= s.now {
		return fmt.Errorf("%w: command", ErrExpired)
	}
	if o.Issued > s.now+identity.Skew {
		return fmt.Errorf("command: %w", identity.ErrNotYet)
	}
	return nil
}

// record appends the command's leaf to the tree and makes its answer.
func (s *state) record(command wire.Digest, result any, err error) registry.Answer {
	answer := registry.Answer{Index: s.tree.Size() + 1, Command: command, Time: s.now}
	leaf := audit.Leaf{Index: answer.Index, Command: command}
	if err != nil {
		answer.Code, answer.Message = fault.CodeOf(err), limit(err.Error())
	} else if result != nil {
		b, encodeErr := wire.Encode(result)
		if encodeErr != nil {
			panic(encodeErr) // results are our own types
		}
		answer.Result, leaf.Result = b, wire.Hash(b)
	}
	leaf.Verdict = answer.Code
	hash := leaf.Hash()
	if err := s.tree.Append(hash); err != nil {
		panic(err) // 2^40 commands
	}
	s.chain = wire.Hash(append(s.chain[:], hash[:]...))
	return answer
}

func limit(message string) string {
	const most = 512
	return strings.ToValidUTF8(message[:min(len(message), most)], "") // cut inside a letter, it could not be read back
}

type executor func(*state, *order) (any, error)

// executors is the table of doors: a type that is absent is refused.
var executors = map[registry.Type]executor{
	registry.TypeTick:     tick,
	registry.TypeEnrol:    enrol,
	registry.TypeOperator: addOperator,
	registry.TypeStatus:   setStatus,
	registry.TypeLevel:    setLevel,
	registry.TypeGrant:    grant,
	registry.TypeCard:     putCard,
	registry.TypeSucceed:  succeed,
	registry.TypeEpoch:    raiseEpoch,
	registry.TypePropose:  propose,
	registry.TypeVote:     vote,
	registry.TypeConsume:  consume,
	registry.TypeReport:   report,
}

// comparing are the types that change a member and honour Expect.
var comparing = []registry.Type{
	registry.TypeStatus, registry.TypeLevel, registry.TypeGrant, registry.TypeCard, registry.TypeSucceed,
	registry.TypeEpoch,
}

// ErrUnknownType is returned for a type of command above what this ledger executes.
var ErrUnknownType = fault.New(fault.Version, "ledger: unknown type of command")

func (s *state) execute(o *order) (any, error) {
	execute, err := doorOf(o)
	if err != nil {
		return nil, err
	}
	return execute(s, o)
}

// doorOf returns what executes the order, and refuses orders whose type, author or form alone forbid it.
func doorOf(o *order) (executor, error) {
	execute, ok := executors[o.Type]
	if !ok {
		return nil, fmt.Errorf("%w: %.32q", ErrUnknownType, string(o.Type))
	}
	if (o.Author.Role() == identity.Node) != (o.Type == registry.TypeTick) {
		return nil, fmt.Errorf("%w: nodes tell the time, and nothing else", ErrDenied)
	}
	if o.Expect != 0 && !slices.Contains(comparing, o.Type) {
		return nil, fmt.Errorf("%w: %s changes nothing that could be compared", wire.ErrMalformed, o.Type)
	}
	return execute, nil
}

// tick moves log time forward, never back, and ends what is over.
func tick(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Tick](o.Command)
	if err != nil {
		return nil, err
	}
	if body.Time <= s.now {
		return nil, errBackwards
	}
	if body.Time > maxTime {
		return nil, fmt.Errorf("%w: a time after the year 9999", wire.ErrMalformed)
	}
	s.now = body.Time
	s.expireDecisions(leafOf(o, body))
	s.sweep()
	return body, nil
}

// maxTime is the last millisecond of the year 9999: sums of times stay far from where 64 bits end.
const maxTime = 253_402_300_799_999

var errBackwards = fault.New(fault.Superseded, "ledger: a tick may not tell an earlier time")

// sweep forgets used tokens and answers that have expired. It runs at most once a minute of log time.
func (s *state) sweep() {
	if s.now < s.sweepAt {
		return
	}
	s.sweepAt = s.now + sweepEvery
	for id, expires := range s.tokens {
		if expires <= s.now {
			delete(s.tokens, id)
		}
	}
	for key, r := range s.answers {
		if r.Expires <= s.now {
			delete(s.answers, key)
		}
	}
}

// loosen refuses changes that loosen unless enough operators have signed.
func (s *state) loosen(o *order) error {
	if have := uint64(len(o.signers)); have < s.policy.Loosen {
		return fmt.Errorf("%w: %d of %d", ErrQuorum, have, s.policy.Loosen)
	}
	return nil
}

// operator refuses authors that are not operators.
func (o *order) operator() error {
	if o.Author.Role() != identity.Operator {
		return fmt.Errorf("%w: only an operator may", ErrDenied)
	}
	return nil
}

// unchanged refuses commands whose author saw an older state of the member.
func (o *order) unchanged(m *Member) error {
	if o.Expect != 0 && o.Expect != m.Changed {
		return fmt.Errorf("%w: %s changed at %d, not %d", ErrConflict, m.Name, m.Changed, o.Expect)
	}
	return nil
}

func (s *state) touch(m *Member, o *order) registry.Change {
	m.Changed = o.leaf.Index
	s.touchedMembers = append(s.touchedMembers, m.ID)
	return registry.Change{Principal: m.ID, Status: m.Status, Level: m.Level, Epoch: m.Epoch, Key: m.Key}
}
