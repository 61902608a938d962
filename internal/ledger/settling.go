package ledger

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var errDetail = fmt.Errorf("%w: reason or detail over %d bytes", wire.ErrTooLarge, registry.MaxDetail)

// cancel takes a decision back before anybody acted; of a permit, what is left of it.
func cancel(s *state, o *order) (any, error) {
	body, d, err := named(s, o, func(b registry.Cancel) wire.Digest { return b.Proposal })
	if err != nil {
		return nil, err
	}
	p := d.proposal()
	if o.Author != p.Proposer && o.Author != d.Opening.Operator {
		return nil, fmt.Errorf("%w: only the proposer or its operator takes a decision back", ErrDenied)
	}
	if len(body.Reason) > registry.MaxDetail {
		return nil, errDetail
	}
	if err := cancellable(s, d, p); err != nil {
		return nil, err
	}
	s.conclude(d, consensus.Cancelled)
	d.Reason, d.Decided = body.Reason, leafOf(o, d.Verdict)
	s.change.Decisions = append(s.change.Decisions, d.ID)
	return d.Verdict, nil
}

// cancellable refuses decisions of which nothing is left to take back.
func cancellable(s *state, d *Decision, p consensus.Proposal) error {
	switch v := d.Verdict; {
	case v.State == consensus.Open:
		return nil
	case v.State != consensus.Approved:
		return fmt.Errorf("%w: the decision is %s", ErrSpent, v.State)
	case p.Permit == nil && d.Used() > 0:
		return fmt.Errorf("%w: certificate, at %d", ErrSpent, d.Uses[0].Claimed.Index)
	case p.Permit != nil && d.Used() >= p.Permit.Uses:
		return fmt.Errorf("%w: every use of the permit is taken", ErrSpent)
	case s.now >= v.Until:
		return fmt.Errorf("%w: nobody can act on it any more", ErrExpired)
	}
	return nil
}

var (
	errJudge = fault.New(fault.Denied, "ledger: not who settles this decision").
			WithHint("a root operator or the proposer's operator settles it, who neither voted on it nor has an agent that did, does not execute it and does not gain from it")
	errUnsettled = fault.New(fault.Pending, "ledger: nothing has come of the decision yet").
			WithHint("settle it once it was acted on, or its time is over")
)

// settle says, once, whether the action was right to do, and scores who has voted. Of an emergency it is the review.
func settle(s *state, o *order) (any, error) {
	body, d, err := named(s, o, func(b registry.Settle) wire.Digest { return b.Proposal })
	if err != nil {
		return nil, err
	}
	if len(body.Detail) > registry.MaxDetail {
		return nil, errDetail
	}
	ballots := claimedBallots(d)
	if err := judge(s, o, d, ballots); err != nil {
		return nil, err
	}
	if d.Settled {
		return nil, fmt.Errorf("%w: settled by %s", ErrSpent, d.SettledBy)
	}
	if err := turnedOut(s, d); err != nil {
		return nil, err
	}
	var fallen []*Member
	for _, b := range ballots {
		if d.void(b.Voter) {
			continue
		}
		s.score(b, body.Right)
		if s.reckoner != nil {
			fallen = append(fallen, s.reckoner.settled(o, d, b, body.Right)...)
		}
	}
	d.Settled, d.Settlement, d.SettledAt, d.SettledBy = true, body, s.now, o.Author
	s.change.Decisions = append(s.change.Decisions, d.ID)
	s.tellFallen(o, fallen, body)
	return body, nil
}

// judge refuses who may not settle a decision: whoever had a part in it, or would score its own agents. Once the review of an
// emergency is overdue, as many operators as loosen may make it together, whatever part they had: they could change the
// policy as well.
func judge(s *state, o *order, d *Decision, ballots []consensus.Ballot) error {
	if err := o.operator(); err != nil {
		return err
	}
	switch {
	case !slices.Contains(s.authority.Roots, o.Author) && o.Author != d.Opening.Operator:
		return fmt.Errorf("%w: neither a root nor the proposer's operator", errJudge)
	case d.Opening.Emergency && s.loosen(o) == nil && overdue(s, d):
		return nil // else it might be that nobody ever can, who was left out of it
	case o.Author == d.proposal().Executor:
		return fmt.Errorf("%w: it executes it", errJudge)
	case d.proposal().Gains(o.Author):
		return fmt.Errorf("%w: it gains from it", errJudge)
	case slices.ContainsFunc(ballots, func(b consensus.Ballot) bool { return s.operatorOf(b.Voter) == o.Author }):
		return fmt.Errorf("%w: it has voted on it, or an agent of its has", errJudge)
	}
	return nil
}

// overdue reports whether an emergency's review is, so that there are no others until it was made.
func overdue(s *state, d *Decision) bool {
	return slices.ContainsFunc(s.reviews(), func(r Review) bool { return r.Decision == d.ID && r.Over })
}

