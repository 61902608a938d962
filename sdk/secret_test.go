package sdk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// commanded returns the command in a packet of a principal, of the type.
func commanded(p sdktest.Packet, typ registry.Type) (registry.Command, bool) {
	var r control.Request
	var s control.Submit
	if wire.Decode(p.Data, &r) != nil || r.Op != control.OpSubmit || wire.Decode(r.Body, &s) != nil {
		return registry.Command{}, false
	}
	c, err := wire.ParseCosigned[registry.Command](s.Command, wire.MaxStatement)
	return c.Claim, err == nil && c.Claim.Type == typ
}

// commitments returns what the principal has committed to, by sequence: each thing that was hidden once.
func commitments(t *testing.T, realm *sdktest.Realm, of sdk.ID) map[uint64][]wire.Digest {
	t.Helper()
	found := map[uint64][]wire.Digest{}
	for _, p := range realm.Packets() {
		c, ok := commanded(p, registry.TypeCommit)
		if !ok || c.Author != of {
			continue
		}
		body, err := registry.Body[registry.Commit](c)
		if err != nil {
			t.Fatal(err)
		}
		claimed, err := wire.Parse[consensus.Commitment](body.Commitment, wire.MaxStatement)
		if err != nil {
			t.Fatal(err)
		}
		n := claimed.Claim.Sequence
		if !slices.Contains(found[n], claimed.Claim.Hidden) {
			found[n] = append(found[n], claimed.Claim.Hidden)
		}
	}
	return found
}

// wantNoContradiction checks that a principal has committed to so many ballots, and to one a sequence.
func wantNoContradiction(t *testing.T, realm *sdktest.Realm, of sdk.ID, ballots int) {
	t.Helper()
	found := commitments(t, realm, of)
	for n, hidden := range found {
		if len(hidden) != 1 {
			t.Errorf("%d ballots of sequence %d", len(hidden), n)
		}
	}
	if len(found) != ballots {
		t.Errorf("committed to %d ballots, want %d", len(found), ballots)
	}
}

// panel is a realm of three operators with a proposer and two reviewers, each of another operator.
type panel struct {
	realm     *sdktest.Realm
	alice     *sdk.Agent
	reviewers [2]*sdk.Agent
	dirs      [2]string
}

func seated(t *testing.T, realm *sdktest.Realm) *panel {
	t.Helper()
	p := &panel{realm: realm, alice: realm.Agent(t, "alice")}
	for i := range p.reviewers {
		p.dirs[i] = filepath.Join(t.TempDir(), fmt.Sprint("state-", i))
		p.reviewers[i] = p.start(t, i)
	}
	return p
}

// start connects a process of a reviewer.
func (p *panel) start(t *testing.T, i int) *sdk.Agent {
	t.Helper()
	return p.realm.Agent(t, fmt.Sprint("reviewer-", i+1), sdktest.Of(i+1), sdktest.StateDir(p.dirs[i]))
}

func view(t *testing.T, by *sdk.Agent, d *sdk.Decision) ballot.View {
	t.Helper()
	v, err := by.Ballots().View(t.Context(), d.ID().String())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// logged returns how many commands are in the log.
func logged(t *testing.T, realm *sdktest.Realm) uint64 {
	t.Helper()
	s, err := realm.Operator(t, 0).Admin().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Size
}

// Voters hear at once of what opens, and when they may reveal: nobody waits for the next look.
func TestADecisionTakesNoLongerThanItsVotes(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		for _, r := range p.reviewers {
			err := r.OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) { return ballot.Approve(""), nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		settle()
		for range 5 {
			began := time.Now() // of the bubble's clock, which stands while anybody works
			wait(t, propose(t, p.alice, exec))
			if took := time.Since(began); took > 0 {
				t.Errorf("somebody waited %s", took)
			}
		}
	}, sdktest.Standard(3))
}

