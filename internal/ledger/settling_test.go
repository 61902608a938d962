package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func TestCancel(t *testing.T) {
	byD := func(p *consensus.Proposal) { p.Executor = p.Proposer }
	runCourt(t, []courtStep{
		{"open, by the proposer", func(c court) registry.Answer {
			return c.Cancel(c.worker, c.Propose(c.worker, c.worker.ID(), "process.exec"))
		}, ""},
		{"open, by its operator", func(c court) registry.Answer {
			return c.Cancel(c.a, c.Propose(c.worker, c.worker.ID(), "process.exec"))
		}, ""},
		{"a person's own", func(c court) registry.Answer {
			return c.Cancel(c.d(), c.Propose(c.d(), c.worker.ID(), "process.exec", byD))
		}, ""},
		{"approved and not consumed", func(c court) registry.Answer { return c.Cancel(c.worker, c.decided()) }, ""},
		{"decided alone and not consumed", func(c court) registry.Answer {
			return c.Cancel(c.a, c.Propose(c.worker, c.worker.ID(), "db.read"))
		}, ""},
		{"a permit of which some is left", func(c court) registry.Answer {
			o := c.decided(permit(2))
			wantCode(t, c.Consume(c.worker, o, run("host/1", "/src/a", 1)), "")
			return c.Cancel(c.worker, o)
		}, ""},
		{"a permit of which nothing is left", func(c court) registry.Answer {
			o := c.decided(permit(1))
			wantCode(t, c.Consume(c.worker, o, run("host/1", "/src/a", 1)), "")
			return c.Cancel(c.worker, o)
		}, fault.Spent},
		{"for the proposer, who is quarantined", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Must(c.b, registry.TypeStatus, quarantine(c.worker.ID()))
			wantCode(t, c.Cancel(c.worker, o), fault.Quarantined)
			return c.Cancel(c.a, o)
		}, ""},
		{"by another operator", func(c court) registry.Answer {
			return c.Cancel(c.b, c.Propose(c.worker, c.worker.ID(), "process.exec"))
		}, fault.Denied},
		{"by the executor", func(c court) registry.Answer {
			return c.Cancel(c.auditor, c.Propose(c.worker, c.auditor.ID(), "process.exec"))
		}, fault.Denied},
		{"by another agent of the operator", func(c court) registry.Answer {
			sibling := c.Agent(c.a, "sibling", identity.Journeyer)
			return c.Cancel(sibling, c.Propose(c.worker, c.worker.ID(), "process.exec"))
		}, fault.Denied},
		{"consumed", func(c court) registry.Answer {
			o := c.decided()
			c.Consume(c.worker, o)
			return c.Cancel(c.worker, o)
		}, fault.Spent},
		{"nobody can act on it any more", func(c court) registry.Answer {
			o := c.decided()
			c.Tick(o.Rule.Window)
			return c.Cancel(c.worker, o)
		}, fault.Expired},
		{"rejected", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Reject)
			return c.Cancel(c.worker, o)
		}, fault.Spent},
		{"twice", func(c court) registry.Answer {
			o := c.decided()
			c.Cancel(c.worker, o)
			return c.Cancel(c.a, o)
		}, fault.Spent},
		{"longest reason", func(c court) registry.Answer {
			return c.Do(c.worker, registry.TypeCancel, registry.Cancel{
				Proposal: c.decided().Proposal, Reason: strings.Repeat("x", registry.MaxDetail),
			})
		}, ""},
		{"too long a reason", func(c court) registry.Answer {
			return c.Do(c.worker, registry.TypeCancel, registry.Cancel{
				Proposal: c.decided().Proposal, Reason: strings.Repeat("x", registry.MaxDetail+1),
			})
		}, fault.TooLarge},
		{"of an unknown decision", func(c court) registry.Answer {
			return c.Do(c.worker, registry.TypeCancel, registry.Cancel{})
		}, fault.Unknown},
		{"another body", func(c court) registry.Answer { return c.Do(c.worker, registry.TypeCancel, registry.Tick{}) },
			fault.Malformed},
	})
}

// What was cancelled is over: nobody votes on it, and no certificate is made.
func TestCancelledIsOver(t *testing.T) {
	c := newCourt(t)
	open, approved := c.Propose(c.worker, c.worker.ID(), "process.exec"), c.decided()
	for _, o := range []consensus.Opening{open, approved} {
		answer := c.Cancel(c.worker, o)
		verdict := result[consensus.Verdict](t, answer)
		want := consensus.Verdict{Proposal: o.Proposal, State: consensus.Cancelled, At: c.Now}
		d := find(t, c.World, o)
		if verdict != want || d.Verdict != want || d.Reason != "not needed" || d.Decided.Index != answer.Index ||
			d.Decided.Result != wire.Hash(answer.Result) {
			t.Errorf("got %+v, %+v", verdict, d)
		}
		wantCode(t, c.Cast(c.d(), o, consensus.Approve), fault.Spent)
		head, size := c.Head()
		_, err := c.Ledger.Certificate(o.Proposal, head, size)
		wantErr(t, err, fault.Rejected)
		c.Ledger = restored(t, c.World, c.Ledger)
	}
	if next := c.Ledger.NextDeadline(); next != 0 {
		t.Errorf("open until %d", next)
	}
	agree(t, c.World, 4)
}

