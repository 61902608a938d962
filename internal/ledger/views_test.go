package ledger_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestViews(t *testing.T) {
	s := standard(t)
	var names []string
	for _, m := range s.Ledger.Members() {
		names = append(names, m.Name)
	}
	if want := []string{"auditor", "reviewer", "root-1", "root-2", "root-3", "worker"}; !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	m, err := s.Ledger.Named("worker")
	if wantErr(t, err, ""); m.ID != s.worker.ID() {
		t.Errorf("got %+v", m)
	}
	_, err = s.Ledger.Named("nobody")
	wantErr(t, err, fault.Unknown)
	_, err = s.Ledger.Member(s.Signer(identity.Agent).ID())
	wantErr(t, err, fault.Unknown)
	_, err = s.Ledger.Decision(wire.Digest{1})
	wantErr(t, err, fault.Unknown)
	_, err = s.Ledger.Ticket(s.Signer(identity.Agent).ID(), s.Now)
	wantErr(t, err, fault.Unknown)
	if s.Ledger.Authority().Realm != s.Realm || !slices.Equal(s.Ledger.Genesis(), s.Genesis) ||
		s.Ledger.Policy().Digest() != s.Policy.Digest() || s.Ledger.Now() != s.Now {
		t.Error("the ledger is of another realm, policy or time")
	}
}

func TestTicket(t *testing.T) {
	s := standard(t)
	s.worker = s.Rotate(s.worker)
	got, err := s.Ledger.Ticket(s.worker.ID(), s.Now)
	wantErr(t, err, "")
	want := trust.Ticket{
		Version: 1, Principal: s.worker.ID(), Name: "worker", Operator: s.a.ID(), Status: trust.Active,
		Level: identity.Journeyer, Key: s.worker.Public(), Epoch: 1, Serves: []string{"review.*"}, Policy: s.Policy.Digest(),
		Index: s.Ledger.Size(), Issued: s.Now, Expires: s.Now + trust.MaxTicketLife,
	}
	if a, b := mustEncode(t, got), mustEncode(t, want); !slices.Equal(a, b) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	raw := s.Sign(got, s.Nodes...)
	_, err = trust.VerifyTicket(raw, s.Ledger.Authority(), s.Now)
	wantErr(t, err, "")
}

func TestNextDeadline(t *testing.T) {
	s := standard(t)
	for _, life := range []int64{5 * minute, 2 * minute, 9 * minute} {
		p := s.exec()
		p.Expires = s.Now + life
		wantCode(t, s.hand(s.worker, p), "")
	}
	opened := s.Now
	for _, want := range []int64{minute, 2 * minute, 5 * minute, 9 * minute, 0} { // to commit, to reveal and the three lives
		got := s.Ledger.NextDeadline()
		if want != 0 {
			want += opened
		}
		if got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		if got == 2*minute+opened {
			for _, d := range s.Ledger.Decisions() {
				s.Cast(s.b, d.Opening, consensus.Approve) // with c, who still can, it is not out of reach
			}
		}
		s.Tick(max(0, got-s.Now))
	}
}

func TestDecisionsNewestFirst(t *testing.T) {
	s := standard(t)
	var want []wire.Digest
	for range 3 {
		want = append([]wire.Digest{s.Propose(s.worker, s.worker.ID(), "db.read").Proposal}, want...)
	}
	var got []wire.Digest
	for _, d := range s.Ledger.Decisions() {
		got = append(got, d.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDecisionIsACopy(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Cast(s.b, o, consensus.Approve)
	d, err := s.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	d.Ballots[0] = nil
	again, err := s.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	if again.Ballots[0] == nil {
		t.Error("a caller changed the ledger")
	}
}

func TestHeadAndRoot(t *testing.T) {
	s := standard(t)
	early := s.Ledger.Head()
	s.Tick(1)
	if got := s.Ledger.Head(); got != early {
		t.Errorf("time passed, and size %d has two heads: %+v and %+v", early.Size, early, got)
	}
	s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
	late := s.Ledger.Head()
	if late.Size != early.Size+1 || late.Root == early.Root || late.State == early.State || late.Time != s.Now {
		t.Errorf("got %+v after %+v", late, early)
	}
	root, err := s.Ledger.RootAt(early.Size)
	if wantErr(t, err, ""); root != early.Root {
		t.Errorf("got %s, want %s", root, early.Root)
	}
	if _, err := s.Ledger.RootAt(late.Size + 1); err == nil {
		t.Error("a root of the future")
	}
	if _, err := s.Ledger.Inclusion(audit.Leaf{Index: late.Size}, early.Size); err == nil {
		t.Error("an inclusion of a later leaf")
	}
	if _, err := s.Ledger.Inclusion(audit.Leaf{}, late.Size); err == nil {
		t.Error("an inclusion of no leaf")
	}
}

func TestCertificateOfTheUndecided(t *testing.T) {
	s := standard(t)
	certificate := func(o consensus.Opening) error {
		head, size := s.Head()
		_, err := s.Ledger.Certificate(o.Proposal, head, size)
		return err
	}
	wantErr(t, certificate(s.approved()), "")
	open := s.Propose(s.worker, s.worker.ID(), "db.migrate")
	wantErr(t, certificate(open), fault.Pending)
	s.Must(s.b, registry.TypeVote, registry.Cast{
		Ballot: s.SignAlone(s.Ballot(s.b.ID(), open, consensus.Reject), s.b.Key()),
	})
	wantErr(t, certificate(open), fault.Rejected)
	wantErr(t, certificate(consensus.Opening{}), fault.Unknown)
	decidedLater := s.approved()
	d, err := s.Ledger.Decision(decidedLater.Proposal)
	wantErr(t, err, "")
	head, size := s.Head()
	if _, err := s.Ledger.Certificate(d.ID, head, size); err != nil || size != d.Decided.Index {
		t.Error(size, err)
	}
	if _, err := s.Ledger.Certificate(d.ID, head, size-1); err == nil {
		t.Error("a certificate under a head that does not cover the verdict")
	}
	late := s.approved()
	if _, err := s.Ledger.Certificate(late.Proposal, head, 3); err == nil {
		t.Error("a certificate under a head of before")
	}
	_, err = s.Ledger.Certificate(d.ID, []byte("head"), size)
	wantErr(t, err, fault.Malformed)
}
