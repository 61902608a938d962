package consensus_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const now = int64(1_800_000_000_000) // Unix milliseconds

var realm = wire.Realm{1, 2, 3}

// signer returns the principal of a role and name: the same one for the same name.
func signer(role identity.Role, name string) identity.Signer {
	key := wire.NewKey(sha256.Sum256([]byte(name)))
	return identity.NewSigner(identity.NewID(role, key.Public()), key)
}

func agent(name string) identity.Signer  { return signer(identity.Agent, name) }
func person(name string) identity.Signer { return signer(identity.Operator, name) }

func voter(s identity.Signer, operator identity.ID, weight uint64) consensus.Voter {
	v := consensus.Voter{ID: s.ID(), Key: s.Public(), Operator: operator, Weight: weight, Calibration: 1000}
	if !v.Person() {
		v.Level, v.Calibration = 3, 700
	}
	return v
}

func sorted(voters ...consensus.Voter) []consensus.Voter {
	slices.SortFunc(voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	return voters
}

func action() consensus.Action {
	return consensus.NewAction("db.migrate", "orders", map[string][]string{"to": {"42"}, "dry-run": {"false"}})
}

// proposal is an honest one: planner, an agent of ann, asks for the action.
func proposal() consensus.Proposal {
	return consensus.Proposal{
		Version: 1, Proposer: agent("planner").ID(), Action: action(), Executor: agent("planner").ID(), Store: [16]byte{1},
		Reason: "the index is missing", Issued: now, Expires: now + 60_000, Nonce: [16]byte{2},
	}
}

func proposalID(t testing.TB, p consensus.Proposal) wire.Digest {
	t.Helper()
	id, err := wire.IDOf(realm, p)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func rule() consensus.Rule {
	return consensus.Rule{Approvals: 2, People: 1, Operators: 2, Deadline: 60_000, Window: 60_000}
}

// opening is an honest one: bob and carol, people, and scout, an agent of carol, may vote.
func opening(t testing.TB) consensus.Opening {
	t.Helper()
	p := proposal()
	bob, carol := person("bob"), person("carol")
	return consensus.Opening{
		Proposal: proposalID(t, p), Action: p.Action.Digest(), Policy: wire.Hash([]byte("policy")), Class: consensus.R3,
		Level: 3, Operator: person("ann").ID(), Rule: rule(), Index: 7, Opened: now, Deadline: now + 60_000,
		Key:    agent("planner").Public(),
		Voters: sorted(voter(bob, bob.ID(), 1), voter(carol, carol.ID(), 1), voter(agent("scout"), carol.ID(), 2)),
	}
}

func ballot(o consensus.Opening, voter identity.ID, vote consensus.Vote) consensus.Ballot {
	return consensus.Ballot{
		Version: 1, Sequence: 1, Proposal: o.Proposal, Action: o.Action, Opening: o.Digest(), Voter: voter, Vote: vote, Confidence: 900,
		Reason: "read it", Issued: now + 1,
	}
}

func sign(t testing.TB, s identity.Signer, statement wire.Statement) []byte {
	t.Helper()
	raw, err := s.Sign(realm, statement)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func cast(t testing.TB, o consensus.Opening, s identity.Signer, vote consensus.Vote) wire.Verified[consensus.Ballot] {
	t.Helper()
	v, err := consensus.VerifyBallot(sign(t, s, ballot(o, s.ID(), vote)), realm, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
