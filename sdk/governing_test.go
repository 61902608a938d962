package sdk_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

func pick(t *testing.T, by *sdk.Agent, d *sdk.Decision) *sdk.Decision {
	t.Helper()
	picked, err := by.Decision(t.Context(), d.ID())
	if err != nil {
		t.Fatal(err)
	}
	return picked
}

func TestADecisionIsTakenBack(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, mallory, person := realm.Agent(t, "alice"), realm.Agent(t, "mallory"), realm.Operator(t, 0)
		open, approved, done := propose(t, alice, payment), propose(t, alice, write), propose(t, alice, write)
		var r runs
		if err := alice.Execute(t.Context(), done, write, r.act); err != nil {
			t.Fatal(err)
		}
		wantCode(t, pick(t, mallory, open).Cancel(t.Context(), "no"), code.Denied)
		if err := open.Cancel(t.Context(), "a slip"); err != nil {
			t.Fatal(err)
		}
		if err := pick(t, person, approved).Cancel(t.Context(), "not today"); err != nil { // the proposer's operator
			t.Fatal(err)
		}
		wantCode(t, done.Cancel(t.Context(), "too late"), code.Spent)
		wantCode(t, open.Cancel(t.Context(), "again"), code.Spent)
		for d, reason := range map[*sdk.Decision]string{open: "a slip", approved: "not today"} {
			_, err := d.Wait(t.Context())
			wantErr(t, err, sdk.ErrRejected)
			if v := view(t, alice, d); v.State != "cancelled" || v.Cancelled != reason {
				t.Errorf("%s: %q", v.State, v.Cancelled)
			}
		}
		wantErr(t, alice.Execute(t.Context(), approved, write, r.act), sdk.ErrRejected)
		r.want(t, 1)
	})
}

func TestVotersAreScoredByWhatTurnedOut(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		for _, r := range p.reviewers {
			vote(t, r, d, ballot.Approve("sure"))
		}
		var r runs
		judge := realm.Operator(t, 0)
		wantCode(t, judge.Settle(t.Context(), d.ID(), true, ""), code.Pending)
		if err := p.alice.Execute(t.Context(), d, exec, r.act); err != nil {
			t.Fatal(err)
		}
		wantCode(t, d.Settle(t.Context(), true, "says who did it"), code.Denied)
		if err := judge.Settle(t.Context(), d.ID(), false, "it broke the build"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, judge.Settle(t.Context(), d.ID(), true, ""), code.Spent)
		v := view(t, p.alice, d)
		if v.Settled == nil || v.Settled.Right || v.Settled.Detail != "it broke the build" || v.Settled.By != judge.ID() {
			t.Errorf("settled %+v", v.Settled)
		}
		members, err := judge.Admin().Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			reviewer := m.ID == p.reviewers[0].ID() || m.ID == p.reviewers[1].ID()
			if reviewer && (m.Settled != 1 || m.Calibration >= 700) || m.ID == p.alice.ID() && m.Calibration != 700 {
				t.Errorf("%+v", m)
			}
		}
	}, sdktest.Standard(3))
}

// People decide at once where the policy lets them, everybody sees it, and it waits for its review.
func TestAnEmergencyIsDecidedByPeopleAndReviewed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		stop := sdk.NewAction("service.stop", "payments", nil)
		_, err := p.alice.Propose(t.Context(), sdk.Proposal{Action: payment, Emergency: true})
		wantCode(t, err, code.Denied)
		d, err := p.alice.Propose(t.Context(), sdk.Proposal{Action: stop, Emergency: true})
		if err != nil {
			t.Fatal(err)
		}
		v := view(t, p.alice, d)
		if !v.Emergency || v.Secret || v.Votes(p.reviewers[0].ID()) || !v.Votes(realm.Operator(t, 1).ID()) {
			t.Errorf("view %+v", v)
		}
		for _, i := range []int{1, 2} {
			vote(t, realm.Operator(t, i), d, ballot.Approve("money is leaking"))
		}
		var r runs
		if err := p.alice.Execute(t.Context(), d, stop, r.act); err != nil {
			t.Fatal(err)
		}
		status := func() sdk.Digest {
			s, err := realm.Operator(t, 0).Admin().Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Reviews) == 0 {
				return sdk.Digest{}
			}
			return s.Reviews[0].Decision
		}
		list, err := p.alice.Ballots().List(t.Context())
		if err != nil || len(list) != 1 || !list[0].Emergency || !list[0].Review || status() != d.ID() {
			t.Errorf("%+v %v, status %s", list, err, status())
		}
		if err := realm.Operator(t, 0).Settle(t.Context(), d.ID(), true, "it did leak"); err != nil {
			t.Fatal(err)
		}
		if got := status(); !got.IsZero() {
			t.Errorf("%s still waits for its review", got)
		}
	}, sdktest.Standard(3))
}

