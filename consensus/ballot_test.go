package consensus_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestVerifyBallot(t *testing.T) {
	o := opening(t)
	for _, s := range []identity.Signer{person("bob"), person("carol"), agent("scout")} {
		want := ballot(o, s.ID(), consensus.Reject)
		raw := sign(t, s, want)
		v, err := consensus.VerifyBallot(raw, realm, o)
		if err != nil {
			t.Fatal(err)
		}
		if v.Statement() != want || string(v.Raw()) != string(raw) {
			t.Errorf("read as %+v, want %+v", v.Statement(), want)
		}
	}
}

// A ballot counts for one decision, action and electorate, by one member's own key.
func TestBallotRefusals(t *testing.T) {
	o, bob := opening(t), person("bob")
	honest := ballot(o, bob.ID(), consensus.Approve)
	if _, err := consensus.VerifyBallot(sign(t, bob, honest), realm, o); err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*consensus.Ballot)) consensus.Ballot {
		b := honest
		change(&b)
		return b
	}
	otherRealm, err := bob.Sign(wire.Realm{9}, honest)
	if err != nil {
		t.Fatal(err)
	}
	tampered := sign(t, bob, honest)
	tampered[len(tampered)-1] ^= 1
	for _, c := range []struct {
		name string
		raw  []byte
		want error
		code fault.Code
	}{
		{"outside the electorate", sign(t, person("mallory"), ballot(o, person("mallory").ID(), consensus.Approve)),
			consensus.ErrNotVoter, fault.Denied},
		{"of the proposer", sign(t, agent("planner"), ballot(o, agent("planner").ID(), consensus.Approve)),
			consensus.ErrNotVoter, fault.Denied},
		{"another decision", sign(t, bob, changed(func(b *consensus.Ballot) { b.Proposal[0] ^= 1 })),
			consensus.ErrOtherDecision, fault.Misaddressed},
		{"another action", sign(t, bob, changed(func(b *consensus.Ballot) { b.Action[0] ^= 1 })),
			consensus.ErrOtherDecision, fault.Misaddressed},
		{"another electorate", sign(t, bob, changed(func(b *consensus.Ballot) { b.Opening[31] ^= 1 })),
			consensus.ErrOtherDecision, fault.Misaddressed},
		{"in bob's name by mallory", sign(t, person("mallory"), honest), wire.ErrBadSignature, fault.BadSignature},
		{"in bob's name by another voter", sign(t, person("carol"), honest), wire.ErrBadSignature, fault.BadSignature},
		{"another realm", otherRealm, wire.ErrBadSignature, fault.BadSignature},
		{"tampered", tampered, wire.ErrBadSignature, fault.BadSignature},
		{"another kind", sign(t, bob, proposal()), wire.ErrWrongKind, fault.WrongKind},
		{"nothing", nil, wire.ErrMalformed, fault.Malformed},
		{"too large", make([]byte, wire.MaxStatement+1), wire.ErrTooLarge, fault.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := consensus.VerifyBallot(c.raw, realm, o)
			if !errors.Is(err, c.want) || fault.CodeOf(err) != c.code || !v.IsZero() {
				t.Errorf("got %v (%s), want %v (%s)", err, fault.CodeOf(err), c.want, c.code)
			}
		})
	}
}

