package ledger_test

import (
	"maps"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestCensus(t *testing.T) {
	s := standard(t)
	active := ledger.Kind{Role: identity.Agent, Status: trust.Active}
	silent := ledger.Kind{Role: identity.Agent, Status: trust.Quarantined}
	before := s.Ledger.Census()
	if before.Commands != s.Ledger.Size() || before.Principals[active] < 2 || len(before.Decisions) != 0 {
		t.Fatalf("before: %+v", before)
	}
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Propose(s.worker, s.worker.ID(), "process.exec")
	if got := s.Ledger.Census().Decisions; !maps.Equal(got, map[consensus.State]int{consensus.Open: 2}) {
		t.Errorf("two proposals: %v", got)
	}
	s.Cast(s.b, o, consensus.Approve)
	s.Cast(s.c, o, consensus.Approve)
	if got := s.Ledger.Census().Decisions; !maps.Equal(got, map[consensus.State]int{consensus.Open: 1, consensus.Approved: 1}) {
		t.Errorf("one approved: %v", got)
	}
	s.Tick(o.Rule.Deadline)
	if got := s.Ledger.Census().Decisions; !maps.Equal(got, map[consensus.State]int{consensus.Expired: 1, consensus.Approved: 1}) {
		t.Errorf("one left to silence: %v", got)
	}
	wantCode(t, s.Do(s.a, registry.TypeStatus, quarantine(s.reviewer.ID())), "")
	after := s.Ledger.Census()
	if after.Principals[active] != before.Principals[active]-1 || after.Principals[silent] != 1 {
		t.Errorf("one quarantined: %v, before %v", after.Principals, before.Principals)
	}
	if after.Commands <= before.Commands || after.Commands != s.Ledger.Size() {
		t.Errorf("%d commands, before %d", after.Commands, before.Commands)
	}
}
