package consensus

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// State is where a decision stands. The zero value is none.
type State uint8

// The states.
const (
	Open       State = 1
	Approved   State = 2
	Rejected   State = 3
	Expired    State = 4 // silence until the deadline, which rejects
	Cancelled  State = 5 // taken back by its proposer, or by the person who answers for it, before anybody acted
	Superseded State = 6 // the policy changed while it was open
)

// String returns the state's word.
func (s State) String() string {
	words := []string{"none", "open", "approved", "rejected", "expired", "cancelled", "superseded"}
	if int(s) >= len(words) {
		return words[0]
	}
	return words[s]
}

// Poll is what has come in on one decision.
type Poll struct {
	Ballots   []wire.Verified[Ballot] // at most one a voter
	Committed []identity.ID           // who has committed to a ballot, revealed or not
	Void      []identity.ID           // who has contradicted itself: its ballot counts as silence
}

// Tally counts a poll by the opening's rule at a log time, over the whole electorate's weight: silence and abstention count
// against. A person's rejection is a veto, and so are those of as many stewards as the rule says. Nothing is approved that a
// ballot committed to and not yet revealed could still undo; after [Opening.RevealsUntil] such a ballot is silence. What
// cannot be approved any more, were those who can still vote certain, is rejected at once. Ballots of voters outside the
// electorate, for another decision, or second ballots of one voter, void or not, are an error, and so is an electorate that
// has no proper form: the caller must not have collected them.
func Tally(o Opening, p Poll, now int64) (State, error) {
	if len(p.Ballots) == 0 { // nothing names the opening, and its digest is most of the work
		return Frozen{opening: o}.Tally(p, now)
	}
	return o.Freeze().Tally(p, now)
}

// Confidence returns consensus.confidence of a poll in per mille: the mean, by weight, of what each ballot says for the
// action, as far as its voter's stated confidence has proved true. Silence pulls it towards 500. Errors as of [Tally], and
// [ErrBadRule].
func Confidence(o Opening, ballots []wire.Verified[Ballot]) (uint64, error) {
	return o.Freeze().Confidence(ballots)
}

// Revealing reports whether ballots may be revealed at a log time: everybody has committed who can, the time to commit is
// over, or those who have could meet the rule.
func Revealing(o Opening, p Poll, now int64) (bool, error) { return o.Freeze().Revealing(p, now) }

// Tally is [Tally].
func (f Frozen) Tally(p Poll, now int64) (State, error) {
	c, err := newCount(f, p, now)
	if err != nil {
		return 0, err
	}
	return c.state(), nil
}

// Confidence is [Confidence].
func (f Frozen) Confidence(ballots []wire.Verified[Ballot]) (uint64, error) {
	if err := f.opening.Rule.Check(); err != nil {
		return 0, err
	}
	c, err := newCount(f, Poll{Ballots: ballots}, f.opening.RevealsUntil())
	if err != nil {
		return 0, err
	}
	return c.confidence(c.cast), nil
}

// Revealing is [Revealing].
func (f Frozen) Revealing(p Poll, now int64) (bool, error) {
	c, err := newCount(f, p, now)
	if err != nil {
		return false, err
	}
	if now >= c.o.CommitsUntil() {
		return true, nil
	}
	waiting := slices.ContainsFunc(c.o.Voters, func(v Voter) bool {
		_, voted := c.votes[v.ID]
		return !v.Person() && c.able(v) && !voted && !c.committed[v.ID]
	})
	return !waiting || c.met(func(v Voter) (said, bool) {
		if c.outstanding(v) {
			return sure(Approve), true
		}
		return c.cast(v)
	}), nil
}

// said is one voter's vote, and how sure it is as far as that has proved true: for the action, in per mille.
type said struct {
	vote   Vote
	chance uint64
}

// sure is a vote that is known to be right: more than any voter can say.
func sure(v Vote) said { return said{v, chance(v, 1000, 1000)} }

// chance returns what a vote says for the action, in per mille, if the voter's confidence is worth so much.
func chance(v Vote, confidence, calibration uint64) uint64 {
	above := (min(max(confidence, 500), 1000) - 500) * min(calibration, 1000) / 1000
	switch v {
	case Approve:
		return 500 + above
	case Reject:
		return 500 - above
	}
	return 500
}

// count is a poll being counted.
type count struct {
	o         Opening
	now       int64
	votes     map[identity.ID]said
	committed map[identity.ID]bool
	void      map[identity.ID]bool
}

func newCount(f Frozen, p Poll, now int64) (*count, error) {
	if err := checkVoters(f.opening); err != nil {
		return nil, err
	}
	c := &count{
		o: f.opening, now: now, votes: make(map[identity.ID]said, len(p.Ballots)),
		committed: set(p.Committed), void: set(p.Void),
	}
	seen := make(map[identity.ID]bool, len(p.Ballots))
	for _, v := range p.Ballots {
		b := v.Statement()
		if b.Proposal != c.o.Proposal || b.Action != c.o.Action || b.Opening != f.digest {
			return nil, ErrOtherDecision
		}
		voter, err := f.voter(b.Voter)
		if err != nil {
			return nil, err
		}
		if seen[b.Voter] {
			return nil, ErrVoted
		}
		seen[b.Voter] = true
		if !c.void[b.Voter] {
			c.votes[b.Voter] = said{b.Vote, chance(b.Vote, b.Confidence, voter.Calibration)}
		}
	}
	return c, nil
}

