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

	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

func TestCallIsAnsweredAndTheCallerVerified(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		alice := realm.Agent(t, "alice", sdktest.Level(identity.Apprentice))
		var from sdk.Peer
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			from = r.From
			if r.Capability != "text.upper" || r.ID.IsZero() {
				t.Errorf("request %+v", r)
			}
			return upper(ctx, r)
		})
		if got := mustCall(t, alice, sdk.Any("text.upper")); got != "HELLO" {
			t.Errorf("answer %q", got)
		}
		want := sdk.Peer{
			ID: alice.ID(), Name: "alice", Operator: realm.Operator(t, 0).ID(), Level: identity.Apprentice, Status: "active",
		}
		if from != want {
			t.Errorf("from %+v, want %+v", from, want)
		}
		if me, err := alice.Who(t.Context(), alice.ID().String()); err != nil || me != want {
			t.Errorf("me %+v %v", me, err)
		}
		if who, err := bob.Who(t.Context(), "alice"); err != nil || who != want {
			t.Errorf("who %+v %v", who, err)
		}
	})
}

func TestTargets(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handle(t, bob, "text.upper", upper)
		for _, to := range []sdk.Target{
			sdk.Any("text.upper"), sdk.To("bob", "text.upper"), sdk.To(bob.ID().String(), "text.upper"),
		} {
			if got := mustCall(t, alice, to); got != "HELLO" {
				t.Errorf("%s: %q", to, got)
			}
		}
		for _, c := range []struct {
			to   sdk.Target
			want code.Code
		}{
			{sdk.Any("text.lower"), code.NoResponder},
			{sdk.To("bob", "text.lower"), code.NoResponder},
			{sdk.To("alice", "text.upper"), code.NoResponder},
			{sdk.To("carol", "text.upper"), "unknown"},
			{sdk.To("Not a name", "text.upper"), "malformed"},
		} {
			_, err := call(t, alice, c.to)
			if sdk.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.to, err, sdk.CodeOf(err), c.want)
			}
		}
		if _, err := call(t, bob, sdk.Any("text.upper")); !errors.Is(err, sdk.ErrNoResponder) {
			t.Errorf("a process was picked to call itself: %v", err)
		}
	})
}

func TestInputIsCheckedAgainstItsSchema(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var calls list[string]
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			calls.add(r.Data.Text)
			return upper(ctx, r)
		})
		to := sdk.Any("text.upper")
		if raw, err := sdk.CallBytes(t.Context(), alice, to, []byte(`{"text":"honest"}`)); err != nil || string(raw) != `{"text":"HONEST"}` {
			t.Fatalf("%s %v", raw, err)
		}
		for _, content := range []string{
			`{"text":7}`, `{}`, `{"text":"a","more":1}`, `{"text":"a"} {}`, `{"text":"a"}x`, `[]`, `null`, ``, `{"text":`,
			`{"text":"a","tone":null}`, `{"text":null}`,
		} {
			_, err := sdk.CallBytes(t.Context(), alice, to, []byte(content))
			if sdk.CodeOf(err) != code.InvalidInput {
				t.Errorf("%q: %v has code %q", content, err, sdk.CodeOf(err))
			}
		}
		if got := calls.all(); !slices.Equal(got, []string{"honest"}) {
			t.Errorf("the handler saw %q", got)
		}
	})
}

func TestAnswerIsCheckedAgainstItsSchema(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		reply := `{"text":"fits"}`
		err := sdk.HandleBytes(bob, "text.upper", func(context.Context, *sdk.Delivery) ([]byte, error) { return []byte(reply), nil })
		if err != nil {
			t.Fatal(err)
		}
		if got := mustCall(t, alice, sdk.Any("text.upper")); got != "fits" {
			t.Fatalf("answer %q", got)
		}
		for _, reply = range []string{`{"text":1}`, `{"text":"a","b":2}`, `{}`, `not json`, ``} {
			_, err := call(t, alice, sdk.Any("text.upper"))
			if sdk.CodeOf(err) != code.InvalidInput {
				t.Errorf("%q: %v", reply, err)
			}
		}
	})
}

