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
	if !opening.Alone && openOf(s, opening.Operator) >= maxOpen {
		return nil, fmt.Errorf("%w: %d", errManyOpen, maxOpen)
	}
	d := &Decision{
		ID: v.ID(), Proposal: body.Proposal, Opening: opening,
		Verdict: consensus.Verdict{Proposal: v.ID(), State: consensus.Open, At: s.now},
	}
	d.Opened = leafOf(o, opening)
	if opening.Alone {
		d.Verdict.State, d.Verdict.Until = consensus.Approved, s.now+opening.Rule.Window
		d.Decided = d.Opened
	} else {
		s.open = append(s.open, d.ID)
	}
	s.decisions[d.ID] = d
	s.proposals[key] = d.ID
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return opening, nil
}

// maxOpen bounds the undecided proposals of one operator and its agents: voters have other things to look at.
const maxOpen = 64

var errManyOpen = fault.New(fault.Rate, "ledger: too many proposals of this operator and its agents are undecided").
	WithHint("wait until some have ended: conclave decision ls")

func openOf(s *state, operator identity.ID) int {
	n := 0
	for _, id := range s.open {
		if s.decisions[id].Opening.Operator == operator {
			n++
		}
	}
	return n
}

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
	if p.Issued > s.now+identity.Skew {
		return fmt.Errorf("proposal: %w", identity.ErrNotYet)
	}
	executor, err := s.member(p.Executor)
	if err != nil {
		return fmt.Errorf("executor: %w", err)
	}
	return executor.Status.Check()
}

// openingOf computes what a proposal needs, and refuses it where the electorate cannot give that.
func openingOf(s *state, o *order, p consensus.Proposal, id wire.Digest) (consensus.Opening, error) {
	class, err := s.policy.Classify(p.Action, p.Class, 0)
	if err != nil {
		return consensus.Opening{}, err
	}
	proposer := o.author
	opening := consensus.Opening{
		Proposal: id, Action: p.Action.Digest(), Policy: s.policy.Digest(), Class: class, Level: uint64(proposer.Level),
		Operator: proposer.Operator, Rule: s.policy.Rule(class), Index: o.leaf.Index, Opened: s.now, Key: proposer.Key,
	}
	opening.Deadline = min(s.now+opening.Rule.Deadline, p.Expires)
	if p.Proposer.Role() == identity.Agent && s.policy.Alone(proposer.Level, class) {
		opening.Alone = true
		return opening, nil
	}
	opening.Voters = electorateOf(s, opening.Rule, p)
	return opening, consensus.CheckElectorate(opening, p.Proposer)
}

