package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// execution opens a decision of class R2 on an action of the worker's.
func (s standardRealm) execution() consensus.Opening {
	return s.Propose(s.worker, s.worker.ID(), "process.exec")
}

// sealed is a ballot that the voter has signed and shown to nobody.
func (s standardRealm) sealed(voter identity.Signer, o consensus.Opening, vote consensus.Vote) ledgertest.Sealed {
	return s.Seal(voter, s.Ballot(voter.ID(), o, vote))
}

// numbered is the same with the sequence.
func (s standardRealm) numbered(voter identity.Signer, o consensus.Opening, vote consensus.Vote, sequence uint64) ledgertest.Sealed {
	b := s.Ballot(voter.ID(), o, vote)
	b.Sequence = sequence
	return s.Seal(voter, b)
}

func TestCommit(t *testing.T) {
	commit := func(s standardRealm, by identity.Signer, change func(*consensus.Commitment), key wire.Key) registry.Answer {
		o := s.execution()
		c := s.Commitment(by.ID(), o, s.sealed(by, o, consensus.Approve))
		change(&c)
		return s.Do(by, registry.TypeCommit, registry.Commit{Commitment: s.SignAlone(c, key)})
	}
	same := func(*consensus.Commitment) {}
	runSteps(t, []step{
		{"honest", func(s standardRealm) registry.Answer { return commit(s, s.reviewer, same, s.reviewer.Key()) }, ""},
		{"signed by another", func(s standardRealm) registry.Answer {
			return commit(s, s.reviewer, same, s.auditor.Key())
		}, fault.BadSignature},
		{"another's", func(s standardRealm) registry.Answer {
			return commit(s, s.reviewer, func(c *consensus.Commitment) { c.Voter = s.auditor.ID() }, s.auditor.Key())
		}, fault.Denied},
		{"the proposer's", func(s standardRealm) registry.Answer { return commit(s, s.worker, same, s.worker.Key()) }, fault.Denied},
		{"an outsider's", func(s standardRealm) registry.Answer {
			sibling := s.Agent(s.a, "sibling", identity.Journeyer)
			return commit(s, sibling, same, sibling.Key())
		}, fault.Denied},
		{"on an unknown decision", func(s standardRealm) registry.Answer {
			return commit(s, s.reviewer, func(c *consensus.Commitment) { c.Proposal = wire.Digest{1} }, s.reviewer.Key())
		}, fault.Unknown},
		{"on another electorate", func(s standardRealm) registry.Answer {
			return commit(s, s.reviewer, func(c *consensus.Commitment) { c.Opening = wire.Digest{1} }, s.reviewer.Key())
		}, fault.Misaddressed},
		{"replayed on another decision", func(s standardRealm) registry.Answer {
			first, second := s.execution(), s.execution()
			c := s.Commitment(s.reviewer.ID(), first, s.sealed(s.reviewer, first, consensus.Approve))
			wantCode(t, s.Do(s.reviewer, registry.TypeCommit, registry.Commit{Commitment: s.SignAlone(c, s.reviewer.Key())}), "")
			c.Proposal = second.Proposal
			return s.Do(s.reviewer, registry.TypeCommit, registry.Commit{Commitment: s.SignAlone(c, s.reviewer.Key())})
		}, fault.Misaddressed},
		{"of another realm", func(s standardRealm) registry.Answer {
			o := s.execution()
			c := s.Commitment(s.reviewer.ID(), o, s.sealed(s.reviewer, o, consensus.Approve))
			raw, err := wire.Sign(s.reviewer.Key(), wire.Realm{9}, c)
			wantErr(t, err, "")
			return s.Do(s.reviewer, registry.TypeCommit, registry.Commit{Commitment: raw})
		}, fault.BadSignature},
		{"where ballots are open", func(s standardRealm) registry.Answer {
			o := s.Propose(s.worker, s.worker.ID(), "file.write", lasting(1, minute))
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Malformed},
		{"in the last moment", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Tick(o.Rule.Commit - 1)
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, ""},
		{"late", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Tick(o.Rule.Commit)
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Expired},
		{"after the end", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Cast(s.b, o, consensus.Reject)
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Spent},
		{"twice", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot := s.sealed(s.reviewer, o, consensus.Approve)
			wantCode(t, s.Commit(s.reviewer, o, ballot), "")
			return s.Commit(s.reviewer, o, ballot)
		}, fault.Spent},
		{"to another ballot of the same number", func(s standardRealm) registry.Answer {
			o := s.execution()
			wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve)), "")
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Reject))
		}, fault.Spent},
		{"to another ballot of a higher number", func(s standardRealm) registry.Answer {
			o := s.execution()
			wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve)), "")
			return s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Reject, 9))
		}, ""},
		{"to another ballot of a lower number", func(s standardRealm) registry.Answer {
			o := s.execution()
			wantCode(t, s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Approve, 9)), "")
			return s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Reject, 8))
		}, fault.Spent},
		{"after it was revealed", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Cast(s.b, o, consensus.Abstain)
			s.Cast(s.reviewer, o, consensus.Abstain)
			s.Cast(s.auditor, o, consensus.Abstain) // all have committed, so both are revealed
			return s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Approve, 2))
		}, fault.Spent},
		{"after recusing itself", func(s standardRealm) registry.Answer {
			o := s.execution()
			wantCode(t, s.Cast(s.reviewer, o, consensus.Recuse), "")
			return s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Approve, 2))
		}, fault.Spent},
		{"quarantined meanwhile", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Quarantined},
		{"quarantined and released meanwhile", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			s.Must(s.a, registry.TypeStatus, release(s.reviewer.ID()), s.b)
			return s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Denied},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeCommit, registry.Tick{})
		}, fault.Malformed},
		{"not a commitment", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeCommit, registry.Commit{Commitment: []byte{1}})
		}, fault.Malformed},
		{"a ballot instead", func(s standardRealm) registry.Answer {
			o := s.execution()
			return s.Do(s.reviewer, registry.TypeCommit, registry.Commit{Commitment: s.sealed(s.reviewer, o, consensus.Approve).Ballot})
		}, fault.WrongKind},
	})
}