func TestErrorsKeepTheirCodesOverTheWire(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var failure error
		handle(t, bob, "text.upper", func(context.Context, *sdk.Request[ask]) (answer, error) { return answer{}, failure })
		for _, c := range []struct {
			failure error
			code    code.Code
			text    string
		}{
			{nil, "", ""},
			{sdk.Errorf(code.NotFound, "no file %q", "a"), code.NotFound, `no file "a"`},
			{fmt.Errorf("reading: %w", sdk.Errorf(code.Expired, "too old")), code.Expired, "reading: too old"},
			{errors.New("plain"), "handler_failed", "plain"},
			{errors.New(strings.Repeat("long ", 1000)), "handler_failed", "long"},
			{errors.New(strings.Repeat("ü", 2000)), "handler_failed", "ü"},
			{errors.New("broken \xff text"), "handler_failed", "broken"},
		} {
			failure = c.failure
			_, err := call(t, alice, sdk.Any("text.upper"))
			if sdk.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%.40v: got %.80v with code %q", c.failure, err, sdk.CodeOf(err))
			}
		}
	})
}

func TestNoReplyIsUncertain(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		release := make(chan struct{})
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			<-release
			return upper(ctx, r)
		})
		began := time.Now()
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantErr(t, err, sdk.ErrTimeout)
		wantErr(t, err, context.DeadlineExceeded)
		wantCode(t, err, code.Uncertain)
		if waited := time.Since(began); waited != 30*time.Second {
			t.Errorf("waited %s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err = sdk.Call[answer](ctx, alice, sdk.Any("text.upper"), ask{Text: "x"})
		wantCode(t, err, code.Uncertain)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %s", waited)
		}
		close(release)
	})
}

func TestInstancesTakeTurns(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		var served list[int]
		for i := range 3 {
			handle(t, realm.Agent(t, "bob"), "turns.take", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
				served.add(i)
				return upper(ctx, r)
			})
		}
		for range 9 {
			mustCall(t, alice, sdk.To("bob", "turns.take"))
		}
		counts := map[int]int{}
		for _, i := range served.all() {
			counts[i]++
		}
		for i := range 3 {
			if counts[i] != 3 {
				t.Errorf("instance %d served %d of 9", i, counts[i])
			}
		}
	})
}

func TestMiddlewareWrapsInOrder(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var order list[string]
		mark := func(name string) sdk.Middleware {
			return func(next sdk.HandlerFunc) sdk.HandlerFunc {
				return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
					order.add(name + " in")
					defer order.add(name + " out")
					return next(ctx, d)
				}
			}
		}
		handle(t, bob, "text.before", upper)
		bob.Use(mark("a"), mark("b"))
		bob.Use(mark("c"))
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.before"))
		if got := order.all(); len(got) != 0 {
			t.Errorf("middleware ran around an earlier handler: %q", got)
		}
		mustCall(t, alice, sdk.Any("text.upper"))
		if got := strings.Join(order.all(), ", "); got != "a in, b in, c in, c out, b out, a out" {
			t.Errorf("order %s", got)
		}
	})
}

func TestHandleRefusals(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob", sdktest.Serves("text.*")), realm.Agent(t, "alice")
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		wantCode(t, sdk.Handle(bob, "text.upper", upper), "usage")
		wantCode(t, sdk.Handle(bob, "Text Upper", upper), "malformed")
		wantCode(t, sdk.Handle(bob, "db.migrate", upper), code.Denied)
		_, err := call(t, alice, sdk.Any("db.migrate"))
		wantCode(t, err, code.NoResponder)
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}

