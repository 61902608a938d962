package bench

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestRoundsAlternate is the order in which contenders run, and that the first round does not count.
func TestRoundsAlternate(t *testing.T) {
	var order []string
	var told []Progress
	b := &bout{Config: Config{Rounds: 2, Progress: func(p Progress) { told = append(told, p) }}}
	turn := func(name string) contender {
		return contender{name: name, run: func(context.Context) (sample, error) {
			order = append(order, name)
			return sample{value: float64(len(order))}, nil
		}}
	}
	samples, err := b.compete(context.Background(), []contender{turn("a"), turn("b"), turn("c")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "c", "b", "a", "a", "b", "c"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for i, want := range [][]float64{{6, 7}, {5, 8}, {4, 9}} {
		if got := pick(samples[i], func(s sample) float64 { return s.value }); !slices.Equal(got, want) {
			t.Errorf("contender %d: %v, want %v", i, got, want)
		}
	}
	if len(told) != 10 || told[0] != (Progress{"warming up: a", 0, 9}) || told[9] != (Progress{"", 9, 9}) {
		t.Errorf("told %v", told)
	}
}

// TestFailureEndsTheRun is a contender that fails, in the warm-up or later: no result comes out.
func TestFailureEndsTheRun(t *testing.T) {
	broken := errors.New("broken")
	for _, at := range []int{1, 2, 3} {
		runs := 0
		b := &bout{Config: Config{Rounds: 2, Size: 64, Progress: func(Progress) {}}}
		failing := contender{name: "failing", run: func(context.Context) (sample, error) {
			if runs++; runs == at {
				return sample{value: 1}, broken
			}
			return sample{value: 1}, nil
		}}
		fine := contender{name: "fine", run: func(context.Context) (sample, error) { return sample{value: 1}, nil }}
		if _, err := b.hold(context.Background(), plan{ours: fine, peer: failing}); !errors.Is(err, broken) {
			t.Errorf("run %d fails: %v", at, err)
		}
	}
}

func TestTimed(t *testing.T) {
	s, err := timed(4, func() error {
		for began := time.Now(); time.Since(began) < 2*time.Millisecond; { // work
		}
		return nil
	})
	if err != nil || s.value <= 0 || s.value > 2000 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := timed(0, func() error { return nil }); err != nil || s.value != 0 {
		t.Errorf("no messages: %+v, %v", s, err)
	}
	broken := errors.New("broken")
	if s, err := timed(1, func() error { return broken }); !errors.Is(err, broken) || s.value != 0 {
		t.Errorf("failed: %+v, %v", s, err)
	}
}

func TestCrypto(t *testing.T) {
	c, err := measureCrypto(256)
	if err != nil || c.Sign <= 0 || c.Verify <= 0 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestCrowd(t *testing.T) {
	var calls, atOnce, most int
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	count := func(by int) {
		<-turn
		if atOnce += by; by > 0 {
			calls++
		}
		most = max(most, atOnce)
		turn <- struct{}{}
	}
	ctx := context.Background()
	if err := crowd(ctx, 50, 4, func(context.Context, int) error { count(1); count(-1); return nil }); err != nil {
		t.Fatal(err)
	}
	if calls != 50 || most > 4 || atOnce != 0 {
		t.Errorf("%d calls, %d at once", calls, most)
	}
	broken := errors.New("broken")
	calls = 0
	err := crowd(ctx, 50, 2, func(ctx context.Context, i int) error {
		count(1)
		if i == 3 {
			return broken
		}
		if i > 3 {
			<-ctx.Done()
		}
		return nil
	})
	if !errors.Is(err, broken) || calls > 6 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := crowd(ended, 3, 1, func(context.Context, int) error { t.Error("called"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}
