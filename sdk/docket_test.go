package sdk

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// What was asked about is forgotten once nobody votes on it any more, and not before.
func TestPolledForgets(t *testing.T) {
	var p polled
	now := time.UnixMilli(1_790_000_000_000)
	early, late, ended := Digest{1}, Digest{2}, Digest{3}
	p.expire(now)
	for id, deadline := range map[Digest]time.Time{early: now, late: now.Add(time.Minute), ended: now.Add(time.Hour)} {
		if p.has(id) || !p.add(id, deadline) || p.add(id, deadline) || !p.has(id) {
			t.Fatalf("%s is not noted once", id)
		}
	}
	p.remove(ended)
	p.expire(now.Add(overdue))
	if !p.has(early) || !p.has(late) || p.has(ended) {
		t.Errorf("at the deadline: %v", p.ids)
	}
	p.expire(now.Add(overdue + 1))
	if p.has(early) || !p.has(late) {
		t.Errorf("after it: %v", p.ids)
	}
	p.expire(now.Add(time.Hour))
	if len(p.ids) != 0 {
		t.Errorf("in the end: %v", p.ids)
	}
}

// A ballot is given up only for what the registry has answered, never for a failure on the way there.
func TestWhatPasses(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for code, want := range map[fault.Code]bool{
		fault.Denied: false, fault.Expired: false, fault.Spent: false, fault.Misaddressed: false, fault.Quarantined: false,
		fault.Pending: true, fault.Uncertain: true, fault.Unreachable: true, fault.Rate: true, fault.Internal: true,
	} {
		err := fmt.Errorf("asked: %w", fault.New(code, "x"))
		if passes(t.Context(), err) != want || !passes(ended, err) {
			t.Errorf("%s: passes %t", code, !want)
		}
	}
	if !passes(t.Context(), errors.New("a machine's")) {
		t.Error("an error without a code does not pass")
	}
}

// Asked returns how many decisions the agent remembers that its voter functions were asked about, or that it has no vote on.
func Asked(a *Agent) int {
	a.docket.asked.mu.Lock()
	defer a.docket.asked.mu.Unlock()
	return len(a.docket.asked.ids)
}
