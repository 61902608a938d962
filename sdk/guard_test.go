package sdk_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/memlog"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// runs counts how often an action was done.
type runs struct{ list[string] }

func (r *runs) act(context.Context) error {
	r.add("done")
	return nil
}

func (r *runs) want(t *testing.T, n int) {
	t.Helper()
	if got := len(r.all()); got != n {
		t.Fatalf("run %d times, want %d", got, n)
	}
}

// wantState checks where the registry says that a decision is.
func wantState(t *testing.T, a *sdk.Agent, id sdk.Digest, want string) {
	t.Helper()
	v, err := a.Ballots().View(t.Context(), id.String())
	if err != nil || v.State != want {
		t.Fatalf("state %q %v, want %q", v.State, err, want)
	}
}

func TestExecuteRunsOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, payment)
		vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
		var r runs
		wantCode(t, alice.Execute(t.Context(), d, exec, r.act), "misaddressed")
		r.want(t, 0)
		if err := alice.Execute(t.Context(), d, payment, r.act); err != nil {
			t.Fatal(err)
		}
		wantState(t, alice, d.ID(), "executed")
		for range 2 {
			wantErr(t, alice.Execute(t.Context(), d, payment, r.act), sdk.ErrSpent)
		}
		r.want(t, 1)
	})
}

func TestExecuteReturnsTheActionsError(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, write)
		failure := errors.New(strings.Repeat("disk full ü", 100))
		err := alice.Execute(t.Context(), d, write, func(context.Context) error { return failure })
		wantErr(t, err, failure)
		wantState(t, alice, d.ID(), "failed")
		wantErr(t, alice.Execute(t.Context(), d, write, func(context.Context) error { return nil }), sdk.ErrSpent)
		wantState(t, alice, d.ID(), "failed")
	})
}

func TestExecuteAtOnceRunsOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, write)
		var r runs
		var failures list[code.Code]
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				err := alice.Execute(t.Context(), d, write, func(ctx context.Context) error {
					time.Sleep(time.Minute) // of the bubble's clock: the others come meanwhile
					return r.act(ctx)
				})
				if err != nil {
					failures.add(sdk.CodeOf(err))
				}
			})
		}
		group.Wait()
		r.want(t, 1)
		if got := slices.Compact(failures.all()); !slices.Equal(got, []code.Code{"conflict"}) {
			t.Errorf("failures %q", got)
		}
		wantState(t, alice, d.ID(), "executed")
	})
}

func TestExecuteAfterItsWindow(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		early, late := propose(t, alice, write), propose(t, alice, write)
		var r runs
		if err := alice.Execute(t.Context(), early, write, r.act); err != nil {
			t.Fatal(err)
		}
		wait(t, late)
		time.Sleep(time.Hour) // of the bubble's clock
		wantCode(t, alice.Execute(t.Context(), late, write, r.act), code.Expired)
		r.want(t, 1)
	})
}

func TestExecuteOfARejectedDecision(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		d := propose(t, alice, payment)
		vote(t, realm.Operator(t, 0), d, ballot.Reject("no"))
		var r runs
		wantErr(t, alice.Execute(t.Context(), d, payment, r.act), sdk.ErrRejected)
		r.want(t, 0)
	})
}

func TestOnlyTheProposerAndItsStoreExecute(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, mallory := realm.Agent(t, "alice"), realm.Agent(t, "mallory")
		d := propose(t, alice, payment)
		vote(t, realm.Operator(t, 0), d, ballot.Approve(""))
		var r runs
		for _, a := range []*sdk.Agent{mallory, realm.Agent(t, "alice")} { // another agent, another store
			theirs, err := a.Decision(t.Context(), d.ID())
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, a.Execute(t.Context(), theirs, payment, r.act), "misaddressed")
		}
		r.want(t, 0)
		if err := alice.Execute(t.Context(), d, payment, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 1)
	})
}

