package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := middleware.Timeout(10 * time.Second)
		var h counted
		if got := mustHandle(t, wrap(h.handle), delivery(t, agent(t, 3), "abc")); got != "ABC" {
			t.Fatal(got)
		}
		for _, c := range []struct {
			name    string
			handler sdk.HandlerFunc
			code    code.Code
		}{
			{"in time", func(context.Context, *sdk.Delivery) ([]byte, error) {
				time.Sleep(9 * time.Second)
				return nil, nil
			}, ""},
			{"ends with its ctx", func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, code.Uncertain},
			{"says why at its end", func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
				<-ctx.Done()
				return nil, sdk.Errorf(code.NotFound, "the file went away")
			}, code.NotFound},
			{"fails in time", func(context.Context, *sdk.Delivery) ([]byte, error) {
				return nil, sdk.Errorf(code.NotFound, "no file")
			}, code.NotFound},
			{"fails with a deadline of its own", func(context.Context, *sdk.Delivery) ([]byte, error) {
				return nil, context.DeadlineExceeded
			}, "internal"},
		} {
			_, err := wrap(c.handler)(t.Context(), delivery(t, agent(t, 3), "abc"))
			if sdk.CodeOf(err) != c.code {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.code)
			}
		}
	})
}

// A ctx that ends by itself is not called a time-out of this middleware.
func TestTimeoutKeepsTheCausesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := middleware.Timeout(time.Minute)(func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})(ctx, delivery(t, agent(t, 3), "a"))
		wantCode(t, err, code.Uncertain)
		if errors.Is(err, middleware.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A handler that does not heed its ctx: the caller has its error in time, and Close waits for the handler.
func TestTimeoutAnswersForAHandlerThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		bob.Use(middleware.Timeout(5 * time.Second))
		stuck, ended := make(chan struct{}), make(chan error, 1)
		err := sdk.HandleBytes(bob, "text.upper", func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			if string(d.Content) == "stuck" {
				<-stuck
				ended <- context.Cause(ctx)
			}
			return d.Content, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sdk.CallBytes(t.Context(), alice, sdk.Any("text.upper"), []byte("honest")); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, err = sdk.CallBytes(t.Context(), alice, sdk.Any("text.upper"), []byte("stuck"))
		wantCode(t, err, code.Uncertain)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("the caller waited %v", took)
		}
		closed := make(chan error, 1)
		go func() { closed <- bob.Close(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close returned %v while the handler runs", err)
		default:
		}
		close(stuck)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if cause := <-ended; !errors.Is(cause, middleware.ErrTimeout) {
			t.Errorf("the handler's ctx ended by %v", cause)
		}
	})
}

// A panic goes on in the caller's goroutine, where Recover can take it.
func TestTimeoutPassesPanicsOn(t *testing.T) {
	wrap := func(h sdk.HandlerFunc) sdk.HandlerFunc {
		return middleware.Recover(nil)(middleware.Timeout(time.Minute)(h))
	}
	_, err := wrap(func(context.Context, *sdk.Delivery) ([]byte, error) { panic("boo") })(
		t.Context(), delivery(t, agent(t, 3), "a"))
	if !errors.Is(err, middleware.ErrPanicked) {
		t.Error(err)
	}
}