func TestALevelThatMayNotCallIsDenied(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		alice := realm.Agent(t, "alice")
		observer := realm.Agent(t, "observer", sdktest.Level(identity.Observer))
		var calls list[string]
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			calls.add(r.From.Name)
			return upper(ctx, r)
		})
		mustCall(t, alice, sdk.Any("text.upper"))
		_, err := call(t, observer, sdk.Any("text.upper"))
		wantCode(t, err, code.Denied)
		if got := calls.all(); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("the handler saw %q", got)
		}
	})
}

func TestRightsFollowTheLevelOnLiveConnections(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		alice := realm.Agent(t, "alice", sdktest.Level(identity.Observer))
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.Denied)
		for range 2 {
			realm.SetLevel(t, "alice", identity.Journeyer)
			settle()
			mustCall(t, alice, sdk.Any("text.upper"))
			realm.SetLevel(t, "alice", identity.Observer)
			settle()
			_, err = call(t, alice, sdk.Any("text.upper"))
			wantCode(t, err, code.Denied)
		}
		realm.SetLevel(t, "bob", identity.Observer)
		realm.SetLevel(t, "alice", identity.Journeyer)
		settle()
		_, err = call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.NoResponder) // an observer serves nothing, whatever it announces
		realm.SetLevel(t, "bob", identity.Journeyer)
		settle()
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}

// An agent that called long ago, and has announced nothing since, is still known to whom it never met.
func TestALateCallIsVerified(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		handle(t, realm.Agent(t, "bob"), "text.upper", upper)
		handle(t, realm.Agent(t, "carol"), "text.lower", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		for _, pause := range []time.Duration{time.Minute, time.Hour} {
			time.Sleep(pause) // of the bubble's clock
			mustCall(t, alice, sdk.Any("text.lower"))
			mustCall(t, alice, sdk.Any("text.upper"))
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handle(t, bob, "text.upper", upper)
		handle(t, alice, "text.twice", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			return sdk.Call[answer](ctx, alice, sdk.Any("text.upper"), r.Data)
		})
		var group sync.WaitGroup
		for i := range 100 {
			text := fmt.Sprintf("n%d", i)
			for _, c := range []struct {
				from *sdk.Agent
				to   string
			}{{alice, "text.upper"}, {bob, "text.twice"}} {
				group.Go(func() {
					out, err := sdk.Call[answer](t.Context(), c.from, sdk.Any(c.to), ask{Text: text})
					if err != nil || out.Text != strings.ToUpper(text) {
						t.Errorf("%s of %s: %q %v", c.to, text, out.Text, err)
					}
				})
			}
		}
		group.Wait()
	})
}

func TestDuplicatesAndDisorderAreNotHandledTwice(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var calls list[string]
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			calls.add(r.Data.Text)
			return upper(ctx, r)
		})
		mustCall(t, alice, sdk.Any("text.upper"))
		realm.Faults(membus.Faults{Duplicate: 1000})
		for i := range 20 {
			if _, err := sdk.Call[answer](t.Context(), alice, sdk.Any("text.upper"), ask{Text: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		realm.Faults(membus.Faults{})
		got := calls.all()
		slices.Sort(got)
		if len(got) != 21 || len(slices.Compact(got)) != 21 {
			t.Errorf("handled %q", got)
		}
	})
}

func TestLossIsUncertainAndNothingElse(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		realm.Faults(membus.Faults{Drop: 300})
		lost := 0
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := sdk.Call[answer](ctx, alice, sdk.Any("text.upper"), ask{Text: "x"})
			cancel()
			switch sdk.CodeOf(err) {
			case "":
			case code.Uncertain, code.Unreachable, code.NoResponder:
				lost++
			default:
				t.Errorf("%v", err)
			}
		}
		if lost == 0 || lost == 20 {
			t.Errorf("%d of 20 calls failed", lost)
		}
		realm.Faults(membus.Faults{})
		time.Sleep(5 * time.Second) // of the bubble's clock: the next presence
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}
