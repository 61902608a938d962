package memlog_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
	"github.com/seed-3e86d5b2/conclave/consensus/memlog"
)

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T, machine consensus.Machine) consensus.Log { return memlog.New(machine) })
}

func TestFailNext(t *testing.T) {
	tests := []struct {
		name    string
		fault   memlog.Fault
		want    error
		applied bool
	}{
		{"no fault", 0, nil, true},
		{"not leader", memlog.NotLeader, consensus.ErrNotLeader, false},
		{"uncertain, lost", memlog.UncertainLost, consensus.ErrUncertain, false},
		{"uncertain, applied", memlog.UncertainApplied, consensus.ErrUncertain, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			machine := new(logtest.Recorder)
			log := memlog.New(machine)
			log.FailNext(test.fault)
			result, index, err := log.Append(t.Context(), []byte("a"))
			if !errors.Is(err, test.want) {
				t.Fatalf("Append: %v, want %v", err, test.want)
			}
			if err != nil && (result != nil || index != 0) {
				t.Errorf("failed Append returned %q, %d", result, index)
			}
			if applied := len(machine.Entries()) == 1; applied != test.applied {
				t.Errorf("applied: %v, want %v", applied, test.applied)
			}
			if _, _, err := log.Append(t.Context(), []byte("b")); err != nil {
				t.Errorf("Append after the fault: %v", err)
			}
		})
	}
}

func TestFailNextKeepsOrder(t *testing.T) {
	log := memlog.New(new(logtest.Recorder))
	log.FailNext(memlog.NotLeader)
	log.FailNext(memlog.UncertainLost, 0, memlog.NotLeader)
	var got []error
	for range 5 {
		_, _, err := log.Append(t.Context(), nil)
		got = append(got, err)
	}
	want := []error{consensus.ErrNotLeader, consensus.ErrUncertain, nil, consensus.ErrNotLeader, nil}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