// The opening's digest covers all of it: a ballot for one opening counts for no other, whatever differs.
func TestBallotBindsTheWholeOpening(t *testing.T) {
	o, bob := opening(t), person("bob")
	raw := sign(t, bob, ballot(o, bob.ID(), consensus.Approve))
	for name, change := range map[string]func(*consensus.Opening){
		"policy":       func(o *consensus.Opening) { o.Policy[0] ^= 1 },
		"class":        func(o *consensus.Opening) { o.Class = consensus.R2 },
		"level":        func(o *consensus.Opening) { o.Level++ },
		"operator":     func(o *consensus.Opening) { o.Operator = person("dora").ID() },
		"alone":        func(o *consensus.Opening) { o.Alone = true },
		"approvals":    func(o *consensus.Opening) { o.Rule.Approvals = 1 },
		"own":          func(o *consensus.Opening) { o.Rule.Own = true },
		"a voter less": func(o *consensus.Opening) { o.Voters = dropped(o.Voters, agent("scout").ID()) },
		"a weight":     func(o *consensus.Opening) { o.Voters[0].Weight++ },
		"a key":        func(o *consensus.Opening) { o.Voters[0].Key[3] ^= 1 },
		"index":        func(o *consensus.Opening) { o.Index++ },
		"sum":          func(o *consensus.Opening) { o.Sum++ },
		"emergency":    func(o *consensus.Opening) { o.Emergency = true },
		"families":     func(o *consensus.Opening) { o.Rule.Families = 1 },
		"operator cap": func(o *consensus.Opening) { o.Rule.OperatorCap = 1 },
		"family cap":   func(o *consensus.Opening) { o.Rule.FamilyCap = 1 },
		"faults":       func(o *consensus.Opening) { o.Rule.Faults = 1 },
		"confidence":   func(o *consensus.Opening) { o.Rule.Confidence = 501 },
		"stewards":     func(o *consensus.Opening) { o.Rule.Stewards = 1 },
		"commit":       func(o *consensus.Opening) { o.Rule.Commit = 1 },
		"a family":     func(o *consensus.Opening) { scout(o).Family = "x" },
		"calibration":  func(o *consensus.Opening) { scout(o).Calibration-- },
		"silenced":     func(o *consensus.Opening) { scout(o).Silenced = true },
		"a level":      func(o *consensus.Opening) { scout(o).Level++ },
		"opened":       func(o *consensus.Opening) { o.Opened++ },
		"deadline":     func(o *consensus.Opening) { o.Deadline++ },
		"key":          func(o *consensus.Opening) { o.Key[0] ^= 1 },
	} {
		other := opening(t)
		change(&other)
		if _, err := consensus.VerifyBallot(raw, realm, other); !errors.Is(err, consensus.ErrOtherDecision) {
			t.Errorf("%s: %v", name, err)
		}
		if other.Emergency {
			continue // an agent in its electorate: Tally refuses that first
		}
		if _, err := consensus.Tally(other, consensus.Poll{Ballots: verified(t, raw, o)}, now); !errors.Is(err, consensus.ErrOtherDecision) {
			t.Errorf("%s: Tally says %v", name, err)
		}
	}
}

// scout returns the opening's one agent, to be changed.
func scout(o *consensus.Opening) *consensus.Voter {
	return &o.Voters[slices.IndexFunc(o.Voters, func(v consensus.Voter) bool { return !v.Person() })]
}

// tally counts open ballots.
func tally(o consensus.Opening, ballots ...wire.Verified[consensus.Ballot]) (consensus.State, error) {
	return consensus.Tally(o, consensus.Poll{Ballots: ballots}, now)
}

func dropped(voters []consensus.Voter, id identity.ID) (out []consensus.Voter) {
	for _, v := range voters {
		if v.ID != id {
			out = append(out, v)
		}
	}
	return out
}

func verified(t *testing.T, raw []byte, o consensus.Opening) []wire.Verified[consensus.Ballot] {
	t.Helper()
	v, err := consensus.VerifyBallot(raw, realm, o)
	if err != nil {
		t.Fatal(err)
	}
	return []wire.Verified[consensus.Ballot]{v}
}

func TestTallyRefusesWhatIsNotItsBallot(t *testing.T) {
	o := opening(t)
	bob := cast(t, o, person("bob"), consensus.Approve)
	if state, err := tally(o, bob); err != nil || state != consensus.Open {
		t.Fatal(state, err)
	}
	second := cast(t, o, person("bob"), consensus.Reject) // a change of mind is no ballot either
	for name, ballots := range map[string][]wire.Verified[consensus.Ballot]{
		"the same twice": {bob, bob},
		"second ballot":  {bob, second},
	} {
		if state, err := tally(o, ballots...); !errors.Is(err, consensus.ErrVoted) || state != 0 {
			t.Errorf("%s: %s, %v", name, state, err)
		}
	}
	outsider := forged(t, person("mallory"), ballot(o, person("mallory").ID(), consensus.Approve))
	if _, err := tally(o, outsider); !errors.Is(err, consensus.ErrNotVoter) {
		t.Errorf("an outsider's ballot: %v", err)
	}
	if _, err := tally(o, wire.Verified[consensus.Ballot]{}); !errors.Is(err, consensus.ErrOtherDecision) {
		t.Errorf("a zero ballot: %v", err)
	}
}

