package node

import (
	"testing"
	"time"
)

func TestStrangersCannotFillTheTrail(t *testing.T) {
	var s strangers
	now := time.Unix(1000, 0)
	for i := range strangersPerSecond {
		if record, leftOut := s.admit(now); !record || leftOut != 0 {
			t.Fatalf("refusal %d: %t %d", i, record, leftOut)
		}
	}
	for range 137 {
		if record, _ := s.admit(now.Add(999 * time.Millisecond)); record {
			t.Fatal("recorded above the bound")
		}
	}
	record, leftOut := s.admit(now.Add(time.Second))
	if !record || leftOut != 137 {
		t.Fatalf("the next second: %t, %d left out", record, leftOut)
	}
	if got, want := noted("refused", leftOut), "refused; 137 more were not recorded"; got != want {
		t.Fatalf("%q", got)
	}
	if got := noted("refused", 0); got != "refused" {
		t.Fatalf("%q", got)
	}
}
