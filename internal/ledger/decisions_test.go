package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// hand signs a proposal by its proposer and hands it in.
func (s standardRealm) hand(by identity.Signer, p consensus.Proposal) registry.Answer {
	return s.Do(by, registry.TypePropose, registry.Propose{Proposal: s.SignAlone(p, by.Key())})
}

// exec is the worker's proposal of an R2 action that it will do itself.
func (s standardRealm) exec() consensus.Proposal {
	return s.Proposal(s.worker.ID(), s.worker.ID(), "process.exec")
}

func TestPropose(t *testing.T) {
	runSteps(t, []step{
		{"honest", func(s standardRealm) registry.Answer { return s.hand(s.worker, s.exec()) }, ""},
		{"by an operator", func(s standardRealm) registry.Answer {
			return s.hand(s.a, s.Proposal(s.a.ID(), s.worker.ID(), "process.exec"))
		}, ""},
		{"in another's name", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypePropose,
				registry.Propose{Proposal: s.SignAlone(s.exec(), s.reviewer.Key())})
		}, fault.Denied},
		{"another's proposal", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypePropose,
				registry.Propose{Proposal: s.SignAlone(s.exec(), s.worker.Key())})
		}, fault.BadSignature},
		{"signed by a superseded key", func(s standardRealm) registry.Answer {
			raw := s.SignAlone(s.exec(), s.worker.Key())
			return s.Do(s.Rotate(s.worker), registry.TypePropose, registry.Propose{Proposal: raw})
		}, fault.BadSignature},
		{"L1 may not", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Observer))
			return s.hand(s.worker, s.exec())
		}, fault.Denied},
		{"denied kind", func(s standardRealm) registry.Answer {
			return s.hand(s.worker, s.Proposal(s.worker.ID(), s.worker.ID(), "weapon.fire"))
		}, fault.Denied},
		{"expired", func(s standardRealm) registry.Answer {
			p := s.exec()
			p.Issued, p.Expires = s.Now-minute, s.Now
			return s.hand(s.worker, p)
		}, fault.Expired},
		{"last moment", func(s standardRealm) registry.Answer {
			p := s.exec()
			p.Issued, p.Expires = s.Now-minute, s.Now+1
			return s.hand(s.worker, p)
		}, ""},
		{"within skew", func(s standardRealm) registry.Answer {
			p := s.exec()
			p.Issued = s.Now + identity.Skew
			return s.hand(s.worker, p)
		}, ""},
		{"of the future", func(s standardRealm) registry.Answer {
			p := s.exec()
			p.Issued = s.Now + identity.Skew + 1
			return s.hand(s.worker, p)
		}, fault.NotYet},
		{"unknown executor", func(s standardRealm) registry.Answer {
			return s.hand(s.worker, s.Proposal(s.worker.ID(), s.Signer(identity.Agent).ID(), "process.exec"))
		}, fault.Unknown},
		{"quarantined executor", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			return s.hand(s.worker, s.Proposal(s.worker.ID(), s.reviewer.ID(), "process.exec"))
		}, fault.Quarantined},
		{"twice", func(s standardRealm) registry.Answer {
			p := s.exec()
			if first := s.hand(s.worker, p); first.Code != "" {
				return first
			}
			return s.hand(s.worker, p)
		}, fault.Spent},
		{"electorate cannot give it", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			return s.hand(s.worker, s.exec()) // only c and its agent are left: one operator
		}, fault.NoQuorum},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypePropose, registry.Tick{})
		}, fault.Malformed},
		{"not a proposal", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypePropose, registry.Propose{Proposal: []byte{1}})
		}, fault.Malformed},
	})
}