func TestGuardRunsItsHandlerWithACertificateOnly(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob, person := realm.Agent(t, "alice"), realm.Agent(t, "bob"), realm.Operator(t, 0)
		var r runs
		spec := sdk.GuardSpec[ask]{
			Action: func(r *sdk.Request[ask]) (sdk.Action, error) {
				if r.Data.Text == "" {
					return sdk.Action{}, sdk.Errorf(code.InvalidInput, "nothing to pay")
				}
				return sdk.NewAction("payments.send", r.Data.Text, nil), nil
			},
			Reason:  func(r *sdk.Request[ask]) string { return "asked by " + r.From.Name },
			Timeout: 10 * time.Second,
		}
		handle(t, bob, "pay", sdk.Guard(bob, spec, func(ctx context.Context, q *sdk.Request[ask]) (answer, error) {
			_ = r.act(ctx) // never fails
			return answer{"paid " + q.Data.Text}, nil
		}))
		err := person.OnBallot(func(_ context.Context, v ballot.View) (ballot.Vote, error) {
			if v.Reason != "asked by alice" {
				t.Errorf("reason %q", v.Reason)
			}
			switch v.Action.Target {
			case "acme":
				return ballot.Approve(""), nil
			case "silence":
				return ballot.Vote{}, errors.New("no opinion")
			}
			return ballot.Reject("who is that"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pay := func(to string) (string, error) {
			out, err := sdk.Call[answer](t.Context(), alice, sdk.Any("pay"), ask{Text: to})
			return out.Text, err
		}
		if text, err := pay("acme"); err != nil || text != "paid acme" {
			t.Fatalf("%q %v", text, err)
		}
		r.want(t, 1)
		for to, want := range map[string]code.Code{
			"mallory": code.Rejected, "silence": code.Rejected, "": code.InvalidInput,
		} {
			if _, err := pay(to); sdk.CodeOf(err) != want {
				t.Errorf("%q: %v has code %q, want %q", to, err, sdk.CodeOf(err), want)
			}
		}
		r.want(t, 1)
		if text, err := pay("acme"); err != nil || text != "paid acme" { // another request: another decision
			t.Fatalf("%q %v", text, err)
		}
		r.want(t, 2)
		open := sdk.Guard(bob, sdk.GuardSpec[ask]{}, upper)
		_, err = open(t.Context(), &sdk.Request[ask]{})
		wantCode(t, err, "usage")
	})
}

// crash leaves a spent store as a process that died at a point of executing the decision does.
func crash(t *testing.T, dir string, id sdk.Digest, at spent.State) {
	t.Helper()
	s, err := spent.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	u := spent.Use{Decision: id}
	steps := []func() error{
		func() error { return s.Claim(u, nil) }, func() error { return s.Start(u, 0) }, func() error { return s.Finish(u, true, "") },
	}
	for _, step := range steps[:at] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExecuteResumesAfterACrash(t *testing.T) {
	for _, c := range []struct {
		name     string
		at       spent.State
		consumed bool // the registry knows of the consumption
		runs     int
		code     code.Code
		state    string
	}{
		{"before anything", 0, false, 1, "", "executed"},
		{"claimed, not handed in", spent.Claimed, false, 1, "", "executed"},
		{"claimed and consumed", spent.Claimed, true, 1, "", "executed"},
		{"started", spent.Started, true, 0, code.Uncertain, "uncertain"},
		{"finished, not reported", spent.Finished, true, 0, code.Spent, "executed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				dir := filepath.Join(t.TempDir(), "spent")
				alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
				d := propose(t, alice, write)
				wait(t, d)
				if c.consumed {
					consumeByHand(t, realm, dir, d.ID(), alice)
				} else if err := alice.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				crash(t, dir, d.ID(), c.at)

				again := realm.Agent(t, "alice", sdktest.StateDir(dir))
				picked, err := again.Decision(t.Context(), d.ID())
				if err != nil {
					t.Fatal(err)
				}
				var r runs
				for i, want := range []code.Code{c.code, max(c.code, code.Spent)} {
					if err := again.Execute(t.Context(), picked, write, r.act); sdk.CodeOf(err) != want {
						t.Errorf("attempt %d: %v has code %q, want %q", i, err, sdk.CodeOf(err), want)
					}
				}
				r.want(t, c.runs)
				wantState(t, again, d.ID(), c.state)
			})
		})
	}
}

