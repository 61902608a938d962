package ledger

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// maxPolicies bounds all commands that replaced the policy together, in bytes: certificates carry them.
const maxPolicies = 512 << 10

// Signed is a command that the ledger keeps because certificates show it.
type Signed struct {
	Command []byte `cbor:"1,keyasint"` // cosigned
	Index   uint64 `cbor:"2,keyasint"` // of its leaf
}

var (
	errPreset = fault.New(fault.Denied, "ledger: a realm stays solo, or stays one of several people").
			WithHint("found another realm for the other kind")
	errSamePolicy = fault.New(fault.Conflict, "ledger: this policy is in force")
	errGoverners  = fault.New(fault.InvalidInput, "ledger: the policy wants more signatures than there are active operators").
			WithHint("lower loosen, or add operators first: conclave operator add")
	errPolicies = fault.New(fault.TooLarge, "ledger: the policy was replaced too often: certificates carry all policies").
			WithHint("found a new realm")
)

// putPolicy replaces the policy, if as many operators have signed as the policy in force wants. What was decided under
// that one stands; what is open ends, because its voters were asked by other rules.
func putPolicy(s *state, o *order) (any, error) {
	next, err := replacement(s, o)
	if err != nil {
		return nil, err
	}
	governed := registry.Governed{Policy: next.Digest(), Before: s.policy.Digest(), Number: uint64(len(s.policies)) + 1}
	for _, d := range s.openDecisions() {
		s.conclude(d, consensus.Superseded)
		d.Decided = leafOf(o, governed)
		s.change.Decisions = append(s.change.Decisions, d.ID)
	}
	s.policy, s.policies = next, append(s.policies[:len(s.policies):len(s.policies)], Signed{o.raw, o.leaf.Index})
	s.resum()
	if s.reckoner != nil {
		s.reckoner.book.Replace(next.Params(), next.Ladder(), s.now)
	}
	s.change.Policy, s.change.All = true, true
	return governed, nil
}

// replacement checks everything about a new policy and changes nothing.
func replacement(s *state, o *order) (policy.Policy, error) {
	body, err := registry.Body[registry.PutPolicy](o.Command)
	if err != nil {
		return policy.Policy{}, err
	}
	if err := o.operator(); err != nil {
		return policy.Policy{}, err
	}
	if err := s.loosen(o); err != nil {
		return policy.Policy{}, err
	}
	next, err := policy.Parse(body.Policy)
	if err != nil {
		var refused policy.Policy
		if s.feature < registry.TrustFeature && len(body.Policy) <= policy.MaxSize &&
			wire.Decode(body.Policy, &refused) == nil && refused.Extended() { // builds before that cannot read it, to find what is wrong
			err = fmt.Errorf("policy: %w: how evidence is reckoned", errTooNew)
		}
		return policy.Policy{}, err
	}
	if next.Extended() && s.feature < registry.TrustFeature {
		return policy.Policy{}, fmt.Errorf("policy: %w: how evidence is reckoned", errTooNew)
	}
	if (next.Preset == policy.Solo) != (s.founded.Preset == policy.Solo) {
		return policy.Policy{}, fmt.Errorf("%w: this one began as %s, not %s", errPreset, s.founded.Preset, next.Preset)
	}
	if err := next.CheckRoots(len(s.authority.Roots)); err != nil {
		return policy.Policy{}, err
	}
	if have := s.activeOperators(); have < next.Loosen {
		return policy.Policy{}, fmt.Errorf("%w: %d, of %d", errGoverners, next.Loosen, have)
	}
	if next.Digest() == s.policy.Digest() {
		return policy.Policy{}, errSamePolicy
	}
	total := len(o.raw)
	for _, d := range s.policies {
		total += len(d.Command)
	}
	if total > maxPolicies {
		return policy.Policy{}, fmt.Errorf("%w: %d bytes, at most %d", errPolicies, total, maxPolicies)
	}
	return next, nil
}

func (s *state) activeOperators() (n uint64) {
	for _, m := range s.members {
		if m.ID.Role() == identity.Operator && m.Status == trust.Active {
			n++
		}
	}
	return n
}

// raisable refuses raises that too few operators have signed. Above what one operator may give, the signature of the one
// who answers for the agent does not count: as many others sign, or all others where there are fewer.
func (s *state) raisable(o *order, m *Member, to identity.Level) error {
	if err := s.loosen(o); err != nil {
		return err
	}
	if to <= s.policy.Enrol {
		return nil
	}
	return s.foreign(o, m)
}

// foreign refuses what as many operators as loosen, other than the agent's own, have not signed, or all others where there
// are fewer.
func (s *state) foreign(o *order, m *Member) error {
	have, others := uint64(len(o.signers)), s.activeOperators()
	if o.signers[m.Operator] {
		have--
	}
	if operator := s.members[m.Operator]; operator != nil && operator.Status == trust.Active {
		others--
	}
	if need := min(s.policy.Loosen, others); have < need {
		return fmt.Errorf("%w: %d of %d, without its own operator, whose signature does not count for its own agents",
			ErrQuorum, have, need)
	}
	return nil
}

// newestBefore returns the last of the commands that was applied before the one with the index.
func newestBefore(commands []Signed, index uint64) (newest Signed, ok bool) {
	for _, c := range commands {
		if c.Index < index {
			newest, ok = c, true
		}
	}
	return newest, ok
}

// policyOf reads the policy out of a command that replaced it.
func policyOf(raw []byte) (policy.Policy, error) {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return policy.Policy{}, err
	}
	body, err := registry.Body[registry.PutPolicy](c.Claim)
	if err != nil {
		return policy.Policy{}, err
	}
	return policy.Parse(body.Policy)
}

// govern puts the newest of the policies in force that a snapshot has told.
func (s *state) govern() error {
	for i, d := range s.policies {
		p, err := policyOf(d.Command)
		if err != nil || d.Index > s.tree.Size() || (i > 0 && s.policies[i-1].Index >= d.Index) {
			return fmt.Errorf("%w: policy %d", errSnapshot, i+1)
		}
		s.policy = p
	}
	return nil
}

// lineage returns the policy that was in force for a command, by its index, and the commands that led to it from the
// genesis's policy, the oldest first.
func (s *state) lineage(index uint64) (policy.Policy, [][]byte, error) {
	var commands [][]byte
	for _, d := range s.policies {
		if d.Index < index {
			commands = append(commands, d.Command)
		}
	}
	if len(commands) == 0 {
		return s.founded, nil, nil
	}
	p, err := policyOf(commands[len(commands)-1])
	return p, commands, err
}

// Policies returns the commands that replaced the policy since the genesis as they were signed, oldest first. The caller
// must not change them.
func (l *Ledger) Policies() [][]byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	commands := make([][]byte, len(l.state.policies))
	for i, d := range l.state.policies {
		commands[i] = d.Command
	}
	return commands
}

// PolicyVouchers returns what shows those who signed [Ledger.Policies] to be operators: the commands that made them so,
// and the successions of their keys.
func (l *Ledger) PolicyVouchers() (operators, keys [][]byte) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var parties []identity.ID
	for _, d := range l.state.policies {
		parties = append(parties, sponsorsOf(l.state, d.Command)...)
	}
	var c consensus.Certificate
	vouchFor(l.state, &c, parties, l.state.tree.Size()+1)
	return c.Operators, c.Keys
}

// Founded returns the policy that the genesis names. The caller must not change it.
func (l *Ledger) Founded() policy.Policy {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.founded
}