// A proposer's nonce names one decision for ever, also on a restored replica.
func TestProposalNonces(t *testing.T) {
	s := standard(t)
	p := s.exec()
	o := result[consensus.Opening](t, s.hand(s.worker, p))
	again := p
	again.Action.Target = "elsewhere"
	other := s.Proposal(s.reviewer.ID(), s.reviewer.ID(), "process.exec")
	other.Nonce = p.Nonce
	for range 2 {
		d, err := s.Ledger.DecisionBy(s.worker.ID(), p.Nonce)
		if wantErr(t, err, ""); d.ID != o.Proposal {
			t.Errorf("got %s", d.ID)
		}
		_, err = s.Ledger.DecisionBy(s.auditor.ID(), p.Nonce)
		wantErr(t, err, fault.Unknown)
		wantCode(t, s.hand(s.worker, again), fault.Spent)
		s.Ledger = restored(t, s.World, s.Ledger)
	}
	wantCode(t, s.hand(s.reviewer, other), "") // nonces are the proposer's own
}

// One operator's agents cannot have so much undecided that voters find nothing else.
func TestOpenProposalsAreBounded(t *testing.T) {
	s := standard(t)
	sibling := s.Agent(s.a, "sibling", identity.Journeyer)
	for i := range 64 {
		by := s.worker
		if i%2 == 1 {
			by = sibling
		}
		wantCode(t, s.hand(by, s.Proposal(by.ID(), by.ID(), "process.exec")), "")
	}
	wantCode(t, s.hand(s.worker, s.exec()), fault.Rate)
	wantCode(t, s.hand(sibling, s.Proposal(sibling.ID(), sibling.ID(), "process.exec")), fault.Rate)
	wantCode(t, s.hand(s.worker, s.Proposal(s.worker.ID(), s.worker.ID(), "db.read")), "") // decided alone
	wantCode(t, s.hand(s.reviewer, s.Proposal(s.reviewer.ID(), s.reviewer.ID(), "process.exec")), "")
	s.Tick(s.Policy.Rule(consensus.R2).Deadline)
	wantCode(t, s.hand(s.worker, s.exec()), "")
}

