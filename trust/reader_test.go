package trust

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// TestRestoreRefusesWhatNoBookHolds: every row is an account that could be written, but that no book comes to.
func TestRestoreRefusesWhatNoBookHolds(t *testing.T) {
	operator := func(n int) identity.ID { return identity.ID{byte(identity.Operator), byte(n)} }
	many := func(n int) (all []voice) {
		for i := range n {
			all = append(all, voice{operator: operator(i + 1)})
		}
		return all
	}
	restore := func(spoil func(*Account)) error {
		b := NewBook(Defaults(), nil)
		id := identity.ID{byte(identity.Agent), 1}
		b.Open(id, operator(1), identity.Steward, 1000)
		a := b.agents[id]
		a.voices, a.Samples = append(many(maxVoices), voice{}), []Sample{{Day: 3}, {Day: 4}}
		a.Traces = []Trace{{Act: Outcome, By: operator(1), Statement: wire.Digest{1}}}
		spoil(a)
		raw := b.AppendAccount(nil, id)
		again := NewBook(Defaults(), nil)
		err := again.RestoreAccount(raw)
		if err == nil && !bytes.Equal(again.AppendAccount(nil, id), raw) {
			t.Error("restored as something else")
		}
		return err
	}
	if err := restore(func(*Account) {}); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Account){
		"a time beyond the last":    func(a *Account) { a.At = latest + 1 },
		"a negative amount":         func(a *Account) { a.FastBad = -1 },
		"an amount over the bound":  func(a *Account) { a.Good[2] = most + 1 },
		"suspicion over 1000":       func(a *Account) { a.Suspicion = 1000*Unit + 1 },
		"fairness over 1000":        func(a *Account) { a.Fairness = fair + 1 },
		"an operator twice":         func(a *Account) { a.voices[1].operator = operator(1) },
		"33 operators and no crowd": func(a *Account) { a.voices[maxVoices].operator = operator(99) },
		"34 voices":                 func(a *Account) { a.voices = append(a.voices, voice{operator: operator(99)}) },
		"a voice over the bound":    func(a *Account) { a.voices[0].rated = most + 1 },
		"17 traces":                 func(a *Account) { a.Traces = make([]Trace, maxTraces+1) },
		"an act that there is not":  func(a *Account) { a.Traces[0].Act = Settled + 1 },
		"a class that there is not": func(a *Account) { a.Traces[0].Class = Classes },
		"a cap that there is not":   func(a *Account) { a.Traces[0].Cap = ByNothing + 1 },
		"a trace's score over 1000": func(a *Account) { a.Traces[0].Score = 1001 },
		"17 turns":                  func(a *Account) { a.Turns = make([]Turn, maxTurns+1) },
		"a level that there is not": func(a *Account) { a.Turns[0].To = identity.Steward + 1 },
		"181 samples":               func(a *Account) { a.Samples = make([]Sample, maxSamples+1) },
		"a day twice":               func(a *Account) { a.Samples[0].Day = 4 },
		"days that go back":         func(a *Account) { a.Samples[0].Day = 5 },
		"a sample's score over":     func(a *Account) { a.Samples[0].Score = 1001 },
		"a sample's level over":     func(a *Account) { a.Samples[0].Level = identity.Steward + 1 },
	} {
		if err := restore(spoil); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNobodyIsLeftOut: where a trace says that there is somebody, there is.
func TestNobodyIsLeftOut(t *testing.T) {
	for _, trace := range []Trace{{Act: Outcome, By: identity.ID{1}}, {Act: Outcome, Statement: wire.Digest{1}}, {Act: Alarm}} {
		raw := trace.append(nil)
		r := &reader{rest: raw}
		if got := r.trace(); r.end("trace") != nil || got != trace {
			t.Fatalf("%+v, not %+v", got, trace)
		}
		for has := byte(1); has <= 4; has++ { // as if there were somebody, who is nobody
			empty := append([]byte{has}, raw[1:4]...)
			empty = append(append(empty, make([]byte, 33+32)...), raw[len(raw)-5:]...)
			r := &reader{rest: empty}
			if r.trace(); r.why == "" {
				t.Errorf("%d: taken", has)
			}
		}
	}
}

func TestNumbersHaveOneForm(t *testing.T) {
	for _, row := range []struct {
		raw  []byte
		want uint64
		ok   bool
	}{
		{[]byte{0}, 0, true}, {[]byte{5}, 5, true}, {[]byte{0x80, 1}, 128, true}, {[]byte{0xff, 0xff, 3}, 65535, true},
		{[]byte{0x80, 0}, 0, false}, {[]byte{0x85, 0}, 0, false}, {[]byte{0x80}, 0, false}, {nil, 0, false},
		{[]byte{0x80, 0x80, 4}, 0, false}, // 65536
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, 0, false},
	} {
		r := &reader{rest: row.raw}
		if got := r.number(65535); got != row.want || (r.end("number") == nil) != row.ok {
			t.Errorf("%x: %d, %q", row.raw, got, r.why)
		}
	}
}
