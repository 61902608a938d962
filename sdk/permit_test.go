package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// deploy returns one of the actions that the permits of these tests are for.
func deploy(target, version string) sdk.Action {
	return sdk.NewAction("process.exec", target, map[string][]string{"what": {"deploy"}, "version": {version}})
}

// permitted proposes a permit for deployments and has a person approve it.
func permitted(t *testing.T, realm *sdktest.Realm, a *sdk.Agent, uses uint64) *sdk.Decision {
	t.Helper()
	d, err := a.Propose(t.Context(), sdk.Proposal{
		Action: sdk.NewAction("process.exec", "staging-1", map[string][]string{"what": {"deploy"}}),
		Permit: &sdk.Permit{
			Uses: uses, Until: time.Now().Add(time.Hour), Open: map[string][]string{"version": {"v2.*", "v1.*"}}, Targets: []string{"staging-*"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
	return d
}

func TestAPermitIsUsedAsOftenAsItSays(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := permitted(t, realm, alice, 3)
		var r runs
		use := func(target, version, key string) error {
			return alice.ExecuteUse(t.Context(), d, sdk.Use{Action: deploy(target, version), Key: key}, r.act)
		}
		if err := use("staging-1", "v1.0", ""); err != nil {
			t.Fatal(err)
		}
		if err := use("staging-2", "v2.7", "release 7"); err != nil {
			t.Fatal(err)
		}
		r.want(t, 2)
		wantErr(t, use("staging-2", "v2.7", "release 7"), sdk.ErrSpent)
		for name, a := range map[string]sdk.Action{
			"another target":      deploy("production", "v1.0"),
			"another version":     deploy("staging-1", "v3.0"),
			"another kind":        payment,
			"a parameter more":    sdk.NewAction("process.exec", "staging-1", map[string][]string{"what": {"deploy"}, "force": {"yes"}}),
			"a fixed one differs": sdk.NewAction("process.exec", "staging-1", map[string][]string{"what": {"destroy"}}),
		} {
			if err := alice.ExecuteUse(t.Context(), d, sdk.Use{Action: a}, r.act); sdk.CodeOf(err) != "misaddressed" {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantCode(t, alice.Execute(t.Context(), d, deploy("staging-1", "v1.0"), r.act), "usage")
		wantState(t, alice, d.ID(), "approved")
		failure := errors.New("no space")
		err := alice.ExecuteUse(t.Context(), d, sdk.Use{Action: deploy("staging-1", "v1.2")}, func(context.Context) error { return failure })
		wantErr(t, err, failure)
		wantCode(t, use("staging-1", "v1.0", ""), code.Spent)
		r.want(t, 2)
		v := view(t, alice, d)
		if v.State != "consumed" || v.Used != 3 || len(v.Uses) != 3 || v.Uses[0].State != "executed" || v.Uses[2].State != "failed" ||
			v.Uses[2].Number != 3 || v.Uses[1].Action != deploy("staging-2", "v2.7").Digest() {
			t.Errorf("view %+v", v)
		}
		wantCode(t, alice.ExecuteUse(t.Context(), propose(t, alice, write), sdk.Use{Action: write}, r.act), "usage")
	})
}

// Whatever a process of the executor died at, a use is done once, or never, and its key is one use.
func TestAUseResumesAfterACrash(t *testing.T) {
	lose := func(realm *sdktest.Realm, lost func(p sdktest.Packet) bool) {
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if lost(p) {
				return nil
			}
			return []sdktest.Packet{p}
		})
	}
	for _, c := range []struct {
		name string
		dies func(realm *sdktest.Realm)
		used uint64
	}{
		{"before the count was asked for", func(realm *sdktest.Realm) {
			lose(realm, func(p sdktest.Packet) bool { _, is := commanded(p, registry.TypeConsume); return is })
		}, 1},
		{"before it was answered", func(realm *sdktest.Realm) {
			lose(realm, func(p sdktest.Packet) bool {
				var reply control.Reply
				var out control.Submitted
				return p.From == realm.Node() && wire.Decode(p.Data, &reply) == nil && wire.Decode(reply.Body, &out) == nil && out.Receipt != nil
			})
		}, 1},
	} {
		for _, after := range []time.Duration{0, 20 * time.Minute} { // the command is good for 10
			t.Run(fmt.Sprint(c.name, ", resumed after ", after), func(t *testing.T) {
				in(t, func(t *testing.T, realm *sdktest.Realm) {
					dir := filepath.Join(t.TempDir(), "spent")
					alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
					d := permitted(t, realm, alice, 2)
					wait(t, d)
					var r runs
					u := sdk.Use{Action: deploy("staging-1", "v1.0"), Key: "one"}
					c.dies(realm)
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					if err := alice.ExecuteUse(ctx, d, u, r.act); err == nil {
						t.Fatal("used without an answer")
					}
					r.want(t, 0)
					if err := alice.Close(ctx); err != nil {
						t.Log(err)
					}
					realm.Intercept(nil)
					time.Sleep(after) // of the bubble's clock

					again := realm.Agent(t, "alice", sdktest.StateDir(dir))
					picked, err := again.Decision(t.Context(), d.ID())
					if err != nil {
						t.Fatal(err)
					}
					wantCode(t, again.ExecuteUse(t.Context(), picked, sdk.Use{Action: deploy("staging-2", "v1.0"), Key: "one"}, r.act), "conflict")
					if err := again.ExecuteUse(t.Context(), picked, u, r.act); err != nil {
						t.Fatal(err)
					}
					wantErr(t, again.ExecuteUse(t.Context(), picked, u, r.act), sdk.ErrSpent)
					r.want(t, 1)
					if v := view(t, again, picked); v.Used != c.used || v.Uses[0].State != "executed" {
						t.Errorf("%d uses: %+v", v.Used, v.Uses)
					}
				})
			})
		}
	}
}

// A use whose process died while it acted is uncertain, is said to be, and is never run again.
func TestAUseThatWasBegunIsNotRunAgain(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		dir := filepath.Join(t.TempDir(), "spent")
		alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
		d := permitted(t, realm, alice, 2)
		u := sdk.Use{Action: deploy("staging-1", "v1.0"), Key: "one"}
		began, die := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- alice.ExecuteUse(t.Context(), d, u, func(context.Context) error { close(began); <-die; return nil })
		}()
		<-began
		copied := diskOf(t, dir) // what the disk would hold after a kill
		close(die)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := alice.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := realm.Agent(t, "alice", sdktest.StateDir(copied))
		picked, err := again.Decision(t.Context(), d.ID())
		if err != nil {
			t.Fatal(err)
		}
		var r runs
		err = again.ExecuteUse(t.Context(), picked, u, r.act)
		if sdk.CodeOf(err) != code.Uncertain && sdk.CodeOf(err) != code.Spent {
			t.Errorf("%v", err)
		}
		r.want(t, 0)
	})
}

