package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func consumption(o consensus.Opening) registry.Consume {
	return registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store}
}

// approved opens a decision of the worker's and has it approved.
func (s standardRealm) approved() consensus.Opening {
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Cast(s.b, o, consensus.Approve)
	s.Cast(s.c, o, consensus.Approve)
	return o
}

func TestConsume(t *testing.T) {
	runSteps(t, []step{
		{"honest", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeConsume, consumption(s.approved()))
		}, ""},
		{"decided alone", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeConsume, consumption(s.Propose(s.worker, s.worker.ID(), "db.read")))
		}, ""},
		{"decided alone, in the last moment", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "db.read")
			s.Tick(o.Rule.Window - 1)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, ""},
		{"decided alone, too late", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "db.read")
			s.Tick(o.Rule.Window)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Expired},
		{"pending", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Cast(s.b, o, consensus.Approve)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Pending},
		{"rejected", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "db.migrate")
			s.Cast(s.b, o, consensus.Reject)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Rejected},
		{"window over", func(s standardRealm) registry.Answer {
			o := s.approved()
			s.Tick(o.Rule.Window)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Expired},
		{"last moment of the window", func(s standardRealm) registry.Answer {
			o := s.approved()
			s.Tick(o.Rule.Window - 1)
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, ""},
		{"another executor", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeConsume, consumption(s.approved()))
		}, fault.Denied},
		{"another store", func(s standardRealm) registry.Answer {
			body := consumption(s.approved())
			body.Store[0]++
			return s.Do(s.worker, registry.TypeConsume, body)
		}, fault.Denied},
		{"second use", func(s standardRealm) registry.Answer {
			o := s.approved()
			s.Must(s.worker, registry.TypeConsume, consumption(o))
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Spent},
		{"executor quarantined meanwhile", func(s standardRealm) registry.Answer {
			o := s.approved()
			s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
			return s.Do(s.worker, registry.TypeConsume, consumption(o))
		}, fault.Quarantined},
		{"unknown decision", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeConsume, registry.Consume{})
		}, fault.Unknown},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeConsume, registry.Enrol{})
		}, fault.Malformed},
	})
}

func TestConsumptionIsRetried(t *testing.T) {
	s := standard(t)
	o := s.approved()
	raw := s.Sign(s.Command(s.worker.ID(), registry.TypeConsume, consumption(o)), s.worker)
	first := s.Apply(raw)
	want := consensus.Consumption{
		Proposal: o.Proposal, Executor: s.worker.ID(), Store: ledgertest.Store, Use: 1, At: s.Now,
		Action: o.Action,
	}
	if got := result[consensus.Consumption](t, first); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.Tick(1)
	if again := s.Apply(raw); again.Index != first.Index || result[consensus.Consumption](t, again) != want {
		t.Errorf("got %+v, want %+v", again, first)
	}
	d, err := s.Ledger.Decision(o.Proposal)
	if wantErr(t, err, ""); len(d.Uses) != 1 || d.Uses[0].Consumption != want || d.Uses[0].Claimed.Index != first.Index ||
		d.Uses[0].Claimed.Result != wire.Hash(first.Result) {
		t.Errorf("got %+v", d)
	}
}

func TestReport(t *testing.T) {
	consumed := func(s standardRealm) registry.Report {
		o := s.approved()
		s.Must(s.worker, registry.TypeConsume, consumption(o))
		return registry.Report{Proposal: o.Proposal, OK: true}
	}
	runSteps(t, []step{
		{"done", func(s standardRealm) registry.Answer { return s.Do(s.worker, registry.TypeReport, consumed(s)) }, ""},
		{"uncertain", func(s standardRealm) registry.Answer {
			r := consumed(s)
			r.OK, r.Uncertain = false, true
			return s.Do(s.worker, registry.TypeReport, r)
		}, ""},
		{"done and uncertain", func(s standardRealm) registry.Answer {
			r := consumed(s)
			r.Uncertain = true
			return s.Do(s.worker, registry.TypeReport, r)
		}, fault.Malformed},
		{"longest detail", func(s standardRealm) registry.Answer {
			r := consumed(s)
			r.Detail = strings.Repeat("x", registry.MaxDetail)
			return s.Do(s.worker, registry.TypeReport, r)
		}, ""},
		{"too long a detail", func(s standardRealm) registry.Answer {
			r := consumed(s)
			r.Detail = strings.Repeat("x", registry.MaxDetail+1)
			return s.Do(s.worker, registry.TypeReport, r)
		}, fault.Malformed},
		{"twice", func(s standardRealm) registry.Answer {
			r := consumed(s)
			s.Must(s.worker, registry.TypeReport, r)
			return s.Do(s.worker, registry.TypeReport, r)
		}, fault.Spent},
		{"by another", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeReport, consumed(s))
		}, fault.Denied},
		{"before consumption", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeReport, registry.Report{Proposal: s.approved().Proposal, OK: true})
		}, fault.Denied},
		{"unknown decision", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeReport, registry.Report{OK: true})
		}, fault.Unknown},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeReport, registry.Enrol{})
		}, fault.Malformed},
	})
	s := standard(t)
	s.Must(s.worker, registry.TypeReport, consumed(s))
	failed := consumed(s)
	failed.OK = false
	s.Must(s.worker, registry.TypeReport, failed)
	if m, err := s.Ledger.Member(s.worker.ID()); err != nil || m.Done != 1 || m.Failed != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
	if d, err := s.Ledger.Decision(failed.Proposal); err != nil || !d.Uses[0].Reported || d.Uses[0].Report != failed {
		t.Errorf("got %+v, %v", d, err)
	}
}