func TestClassIsComputed(t *testing.T) {
	for _, row := range []struct {
		kind  string
		least consensus.Class
		want  consensus.Class
		alone bool
	}{
		{"db.read", 0, consensus.R0, true},
		{"file.write", 0, consensus.R1, true},
		{"process.exec", 0, consensus.R2, false},
		{"process.exec", consensus.R1, consensus.R2, false}, // never lowered
		{"process.exec", consensus.R3, consensus.R3, false}, // raised
		{"db.read", consensus.R2, consensus.R2, false},
		{"db.migrate", 0, consensus.R3, false},
		{"nobody.knows", 0, consensus.R3, false},
	} {
		t.Run(row.kind, func(t *testing.T) {
			s := standard(t)
			p := s.Proposal(s.worker.ID(), s.worker.ID(), row.kind)
			p.Class = row.least
			o := result[consensus.Opening](t, s.hand(s.worker, p))
			if o.Class != row.want || o.Alone != row.alone || o.Rule != s.Policy.Rule(row.want) ||
				o.Policy != s.Policy.Digest() || o.Action != p.Action.Digest() {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func voters(o consensus.Opening) map[identity.ID]uint64 {
	weights := map[identity.ID]uint64{}
	for _, v := range o.Voters {
		weights[v.ID] = v.Weight
	}
	return weights
}

func TestElectorate(t *testing.T) {
	s := standard(t)
	steward := s.Agent(s.b, "steward", identity.Steward)
	apprentice := s.Agent(s.b, "apprentice", identity.Apprentice)
	silent := s.Agent(s.c, "silent", identity.Journeyer)
	s.Must(s.a, registry.TypeStatus, quarantine(silent.ID()))
	s.Agent(s.a, "sibling", identity.Journeyer)
	s.reviewer = s.Rotate(s.reviewer)
	p := s.Proposal(s.worker.ID(), s.auditor.ID(), "process.exec")
	o := result[consensus.Opening](t, s.hand(s.worker, p))
	got, want := voters(o), map[identity.ID]uint64{s.b.ID(): 1, s.c.ID(): 1, s.reviewer.ID(): 1, steward.ID(): 3}
	if len(got) != len(want) {
		t.Errorf("got %d voters, want %d", len(got), len(want))
	}
	for id, weight := range want {
		if got[id] != weight {
			t.Errorf("%s has weight %d, want %d", id, got[id], weight)
		}
	}
	if _, votes := got[apprentice.ID()]; votes {
		t.Error("a level without weight votes")
	}
	if v, _ := o.Voter(s.reviewer.ID()); v.Key != s.reviewer.Public() || v.Operator != s.b.ID() || v.Level != 3 {
		t.Errorf("got %+v", v)
	}
	if o.Level != 3 || o.Operator != s.a.ID() || o.Key != s.worker.Public() || o.Index != s.Ledger.Size() ||
		o.Opened != s.Now || o.Deadline != s.Now+o.Rule.Deadline {
		t.Errorf("got %+v", o)
	}
	person := result[consensus.Opening](t, s.hand(s.a, s.Proposal(s.a.ID(), s.b.ID(), "process.exec")))
	if _, votes := voters(person)[s.b.ID()]; !votes || person.Alone || person.Level != 0 {
		t.Errorf("a person that executes votes like any other: %+v", person)
	}
	wantCode(t, s.hand(s.worker, s.exec()), "")
	s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
	wantCode(t, s.hand(s.worker, s.exec()), fault.NoQuorum) // nobody answers for b's agents, so only c's side is left
	s.Must(s.a, registry.TypeStatus, release(s.b.ID()), s.c)
	soon := s.exec()
	soon.Expires = s.Now + 5
	if o := result[consensus.Opening](t, s.hand(s.worker, soon)); o.Deadline != s.Now+5 {
		t.Errorf("deadline %d after the proposal's end", o.Deadline)
	}
}

func TestSoloPersonApprovesOwnAgents(t *testing.T) {
	s := solo(t)
	o := s.Propose(s.worker, s.workerID, "db.migrate")
	if got := voters(o); len(got) != 1 || got[s.rootID] != 1 || o.Class != consensus.R3 {
		t.Errorf("got %v", got)
	}
	wantCode(t, s.Cast(s.root, o, consensus.Approve), "")
	if d, err := s.Ledger.Decision(o.Proposal); err != nil || d.Verdict.State != consensus.Approved {
		t.Errorf("got %+v, %v", d, err)
	}
}

// The largest electorate keeps the people and the heaviest agents.
func TestElectorateIsBounded(t *testing.T) {
	s := standard(t)
	for i := range consensus.MaxVoters { // more than there is room for, and each heavier than a person
		s.Agent(s.c, fmt.Sprintf("many-%d", i), identity.Principal)
	}
	steward := s.Agent(s.b, "steward", identity.Steward)
	o := result[consensus.Opening](t, s.hand(s.worker, s.exec()))
	got := voters(o)
	if len(got) != consensus.MaxVoters || got[s.b.ID()] == 0 || got[s.c.ID()] == 0 || got[steward.ID()] == 0 ||
		got[s.reviewer.ID()] != 0 {
		t.Errorf("got %d voters", len(got))
	}
}

func TestVote(t *testing.T) {
	cast := func(s standardRealm, by identity.Signer, change func(*consensus.Ballot), key wire.Key) registry.Answer {
		o := s.Propose(s.worker, s.worker.ID(), "process.exec")
		b := s.Ballot(by.ID(), o, consensus.Approve)
		change(&b)
		return s.Do(by, registry.TypeVote, registry.Cast{Ballot: s.SignAlone(b, key)})
	}
	same := func(*consensus.Ballot) {}
	runSteps(t, []step{
		{"a person", func(s standardRealm) registry.Answer { return cast(s, s.b, same, s.b.Key()) }, ""},
		{"an agent", func(s standardRealm) registry.Answer { return cast(s, s.reviewer, same, s.reviewer.Key()) }, ""},
		{"the proposer", func(s standardRealm) registry.Answer { return cast(s, s.worker, same, s.worker.Key()) }, fault.Denied},
		{"the proposer's operator", func(s standardRealm) registry.Answer { return cast(s, s.a, same, s.a.Key()) }, fault.Denied},
		{"another's ballot", func(s standardRealm) registry.Answer {
			return cast(s, s.b, func(b *consensus.Ballot) { b.Voter = s.c.ID() }, s.c.Key())
		}, fault.Denied},
		{"signed by another", func(s standardRealm) registry.Answer { return cast(s, s.b, same, s.c.Key()) }, fault.BadSignature},
		{"on an unknown decision", func(s standardRealm) registry.Answer {
			return cast(s, s.b, func(b *consensus.Ballot) { b.Proposal = wire.Digest{1} }, s.b.Key())
		}, fault.Unknown},
		{"on another action", func(s standardRealm) registry.Answer {
			return cast(s, s.b, func(b *consensus.Ballot) { b.Action = wire.Digest{1} }, s.b.Key())
		}, fault.Misaddressed},
		{"on another electorate", func(s standardRealm) registry.Answer {
			return cast(s, s.b, func(b *consensus.Ballot) { b.Opening = wire.Digest{1} }, s.b.Key())
		}, fault.Misaddressed},
		{"twice", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			if first := s.Cast(s.b, o, consensus.Approve); first.Code != "" {
				return first
			}
			return s.Cast(s.b, o, consensus.Reject)
		}, fault.Spent},
		{"after the end", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Cast(s.b, o, consensus.Approve)
			s.Cast(s.c, o, consensus.Approve)
			return s.Cast(s.reviewer, o, consensus.Reject)
		}, fault.Spent},
		{"in the last moment", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Tick(o.Rule.Deadline - 1)
			return s.Cast(s.b, o, consensus.Approve)
		}, ""},
		{"after the deadline", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Tick(o.Rule.Deadline)
			return s.Cast(s.b, o, consensus.Approve)
		}, fault.Spent},
		{"quarantined meanwhile", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			return s.Cast(s.reviewer, o, consensus.Approve)
		}, fault.Quarantined},
		{"at a lower level that votes", func(s standardRealm) registry.Answer {
			steward := s.Agent(s.b, "steward", identity.Steward)
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Must(s.a, registry.TypeLevel, setLevel(steward.ID(), identity.Journeyer))
			return s.Cast(steward, o, consensus.Approve)
		}, ""},
		{"at a level that votes no more", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Must(s.a, registry.TypeLevel, setLevel(s.reviewer.ID(), identity.Quarantined))
			return s.Cast(s.reviewer, o, consensus.Approve)
		}, fault.Denied},
		{"operator quarantined meanwhile", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
			return s.Cast(s.reviewer, o, consensus.Approve)
		}, fault.Denied},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeVote, registry.Tick{})
		}, fault.Malformed},
		{"not a ballot", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeVote, registry.Cast{Ballot: []byte{1}})
		}, fault.Malformed},
	})
}

