package trust_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// paramBounds has a row for each end of each parameter: how to set it, the last value that passes and the next one that
// does not.
var paramBounds = []struct {
	field    string
	set      func(*trust.Params, int64)
	in, out  int64
	unsigned bool
}{
	{"HalfLife.Slow", func(p *trust.Params, x int64) { p.HalfLife.Slow = x }, 60_000, 59_999, false},
	{"HalfLife.Slow", func(p *trust.Params, x int64) { p.HalfLife.Slow = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"HalfLife.Fast", func(p *trust.Params, x int64) { p.HalfLife.Fast = x }, 60_000, 59_999, false},
	{"HalfLife.Fast", func(p *trust.Params, x int64) { p.HalfLife.Fast = x }, 3650 * aDay, math.MaxInt64, false},
	{"HalfLife.Violation", func(p *trust.Params, x int64) { p.HalfLife.Violation = x }, 60_000, 0, false},
	{"HalfLife.Violation", func(p *trust.Params, x int64) { p.HalfLife.Violation = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"HalfLife.Recidivism", func(p *trust.Params, x int64) { p.HalfLife.Recidivism = x }, 60_000, -1, false},
	{"HalfLife.Recidivism", func(p *trust.Params, x int64) { p.HalfLife.Recidivism = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"HalfLife.Suspicion", func(p *trust.Params, x int64) { p.HalfLife.Suspicion = x }, 60_000, math.MinInt64, false},
	{"HalfLife.Suspicion", func(p *trust.Params, x int64) { p.HalfLife.Suspicion = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"HalfLife.Debt", func(p *trust.Params, x int64) { p.HalfLife.Debt = x }, 60_000, 59_999, false},
	{"HalfLife.Debt", func(p *trust.Params, x int64) { p.HalfLife.Debt = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"Prior", func(p *trust.Params, x int64) { p.Prior = trust.Micro(x) }, 1_000_000, 999_999, false},
	{"Prior", func(p *trust.Params, x int64) { p.Prior = trust.Micro(x) }, 1_000_000_000, 1_000_000_001, false},
	{"Gamma", func(p *trust.Params, x int64) { p.Gamma = uint64(x) }, 999, 1000, true},
	{"Daily", func(p *trust.Params, x int64) { p.Daily = trust.Micro(x) }, 1_000_000, 999_999, false},
	{"Daily", func(p *trust.Params, x int64) { p.Daily = trust.Micro(x) }, 1_000_000_000, 1_000_000_001, false},
	{"FromOne", func(p *trust.Params, x int64) { p.FromOne = trust.Micro(x) }, 1, 0, false},
	{"FromOne", func(p *trust.Params, x int64) { p.FromOne = trust.Micro(x) }, 3_000_000, 3_000_001, false},
	{"Rated", func(p *trust.Params, x int64) { p.Rated = trust.Micro(x) }, 0, -1, false},
	{"Rated", func(p *trust.Params, x int64) { p.Rated = trust.Micro(x) }, 1_000_000_000, 1_000_000_001, false},
	{"Allowance", func(p *trust.Params, x int64) { p.Allowance = trust.Micro(x) }, 0, -1, false},
	{"Allowance", func(p *trust.Params, x int64) { p.Allowance = trust.Micro(x) }, 1_000_000_000, 1_000_000_001, false},
	{"Severities[0]", func(p *trust.Params, x int64) { p.Severities[0] = trust.Micro(x) }, 1, 0, false},
	{"Severities[1]", func(p *trust.Params, x int64) { p.Severities[1] = trust.Micro(x) }, 500_000, 499_999, false},
	{"Severities[2]", func(p *trust.Params, x int64) { p.Severities[2] = trust.Micro(x) }, 2_000_000, 1_999_999, false},
	{"Severities[3]", func(p *trust.Params, x int64) { p.Severities[3] = trust.Micro(x) }, 8_000_000, 7_999_999, false},
	{"Severities[3]", func(p *trust.Params, x int64) { p.Severities[3] = trust.Micro(x) }, 1_000_000_000, 1_000_000_001, false},
	{"Alarm", func(p *trust.Params, x int64) { p.Alarm = uint64(x) }, 1000, 1001, true},
	{"Blame", func(p *trust.Params, x int64) { p.Blame = uint64(x) }, 1, 0, false},
	{"Blame", func(p *trust.Params, x int64) { p.Blame = uint64(x) }, 10, 11, true},
	{"Vote", func(p *trust.Params, x int64) { p.Vote = trust.Micro(x) }, 0, -1, false},
	{"Vote", func(p *trust.Params, x int64) { p.Vote = trust.Micro(x) }, 1_000_000, 1_000_001, false},
	{"Sudden", func(p *trust.Params, x int64) { p.Sudden = uint64(x) }, 1000, 1001, true},
	{"Grace", func(p *trust.Params, x int64) { p.Grace = x }, 0, -1, false},
	{"Grace", func(p *trust.Params, x int64) { p.Grace = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"Dwell", func(p *trust.Params, x int64) { p.Dwell = x }, 0, -1, false},
	{"Dwell", func(p *trust.Params, x int64) { p.Dwell = x }, 180 * aDay, 3650*aDay + 1, false},
	{"Longest", func(p *trust.Params, x int64) { p.Longest = x }, 14 * aDay, 14*aDay - 1, false},
	{"Longest", func(p *trust.Params, x int64) { p.Longest = x }, 3650 * aDay, 3650*aDay + 1, false},
	{"Suspect", func(p *trust.Params, x int64) { p.Suspect = uint64(x) }, 1000, 1001, true},
}

func TestParamsRefuseEachBound(t *testing.T) {
	if err := trust.Defaults().Check(); err != nil {
		t.Fatal(err)
	}
	for _, row := range paramBounds {
		p := trust.Defaults()
		row.set(&p, row.in)
		if err := p.Check(); err != nil {
			t.Errorf("%s = %d: %v", row.field, row.in, err)
		}
		refused := []int64{row.out}
		if row.unsigned {
			refused = append(refused, -1) // as a uint64 the greatest there is
		}
		for _, out := range refused {
			row.set(&p, out)
			err := p.Check()
			var named interface{ Field() string }
			if !errors.Is(err, wire.ErrMalformed) || !errors.As(err, &named) || named.Field() != row.field {
				t.Errorf("%s = %d: %v", row.field, out, err)
			} else if !strings.Contains(err.Error(), row.field) {
				t.Errorf("%q does not name %s", err, row.field)
			}
		}
	}
}

func TestZeroParamsAreInvalid(t *testing.T) {
	if err := (trust.Params{}).Check(); !errors.Is(err, wire.ErrMalformed) {
		t.Fatal(err)
	}
}

// TestParamsSurviveTheirEncoding: they are part of a policy.
func TestParamsSurviveTheirEncoding(t *testing.T) {
	raw, err := wire.Encode(trust.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var again trust.Params
	if err := wire.Decode(raw, &again); err != nil || again != trust.Defaults() {
		t.Fatal(again, err)
	}
}
