package sdk_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// TestAVoteOnAnAlteredViewIsRefused has the registry count a ballot on what was shown, and none on what was made of it.
func TestAVoteOnAnAlteredViewIsRefused(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		d, person := propose(t, realm.Agent(t, "alice"), payment), realm.Operator(t, 0)
		shown, err := person.Ballots().View(t.Context(), d.ID().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			alter func(v *ballot.View)
			want  code.Code
		}{
			{"another action", func(v *ballot.View) { v.Action = exec }, "misaddressed"},
			{"another electorate", func(v *ballot.View) { v.Opening[0] ^= 1 }, "misaddressed"},
			{"another decision", func(v *ballot.View) { v.ID[0] ^= 1 }, code.Unknown},
			{"nothing", func(v *ballot.View) { *v = ballot.View{} }, code.Unknown},
		} {
			altered := shown
			c.alter(&altered)
			if _, err := person.Ballots().Vote(t.Context(), altered, ballot.Approve("")); sdk.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.want)
			}
		}
		state, err := person.Ballots().Vote(t.Context(), shown, ballot.Approve(""))
		if err != nil || state != consensus.Approved {
			t.Errorf("as it was shown: %s, %v", state, err)
		}
	})
}