// operatorOf returns who answers for a member: of an operator, itself.
func (s *state) operatorOf(id identity.ID) identity.ID {
	if m, ok := s.members[id]; ok {
		return m.Operator
	}
	return identity.ID{}
}

// turnedOut refuses decisions of which nobody can know yet what comes of them, or nothing ever will.
func turnedOut(s *state, d *Decision) error {
	switch v := d.Verdict; {
	case d.Used() > 0:
		return nil
	case v.State == consensus.Open, v.State == consensus.Approved && s.now < v.Until:
		return errUnsettled
	case v.State == consensus.Cancelled || v.State == consensus.Superseded:
		return fmt.Errorf("%w: %s", ErrRejected, v.State)
	}
	return nil
}

// claimedBallots reads the decision's ballots, which were verified when they came.
func claimedBallots(d *Decision) []consensus.Ballot {
	ballots := make([]consensus.Ballot, 0, len(d.Ballots))
	for _, raw := range d.Ballots {
		if c, err := wire.Parse[consensus.Ballot](raw, wire.MaxStatement); err == nil {
			ballots = append(ballots, c.Claim)
		}
	}
	return ballots
}

// score adds to a voter's record how far a ballot was from what turned out. Who recused itself has stated nothing.
func (s *state) score(b consensus.Ballot, right bool) {
	m, ok := s.members[b.Voter]
	if !ok || b.Vote == consensus.Recuse || m.Settlements == math.MaxUint64 {
		return
	}
	m.Settlements++
	m.ErrorSum = plus(m.ErrorSum, errorOf(b, right))
}

// errorOf returns a ballot's Brier error in millionths: the square of the distance, in per mille, between the probability
// that it states for the action's being right and what turned out.
func errorOf(b consensus.Ballot, right bool) uint64 {
	stated := uint64(500)
	switch b.Vote {
	case consensus.Approve:
		stated = min(b.Confidence, 1000)
	case consensus.Reject:
		stated = 1000 - min(b.Confidence, 1000)
	}
	if right {
		stated = 1000 - stated
	}
	return stated * stated
}

// The calibration that a voter has before any of its votes was settled, and how many settled votes that is worth.
const (
	unproven       = 700
	unprovenWeight = 10
)

// calibrationOf returns what a voter's stated confidence is worth by its settled votes, in per mille: of a person 1000.
func calibrationOf(m *Member) uint64 {
	if m.ID.Role() == identity.Operator {
		return 1000
	}
	return calibration(m.Settlements, m.ErrorSum)
}

// calibration returns (700·10 + n·k) / (10 + n) of n settled votes, where k is 1000 less four times their mean error in
// per mille, or 0. The mean is in whole millionths; each division rounds down.
func calibration(n, sum uint64) uint64 {
	if n == 0 {
		return unproven
	}
	k := 1000 - min(1000, min(sum/n, 1_000_000)*4/1000)
	n = min(n, math.MaxUint64>>20) // so that nothing overflows; nobody votes as often
	return (unproven*unprovenWeight + n*k) / (unprovenWeight + n)
}

// plus adds and stays at the greatest number where the sum would be above.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

var (
	errNoEmergency = fault.New(fault.Denied, "ledger: the policy lets nobody decide on this as an emergency").
			WithHint("propose it without emergency; conclave policy show lists what may be one")
	errReview = fault.New(fault.Denied, "ledger: reviews are due, so there are no more emergencies").
			WithHint("review what was done: conclave decision settle")
)

// urgent refuses emergencies that the policy does not list, and all while the review of an earlier one is overdue.
func urgent(s *state, p consensus.Proposal) error {
	if !s.policy.Urgent(p.Action) {
		return fmt.Errorf("%w: %s", errNoEmergency, p.Action.Kind)
	}
	for _, r := range s.reviews() {
		if r.Over {
			return fmt.Errorf("%w: of decision %s", errReview, r.Decision)
		}
	}
	return nil
}

// Review is an emergency that was approved and nobody has settled.
type Review struct {
	Decision wire.Digest
	At       int64 // when it was approved, log time, Unix milliseconds
	Due      int64 // when its review is due by the policy in force, log time
	Over     bool  // it is overdue: there are no other emergencies until it was settled
}

// Reviews returns the emergencies that wait for their review, the oldest first.
func (l *Ledger) Reviews() []Review {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.reviews()
}

func (s *state) reviews() []Review {
	var waiting []*Decision
	for _, d := range s.decisions {
		if d.Opening.Emergency && d.Verdict.State == consensus.Approved && !d.Settled {
			waiting = append(waiting, d)
		}
	}
	slices.SortFunc(waiting, func(a, b *Decision) int { return cmp.Compare(a.Opening.Index, b.Opening.Index) })
	var out []Review
	for _, d := range waiting {
		r := Review{Decision: d.ID, At: d.Verdict.At, Due: d.Verdict.At}
		if s.policy.Emergency != nil {
			r.Due += s.policy.Emergency.Review
		}
		r.Over = s.now >= r.Due
		out = append(out, r)
	}
	return out
}