func TestADryRunOpensNothing(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		for _, c := range []struct {
			proposal sdk.Proposal
			class    string
			alone    bool
			voters   int
		}{
			{sdk.Proposal{Action: write}, "R1", true, 0},
			{sdk.Proposal{Action: write, Class: consensus.R2}, "R2", false, 4},
			{sdk.Proposal{Action: exec}, "R2", false, 4},
			{sdk.Proposal{Action: payment}, "R3", false, 4},
			{sdk.Proposal{Action: exec, Beneficiaries: []sdk.ID{p.reviewers[0].ID()}}, "R2", false, 3},
		} {
			o, err := p.alice.DryRun(t.Context(), c.proposal)
			if err != nil || o.Class != c.class || o.Alone != c.alone || len(o.Voters) != c.voters || o.Rule == "" {
				t.Errorf("%s: %+v %v", c.class, o, err)
			}
			d, err := p.alice.Propose(t.Context(), c.proposal)
			if err != nil {
				t.Fatal(err)
			}
			v := view(t, p.alice, d)
			if v.Class != o.Class || v.Rule != o.Rule || len(v.Voters) != len(o.Voters) || v.Secret != o.Secret || v.Policy != o.Policy {
				t.Errorf("came to %+v", v)
			}
			if err := d.Cancel(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		before, err := p.alice.Ballots().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.alice.DryRun(t.Context(), sdk.Proposal{Action: sdk.Action{}})
		wantCode(t, err, "malformed")
		_, err = realm.Agent(t, "observer", sdktest.Level(identity.Observer)).DryRun(t.Context(), sdk.Proposal{Action: write})
		wantCode(t, err, code.Denied)
		if after, err := p.alice.Ballots().List(t.Context()); err != nil || len(after) != len(before) {
			t.Errorf("%d decisions, before %d: %v", len(after), len(before), err)
		}
		for name, change := range map[string]func(o *control.Outlook){
			"a lower class":  func(o *control.Outlook) { o.Opening.Class = consensus.R0 },
			"an easier rule": func(o *control.Outlook) { o.Opening.Rule.Approvals = 1 },
			"decided alone":  func(o *control.Outlook) { o.Opening.Alone, o.Opening.Voters = true, nil },
			"another action": func(o *control.Outlook) { o.Opening.Action = write.Digest() },
		} {
			rewrite(realm, func(o *control.Outlook) bool {
				if o.Opening.Opened == 0 {
					return false
				}
				change(o)
				return true
			})
			if o, err := p.alice.DryRun(t.Context(), sdk.Proposal{Action: exec}); err == nil {
				t.Errorf("%s passed: %+v", name, o)
			}
		}
	}, sdktest.Standard(3))
}