// electorateOf returns who may vote, as far as the rule lets them; without the executor. Above [consensus.MaxVoters],
// people come first, then the heavier.
func electorateOf(s *state, r consensus.Rule, p consensus.Proposal) []consensus.Voter {
	proposer := s.members[p.Proposer]
	var voters []consensus.Voter
	for _, m := range s.members {
		weight := weightOf(s, m)
		excluded := m.ID == p.Executor && m.ID.Role() == identity.Agent
		if weight == 0 || excluded || !consensus.Eligible(r, p.Proposer, proposer.Operator, m.ID, m.Operator) {
			continue
		}
		voters = append(voters, consensus.Voter{
			ID: m.ID, Key: m.Key, Operator: m.Operator, Level: uint64(m.Level), Weight: weight,
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

// vote counts a ballot of a member of the electorate who might still be in one: what it weighs was frozen, whether it
// votes was not.
func vote(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Cast](o.Command)
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Ballot](body.Ballot, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	d, err := s.decision(claimed.Claim.Proposal)
	if err != nil {
		return nil, err
	}
	if claimed.Claim.Voter != o.Author {
		return nil, fmt.Errorf("%w: ballot of another principal", ErrDenied)
	}
	if d.Verdict.State != consensus.Open {
		return nil, fmt.Errorf("%w: the decision is %s", ErrSpent, d.Verdict.State)
	}
	if weightOf(s, o.author) == 0 {
		return nil, fmt.Errorf("%w: %s has no vote any more, by its level or its operator's status", ErrDenied, o.author.Name)
	}
	ballot, err := consensus.VerifyBallot(body.Ballot, s.authority.Realm, d.Opening)
	if err != nil {
		return nil, err
	}
	ballots, err := ballotsOf(s, d)
	if err != nil {
		return nil, err
	}
	state, err := consensus.Tally(d.Opening, consensus.Poll{Ballots: append(ballots, ballot)}, s.now)
	if err != nil {
		return nil, err
	}
	d.Ballots = append(d.Ballots, body.Ballot)
	s.conclude(d, state)
	if state != consensus.Open {
		d.Decided = leafOf(o, d.Verdict)
	}
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return d.Verdict, nil
}

// ballotsOf reads the decision's ballots again. They were verified when they came; the types want it said.
func ballotsOf(s *state, d *Decision) ([]wire.Verified[consensus.Ballot], error) {
	ballots := make([]wire.Verified[consensus.Ballot], len(d.Ballots))
	for i, raw := range d.Ballots {
		v, err := consensus.VerifyBallot(raw, s.authority.Realm, d.Opening)
		if err != nil {
			return nil, err
		}
		ballots[i] = v
	}
	return ballots, nil
}

func (s *state) conclude(d *Decision, state consensus.State) {
	d.Verdict = consensus.Verdict{Proposal: d.ID, State: state, At: s.now}
	if state == consensus.Approved {
		d.Verdict.Until = s.now + d.Opening.Rule.Window
	}
	if state != consensus.Open {
		s.open = slices.DeleteFunc(s.open, func(id wire.Digest) bool { return id == d.ID })
	}
}

// expireDecisions ends, at a tick, the decisions whose deadline is over: silence rejects.
// Reports whether there were any.
func (s *state) expireDecisions(tick audit.Leaf) (ended bool) {
	for _, id := range slices.Clone(s.open) {
		d := s.decisions[id]
		if d.Opening.Deadline > s.now {
			continue
		}
		s.conclude(d, consensus.Expired)
		d.Decided = tick
		s.change.Decisions = append(s.change.Decisions, id)
		ended = true
	}
	return ended
}

// consume claims an approved decision for its executor and that executor's spent store, once.
func consume(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Consume](o.Command)
	if err != nil {
		return nil, err
	}
	d, err := s.decision(body.Proposal)
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Proposal](d.Proposal, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	p := claimed.Claim
	if p.Executor != o.Author || p.Store != body.Store {
		return nil, fmt.Errorf("%w: the certificate is for another executor or another spent store", ErrDenied)
	}
	if err := consumable(s, d); err != nil {
		return nil, err
	}
	d.Consumed = consensus.Consumption{Proposal: d.ID, Executor: o.Author, Store: body.Store, Use: 1, At: s.now, Action: d.Opening.Action}
	d.Claimed = leafOf(o, d.Consumed)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return d.Consumed, nil
}

func consumable(s *state, d *Decision) error {
	switch d.Verdict.State {
	case consensus.Approved:
	case consensus.Open:
		return ErrPending
	default:
		return fmt.Errorf("%w: %s", ErrRejected, d.Verdict.State)
	}
	if d.Consumed.Use > 0 {
		return fmt.Errorf("%w: certificate, at %d", ErrSpent, d.Claimed.Index)
	}
	if d.Verdict.Until <= s.now {
		return fmt.Errorf("%w: execution window", ErrExpired)
	}
	return nil
}

// report settles how a consumed action ended, once.
func report(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Report](o.Command)
	if err != nil {
		return nil, err
	}
	d, err := s.decision(body.Proposal)
	if err != nil {
		return nil, err
	}
	if d.Consumed.Executor != o.Author {
		return nil, fmt.Errorf("%w: only who consumed it reports", ErrDenied)
	}
	if d.Reported {
		return nil, fmt.Errorf("%w: report", ErrSpent)
	}
	if len(body.Detail) > registry.MaxDetail || (body.OK && body.Uncertain) {
		return nil, fmt.Errorf("%w: report's detail or outcome", wire.ErrMalformed)
	}
	d.Report, d.Reported = body, true
	if body.OK {
		o.author.Done++
	} else {
		o.author.Failed++
	}
	s.change.Members = append(s.change.Members, o.Author)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return body, nil
}

func (s *state) decision(id wire.Digest) (*Decision, error) {
	d, ok := s.decisions[id]
	if !ok {
		return nil, fmt.Errorf("%w: decision %s", ErrUnknown, id)
	}
	return d, nil
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
