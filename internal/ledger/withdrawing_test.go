package ledger_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func decision(t testing.TB, s standardRealm, o consensus.Opening) ledger.Decision {
	t.Helper()
	d, err := s.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	return d
}

// Whoever loses its weight while a decision is open loses its vote on it, for good; its weight stays.
func TestVotersWithdrawnMidVote(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(s standardRealm, d, clerk identity.Signer)
		void int // how many, of the clerk and its person
	}{
		{"nobody", func(s standardRealm, d, clerk identity.Signer) {}, 0},
		{"an agent quarantined by one", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk.ID()))
		}, 1},
		{"an agent quarantined by two", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk.ID()), s.b)
		}, 1},
		{"an agent revoked", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(d, registry.TypeStatus, revoke(clerk.ID()))
		}, 1},
		{"an agent at a lower level that votes", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk.ID(), identity.Principal), s.b, s.c)
			s.Must(s.a, registry.TypeLevel, setLevel(clerk.ID(), identity.Journeyer))
		}, 0},
		{"an agent at a level that does not vote", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk.ID(), identity.Apprentice))
		}, 1},
		{"a person quarantined, and its agent with it", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(s.a, registry.TypeStatus, quarantine(d.ID()))
		}, 1}, // what the person abstained from stays in the way
		{"somebody without a vote", func(s standardRealm, d, clerk identity.Signer) {
			s.Must(d, registry.TypeStatus, quarantine(s.worker.ID()))
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, d, clerk := fourth(t)
			o := s.execution()
			ballot := s.sealed(clerk, o, consensus.Approve)
			wantCode(t, s.Commit(clerk, o, ballot), "")
			wantCode(t, s.Cast(d, o, consensus.Abstain), "")
			row.do(s, d, clerk)
			for range 2 { // for good: a release does not bring it back
				got := decision(t, s, o)
				if len(got.Void) != row.void || got.Verdict.State != consensus.Open || slices.Contains(got.Void, clerk.ID()) != (row.void > 0) {
					t.Fatalf("%s, void %v", got.Verdict.State, got.Void)
				}
				for _, m := range []identity.Signer{d, clerk, s.worker} {
					if status(t, s.World, m.ID()) == trust.Quarantined {
						s.Must(s.a, registry.TypeStatus, release(m.ID()), s.b)
					}
				}
				s.Ledger = restored(t, s.World, s.Ledger)
			}
			s.Tick(minute)
			answer := s.Reveal(ballot)
			if (answer.Code == "") != (row.void == 0) {
				t.Errorf("revealed: %q %s", answer.Code, answer.Message)
			}
			late := s.execution()
			if v, _ := late.Voter(d.ID()); v.Weight != 1 {
				t.Errorf("in the next electorate: %+v", v)
			}
		})
	}
}

// A ballot that was counted and is void now counts as silence, and the weight behind it stays in the way.
func TestVoidBallotsAreSilence(t *testing.T) {
	s, d, clerk := fourth(t)
	o := s.execution()
	s.Cast(s.auditor, o, consensus.Abstain)
	s.Cast(s.reviewer, o, consensus.Approve)
	s.Cast(clerk, o, consensus.Approve) // (500 + 850 + 850) / 3 is not enough
	before := decision(t, s, o)
	if len(before.Ballots) != 3 || before.Verdict.State != consensus.Open {
		t.Fatalf("%d ballots, %s", len(before.Ballots), before.Verdict.State)
	}
	s.Must(s.a, registry.TypeStatus, quarantine(clerk.ID()))
	got := result[consensus.Verdict](t, s.Cast(s.b, o, consensus.Approve))
	if got.State != consensus.Open { // of b's operator alone: the clerk's approval is void
		t.Errorf("got %s", got.State)
	}
	got = result[consensus.Verdict](t, s.Cast(d, o, consensus.Approve))
	if got.State != consensus.Approved {
		t.Errorf("got %s", got.State)
	}
	c := s.Certificate(o.Proposal)
	for _, raw := range c.Ballots {
		b, err := wire.Parse[consensus.Ballot](raw, wire.MaxStatement)
		if wantErr(t, err, ""); b.Claim.Voter == clerk.ID() {
			t.Error("a void ballot stands in the certificate")
		}
	}
	if len(c.Ballots) != 4 || len(decision(t, s, o).Ballots) != 5 {
		t.Errorf("%d ballots in the certificate, %d in all", len(c.Ballots), len(decision(t, s, o).Ballots))
	}
	s.Must(s.a, registry.TypeStatus, quarantine(s.reviewer.ID())) // after the end: it stands
	if after := s.Certificate(o.Proposal); len(after.Ballots) != 4 || after.Verdict != c.Verdict {
		t.Errorf("got %+v", after.Verdict)
	}
	wantCode(t, s.Consume(s.worker, o), "")
}

