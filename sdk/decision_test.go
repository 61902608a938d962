package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

var (
	write   = sdk.NewAction("file.write", "notes.txt", nil)                               // R1: L3 decides it alone
	exec    = sdk.NewAction("process.exec", "make", map[string][]string{"args": {"all"}}) // R2
	payment = sdk.NewAction("payments.send", "acme", map[string][]string{"cents": {"100"}})
)

func propose(t *testing.T, a *sdk.Agent, action sdk.Action) *sdk.Decision {
	t.Helper()
	d, err := a.Propose(t.Context(), sdk.Proposal{Action: action, Reason: "because"})
	if err != nil {
		t.Fatalf("propose %s: %v", action.Kind, err)
	}
	return d
}

// vote casts an operator's or agent's vote on a decision.
func vote(t *testing.T, voter *sdk.Agent, d *sdk.Decision, v ballot.Vote) {
	t.Helper()
	seen, err := voter.Ballots().View(t.Context(), d.ID().String())
	if err == nil {
		_, err = voter.Ballots().Vote(t.Context(), seen, v)
	}
	if err != nil {
		t.Fatalf("vote: %v", err)
	}
}

func wait(t *testing.T, d *sdk.Decision) *verify.Certificate {
	t.Helper()
	c, err := d.Wait(t.Context())
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return c
}

func TestALevelDecidesSmallThingsAlone(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		c := wait(t, propose(t, alice, write))
		if c.Class() != consensus.R1 || c.Ballots() != 0 || c.Action().Digest() != write.Digest() {
			t.Errorf("%s with %d ballots", c.Class(), c.Ballots())
		}
		apprentice := realm.Agent(t, "apprentice", sdktest.Level(identity.Apprentice))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := propose(t, apprentice, write).Wait(ctx)
		wantErr(t, err, sdk.ErrPending)
		raised, err := alice.Propose(t.Context(), sdk.Proposal{Action: write, Class: consensus.R2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = raised.Wait(ctx)
		wantErr(t, err, sdk.ErrPending)
		lowered, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Class: consensus.R0})
		if err != nil {
			t.Fatal(err)
		}
		_, err = lowered.Wait(ctx)
		wantErr(t, err, sdk.ErrPending)
	})
}

func TestAPersonDecidesBigThings(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, person := realm.Agent(t, "alice"), realm.Operator(t, 0)
		d := propose(t, alice, payment)
		waiting, err := person.Ballots().Waiting(t.Context())
		if err != nil || len(waiting) != 1 {
			t.Fatalf("%d waiting: %v", len(waiting), err)
		}
		v := waiting[0]
		if v.ID != d.ID() || v.Proposer.Name != "alice" || v.Reason != "because" || v.State != "open" ||
			v.ActionHash != payment.Digest() || v.Class != consensus.R3.String() || len(v.Voters) != 1 {
			t.Errorf("view %+v", v)
		}
		result := make(chan error, 1)
		go func() {
			_, err := d.Wait(t.Context())
			result <- err
		}()
		state, err := person.Ballots().Vote(t.Context(), v, ballot.Approve("fine").Confident(900))
		if err != nil || state != consensus.Approved {
			t.Fatalf("%s %v", state, err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		if c := wait(t, d); c.Ballots() != 1 || c.Class() != consensus.R3 || c.Expires() <= time.Now().UnixMilli() {
			t.Errorf("certificate of %d ballots until %d", c.Ballots(), c.Expires())
		}
		_, err = person.Ballots().Vote(t.Context(), v, ballot.Reject("no"))
		wantCode(t, err, code.Spent)
		if waiting, err := person.Ballots().Waiting(t.Context()); err != nil || len(waiting) != 0 {
			t.Errorf("%d waiting: %v", len(waiting), err)
		}
		v, err = person.Ballots().View(t.Context(), d.ID().String()[:8])
		if err != nil || v.State != "approved" || len(v.Ballots) != 1 || v.Ballots[0].Confidence != 900 ||
			v.Ballots[0].Reason != "fine" || v.Ballots[0].Voter != person.ID() {
			t.Errorf("view %+v %v", v, err)
		}
	})
}

