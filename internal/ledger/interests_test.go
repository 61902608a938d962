package ledger_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Nobody makes a majority by quarantining who doubts: its rejection stays, and so does an abstention.
func TestDoubtsStay(t *testing.T) {
	nothing := func(standardRealm) {}
	quarantined := func(s standardRealm) { s.Must(s.a, registry.TypeStatus, quarantine(s.auditor.ID())) }
	lowered := func(s standardRealm) { s.Must(s.a, registry.TypeLevel, setLevel(s.auditor.ID(), identity.Apprentice)) }
	for _, row := range []struct {
		name    string
		auditor consensus.Vote
		do      func(standardRealm) // by the proposer's operator
		want    consensus.State
	}{
		{"rejected", consensus.Reject, nothing, consensus.Open}, // (150 + 850 + 850 + 1000) / 4 is not enough
		{"rejected, and quarantined", consensus.Reject, quarantined, consensus.Open},
		{"rejected, and lowered", consensus.Reject, lowered, consensus.Open},
		{"abstained, and quarantined", consensus.Abstain, quarantined, consensus.Approved}, // (500 + 850 + 850 + 1000) / 4
	} {
		t.Run(row.name, func(t *testing.T) {
			s, _, clerk := fourth(t)
			o := s.execution()
			s.Cast(s.auditor, o, row.auditor)
			s.Cast(s.reviewer, o, consensus.Approve)
			s.Cast(clerk, o, consensus.Approve)
			if d := decision(t, s, o); len(d.Ballots) != 3 || d.Verdict.State != consensus.Open {
				t.Fatalf("%d ballots, %s", len(d.Ballots), d.Verdict.State)
			}
			row.do(s)
			s.Ledger = restored(t, s.World, s.Ledger)
			got := result[consensus.Verdict](t, s.Cast(s.b, o, consensus.Approve))
			if got.State != row.want {
				t.Errorf("got %s, want %s", got.State, row.want)
			}
			if row.want == consensus.Approved && len(s.Certificate(o.Proposal).Ballots) != 4 {
				t.Error("the certificate leaves the doubt out")
			}
		})
	}
}

// Who gains from a decision, or whose agents would be scored by it, does not say whether it was right.
func TestInterestedPartiesDoNotSettle(t *testing.T) {
	runCourt(t, []courtStep{
		{"a root without a part in it", func(c court) registry.Answer {
			o := c.decided(gains(c.a.ID()))
			wantCode(t, c.Consume(c.worker, o), "")
			return c.Settle(c.d(), o, true)
		}, ""},
		{"who gains", func(c court) registry.Answer {
			o := c.decided(gains(c.d().ID()))
			wantCode(t, c.Consume(c.worker, o), "")
			return c.Settle(c.d(), o, true)
		}, fault.Denied},
		{"whose agent voted", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			wantCode(t, c.Cast(c.reviewer, o, consensus.Approve), "")
			wantCode(t, c.Cast(c.c, o, consensus.Approve), "")
			wantCode(t, c.Consume(c.worker, o), "")
			return c.Settle(c.b, o, true)
		}, fault.Denied},
	})
}