// What cannot be approved any more ends at once, by the command that made it so.
func TestWithdrawalsFailFast(t *testing.T) {
	s := standard(t)
	first, second := s.execution(), s.execution()
	free := s.Propose(s.a, s.a.ID(), "file.write", func(p *consensus.Proposal) { p.Class = consensus.R1 })
	s.Cast(s.b, second, consensus.Approve)
	answer := s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
	for _, o := range []consensus.Opening{first, second} {
		d := decision(t, s, o)
		if d.Verdict.State != consensus.Rejected || d.Verdict.At != s.Now || d.Decided.Index != answer.Index ||
			d.Decided.Result != wire.Hash(answer.Result) {
			t.Errorf("got %+v, by %+v", d.Verdict, d.Decided)
		}
	}
	if got := standing(t, s.World, free); got != consensus.Open { // one approval is enough, and c can give it
		t.Errorf("got %s", got)
	}
	wantCode(t, s.Cast(s.c, first, consensus.Approve), fault.Spent)
	wantCode(t, s.Cast(s.c, free, consensus.Approve), "")
	decided(t, s, first)
	decided(t, s, second)
	if got := s.Ledger.NextDeadline(); got != 0 {
		t.Errorf("something is open until %d", got)
	}
}

// evidence is two ballots of one voter, with one number, that say different things.
func (s standardRealm) evidence(voter identity.Signer, o consensus.Opening) (first, second []byte) {
	return s.sealed(voter, o, consensus.Approve).Ballot, s.sealed(voter, o, consensus.Reject).Ballot
}

