package replay_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/replay"
)

// A step commits one counter and expects one answer.
type step struct {
	counter uint64
	want    error
}

func TestWindow(t *testing.T) {
	const top = math.MaxUint64
	tests := []struct {
		name  string
		first uint64
		steps []step
	}{
		{"in order, then all again", 1, []step{
			{1, nil}, {2, nil}, {3, nil}, {1, replay.ErrReplayed}, {2, replay.ErrReplayed}, {3, replay.ErrReplayed}}},
		{"out of order", 1, []step{{5, nil}, {3, nil}, {4, nil}, {1, nil}, {2, nil}, {3, replay.ErrReplayed}}},
		{"zero", 1, []step{{0, replay.ErrTooOld}, {1, nil}, {0, replay.ErrTooOld}}},
		{"first 0 means 1", 0, []step{{0, replay.ErrTooOld}, {1, nil}}},
		{"below first", 100, []step{{99, replay.ErrTooOld}, {100, nil}, {101, nil}, {99, replay.ErrTooOld}}},
		{"last one inside, first one outside", 1, []step{
			{replay.Size, nil}, {1, nil}, {replay.Size + 1, nil}, {1, replay.ErrTooOld}, {2, nil}, {2, replay.ErrReplayed}}},
		{"block borders", 1, []step{
			{63, nil}, {64, nil}, {65, nil}, {127, nil}, {128, nil}, {63, replay.ErrReplayed},
			{64, replay.ErrReplayed}, {65, replay.ErrReplayed}, {127, replay.ErrReplayed}, {66, nil}}},
		{"ring reused: an old bit is not a new number's", 1, []step{
			{7, nil}, {7 + 17*64, nil}, {7 + 17*64, replay.ErrReplayed}, {7 + 16*64, nil}, {7 + 34*64, nil}}},
		{"longest jump", 1, []step{{replay.MaxJump, nil}, {2 * replay.MaxJump, nil}, {1, replay.ErrTooOld}}},
		{"too long a jump leaves the window open", 1, []step{
			{1, nil}, {2 + replay.MaxJump, replay.ErrTooFar}, {top, replay.ErrTooFar}, {2, nil}, {1 + replay.MaxJump, nil}}},
		{"up to the highest number", top - 1, []step{
			{top, nil}, {top, replay.ErrReplayed}, {top - 1, nil}, {top - 1, replay.ErrReplayed}, {top - 2, replay.ErrTooOld}, {0, replay.ErrTooOld}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := replay.New(tt.first)
			for i, s := range tt.steps {
				commit(t, &w, i, s)
			}
		})
	}
}

// commit takes one step and shows on the way that Check says the same and changes nothing.
func commit(t *testing.T, w *replay.Window, i int, s step) {
	t.Helper()
	before := *w
	if err := w.Check(s.counter); !errors.Is(err, s.want) {
		t.Errorf("step %d: Check(%d) = %v, want %v", i, s.counter, err, s.want)
	}
	if *w != before {
		t.Errorf("step %d: Check(%d) changed the window", i, s.counter)
	}
	if err := w.Commit(s.counter); !errors.Is(err, s.want) {
		t.Errorf("step %d: Commit(%d) = %v, want %v", i, s.counter, err, s.want)
	}
	if s.want != nil && *w != before {
		t.Errorf("step %d: refused Commit(%d) changed the window", i, s.counter)
	}
}

func TestZeroWindowBehavesLikeNew1(t *testing.T) {
	var w replay.Window
	for i, s := range []step{{0, replay.ErrTooOld}, {1, nil}, {1, replay.ErrReplayed}, {2, nil}} {
		commit(t, &w, i, s)
	}
}

func TestAdvance(t *testing.T) {
	w := replay.New(1)
	for i, s := range []step{{1, nil}, {2, nil}, {3, nil}} {
		commit(t, &w, i, s)
	}
	w.Advance(3)
	for i, s := range []step{{2, replay.ErrTooOld}, {3, replay.ErrReplayed}, {4, nil}} {
		commit(t, &w, i, s)
	}
	w.Advance(1 << 40) // the sender vouched for it
	for i, s := range []step{{5, replay.ErrTooOld}, {1<<40 - 1, replay.ErrTooOld}, {1 << 40, nil}, {1 << 40, replay.ErrReplayed}} {
		commit(t, &w, i, s)
	}
	before := w
	w.Advance(1)
	if w != before {
		t.Error("Advance moved the window back")
	}
}

// model is the plain meaning of a window: a set of used numbers and three bounds.
type model struct {
	first, last uint64
	used        map[uint64]bool
}

func (m *model) commit(c uint64) error {
	switch {
	case c < m.first:
		return replay.ErrTooOld
	case c > m.last && c-m.last > replay.MaxJump:
		return replay.ErrTooFar
	case c <= m.last && m.last-c >= replay.Size:
		return replay.ErrTooOld
	case m.used[c]:
		return replay.ErrReplayed
	}
	m.used[c] = true
	m.last = max(m.last, c)
	return nil
}

func (m *model) advance(first uint64) {
	m.first = max(m.first, first)
	m.last = max(m.last, m.first-1)
}

func TestWindowAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		first := 1 + rng.Uint64N(3000)
		w, m := replay.New(first), &model{first: first, last: first - 1, used: map[uint64]bool{}}
		for range 3000 {
			if rng.IntN(500) == 0 {
				to := near(rng, m.last)
				w.Advance(to)
				m.advance(to)
			}
			c := near(rng, m.last)
			got, want := w.Commit(c), m.commit(c)
			if !errors.Is(got, want) {
				t.Fatalf("seed %d: Commit(%d) at %d = %v, model says %v", seed, c, m.last, got, want)
			}
		}
	}
}

// near draws a number around last: mostly inside the window, at times far off.
func near(rng *rand.Rand, last uint64) uint64 {
	switch rng.IntN(20) {
	case 0:
		return last + rng.Uint64N(2*replay.MaxJump)
	case 1:
		return rng.Uint64N(last + 1)
	case 2:
		return last + rng.Uint64N(3*replay.Size)
	}
	return max(last+8, 2*replay.Size) - rng.Uint64N(replay.Size+16)
}

func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), []byte{1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0})
	f.Add(uint64(math.MaxUint64), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, first uint64, moves []byte) {
		w, m := replay.New(first), &model{first: max(first, 1), last: max(first, 1) - 1, used: map[uint64]bool{}}
		for ; len(moves) >= 4; moves = moves[4:] {
			c := m.last + uint64(int64(int32(binary.LittleEndian.Uint32(moves))))
			if got, want := w.Commit(c), m.commit(c); !errors.Is(got, want) {
				t.Fatalf("Commit(%d) at %d = %v, model says %v", c, m.last, got, want)
			}
		}
	})
}
