package replay_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/replay"
)

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestTableKeepsKeysApart(t *testing.T) {
	tab := replay.NewTable[string](2)
	want(t, "Check before Open", tab.Check("a", 1, 0), replay.ErrUnknown)
	want(t, "Commit before Open", tab.Commit("a", 1, 0), replay.ErrUnknown)
	want(t, "Open a", tab.Open("a", 1, 100, 0), nil)
	want(t, "Open b", tab.Open("b", 50, 100, 0), nil)
	want(t, "Check a 1", tab.Check("a", 1, 0), nil)
	want(t, "Commit a 1", tab.Commit("a", 1, 0), nil)
	want(t, "Commit a 1 again", tab.Commit("a", 1, 0), replay.ErrReplayed)
	want(t, "Check a 1 again", tab.Check("a", 1, 0), replay.ErrReplayed)
	want(t, "Commit b 1", tab.Commit("b", 1, 0), replay.ErrTooOld)
	want(t, "Commit b 50", tab.Commit("b", 50, 0), nil)
}

func TestTableFullRefusesAndNeverEvicts(t *testing.T) {
	tab := replay.NewTable[int](2)
	want(t, "Open 1", tab.Open(1, 1, 100, 0), nil)
	want(t, "Open 2", tab.Open(2, 1, 200, 0), nil)
	want(t, "Commit 1", tab.Commit(1, 9, 0), nil)
	want(t, "Open 3 when full", tab.Open(3, 1, 300, 0), replay.ErrFull)
	want(t, "Open 3 just before an expiry", tab.Open(3, 1, 300, 99), replay.ErrFull)
	want(t, "Commit 1 again", tab.Commit(1, 9, 99), replay.ErrReplayed)
	want(t, "Open 3 at the expiry", tab.Open(3, 1, 300, 100), nil)
	want(t, "key 1 is gone", tab.Check(1, 10, 100), replay.ErrUnknown)
	want(t, "key 2 stands", tab.Check(2, 1, 100), nil)
	want(t, "Open 4 when full again", tab.Open(4, 1, 400, 199), replay.ErrFull)
	want(t, "no room at all", replay.NewTable[int](0).Open(1, 1, 100, 0), replay.ErrFull)
}

func TestTableExpiry(t *testing.T) {
	tab := replay.NewTable[int](4)
	want(t, "expiry in the past", tab.Open(1, 1, 99, 100), replay.ErrExpired)
	want(t, "expiry now", tab.Open(1, 1, 100, 100), replay.ErrExpired)
	want(t, "expiry later", tab.Open(1, 1, 101, 100), nil)
	want(t, "last moment", tab.Check(1, 1, 100), nil)
	want(t, "at its expiry", tab.Commit(1, 1, 101), replay.ErrUnknown)
	if n := tab.Sweep(100); n != 0 {
		t.Errorf("Sweep before the expiry removed %d", n)
	}
	if n, left := tab.Sweep(101), tab.Len(); n != 1 || left != 0 {
		t.Errorf("Sweep at the expiry removed %d and left %d, want 1 and 0", n, left)
	}
}

func TestTableOpenAgainForgetsNothing(t *testing.T) {
	tab := replay.NewTable[int](1)
	want(t, "Open", tab.Open(1, 10, 100, 0), nil)
	want(t, "Commit 20", tab.Commit(1, 20, 0), nil)
	want(t, "Open lower and shorter", tab.Open(1, 1, 50, 0), nil)
	want(t, "below first", tab.Check(1, 9, 60), replay.ErrTooOld)
	want(t, "used", tab.Check(1, 20, 60), replay.ErrReplayed)
	want(t, "Open higher and longer", tab.Open(1, 15, 200, 60), nil)
	want(t, "below the raised first", tab.Check(1, 14, 150), replay.ErrTooOld)
	want(t, "inside", tab.Check(1, 15, 150), nil)
	// Expired but not swept: opening the key again must not bring its numbers back to life.
	want(t, "Open after the expiry", tab.Open(1, 1, 400, 300), nil)
	want(t, "used before the expiry", tab.Check(1, 20, 300), replay.ErrReplayed)
}

func TestTableAgainstModel(t *testing.T) {
	const limit = 8
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	tab, live := replay.NewTable[int](limit), map[int]int64{}
	for now := range int64(20_000) {
		key := rng.IntN(3 * limit)
		expires := now + 1 + rng.Int64N(100)
		expire(live, now)
		_, known := live[key]
		got := tab.Open(key, 1, expires, now)
		if full := !known && len(live) == limit; errors.Is(got, replay.ErrFull) != full {
			t.Fatalf("seed %d: at %d Open(%d) = %v with %d live keys", seed, now, key, got, len(live))
		}
		if got == nil {
			live[key] = max(live[key], expires)
		}
		probe := rng.IntN(3 * limit)
		_, known = live[probe]
		if err := tab.Check(probe, 1, now); (err == nil) != known {
			t.Fatalf("seed %d: at %d Check(%d) = %v, known %v", seed, now, probe, err, known)
		}
		if tab.Len() > limit {
			t.Fatalf("seed %d: %d keys in a table of %d", seed, tab.Len(), limit)
		}
	}
}

