//go:build soak

package integration

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	nodes "github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// soakFor is how long TestSoak lasts; the environment variable of this name says otherwise ("1h").
const soakFor = "CONCLAVE_SOAK"

// TestSoak has agents publish, read, call, come, go and renew their keys at a steady pace for a while, and looks at the
// memory of everybody, node included: it must not be greater in the last third than in the one before.
func TestSoak(t *testing.T) {
	span := 30 * time.Second
	if text := os.Getenv(soakFor); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	n, operator := inProcess(t)
	s := &soak{t: t, node: n, operator: operator, life: max(span/20, 5*time.Second)}
	s.begin()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	samples := s.run(ctx, span)
	third := len(samples) / 3
	if third < 3 {
		t.Fatalf("only %d samples", len(samples))
	}
	before, after := middle(samples[third:2*third]), middle(samples[2*third:])
	t.Logf("%v: %d events sent, %d read, %d calls, %d passing readers, %d failures; credentials lived %v", span,
		s.sent.Load(), s.read.Load(), s.calls.Load(), s.passed.Load(), s.failed.Load(), s.life)
	t.Logf("median of the second and of the last third: heap %d → %d KiB, resident %d → %d KiB, goroutines %d → %d",
		before.heap>>10, after.heap>>10, before.resident>>10, after.resident>>10, before.goroutines, after.goroutines)
	for name, pair := range map[string][2]int64{
		"heap": {before.heap, after.heap}, "resident": {before.resident, after.resident},
	} {
		if pair[1] > pair[0]+pair[0]/10+(4<<20) {
			t.Errorf("%s grew from %d to %d KiB", name, pair[0]>>10, pair[1]>>10)
		}
	}
	if after.goroutines > before.goroutines+32 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if s.sent.Load() == 0 || s.calls.Load() == 0 || s.passed.Load() == 0 {
		t.Error("nothing happened")
	}
	if s.read.Load() < 2*s.sent.Load()*99/100 {
		t.Errorf("two readers read %d of %d events each sent once", s.read.Load(), s.sent.Load())
	}
}

// soak is a small realm under a steady load.
type soak struct {
	t        *testing.T
	node     *nodes.Node
	operator identity.Signer
	life     time.Duration // of credentials

	server, caller, publisher, passing *sdk.Agent
	passenger                          identity.Signer

	sent, read, calls, passed, failed atomic.Int64
}

// use is what memory was in use at a moment, in bytes, and how many goroutines ran.
type use struct{ heap, resident, goroutines int64 }

const soakTopic = "soak.news"

func (s *soak) begin() {
	s.server, s.caller = pair(s.t, s.node, s.operator)
	publisher, readers := s.enrol("publisher"), []identity.Signer{s.enrol("reader-1"), s.enrol("reader-2")}
	s.passenger = s.enrol("passenger")
	s.publisher = s.connect(publisher)
	if err := s.publisher.Advertise(s.t.Context(), soakTopic); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range readers {
		s.listen(s.connect(r), &s.read)
	}
}

func (s *soak) enrol(name string) identity.Signer {
	s.t.Helper()
	o, err := sdk.Connect(s.t.Context(), sdk.WithProfile(s.profile(s.operator)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = o.Close(s.t.Context()) }()
	token, err := o.Admin().Invite(name, identity.Journeyer, []string{"text.*"}, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	signer, _, err := sdk.Enrol(s.t.Context(), token, sdk.KeepNothing())
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

func (s *soak) profile(who identity.Signer) sdk.Profile {
	return sdk.Profile{Realm: s.node.Realm(), Addresses: []string{s.node.Addr()}, Pins: []identity.ID{s.node.ID()}, Signer: who}
}

func (s *soak) connect(who identity.Signer) *sdk.Agent {
	s.t.Helper()
	a, err := sdk.Connect(s.t.Context(), sdk.WithProfile(s.profile(who)), sdk.CredentialLife(s.life))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = a.Close(ctx) // the test's end
	})
	return a
}

func (s *soak) listen(a *sdk.Agent, count *atomic.Int64) {
	s.t.Helper()
	if _, err := sdk.SubscribeBytes(a, soakTopic, func(context.Context, *sdk.Delivery) ([]byte, error) {
		count.Add(1)
		return nil, nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// run keeps the load up until ctx ends and returns what was in use meanwhile.
func (s *soak) run(ctx context.Context, span time.Duration) []use {
	pace, look, visit := time.NewTicker(10*time.Millisecond), time.NewTicker(span/60), time.NewTicker(max(span/120, time.Second))
	defer pace.Stop()
	defer look.Stop()
	defer visit.Stop()
	content := make([]byte, 256)
	var samples []use
	for {
		select {
		case <-ctx.Done():
			s.settle()
			return samples
		case <-pace.C:
			s.burst(ctx, content)
		case <-look.C:
			samples = append(samples, s.use())
		case <-visit.C:
			s.visit()
		}
	}
}

// burst sends some events and makes one call.
func (s *soak) burst(ctx context.Context, content []byte) {
	for range 20 {
		if _, err := sdk.PublishBytes(ctx, s.publisher, soakTopic, content); err == nil {
			s.sent.Add(1)
		} else if ctx.Err() == nil {
			s.fail(err)
		}
	}
	if err := call(ctx, s.caller, "soak"); err == nil {
		s.calls.Add(1)
	} else if ctx.Err() == nil {
		s.fail(err)
	}
}

// visit has a reader come, read something, and go.
func (s *soak) visit() {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	a, err := sdk.Connect(ctx, sdk.WithProfile(s.profile(s.passenger)), sdk.CredentialLife(s.life), sdk.WithLogger(slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		s.fail(err)
		return
	}
	heard := make(chan struct{}, 1)
	_, err = sdk.SubscribeBytes(a, soakTopic, func(context.Context, *sdk.Delivery) ([]byte, error) {
		select {
		case heard <- struct{}{}:
		default:
		}
		return nil, nil
	})
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for greeting := true; greeting && err == nil; {
		s.burst(ctx, []byte("welcome")) // its publisher may have renewed its keys since it joined
		select {
		case <-heard:
			s.passed.Add(1)
			greeting = false
		case <-again.C:
		case <-ctx.Done():
			err = fmt.Errorf("a passing reader heard nothing: %w", ctx.Err())
		}
	}
	if err != nil {
		s.fail(err)
	}
	if err := a.Close(ctx); err != nil {
		s.fail(err)
	}
}

func (s *soak) fail(err error) {
	if s.failed.Add(1) <= 10 {
		s.t.Logf("failed: %v", err)
	}
}

// settle waits until the node has what was published.
func (s *soak) settle() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	if err := s.publisher.Flush(ctx); err != nil {
		s.fail(err)
	}
}

func (s *soak) use() use {
	heap := heapInUse()
	series := scrape(s.t, s.node)
	return use{heap, int64(series["process_resident_memory_bytes"]), int64(series["go_goroutines"])}
}

// middle returns the medians.
func middle(samples []use) use {
	of := func(value func(use) int64) int64 {
		list := make([]int64, len(samples))
		for i, s := range samples {
			list[i] = value(s)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return use{
		of(func(u use) int64 { return u.heap }), of(func(u use) int64 { return u.resident }),
		of(func(u use) int64 { return u.goroutines }),
	}
}