func TestWhoIsNotInTheElectorateDoesNotVote(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, mate := realm.Agent(t, "alice"), realm.Agent(t, "mate")
		other := realm.Agent(t, "other", sdktest.Of(1))
		d := propose(t, alice, exec)
		for _, a := range []*sdk.Agent{alice, mate, realm.Operator(t, 0)} { // all of the proposer's operator
			seen, err := a.Ballots().View(t.Context(), d.ID().String())
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Ballots().Vote(t.Context(), seen, ballot.Approve(""))
			wantCode(t, err, code.Denied)
		}
		vote(t, other, d, ballot.Approve(""))
		vote(t, realm.Operator(t, 2), d, ballot.Approve(""))
		if c := wait(t, d); c.Ballots() != 2 {
			t.Errorf("%d ballots", c.Ballots())
		}
	}, sdktest.Standard(3))
}

func TestReviewersVoteByThemselves(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		var asked list[string]
		for i := 1; i <= 2; i++ {
			name := fmt.Sprintf("reviewer-%d", i)
			reviewer := realm.Agent(t, name, sdktest.Of(i))
			err := reviewer.OnBallot(func(_ context.Context, v ballot.View) (ballot.Vote, error) {
				asked.add(name + " " + v.Action.Target)
				if v.Action.Target == "bad" {
					return ballot.Reject("it is bad"), nil
				}
				if v.Action.Target == "unclear" {
					return ballot.Vote{}, errors.New("cannot say")
				}
				return ballot.Approve("looks right"), nil
			}, "process.*")
			if err != nil {
				t.Fatal(err)
			}
		}
		if c := wait(t, propose(t, alice, exec)); c.Ballots() != 2 {
			t.Errorf("%d ballots", c.Ballots())
		}
		_, err := propose(t, alice, sdk.NewAction("process.exec", "bad", nil)).Wait(t.Context())
		wantErr(t, err, sdk.ErrRejected)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, a := range []sdk.Action{payment, sdk.NewAction("process.exec", "unclear", nil)} {
			_, err = propose(t, alice, a).Wait(ctx)
			wantErr(t, err, sdk.ErrPending)
		}
		got := asked.all()
		slices.Sort(got)
		want := []string{"reviewer-1 bad", "reviewer-1 make", "reviewer-1 unclear", "reviewer-2 bad", "reviewer-2 make", "reviewer-2 unclear"}
		if !slices.Equal(slices.Compact(got), want) || len(got) != len(slices.Compact(asked.all())) {
			t.Errorf("asked %q", asked.all())
		}
	}, sdktest.Standard(3))
}

func TestProposalsAreIdempotentByKey(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		dir := t.TempDir() + "/spent"
		alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
		first, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Key: "order 7"})
		if err != nil {
			t.Fatal(err)
		}
		again, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Key: "order 7"})
		if err != nil || again.ID() != first.ID() {
			t.Fatalf("again: %v", err)
		}
		_, err = alice.Propose(t.Context(), sdk.Proposal{Action: write, Key: "order 7"})
		wantCode(t, err, "conflict")
		for _, key := range []string{"order 8", "", ""} {
			other, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Key: key})
			if err != nil || other.ID() == first.ID() {
				t.Errorf("key %q: %v", key, err)
			}
		}
		if err := alice.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		restarted := realm.Agent(t, "alice", sdktest.StateDir(dir))
		again, err = restarted.Propose(t.Context(), sdk.Proposal{Action: payment, Key: "order 7"})
		if err != nil || again.ID() != first.ID() {
			t.Fatalf("after a restart: %v", err)
		}
		stranger := realm.Agent(t, "stranger")
		other, err := stranger.Propose(t.Context(), sdk.Proposal{Action: payment, Key: "order 7"})
		if err != nil || other.ID() == first.ID() {
			t.Errorf("another agent's key: %v", err)
		}
	})
}

