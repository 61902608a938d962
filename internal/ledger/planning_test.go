package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// plan returns what would have become of the newest decision.
func (c court) plan(t *testing.T, changes ...func(*policy.Policy)) ledger.Planned {
	t.Helper()
	p := c.with(changes...)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	planned := c.Ledger.Plan(p, 1)
	if len(planned) != 1 {
		t.Fatalf("%d planned", len(planned))
	}
	return planned[0]
}

func TestPlan(t *testing.T) {
	class := func(pattern string, to consensus.Class) func(*policy.Policy) {
		return func(p *policy.Policy) {
			for i := range p.Kinds {
				if p.Kinds[i].Pattern == pattern {
					p.Kinds[i].Class = to
				}
			}
		}
	}
	deny := func(p *policy.Policy) {
		for i := range p.Kinds {
			p.Kinds[i].Class, p.Kinds[i].Deny, p.Kinds[i].Steps, p.Kinds[i].Window = consensus.R3, true, nil, 0
		}
	}
	three := func(p *policy.Policy) { p.Classes[2].Approvals, p.Classes[3].Approvals = 3, 3 }
	many := func(p *policy.Policy) { p.Classes[2].Approvals, p.Classes[3].Approvals = 60, 60 }
	proposed := func(c court) { c.Propose(c.worker, c.worker.ID(), "process.exec") }
	for _, row := range []struct {
		name    string
		past    func(c court)
		change  func(*policy.Policy)
		was     consensus.State
		would   consensus.State
		class   consensus.Class
		alone   bool
		refused fault.Code
	}{
		{"the same policy", func(c court) { c.decided() }, func(*policy.Policy) {},
			consensus.Approved, consensus.Approved, consensus.R2, false, ""},
		{"one more approval", func(c court) { c.decided() }, three, consensus.Approved, consensus.Open, consensus.R2, false, ""},
		{"more than could vote", func(c court) { c.decided() }, many,
			consensus.Approved, consensus.Rejected, consensus.R2, false, fault.NoQuorum},
		{"a lower class, alone", func(c court) { c.decided() }, class("process.exec", consensus.R1),
			consensus.Approved, consensus.Approved, consensus.R1, true, ""},
		{"a higher class, met", func(c court) { c.decided() }, class("process.exec", consensus.R3),
			consensus.Approved, consensus.Approved, consensus.R3, false, ""},
		{"denied", func(c court) { c.decided() }, deny, consensus.Approved, consensus.Rejected, consensus.R3, false, fault.Denied},
		{"alone, and now it asks", func(c court) { c.Propose(c.worker, c.worker.ID(), "db.read") },
			class("db.read", consensus.R2), consensus.Approved, consensus.Open, consensus.R2, false, ""},
		{"alone, and the level may no more", func(c court) { c.Propose(c.worker, c.worker.ID(), "db.read") },
			func(p *policy.Policy) { p.Levels[3].Alone = 0 }, consensus.Approved, consensus.Open, consensus.R0, false, ""},
		{"the level does not propose", func(c court) { c.decided() },
			func(p *policy.Policy) { p.Levels[3].Rights.Propose, p.Levels[3].Alone = false, 0 },
			consensus.Approved, consensus.Rejected, consensus.R2, false, fault.Denied},
		{"agents' votes no longer weigh", func(c court) {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.reviewer, o, consensus.Approve)
			c.Cast(c.auditor, o, consensus.Approve)
		}, func(p *policy.Policy) { p.Levels[3].Rights.Weight = 0 }, consensus.Approved, consensus.Open, consensus.R2, false, ""},
		{"silence stays silence", func(c court) {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Approve)
			c.Tick(o.Rule.Deadline)
		}, three, consensus.Expired, consensus.Expired, consensus.R2, false, ""},
		{"silence that would have been enough", func(c court) {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Approve)
			c.Tick(o.Rule.Deadline)
		}, func(p *policy.Policy) {
			p.Classes[2] = p.Classes[1]
		}, consensus.Expired, consensus.Approved, consensus.R2, false, ""},
		{"a veto stays a veto", func(c court) {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Reject)
		}, three, consensus.Rejected, consensus.Rejected, consensus.R2, false, ""},
		{"open", proposed, three, consensus.Open, consensus.Open, consensus.R2, false, ""},
		{"cancelled stays so", func(c court) { c.Cancel(c.worker, c.decided()) }, three,
			consensus.Cancelled, consensus.Cancelled, consensus.R2, false, ""},
		{"a permit is never decided alone", func(c court) { c.decided(permit(2)) }, class("process.exec", consensus.R0),
			consensus.Approved, consensus.Approved, consensus.R0, false, ""},
		{"an emergency that is none", func(c court) { c.approve(result[consensus.Opening](t, c.Hand(c.a, c.urgentStop()))) },
			func(p *policy.Policy) { p.Emergency = nil }, consensus.Approved, consensus.Rejected, consensus.R3, false, fault.Denied},
		{"an emergency by three people", func(c court) { c.approve(result[consensus.Opening](t, c.Hand(c.a, c.urgentStop()))) },
			func(p *policy.Policy) {
				e := *p.Emergency
				e.People = 3
				p.Emergency = &e
			}, consensus.Approved, consensus.Open, consensus.R3, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCourt(t)
			row.past(c)
			before, err := c.Ledger.Snapshot()
			wantErr(t, err, "")
			got := c.plan(t, row.change)
			if got.Was.State != row.was || got.Would.State != row.would || got.Would.Class != row.class ||
				got.Would.Alone != row.alone || got.Would.Refused != row.refused {
				t.Errorf("got %+v, and would be %+v", got.Was, got.Would)
			}
			changed := row.was != row.would || got.Was.Class != row.class || got.Was.Alone != row.alone || row.refused != ""
			if got.Changed() != changed {
				t.Errorf("changed is %v", got.Changed())
			}
			after, err := c.Ledger.Snapshot()
			wantErr(t, err, "")
			if string(before) != string(after) {
				t.Error("planning changed the state")
			}
		})
	}
}

