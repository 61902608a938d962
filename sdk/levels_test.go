package sdk_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Calls go to those only whose level is high enough, and say so where nobody's is.
func TestCallsOfALeastLevel(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		low := realm.Agent(t, "low", sdktest.Level(identity.Apprentice))
		high := realm.Agent(t, "high", sdktest.Level(identity.Principal))
		for name, a := range map[string]*sdk.Agent{"low": low, "high": high} {
			handle(t, a, "text.who", func(context.Context, *sdk.Request[ask]) (answer, error) { return answer{name}, nil })
		}
		settle()
		who := sdk.Any("text.who")
		seen := map[string]int{}
		for range 8 {
			seen[mustCall(t, alice, who)]++
		}
		if seen["low"] == 0 || seen["high"] == 0 {
			t.Fatalf("without a least level: %v", seen)
		}
		for range 8 {
			if got := mustCall(t, alice, who.MinLevel(identity.Journeyer)); got != "high" {
				t.Fatalf("%s was chosen", got)
			}
		}
		if got := mustCall(t, alice, sdk.To("low", "text.who").MinLevel(identity.Apprentice)); got != "low" {
			t.Errorf("%q", got)
		}
		for _, to := range []sdk.Target{who.MinLevel(identity.Steward), sdk.To("low", "text.who").MinLevel(identity.Journeyer)} {
			_, err := call(t, alice, to)
			wantErr(t, err, sdk.ErrNoResponder)
			if !strings.Contains(err.Error(), "below") || fault.HintOf(err) == "" {
				t.Errorf("%s: %v", to, err)
			}
		}
		_, err := call(t, alice, sdk.Any("text.nobody").MinLevel(identity.Journeyer))
		wantErr(t, err, sdk.ErrNoResponder)
		if strings.Contains(err.Error(), "below") {
			t.Errorf("nobody serves it: %v", err)
		}
		realm.SetLevel(t, "high", identity.Apprentice)
		settle()
		_, err = call(t, alice, who.MinLevel(identity.Journeyer))
		wantCode(t, err, code.NoResponder)
		mustCall(t, alice, who)
	})
}

// An agent hears how its own level changes, and why.
func TestAnAgentHearsOfItsLevel(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		var heard list[standing.Change]
		if err := w.bob.Standing().OnLevelChange(heard.add); err != nil {
			t.Fatal(err)
		}
		w.realm.SetLevel(t, "alice", identity.Apprentice)
		if got := heard.all(); len(got) != 0 {
			t.Fatalf("of another agent: %+v", got)
		}
		w.realm.SetLevel(t, "bob", identity.Principal)
		if got := heard.all(); len(got) != 1 || got[0].From != identity.Journeyer || got[0].To != identity.Principal ||
			got[0].Why != trust.Appointed {
			t.Fatalf("appointed: %+v", got)
		}
		w.accuse(t, 2)
		if got := heard.all(); len(got) != 2 || got[1].To != identity.Journeyer || got[1].Why != trust.Violated {
			t.Fatalf("after a violation: %+v", got)
		}
		if err := w.bob.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantErr(t, w.bob.Standing().OnLevelChange(heard.add), sdk.ErrClosed)
	})
}

// accuse has a person of another operator tell of a violation by bob.
func (w *trio) accuse(t *testing.T, severity uint64) {
	t.Helper()
	raw, err := w.realm.Operator(t, 0).Admin().Accuse(w.bob.ID(), severity, "broke a rule")
	if _, err = submitted(t, w.realm, prepared(t, raw, err)); err != nil {
		t.Fatal(err)
	}
}

// By the time a violation is answered, the level's rights are gone on the wire, whatever the agent believes.
func TestAViolationTakesRightsOnTheWire(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		serveRaw(t, w.alice, "text.lower", func(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil })
		use := func() error {
			_, err := sdk.CallBytes(t.Context(), w.bob, sdk.To("alice", "text.lower"), []byte("x"))
			return err
		}
		wantCode(t, use(), "")
		w.ask(t, "x")
		w.accuse(t, 2)
		settle()
		wantCode(t, use(), "") // L2 calls too
		w.accuse(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sdk.CallBytes(ctx, w.alice, sdk.To("bob", "text.upper"), []byte("x"))
		if err == nil {
			t.Error("bob still serves")
		}
		settle()
		if err := use(); sdk.CodeOf(err) != code.Denied && sdk.CodeOf(err) != code.Unreachable {
			t.Errorf("bob still calls: %v", err)
		}
		if v := w.standing(t, "bob"); v.Level != identity.Observer {
			t.Errorf("level %s", v.Level)
		}
		requests := 0
		for _, p := range w.realm.Packets() {
			if s, err := bus.In(w.realm.ID()).Parse(p.Subject); err == nil && p.From == w.bob.ID() && s.Kind == bus.Request {
				requests++
			}
		}
		if requests != 2 {
			t.Errorf("bob sent %d requests", requests)
		}
	})
}

