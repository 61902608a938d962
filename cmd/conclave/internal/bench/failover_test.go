package bench

import (
	"context"
	"errors"
	"testing"
	"time"
)

// at makes an acceptance begun and ended so many milliseconds after a beginning.
func at(begun, ended int) acceptance {
	zero := time.Unix(1_000_000, 0)
	return acceptance{begun: zero.Add(time.Duration(begun) * time.Millisecond), ended: zero.Add(time.Duration(ended) * time.Millisecond)}
}

// TestGauges reads outages off literals. The node was told to end at 100 and was gone at 150.
func TestGauges(t *testing.T) {
	from, gone := at(100, 0).begun, at(150, 0).begun
	for _, row := range []struct {
		name       string
		accepted   [][]acceptance
		next, last time.Duration // until one begun after 100 was accepted: of any clerk, of all
		gap, worst time.Duration // without any accepted, until one begun after 150 was; of one clerk
	}{
		{"one clerk, cut once", [][]acceptance{{at(90, 95), at(98, 400), at(405, 410)}}, 310, 310, 300, 300},
		{"one that does not count before the end", [][]acceptance{{at(90, 105), at(110, 120), at(125, 400), at(401, 405)}}, 20, 20, 280, 280},
		{"two clerks, one goes on", [][]acceptance{
			{at(90, 130), at(131, 140), at(141, 180), at(181, 185)},
			{at(90, 500), at(501, 505)},
		}, 40, 405, 40, 400},
		{"late ones do not count", [][]acceptance{{at(101, 110), at(151, 160), at(161, 900)}}, 10, 10, 50, 50},
	} {
		next, last := untilNext(row.accepted, from, gone)
		gap, worst := longestGap(row.accepted, from, gone)
		ms := time.Millisecond
		if next != row.next*ms || last != row.last*ms || gap != row.gap*ms || worst != row.worst*ms {
			t.Errorf("%s: next %s, last %s, gap %s, worst %s", row.name, next, last, gap, worst)
		}
	}
}

func TestJournal(t *testing.T) {
	j := newJournal(2)
	after := at(100, 0).begun
	j.add(0, at(101, 102), nil)
	j.add(1, at(99, 103), nil)
	if err := j.await(t.Context(), after, time.Millisecond); !errors.Is(err, errNoneAccepted) {
		t.Errorf("one of two: %v", err)
	}
	j.add(1, at(101, 105), errNoneAccepted)
	if j.all(after) || j.failed != 1 {
		t.Error("a failed command counts as accepted")
	}
	done := make(chan error, 1)
	go func() { done <- j.await(t.Context(), after, time.Minute) }()
	j.add(1, at(101, 105), nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.await(ctx, at(200, 0).begun, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