func expire(live map[int]int64, now int64) {
	for key, expires := range live {
		if expires <= now {
			delete(live, key)
		}
	}
}

func TestCommitRun(t *testing.T) {
	tab := newRunTable(t)
	other := errors.New("refused before")
	verdicts := []error{nil, other, nil}
	tab.CommitRun("a", 10, verdicts, 0)
	want(t, "10", verdicts[0], nil)
	want(t, "11, refused before", verdicts[1], other)
	want(t, "12", verdicts[2], nil)
	verdicts = make([]error, 4)
	tab.CommitRun("a", 9, verdicts, 0)
	want(t, "9, below the first", verdicts[0], replay.ErrTooOld)
	want(t, "10 again", verdicts[1], replay.ErrReplayed)
	want(t, "11, which nobody used", verdicts[2], nil)
	want(t, "12 again", verdicts[3], replay.ErrReplayed)
	verdicts = make([]error, 2)
	tab.CommitRun("b", 1, verdicts, 0)
	want(t, "no window", verdicts[0], replay.ErrUnknown)
	want(t, "no window", verdicts[1], replay.ErrUnknown)
	tab.CommitRun("a", 20, verdicts[:1], 100)
	want(t, "verdict that stands", verdicts[0], replay.ErrUnknown)
	verdicts = []error{nil}
	tab.CommitRun("a", 20, verdicts, 100)
	want(t, "at its expiry", verdicts[0], replay.ErrUnknown)
	tab.CommitRun("a", 20, nil, 0)
	want(t, "20 after a run of none", tab.Check("a", 20, 0), nil)
}

// newRunTable returns a table with one window, of a, from 10 on until 100.
func newRunTable(t *testing.T) *replay.Table[string] {
	t.Helper()
	tab := replay.NewTable[string](2)
	if tab.Has("a", 0) {
		t.Error("an empty table has a window")
	}
	want(t, "Open", tab.Open("a", 10, 100, 0), nil)
	if !tab.Has("a", 99) || tab.Has("a", 100) || tab.Has("b", 0) {
		t.Error("Has is wrong")
	}
	return tab
}

// A run does what as many commits do.
func TestCommitRunAgainstCommit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	runs, ones := replay.NewTable[int](1), replay.NewTable[int](1)
	want(t, "Open", runs.Open(1, 1, 100, 0), nil)
	want(t, "Open", ones.Open(1, 1, 100, 0), nil)
	last := uint64(1)
	for range 2000 {
		first := last - min(last, rng.Uint64N(replay.Size+300)) + rng.Uint64N(600)
		verdicts := make([]error, rng.IntN(1100))
		runs.CommitRun(1, first, verdicts, 0)
		for i, got := range verdicts {
			counter := first + uint64(i)
			if err := ones.Commit(1, counter, 0); !errors.Is(got, err) {
				t.Fatalf("seed %d: counter %d in a run: %v, alone: %v", seed, counter, got, err)
			}
			last = max(last, counter)
		}
	}
}

func TestOneOwnerHasItsShareAndNoMore(t *testing.T) {
	tab := replay.NewSharedTable[int](6, 2)
	want(t, "first", tab.OpenFor("a", 1, 1, 100, 0), nil)
	want(t, "second", tab.OpenFor("a", 2, 1, 200, 0), nil)
	want(t, "beyond the share", tab.OpenFor("a", 3, 1, 200, 0), replay.ErrFull)
	want(t, "one that it has", tab.OpenFor("a", 2, 1, 200, 0), nil)
	want(t, "of another", tab.OpenFor("b", 4, 1, 200, 0), nil)
	want(t, "of nobody", tab.Open(5, 1, 200, 0), nil)
	want(t, "of nobody again", tab.Open(6, 1, 200, 0), nil)
	want(t, "of nobody beyond the share", tab.Open(7, 1, 200, 0), replay.ErrFull)
	want(t, "of a third", tab.OpenFor("c", 8, 1, 200, 0), nil)
	want(t, "beyond the limit", tab.OpenFor("d", 9, 1, 200, 0), replay.ErrFull)
	want(t, "when one has ended", tab.OpenFor("a", 3, 1, 200, 100), nil)
	want(t, "beyond the share again", tab.OpenFor("a", 9, 1, 200, 100), replay.ErrFull)
	want(t, "beyond the limit again", tab.OpenFor("d", 9, 1, 200, 100), replay.ErrFull)
}
