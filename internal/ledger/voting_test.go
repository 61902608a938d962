package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

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
		{"an agent, openly", func(s standardRealm) registry.Answer {
			return cast(s, s.reviewer, same, s.reviewer.Key())
		}, fault.Denied},
		{"an agent that recuses itself, openly", func(s standardRealm) registry.Answer {
			return cast(s, s.reviewer, func(b *consensus.Ballot) { b.Vote = consensus.Recuse }, s.reviewer.Key())
		}, ""},
		{"a person, with a salt", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			return s.Reveal(s.Seal(s.b, s.Ballot(s.b.ID(), o, consensus.Approve)))
		}, fault.Malformed},
		{"of another realm", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "process.exec")
			raw, err := wire.Sign(s.b.Key(), wire.Realm{9}, s.Ballot(s.b.ID(), o, consensus.Approve))
			wantErr(t, err, "")
			return s.Do(s.b, registry.TypeVote, registry.Cast{Ballot: raw})
		}, fault.BadSignature},
		{"replayed on another decision on the same action", func(s standardRealm) registry.Answer {
			first := s.Propose(s.worker, s.worker.ID(), "process.exec")
			second := s.Propose(s.worker, s.worker.ID(), "process.exec", func(p *consensus.Proposal) { p.Action.Target = "things/1" })
			b := s.Ballot(s.b.ID(), first, consensus.Approve)
			b.Proposal = second.Proposal
			return s.Vote(s.b, b)
		}, fault.Misaddressed},
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
			s.Operator("fourth", s.a, s.b) // two operators are left
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
	auditor := func(s standardRealm) identity.Signer { return s.auditor }
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
			{reviewer, consensus.Approve, consensus.Open}, {auditor, consensus.Approve, consensus.Approved}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := standard(t)
			o := s.Propose(s.worker, s.worker.ID(), row.kind)
			for _, v := range row.votes {
				s.Tick(1)
				verdict := result[consensus.Verdict](t, s.Cast(v.by(s), o, v.vote))
				want := consensus.Verdict{Proposal: o.Proposal, State: v.want, At: s.Now}
				if v.want == consensus.Approved {
					want.From, want.Until = s.Now, s.Now+o.Rule.Window
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
	s.Cast(s.b, late, consensus.Approve)
	s.Tick(o.Rule.Deadline - 2*minute)
	if got := s.Ledger.NextDeadline(); got != o.Deadline {
		t.Errorf("next deadline %d, want %d", got, o.Deadline)
	}
	s.Tick(minute)
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