func TestVerdicts(t *testing.T) {
	type vote struct {
		by   func(standardRealm) identity.Signer
		vote consensus.Vote
		want consensus.State
	}
	b := func(s standardRealm) identity.Signer { return s.b }
	c := func(s standardRealm) identity.Signer { return s.c }
	reviewer := func(s standardRealm) identity.Signer { return s.reviewer }
	for _, row := range []struct {
		name  string
		kind  string
		votes []vote
	}{
		{"two operators", "process.exec", []vote{{b, consensus.Approve, consensus.Open}, {c, consensus.Approve, consensus.Approved}}},
		{"one operator twice", "process.exec", []vote{{b, consensus.Approve, consensus.Open},
			{reviewer, consensus.Approve, consensus.Open}, {c, consensus.Approve, consensus.Approved}}},
		{"a person's veto of R3", "db.migrate", []vote{{c, consensus.Reject, consensus.Rejected}}},
		{"abstaining", "process.exec", []vote{{b, consensus.Abstain, consensus.Open}, {c, consensus.Approve, consensus.Open},
			{reviewer, consensus.Approve, consensus.Approved}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := standard(t)
			o := s.Propose(s.worker, s.worker.ID(), row.kind)
			for _, v := range row.votes {
				s.Tick(1)
				verdict := result[consensus.Verdict](t, s.Cast(v.by(s), o, v.vote))
				want := consensus.Verdict{Proposal: o.Proposal, State: v.want, At: s.Now}
				if v.want == consensus.Approved {
					want.Until = s.Now + o.Rule.Window
				}
				if verdict != want {
					t.Errorf("got %+v, want %+v", verdict, want)
				}
			}
			decided(t, s, o)
		})
	}
}