func TestReveal(t *testing.T) {
	// both has both agents commit, and gives the reviewer's sealed ballot.
	both := func(s standardRealm) (consensus.Opening, ledgertest.Sealed) {
		o := s.execution()
		ballot := s.sealed(s.reviewer, o, consensus.Approve)
		wantCode(t, s.Commit(s.reviewer, o, ballot), "")
		wantCode(t, s.Commit(s.auditor, o, s.sealed(s.auditor, o, consensus.Approve)), "")
		return o, ballot
	}
	one := func(s standardRealm) (consensus.Opening, ledgertest.Sealed) {
		o := s.execution()
		ballot := s.sealed(s.reviewer, o, consensus.Approve)
		wantCode(t, s.Commit(s.reviewer, o, ballot), "")
		return o, ballot
	}
	runSteps(t, []step{
		{"when all have committed", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			return s.Reveal(ballot)
		}, ""},
		{"when those who have suffice", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			s.Cast(s.c, o, consensus.Approve)
			return s.Reveal(ballot)
		}, ""},
		{"early", func(s standardRealm) registry.Answer {
			_, ballot := one(s)
			return s.Reveal(ballot)
		}, fault.Pending},
		{"a moment early", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			s.Tick(o.Rule.Commit - 1)
			return s.Reveal(ballot)
		}, fault.Pending},
		{"after the time to commit", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			s.Tick(o.Rule.Commit)
			return s.Reveal(ballot)
		}, ""},
		{"in the last moment", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			s.Tick(2*o.Rule.Commit - 1)
			return s.Reveal(ballot)
		}, ""},
		{"late", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			s.Tick(2 * o.Rule.Commit) // two people can still approve it
			return s.Reveal(ballot)
		}, fault.Expired},
		{"twice", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			wantCode(t, s.Reveal(ballot), "")
			return s.Reveal(ballot)
		}, fault.Spent},
		{"early, and then in time", func(s standardRealm) registry.Answer {
			o, ballot := one(s)
			wantCode(t, s.Reveal(ballot), fault.Pending)
			s.Tick(o.Rule.Commit)
			return s.Reveal(ballot)
		}, ""},
		{"without a commitment", func(s standardRealm) registry.Answer {
			o := s.execution()
			s.Tick(o.Rule.Commit)
			return s.Reveal(s.sealed(s.reviewer, o, consensus.Approve))
		}, fault.Denied},
		{"without the salt", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			ballot.Salt = nil
			return s.Reveal(ballot)
		}, fault.Denied},
		{"with another salt", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			ballot.Salt[31] ^= 1
			return s.Reveal(ballot)
		}, fault.Denied},
		{"with a longer salt that hides it alike", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot := s.sealed(s.reviewer, o, consensus.Approve)
			ballot.Salt = append(ballot.Salt, 0)
			wantCode(t, s.Commit(s.reviewer, o, ballot), "")
			s.Tick(o.Rule.Commit)
			return s.Reveal(ballot)
		}, fault.Denied},
		{"another ballot", func(s standardRealm) registry.Answer {
			o, ballot := both(s)
			other := s.sealed(s.reviewer, o, consensus.Reject)
			other.Salt = ballot.Salt
			return s.Reveal(other)
		}, fault.Denied},
		{"another's ballot", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			ballot.Voter = s.auditor
			return s.Reveal(ballot)
		}, fault.Denied},
		{"a ballot whose number the commitment did not name", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot := s.numbered(s.reviewer, o, consensus.Approve, 2)
			ballot.Sequence = 1
			wantCode(t, s.Commit(s.reviewer, o, ballot), "")
			s.Tick(o.Rule.Commit)
			return s.Reveal(ballot)
		}, fault.Denied},
		{"the ballot that was replaced", func(s standardRealm) registry.Answer {
			o, ballot := both(s)
			wantCode(t, s.Commit(s.reviewer, o, s.numbered(s.reviewer, o, consensus.Reject, 2)), "")
			return s.Reveal(ballot)
		}, fault.Denied},
		{"the ballot that replaced it", func(s standardRealm) registry.Answer {
			o, _ := both(s)
			ballot := s.numbered(s.reviewer, o, consensus.Abstain, 2)
			wantCode(t, s.Commit(s.reviewer, o, ballot), "")
			return s.Reveal(ballot)
		}, ""},
		{"recusing, as committed to", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot := s.sealed(s.reviewer, o, consensus.Recuse)
			wantCode(t, s.Commit(s.reviewer, o, ballot), "")
			s.Tick(o.Rule.Commit)
			return s.Reveal(ballot)
		}, ""},
		{"recusing openly after a commitment", func(s standardRealm) registry.Answer {
			o, _ := one(s)
			return s.Cast(s.reviewer, o, consensus.Recuse)
		}, ""},
		{"after recusing openly", func(s standardRealm) registry.Answer {
			o, ballot := both(s)
			s.Cast(s.reviewer, o, consensus.Recuse)
			return s.Reveal(ballot)
		}, fault.Spent},
		{"quarantined and released meanwhile", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID()))
			s.Must(s.a, registry.TypeStatus, release(s.reviewer.ID()), s.b)
			return s.Reveal(ballot)
		}, fault.Denied},
		{"after the policy changed", func(s standardRealm) registry.Answer {
			_, ballot := both(s)
			p := s.Policy
			p.Plain = []string{"weather.*"}
			wantCode(t, s.PutPolicy(p, s.a, s.b), "")
			return s.Reveal(ballot)
		}, fault.Spent},
	})
}

