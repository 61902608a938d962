package ledger

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// commit binds an agent to a ballot that it reveals later. Until it does, a commitment with a higher sequence replaces it.
func commit(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Commit](o.Command)
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Commitment](body.Commitment, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	c := claimed.Claim
	d, err := s.votable(o, c.Proposal, c.Voter)
	if err != nil {
		return nil, err
	}
	u, err := s.urnOf(d)
	if err != nil {
		return nil, err
	}
	if _, err := u.VerifyCommitment(body.Commitment, s.authority.Realm); err != nil {
		return nil, err
	}
	if u.holds(c.Voter) {
		return nil, consensus.ErrVoted
	}
	i, before := commitmentOf(d, c.Voter)
	if i >= 0 && c.Sequence <= before.Sequence {
		return nil, fmt.Errorf("%w: commitment %d, and this is %d", ErrSpent, before.Sequence, c.Sequence)
	}
	if d.Opening.CommitsUntil() <= s.now {
		return nil, fmt.Errorf("%w: commitment", consensus.ErrLate)
	}
	if i < 0 {
		u.Committed = append(slices.Clip(u.Committed), c.Voter)
	}
	state, err := u.Tally(u.Poll, s.now)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		d.Commitments = append(d.Commitments, body.Commitment)
	} else {
		d.Commitments = slices.Clone(d.Commitments)
		d.Commitments[i] = body.Commitment
	}
	d.urn = &u
	return s.noted(o, d, state), nil
}

// vote counts a ballot of a member of the electorate who might still be in one: what it weighs was frozen, whether it
// votes was not. Where the rule wants ballots hidden at first, an agent's is one that it has committed to.
func vote(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Cast](o.Command)
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Ballot](body.Ballot, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	d, err := s.votable(o, claimed.Claim.Proposal, claimed.Claim.Voter)
	if err != nil {
		return nil, err
	}
	u, err := s.urnOf(d)
	if err != nil {
		return nil, err
	}
	ballot, err := u.VerifyBallot(body.Ballot, s.authority.Realm)
	if err != nil {
		return nil, err
	}
	if u.holds(o.Author) {
		return nil, consensus.ErrVoted
	}
	if err := s.revealable(d, u, body, ballot.Statement()); err != nil {
		return nil, err
	}
	u.Ballots = append(slices.Clip(u.Ballots), ballot)
	state, err := u.Tally(u.Poll, s.now)
	if err != nil {
		return nil, err
	}
	d.Ballots, d.urn = append(d.Ballots, body.Ballot), &u
	return s.noted(o, d, state), nil
}

// votable returns the open decision that a voter's statement is on, and refuses statements of others and of voters who
// could not vote any more.
func (s *state) votable(o *order, id wire.Digest, voter identity.ID) (*Decision, error) {
	d, err := s.decision(id)
	if err != nil {
		return nil, err
	}
	if voter != o.Author {
		return nil, fmt.Errorf("%w: ballot of another principal", ErrDenied)
	}
	if d.Verdict.State != consensus.Open {
		return nil, fmt.Errorf("%w: the decision is %s", ErrSpent, d.Verdict.State)
	}
	if weightOf(s, o.author) == 0 {
		return nil, fmt.Errorf("%w: %s has no vote any more, by its level or its operator's status", ErrDenied, o.author.Name)
	}
	if d.void(voter) {
		return nil, fmt.Errorf("%w: %s lost its vote on this decision", ErrDenied, o.author.Name)
	}
	return d, nil
}

