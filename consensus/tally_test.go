package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func newRandom(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Open ballots without confidence and caps, against a second count that tries all that the silent could still say.
func TestTallyAgainstReference(t *testing.T) {
	r := newRandom(t)
	seen := make(map[consensus.State]int)
	for range 120 {
		d := randomDecision(t, r)
		d.o.Rule.Commit, d.o.Rule.Confidence, d.o.Rule.OperatorCap, d.o.Rule.FamilyCap = 0, 0, 0, 0
		votes := make([]consensus.Vote, len(d.o.Voters))
		for _, i := range r.Perm(len(votes)) {
			if d.o.Voters[i].Silenced {
				continue
			}
			votes[i] = consensus.Vote(1 + r.IntN(4))
			d.poll.Ballots = append(d.poll.Ballots, d.ballot(i, votes[i], 1000))
			got := d.tally(now)
			seen[got]++
			if want := reference(d.o, votes); got != want {
				t.Fatalf("%s, want %s: rule %+v, votes %v of %+v", got, want, d.o.Rule, votes, d.o.Voters)
			}
		}
		if last := d.tally(now); len(votes) > 0 && last == consensus.Open {
			t.Fatalf("open with every vote cast: rule %+v, votes %v", d.o.Rule, votes)
		}
	}
	if len(seen) != 3 {
		t.Errorf("states seen: %v", seen)
	}
}

// What must hold of every decision, by any rule, whoever commits, votes or is void, in which order.
func TestTallyProperties(t *testing.T) {
	r := newRandom(t)
	seen := make(map[consensus.State]int)
	for range 400 {
		d := randomDecision(t, r)
		d.happen(r)
		at := d.o.Opened + r.Int64N(3*d.o.Rule.Commit+1)
		state := d.tally(at)
		seen[state]++

		shuffled := d
		shuffled.poll.Ballots = slices.Clone(d.poll.Ballots)
		r.Shuffle(len(shuffled.poll.Ballots), func(i, j int) {
			b := shuffled.poll.Ballots
			b[i], b[j] = b[j], b[i]
		})
		if again := shuffled.tally(at); again != state {
			t.Fatalf("%s in one order, %s in another: %s", state, again, d)
		}
		switch state {
		case consensus.Open:
			// Calibration may keep the last voters from being as sure as the rule asks for.
			if best := d.completed(r, at, true); d.o.Rule.Confidence == 0 && best.tally(at) != consensus.Approved {
				t.Fatalf("open, and nothing would approve it: %s", d)
			}
		case consensus.Approved:
			d.staysApproved(r, at)
		case consensus.Rejected:
			for range 4 {
				if later := d.completed(r, at, r.IntN(2) == 0); later.tally(at+r.Int64N(d.o.Rule.Commit+1)) != consensus.Rejected {
					t.Fatalf("rejected, and then not: %s\n%s", d, later)
				}
			}
		}
	}
	for _, s := range []consensus.State{consensus.Open, consensus.Approved, consensus.Rejected} {
		if seen[s] < 8 {
			t.Errorf("states seen: %v", seen)
		}
	}
}

// staysApproved checks that nothing outstanding undoes an approval, that whoever counts the ballots alone, later, finds the
// same, and that without confidence one more approval does no harm.
func (d decision) staysApproved(r *rand.Rand, at int64) {
	for range 4 {
		revealed := d
		revealed.poll.Ballots = slices.Clone(d.poll.Ballots)
		for i, v := range d.o.Voters {
			if !d.silent(i) || !slices.Contains(d.poll.Committed, v.ID) || v.Person() || r.IntN(4) == 0 {
				continue
			}
			revealed.poll.Ballots = append(revealed.poll.Ballots, d.ballot(i, consensus.Vote(1+r.IntN(4)), 500+r.Uint64N(501)))
		}
		// After the time to reveal there is nothing that could still come.
		if at < d.o.RevealsUntil() && revealed.tally(at) != consensus.Approved {
			d.Fatalf("approved, and then %s: %s\n%s", revealed.tally(at), d, revealed)
		}
	}
	offline := d
	offline.poll = consensus.Poll{}
	for _, b := range d.poll.Ballots {
		if !slices.Contains(d.poll.Void, b.Statement().Voter) {
			offline.poll.Ballots = append(offline.poll.Ballots, b)
		}
	}
	if offline.tally(d.o.RevealsUntil()) != consensus.Approved {
		d.Fatalf("approved, and not to who counts the ballots afterwards: %s", d)
	}
	if d.o.Rule.Confidence > 0 || d.o.Rule.Commit > 0 {
		return
	}
	for i := range d.o.Voters {
		if d.silent(i) {
			d.poll.Ballots = append(slices.Clone(d.poll.Ballots), d.ballot(i, consensus.Approve, 500))
			if got := d.tally(at); got != consensus.Approved {
				d.Fatalf("one more approval makes it %s: %s", got, d)
			}
		}
	}
}

// decision is a random one: who may vote, and what has come in.
type decision struct {
	*testing.T
	o       consensus.Opening
	signers []identity.Signer // as o.Voters
	poll    consensus.Poll
}

func randomDecision(t *testing.T, r *rand.Rand) decision {
	d := decision{T: t, o: opening(t)}
	d.o.Voters = nil
	signers := make(map[identity.ID]identity.Signer)
	for i := range 1 + r.IntN(7) {
		operator := person(fmt.Sprintf("operator-%d", r.IntN(3)))
		who := agent(fmt.Sprintf("agent-%d", i))
		if r.IntN(3) == 0 {
			who = operator
		}
		if _, ok := signers[who.ID()]; ok {
			continue
		}
		signers[who.ID()] = who
		v := voter(who, operator.ID(), 1+r.Uint64N(3))
		if !v.Person() {
			v.Level, v.Family, v.Silenced = 4+r.Uint64N(2), []string{"", "m1", "m2"}[r.IntN(3)], r.IntN(12) == 0
			v.Calibration = []uint64{0, 700, 1000}[r.IntN(3)]
		}
		d.o.Voters = append(d.o.Voters, v)
	}
	for _, v := range sorted(d.o.Voters...) {
		d.signers = append(d.signers, signers[v.ID])
	}
	either := func(values ...uint64) uint64 { return values[r.IntN(len(values))] }
	rule := consensus.Rule{
		Approvals: 1 + r.Uint64N(3), Share: either(0, 0, 350, 600), Stewards: either(0, 0, 1), Faults: either(0, 0, 0, 1),
		OperatorCap: either(0, 0, 334, 500), FamilyCap: either(0, 0, 334, 500), Confidence: either(0, 0, 600, 800),
		Commit: int64(either(0, 1000)), Deadline: 10_000, Window: 1,
	}
	rule.People, rule.Operators = r.Uint64N(2), r.Uint64N(rule.Approvals+1)
	rule.Families = r.Uint64N(rule.Approvals - rule.People + 1)
	d.o.Rule = rule
	return d
}

// happen lets some voters commit, vote or become void.
func (d *decision) happen(r *rand.Rand) {
	for _, i := range r.Perm(len(d.o.Voters)) {
		v := d.o.Voters[i]
		if v.Silenced {
			continue
		}
		if r.IntN(3) > 0 {
			d.poll.Committed = append(d.poll.Committed, v.ID)
		}
		if r.IntN(3) > 0 {
			vote := []consensus.Vote{1, 1, 1, 1, 1, 2, 3, 4}[r.IntN(8)]
			d.poll.Ballots = append(d.poll.Ballots, d.ballot(i, vote, 700+r.Uint64N(301)))
		}
		if r.IntN(12) == 0 {
			d.poll.Void = append(d.poll.Void, v.ID)
		}
	}
}

// completed lets everybody vote that still can: best, or at random.
func (d decision) completed(r *rand.Rand, at int64, best bool) decision {
	d.poll.Ballots = slices.Clone(d.poll.Ballots)
	for i, v := range d.o.Voters {
		hidden := d.o.Rule.Commit > 0 && !v.Person()
		mayReveal := slices.Contains(d.poll.Committed, v.ID) && at < d.o.RevealsUntil()
		if !d.silent(i) || (hidden && !mayReveal && at >= d.o.CommitsUntil()) || (!best && r.IntN(4) == 0) {
			continue
		}
		vote, sure := consensus.Approve, uint64(1000)
		if !best {
			vote, sure = consensus.Vote(1+r.IntN(4)), 500+r.Uint64N(501)
		}
		d.poll.Ballots = append(d.poll.Ballots, d.ballot(i, vote, sure))
	}
	return d
}

// silent reports whether a voter could vote and has not.
func (d decision) silent(i int) bool {
	v := d.o.Voters[i]
	voted := slices.ContainsFunc(d.poll.Ballots, func(b wire.Verified[consensus.Ballot]) bool {
		return b.Statement().Voter == v.ID
	})
	return !v.Silenced && !voted && !slices.Contains(d.poll.Void, v.ID)
}

func (d decision) ballot(i int, vote consensus.Vote, sure uint64) wire.Verified[consensus.Ballot] {
	b := ballot(d.o, d.signers[i].ID(), vote)
	b.Confidence = sure
	return forged(d.T, d.signers[i], b)
}

func (d decision) tally(at int64) consensus.State {
	state, err := consensus.Tally(d.o, d.poll, at)
	if err != nil {
		d.Fatal(err)
	}
	return state
}

// String shows what a stranger needs to count it again.
func (d decision) String() string {
	s := fmt.Sprintf("%+v\n", struct{ consensus.Rule }{d.o.Rule})
	for _, v := range d.o.Voters {
		s += fmt.Sprintf("%s of %s: level %d, weight %d, family %q, calibration %d, silenced %t, committed %t, void %t",
			v.ID, v.Operator, v.Level, v.Weight, v.Family, v.Calibration, v.Silenced,
			slices.Contains(d.poll.Committed, v.ID), slices.Contains(d.poll.Void, v.ID))
		for _, b := range d.poll.Ballots {
			if b.Statement().Voter == v.ID {
				s += fmt.Sprintf(": %s, %d", b.Statement().Vote, b.Statement().Confidence)
			}
		}
		s += "\n"
	}
	return s
}

// reference decides by trying the best that the silent voters could still say, 0 being silence.
func reference(o consensus.Opening, votes []consensus.Vote) consensus.State {
	stewards := make(map[identity.ID]bool)
	for i, v := range o.Voters {
		if votes[i] != consensus.Reject {
			continue
		}
		if v.ID.Role() == identity.Operator {
			return consensus.Rejected
		}
		if v.Level == 5 {
			stewards[v.Operator] = true
		}
	}
	if o.Rule.Stewards > 0 && len(stewards) >= int(o.Rule.Stewards) {
		return consensus.Rejected
	}
	if suffices(o, votes) {
		return consensus.Approved
	}
	best := slices.Clone(votes)
	for i := range best {
		if best[i] == 0 && !o.Voters[i].Silenced {
			best[i] = consensus.Approve
		}
	}
	if suffices(o, best) {
		return consensus.Open
	}
	return consensus.Rejected
}

func suffices(o consensus.Opening, votes []consensus.Vote) bool {
	var approvals, people, share, all uint64
	var operators []identity.ID
	var families []string
	for i, v := range o.Voters {
		all += v.Weight
		if votes[i] != consensus.Approve {
			continue
		}
		approvals, share = approvals+1, share+v.Weight
		if v.ID == v.Operator {
			people++
		} else if !slices.Contains(families, v.Family) {
			families = append(families, v.Family)
		}
		if !slices.Contains(operators, v.Operator) {
			operators = append(operators, v.Operator)
		}
	}
	r, n := o.Rule, uint64(len(votes))
	if r.Faults > 0 && (n <= 3*r.Faults || 2*approvals <= n+r.Faults) {
		return false
	}
	return approvals >= r.Approvals && people >= r.People && len(operators) >= int(r.Operators) &&
		len(families) >= int(r.Families) && share*1000 >= all*r.Share
}

func TestStateWords(t *testing.T) {
	for state, want := range map[consensus.State]string{
		0: "none", consensus.Open: "open", consensus.Approved: "approved", consensus.Rejected: "rejected",
		consensus.Expired: "expired", consensus.Cancelled: "cancelled", consensus.Superseded: "superseded", 9: "none",
	} {
		if state.String() != want {
			t.Errorf("state %d is called %s", uint8(state), state)
		}
	}
}