// decided checks that an ended decision is closed, and that its leaves stand in the tree.
func decided(t *testing.T, s standardRealm, o consensus.Opening) {
	t.Helper()
	d, err := s.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	if next := s.Ledger.NextDeadline(); next != 0 {
		t.Errorf("open until %d", next)
	}
	raw, size := s.Head()
	head, err := audit.VerifyHead(raw, s.Ledger.Authority())
	wantErr(t, err, "")
	for name, leaf := range map[string]audit.Leaf{"opened": d.Opened, "decided": d.Decided} {
		i, err := s.Ledger.Inclusion(leaf, size)
		wantErr(t, err, "")
		if err := i.Verify(head); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSilenceRejects(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Tick(minute)
	late := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Cast(s.b, o, consensus.Approve)
	if got := s.Ledger.NextDeadline(); got != o.Deadline {
		t.Errorf("next deadline %d, want %d", got, o.Deadline)
	}
	s.Tick(o.Rule.Deadline - minute)
	d, err := s.Ledger.Decision(o.Proposal)
	if wantErr(t, err, ""); d.Verdict.State != consensus.Expired || d.Verdict.At != s.Now || d.Verdict.Until != 0 {
		t.Errorf("got %+v", d.Verdict)
	}
	if got := s.Ledger.NextDeadline(); got != late.Deadline {
		t.Errorf("next deadline %d, want %d", got, late.Deadline)
	}
	s.Tick(minute)
	decided(t, s, o)
	decided(t, s, late)
	wantCode(t, s.Do(s.worker, registry.TypeConsume, consumption(o)), fault.Rejected)
}

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
		Proposal: o.Proposal, Executor: s.worker.ID(), Store: ledgertest.Store, First: true, At: s.Now,
	}
	if got := result[consensus.Consumption](t, first); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.Tick(1)
	if again := s.Apply(raw); again.Index != first.Index || result[consensus.Consumption](t, again) != want {
		t.Errorf("got %+v, want %+v", again, first)
	}
	d, err := s.Ledger.Decision(o.Proposal)
	if wantErr(t, err, ""); d.Consumed != want || d.Claimed.Index != first.Index || d.Claimed.Result != wire.Hash(first.Result) {
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
	if d, err := s.Ledger.Decision(failed.Proposal); err != nil || !d.Reported || d.Report != failed {
		t.Errorf("got %+v, %v", d, err)
	}
}

// What agents alone may say never suffices for R3.
func TestPeopleFirst(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "db.migrate")
	s.Cast(s.reviewer, o, consensus.Approve)
	verdict := result[consensus.Verdict](t, s.Cast(s.auditor, o, consensus.Approve))
	if verdict.State != consensus.Open {
		t.Errorf("two agents made it %s", verdict.State)
	}
	verdict = result[consensus.Verdict](t, s.Cast(s.b, o, consensus.Approve))
	if verdict.State != consensus.Approved {
		t.Errorf("got %s", verdict.State)
	}
}

func TestDenyIsOfThePolicy(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "weapon.fire") // unknown here, so R3, and denied where the policy says so
	if o.Class != consensus.R3 || status(t, w, worker.ID()) != trust.Active {
		t.Errorf("got %+v", o)
	}
}