func TestSecretBallotsAreShownAfterTheEnd(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		v := view(t, p.alice, d)
		if !v.Secret || v.RevealsUntil.Sub(v.CommitsUntil) != time.Minute || v.CommitsUntil.Sub(v.Opened) != time.Minute {
			t.Fatalf("secret %t, from %s: %s, %s", v.Secret, v.Opened, v.CommitsUntil, v.RevealsUntil)
		}
		size := logged(t, realm)
		vote(t, p.reviewers[0], d, ballot.Approve("fine").Confident(900))
		settle()
		if now := logged(t, realm); now != size+1 {
			t.Errorf("a commitment, and a reveal that is too early, left %d commands in the log", now-size)
		}
		v = view(t, p.alice, d)
		for _, e := range v.Voters {
			if e.Committed != (e.ID == p.reviewers[0].ID()) || e.Voted {
				t.Errorf("%+v", e)
			}
		}
		if v.MayVote(p.reviewers[0].ID()) || !v.MayVote(p.reviewers[1].ID()) || len(v.Ballots) != 0 || v.State != "open" {
			t.Errorf("view %+v", v)
		}
		vote(t, realm.Operator(t, 1), d, ballot.Approve("from a person"))
		if v = view(t, p.alice, d); len(v.Ballots) != 0 {
			t.Errorf("ballots are shown while agents may still commit: %+v", v.Ballots)
		}
		vote(t, p.reviewers[1], d, ballot.Approve("looks right"))
		if c := wait(t, d); c.Ballots() < 2 {
			t.Errorf("%d ballots", c.Ballots())
		}
		v = view(t, p.alice, d)
		if len(v.Ballots) < 2 || v.Confidence < 800 || v.State != "approved" || !v.From.Before(v.Until) {
			t.Errorf("view %+v", v)
		}
		for _, r := range p.reviewers {
			if err := r.Ballots().Reveal(t.Context(), d.ID()); err != nil {
				t.Error(err)
			}
			wantNoContradiction(t, realm, r.ID(), 1)
		}
	}, sdktest.Standard(3))
}

// Who has revealed its ballot asks once whether the decision has ended, not for each ballot of the others, and then forgets it.
func TestWhoHasRevealedAsksOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		before := questions(realm, control.OpDecision)
		for _, voter := range []*sdk.Agent{p.reviewers[0], realm.Operator(t, 1), p.reviewers[1]} {
			vote(t, voter, d, ballot.Approve(""))
		}
		wait(t, d)
		time.Sleep(time.Second) // of the bubble's clock: less than until the next look
		settle()
		const voters = 3 // each has looked at the decision before its vote
		asked, kept := questions(realm, control.OpDecision)-before, keptBallots(t, p)
		if asked > voters+len(p.reviewers) || kept != 0 {
			t.Errorf("%d questions, and %d ballots are kept", asked, kept)
		}
	}, sdktest.Standard(3))
}

// keptBallots returns how many files the reviewers keep of their ballots.
func keptBallots(t *testing.T, p *panel) (kept int) {
	t.Helper()
	for _, dir := range p.dirs {
		list, err := filepath.Glob(filepath.Join(dir, "ballots", "*.sealed"))
		if err != nil {
			t.Fatal(err)
		}
		kept += len(list)
	}
	return kept
}

// questions returns how many control requests of a kind were put so far.
func questions(realm *sdktest.Realm, op control.Op) (asked int) {
	for _, p := range realm.Packets() {
		var r control.Request
		if wire.Decode(p.Data, &r) == nil && r.Op == op {
			asked++
		}
	}
	return asked
}