// revealable refuses ballots that are not to be shown now: an agent's where the rule wants it committed to and it is not, or
// not yet to be revealed, or no more. People vote openly, and so does an agent that recuses itself.
func (s *state) revealable(d *Decision, u urn, body registry.Cast, b consensus.Ballot) error {
	hidden := d.Opening.Rule.Commit > 0 && b.Voter.Role() == identity.Agent && (b.Vote != consensus.Recuse || len(body.Salt) > 0)
	if !hidden {
		if len(body.Salt) > 0 {
			return fmt.Errorf("%w: salt of an open ballot", wire.ErrMalformed)
		}
		return nil
	}
	if len(body.Salt) == 0 {
		return consensus.ErrSecret
	}
	i, c := commitmentOf(d, b.Voter)
	if i < 0 || len(body.Salt) != consensus.SaltSize || c.Sequence != b.Sequence ||
		consensus.Hide(body.Salt, body.Ballot) != c.Hidden {
		return consensus.ErrNotCommitted
	}
	if d.Opening.RevealsUntil() <= s.now {
		return fmt.Errorf("%w: ballot", consensus.ErrLate)
	}
	open, err := u.Revealing(u.Poll, s.now)
	if err == nil && !open {
		err = consensus.ErrEarly
	}
	return err
}

// equivocate voids what a voter signed twice over, in an open decision, and quarantines it, in any. The proof is its own
// signature, so anybody can bring it, once. A change of its key does not undo what it has signed, as long as the decision is
// open. Once that has ended, a key that was changed since proves nothing of who signed: whoever stole it could have its voter
// quarantined for ever, once for each decision of the key's time.
func equivocate(s *state, o *order) (any, error) {
	body, d, err := named(s, o, func(b registry.Equivocate) wire.Digest { return b.Proposal })
	if err != nil {
		return nil, err
	}
	id, err := consensus.VerifyEquivocation(body.First, body.Second, s.authority.Realm, d.Opening)
	if err != nil {
		return nil, err
	}
	if slices.Contains(d.Contradicted, id) {
		return nil, fmt.Errorf("%w: %s was shown to have contradicted itself", ErrSpent, id)
	}
	m, err := s.member(id)
	if err != nil {
		return nil, err
	}
	d.Contradicted = append(d.Contradicted, id)
	voter, _ := d.Opening.Voter(id)
	signed := m.Key == voter.Key
	if s.feature >= registry.TrustFeature { // below, as older builds see it
		signed = signed || d.Verdict.State == consensus.Open
	}
	if signed && m.Status == trust.Active && (id.Role() == identity.Agent || !lastOperators(s, m)) {
		m.Status, m.StatusAt = trust.Quarantined, s.now
		m.Reason = fmt.Sprintf("equivocation in decision %s", d.ID)
	}
	if signed && m.Status == trust.Quarantined {
		m.StatusSigners = wire.MaxCosigners
	}
	var fallen []*Member
	if s.reckoner != nil && signed && id.Role() == identity.Agent {
		fallen = s.reckoner.equivocated(o, m)
	}
	change := s.touch(m, o)
	if d.Verdict.State == consensus.Open && !d.void(id) {
		d.Void = append(d.Void, id)
		s.failFast(o, d, change)
	} else {
		s.change.Decisions = append(s.change.Decisions, d.ID)
	}
	s.withdraw(o, m, change)
	s.tellFallen(o, fallen, change)
	return change, nil
}

// withdraw takes their votes in open decisions from a member, and its agents if it is an operator, if they have no weight any
// more, for good, and ends the decisions that cannot be approved then. An approval counts for nothing then; a rejection or
// abstention that came before stays in the way: else whoever quarantines those who doubt would make a majority. Result is the
// order's.
func (s *state) withdraw(o *order, m *Member, result any) {
	var lost []identity.ID
	for id, other := range s.members {
		if (id == m.ID || other.Operator == m.ID) && weightOf(s, other) == 0 {
			lost = append(lost, id)
		}
	}
	if len(lost) == 0 {
		return
	}
	slices.SortFunc(lost, identity.ID.Compare)
	for _, d := range s.openDecisions() {
		affected := slices.DeleteFunc(slices.Clone(lost), func(id identity.ID) bool { return !d.votes(id) || d.void(id) })
		if len(affected) == 0 {
			continue
		}
		doubting := d.doubting()
		affected = slices.DeleteFunc(affected, func(id identity.ID) bool { return slices.Contains(doubting, id) })
		if len(affected) > 0 {
			d.Void = append(d.Void, affected...)
			s.failFast(o, d, result)
		}
	}
}