func TestEquivocate(t *testing.T) {
	show := func(s standardRealm, by, voter identity.Signer) registry.Answer {
		o := s.execution()
		first, second := s.evidence(voter, o)
		return s.Equivocate(by, o, first, second)
	}
	runSteps(t, []step{
		{"an agent's ballots, by an agent", func(s standardRealm) registry.Answer { return show(s, s.auditor, s.reviewer) }, ""},
		{"a person's ballots, by an agent", func(s standardRealm) registry.Answer { return show(s, s.worker, s.b) }, ""},
		{"its own", func(s standardRealm) registry.Answer { return show(s, s.reviewer, s.reviewer) }, ""},
		{"by the proposer", func(s standardRealm) registry.Answer { return show(s, s.worker, s.reviewer) }, ""},
		{"by a node", func(s standardRealm) registry.Answer { return show(s, s.Nodes[0], s.reviewer) }, fault.Denied},
		{"by a stranger", func(s standardRealm) registry.Answer {
			return show(s, s.Signer(identity.Agent), s.reviewer)
		}, fault.Unknown},
		{"commitments", func(s standardRealm) registry.Answer {
			o := s.execution()
			var raw [2][]byte
			for i := range raw {
				c := s.Commitment(s.reviewer.ID(), o, s.sealed(s.reviewer, o, consensus.Approve)) // with two salts
				raw[i] = s.SignAlone(c, s.reviewer.Key())
			}
			return s.Equivocate(s.c, o, raw[0], raw[1])
		}, ""},
		{"a ballot and a commitment", func(s standardRealm) registry.Answer {
			o := s.execution()
			c := s.Commitment(s.reviewer.ID(), o, s.sealed(s.reviewer, o, consensus.Approve))
			ballot, _ := s.evidence(s.reviewer, o)
			return s.Equivocate(s.c, o, s.SignAlone(c, s.reviewer.Key()), ballot)
		}, fault.InvalidInput},
		{"one ballot twice", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot, _ := s.evidence(s.reviewer, o)
			return s.Equivocate(s.c, o, ballot, ballot)
		}, fault.InvalidInput},
		{"with two numbers", func(s standardRealm) registry.Answer {
			o := s.execution()
			ballot, _ := s.evidence(s.reviewer, o)
			return s.Equivocate(s.c, o, ballot, s.numbered(s.reviewer, o, consensus.Reject, 2).Ballot)
		}, fault.InvalidInput},
		{"of two voters", func(s standardRealm) registry.Answer {
			o := s.execution()
			first, _ := s.evidence(s.reviewer, o)
			_, second := s.evidence(s.auditor, o)
			return s.Equivocate(s.c, o, first, second)
		}, fault.InvalidInput},
		{"on two decisions", func(s standardRealm) registry.Answer {
			o, other := s.execution(), s.execution()
			first, _ := s.evidence(s.reviewer, o)
			_, second := s.evidence(s.reviewer, other)
			return s.Equivocate(s.c, o, first, second)
		}, fault.InvalidInput},
		{"forged", func(s standardRealm) registry.Answer {
			o := s.execution()
			first, second := s.evidence(identity.NewSigner(s.reviewer.ID(), s.c.Key()), o)
			return s.Equivocate(s.c, o, first, second)
		}, fault.InvalidInput},
		{"of an outsider", func(s standardRealm) registry.Answer { return show(s, s.c, s.worker) }, fault.InvalidInput},
		{"on an unknown decision", func(s standardRealm) registry.Answer {
			o := s.execution()
			first, second := s.evidence(s.reviewer, o)
			return s.Equivocate(s.c, consensus.Opening{}, first, second)
		}, fault.Unknown},
		{"twice", func(s standardRealm) registry.Answer {
			o := s.execution()
			first, second := s.evidence(s.reviewer, o)
			wantCode(t, s.Equivocate(s.c, o, first, second), "")
			return s.Equivocate(s.c, o, second, first)
		}, fault.Spent},
		{"again after the release", func(s standardRealm) registry.Answer {
			o := s.execution()
			first, second := s.evidence(s.reviewer, o)
			wantCode(t, s.Equivocate(s.c, o, first, second), "")
			s.Must(s.a, registry.TypeStatus, release(s.reviewer.ID()), s.b)
			s.Ledger = restored(t, s.World, s.Ledger)
			return s.Equivocate(s.c, o, first, second)
		}, fault.Spent},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.c, registry.TypeEquivocate, registry.Tick{})
		}, fault.Malformed},
	})
}

// Contradicting oneself voids what one said in that decision, and one's say in all others.
func TestEquivocationQuarantines(t *testing.T) {
	s, d, clerk := fourth(t)
	o, other := s.execution(), s.execution()
	ballot := s.sealed(clerk, o, consensus.Approve)
	wantCode(t, s.Commit(clerk, o, ballot), "")
	first, second := s.evidence(clerk, o)
	change := result[registry.Change](t, s.Equivocate(s.worker, o, first, second))
	if change.Principal != clerk.ID() || change.Status != trust.Quarantined {
		t.Errorf("got %+v", change)
	}
	m, err := s.Ledger.Member(clerk.ID())
	wantErr(t, err, "")
	if m.Status != trust.Quarantined || !strings.Contains(m.Reason, "equivocation in decision "+o.Proposal.String()) || m.Changed != s.Ledger.Size() {
		t.Errorf("got %+v", m)
	}
	for _, open := range []consensus.Opening{o, other} {
		got := decision(t, s, open)
		if !slices.Equal(got.Void, []identity.ID{clerk.ID()}) || got.Verdict.State != consensus.Open ||
			(len(got.Contradicted) == 1) != (open.Proposal == o.Proposal) {
			t.Errorf("got void %v, contradicted %v, %s", got.Void, got.Contradicted, got.Verdict.State)
		}
	}
	wantCode(t, s.Reveal(ballot), fault.Quarantined)
	if v, votes := s.execution().Voter(clerk.ID()); votes {
		t.Errorf("a proof counts as everybody's signature, and it is %+v", v)
	}
	s.Cast(d, o, consensus.Approve)
	if got := result[consensus.Verdict](t, s.Cast(s.c, o, consensus.Approve)); got.State != consensus.Approved {
		t.Errorf("got %s", got.State) // the void commitment holds nothing up
	}
	if got := s.Certificate(o.Proposal).Ballots; len(got) != 2 {
		t.Errorf("%d ballots", len(got))
	}
}