// birthFile is where a spent store notes when its name was written.
const birthFile = "store.birth"

// copyOf copies the files of a state directory as they are now.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := copyDir(dir, to); err != nil {
		t.Fatal(err)
	}
	if born, err := os.ReadFile(filepath.Join(to, birthFile)); err == nil && len(bytes.Trim(born, "\x00")) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
		}
		t.Skip("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
	}
	return to
}

// diskOf is what a copy of the disk holds of a state directory now: one that the file system does not know for a copy.
func diskOf(t *testing.T, dir string) string {
	t.Helper()
	to := copyOf(t, dir)
	if err := os.Remove(filepath.Join(to, birthFile)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A node that proves one count twice lets nobody act twice by it.
func TestOneCountDoesNotServeTwoUses(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := permitted(t, realm, alice, 5)
		var r runs
		var first control.Submitted
		rewrite(realm, func(s *control.Submitted) bool {
			if s.Receipt != nil {
				first = *s
			}
			return false
		})
		u := sdk.Use{Action: deploy("staging-1", "v1.0")}
		if err := alice.ExecuteUse(t.Context(), d, u, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 1)
		rewrite(realm, func(s *control.Submitted) bool {
			if s.Receipt == nil {
				return false
			}
			*s = first
			return true
		})
		wantCode(t, alice.ExecuteUse(t.Context(), d, u, r.act), "misaddressed")
		r.want(t, 1)
		realm.Intercept(nil)
		if err := alice.ExecuteUse(t.Context(), d, u, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 2)
	})
}

// A copy of the store that nobody can tell from it counts on, and never acts by what the other has counted.
func TestACopiedStoreDoesNotUseTwice(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		dir := filepath.Join(t.TempDir(), "spent")
		alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
		d := permitted(t, realm, alice, 2)
		wait(t, d)
		copied := diskOf(t, dir)
		var r runs
		u := sdk.Use{Action: deploy("staging-1", "v1.0")}
		if err := alice.ExecuteUse(t.Context(), d, u, r.act); err != nil {
			t.Fatal(err)
		}
		other := realm.Agent(t, "alice", sdktest.StateDir(copied))
		picked, err := other.Decision(t.Context(), d.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.ExecuteUse(t.Context(), picked, u, r.act); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{other.ExecuteUse(t.Context(), picked, u, r.act), alice.ExecuteUse(t.Context(), d, u, r.act)} {
			wantCode(t, err, code.Spent)
		}
		r.want(t, 2)
	})
}

func TestAnActionWaitsForItsTime(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		from := time.Now().Add(time.Hour)
		d, err := alice.Propose(t.Context(), sdk.Proposal{Action: write, NotBefore: from})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var r runs
		wantCode(t, alice.Execute(ctx, d, write, r.act), code.Pending)
		r.want(t, 0)
		if err := alice.Execute(t.Context(), d, write, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 1)
		if late := time.Since(from); late < 0 || late > 5*time.Minute {
			t.Errorf("done %s after its time", late)
		}
	})
}