// A child is enrolled below its parent and falls with it.
func TestAChildStaysBelowItsParent(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		parent, person := realm.Agent(t, "parent"), realm.Operator(t, 0).Admin()
		enrol := func(name string, level sdk.Level) error {
			text, err := person.InviteChild(parent.ID(), name, level, []string{"*"}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = sdk.Enrol(t.Context(), text, sdk.KeepNothing(), sdk.Over(realm.Transport()))
			return err
		}
		if err := enrol("child", identity.Apprentice); err != nil {
			t.Fatal(err)
		}
		wantCode(t, enrol("equal", identity.Journeyer), code.Denied)
		child, err := parent.Standing().Of(t.Context(), "child")
		if err != nil || child.Parent == nil || *child.Parent != parent.ID() || child.Cap != identity.Apprentice {
			t.Errorf("%+v %v", child, err)
		}
		realm.SetLevel(t, "parent", identity.Apprentice)
		if child, err = parent.Standing().Of(t.Context(), "child"); err != nil || child.Level != identity.Observer {
			t.Errorf("%+v %v", child, err)
		}
	})
}

// quick is the solo policy with a ladder that a test can climb: one outcome and an hour a level, leases of a day.
func quick(t *testing.T) policy.Policy {
	t.Helper()
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	const hour = 60 * 60 * 1000
	rungs := []trust.Rung{{People: 1}}
	for range trust.Rungs - 1 {
		rungs = append(rungs, trust.Rung{Score: 60, Floor: 10, Tenure: hour, Outcomes: 1, People: 1, Lease: 24 * hour})
	}
	p.SetTrust(p.Params(), rungs)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// An agent earns a level by work that a person has looked at, time and a sign-off, renews it, and loses it when nobody does.
func TestAnAgentClimbsAndItsLeaseEnds(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob", sdktest.Level(identity.Apprentice))
		var heard list[standing.Change]
		if err := bob.Standing().OnLevelChange(heard.add); err != nil {
			t.Fatal(err)
		}
		person := realm.Operator(t, 0)
		signOff := func(l sdk.Level) error {
			raw, err := person.Admin().SignOff(bob.ID(), l, "looked at it")
			_, err = submitted(t, realm, prepared(t, raw, err))
			return err
		}
		work := func(name string) {
			t.Helper()
			draft, err := alice.Standing().Draft(t.Context(), standing.Outcome{
				Agent: "bob", Action: "file.write", OK: true, Request: wire.Hash([]byte(name)), Result: wire.Hash([]byte("done")),
				Attester: person.ID().String(),
			})
			if err == nil {
				draft, err = person.Standing().Countersign(draft)
			}
			if err == nil {
				_, err = alice.Standing().Submit(t.Context(), draft)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, signOff(identity.Journeyer), code.Denied)
		work("one")
		wantCode(t, signOff(identity.Journeyer), code.Denied) // the hour is not over
		realm.Pass(t, time.Hour)
		wantCode(t, signOff(identity.Principal), code.Denied) // two at once
		wantCode(t, signOff(identity.Journeyer), "")
		realm.Pass(t, 20*time.Hour)
		work("two")
		wantCode(t, signOff(identity.Journeyer), "") // for another day
		realm.Pass(t, 20*time.Hour)
		settle()
		if v, err := alice.Standing().Of(t.Context(), "bob"); err != nil || v.Level != identity.Journeyer {
			t.Errorf("%+v %v", v, err)
		}
		realm.Pass(t, 5*time.Hour)
		want := []standing.Change{
			{From: identity.Apprentice, To: identity.Journeyer, Why: trust.Earned},
			{From: identity.Journeyer, To: identity.Apprentice, Why: trust.Lapsed},
		}
		got := heard.all()
		for i := range got {
			got[i].At = time.Time{}
		}
		if !slices.Equal(got, want) {
			t.Errorf("heard %+v", got)
		}
	}, sdktest.WithPolicy(quick(t), 1))
}