// votes reports whether a principal was given a vote at the opening, and not silenced.
func (d *Decision) votes(id identity.ID) bool {
	i, found := slices.BinarySearchFunc(d.Opening.Voters, id, func(v consensus.Voter, id identity.ID) int { return v.ID.Compare(id) })
	return found && !d.Opening.Voters[i].Silenced
}

// doubting returns whose ballots are in and say no, or that they do not know.
func (d *Decision) doubting() []identity.ID {
	var ids []identity.ID
	for _, b := range claimedBallots(d) {
		if b.Vote == consensus.Reject || b.Vote == consensus.Abstain {
			ids = append(ids, b.Voter)
		}
	}
	return ids
}

// failFast counts an open decision again whose voters became fewer, and ends it if it cannot be approved any more. What it
// could be approved by is a ballot, or the time that is over: only those leave a leaf that shows it.
func (s *state) failFast(o *order, d *Decision, result any) {
	if d.urn != nil {
		u := *d.urn
		u.Void = slices.Clone(d.Void)
		d.urn = &u
	}
	s.change.Decisions = append(s.change.Decisions, d.ID)
	if s.stateAt(d) == consensus.Rejected {
		s.conclude(d, consensus.Rejected)
		d.Decided = leafOf(o, result)
	}
}

// noted sets where a decision stands after a ballot or commitment, and returns the verdict.
func (s *state) noted(o *order, d *Decision, state consensus.State) consensus.Verdict {
	s.conclude(d, state)
	if state != consensus.Open {
		d.Decided = leafOf(o, d.Verdict)
	}
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return d.Verdict
}

// conclude sets where a decision stands from now on. If it has ended, it is not open any more.
func (s *state) conclude(d *Decision, state consensus.State) {
	d.Verdict = consensus.NewVerdict(*d.claim, d.Opening, state, s.now)
	if state == consensus.Open {
		return
	}
	if _, open := s.open[d.ID]; open {
		for _, m := range momentsOf(d, 0) {
			s.due.remove(m)
		}
		delete(s.open, d.ID)
		if s.openOf[d.Opening.Operator]--; s.openOf[d.Opening.Operator] == 0 {
			delete(s.openOf, d.Opening.Operator)
		}
	}
	d.urn = nil
	s.recount(d)
}

// urn is what has come in on an open decision, verified, and the opening that it is counted by.
type urn struct {
	consensus.Frozen
	consensus.Poll
}

// urnOf returns a decision's urn, filled again after a restore.
func (s *state) urnOf(d *Decision) (urn, error) {
	if d.urn != nil {
		return *d.urn, nil
	}
	u := urn{Frozen: d.Opening.Freeze(), Poll: consensus.Poll{Void: slices.Clone(d.Void)}}
	for _, raw := range d.Ballots {
		b, err := u.VerifyBallot(raw, s.authority.Realm)
		if err != nil {
			return urn{}, err
		}
		u.Ballots = append(u.Ballots, b)
	}
	for _, raw := range d.Commitments {
		c, err := wire.Parse[consensus.Commitment](raw, wire.MaxStatement)
		if err != nil {
			return urn{}, err
		}
		u.Committed = append(u.Committed, c.Claim.Voter)
	}
	return u, nil
}

// holds reports whether a voter's ballot is in.
func (u urn) holds(voter identity.ID) bool {
	return slices.ContainsFunc(u.Ballots, func(b wire.Verified[consensus.Ballot]) bool { return b.Statement().Voter == voter })
}

// commitmentOf returns a voter's newest commitment and where it stands; -1 if it has made none.
func commitmentOf(d *Decision, voter identity.ID) (int, consensus.Commitment) {
	for i, raw := range d.Commitments {
		if c, err := wire.Parse[consensus.Commitment](raw, wire.MaxStatement); err == nil && c.Claim.Voter == voter {
			return i, c.Claim
		}
	}
	return -1, consensus.Commitment{}
}
