package sdk_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// misaddressed is the code for a certificate that is another executor's, or another store's.
const misaddressed = code.Code("misaddressed")

// A copy of an agent's whole directory, made before the action, does not run it a second time: not where it is known for a
// copy, and not where it is none to the file system, as on a disk that was copied.
func TestACopiedStoreRunsNothingAgain(t *testing.T) {
	for name, c := range map[string]struct {
		copied func(t *testing.T, dir string) string
		want   code.Code
	}{"files": {copyOf, misaddressed}, "a disk": {diskOf, code.Spent}} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				dir := filepath.Join(t.TempDir(), "spent")
				alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
				d := propose(t, alice, write)
				wait(t, d)
				clone := c.copied(t, dir)
				var r runs
				if err := alice.Execute(t.Context(), d, write, r.act); err != nil {
					t.Fatal(err)
				}
				r.want(t, 1)
				copied := realm.Agent(t, "alice", sdktest.StateDir(clone))
				for range 2 {
					picked, err := copied.Decision(t.Context(), d.ID())
					if err != nil {
						t.Fatal(err)
					}
					wantCode(t, copied.Execute(t.Context(), picked, write, r.act), c.want)
				}
				r.want(t, 1)
				wantState(t, alice, d.ID(), "executed") // as the one that ran it said
			})
		})
	}
}

// A copy that runs first, instead of the store that was allowed to, runs nothing, and a proposal of its own it carries out.
func TestACopyIsAnotherStore(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		dir := filepath.Join(t.TempDir(), "spent")
		alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
		d, permit := propose(t, alice, write), permitted(t, realm, alice, 2)
		wait(t, d)
		wait(t, permit)
		copied := realm.Agent(t, "alice", sdktest.StateDir(copyOf(t, dir)))
		u := sdk.Use{Action: deploy("staging-1", "v1.0"), Key: "one"}
		var r runs
		for _, by := range []*sdk.Agent{copied, alice} {
			want := code.Code("")
			if by == copied {
				want = misaddressed
			}
			single, err := by.Decision(t.Context(), d.ID())
			if err != nil {
				t.Fatal(err)
			}
			often, err := by.Decision(t.Context(), permit.ID())
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, by.Execute(t.Context(), single, write, r.act), want)
			wantCode(t, by.ExecuteUse(t.Context(), often, u, r.act), want)
		}
		r.want(t, 2)
		if v := view(t, alice, permit); v.Used != 1 {
			t.Errorf("%d uses are counted", v.Used)
		}
		if err := copied.Execute(t.Context(), propose(t, copied, write), write, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 3)
	})
}

// One decision that cannot be shown does not keep voters from the others.
func TestOneBadDecisionDoesNotHideTheOthers(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, person := realm.Agent(t, "alice"), realm.Operator(t, 0)
		bad, good := propose(t, alice, payment), propose(t, alice, exec)
		if views, err := person.Ballots().Waiting(t.Context()); err != nil || len(views) != 2 {
			t.Fatalf("%d %v", len(views), err)
		}
		rewrite(realm, func(v *control.DecisionView) bool {
			if v.ID != bad.ID() {
				return false
			}
			v.Principal = control.Principal{}
			return true
		})
		views, err := person.Ballots().Waiting(t.Context())
		if err != nil || len(views) != 1 || views[0].ID != good.ID() {
			t.Errorf("%d %v", len(views), err)
		}
	})
}

// An agent that changes its key has no card until it signs one by the new key, and can be seen meanwhile.
func TestAnAgentWithANewKeyIsStillSeen(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		mallory, person := realm.Agent(t, "mallory"), realm.Operator(t, 0)
		handle(t, mallory, "text.upper", upper)
		propose(t, mallory, exec)
		next, err := wire.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := wire.Cosign(realm.ID(), identity.Succession{
			Version: 1, Principal: mallory.ID(), Number: 1, Old: mallory.ID().Key(), New: next.Public(),
			Issued: time.Now().UnixMilli(),
		}, realm.Profile(t, "mallory").Signer.Key(), next)
		if err != nil {
			t.Fatal(err)
		}
		command, err := mallory.Admin().Prepare(registry.TypeSucceed, registry.Succeed{Succession: raw}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := person.Admin().Submit(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		if _, err := person.Who(t.Context(), "mallory"); err != nil {
			t.Error(err)
		}
		if views, err := person.Ballots().Waiting(t.Context()); err != nil || len(views) != 1 {
			t.Errorf("%d %v", len(views), err)
		}
	})
}