func TestRetry(t *testing.T) {
	away := sdk.Errorf(code.Unreachable, "away")
	for _, c := range []struct {
		name     string
		backoff  middleware.Backoff
		fails    []error
		code     code.Code
		attempts int
	}{
		{"at once", middleware.Backoff{}, nil, "", 1},
		{"at the second attempt", middleware.Backoff{}, []error{away}, "", 2},
		{"at the last", middleware.Backoff{}, []error{away, away}, "", 3},
		{"too late", middleware.Backoff{}, []error{away, away, away}, code.Unreachable, 3},
		{"more attempts", middleware.Backoff{Attempts: 4}, []error{away, away, away}, "", 4},
		{"one attempt", middleware.Backoff{Attempts: 1}, []error{away}, code.Unreachable, 1},
		{"bounded", middleware.Backoff{Attempts: 1 << 30}, repeat(away, 100), code.Unreachable, 16},
		{"busy", middleware.Backoff{}, []error{sdk.Errorf("rate", "busy")}, "", 2},
		{"without a code", middleware.Backoff{}, []error{errPlain}, "internal", 1},
		{"denied", middleware.Backoff{}, []error{sdk.Errorf(code.Denied, "no")}, code.Denied, 1},
		{"perhaps done", middleware.Backoff{}, []error{sdk.Errorf(code.Uncertain, "?")}, code.Uncertain, 1},
		{"perhaps done, and may be done again", middleware.Backoff{Again: true}, []error{sdk.Errorf(code.Uncertain, "?")}, "", 2},
		{"denied, and may be done again", middleware.Backoff{Again: true}, []error{sdk.Errorf(code.Denied, "no")}, code.Denied, 1},
		{"each in time", middleware.Backoff{Each: time.Second}, []error{away}, "", 2},
		{"denied at last", middleware.Backoff{}, []error{away, sdk.Errorf(code.Denied, "no")}, code.Denied, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, begun := counted{fails: c.fails}, time.Now()
				_, err := middleware.Retry(c.backoff)(h.handle)(t.Context(), delivery(t, agent(t, 3), "a"))
				wantCode(t, err, c.code)
				h.want(t, c.attempts)
				if took, most := time.Since(begun), time.Duration(c.attempts)*2*time.Second; took > most {
					t.Errorf("it took %v, more than %v", took, most)
				}
			})
		})
	}
}

// Each attempt has its own time, and the whole the caller's.
func TestRetryBoundsEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		stuck := func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
			if attempts++; attempts == 3 {
				return []byte("done"), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		for _, c := range []struct {
			name     string
			again    bool
			within   time.Duration
			attempts int
			code     code.Code
		}{
			{"perhaps done", false, time.Minute, 1, code.Uncertain},
			{"may be done again", true, time.Minute, 3, ""},
			{"no time for another", true, 2500 * time.Millisecond, 2, "internal"}, // of who returns ctx's error
		} {
			attempts = 0
			ctx, cancel := context.WithTimeout(t.Context(), c.within)
			backoff := middleware.Backoff{Each: 2 * time.Second, Longest: time.Millisecond, First: time.Millisecond, Again: c.again}
			_, err := middleware.Retry(backoff)(stuck)(ctx, delivery(t, agent(t, 3), "a"))
			cancel()
			if attempts != c.attempts || sdk.CodeOf(err) != c.code {
				t.Errorf("%s: %d attempts, %v has code %q", c.name, attempts, err, sdk.CodeOf(err))
			}
		}
	})
}

func repeat(err error, n int) []error {
	list := make([]error, n)
	for i := range list {
		list[i] = err
	}
	return list
}

// The waits double up to their bound, and are anything up to there.
func TestRetryWaitsAtRandomWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		h := func(context.Context, *sdk.Delivery) ([]byte, error) {
			at = append(at, time.Now())
			return nil, sdk.Errorf(code.Unreachable, "away")
		}
		wrapped := middleware.Retry(middleware.Backoff{Attempts: 5, First: time.Second, Longest: 3 * time.Second})(h)
		seen := map[time.Duration]bool{}
		for range 20 {
			at = nil
			if _, err := wrapped(t.Context(), delivery(t, agent(t, 3), "a")); err == nil || len(at) != 5 {
				t.Fatalf("%d attempts, %v", len(at), err)
			}
			for i, bound := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
				waited := at[i+1].Sub(at[i])
				seen[waited] = true
				if waited > bound {
					t.Errorf("wait %d was %v, more than %v", i+1, waited, bound)
				}
			}
		}
		if len(seen) < 70 { // of 80
			t.Errorf("only %d different waits", len(seen))
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h, begun := counted{fails: repeat(sdk.Errorf(code.Unreachable, "away"), 16)}, time.Now()
		backoff := middleware.Backoff{Attempts: 16, First: time.Hour, Longest: time.Hour}
		_, err := middleware.Retry(backoff)(h.handle)(ctx, delivery(t, agent(t, 3), "a"))
		wantCode(t, err, code.Unreachable) // the last error, not ctx's
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it waited %v", took)
		}
	})
}

func TestRetryCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		h := counted{fails: []error{sdk.Errorf("rate", "busy"), sdk.Errorf("rate", "busy")}}
		if err := sdk.HandleBytes(bob, "text.upper", h.handle); err != nil {
			t.Fatal(err)
		}
		_, err := sdk.CallBytes(t.Context(), alice, sdk.Any("text.upper"), []byte("a"))
		wantCode(t, err, "rate")
		alice.UseCalls(middleware.RetryCalls(middleware.Backoff{}))
		out, err := sdk.CallBytes(t.Context(), alice, sdk.Any("text.upper"), []byte("a"))
		if err != nil || string(out) != "A" {
			t.Fatalf("%s %v", out, err)
		}
		h.want(t, 3)
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.RateLimit(middleware.Rate{Every: time.Second, Burst: 3})(h.handle)
		alice, mallory := agent(t, 3), agent(t, 3)
		try := func(from sdk.Peer) error {
			_, err := wrapped(t.Context(), delivery(t, from, "a"))
			return err
		}
		for range 3 {
			wantCode(t, try(mallory), "")
		}
		wantCode(t, try(mallory), "rate")
		wantCode(t, try(alice), "") // others are not held up
		time.Sleep(time.Second - 1)
		wantCode(t, try(mallory), "rate")
		time.Sleep(time.Nanosecond)
		wantCode(t, try(mallory), "")
		wantCode(t, try(mallory), "rate")
		time.Sleep(time.Hour) // a bucket holds no more than its burst
		for range 3 {
			wantCode(t, try(mallory), "")
		}
		wantCode(t, try(mallory), "rate")
		h.want(t, 8)
	})
}

// Refused requests do not keep a sender refused.
func TestRateLimitDoesNotCountRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.RateLimit(middleware.Rate{Every: time.Second, Burst: 1})(h.handle)
		mallory := agent(t, 3)
		for range 100 {
			_, _ = wrapped(t.Context(), delivery(t, mallory, "a"))
		}
		h.want(t, 1)
		time.Sleep(time.Second)
		mustHandle(t, wrapped, delivery(t, mallory, "a"))
	})
}

func TestRateLimitRemembersABoundedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.RateLimit(middleware.Rate{Every: time.Second, Burst: 2, Senders: 3})(h.handle)
		first := agent(t, 3)
		for _, from := range []sdk.Peer{first, agent(t, 3), agent(t, 3)} {
			mustHandle(t, wrapped, delivery(t, from, "a"))
			mustHandle(t, wrapped, delivery(t, from, "a"))
		}
		_, err := wrapped(t.Context(), delivery(t, agent(t, 3), "a"))
		wantCode(t, err, "rate") // no room, and nobody is forgotten
		_, err = wrapped(t.Context(), delivery(t, first, "a"))
		wantCode(t, err, "rate")
		time.Sleep(2 * time.Second) // all buckets are full again
		mustHandle(t, wrapped, delivery(t, agent(t, 3), "a"))
	})
}

func TestRateLimitCountsExactlyUnderConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.RateLimit(middleware.Rate{Every: time.Hour, Burst: 50})(h.handle)
		senders := []sdk.Peer{agent(t, 3), agent(t, 3)}
		var all sync.WaitGroup
		for i := range 400 {
			d := delivery(t, senders[i%2], fmt.Sprint(i))
			all.Go(func() { _, _ = wrapped(t.Context(), d) })
		}
		all.Wait()
		h.want(t, 100)
	})
}

// A handler that ends its goroutine, as a test that fails does, is no panic of its caller's.
func TestTimeoutOfAHandlerThatEndsItsGoroutine(t *testing.T) {
	exit := func(context.Context, *sdk.Delivery) ([]byte, error) {
		runtime.Goexit()
		return nil, nil
	}
	_, err := middleware.Timeout(time.Minute)(exit)(t.Context(), delivery(t, agent(t, 3), "a"))
	if !errors.Is(err, middleware.ErrPanicked) {
		t.Errorf("%v", err)
	}
}
