package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
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

// prepared is an entry as read, before the state is asked anything: what costs most, the command's signatures, is done
// while others may still read the state.
type prepared struct {
	entry      Entry
	err        error
	command    wire.Cosigned[registry.Command] // if there is one
	commandErr error
}

func prepare(realm wire.Realm, raw []byte) (p prepared) {
	if p.err = wire.Decode(raw, &p.entry); p.err != nil || len(p.entry.Command) == 0 {
		return p
	}
	p.command, p.commandErr = wire.ParseCosigned[registry.Command](p.entry.Command, wire.MaxStatement)
	if p.commandErr == nil {
		_, _ = p.command.Verify(realm, 1, p.command.Keys()) // what is wrong with it is found again, in its turn
	}
	return p
}

func (s *state) applyEntry(raw []byte, p prepared) registry.Answer {
	e := p.entry
	if p.err != nil {
		return s.record(wire.Hash(raw), nil, p.err)
	}
	if len(e.Ticks)+len(e.Command) == 0 {
		return s.record(wire.Hash(raw), nil, fmt.Errorf("%w: entry without a command", wire.ErrMalformed))
	}
	if len(e.Ticks) > wire.MaxCosigners {
		return s.record(wire.Hash(raw), nil, fmt.Errorf("%w: over %d ticks", wire.ErrTooLarge, wire.MaxCosigners))
	}
	var answer registry.Answer
	for _, t := range e.Ticks {
		answer = s.applyTick(t)
	}
	if len(e.Command) > 0 {
		answer = s.applyCommand(e.Command, p)
	}
	return answer
}

// applyCommand checks and executes one command, or finds the answer that it got before.
func (s *state) applyCommand(raw []byte, p prepared) registry.Answer {
	c, err := p.command, p.commandErr
	if err != nil {
		return s.record(wire.Hash(raw), nil, err)
	}
	if c.Claim.Type == registry.TypeTick {
		return s.applyTick(raw)
	}
	id := c.ID(s.authority.Realm)
	key := answerKey{Author: c.Claim.Author, Nonce: c.Claim.Nonce}
	before, used := s.answers[key]
	if used && !planted.Fault(planted.ForgetsAnswers) && before.answers(id, raw) {
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
	s.answers[key] = remembered{
		Author: o.Author, Nonce: o.Nonce, Expires: o.Expires, Answer: answer, Signed: wire.Hash(raw),
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
		if !slices.Contains(s.authority.Nodes, o.Author) {
			return wire.PublicKey{}, notSeated(o.Author)
		}
		return o.Author.Key(), nil
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

// timely checks a command against log time.
func (s *state) timely(o *order) error {
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
	answer := s.answer(s.tree.Size()+1, command, result, err)
	leaf := audit.Leaf{Index: answer.Index, Command: command, Verdict: answer.Code}
	if answer.Result != nil {
		leaf.Result = wire.Hash(answer.Result)
	}
	hash := leaf.Hash()
	if err := s.tree.Append(hash); err != nil {
		panic(err) // 2^40 commands
	}
	s.chain = wire.Hash(append(s.chain[:], hash[:]...))
	s.mark()
	return answer
}

// answer says what became of a command, with the size of the tree by then.
func (s *state) answer(index uint64, command wire.Digest, result any, err error) registry.Answer {
	answer := registry.Answer{Index: index, Command: command, Time: s.now}
	if err != nil {
		answer.Code, answer.Message = fault.CodeOf(err), limit(err.Error())
		return answer
	}
	b, err := wire.Encode(result)
	if err != nil {
		panic(err) // results are our own types
	}
	answer.Result = b
	return answer
}

func limit(message string) string {
	const most = 512
	return strings.ToValidUTF8(message[:min(len(message), most)], "") // cut inside a letter, it could not be read back
}

type executor func(*state, *order) (any, error)

// door is what executes one type of command, and the feature level that all nodes must have told before.
type door struct {
	execute executor
	feature uint64
}

// doors is the table of doors: a type that is absent is refused. Ticks have their own, see applyTick.
var doors = map[registry.Type]door{
	registry.TypeEnrol:    {enrol, 0},
	registry.TypeOperator: {addOperator, 0},
	registry.TypeStatus:   {setStatus, 0},
	registry.TypeLevel:    {setLevel, 0},
	registry.TypeGrant:    {grant, 0},
	registry.TypeCard:     {putCard, 0},
	registry.TypeSucceed:  {succeed, 0},
	registry.TypeEpoch:    {raiseEpoch, 0},
	registry.TypePropose:  {propose, 0},
	registry.TypeVote:     {vote, 0},
	registry.TypeConsume:  {consume, 0},
	registry.TypeReport:   {report, 0},
	registry.TypeRoster:   {putRoster, 1},
	registry.TypeRemind:   {remind, reminding},

	registry.TypeCommit:     {commit, 3},
	registry.TypeEquivocate: {equivocate, 3},
	registry.TypeCancel:     {cancel, 3},
	registry.TypeSettle:     {settle, 3},
	registry.TypePolicy:     {putPolicy, 3},

	registry.TypeEvidence: {tell, registry.TrustFeature},
	registry.TypePromote:  {promote, registry.TrustFeature},
}

// comparing are the types that change a member and honour Expect.
var comparing = []registry.Type{
	registry.TypeStatus, registry.TypeLevel, registry.TypeGrant, registry.TypeCard, registry.TypeSucceed,
	registry.TypeEpoch, registry.TypePromote,
}

// ErrUnknownType is returned for a type of command above what this ledger executes.
var ErrUnknownType = fault.New(fault.Version, "ledger: unknown type of command")

func (s *state) execute(o *order) (any, error) {
	if d := doors[o.Type]; d.feature >= registry.TrustFeature { // first: builds that do not know the type do not look at its form
		if err := s.speaks(o.Type, d.feature); err != nil {
			return nil, err
		}
	}
	d, err := doorOf(o)
	if err != nil {
		return nil, err
	}
	if err := s.speaks(o.Type, d.feature); err != nil {
		return nil, err
	}
	return d.execute(s, o)
}

// doorOf returns what executes the order, and refuses orders whose type, author or form alone forbid it.
func doorOf(o *order) (door, error) {
	d, ok := doors[o.Type]
	if !ok {
		return door{}, fmt.Errorf("%w: %.32q", ErrUnknownType, string(o.Type))
	}
	if (o.Author.Role() == identity.Node) != (o.Type == registry.TypeRoster) && !(o.Type == registry.TypeRemind) {
		return door{}, fmt.Errorf("%w: nodes tell the time, hand in rosters and remind, and nothing else", ErrDenied)
	}
	if o.Expect != 0 && !slices.Contains(comparing, o.Type) {
		return door{}, fmt.Errorf("%w: %s changes nothing that could be compared", wire.ErrMalformed, o.Type)
	}
	return d, nil
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
	if o.Expect != 0 && o.Expect != m.Changed && !planted.Fault(planted.IgnoresExpect) {
		return fmt.Errorf("%w: %s changed at %d, not %d", ErrConflict, m.Name, m.Changed, o.Expect)
	}
	return nil
}

func (s *state) touch(m *Member, o *order) registry.Change {
	m.Changed = o.leaf.Index
	s.change.Members = append(s.change.Members, m.ID)
	return m.change()
}

// change is what the member is like now.
func (m *Member) change() registry.Change {
	return registry.Change{Principal: m.ID, Status: m.Status, Level: m.Level, Epoch: m.Epoch, Key: m.Key}
}