// Where everybody who could review an emergency had a part in it, as many as loosen end the block, once it is due.
func TestOverdueReviewsDoNotBlockForEver(t *testing.T) {
	all := func(c court) consensus.Opening { // a proposes and executes, d abstains, b and c approve
		o := result[consensus.Opening](t, c.Hand(c.a, c.urgentStop(func(p *consensus.Proposal) { p.Executor = c.a.ID() })))
		c.Cast(c.d(), o, consensus.Abstain)
		c.approve(o)
		wantCode(t, c.Consume(c.a, o), "")
		return o
	}
	settle := func(c court, o consensus.Opening, signers ...identity.Signer) registry.Answer {
		return c.Do(c.a, registry.TypeSettle, registry.Settle{Proposal: o.Proposal}, signers...)
	}
	runCourt(t, []courtStep{
		{"by two, when it is due", func(c court) registry.Answer {
			o := all(c)
			c.Tick(72 * hour)
			wantCode(t, c.Hand(c.a, c.urgentStop()), fault.Denied)
			wantCode(t, settle(c, o, c.b), "")
			return c.Hand(c.a, c.urgentStop())
		}, ""},
		{"by two, before", func(c court) registry.Answer { return settle(c, all(c), c.b) }, fault.Denied},
		{"by one, when it is due", func(c court) registry.Answer {
			o := all(c)
			c.Tick(72 * hour)
			return settle(c, o)
		}, fault.Denied},
		{"by two, of what is no emergency", func(c court) registry.Answer {
			o := c.decided()
			c.Tick(72 * hour)
			return c.Do(c.b, registry.TypeSettle, registry.Settle{Proposal: o.Proposal}, c.c)
		}, fault.Denied},
	})
}

// What a reminder ends, the reminder's leaf shows.
func TestRemindersEndDecisions(t *testing.T) {
	p := backedUp(t)
	raw := p.accepted(t, p.said(p.a, 0, registry.TypeStatus, quarantine(p.b.ID())))
	p.back(t)
	o := p.Propose(p.worker, p.worker.ID(), "process.exec")
	answer := p.remind(p.c, raw)
	wantCode(t, answer, "")
	d := decision(t, p.standardRealm, o)
	if d.Verdict.State != consensus.Rejected {
		t.Fatalf("got %s", d.Verdict.State)
	}
	if d.Decided.Index != answer.Index || d.Decided.Command != answer.Command || d.Decided.Result != wire.Hash(answer.Result) {
		t.Errorf("got %+v, want that of %+v", d.Decided, answer)
	}
}

// Nobody escapes by a change of its key what it has signed before, as long as the decision is open. Afterwards, whoever holds
// the old key has the ballot noted, and nobody quarantined.
func TestEquivocationByASupersededKey(t *testing.T) {
	for _, row := range []struct {
		rotations int
		ended     bool
		want      trust.Status
	}{
		{0, false, trust.Quarantined}, {1, false, trust.Quarantined}, {2, false, trust.Quarantined},
		{0, true, trust.Quarantined}, {1, true, trust.Active},
	} {
		s := standard(t)
		o := s.execution()
		first := s.SignAlone(s.Ballot(s.reviewer.ID(), o, consensus.Approve), s.reviewer.Key())
		second := s.SignAlone(s.Ballot(s.reviewer.ID(), o, consensus.Reject), s.reviewer.Key())
		voter := s.reviewer
		for range row.rotations {
			voter = s.Rotate(voter)
		}
		third := s.SignAlone(s.Ballot(voter.ID(), o, consensus.Abstain), voter.Key())
		if row.ended {
			s.Must(s.worker, registry.TypeCancel, registry.Cancel{Proposal: o.Proposal})
		}
		if row.rotations > 0 { // no key but the one at the opening speaks for the voter in this decision
			wantCode(t, s.Equivocate(s.a, o, first, third), fault.InvalidInput)
		}
		wantCode(t, s.Equivocate(s.a, o, first, second), "")
		if got := status(t, s.World, s.reviewer.ID()); got != row.want {
			t.Errorf("%+v: got %v", row, got)
		}
		d := decision(t, s, o)
		if len(d.Contradicted) != 1 || len(d.Void) == 1 == row.ended {
			t.Errorf("%+v: contradicted %v, void %v", row, d.Contradicted, d.Void)
		}
		m, err := s.Ledger.Member(voter.ID())
		if wantErr(t, err, ""); (row.want == trust.Quarantined) != (m.StatusSigners == wire.MaxCosigners) {
			t.Errorf("%+v: signed by %d", row, m.StatusSigners)
		}
		wantCode(t, s.Equivocate(s.a, o, second, first), fault.Spent)
	}
}
