package sdk_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// TestAnOutcomeIsReportedOnceByWhoConsumed has the honest report made by Execute, and every other refused.
func TestAnOutcomeIsReportedOnceByWhoConsumed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, payment)
		wantCode(t, d.Report(t.Context(), sdk.Outcome{OK: true}), "denied") // nobody has consumed it
		vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
		var r runs
		if err := alice.Execute(t.Context(), d, payment, r.act); err != nil {
			t.Fatal(err)
		}
		wantState(t, alice, d.ID(), "executed")
		wantCode(t, d.Report(t.Context(), sdk.Outcome{Detail: "after all, no"}), "spent")
		picked, err := realm.Agent(t, "bob").Decision(t.Context(), d.ID())
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, picked.Report(t.Context(), sdk.Outcome{}), "denied")
		wantState(t, alice, d.ID(), "executed")
	})
}
