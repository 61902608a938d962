package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// urgentStop is a's proposal to stop a service at once.
func (c court) urgentStop(change ...func(*consensus.Proposal)) consensus.Proposal {
	p := c.Proposal(c.a.ID(), c.worker.ID(), "service.stop")
	p.Emergency = true
	for _, f := range change {
		f(&p)
	}
	return p
}

// stopped opens an emergency and has two people approve it.
func (c court) stopped(t *testing.T) consensus.Opening {
	t.Helper()
	return c.approve(result[consensus.Opening](t, c.Hand(c.a, c.urgentStop())))
}

func TestEmergency(t *testing.T) {
	runCourt(t, []courtStep{
		{"honest", func(c court) registry.Answer { return c.Hand(c.a, c.urgentStop()) }, ""},
		{"by an agent", func(c court) registry.Answer {
			return c.Hand(c.worker, c.urgentStop(func(p *consensus.Proposal) { p.Proposer = c.worker.ID() }))
		}, ""},
		{"a kind that is not listed", func(c court) registry.Answer {
			return c.Hand(c.a, c.urgentStop(func(p *consensus.Proposal) { p.Action.Kind = "process.exec" }))
		}, fault.Denied},
		{"a kind that is denied", func(c court) registry.Answer {
			return c.Hand(c.a, c.urgentStop(func(p *consensus.Proposal) { p.Action.Kind = "weapon.fire" }))
		}, fault.Denied},
		{"where the policy knows none", func(c court) registry.Answer {
			next := c.Policy
			next.Emergency = nil
			wantCode(t, c.PutPolicy(next, c.a, c.b), "")
			return c.Hand(c.a, c.urgentStop())
		}, fault.Denied},
		{"by its rule, two people do what its class would not", func(c court) registry.Answer {
			return c.Consume(c.worker, c.stopped(t))
		}, ""},
		{"one person is not enough", func(c court) registry.Answer {
			o := result[consensus.Opening](t, c.Hand(c.a, c.urgentStop()))
			c.Cast(c.b, o, consensus.Approve)
			return c.Consume(c.worker, o)
		}, fault.Pending},
		{"agents have no vote", func(c court) registry.Answer {
			return c.Cast(c.reviewer, result[consensus.Opening](t, c.Hand(c.a, c.urgentStop())), consensus.Approve)
		}, fault.Denied},
		{"another while the review is not due", func(c court) registry.Answer {
			c.stopped(t)
			c.Tick(72*hour - 1)
			return c.Hand(c.a, c.urgentStop())
		}, ""},
		{"another while the review is due", func(c court) registry.Answer {
			c.stopped(t)
			c.Tick(72 * hour)
			return c.Hand(c.a, c.urgentStop())
		}, fault.Denied},
		{"what is none while the review is due", func(c court) registry.Answer {
			c.stopped(t)
			c.Tick(72 * hour)
			return c.Hand(c.a, c.urgentStop(func(p *consensus.Proposal) { p.Emergency = false }))
		}, ""},
		{"another after the review", func(c court) registry.Answer {
			o := c.stopped(t)
			c.Tick(72 * hour)
			wantCode(t, c.Hand(c.a, c.urgentStop()), fault.Denied)
			wantCode(t, c.Settle(c.d(), o, false), "")
			return c.Hand(c.a, c.urgentStop())
		}, ""},
		{"one that was rejected needs no review", func(c court) registry.Answer {
			o := result[consensus.Opening](t, c.Hand(c.a, c.urgentStop()))
			c.Cast(c.b, o, consensus.Reject)
			c.Tick(72 * hour)
			return c.Hand(c.a, c.urgentStop())
		}, ""},
		{"one that was taken back before anybody acted needs none", func(c court) registry.Answer {
			o := c.stopped(t)
			wantCode(t, c.Cancel(c.a, o), "")
			c.Tick(72 * hour)
			return c.Hand(c.a, c.urgentStop())
		}, ""},
		{"a voter does not review it", func(c court) registry.Answer {
			o := c.stopped(t)
			wantCode(t, c.Consume(c.worker, o), "")
			return c.Settle(c.b, o, true)
		}, fault.Denied},
	})
}

// An emergency keeps its class and has the policy's emergency rule; its review is shown until it was done, and what it
// blocks names it.
func TestEmergencyIsLoud(t *testing.T) {
	c := newCourt(t)
	o := c.stopped(t)
	if !o.Emergency || o.Class != consensus.R3 || o.Rule != c.Policy.Emergency.Rule() || o.Alone {
		t.Errorf("got %+v", o)
	}
	for _, v := range o.Voters {
		if !v.Person() {
			t.Errorf("%s votes", v.ID)
		}
	}
	approvedAt := c.Now
	c.Tick(minute)
	second := c.stopped(t)
	c.Ledger = restored(t, c.World, c.Ledger)
	want := []ledger.Review{
		{Decision: o.Proposal, At: approvedAt, Due: approvedAt + 72*hour},
		{Decision: second.Proposal, At: c.Now, Due: c.Now + 72*hour},
	}
	if got := c.Ledger.Reviews(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Tick(72*hour - minute)
	want[0].Over = true
	if got := c.Ledger.Reviews(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if answer := c.Hand(c.a, c.urgentStop()); !strings.Contains(answer.Message, o.Proposal.String()) {
		t.Errorf("%q does not name %s", answer.Message, o.Proposal)
	}
	wantCode(t, c.Settle(c.d(), o, true), "")
	if got := c.Ledger.Reviews(); len(got) != 1 || got[0] != want[1] {
		t.Errorf("got %+v", got)
	}
	agree(t, c.World, 3)
}