// Nothing is approved that a ballot committed to could still undo.
func TestCommittedBallotsHoldTheVerdictUp(t *testing.T) {
	for vote, want := range map[consensus.Vote]consensus.State{
		consensus.Approve: consensus.Approved,
		consensus.Abstain: consensus.Approved, // (1000 + 1000 + 500) / 3 is above the confidence that the rule asks for
		consensus.Reject:  consensus.Rejected, // (1000 + 1000 + 150) / 3 is not, and the auditor's 850 would not help
	} {
		s := standard(t)
		o := s.execution()
		hidden := s.sealed(s.reviewer, o, vote)
		wantCode(t, s.Commit(s.reviewer, o, hidden), "")
		s.Cast(s.b, o, consensus.Approve)
		if got := result[consensus.Verdict](t, s.Cast(s.c, o, consensus.Approve)); got.State != consensus.Open {
			t.Fatalf("two people approve, an agent's ballot is hidden, and it is %s", got.State)
		}
		if got := result[consensus.Verdict](t, s.Reveal(hidden)); got.State != want {
			t.Errorf("%s: got %s, want %s", vote, got.State, want)
		}
		decided(t, s, o)
	}
}

// An agent that commits and shows nothing is silent in the end: the tick that says so approves, and its leaf shows the verdict.
func TestTicksApprove(t *testing.T) {
	s, d, _ := fourth(t)
	open := func() consensus.Opening {
		o := s.execution()
		wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Reject)), "")
		s.Cast(s.b, o, consensus.Approve)
		s.Cast(s.c, o, consensus.Approve)
		return o
	}
	first, second := open(), open()
	short := s.Propose(s.worker, s.worker.ID(), "process.exec", func(p *consensus.Proposal) { p.Expires = s.Now + 2*minute })
	waiting := s.Propose(s.worker, s.worker.ID(), "db.migrate")
	s.Cast(d, waiting, consensus.Approve)
	size := s.Ledger.Size()
	s.Tick(2*minute - 1)
	if got := standing(t, s.World, first); got != consensus.Open || s.Ledger.Size() != size {
		t.Fatalf("%s, %d leaves", got, s.Ledger.Size()-size)
	}
	s.Ledger = restored(t, s.World, s.Ledger)
	answer := s.Tick(1)
	if s.Ledger.Size() != size+3 || answer.Index != size+3 {
		t.Errorf("%d leaves, %+v", s.Ledger.Size()-size, answer)
	}
	for o, want := range map[*consensus.Opening]consensus.State{
		&first: consensus.Approved, &second: consensus.Approved, &short: consensus.Expired, &waiting: consensus.Open,
	} {
		if got := standing(t, s.World, *o); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, o := range []consensus.Opening{first, second} {
		c := s.Certificate(o.Proposal)
		if len(c.Ballots) != 2 || c.Verdict.At != s.Now || c.Verdict.At >= o.Deadline {
			t.Errorf("got %+v", c.Verdict)
		}
		decision, err := s.Ledger.Decision(o.Proposal)
		wantErr(t, err, "")
		if decision.Decided.Result != wire.Hash(mustEncode(t, decision.Verdict)) || decision.Decided.Verdict != "" {
			t.Errorf("the leaf does not show the verdict: %+v", decision.Decided)
		}
		wantCode(t, s.Consume(s.worker, o), "")
	}
	a, err := s.Ledger.Decision(first.Proposal)
	wantErr(t, err, "")
	b, err := s.Ledger.Decision(second.Proposal)
	wantErr(t, err, "")
	if a.Decided.Index+1 != b.Decided.Index || a.Decided.Command != b.Decided.Command {
		t.Errorf("got %+v and %+v", a.Decided, b.Decided)
	}
}

