package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// slow serves a capability whose handler waits until it is let go.
func slow(t *testing.T, a *sdk.Agent) (entered chan struct{}, release chan struct{}) {
	t.Helper()
	entered, release = make(chan struct{}, 16), make(chan struct{})
	handle(t, a, "text.slow", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return upper(ctx, r)
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	})
	return entered, release
}

func begin(t *testing.T, a *sdk.Agent, to sdk.Target) <-chan error {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		out, err := sdk.Call[answer](t.Context(), a, to, ask{Text: "x"})
		if err == nil && out.Text != "X" {
			err = fmt.Errorf("answer %q", out.Text)
		}
		result <- err
	}()
	return result
}

func TestCloseWaitsForHandlersAndSendsTheirAnswers(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		entered, release := slow(t, bob)
		result := begin(t, alice, sdk.Any("text.slow"))
		<-entered
		closed := make(chan error, 1)
		go func() { closed <- bob.Close(t.Context()) }()
		settle()
		select {
		case <-closed:
			t.Fatal("closed while a handler ran")
		default:
		}
		late := begin(t, alice, sdk.Any("text.slow"))
		settle()
		if len(entered) != 0 {
			t.Error("a request was taken while closing")
		}
		close(release)
		for _, err := range []error{<-result, <-closed} {
			if err != nil {
				t.Error(err)
			}
		}
		wantCode(t, <-late, code.NoResponder)
	})
}

func TestCloseCancelsHandlersWhenItsContextEnds(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		entered, _ := slow(t, bob)
		result := begin(t, alice, sdk.Any("text.slow"))
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_ = bob.Close(ctx) // its context has ended, so the connection's end may be reported
		if waited := time.Since(began); waited < time.Second || waited > 2*time.Second {
			t.Errorf("waited %s", waited)
		}
		if err := <-result; err == nil {
			t.Error("a cancelled handler's caller got an answer")
		}
	})
}

// A handler that runs while its agent closes can still call others.
func TestAHandlerThatCallsIsWaitedFor(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, realm.Agent(t, "carol"), "text.upper", upper)
		entered, release := make(chan struct{}), make(chan struct{})
		handle(t, bob, "text.twice", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			close(entered)
			<-release
			return sdk.Call[answer](ctx, bob, sdk.Any("text.upper"), r.Data)
		})
		result := begin(t, alice, sdk.Any("text.twice"))
		<-entered
		closed := make(chan error, 1)
		go func() { closed <- bob.Close(t.Context()) }()
		settle()
		close(release)
		for _, err := range []error{<-result, <-closed} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAfterClose(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		for range 3 {
			if err := alice.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantErr(t, err, sdk.ErrClosed)
		_, err = sdk.Publish(t.Context(), alice, "news.local", note{1})
		wantErr(t, err, sdk.ErrClosed)
		if _, err := alice.Who(t.Context(), alice.ID().String()); !errors.Is(err, sdk.ErrClosed) {
			t.Errorf("me: %v", err)
		}
		if err := sdk.Handle(alice, "text.lower", upper); err == nil {
			t.Error("handled after Close")
		}
		if _, err := sdk.SubscribeBytes(alice, "news.local", nil); err == nil {
			t.Error("subscribed after Close")
		}
		if err := alice.OnBallot(nil); !errors.Is(err, sdk.ErrClosed) {
			t.Errorf("voter function: %v", err)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- bob.Run(ctx) }()
		mustCall(t, realm.Agent(t, "alice"), sdk.Any("text.upper"))
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestRunEndsWhenTheNodeRefuses(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		ended := make(chan error, 1)
		go func() { ended <- bob.Run(t.Context()) }()
		settle()
		realm.Quarantine(t, "bob")
		wantCode(t, <-ended, code.Denied)
	})
}

func TestCredentialsAreRenewedInFlight(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		short := sdktest.With(sdk.CredentialLife(12 * time.Minute))
		alice, bob := realm.Agent(t, "alice", short), realm.Agent(t, "bob", short)
		entered, release := slow(t, bob)
		handle(t, bob, "text.upper", upper)
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, _ := read(t, bob, "news.local")
		publish(t, alice, "news.local", 1)
		for n := range 3 {
			time.Sleep(9*time.Minute - 10*time.Second) // of the bubble's clock
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			result := make(chan error, 1)
			go func() {
				_, err := sdk.Call[answer](ctx, alice, sdk.Any("text.slow"), ask{Text: "x"})
				result <- err
			}()
			<-entered
			time.Sleep(20 * time.Second) // both renew meanwhile
			release <- struct{}{}
			if err := <-result; err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
			cancel()
			mustCall(t, alice, sdk.Any("text.upper"))
			time.Sleep(10 * time.Second)
			publish(t, alice, "news.local", n+2)
		}
		wantList(t, got, 1, 2, 3, 4)
	})
}

// A reader that renews neither loses nor doubles what a steady publisher sends.
func TestAReaderThatRenewsHearsEverythingOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice")
		bob := realm.Agent(t, "bob", sdktest.With(sdk.CredentialLife(12*time.Minute)))
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, _ := read(t, bob, "news.local")
		var want []int
		for n := range 30 {
			publish(t, alice, "news.local", n)
			want = append(want, n)
			time.Sleep(time.Minute) // of the bubble's clock
		}
		wantList(t, got, want...)
	})
}

// A publisher that changes its keys between any two messages is heard all the same: who read it before need not have
// joined its new process when that begins.
func TestAPublisherThatRenewsIsHeardOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice := realm.Agent(t, "alice", sdktest.With(sdk.CredentialLife(12*time.Minute)))
		bob := realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, _ := read(t, bob, "news.local")
		before, renewals := alice.Self().Process, 0
		var want []int
		for n := range 3000 {
			publish(t, alice, "news.local", n)
			want = append(want, n)
			time.Sleep(500 * time.Millisecond) // of the bubble's clock
			if now := alice.Self().Process; now != before {
				before = now
				renewals++
			}
		}
		settle()
		wantList(t, got, want...)
		if renewals < 2 {
			t.Errorf("%d renewals", renewals)
		}
	})
}
