package staff_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/examples/staff"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// Whoever was hired can decide, goes and comes back, and has nothing left to say once dismissed; the policy is as it was.
func TestHireAndDismiss(t *testing.T) {
	r := sdktest.New(t)
	ctx, person := t.Context(), r.Operator(t, 0)
	roles := []staff.Role{{Name: "one", Family: "a", StateDir: filepath.Join(t.TempDir(), "state")}, {Name: "two", Family: "b"}}
	team, err := staff.Hire(ctx, person, staff.Role{Name: "asks", Apart: true}, roles, sdk.Over(r.Transport()))
	if err != nil {
		t.Fatal(err)
	}
	err = team.Govern(ctx, func(p *policy.Policy) {
		for _, class := range []consensus.Class{consensus.R2, consensus.R3} {
			p.Classes[class].Approvals, p.Classes[class].Families, p.Classes[class].Commit = 3, 2, 60_000
			p.Classes[class].People = 1
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := team.Proposer.Propose(ctx, sdk.Proposal{Action: sdk.NewAction("process.exec", "x", nil)})
	if err != nil {
		t.Fatal(err)
	}
	vote(t, team.Voters[0], d)
	if err := team.Leave(ctx, 0); err != nil {
		t.Fatal(err)
	}
	vote(t, team.Voters[1], d)
	vote(t, person, d)
	if err := team.Join(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(ctx); err != nil { // with the ballot that was sealed before it left
		t.Fatal(err)
	}
	voters := team.Voters
	if err := team.Dismiss(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err := person.Admin().Status(ctx); err != nil || s.Policy != r.Policy().Digest() || s.Policies != 2 {
		t.Errorf("the policy is not as it was: %+v, %v", s, err)
	}
	for _, a := range voters {
		if p, err := person.Who(ctx, a.ID().String()); err != nil || p.Status != "revoked" {
			t.Errorf("%s is %s, %v", a.ID(), p.Status, err)
		}
	}
	if err := team.Dismiss(ctx); err != nil {
		t.Error("again:", err)
	}
}

func vote(t *testing.T, voter *sdk.Agent, d *sdk.Decision) {
	t.Helper()
	v, err := voter.Ballots().View(t.Context(), d.ID().String())
	if err == nil {
		_, err = voter.Ballots().Vote(t.Context(), v, ballot.Approve(""))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// In a realm that several people govern one person alone cannot hire, and nothing of the attempt stays.
func TestHireNeedsARealmOfOnesOwn(t *testing.T) {
	r := sdktest.New(t, sdktest.Standard(3))
	_, err := staff.Hire(t.Context(), r.Operator(t, 0), staff.Role{Name: "asks"}, nil, sdk.Over(r.Transport()))
	if sdk.CodeOf(err) != code.Denied && string(sdk.CodeOf(err)) != "no_quorum" {
		t.Errorf("got %v", err)
	}
	members, err := r.Operator(t, 0).Admin().Members(context.Background())
	if err != nil || len(members) != 3 {
		t.Errorf("%d members, %v", len(members), err)
	}
}