// After the end the voter is quarantined all the same, and what was decided stands.
func TestEquivocationAfterTheEnd(t *testing.T) {
	s := standard(t)
	o := s.execution()
	s.Cast(s.c, o, consensus.Approve)
	s.Cast(s.reviewer, o, consensus.Approve)
	before := s.Certificate(o.Proposal)
	first, second := s.evidence(s.reviewer, o)
	wantCode(t, s.Equivocate(s.auditor, o, first, second), "")
	if got := status(t, s.World, s.reviewer.ID()); got != trust.Quarantined {
		t.Errorf("got %s", got)
	}
	after := s.Certificate(o.Proposal)
	if after.Verdict != before.Verdict || len(after.Ballots) != 2 || len(decision(t, s, o).Void) != 0 {
		t.Errorf("got %+v, %d ballots", after.Verdict, len(after.Ballots))
	}
	wantCode(t, s.Consume(s.worker, o), "")
	wantCode(t, s.Equivocate(s.c, o, first, second), fault.Spent)
}

// Whoever was silenced by few is out of the electorates once a proof shows that it belongs there.
func TestEquivocationOfTheSilenced(t *testing.T) {
	s, _, clerk := fourth(t)
	o := s.execution()
	s.Must(s.a, registry.TypeStatus, quarantine(clerk.ID()))
	if v, votes := s.execution().Voter(clerk.ID()); !votes || !v.Silenced {
		t.Fatalf("got %+v, %t", v, votes)
	}
	first, second := s.evidence(clerk, o)
	wantCode(t, s.Equivocate(s.c, o, first, second), "")
	if v, votes := s.execution().Voter(clerk.ID()); votes {
		t.Errorf("got %+v", v)
	}
}

// A proof neither revives who is revoked nor takes the last people who could release anybody.
func TestEquivocationKeepsWorseAndLast(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "file.write", lasting(1, 5*minute))
	s.Must(s.a, registry.TypeStatus, revoke(s.reviewer.ID()))
	first, second := s.evidence(s.reviewer, o)
	wantCode(t, s.Equivocate(s.c, o, first, second), "")
	if got := status(t, s.World, s.reviewer.ID()); got != trust.Revoked {
		t.Errorf("got %s", got)
	}
	s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID())) // a and c are left, and loosening needs two
	first, second = s.evidence(s.c, o)
	wantCode(t, s.Equivocate(s.auditor, o, first, second), "")
	got := decision(t, s, o)
	if status(t, s.World, s.c.ID()) != trust.Active || !slices.Contains(got.Void, s.c.ID()) || got.Verdict.State != consensus.Open {
		t.Errorf("%s, void %v, %s", status(t, s.World, s.c.ID()), got.Void, got.Verdict.State)
	}
	wantCode(t, s.Cast(s.c, o, consensus.Approve), fault.Denied)
	first, second = s.evidence(s.auditor, o)
	wantCode(t, s.Equivocate(s.a, o, first, second), "")
	if got := standing(t, s.World, o); got != consensus.Rejected { // nobody is left
		t.Errorf("got %s", got)
	}
	decided(t, s, o)
}

