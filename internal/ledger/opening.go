package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// propose opens a decision. Class and rule come from the policy, the electorate from the members, all here.
func propose(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Propose](o.Command)
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Proposal](body.Proposal, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	v, err := claimed.Verify(s.authority.Realm, o.author.Key)
	if err != nil {
		return nil, err
	}
	p := v.Statement()
	if err := proposable(s, o, p); err != nil {
		return nil, err
	}
	key := answerKey{Author: p.Proposer, Nonce: p.Nonce}
	if before, ok := s.proposals[key]; ok {
		return nil, fmt.Errorf("%w: nonce, by decision %s", ErrSpent, before)
	}
	opening, err := openingOf(s, o, p, v.ID())
	if err != nil {
		return nil, err
	}
	if !opening.Alone && s.openOf[opening.Operator] >= maxOpen {
		return nil, fmt.Errorf("%w: %d", errManyOpen, maxOpen)
	}
	d := &Decision{
		ID: v.ID(), Proposal: body.Proposal, Opening: opening, Opened: leafOf(o, opening), claim: &p,
		Verdict: consensus.NewVerdict(p, opening, consensus.Open, s.now),
	}
	if opening.Alone {
		d.Verdict, d.Decided = consensus.NewVerdict(p, opening, consensus.Approved, s.now), d.Opened
	}
	s.enter(d)
	s.count(d)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return opening, nil
}

// enter adds a decision to the state; count adds it to the sums.
func (s *state) enter(d *Decision) {
	s.decisions[d.ID] = d
	s.proposals[answerKey{Author: d.claim.Proposer, Nonce: d.claim.Nonce}] = d.ID
	if d.Verdict.State != consensus.Open {
		return
	}
	s.open[d.ID] = d
	s.openOf[d.Opening.Operator]++
	for _, m := range momentsOf(d, s.now) {
		s.due.add(m)
	}
}

// maxOpen bounds the undecided proposals of one operator and its agents: voters have other things to look at.
const maxOpen = 64

var errManyOpen = fault.New(fault.Rate, "ledger: too many proposals of this operator and its agents are undecided").
	WithHint("wait until some have ended: conclave decision ls")

// mayPropose refuses agents whose level does not propose.
func mayPropose(s *state, o *order) error {
	if o.Author.Role() == identity.Agent && !s.policy.Rights(o.author.Level).Propose {
		return fmt.Errorf("%w: %s does not propose", ErrDenied, o.author.Level)
	}
	return nil
}

func proposable(s *state, o *order, p consensus.Proposal) error {
	if p.Proposer != o.Author {
		return fmt.Errorf("%w: proposal of another principal", ErrDenied)
	}
	if err := mayPropose(s, o); err != nil {
		return err
	}
	if p.Expires <= s.now {
		return fmt.Errorf("%w: proposal", ErrExpired)
	}
	if p.Permit != nil && p.Permit.Until <= s.now {
		return fmt.Errorf("%w: permit", ErrExpired)
	}
	if p.Issued > s.now+identity.Skew {
		return fmt.Errorf("proposal: %w", identity.ErrNotYet)
	}
	executor, err := s.member(p.Executor)
	if err != nil {
		return fmt.Errorf("executor: %w", err)
	}
	if err := executor.Status.Check(); err != nil {
		return err
	}
	if p.Emergency {
		return urgent(s, p)
	}
	return nil
}

// openingOf computes what a proposal needs, and refuses it where the electorate cannot give that.
func openingOf(s *state, o *order, p consensus.Proposal, id wire.Digest) (consensus.Opening, error) {
	proposer := o.author
	sum := s.sumWith(proposer.Operator, p)
	class, err := s.policy.Classify(p.Action, p.Class, sum)
	if err != nil {
		return consensus.Opening{}, err
	}
	opening := consensus.Opening{
		Proposal: id, Action: p.Action.Digest(), Policy: s.policy.Digest(), Class: class, Level: uint64(proposer.Level),
		Operator: proposer.Operator, Rule: s.policy.Rule(class), Index: o.leaf.Index, Opened: s.now, Key: proposer.Key,
		Sum: sum, Emergency: p.Emergency,
	}
	if p.Emergency {
		opening.Rule = s.policy.Emergency.Rule()
	}
	opening.Deadline = min(s.now+opening.Rule.Deadline, p.Expires)
	opening.Alone = p.Permit == nil && !p.Emergency && p.Proposer.Role() == identity.Agent &&
		s.policy.Alone(proposer.Level, class)
	if opening.Alone {
		return opening, nil
	}
	opening.Voters = electorateOf(s, opening, p)
	return opening, consensus.CheckElectorate(opening, p.Proposer)
}