// A process that starts anew reveals what the one before has committed to, wherever that one died.
func TestARestartRevealsWhatWasCommittedTo(t *testing.T) {
	drops := func(lost func(sdktest.Packet) bool) func(sdktest.Packet) []sdktest.Packet {
		return func(p sdktest.Packet) []sdktest.Packet {
			if lost(p) {
				return nil
			}
			return []sdktest.Packet{p}
		}
	}
	for name, lost := range map[string]func(realm *sdktest.Realm, of sdk.ID) func(sdktest.Packet) bool{
		"before the commitment left": func(_ *sdktest.Realm, of sdk.ID) func(sdktest.Packet) bool {
			return func(p sdktest.Packet) bool {
				_, is := commanded(p, registry.TypeCommit)
				return is && p.From == of
			}
		},
		"before it was answered": func(realm *sdktest.Realm, of sdk.ID) func(sdktest.Packet) bool {
			var began atomic.Bool
			return func(p sdktest.Packet) bool {
				if _, is := commanded(p, registry.TypeCommit); is && p.From == of {
					began.Store(true)
				}
				return began.Load() && p.From == realm.Node()
			}
		},
		"before it was revealed": func(_ *sdktest.Realm, of sdk.ID) func(sdktest.Packet) bool {
			return func(p sdktest.Packet) bool {
				_, is := commanded(p, registry.TypeVote)
				return is && p.From == of
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				p := seated(t, realm)
				first := p.reviewers[0]
				d := propose(t, p.alice, exec)
				seen := view(t, first, d)
				realm.Intercept(drops(lost(realm, first.ID())))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := first.Ballots().Vote(ctx, seen, ballot.Approve("as I saw it"))
				t.Logf("the vote says: %v", err)
				if err := first.Close(ctx); err != nil {
					t.Log(err)
				}
				realm.Intercept(nil)

				p.start(t, 0)
				vote(t, p.reviewers[1], d, ballot.Approve("fine"))
				wait(t, d)
				v := view(t, p.alice, d)
				if !slices.ContainsFunc(v.Ballots, func(c ballot.Cast) bool { return c.Voter == first.ID() && c.Reason == "as I saw it" }) {
					t.Errorf("ballots %+v", v.Ballots)
				}
				wantNoContradiction(t, realm, first.ID(), 1)
			}, sdktest.Standard(3))
		})
	}
}

func TestAnAgentMayChangeItsMindUntilBallotsAreRevealed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		seen := view(t, p.reviewers[0], d)
		for _, v := range []ballot.Vote{ballot.Approve("at first"), ballot.Reject("on reflection")} {
			if state, err := p.reviewers[0].Ballots().Vote(t.Context(), seen, v); err != nil || state != consensus.Open {
				t.Fatalf("%s %v", state, err)
			}
		}
		vote(t, p.reviewers[1], d, ballot.Approve(""))
		if err := p.reviewers[0].Ballots().Reveal(t.Context(), d.ID()); err != nil {
			t.Fatal(err)
		}
		_, err := d.Wait(t.Context())
		wantErr(t, err, sdk.ErrRejected)
		v := view(t, p.alice, d)
		if !slices.ContainsFunc(v.Ballots, func(c ballot.Cast) bool { return c.Voter == p.reviewers[0].ID() && c.Reason == "on reflection" }) {
			t.Errorf("ballots %+v", v.Ballots)
		}
		wantNoContradiction(t, realm, p.reviewers[0].ID(), 2)
		_, err = p.reviewers[0].Ballots().Vote(t.Context(), seen, ballot.Approve("again"))
		wantCode(t, err, code.Spent)
	}, sdktest.Standard(3))
}

// Two processes that share no memory never sign two ballots of one sequence; one of their ballots counts.
func TestProcessesWithoutAStateDirDoNotContradictEachOther(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		one := realm.Agent(t, "reviewer", sdktest.Of(1))
		two := realm.Agent(t, "reviewer")
		other := realm.Agent(t, "other", sdktest.Of(2))
		d := propose(t, alice, exec)
		seen := view(t, one, d)
		if _, err := one.Ballots().Vote(t.Context(), seen, ballot.Approve("one")); err != nil {
			t.Fatal(err)
		}
		if seen := view(t, two, d); seen.MayVote(two.ID()) {
			t.Error("a process is asked for what another has committed to")
		}
		time.Sleep(2 * time.Second) // of the bubble's clock: sequences in memory are times
		if _, err := two.Ballots().Vote(t.Context(), seen, ballot.Approve("two")); err != nil {
			t.Fatal(err)
		}
		vote(t, other, d, ballot.Approve(""))
		wait(t, d)
		wantNoContradiction(t, realm, one.ID(), 2)
		if me, err := alice.Who(t.Context(), "reviewer"); err != nil || me.Status != "active" {
			t.Errorf("%+v %v", me, err)
		}
	}, sdktest.Standard(3))
}