// What is not verified yet costs the receiver a bounded number of questions, however much of it there is.
func TestStrangersDoNotSpendTheReceiversRate(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, mallory := realm.Agent(t, "bob"), realm.Agent(t, "mallory")
		handle(t, bob, "text.upper", upper)
		asked := func() (n int) {
			settle()
			for _, p := range realm.Packets() {
				if p.From == bob.ID() {
					n++
				}
			}
			return n
		}
		before := asked()
		subject := bus.In(realm.ID()).Request(bob.ID(), bus.TokenOf(bob.Self().Process), mallory.ID())
		for range 100 {
			ghost := newProcess(t, realm, realm.Profile(t, "mallory").Signer) // that never connected
			now := time.Now().UnixMilli()
			signed, err := envelope.Seal(ghost, envelope.Draft{
				To: envelope.ToProcess(bob.ID(), bob.Self().Process), Purpose: envelope.Request, Subject: subject, Counter: 1,
				Issued: now, Expires: now + 60_000, Content: []byte("boo"),
				Protection: envelope.SealedTo(ghost.SealingKey()),
			}, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			realm.Inject(t, sdktest.Packet{Subject: subject, Data: signed.Raw})
		}
		if n := asked() - before; n == 0 || n > bus.MaxProcesses {
			t.Errorf("100 envelopes of strangers made the receiver ask %d times", n)
		}
		mustCall(t, realm.Agent(t, "carol"), sdk.Any("text.upper")) // others are heard meanwhile
		time.Sleep(11 * time.Second)                                // of the bubble's clock
		mustCall(t, mallory, sdk.Any("text.upper"))                 // and the same one, honest again, later
	})
}

// A key whose enrolment was handed in and not answered is not thrown away.
func TestAKeyThatMayBeEnrolledIsKept(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		answers := func(p sdktest.Packet) bool { return p.From == realm.Node() }
		submissions := func(p sdktest.Packet) bool {
			var reply control.Reply
			var out control.Submitted
			return answers(p) && wire.Decode(p.Data, &reply) == nil && wire.Decode(reply.Body, &out) == nil
		}
		enrol := func(name string, lost func(sdktest.Packet) bool) (path string, err error) {
			t.Helper()
			text := realm.Invite(t, name)
			path = filepath.Join(t.TempDir(), name+".key")
			realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
				if lost(p) {
					return nil
				}
				return []sdktest.Packet{p}
			})
			defer realm.Intercept(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, _, err = sdk.Enrol(ctx, text, sdk.KeepKey(path), sdk.Over(realm.Transport()))
			return path, err
		}
		nothing := func(sdktest.Packet) bool { return false }
		for _, c := range []struct {
			name string
			lost func(sdktest.Packet) bool
			code code.Code
			kept bool
		}{
			{"answered", nothing, "", true},
			{"unanswered", submissions, code.Uncertain, true},
			{"never-handed-in", answers, code.Uncertain, false},
			{"answered", nothing, "conflict", false}, // the name is taken
		} {
			path, err := enrol(c.name, c.lost)
			if sdk.CodeOf(err) != c.code {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.code)
			}
			if _, err := os.Stat(path); (err == nil) != c.kept {
				t.Errorf("%s: the key file: %v", c.name, err)
			}
		}
		if _, err := realm.Operator(t, 0).Who(t.Context(), "unanswered"); err != nil {
			t.Errorf("its enrolment took effect: %v", err)
		}
	})
}

// An agent that is started anew many times, as by a shell, is heard each time, by who runs all along.
func TestAnAgentMayBeRestartedOften(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		handle(t, realm.Agent(t, "bob"), "text.upper", upper)
		realm.Agent(t, "alice")
		for range 3 * bus.MaxProcesses {
			a, err := sdk.Connect(t.Context(), sdk.WithProfile(realm.Profile(t, "alice")), sdk.Over(realm.Transport()))
			if err != nil {
				t.Fatal(err)
			}
			mustCall(t, a, sdk.Any("text.upper"))
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // of the bubble's clock: until its presence has ended
		}
	})
}
