package consensus_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// TestTallyScenarios plays testdata/tally/*.txt with signed ballots. A scenario is read from top to bottom:
//
//	rule approvals 2 people 1 operators 2 share 500 own   what the decision needs; what is not named is 0
//	proposer planner of ann                               an agent and its operator; "proposer ann" is the person
//	voter scout of bob weight 2                           an agent; without "of" a person; without "weight" 1
//	electorate can                                        CheckElectorate says: can, cannot, malformed
//	vote scout approve                                    approve, reject or abstain
//	state open                                            where the decision stands now
func TestTallyScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/tally/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := scenario{T: t, signers: make(map[string]identity.Signer)}
			s.o = opening(t)
			s.o.Voters = nil
			for i, line := range strings.Split(string(text), "\n") {
				line, _, _ = strings.Cut(line, "#")
				if words := strings.Fields(line); len(words) > 0 {
					s.at = fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
					s.play(words[0], words[1:])
				}
			}
			if s.asserted == 0 {
				t.Errorf("%s asserts nothing", file)
			}
		})
	}
}

type scenario struct {
	*testing.T
	at       string // file, line and text
	o        consensus.Opening
	proposer identity.ID
	signers  map[string]identity.Signer
	ballots  []wire.Verified[consensus.Ballot]
	asserted int
}

func (s *scenario) play(verb string, words []string) {
	switch verb {
	case "rule":
		s.o.Rule = s.rule(words)
	case "proposer":
		id, operator := s.principal(words)
		s.proposer, s.o.Operator = id.ID(), operator
	case "voter":
		weight := uint64(1)
		if n := len(words); n > 2 && words[n-2] == "weight" {
			weight, words = s.number(words[n-1]), words[:n-2]
		}
		who, operator := s.principal(words)
		s.signers[words[0]] = who
		s.o.Voters = sorted(append(s.o.Voters, voter(who, operator, weight))...)
	case "vote":
		vote, ok := map[string]consensus.Vote{
			"approve": consensus.Approve, "reject": consensus.Reject, "abstain": consensus.Abstain,
		}[words[1]]
		who, known := s.signers[words[0]]
		if !ok || !known {
			s.Fatalf("%s: no such vote or voter", s.at)
		}
		s.ballots = append(s.ballots, cast(s, s.o, who, vote))
	case "state":
		s.asserted++
		got, err := consensus.Tally(s.o, s.ballots)
		if err != nil || got.String() != words[0] {
			s.Errorf("%s: it is %s, %v", s.at, got, err)
		}
	case "electorate":
		s.asserted++
		if got := s.electorate(); got != words[0] {
			s.Errorf("%s: it is %s", s.at, got)
		}
	default:
		s.Fatalf("%s: unknown verb", s.at)
	}
}

func (s *scenario) electorate() string {
	switch err := consensus.CheckElectorate(s.o, s.proposer); {
	case err == nil:
		return "can"
	case errors.Is(err, consensus.ErrUnreachable):
		return "cannot"
	case errors.Is(err, wire.ErrMalformed):
		return "malformed"
	default:
		return err.Error()
	}
}

func (s *scenario) principal(words []string) (identity.Signer, identity.ID) {
	if len(words) == 3 && words[1] == "of" {
		return agent(words[0]), person(words[2]).ID()
	}
	if len(words) != 1 {
		s.Fatalf("%s: a principal is NAME or NAME of OPERATOR", s.at)
	}
	return person(words[0]), person(words[0]).ID()
}

func (s *scenario) rule(words []string) consensus.Rule {
	r := consensus.Rule{Deadline: 60_000, Window: 60_000}
	for len(words) > 0 {
		if words[0] == "own" {
			r.Own, words = true, words[1:]
			continue
		}
		to, ok := map[string]*uint64{
			"approvals": &r.Approvals, "people": &r.People, "operators": &r.Operators, "share": &r.Share,
		}[words[0]]
		if !ok || len(words) < 2 {
			s.Fatalf("%s: unknown word %s", s.at, words[0])
		}
		*to, words = s.number(words[1]), words[2:]
	}
	return r
}

func (s *scenario) number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		s.Fatalf("%s: %v", s.at, err)
	}
	return n
}

// What must hold of every decision, whoever votes what in which order.
func TestTallyProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seen := make(map[consensus.State]int)
	for range 200 {
		o, signers := randomDecision(t, r)
		votes := make([]consensus.Vote, len(signers))
		var ballots []wire.Verified[consensus.Ballot]
		for _, i := range r.Perm(len(signers)) {
			votes[i] = consensus.Vote(1 + r.IntN(3))
			ballots = append(ballots, cast(t, o, signers[i], votes[i]))
			got, err := consensus.Tally(o, ballots)
			if err != nil {
				t.Fatal(err)
			}
			seen[got]++
			if want := reference(o, votes); got != want {
				t.Fatalf("%s, want %s: rule %+v, votes %v of %+v", got, want, o.Rule, votes, o.Voters)
			}
			slices.Reverse(ballots)
			if again, _ := consensus.Tally(o, ballots); again != got {
				t.Fatalf("%s in one order, %s in another", got, again)
			}
			slices.Reverse(ballots)
		}
		if last, _ := consensus.Tally(o, ballots); last == consensus.Open {
			t.Fatalf("open with every vote cast: rule %+v, votes %v", o.Rule, votes)
		}
	}
	if len(seen) != 3 {
		t.Errorf("states seen: %v", seen)
	}
}

func randomDecision(t *testing.T, r *rand.Rand) (consensus.Opening, []identity.Signer) {
	o := opening(t)
	o.Voters = nil
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
		o.Voters = sorted(append(o.Voters, voter(who, operator.ID(), 1+r.Uint64N(3)))...)
	}
	o.Rule = consensus.Rule{Approvals: 1 + r.Uint64N(3), Share: r.Uint64N(3) * 350, Deadline: 1, Window: 1}
	o.Rule.People, o.Rule.Operators = r.Uint64N(2), r.Uint64N(o.Rule.Approvals+1)
	inOrder := make([]identity.Signer, len(o.Voters))
	for i, v := range o.Voters {
		inOrder[i] = signers[v.ID]
	}
	return o, inOrder
}

// reference decides by trying all that the silent voters could still say, 0 being silence.
func reference(o consensus.Opening, votes []consensus.Vote) consensus.State {
	for i, v := range o.Voters {
		if o.Rule.People > 0 && v.ID.Role() == identity.Operator && votes[i] == consensus.Reject {
			return consensus.Rejected
		}
	}
	if suffices(o, votes) {
		return consensus.Approved
	}
	best := slices.Clone(votes)
	for i := range best {
		if best[i] == 0 {
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
	for i, v := range o.Voters {
		all += v.Weight
		if votes[i] != consensus.Approve {
			continue
		}
		approvals, share = approvals+1, share+v.Weight
		if v.ID == v.Operator {
			people++
		}
		if !slices.Contains(operators, v.Operator) {
			operators = append(operators, v.Operator)
		}
	}
	r := o.Rule
	return approvals >= r.Approvals && people >= r.People && len(operators) >= int(r.Operators) && share*1000 >= all*r.Share
}

func TestStateWords(t *testing.T) {
	for state, want := range map[consensus.State]string{
		0: "none", consensus.Open: "open", consensus.Approved: "approved", consensus.Rejected: "rejected",
		consensus.Expired: "expired", 9: "none",
	} {
		if state.String() != want {
			t.Errorf("state %d is called %s", uint8(state), state)
		}
	}
}