// Where too few have committed in time, it is over: nobody waits for the deadline.
func TestTicksReject(t *testing.T) {
	s := standard(t)
	o := s.execution()
	s.Cast(s.b, o, consensus.Abstain)
	s.Tick(minute - 1)
	if got := standing(t, s.World, o); got != consensus.Open {
		t.Fatalf("got %s", got)
	}
	s.Tick(1)
	if got := standing(t, s.World, o); got != consensus.Rejected { // c alone is one approval
		t.Errorf("got %s", got)
	}
	decided(t, s, o)
	o = s.execution()
	wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve)), "")
	s.Cast(s.b, o, consensus.Recuse)
	s.Tick(minute)
	if got := standing(t, s.World, o); got != consensus.Open { // c and the reviewer may still approve
		t.Errorf("got %s", got)
	}
	s.Tick(minute)
	if got := standing(t, s.World, o); got != consensus.Rejected {
		t.Errorf("got %s", got)
	}
	decided(t, s, o)
}

// A deadline before the time to reveal ends it all the same, even where a tick passes both.
func TestDeadlineBeforeReveal(t *testing.T) {
	s := standard(t)
	for _, life := range []int64{minute / 2, minute, 2 * minute} {
		o := s.Propose(s.worker, s.worker.ID(), "process.exec", func(p *consensus.Proposal) { p.Expires = s.Now + life })
		wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Reject)), "")
		s.Cast(s.b, o, consensus.Approve)
		s.Cast(s.c, o, consensus.Approve)
		s.Tick(10 * minute)
		if got := standing(t, s.World, o); got != consensus.Expired {
			t.Errorf("%d: got %s", life, got)
		}
		decided(t, s, o)
	}
}

// Voters are told by the tick that lets them reveal.
func TestTheTimeToRevealIsTold(t *testing.T) {
	s, d, _ := fourth(t)
	o := s.execution()
	s.Cast(d, o, consensus.Approve)
	if got := s.Ledger.NextDeadline(); got != o.CommitsUntil() {
		t.Errorf("got %d, want %d", got, o.CommitsUntil())
	}
	s.Tick(minute)
	if got := s.Ledger.NextDeadline(); got != o.RevealsUntil() {
		t.Errorf("got %d, want %d", got, o.RevealsUntil())
	}
	s.Ledger = restored(t, s.World, s.Ledger)
	if got := s.Ledger.NextDeadline(); got != o.RevealsUntil() {
		t.Errorf("restored: got %d, want %d", got, o.RevealsUntil())
	}
	s.Tick(minute)
	if got := s.Ledger.NextDeadline(); got != o.Deadline {
		t.Errorf("got %d, want %d", got, o.Deadline)
	}
}
