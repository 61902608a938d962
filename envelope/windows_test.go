package envelope

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/replay"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	toProcess = ToProcess(identity.NewID(identity.Agent, wire.PublicKey{1}), wire.Digest{1})
	toTopic   = ToTopic(topic)
	sender    = wire.Digest{42}
	owner     = identity.NewID(identity.Agent, wire.PublicKey{2})
)

func TestLiveWindows(t *testing.T) {
	const until = int64(1000)
	type step struct {
		to      Destination
		counter uint64
		at      int64
		want    error
	}
	for name, c := range map[string]struct {
		join  uint64 // 0: none
		steps []step
	}{
		"process in order":     {0, []step{{toProcess, 1, 0, nil}, {toProcess, 2, 0, nil}}},
		"process out of order": {0, []step{{toProcess, 3, 0, nil}, {toProcess, 1, 0, nil}, {toProcess, 3, 0, ErrReplayed}}},
		"process jumps": {0, []step{{toProcess, replay.MaxJump, 0, nil},
			{toProcess, replay.MaxJump - replay.Size, 0, errOutside}}},
		"process jumps too far":     {0, []step{{toProcess, replay.MaxJump + 1, 0, errOutside}, {toProcess, 1, 0, nil}}},
		"process of the past":       {0, []step{{toProcess, 1, until, identity.ErrExpired}}},
		"counter 0":                 {0, []step{{toProcess, 0, 0, errOutside}}},
		"topic not joined":          {0, []step{{toTopic, 1, 0, ErrNotJoined}}},
		"topic joined":              {7, []step{{toTopic, 6, 0, errOutside}, {toTopic, 7, 0, nil}, {toTopic, 7, 0, ErrReplayed}}},
		"join ended":                {7, []step{{toTopic, 7, until, ErrNotJoined}}},
		"another topic than joined": {7, []step{{ToTopic("other"), 7, 0, ErrNotJoined}}},
		"topic and process apart":   {1, []step{{toTopic, 1, 0, nil}, {toProcess, 1, 0, nil}}},
		"full":                      {1, []step{{toProcess, 1, 0, nil}, {ToProcess(toProcess.Agent, wire.Digest{2}), 1, 0, ErrWindowFull}}},
		"inbox":                     {0, []step{{ToInbox(toProcess.Agent, wire.Digest{1}), 1, 0, errVolatile}}},
	} {
		w := NewLiveWindows(2)
		if c.join > 0 {
			must(t, w.Join(owner, Stream{sender, toTopic}, c.join, until, 0))
		}
		for i, s := range c.steps {
			use := Uses{From: owner, Stream: Stream{sender, s.to}, First: s.counter, Until: until}
			if err := commitOne(w, use, s.at); !errors.Is(err, s.want) {
				t.Errorf("%s, step %d: %v, want %v", name, i, err, s.want)
			}
		}
	}
}

// A second join never brings a counter back.
func TestJoinAgain(t *testing.T) {
	w, s := NewLiveWindows(1), Stream{sender, toTopic}
	must(t, w.Join(owner, s, 5, 1000, 0))
	must(t, commitOne(w, Uses{From: owner, Stream: s, First: 5, Until: 1000}, 0))
	must(t, w.Join(owner, s, 1, 1000, 0))
	if err := commitOne(w, Uses{From: owner, Stream: s, First: 5, Until: 1000}, 0); !errors.Is(err, ErrReplayed) {
		t.Errorf("got %v", err)
	}
	if err := w.Join(owner, s, 1, 1000, 1000); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("join of the past: %v", err)
	}
	if err := w.Join(owner, Stream{wire.Digest{1}, toTopic}, 1, 1000, 0); !errors.Is(err, ErrWindowFull) ||
		fault.CodeOf(err) != fault.WindowFull {
		t.Errorf("full: %v", err)
	}
	if err := NewLiveWindows(0).Join(owner, s, 1, 1000, 0); !errors.Is(err, ErrWindowFull) {
		t.Errorf("no room at all: %v", err)
	}
}

// Of concurrent commits of one counter exactly one succeeds.
func TestCommitConcurrently(t *testing.T) {
	w := NewLiveWindows(1)
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for counter := uint64(1); counter <= 200; counter++ {
				if commitOne(w, Uses{From: owner, Stream: Stream{sender, toProcess}, First: counter, Until: 1000}, 0) == nil {
					accepted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 200 {
		t.Errorf("%d accepted of 200", accepted.Load())
	}
}

func TestCounters(t *testing.T) {
	var c Counters
	if c.First(toTopic) != 1 {
		t.Errorf("first %d", c.First(toTopic))
	}
	for want := uint64(1); want <= 3; want++ {
		if got := c.Next(toTopic); got != want {
			t.Errorf("next %d, want %d", got, want)
		}
	}
	if c.Next(toProcess) != 1 || c.First(toTopic) != 4 {
		t.Error("destinations share counters")
	}
}

// Who comes with fresh credentials again and again fills its own share alone, until they end.
func TestOnePrincipalDoesNotFillTheWindows(t *testing.T) {
	w := NewLiveWindows(shares * leastShare)
	other := identity.NewID(identity.Agent, wire.PublicKey{3})
	use := func(from identity.ID, n int, at int64) error {
		s := Stream{wire.Digest{byte(n), byte(n >> 8), 1}, toProcess}
		return commitOne(w, Uses{From: from, Stream: s, First: 1, Until: 1000}, at)
	}
	for n := range leastShare {
		must(t, use(owner, n, 0))
	}
	if err := use(owner, leastShare, 0); !errors.Is(err, ErrWindowFull) {
		t.Errorf("beyond its share: %v", err)
	}
	if err := w.Join(owner, Stream{sender, toTopic}, 1, 1000, 0); !errors.Is(err, ErrWindowFull) {
		t.Errorf("a topic beyond its share: %v", err)
	}
	if err := use(owner, 0, 0); !errors.Is(err, ErrReplayed) {
		t.Errorf("a replay: %v", err)
	}
	must(t, use(other, leastShare, 0))
	must(t, w.Join(other, Stream{sender, toTopic}, 1, 2000, 0))
	must(t, commitOne(w, Uses{From: owner, Stream: Stream{wire.Digest{9}, toProcess}, First: 1, Until: 3000}, 1000))
}
