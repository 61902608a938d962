package sdk_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
	"github.com/seed-3e86d5b2/conclave/sdk/otel"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// What docs/sdk.md shows is in this file or in an example, word for word; TestTheGuideShowsWhatRuns holds it to that.

type report struct {
	Done int `json:"done"`
}

func publishReports(ctx context.Context, agent *sdk.Agent) error {
	if err := agent.Advertise(ctx, "report.daily"); err != nil { // readers can join before the first message
		return err
	}
	receipt, err := sdk.Publish(ctx, agent, "report.daily", report{Done: 12}) // queued, unless err says no
	if err != nil {
		return err
	}
	if _, err := receipt.Wait(ctx); err != nil { // the node has this one
		return err
	}
	for i := range 10_000 { // these leave in frames
		if _, err := sdk.Publish(ctx, agent, "report.daily", report{Done: i}); err != nil {
			return err
		}
	}
	return agent.Flush(ctx) // the node has all of them
}

func readReports(agent *sdk.Agent, log *slog.Logger) (*sdk.Subscription, error) {
	return sdk.Subscribe(agent, "report.*", func(_ context.Context, m *sdk.Message[report]) error {
		log.Info("report", "from", m.From.Name, "done", m.Data.Done) // m.From is verified
		return nil
	})
}

func limit(agent *sdk.Agent, logger *slog.Logger, check func(content []byte) error) {
	agent.Use(
		otel.Handler(),
		middleware.Log(logger),
		middleware.MinLevel(identity.Journeyer),
		middleware.RateLimit(middleware.Rate{Every: 100 * time.Millisecond, Burst: 20}),
		middleware.Validate(check),
		middleware.Dedup(middleware.Window{}),
		middleware.Timeout(10*time.Second),
		middleware.Retry(middleware.Backoff{Attempts: 3}),
		middleware.Recover(logger),
	)
	agent.UseCalls(otel.Calls(), middleware.RetryCalls(middleware.Backoff{}))
}

func readItems(ctx context.Context, agent *sdk.Agent) (got []answer, err error) {
	items := sdk.Stream[answer](ctx, agent, sdk.Any("text.words"), ask{Text: "a b c"}, sdk.Window(16, 1<<20))
	for item, err := range items {
		if errors.Is(err, sdk.ErrGap) {
			return got, err // some were lost on the way: ask again
		}
		if err != nil {
			return got, err // the handler's own error, with its code, or one of the stream
		}
		got = append(got, item)
	}
	return got, nil // complete
}

func fetch(ctx context.Context, agent *sdk.Agent, ref sdk.Ref, w io.Writer) error {
	return agent.Fetch(ctx, ref, w) // nil: w got exactly the content that ref names
}

// TestTheGuideShowsWhatRuns holds each piece of Go in docs/sdk.md to this file, whose functions the other tests here
// run, or to an example, which has tests of its own.
func TestTheGuideShowsWhatRuns(t *testing.T) {
	var runs []string
	for _, path := range []string{
		"guide_test.go", "../examples/stream/main.go", "../examples/hello/main.go", "../examples/approval/program.go",
		"../examples/approval/reviewer.go",
	} {
		runs = append(runs, unindented(t, path))
	}
	all := strings.Join(runs, "\n")
	pieces := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(unindented(t, "../docs/sdk.md"), -1)
	if len(pieces) < 5 {
		t.Fatalf("the guide shows %d pieces of Go", len(pieces))
	}
	for _, p := range pieces {
		if !strings.Contains(all, p[1]) {
			t.Errorf("runs nowhere:\n%s", p[1])
		}
	}
}

// unindented returns a file without the spaces that its lines begin with.
func unindented(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(string(b), "")
}

func TestTheGuidesReportsArrive(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		var told strings.Builder
		sub, err := readReports(bob, slog.New(slog.NewTextHandler(&told, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Advertise(t.Context(), "report.daily"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // of the bubble's clock: bob joins meanwhile
		if err := publishReports(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		settle()
		if n := strings.Count(told.String(), "from=alice"); n != 10_001 || sub.Dropped() != 0 {
			t.Errorf("%d of 10001 arrived, %d dropped", n, sub.Dropped())
		}
	})
}

func TestTheGuidesLimitsLetHonestCallsThrough(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob, low := realm.Agent(t, "alice"), realm.Agent(t, "bob"), realm.Agent(t, "low", sdktest.Level(identity.Apprentice))
		limit(bob, slog.New(slog.DiscardHandler), func([]byte) error { return nil })
		handle(t, bob, "text.upper", upper)
		if got := mustCall(t, alice, sdk.Any("text.upper")); got != "HELLO" {
			t.Errorf("answer %q", got)
		}
		if _, err := call(t, low, sdk.Any("text.upper")); sdk.CodeOf(err) != code.Denied {
			t.Errorf("below the least level: %v, want denied", err)
		}
	})
}

func TestTheGuidesStreamAndReference(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handleStream(t, bob, "text.words", func(_ context.Context, r *sdk.Request[ask]) iter.Seq2[answer, error] {
			return func(yield func(answer, error) bool) {
				for w := range strings.FieldsSeq(r.Data.Text) {
					if !yield(answer{w}, nil) {
						return
					}
				}
			}
		})
		if got, err := readItems(t.Context(), alice); err != nil || len(got) != 3 || got[2].Text != "c" {
			t.Errorf("items %v, %v", got, err)
		}
		ref, err := bob.Offer(t.Context(), strings.NewReader("whole"), 5)
		if err != nil {
			t.Fatal(err)
		}
		var w strings.Builder
		if err := fetch(t.Context(), alice, ref, &w); err != nil || w.String() != "whole" {
			t.Errorf("fetched %q, %v", w.String(), err)
		}
	})
}