// batch proposes that the worker does so much of one summed-up kind.
func (c court) batch(amount uint64, change ...func(*consensus.Proposal)) consensus.Opening {
	return c.Propose(c.worker, c.worker.ID(), "batch.run", append(change, func(p *consensus.Proposal) {
		p.Action = consensus.NewAction("batch.run", "table", nil)
		p.Action.Amount = amount
	})...)
}

// What was taken back does not add up; what was done of it before does.
func TestCancelledAmounts(t *testing.T) {
	c := newCourt(t)
	if o := c.batch(6); !o.Alone || o.Sum != 6 {
		t.Fatalf("got %+v", o)
	}
	second := c.batch(6)
	if second.Alone || second.Sum != 12 || second.Class != consensus.R2 {
		t.Fatalf("got %+v", second)
	}
	wantCode(t, c.Cancel(c.worker, second), "")
	if third := c.batch(4); third.Sum != 10 || third.Class != consensus.R1 {
		t.Errorf("got %+v", third)
	}
	c.Tick(hour + 15*minute) // all that is too long ago, and so is the time in which it could be done
	p := c.approve(c.batch(2, func(p *consensus.Proposal) {
		p.Permit = &consensus.Permit{Uses: 4, Until: p.Issued + hour}
	}))
	if p.Sum != 8 {
		t.Errorf("a permit for 4 times 2 adds up to %d", p.Sum)
	}
	a := consensus.NewAction("batch.run", "table", nil)
	a.Amount = 2
	wantCode(t, c.Consume(c.worker, p, a), "")
	wantCode(t, c.Cancel(c.a, p), "")
	c.Ledger = restored(t, c.World, c.Ledger)
	if o := c.batch(1); o.Sum != 3 {
		t.Errorf("one use of 2 and 1 more add up to %d", o.Sum)
	}
}

func TestSettle(t *testing.T) {
	runCourt(t, []courtStep{
		{"by the proposer's operator, who did not vote", func(c court) registry.Answer { return c.Settle(c.a, c.done(), true) }, ""},
		{"by a root who did not vote", func(c court) registry.Answer { return c.Settle(c.d(), c.done(), false) }, ""},
		{"by a voter", func(c court) registry.Answer { return c.Settle(c.b, c.done(), true) }, fault.Denied},
		{"by one who recused itself", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.d(), o, consensus.Recuse)
			c.approve(o)
			wantCode(t, c.Consume(c.worker, o), "")
			return c.Settle(c.d(), o, true)
		}, fault.Denied},
		{"by the executor, a root", func(c court) registry.Answer {
			o := c.decided(func(p *consensus.Proposal) { p.Executor = c.d().ID() })
			wantCode(t, c.Consume(c.d(), o), "")
			return c.Settle(c.d(), o, true)
		}, fault.Denied},
		{"by an agent", func(c court) registry.Answer { return c.Settle(c.worker, c.done(), true) }, fault.Denied},
		{"by an operator who is no root", func(c court) registry.Answer {
			return c.Settle(c.Operator("late", c.a, c.b), c.done(), true)
		}, fault.Denied},
		{"by the proposer's operator, who is no root", func(c court) registry.Answer {
			late := c.Operator("late", c.a, c.b)
			helper := c.Agent(late, "helper", identity.Journeyer)
			o := c.approve(c.Propose(helper, helper.ID(), "process.exec"))
			wantCode(t, c.Consume(helper, o), "")
			return c.Settle(late, o, true)
		}, ""},
		{"by a root that is quarantined", func(c court) registry.Answer {
			o := c.done()
			c.Must(c.a, registry.TypeStatus, quarantine(c.d().ID()))
			return c.Settle(c.d(), o, true)
		}, fault.Quarantined},
		{"twice", func(c court) registry.Answer {
			o := c.done()
			wantCode(t, c.Settle(c.a, o, true), "")
			return c.Settle(c.d(), o, false)
		}, fault.Spent},
		{"while it is open", func(c court) registry.Answer {
			return c.Settle(c.a, c.Propose(c.worker, c.worker.ID(), "process.exec"), true)
		}, fault.Pending},
		{"before anybody acted, who still may", func(c court) registry.Answer { return c.Settle(c.a, c.decided(), true) }, fault.Pending},
		{"when nobody may act any more", func(c court) registry.Answer {
			o := c.decided()
			c.Tick(o.Rule.Window)
			return c.Settle(c.a, o, false)
		}, ""},
		{"of what was rejected", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Reject)
			return c.Settle(c.a, o, false)
		}, ""},
		{"of what was cancelled", func(c court) registry.Answer {
			o := c.decided()
			wantCode(t, c.Cancel(c.worker, o), "")
			return c.Settle(c.a, o, true)
		}, fault.Rejected},
		{"of a permit that was used, and then cancelled", func(c court) registry.Answer {
			o := c.decided(permit(2))
			wantCode(t, c.Consume(c.worker, o, run("host/1", "/src/a", 1)), "")
			wantCode(t, c.Cancel(c.worker, o), "")
			return c.Settle(c.a, o, true)
		}, ""},
		{"of what the policy superseded", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			wantCode(t, c.PutPolicy(c.other(), c.a, c.b), "")
			return c.Settle(c.a, o, true)
		}, fault.Rejected},
		{"longest detail", func(c court) registry.Answer {
			return c.Do(c.a, registry.TypeSettle, registry.Settle{
				Proposal: c.done().Proposal, Detail: strings.Repeat("x", registry.MaxDetail),
			})
		}, ""},
		{"too long a detail", func(c court) registry.Answer {
			return c.Do(c.a, registry.TypeSettle, registry.Settle{
				Proposal: c.done().Proposal, Detail: strings.Repeat("x", registry.MaxDetail+1),
			})
		}, fault.TooLarge},
		{"of an unknown decision", func(c court) registry.Answer { return c.Do(c.a, registry.TypeSettle, registry.Settle{}) },
			fault.Unknown},
		{"another body", func(c court) registry.Answer { return c.Do(c.a, registry.TypeSettle, registry.Tick{}) }, fault.Malformed},
	})
}