// electorateOf returns who may vote, as far as the rule lets them, and who is only counted. Above [consensus.MaxVoters],
// people come first, then the heavier.
func electorateOf(s *state, opening consensus.Opening, p consensus.Proposal) []consensus.Voter {
	var voters []consensus.Voter
	for _, m := range s.members {
		weight, level, silenced := weightOf(s, m), m.Level, false
		if weight == 0 {
			if level, silenced = silencedLately(s, m); silenced {
				weight = s.policy.Rights(level).Weight
			}
		}
		if weight > 0 && s.suspected(m) {
			silenced = true // it neither votes nor makes the electorate smaller: else a detector could choose who decides
		}
		if weight == 0 || excluded(opening, p, m) {
			continue
		}
		voters = append(voters, consensus.Voter{
			ID: m.ID, Key: m.Key, Operator: m.Operator, Level: uint64(level), Weight: weight, Family: m.Family,
			Calibration: calibrationOf(m), Silenced: silenced,
		})
	}
	slices.SortFunc(voters, func(a, b consensus.Voter) int {
		if a.Person() != b.Person() {
			if a.Person() {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), a.ID.Compare(b.ID))
	})
	voters = voters[:min(len(voters), consensus.MaxVoters)]
	slices.SortFunc(voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	return voters
}

// excluded reports whether a member with weight has no say in a proposal: it would act by it, gains from it, or belongs to
// somebody who does. The proposer's parent and children are of its operator, so no rule lets them vote.
func excluded(opening consensus.Opening, p consensus.Proposal, m *Member) bool {
	person := m.ID.Role() == identity.Operator
	switch {
	case opening.Emergency && !person:
		return true
	case m.ID == p.Executor && !person:
		return true
	case p.Gains(m.ID) || p.Gains(m.Operator):
		return true
	}
	return !consensus.Eligible(opening.Rule, p.Proposer, opening.Operator, m.ID, m.Operator)
}

// weightOf returns what a member's vote weighs now: 1 for an active operator; for an active agent of an active operator
// what its level has; otherwise nothing.
func weightOf(s *state, m *Member) uint64 {
	operator := s.members[m.Operator]
	switch {
	case m.Status != trust.Active || operator == nil || operator.Status != trust.Active:
		return 0
	case m.ID.Role() == identity.Operator:
		return 1
	}
	return s.policy.Rights(m.Level).Weight
}

// silenceLasts is how long what few operators have tightened leaves an agent's weight in electorates, in milliseconds of log
// time: nobody shrinks an electorate in order to win in it.
const silenceLasts = 24 * 60 * 60 * 1000

// silencedLately returns the level at which an agent without a vote is still counted, because fewer operators than must sign
// what loosens have lately quarantined, revoked or lowered it, or confined its operator.
func silencedLately(s *state, m *Member) (identity.Level, bool) {
	operator := s.members[m.Operator]
	if m.ID.Role() != identity.Agent || operator == nil {
		return 0, false
	}
	few := func(at int64, signers uint64) bool { return signers < s.policy.Loosen && s.now-at < silenceLasts }
	for _, confined := range []*Member{m, operator} {
		if confined.Status != trust.Active && !few(confined.StatusAt, confined.StatusSigners) {
			return 0, false
		}
	}
	if m.Before > m.Level && s.policy.Rights(m.Level).Weight == 0 && few(m.BeforeAt, m.BeforeSigners) {
		return m.Before, true
	}
	return m.Level, true
}

// noteBefore is called before the level changes: it notes the level that a lowering takes away, as of the first of several
// within the time that it counts on. Signers is how many active operators answer for the change; [wire.MaxCosigners] where
// none does, because time or a voter's own signatures brought it about.
func (s *state) noteBefore(m *Member, signers uint64, level identity.Level) {
	fresh := m.Before > m.Level && s.now-m.BeforeAt < silenceLasts
	switch {
	case level > m.Level:
		m.Before, m.BeforeAt, m.BeforeSigners = 0, 0, 0
	case level < m.Level && !fresh:
		m.Before, m.BeforeAt, m.BeforeSigners = m.Level, s.now, signers
	case fresh:
		m.BeforeSigners = max(m.BeforeSigners, signers)
	}
}

func (s *state) decision(id wire.Digest) (*Decision, error) {
	d, ok := s.decisions[id]
	if !ok {
		return nil, fmt.Errorf("%w: decision %s", ErrUnknown, id)
	}
	return d, nil
}

// named reads an order's body, and finds the decision that it names.
func named[B any](s *state, o *order, of func(B) wire.Digest) (body B, d *Decision, err error) {
	if body, err = registry.Body[B](o.Command); err == nil {
		d, err = s.decision(of(body))
	}
	return body, d, err
}

// leafOf returns the leaf that an accepted order with this result will have.
func leafOf(o *order, result any) audit.Leaf {
	b, err := wire.Encode(result)
	if err != nil {
		panic(err) // results are our own types
	}
	leaf := o.leaf
	leaf.Result = wire.Hash(b)
	return leaf
}
