package control_test

import (
	"reflect"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// maxAnswer is what one message carries, in bytes, less what is around an answer.
const maxAnswer = 240 << 10

// fullAccount is an account with as much in it as there can be.
func fullAccount(t *testing.T) control.Account {
	t.Helper()
	agent, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	id, makes := agent.ID(), wire.Hash([]byte("made of"))
	a := control.Account{
		ID: id, Name: "alice", Operator: operator.ID(), OperatorName: "ben", Parent: &id, Make: &makes, Status: trust.Active,
		Level: identity.Steward, Cap: identity.Steward, Reason: "well done", At: 1 << 50, Index: 1 << 40, Suspicion: 1000, Throttle: 1000,
		Class: 3, Score: 1000, Until: 1 << 50, Blocked: 1 << 50,
	}
	for range 512 {
		a.Children = append(a.Children, id)
	}
	for c := range a.Scores {
		a.Scores[c] = trust.Score{Class: uint8(c), Value: 1000, Slow: 1000, Good: 1 << 62, Bad: -1 << 62}
	}
	for range 16 {
		a.Next = append(a.Next, trust.Condition{Name: "outcomes", Have: 1 << 62, Need: 1 << 62, Unit: "outcomes", Met: true})
		a.Account.Traces = append(a.Account.Traces, trust.Trace{
			At: 1 << 50, Index: 1 << 40, Act: trust.Outcome, By: id, Statement: makes, Nominal: 1 << 40, Weight: -1 << 40,
		})
		a.Account.Turns = append(a.Account.Turns, trust.Turn{At: 1 << 50, Index: 1, From: 1, To: 2, Why: trust.Earned})
	}
	for day := range 180 {
		a.Account.Samples = append(a.Account.Samples, trust.Sample{Day: uint32(20_000 + day), Score: 1000, Level: identity.Steward})
	}
	a.Account.Agent, a.Account.Operator = id, operator.ID()
	return a
}

// Accounts fit one message with all that they can hold, and come as they went.
func TestAccountsTravel(t *testing.T) {
	for name, a := range map[string]control.Account{"full": fullAccount(t), "empty": {}} {
		raw, err := wire.Encode(a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(raw) > maxAnswer {
			t.Errorf("%s: %d bytes", name, len(raw))
		}
		var got control.Account
		if err := wire.Decode(raw, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "full" && !reflect.DeepEqual(got, a) {
			t.Errorf("came as %+v", got)
		}
		if err := wire.Decode(append(raw, 0), &got); err == nil {
			t.Errorf("%s: with a byte more", name)
		}
	}
}

// A page of the list fits one message.
func TestRankingsTravel(t *testing.T) {
	a := fullAccount(t)
	page := control.Ranking{All: 1 << 40, At: 1 << 50}
	for range 200 {
		page.Ranks = append(page.Ranks, control.Rank{
			ID: a.ID, Name: "an-agent-with-quite-a-long-name-as-they-may-be-in-a-realm-of-many", Operator: a.Operator,
			OperatorName: "an-operator-with-quite-a-long-name-as-they-may-be", Parent: &a.ID, Status: trust.Quarantined,
			Level: identity.Steward, Class: 3, Score: 1000, Belief: 1000, Disbelief: 1000, Uncertainty: 1000, Suspicion: 1000,
			Throttle: 1000, Until: 1 << 50,
		})
	}
	raw, err := wire.Encode(page)
	if err != nil || len(raw) > maxAnswer {
		t.Fatalf("%d bytes: %v", len(raw), err)
	}
	var got control.Ranking
	if err := wire.Decode(raw, &got); err != nil || !reflect.DeepEqual(got, page) {
		t.Errorf("%v", err)
	}
}