// consumeByHand closes the agent and consumes its decision in the registry, as it would have.
func consumeByHand(t *testing.T, realm *sdktest.Realm, dir string, id sdk.Digest, a *sdk.Agent) {
	t.Helper()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := spent.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	store := s.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	signer := realm.Profile(t, "alice").Signer
	c, err := registry.New(signer.ID(), registry.TypeConsume, registry.Consume{Proposal: id, Store: store}, [16]byte{1}, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signer.Cosign(realm.ID(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := realm.Operator(t, 0).Admin().Submit(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
}

func TestAnUncertainLogNeitherLosesNorDoubles(t *testing.T) {
	for name, fault := range map[string]memlog.Fault{
		"applied": memlog.UncertainApplied, "lost": memlog.UncertainLost, "no leader": memlog.NotLeader,
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				alice := realm.Agent(t, "alice")
				var r runs
				realm.FailNext(fault)
				d := propose(t, alice, write)
				wait(t, d)
				realm.FailNext(fault, fault) // the consumption, twice
				if err := alice.Execute(t.Context(), d, write, r.act); err != nil {
					t.Fatal(err)
				}
				wantErr(t, alice.Execute(t.Context(), d, write, r.act), sdk.ErrSpent)
				r.want(t, 1)
				list, err := alice.Ballots().List(t.Context())
				if err != nil || len(list) != 1 || list[0].State != "executed" {
					t.Errorf("%+v %v", list, err)
				}

				reported := propose(t, alice, write)
				err = alice.Execute(t.Context(), reported, write, func(ctx context.Context) error {
					realm.FailNext(fault) // the report
					return r.act(ctx)
				})
				if err != nil {
					t.Fatal(err)
				}
				r.want(t, 2)
				wantState(t, alice, reported.ID(), "executed")

				realm.FailNext(fault)
				if err := sdk.Handle(alice, "text.upper", upper); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A node that loses every answer cannot make an action run twice, nor keep it from running once.
func TestALostConsumptionIsFoundAgain(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		dir := filepath.Join(t.TempDir(), "spent")
		alice := realm.Agent(t, "alice", sdktest.StateDir(dir))
		d := propose(t, alice, write)
		wait(t, d)
		rewriteNone := func(p sdktest.Packet) []sdktest.Packet {
			var reply control.Reply
			var out control.Submitted
			if p.From == realm.Node() && wire.Decode(p.Data, &reply) == nil && wire.Decode(reply.Body, &out) == nil && out.Receipt != nil {
				return nil
			}
			return []sdktest.Packet{p}
		}
		realm.Intercept(rewriteNone)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var r runs
		if err := alice.Execute(ctx, d, write, r.act); err == nil {
			t.Fatal("executed without an answer")
		}
		r.want(t, 0)
		if err := alice.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		realm.Intercept(nil)
		again := realm.Agent(t, "alice", sdktest.StateDir(dir))
		picked, err := again.Decision(t.Context(), d.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Execute(t.Context(), picked, write, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 1)
	})
}

func TestAForgedReceiptIsNoPermission(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		var r runs
		honest := propose(t, alice, write)
		var old control.Submitted
		rewrite(realm, func(s *control.Submitted) bool {
			if s.Receipt != nil {
				old = *s
			}
			return false
		})
		if err := alice.Execute(t.Context(), honest, write, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 1)
		for name, change := range map[string]func(s *control.Submitted){
			"none":                  func(s *control.Submitted) { s.Receipt = nil },
			"of another decision":   func(s *control.Submitted) { *s = old },
			"proof of another":      func(s *control.Submitted) { s.Receipt = old.Receipt },
			"under a forged head":   func(s *control.Submitted) { s.Receipt.Head[len(s.Receipt.Head)-1] ^= 1 },
			"at another place":      func(s *control.Submitted) { s.Receipt.Inclusion.Leaf.Index-- },
			"of a refusal":          func(s *control.Submitted) { s.Receipt.Inclusion.Leaf.Verdict = "denied" },
			"for a result made up":  func(s *control.Submitted) { s.Answer.Result = madeUp(t, s.Answer) },
			"a result that is none": func(s *control.Submitted) { s.Answer.Result = []byte{0xff} },
			"not the first":         func(s *control.Submitted) { s.Answer.Result = old.Answer.Result },
		} {
			d := propose(t, alice, write)
			wait(t, d)
			rewrite(realm, func(s *control.Submitted) bool {
				if s.Receipt == nil {
					return false
				}
				change(s)
				return true
			})
			if err := alice.Execute(t.Context(), d, write, r.act); err == nil {
				t.Errorf("%s passed", name)
			}
			r.want(t, 1)
			realm.Intercept(nil)
			if err := alice.Execute(t.Context(), d, write, r.act); err != nil {
				t.Errorf("%s, then the true one: %v", name, err)
			}
			r.want(t, 2)
			r.reset()
		}
	})
}

func (r *runs) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = r.items[:1]
}

// madeUp returns an answer's consumption with another time in it.
func madeUp(t *testing.T, a registry.Answer) []byte {
	c, err := registry.Result[consensus.Consumption](a)
	if err != nil {
		t.Error(err)
	}
	c.At++
	raw, err := wire.Encode(c)
	if err != nil {
		t.Error(err)
	}
	return raw
}

func TestACertificateOfAnotherDecisionIsNoPermission(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		approved, open := propose(t, alice, write), propose(t, alice, payment)
		var given control.Certificate
		rewrite(realm, func(c *control.Certificate) bool {
			if len(c.Certificate) > 0 {
				given = *c
			}
			return false
		})
		wait(t, approved)
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			var reply control.Reply
			if p.From == realm.Node() && wire.Decode(p.Data, &reply) == nil && reply.Code == code.Pending {
				body, _ := wire.Encode(given)                      // it was decoded from such
				p.Data, _ = wire.Encode(control.Reply{Body: body}) // bytes only
			}
			return []sdktest.Packet{p}
		})
		_, err := open.Wait(t.Context())
		wantCode(t, err, "misaddressed")
		var r runs
		wantCode(t, alice.Execute(t.Context(), open, payment, r.act), "misaddressed")
		r.want(t, 0)
	})
}

func TestAQuarantinedAgentExecutesNothing(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		var r runs
		if err := alice.Execute(t.Context(), propose(t, alice, write), write, r.act); err != nil {
			t.Fatal(err)
		}
		d := propose(t, alice, write)
		wait(t, d)
		realm.Quarantine(t, "alice")
		if err := alice.Execute(t.Context(), d, write, r.act); !errors.Is(err, bus.ErrDenied) && sdk.CodeOf(err) != code.Denied &&
			sdk.CodeOf(err) != code.Unreachable {
			t.Errorf("%v", err)
		}
		r.want(t, 1)
	})
}
