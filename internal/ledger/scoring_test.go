package ledger

import (
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

func TestErrorOf(t *testing.T) {
	for _, row := range []struct {
		vote       consensus.Vote
		confidence uint64
		right      bool
		want       uint64
	}{
		{consensus.Approve, 1000, true, 0},
		{consensus.Approve, 1000, false, 1_000_000},
		{consensus.Approve, 900, true, 10_000},
		{consensus.Approve, 900, false, 810_000},
		{consensus.Approve, 500, true, 250_000},
		{consensus.Reject, 1000, true, 1_000_000},
		{consensus.Reject, 1000, false, 0},
		{consensus.Reject, 800, true, 640_000},
		{consensus.Reject, 800, false, 40_000},
		{consensus.Abstain, 500, true, 250_000},
		{consensus.Abstain, 1000, false, 250_000},
		{consensus.Approve, math.MaxUint64, false, 1_000_000},
		{consensus.Reject, math.MaxUint64, true, 1_000_000},
	} {
		if got := errorOf(consensus.Ballot{Vote: row.vote, Confidence: row.confidence}, row.right); got != row.want {
			t.Errorf("%s %d, right %v: %d, want %d", row.vote, row.confidence, row.right, got, row.want)
		}
	}
}

func TestCalibration(t *testing.T) {
	for _, row := range []struct {
		name         string
		n, sum, want uint64
	}{
		{"unproven", 0, 0, 700},
		{"one that was certain and right", 1, 0, 8000 / 11},
		{"one that was certain and wrong", 1, 1_000_000, 7000 / 11},
		{"ten, always at even", 10, 2_500_000, 350},
		{"ten, perfect", 10, 0, 850},
		{"thirty, at a mean of a tenth", 30, 3_000_000, (7000 + 30*600) / 40},
		{"many, perfect", 1_000_000, 0, 999},
		{"many, worse than even", 1_000_000, 900_000_000_000, 0},
		{"a mean that is no whole number", 3, 100_000, (7000 + 3*867) / 13},
		{"as many as can be, perfect", math.MaxUint64, 0, 999},
		{"as many as can be, saturated", math.MaxUint64, math.MaxUint64, 999},
		{"one, saturated", 1, math.MaxUint64, 636},
	} {
		if got := calibration(row.n, row.sum); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
	for n := uint64(1); n < 300; n++ {
		before := uint64(1001)
		for sum := uint64(0); sum <= n*1_000_000; sum += n * 10_000 {
			got := calibration(n, sum)
			if got > before || got > 1000 {
				t.Fatalf("%d settled with an error of %d give %d, and with less %d", n, sum, got, before)
			}
			before = got
		}
	}
}

func TestPlus(t *testing.T) {
	for _, row := range [][3]uint64{
		{0, 0, 0}, {1, 2, 3}, {math.MaxUint64, 0, math.MaxUint64}, {math.MaxUint64, 1, math.MaxUint64},
		{math.MaxUint64 - 1, 1, math.MaxUint64}, {math.MaxUint64, math.MaxUint64, math.MaxUint64},
	} {
		if got := plus(row[0], row[1]); got != row[2] {
			t.Errorf("%d + %d is %d, want %d", row[0], row[1], got, row[2])
		}
	}
}

// A record that is full stays as it is.
func TestScoreSaturates(t *testing.T) {
	m := &Member{Settlements: math.MaxUint64, ErrorSum: 7}
	s := &state{members: map[identity.ID]*Member{m.ID: m}}
	b := consensus.Ballot{Vote: consensus.Approve, Confidence: 1000}
	s.score(b, false)
	if m.Settlements != math.MaxUint64 || m.ErrorSum != 7 {
		t.Errorf("got %+v", m)
	}
	m.Settlements, m.ErrorSum = 1, math.MaxUint64-1
	s.score(b, false)
	if m.Settlements != 2 || m.ErrorSum != math.MaxUint64 {
		t.Errorf("got %+v", m)
	}
}
