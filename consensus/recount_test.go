package consensus_test

import (
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A poll is counted again only if it could be counted at all.
func TestRecountRefuses(t *testing.T) {
	o, other := opening(t), opening(t)
	other.Index++
	bob := []wire.Verified[consensus.Ballot]{cast(t, o, person("bob"), consensus.Approve)}
	if state, err := consensus.Recount(o, other, consensus.Poll{Ballots: bob}, now); err != nil || state != consensus.Open {
		t.Fatal(state, err)
	}
	if _, err := consensus.Recount(other, o, consensus.Poll{Ballots: bob}, now); !errors.Is(err, consensus.ErrOtherDecision) {
		t.Errorf("ballots of another opening: %v", err)
	}
	twice := consensus.Poll{Ballots: append(bob, bob...)}
	if _, err := consensus.Recount(o, other, twice, now); !errors.Is(err, consensus.ErrVoted) {
		t.Errorf("one ballot twice: %v", err)
	}
	other.Voters = append(other.Voters, other.Voters[0])
	if _, err := consensus.Recount(o, other, consensus.Poll{Ballots: bob}, now); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("an electorate without form: %v", err)
	}
}
