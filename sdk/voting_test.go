package sdk_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/sealed"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// A voter is asked once about each decision, remembers it while it is open, and forgets it then: when it was decided, and
// when its time is over.
func TestVotersForgetWhatHasEnded(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		voter := p.reviewers[0]
		var calls atomic.Int64
		err := voter.OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) {
			calls.Add(1)
			return ballot.Recuse("not mine"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var list []*sdk.Decision
		for range 3 {
			list = append(list, propose(t, p.alice, exec))
		}
		own, err := voter.Propose(t.Context(), sdk.Proposal{Action: exec}) // on which it has no vote
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // of the bubble's clock: it looks several times
		settle()
		if calls.Load() != 3 || sdk.Asked(voter) != 4 {
			t.Fatalf("asked %d times, remembers %d", calls.Load(), sdk.Asked(voter))
		}
		vote(t, realm.Operator(t, 1), list[0], ballot.Reject("no")) // a person's veto
		if err := own.Cancel(t.Context(), "off"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		settle()
		if sdk.Asked(voter) != 2 {
			t.Errorf("two of four have ended, and it remembers %d", sdk.Asked(voter))
		}
		time.Sleep(time.Hour)
		settle()
		if calls.Load() != 3 || sdk.Asked(voter) != 0 {
			t.Errorf("after all deadlines: asked %d times, remembers %d", calls.Load(), sdk.Asked(voter))
		}
	}, sdktest.Standard(3))
}

// A process that starts while another of the agent still has the ballots reveals them once that one has gone, and keeps its
// own where the next will find them.
func TestBallotsAreInherited(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		before, later := propose(t, p.alice, exec), propose(t, p.alice, exec)
		vote(t, p.reviewers[0], before, ballot.Approve("of the first"))
		if err := p.reviewers[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		store, err := sealed.Open(filepath.Join(p.dirs[0], "ballots")) // as if that process had not quite ended
		if err != nil {
			t.Fatal(err)
		}
		second := p.start(t, 0)
		vote(t, second, later, ballot.Approve("of the second"))
		vote(t, p.reviewers[1], before, ballot.Approve("")) // now both may be revealed
		time.Sleep(10 * time.Second)                        // of the bubble's clock
		if voted(view(t, p.alice, before), second.ID()) {
			t.Fatal("it has revealed what it cannot have")
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		settle()
		if !voted(view(t, p.alice, before), second.ID()) {
			t.Error("what the first has committed to is not revealed")
		}
		if err := second.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := p.start(t, 0)
		vote(t, p.reviewers[1], later, ballot.Approve(""))
		settle()
		if !voted(view(t, p.alice, later), third.ID()) {
			t.Error("what the second has committed to is not revealed")
		}
		wantNoContradiction(t, realm, third.ID(), 2)
	}, sdktest.Standard(3))
}

func voted(v ballot.View, id sdk.ID) bool {
	return slices.ContainsFunc(v.Voters, func(e ballot.Voter) bool { return e.ID == id && e.Voted })
}