// signedBallot signs a ballot by hand.
func signedBallot(t *testing.T, realm *sdktest.Realm, name string, v ballot.View, vote consensus.Vote, sequence uint64) []byte {
	t.Helper()
	signer := realm.Profile(t, name).Signer
	raw, err := signer.Sign(realm.ID(), consensus.Ballot{
		Version: 1, Proposal: v.ID, Action: v.ActionHash, Opening: v.Opening, Voter: signer.ID(), Vote: vote, Confidence: 1000,
		Issued: time.Now().UnixMilli(), Sequence: sequence,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWhoContradictsItselfLosesItsVote(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		v := view(t, p.alice, d)
		yes, no := signedBallot(t, realm, "reviewer-1", v, consensus.Approve, 1), signedBallot(t, realm, "reviewer-1", v, consensus.Reject, 1)
		later := signedBallot(t, realm, "reviewer-1", v, consensus.Reject, 2)
		wantCode(t, p.alice.Equivocation(t.Context(), d.ID(), yes, later), code.InvalidInput)
		wantCode(t, p.alice.Equivocation(t.Context(), d.ID(), yes, yes), code.InvalidInput)
		if err := p.alice.Equivocation(t.Context(), d.ID(), yes, no); err != nil {
			t.Fatal(err)
		}
		me, err := p.alice.Who(t.Context(), "reviewer-1")
		if err != nil || me.Status != "quarantined" {
			t.Errorf("%+v %v", me, err)
		}
		v = view(t, p.alice, d)
		i := slices.IndexFunc(v.Voters, func(e ballot.Voter) bool { return e.Void })
		if i < 0 || v.Voters[i].ID != realm.Profile(t, "reviewer-1").Signer.ID() || v.MayVote(v.Voters[i].ID) {
			t.Errorf("voters %+v", v.Voters)
		}
		wantCode(t, p.reviewers[1].Equivocation(t.Context(), d.ID(), no, yes), code.Spent)
	}, sdktest.Standard(3))
}

// What is open ends with the policy that it was opened by, what was decided stands, and everybody follows the new one.
func TestThePolicyIsReplaced(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		decided, open := propose(t, p.alice, write), propose(t, p.alice, exec)
		before := wait(t, decided).Raw()
		vote(t, p.reviewers[0], open, ballot.Approve(""))

		next := realm.Policy()
		next.Levels = slices.Clone(next.Levels)
		next.Levels[identity.Journeyer].Alone = 0 // L3 decides nothing alone any more
		next.Levels[identity.Journeyer].Rights.Call = []string{"text.*"}
		one := realm.Operator(t, 0).Admin()
		raw, err := one.Govern(next)
		if err != nil {
			t.Fatal(err)
		}
		_, err = one.Submit(t.Context(), raw)
		wantCode(t, err, "no_quorum")
		planned, err := one.Plan(t.Context(), next, 10)
		if err != nil || len(planned) != 2 || !slices.ContainsFunc(planned, func(d admin.Planned) bool { return d.ID == decided.ID() && d.Changed }) {
			t.Errorf("%+v %v", planned, err)
		}
		realm.Govern(t, next)
		time.Sleep(10 * time.Second) // of the bubble's clock, for who learns of it
		settle()

		_, err = open.Wait(t.Context())
		wantErr(t, err, sdk.ErrRejected)
		wantState(t, p.alice, open.ID(), "superseded")
		if got := realm.Operator(t, 0).Admin().Policy().Digest(); got != next.Digest() {
			t.Errorf("the policy in force is %s", got)
		}
		c := wait(t, decided)
		for _, raw := range [][]byte{before, c.Raw()} {
			if _, report, err := verify.Parse(raw, verify.TrustRoot{Realm: realm.ID()}); err != nil {
				t.Errorf("%+v %v", report, err)
			}
		}
		var r runs
		if err := p.alice.Execute(t.Context(), decided, write, r.act); err != nil {
			t.Error(err)
		}
		d := propose(t, p.alice, write)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = d.Wait(ctx)
		wantErr(t, err, sdk.ErrPending)
		vote(t, p.reviewers[0], d, ballot.Approve(""))
		if _, report, err := verify.Parse(wait(t, d).Raw(), verify.TrustRoot{Realm: realm.ID()}); err != nil {
			t.Errorf("%+v %v", report, err)
		}
		newcomer := realm.Agent(t, "newcomer")
		if v := view(t, newcomer, d); v.Policy != next.Digest() || v.State != "approved" {
			t.Errorf("view %+v", v)
		}
		s, err := realm.Operator(t, 0).Admin().Status(t.Context())
		if err != nil || s.Policies != 1 || s.Policy != next.Digest() {
			t.Errorf("%+v %v", s, err)
		}
		handle(t, p.reviewers[0], "text.upper", upper)
		mustCall(t, p.alice, sdk.Any("text.upper"))

		founded := realm.Policy()
		for name, change := range map[string]func(r *control.Realm){
			"a policy left out":   func(r *control.Realm) { r.Policies = nil },
			"nobody to vouch":     func(r *control.Realm) { r.Policy = founded.Encode() },
			"a command of nobody": func(r *control.Realm) { r.Policies = [][]byte{{1}} },
			"the same twice":      func(r *control.Realm) { r.Policies = append(r.Policies, raw) },
		} {
			lie(realm, change)
			if err := connect(t.Context(), realm, realm.Profile(t, "alice")); err == nil && name != "a policy left out" {
				t.Errorf("%s passed", name)
			}
		}
		realm.Intercept(nil)
	}, sdktest.Standard(3))
}
