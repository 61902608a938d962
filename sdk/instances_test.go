package sdk_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// looks counts how often an agent has asked the node who serves a capability.
func looks(realm *sdktest.Realm, a *sdk.Agent, capability string) (n int) {
	settle()
	for _, p := range realm.Packets() {
		var r control.Request
		var f control.Find
		if p.From == a.ID() && wire.Decode(p.Data, &r) == nil && r.Op == control.OpFind &&
			wire.Decode(r.Body, &f) == nil && f.Capability == capability {
			n++
		}
	}
	return n
}

func wantLooks(t *testing.T, realm *sdktest.Realm, a *sdk.Agent, want int) {
	t.Helper()
	if n := looks(realm, a, "text.upper"); n != want {
		t.Fatalf("the node was asked %d times, want %d", n, want)
	}
}

func TestInstancesAreRemembered(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		settle() // until alice has heard of bob's card
		for range 10 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		wantLooks(t, realm, alice, 1)
		time.Sleep(4 * time.Second) // of the bubble's clock: fresh no longer
		for range 10 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		wantLooks(t, realm, alice, 2) // in the background
		time.Sleep(time.Minute)       // until the presence known has ended
		mustCall(t, alice, sdk.Any("text.upper"))
		wantLooks(t, realm, alice, 3)
		for range 2 { // that nobody serves it is not remembered
			_, err := call(t, alice, sdk.To("alice", "text.upper"))
			wantCode(t, err, code.NoResponder)
		}
		wantLooks(t, realm, alice, 5)
	})
}

// Many calls of one moment ask once.
func TestInstancesAreAskedForOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		settle()
		done := make(chan error, 50)
		for range cap(done) {
			go func() {
				_, err := sdk.Call[answer](t.Context(), alice, sdk.Any("text.upper"), ask{Text: "x"})
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		wantLooks(t, realm, alice, 1)
	})
}

func TestWhatIsHeardOfAPrincipalDropsItsInstances(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		settle()
		mustCall(t, alice, sdk.Any("text.upper"))
		realm.Agent(t, "carol") // somebody else
		realm.SetLevel(t, "carol", identity.Apprentice)
		settle()
		mustCall(t, alice, sdk.Any("text.upper"))
		wantLooks(t, realm, alice, 1)
		realm.SetLevel(t, "bob", identity.Apprentice)
		settle()
		mustCall(t, alice, sdk.Any("text.upper"))
		wantLooks(t, realm, alice, 2)
		realm.Quarantine(t, "bob")
		settle()
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.NoResponder)
	})
}

func TestAnInstanceThatDoesNotAnswerIsDropped(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		settle()
		mustCall(t, alice, sdk.Any("text.upper"))
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if s, err := bus.In(realm.ID()).Parse(p.Subject); err == nil && s.Kind == bus.Request {
				return nil
			}
			return []sdktest.Packet{p}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sdk.Call[answer](ctx, alice, sdk.Any("text.upper"), ask{Text: "x"})
		wantErr(t, err, sdk.ErrTimeout)
		realm.Intercept(nil)
		mustCall(t, alice, sdk.Any("text.upper"))
		wantLooks(t, realm, alice, 2)
	})
}

// A process that closes says so to who calls it, and another one is asked instead.
func TestACallGoesToAnotherProcessWhenOneCloses(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob, carol := realm.Agent(t, "alice"), realm.Agent(t, "bob"), realm.Agent(t, "carol")
		entered, release := slow(t, bob)
		var byCarol list[string]
		handle(t, carol, "text.slow", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			byCarol.add(r.Data.Text)
			return upper(ctx, r)
		})
		settle() // until alice has heard of their cards
		first := begin(t, alice, sdk.Any("text.slow"))
		second := begin(t, alice, sdk.Any("text.slow"))
		<-entered // one of them is with bob
		settle()
		closed := make(chan error, 1)
		go func() { closed <- bob.Close(t.Context()) }()
		settle()
		for range 4 { // every second one would be bob's turn
			if err := <-begin(t, alice, sdk.Any("text.slow")); err != nil {
				t.Error(err)
			}
		}
		close(release)
		for _, err := range []error{<-first, <-second, <-closed} {
			if err != nil {
				t.Error(err)
			}
		}
		if n := len(byCarol.all()); n != 5 {
			t.Errorf("carol handled %d", n)
		}
	})
}

func TestTraceGoesAlong(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		var seen list[string]
		err := sdk.HandleBytes(bob, "text.upper", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			seen.add("call " + d.Trace)
			_, err := sdk.PublishBytes(ctx, bob, "news.local", d.Content) // carries it on
			return nil, err
		})
		if err == nil {
			err = bob.Advertise(t.Context(), "news.local")
		}
		if err == nil {
			_, err = sdk.SubscribeBytes(alice, "news.local", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
				seen.add("message " + d.Trace)
				return nil, nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{t.Context(), sdk.WithTrace(t.Context(), trace)} {
			if _, err := sdk.CallBytes(ctx, alice, sdk.Any("text.upper"), []byte("x")); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		want := []string{"call ", "message ", "call " + trace, "message " + trace}
		if got := seen.all(); !slices.Equal(got, want) {
			t.Errorf("seen %q", strings.Join(got, ", "))
		}
		if d := (&sdk.Delivery{}); d.Evidence() != nil || !d.ID().IsZero() {
			t.Error("a delivery that was not received proves something")
		}
	})
}
