package load_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/load"
)

// lines is a file in memory; the recorder writes to it from one goroutine at a time.
type lines struct{ buffer bytes.Buffer }

func (l *lines) Write(b []byte) (int, error) { return l.buffer.Write(b) }
func (l *lines) reader() io.Reader           { return &l.buffer }

func TestRecorderDatesAndStamps(t *testing.T) {
	rec := load.NewRecorder(nil, "run", 9)
	before := rec.Now()
	rec.Add(check.Event{Op: check.Act, Agent: "a", Start: before, Result: check.OK})
	rec.Add(check.Event{Op: check.Act, Agent: "a", Start: 1, End: 2, Result: check.OK})
	h := rec.History()
	if h[0].Run != "run" || h[0].Seed != 9 || h[0].End < before || h[0].End > rec.Now() || h[1].End != 2 {
		t.Errorf("%+v", h)
	}
	if off := time.Duration(time.Now().UnixNano() - rec.Now()).Abs(); off > time.Minute {
		t.Errorf("the clock is %v off", off)
	}
}

func TestRecorderKeepsWhatADiskDoesNot(t *testing.T) {
	rec := load.NewRecorder(broken{}, "run", 9)
	for range 2 {
		rec.Add(check.Event{Op: check.Act, Agent: "a", Start: 1, Result: check.OK})
	}
	if len(rec.History()) != 2 || !errors.Is(rec.Err(), errBroken) {
		t.Errorf("%d events: %v", len(rec.History()), rec.Err())
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestCountsTellWhatDidNotHappen(t *testing.T) {
	c := load.Count([]check.Event{{Op: check.Call, Result: check.OK}, {Op: check.Call, Result: check.OK}, {Op: check.Write, Result: check.Unknown}})
	if got := c.String(); got != "call 2 ok, 0 refused, 0 unknown; write 0 ok, 0 refused, 1 unknown" {
		t.Error(got)
	}
	if err := c.Happened(check.Call); err != nil {
		t.Error(err)
	}
	if err := c.Happened(check.Call, check.Write, check.Act); err == nil || !strings.Contains(err.Error(), "no write") || !strings.Contains(err.Error(), "no act") {
		t.Error(err)
	}
}

func TestLongestGap(t *testing.T) {
	at := func(end int64, r check.Result) check.Event { return check.Event{Op: check.Write, End: end, Result: r} }
	gap, began := load.Longest([]check.Event{at(30, check.OK), at(1, check.OK), at(15, check.Unknown), at(3, check.OK), {Op: check.Call, End: 20}}, check.Write)
	if gap != 27 || began != 3 {
		t.Errorf("%d from %d", gap, began)
	}
	if gap, _ := load.Longest(nil, check.Write); gap != 0 {
		t.Errorf("nothing, and a gap of %d", gap)
	}
}