func TestOneKeyProposedAtOnceIsOneDecision(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		var ids list[sdk.Digest]
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				d, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Key: "one"})
				if err != nil {
					t.Error(err)
					return
				}
				ids.add(d.ID())
			})
		}
		group.Wait()
		if got := ids.all(); len(got) != 20 || slices.ContainsFunc(got, func(id sdk.Digest) bool { return id != got[0] }) {
			t.Errorf("%d answers: %v", len(got), got)
		}
	})
}

func TestWaitEndsWithTheDecision(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, person := realm.Agent(t, "alice"), realm.Operator(t, 0)
		rejected := propose(t, alice, payment)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		_, err := rejected.Wait(ctx)
		wantErr(t, err, sdk.ErrPending)
		wantCode(t, err, code.Pending)
		wantErr(t, err, context.DeadlineExceeded)
		if waited := time.Since(began); waited != time.Hour {
			t.Errorf("waited %s", waited)
		}
		vote(t, person, rejected, ballot.Reject("no"))
		for range 2 {
			_, err = rejected.Wait(t.Context())
			wantErr(t, err, sdk.ErrRejected)
			wantCode(t, err, code.Rejected)
		}
		silent := propose(t, alice, payment)
		began = time.Now()
		_, err = silent.Wait(t.Context())
		wantErr(t, err, sdk.ErrRejected)
		if waited := time.Since(began); waited < 4*time.Hour || waited > 4*time.Hour+time.Minute {
			t.Errorf("silence rejected after %s", waited)
		}
		short, err := alice.Propose(t.Context(), sdk.Proposal{Action: payment, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		_, err = short.Wait(t.Context())
		wantErr(t, err, sdk.ErrRejected)
		if waited := time.Since(began); waited < time.Minute || waited > 2*time.Minute {
			t.Errorf("silence rejected after %s", waited)
		}
	})
}

func TestADecisionIsPickedUpByItsID(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, payment)
		other := realm.Agent(t, "alice")
		picked, err := other.Decision(t.Context(), d.ID())
		if err != nil || picked.ID() != d.ID() {
			t.Fatal(err)
		}
		vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
		wait(t, picked)
		_, err = other.Decision(t.Context(), sdk.Digest{1})
		wantCode(t, err, "unknown")
		for _, id := range []string{"", "abc", "zz", strings.Repeat("g", 64), strings.Repeat("a", 66)} {
			if _, err := other.Ballots().View(t.Context(), id); sdk.CodeOf(err) != "usage" {
				t.Errorf("id %q: %v", id, err)
			}
		}
		list, err := other.Ballots().List(t.Context())
		if err != nil || len(list) != 1 || list[0].Proposer != "alice" || list[0].State != "approved" {
			t.Errorf("list %+v %v", list, err)
		}
	})
}

func TestProposalsAreRefused(t *testing.T) {
	denying, err := policy.Preset(policy.Standard)
	if err != nil {
		t.Fatal(err)
	}
	denying.Kinds = append(denying.Kinds, policy.Kind{Pattern: "weapons.*", Class: consensus.R3, Deny: true})
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, observer := realm.Agent(t, "alice"), realm.Agent(t, "observer", sdktest.Level(identity.Observer))
		propose(t, alice, write)
		for _, c := range []struct {
			name   string
			by     *sdk.Agent
			action sdk.Action
			want   code.Code
		}{
			{"by an observer", observer, write, code.Denied},
			{"what the policy denies", alice, sdk.NewAction("weapons.fire", "x", nil), code.Denied},
			{"with too small an electorate", alice, exec, "no_quorum"},
			{"no action", alice, sdk.Action{}, "malformed"},
		} {
			if _, err := c.by.Propose(t.Context(), sdk.Proposal{Action: c.action}); sdk.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.want)
			}
		}
	}, sdktest.WithPolicy(denying, 2))
}

