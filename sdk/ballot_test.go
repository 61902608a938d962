package sdk_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/registry"
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

// Who votes again because no answer came, with other words or another mind, has not contradicted itself: neither a node nor
// anybody else who keeps what it has signed can have it quarantined.
func TestWhoVotesAgainDoesNotContradictItself(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		d, person := propose(t, realm.Agent(t, "alice"), payment), realm.Operator(t, 1)
		seen := view(t, person, d)
		var kept [][]byte
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if c, is := commanded(p, registry.TypeVote); is && c.Author == person.ID() {
				body, err := registry.Body[registry.Cast](c)
				if err != nil {
					t.Error(err)
				}
				if len(kept) == 0 || !bytes.Equal(kept[len(kept)-1], body.Ballot) {
					kept = append(kept, body.Ballot)
				}
				if len(kept) < 2 {
					return nil
				}
			}
			return []sdktest.Packet{p}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // of the bubble's clock
		defer cancel()
		if _, err := person.Ballots().Vote(ctx, seen, ballot.Approve("yes")); err == nil {
			t.Fatal("answered")
		}
		if _, err := person.Ballots().Vote(t.Context(), seen, ballot.Approve("yes, as I said")); err != nil {
			t.Fatal(err)
		}
		if len(kept) != 2 {
			t.Fatalf("%d ballots were signed", len(kept))
		}
		wantCode(t, realm.Operator(t, 0).Equivocation(t.Context(), d.ID(), kept[0], kept[1]), code.InvalidInput)
		if v := view(t, person, d); len(v.Voters) == 0 || v.State != "open" {
			t.Errorf("%+v", v)
		}
	}, sdktest.Standard(3))
}