func TestSilenceAfterACommitmentIsSilence(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		late := view(t, p.reviewers[1], d)
		vote(t, p.reviewers[0], d, ballot.Approve(""))
		if err := p.reviewers[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second) // of the bubble's clock
		_, err := p.reviewers[1].Ballots().Vote(t.Context(), late, ballot.Approve("late"))
		wantCode(t, err, code.Expired)
		wantCode(t, p.reviewers[1].Ballots().Reveal(t.Context(), d.ID()), code.Expired)
		vote(t, realm.Operator(t, 1), d, ballot.Approve(""))
		vote(t, realm.Operator(t, 2), d, ballot.Approve(""))
		if c := wait(t, d); c.Ballots() != 2 {
			t.Errorf("%d ballots", c.Ballots())
		}
		p.start(t, 0)
		settle()
		if v := view(t, p.alice, d); len(v.Ballots) != 2 {
			t.Errorf("ballots %+v", v.Ballots)
		}
	}, sdktest.Standard(3))
}

func TestWhoRecusesItselfSaysSoOpenly(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		err := p.reviewers[0].OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) {
			return ballot.Recuse("my operator sells it"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		d := propose(t, p.alice, exec)
		settle()
		v := view(t, p.alice, d)
		if i := slices.IndexFunc(v.Voters, func(e ballot.Voter) bool { return e.Voted }); i < 0 || v.Voters[i].ID != p.reviewers[0].ID() ||
			v.Voters[i].Committed {
			t.Errorf("voters %+v", v.Voters)
		}
		vote(t, p.reviewers[1], d, ballot.Approve(""))
		vote(t, realm.Operator(t, 1), d, ballot.Approve(""))
		wait(t, d)
		wantNoContradiction(t, realm, p.reviewers[0].ID(), 0)
	}, sdktest.Standard(3))
}

// A beneficiary, and whoever answers for it, has no vote.
func TestWhoGainsDoesNotVote(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		for _, gains := range [][]sdk.ID{nil, {p.reviewers[0].ID(), p.reviewers[0].ID()}} {
			d, err := p.alice.Propose(t.Context(), sdk.Proposal{Action: exec, Beneficiaries: gains})
			if err != nil {
				t.Fatal(err)
			}
			v := view(t, p.alice, d)
			if v.Votes(p.reviewers[0].ID()) != (gains == nil) || !v.Votes(p.reviewers[1].ID()) {
				t.Errorf("%d gain: voters %+v", len(gains), v.Voters)
			}
		}
	}, sdktest.Standard(3))
}

// An agent that cannot read what it has signed signs nothing more, and does everything else.
func TestAnAgentWithDamagedBallotsDoesNotVote(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		d := propose(t, p.alice, exec)
		vote(t, p.reviewers[0], d, ballot.Approve(""))
		if err := p.reviewers[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(p.dirs[0], "ballots", d.ID().String()+".sealed")
		if err := os.WriteFile(path, []byte("noise"), 0o600); err != nil {
			t.Fatal(err)
		}
		again, other := p.start(t, 0), propose(t, p.alice, exec)
		handle(t, again, "text.upper", upper)
		for _, d := range []*sdk.Decision{d, other} {
			_, err := again.Ballots().Vote(t.Context(), view(t, again, d), ballot.Approve(""))
			wantCode(t, err, "malformed")
		}
		wantNoContradiction(t, realm, again.ID(), 1)
	}, sdktest.Standard(3))
}

// Two machines of one agent, and a disk that was put back, never sign two ballots of one sequence: anybody could show those
// as a contradiction, and have the agent quarantined.
func TestTwoMachinesOfAVoterDoNotContradictEachOther(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p := seated(t, realm)
		first := p.reviewers[0]
		p.dirs[0] = filepath.Join(t.TempDir(), "another machine")
		second := p.start(t, 0)
		d := propose(t, p.alice, exec)
		seen := view(t, first, d)
		for _, by := range []*sdk.Agent{first, second} {
			if _, err := by.Ballots().Vote(t.Context(), seen, ballot.Approve("")); err != nil {
				t.Log(err) // a later one may be above it already
			}
			time.Sleep(time.Second) // of the bubble's clock
		}
		wantNoContradiction(t, realm, first.ID(), 2)
		vote(t, p.reviewers[1], d, ballot.Approve(""))
		if c := wait(t, d); c.Ballots() != 2 {
			t.Errorf("%d ballots", c.Ballots())
		}
	}, sdktest.Standard(3))
}