func TestANodeThatMisstatesADecisionIsNotBelieved(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, person := realm.Agent(t, "alice"), realm.Operator(t, 0)
		d, other := propose(t, alice, payment), propose(t, alice, exec)
		vote(t, person, other, ballot.Approve(""))
		var theOther control.DecisionView
		rewrite(realm, func(v *control.DecisionView) bool { theOther = *v; return false })
		if _, err := person.Ballots().View(t.Context(), other.ID().String()); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(v *control.DecisionView){
			"a lower class":          func(v *control.DecisionView) { v.Opening.Class = consensus.R0 },
			"an easier rule":         func(v *control.DecisionView) { v.Opening.Rule.People = 0 },
			"another electorate":     func(v *control.DecisionView) { v.Opening.Voters = nil },
			"another opening":        func(v *control.DecisionView) { v.Opening, v.Opened = theOther.Opening, theOther.Opened },
			"another proposal":       func(v *control.DecisionView) { v.Proposal = theOther.Proposal },
			"another decision's id":  func(v *control.DecisionView) { v.ID = theOther.ID },
			"a forged proposal":      func(v *control.DecisionView) { v.Proposal[len(v.Proposal)-1] ^= 1 },
			"ballots of another":     func(v *control.DecisionView) { v.Ballots = theOther.Ballots },
			"a proof of another one": func(v *control.DecisionView) { v.Opened = theOther.Opened },
			"no head":                func(v *control.DecisionView) { v.Head = nil },
			"no proposer":            func(v *control.DecisionView) { v.Principal = control.Principal{} },
		} {
			rewrite(realm, func(v *control.DecisionView) bool {
				if len(v.Proposal) == 0 {
					return false
				}
				change(v)
				return true
			})
			if _, err := person.Ballots().View(t.Context(), d.ID().String()); err == nil {
				t.Errorf("%s passed", name)
			}
		}
		rewrite(realm, func(v *control.DecisionView) bool { *v = theOther; return len(v.Proposal) > 0 })
		if _, err := person.Ballots().View(t.Context(), d.ID().String()); err == nil {
			t.Error("another decision passed for the one asked for")
		}
		realm.Intercept(nil)
		if _, err := person.Ballots().View(t.Context(), d.ID().String()); err != nil {
			t.Error(err)
		}
	})
}

func TestACertificateVerifiesOffline(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, payment)
		vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
		raw := wait(t, d).Raw()
		root := verify.TrustRoot{Realm: realm.ID()}
		c, report, err := verify.Parse(raw, root)
		if err != nil || c.ID() != d.ID() {
			t.Fatalf("%+v %v", report, err)
		}
		now := time.Now().UnixMilli()
		if err := c.Verify(root, payment, now); err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(root, payment, c.Expires()-1000); err != nil {
			t.Error(err)
		}
		for _, row := range []struct {
			name   string
			root   verify.TrustRoot
			action sdk.Action
			now    int64
		}{
			{"another action", root, exec, now},
			{"other parameters", root, sdk.NewAction("payments.send", "acme", map[string][]string{"cents": {"1000"}}), now},
			{"another target", root, sdk.NewAction("payments.send", "acne", map[string][]string{"cents": {"100"}}), now},
			{"another realm", verify.TrustRoot{Realm: sdk.Realm{1}}, payment, now},
			{"a newer roster demanded", verify.TrustRoot{Realm: realm.ID(), Roster: 1}, payment, now},
			{"after the window", root, payment, c.Expires() + 60_000},
			{"long before it", root, payment, now - 3600_000},
		} {
			if err := c.Verify(row.root, row.action, row.now); err == nil {
				t.Errorf("%s passed", row.name)
			}
		}
		for i := 0; i < len(raw); i += 7 {
			forged := slices.Clone(raw)
			forged[i] ^= 1
			if _, _, err := verify.Parse(forged, root); err == nil {
				t.Errorf("forged byte %d of %d passed", i, len(raw))
			}
		}
	})
}
