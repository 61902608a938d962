package broker

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestBucket(t *testing.T) {
	type step struct {
		after int64 // ms
		n     int64
		want  bool
	}
	for _, row := range []struct {
		name  string
		rate  uint64
		steps []step
	}{
		{"a burst is free", 6000, []step{{0, 1000, false}, {0, 1, true}}},
		{"a small rate has a least burst", 1, []step{{0, 20, false}, {0, 1, true}}},
		{"steady at the rate", 6000, []step{{100, 10, false}, {100, 10, false}, {100, 10, false}, {60_000, 1000, false}}},
		{"debt is worked off", 6000, []step{{0, 1010, true}, {90, 0, true}, {10, 0, false}}},
		{"what was refused costs nothing", 6000, []step{{0, 1010, true}, {90, 100_000, true}, {10, 100_000, false}}},
		{"debt is bounded", 60, []step{{0, 1_000_000_000, true}, {59_999, 0, true}, {1, 0, false}}},
		{"a clock that steps back earns nothing", 6000, []step{{0, 1010, true}, {-5000, 0, true}, {5099, 0, true}, {1, 0, false}}},
		{"long silence earns no more than a burst", 6000, []step{{1 << 40, 1000, false}, {0, 1, true}}},
	} {
		now := int64(1_000_000)
		b := newBucket(row.rate, now)
		for i, s := range row.steps {
			now += s.after
			if got := b.count(s.n, now); got != s.want {
				t.Errorf("%s, step %d: closed %v", row.name, i, got)
			}
		}
	}
}

func TestBucketFollowsItsRate(t *testing.T) {
	b := newBucket(6000, 0)
	b.setRate(600)
	if b.count(101, 0) != true {
		t.Error("the burst of the old rate stayed")
	}
	b = newBucket(1<<63, 0)
	if b.count(1<<62, 1<<50) != false && b.units > 0 {
		t.Error("overflow")
	}
}

func TestLoggerKeepsFatalAndBoundsTheRest(t *testing.T) {
	var out strings.Builder
	l := &logger{to: slog.New(slog.NewTextHandler(&out, nil))}
	l.started.Store(true)
	if l.failure() != nil {
		t.Error("failed before it began")
	}
	cause := errors.New("cause")
	l.Fatalf("first %w", cause)
	l.Fatalf("second")
	if !errors.Is(l.failure(), cause) {
		t.Errorf("kept %v", l.failure())
	}
	for i := range linesPerSecond * 3 {
		if _, ok := l.admit(7); ok != (i < linesPerSecond) {
			t.Fatalf("line %d: %v", i, ok)
		}
	}
	if n, ok := l.admit(8); !ok || n != 2*linesPerSecond {
		t.Errorf("next second: %d suppressed, %v", n, ok)
	}
	l.Noticef("quiet")
	l.Debugf("quiet")
	l.Tracef("quiet")
	if strings.Contains(out.String(), "quiet") {
		t.Errorf("wrote %s", out.String())
	}
	l.Errorf("loud %d", 1)
	l.Warnf("loud %d", 2)
	if s := out.String(); !strings.Contains(s, "loud 1") || !strings.Contains(s, "loud 2") {
		t.Errorf("wrote %s", s)
	}
}