func set(ids []identity.ID) map[identity.ID]bool {
	out := make(map[identity.ID]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// able reports whether a voter's ballot could count at all.
func (c *count) able(v Voter) bool { return !v.Silenced && !c.void[v.ID] }

// outstanding reports whether an agent has committed to a ballot that may still be revealed.
func (c *count) outstanding(v Voter) bool {
	_, voted := c.votes[v.ID]
	return c.committed[v.ID] && !v.Person() && !voted && c.able(v) && c.now < c.o.RevealsUntil()
}

// expected reports whether a voter that has not voted still can.
func (c *count) expected(v Voter) bool {
	if _, voted := c.votes[v.ID]; voted || !c.able(v) {
		return false
	}
	return v.Person() || c.o.Rule.Commit == 0 || c.outstanding(v) || c.now < c.o.CommitsUntil()
}

func (c *count) state() State {
	if c.o.Rule.Check() != nil || c.vetoed(c.cast) {
		return Rejected
	}
	if c.met(c.worst) && !c.vetoed(c.worst) {
		return Approved
	}
	if !c.met(c.best) {
		return Rejected
	}
	return Open
}

// choice returns what a voter says, if anything.
type choice func(Voter) (said, bool)

// cast is what the voters have said.
func (c *count) cast(v Voter) (said, bool) {
	s, voted := c.votes[v.ID]
	return s, voted && s.vote != Recuse
}

// worst is the same, and whoever has committed rejects: no other ballot that it could reveal does the action more harm.
func (c *count) worst(v Voter) (said, bool) {
	if c.outstanding(v) {
		return sure(Reject), true
	}
	return c.cast(v)
}

// best is the same, and whoever still can approves, surer than its calibration lets it: a ballot of low confidence would do
// the action less good than none.
func (c *count) best(v Voter) (said, bool) {
	if c.expected(v) {
		return sure(Approve), true
	}
	return c.cast(v)
}

// vetoed reports whether a person rejects, or stewards of as many operators as the rule says.
func (c *count) vetoed(says choice) bool {
	stewards := map[identity.ID]bool{}
	for _, v := range c.o.Voters {
		s, voted := says(v)
		switch {
		case !voted || s.vote != Reject:
		case v.Person():
			return true
		case v.Level == uint64(identity.Steward):
			stewards[v.Operator] = true
		}
	}
	return c.o.Rule.Stewards > 0 && uint64(len(stewards)) >= c.o.Rule.Stewards
}

// met reports whether the rule is met by what the voters say.
func (c *count) met(says choice) bool {
	r, n := c.o.Rule, uint64(len(c.o.Voters))
	var approvals, people, total uint64
	operators, families := newShares[identity.ID](n), newShares[string](n)
	for _, v := range c.o.Voters {
		total += v.Weight
		if s, voted := says(v); !voted || s.vote != Approve {
			continue
		}
		approvals++
		operators.add(v.Operator, v.Weight)
		if v.Person() {
			people++
		} else {
			families.add(v.Family, v.Weight)
		}
	}
	switch {
	case r.Faults > 0 && (n < 3*r.Faults+1 || approvals < (n+r.Faults)/2+1):
		return false
	case approvals < r.Approvals || people < r.People:
		return false
	case uint64(len(operators.of)) < r.Operators || uint64(len(families.of)) < r.Families:
		return false
	case r.Share*total > c.weight(says, total, operators.weights, families.weights):
		return false
	}
	return r.Confidence == 0 || c.confidence(says) >= r.Confidence
}

// shares is what approvals weigh by who stands behind them. There are no more of those than voters, so looking through them
// takes less than a map.
type shares[K comparable] struct {
	of      []K
	weights []uint64
}

func newShares[K comparable](most uint64) shares[K] {
	return shares[K]{make([]K, 0, most), make([]uint64, 0, most)}
}

func (s *shares[K]) add(of K, weight uint64) {
	i := slices.Index(s.of, of)
	if i < 0 {
		i, s.of, s.weights = len(s.of), append(s.of, of), append(s.weights, 0)
	}
	s.weights[i] += weight
}

// weight returns what the approvals weigh in thousandths: the less of what they weigh where no operator counts more than its
// cap, and of what they weigh where no model family does. People are of no family.
func (c *count) weight(says choice, total uint64, operators, families []uint64) uint64 {
	var byOperator, byFamily uint64
	for _, w := range operators {
		byOperator += capped(w, total, c.o.Rule.OperatorCap)
	}
	for _, w := range families {
		byFamily += capped(w, total, c.o.Rule.FamilyCap)
	}
	for _, v := range c.o.Voters {
		if s, voted := says(v); voted && s.vote == Approve && v.Person() {
			byFamily += 1000 * v.Weight
		}
	}
	return min(byOperator, byFamily)
}

// capped returns a weight in thousandths, at most so many per mille of the total; all of it without a cap. Nothing is rounded:
// in a small electorate one unit is a large share.
func capped(weight, total, perMille uint64) uint64 {
	if perMille == 0 {
		return 1000 * weight
	}
	return min(1000*weight, total*perMille)
}

// confidence returns consensus.confidence of what the voters say, rounded down. Where less weight has voted than the rule
// asks for, the rest counts as undecided. The rule must pass Check.
func (c *count) confidence(says choice) uint64 {
	var weight, sum, total uint64
	for _, v := range c.o.Voters {
		total += v.Weight
		if s, voted := says(v); voted {
			weight += v.Weight
			sum += v.Weight * s.chance
		}
	}
	required := max((total*c.o.Rule.Share+999)/1000, c.o.Rule.Approvals)
	if weight < required {
		sum += 500 * (required - weight)
		weight = required
	}
	return sum / weight
}