// done is a decision that was acted on.
func (c court) done() consensus.Opening {
	o := c.decided()
	c.Must(c.worker, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store})
	return o
}

// Settling scores every ballot that counted, once, and the next electorate shows it.
func TestSettlingScores(t *testing.T) {
	c := newCourt(t)
	say := func(o consensus.Opening, voter identity.Signer, vote consensus.Vote, confidence uint64) {
		b := c.Ballot(voter.ID(), o, vote)
		b.Confidence = confidence
		wantCode(t, c.Vote(voter, b), "")
	}
	o := c.Propose(c.worker, c.worker.ID(), "process.exec")
	say(o, c.auditor, consensus.Reject, 600)
	say(o, c.b, consensus.Abstain, 900)
	say(o, c.reviewer, consensus.Approve, 900)
	say(o, c.c, consensus.Approve, 1000)
	wantCode(t, c.Consume(c.worker, o), "")
	answer := c.Settle(c.a, o, true)
	if body := result[registry.Settle](t, answer); body.Proposal != o.Proposal || !body.Right {
		t.Errorf("got %+v", body)
	}
	c.Ledger = restored(t, c.World, c.Ledger)
	d := find(t, c.World, o)
	if !d.Settled || !d.Settlement.Right || d.SettledAt != c.Now || d.SettledBy != c.a.ID() {
		t.Errorf("got %+v", d)
	}
	for _, row := range []struct {
		voter       identity.Signer
		n, sum      uint64
		calibration uint64 // of an agent: (7000 + k) / 11
	}{
		{c.reviewer, 1, 100 * 100, (7000 + 960) / 11},
		{c.auditor, 1, 600 * 600, 7000 / 11},
		{c.b, 1, 500 * 500, 1000},
		{c.c, 1, 0, 1000},
		{c.d(), 0, 0, 1000},
	} {
		m, err := c.Ledger.Member(row.voter.ID())
		wantErr(t, err, "")
		if m.Settlements != row.n || m.ErrorSum != row.sum {
			t.Errorf("%s: %d settled, error %d, want %d, %d", m.Name, m.Settlements, m.ErrorSum, row.n, row.sum)
		}
		next := c.Propose(c.worker, c.worker.ID(), "process.exec")
		if v, ok := next.Voter(row.voter.ID()); !ok || v.Calibration != row.calibration {
			t.Errorf("%s: calibration %d, want %d", m.Name, v.Calibration, row.calibration)
		}
	}
	agree(t, c.World, 5)
}

// Ballots that did not count are not scored, and nobody is for having recused itself.
func TestSettlingLeavesOut(t *testing.T) {
	c := newCourt(t)
	o := c.Propose(c.worker, c.worker.ID(), "process.exec")
	wantCode(t, c.Cast(c.reviewer, o, consensus.Approve), "")
	wantCode(t, c.Cast(c.auditor, o, consensus.Recuse), "")
	c.Must(c.d(), registry.TypeStatus, quarantine(c.reviewer.ID()))
	c.approve(o)
	wantCode(t, c.Consume(c.worker, o), "")
	wantCode(t, c.Settle(c.a, o, false), "")
	for _, row := range []struct {
		voter identity.Signer
		want  uint64
	}{{c.reviewer, 0}, {c.auditor, 0}, {c.b, 1}, {c.c, 1}} {
		if m, err := c.Ledger.Member(row.voter.ID()); err != nil || m.Settlements != row.want {
			t.Errorf("%s: %d settled, want %d", m.Name, m.Settlements, row.want)
		}
	}
}