// forged returns a ballot that its own key signed, verified without the electorate.
func forged(t testing.TB, s identity.Signer, b consensus.Ballot) wire.Verified[consensus.Ballot] {
	t.Helper()
	c, err := wire.Parse[consensus.Ballot](sign(t, s, b), wire.MaxStatement)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Verify(realm, s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBallotCheck(t *testing.T) {
	o := opening(t)
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*consensus.Ballot)
	}{
		{"honest", nil, func(*consensus.Ballot) {}},
		{"abstention", nil, func(b *consensus.Ballot) { b.Vote = consensus.Abstain }},
		{"least confidence", nil, func(b *consensus.Ballot) { b.Confidence = 500 }},
		{"full confidence", nil, func(b *consensus.Ballot) { b.Confidence = 1000 }},
		{"no reason", nil, func(b *consensus.Ballot) { b.Reason = "" }},
		{"longest reason", nil, func(b *consensus.Ballot) { b.Reason = strings.Repeat("x", consensus.MaxReason) }},
		{"recusal", nil, func(b *consensus.Ballot) { b.Vote = consensus.Recuse }},
		{"a later sequence", nil, func(b *consensus.Ballot) { b.Sequence = 1 << 40 }},
		{"version 0", wire.ErrVersion, func(b *consensus.Ballot) { b.Version = 0 }},
		{"version 2", wire.ErrVersion, func(b *consensus.Ballot) { b.Version = 2 }},
		{"no sequence", wire.ErrMalformed, func(b *consensus.Ballot) { b.Sequence = 0 }},
		{"no vote", wire.ErrMalformed, func(b *consensus.Ballot) { b.Vote = 0 }},
		{"unknown vote", wire.ErrMalformed, func(b *consensus.Ballot) { b.Vote = 5 }},
		{"no confidence", wire.ErrMalformed, func(b *consensus.Ballot) { b.Confidence = 0 }},
		{"less than even", wire.ErrMalformed, func(b *consensus.Ballot) { b.Confidence = 499 }},
		{"more than sure", wire.ErrMalformed, func(b *consensus.Ballot) { b.Confidence = 1001 }},
		{"long reason", wire.ErrMalformed, func(b *consensus.Ballot) { b.Reason = strings.Repeat("x", consensus.MaxReason+1) }},
		{"no time", wire.ErrMalformed, func(b *consensus.Ballot) { b.Issued = 0 }},
		{"a node", wire.ErrMalformed, func(b *consensus.Ballot) { b.Voter = signer(identity.Node, "n").ID() }},
		{"nobody", identity.ErrBadID, func(b *consensus.Ballot) { b.Voter = identity.ID{} }},
	} {
		b := ballot(o, person("bob").ID(), consensus.Approve)
		c.change(&b)
		if err := b.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestNodesDoNotVote(t *testing.T) {
	node := signer(identity.Node, "n")
	if raw, err := node.Sign(realm, ballot(opening(t), person("bob").ID(), consensus.Approve)); err == nil {
		t.Errorf("a node signed a ballot: %x", raw)
	}
}

func TestVoteWords(t *testing.T) {
	for vote, want := range map[consensus.Vote]string{
		consensus.Approve: "approve", consensus.Reject: "reject", consensus.Abstain: "abstain",
		consensus.Recuse: "recuse", 0: "vote(0)", 5: "vote(5)",
	} {
		if vote.String() != want {
			t.Errorf("vote %d is called %s", uint8(vote), vote)
		}
	}
}