// Plan sums up again what a candidate sums up, and goes back as far as it is told, the newest first.
func TestPlanSums(t *testing.T) {
	c := newCourt(t)
	var all []consensus.Opening
	for i := range 4 {
		all = append(all, c.batch(3))
		if i == 1 {
			wantCode(t, c.Cancel(c.worker, all[1]), "")
		}
		c.Tick(10 * minute)
	}
	c.batch(1)
	low := func(p *policy.Policy) {
		for i := range p.Kinds {
			if p.Kinds[i].Pattern == "batch.*" {
				p.Kinds[i].Window = 35 * minute
				p.Kinds[i].Steps = []policy.Step{{Above: 6, Class: consensus.R2}}
			}
		}
	}
	planned := c.Ledger.Plan(c.with(low), 4)
	want := []consensus.Class{consensus.R2, consensus.R2, consensus.R1, consensus.R1} // 3+3+1, 3+3+3, 3+3, 3+3: one was cancelled
	if len(planned) != 4 {
		t.Fatalf("%d planned", len(planned))
	}
	for i, p := range planned {
		if p.Would.Class != want[i] || p.Action.Kind != "batch.run" || p.Proposer != c.worker.ID() {
			t.Errorf("%d: %+v, want %s", i, p, want[i])
		}
	}
	if planned[1].Decision != all[3].Proposal || planned[3].Decision != all[1].Proposal {
		t.Error("not the newest first")
	}
	for most, want := range map[int]int{-1: 0, 0: 0, 2: 2, 5: 5, 99: 5} {
		if got := c.Ledger.Plan(c.Policy, most); len(got) != want {
			t.Errorf("at most %d: %d", most, len(got))
		}
	}
	for _, p := range c.Ledger.Plan(c.Policy, 99) {
		if p.Changed() {
			t.Errorf("by the policy in force %+v would be another", p)
		}
	}
}
