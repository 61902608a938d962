package check_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/integration/check"
)

func TestHistoryIsWrittenAndRead(t *testing.T) {
	var all []check.Event
	for _, p := range pairs {
		all = append(all, p.honest...)
	}
	var file bytes.Buffer
	if err := check.Append(&file, all...); err != nil {
		t.Fatal(err)
	}
	got, err := check.Read(&file)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Fatalf("%d of %d events came back: %v", len(got), len(all), err)
	}
}

func TestReadIsStrict(t *testing.T) {
	const good = `{"op":"call","agent":"a","start":1,"end":2,"result":"ok"}`
	if list, err := check.Read(strings.NewReader(good + "\n" + good)); err != nil || len(list) != 2 {
		t.Fatalf("%d events: %v", len(list), err)
	}
	for name, line := range map[string]string{
		"unknown field":     `{"op":"call","agent":"a","start":1,"end":2,"result":"ok","other":1}`,
		"unknown operation": `{"op":"shout","agent":"a","start":1,"end":2,"result":"ok"}`,
		"unknown result":    `{"op":"call","agent":"a","start":1,"end":2,"result":"perhaps"}`,
		"ends too early":    `{"op":"call","agent":"a","start":3,"end":2,"result":"ok"}`,
		"two in a line":     good + good,
		"half a line":       good[:20],
		"empty line":        "",
	} {
		if list, err := check.Read(strings.NewReader(good + "\n" + line + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %d events, %v", name, len(list), err)
		}
	}
}

func TestAppendReportsAFullDisk(t *testing.T) {
	if err := check.Append(full{}, news("r", "s", 1, 1)); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func FuzzRead(f *testing.F) {
	for _, p := range pairs {
		var b bytes.Buffer
		_ = check.Append(&b, p.bad...) // a buffer takes everything
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		history, err := check.Read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := check.Append(&again, history...); err != nil {
			t.Fatal(err)
		}
		second, err := check.Read(&again)
		if err != nil || len(second) != len(history) {
			t.Fatalf("%d events, then %d: %v", len(history), len(second), err)
		}
	})
}