// What is open when the policy changes ends, whatever has come in, and nothing more comes.
func TestPolicyChangedMidVote(t *testing.T) {
	s := standard(t)
	o := s.execution()
	ballot := s.sealed(s.reviewer, o, consensus.Approve)
	wantCode(t, s.Commit(s.reviewer, o, ballot), "")
	wantCode(t, s.Cast(s.b, o, consensus.Approve), "")
	p := s.Policy
	p.Plain = []string{"weather.*"}
	wantCode(t, s.PutPolicy(p, s.a, s.b), "")
	if got := standing(t, s.World, o); got != consensus.Superseded || s.Ledger.NextDeadline() != 0 {
		t.Fatalf("%s, next at %d", got, s.Ledger.NextDeadline())
	}
	wantCode(t, s.Cast(s.c, o, consensus.Approve), fault.Spent)
	wantCode(t, s.Commit(s.auditor, o, s.sealed(s.auditor, o, consensus.Approve)), fault.Spent)
	wantCode(t, s.Reveal(ballot), fault.Spent)
	first, second := s.evidence(s.reviewer, o)
	wantCode(t, s.Equivocate(s.c, o, first, second), "") // what it signed twice it signed
	s.Tick(o.Rule.Deadline)
	if got := standing(t, s.World, o); got != consensus.Superseded {
		t.Errorf("got %s", got)
	}
	decided(t, s, o)
	if got := s.execution(); got.Policy != p.Digest() {
		t.Errorf("got %s", got.Policy)
	}
}

// A realm that is restored in the middle of votes goes on as if it had not been.
func TestRestoredMidVote(t *testing.T) {
	s, d, clerk := fourth(t)
	hidden, shown, gone := s.execution(), s.execution(), s.execution()
	ballot := s.sealed(s.reviewer, hidden, consensus.Approve)
	wantCode(t, s.Commit(s.reviewer, hidden, ballot), "")
	s.Cast(s.b, shown, consensus.Approve)
	s.Cast(s.reviewer, shown, consensus.Abstain) // with the auditor's it might suffice
	wantCode(t, s.Commit(clerk, gone, s.sealed(clerk, gone, consensus.Approve)), "")
	first, second := s.evidence(clerk, gone)
	wantCode(t, s.Equivocate(s.c, gone, first, second), "")
	other := restored(t, s.World, s.Ledger)
	begin := len(s.Entries)
	for range 2 {
		s.Tick(minute - 1)
		s.Reveal(ballot)
		s.Cast(s.c, shown, consensus.Approve)
		s.Cast(d, hidden, consensus.Approve)
		s.Cast(d, gone, consensus.Reject)
		s.Tick(1)
	}
	for i, entry := range s.Entries[begin:] {
		other.Apply(uint64(i), entry)
	}
	if other.Head() != s.Ledger.Head() || !bytes.Equal(snapshotOf(t, other), snapshotOf(t, s.Ledger)) {
		t.Error("the two went apart")
	}
	for o, want := range map[*consensus.Opening]consensus.State{
		&hidden: consensus.Approved, &shown: consensus.Approved, &gone: consensus.Rejected,
	} {
		if got := standing(t, s.World, *o); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The next moment is the earliest of all open decisions', whatever ends in between.
func TestNextDeadlineOfMany(t *testing.T) {
	s, d, _ := fourth(t)
	var open []consensus.Opening
	for i := range 150 {
		by := []identity.Signer{s.worker, s.reviewer, s.auditor}[i%3]
		life := int64(i*7919%minuteSteps+5) * minute
		open = append(open, s.Propose(by, by.ID(), "db.migrate", func(p *consensus.Proposal) { p.Expires = s.Now + life }))
	}
	s.Ledger = restored(t, s.World, s.Ledger)
	for i, o := range open {
		if i%4 == 0 {
			wantCode(t, s.Cast(d, o, consensus.Reject), "")
		}
	}
	for {
		var want int64
		for _, o := range s.Ledger.Decisions() {
			if o.Verdict.State != consensus.Open {
				continue
			}
			for _, at := range []int64{o.Opening.CommitsUntil(), o.Opening.RevealsUntil(), o.Opening.Deadline} {
				if at > s.Now && (want == 0 || at < want) {
					want = at
				}
			}
		}
		if got := s.Ledger.NextDeadline(); got != want {
			t.Fatalf("at %d: got %d, want %d", s.Now, got, want)
		}
		if want == 0 {
			break
		}
		s.Tick(want - s.Now)
	}
	if got := s.Ledger.Census().Decisions; got[consensus.Open] != 0 || got[consensus.Rejected]+got[consensus.Expired] != 150 {
		t.Errorf("got %v", got)
	}
}

const minuteSteps = 97
