package ledger_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// fourth is a realm of four people, each with an agent: two others may be left out, and two operators remain.
func fourth(t testing.TB) (s standardRealm, d, clerk identity.Signer) {
	t.Helper()
	s = standard(t)
	d = s.Operator("root-4", s.a, s.b)
	clerk = s.Agent(d, "clerk", identity.Journeyer)
	return s, d, clerk
}

func gains(ids ...identity.ID) func(*consensus.Proposal) {
	return func(p *consensus.Proposal) {
		p.Beneficiaries = slices.SortedFunc(slices.Values(ids), identity.ID.Compare)
	}
}

// Who acts by a proposal, or gains from it, or answers to whoever gains, has no say in it.
func TestExclusions(t *testing.T) {
	s, d, clerk := fourth(t)
	everybody := []identity.Signer{s.a, s.b, s.c, d, s.worker, s.reviewer, s.auditor, clerk}
	for _, row := range []struct {
		name     string
		proposer identity.Signer
		executor identity.Signer
		change   func(*consensus.Proposal)
		want     []identity.Signer
	}{
		{"nobody else", s.worker, s.worker, gains(), []identity.Signer{s.b, s.c, d, s.reviewer, s.auditor, clerk}},
		{"a person proposes", s.a, s.worker, gains(), []identity.Signer{s.b, s.c, d, s.reviewer, s.auditor, clerk}},
		{"an agent executes", s.worker, clerk, gains(), []identity.Signer{s.b, s.c, d, s.reviewer, s.auditor}},
		{"a person executes", s.worker, d, gains(), []identity.Signer{s.b, s.c, d, s.reviewer, s.auditor, clerk}},
		{"an agent gains", s.worker, s.worker, gains(clerk.ID()), []identity.Signer{s.b, s.c, d, s.reviewer, s.auditor}},
		{"a person gains", s.worker, s.worker, gains(d.ID()), []identity.Signer{s.b, s.c, s.reviewer, s.auditor}},
		{"a person and an agent gain", s.worker, s.worker, gains(d.ID(), s.auditor.ID()), []identity.Signer{s.b, s.c, s.reviewer}},
		{"a stranger gains", s.worker, s.worker, gains(s.Signer(identity.Agent).ID()),
			[]identity.Signer{s.b, s.c, d, s.reviewer, s.auditor, clerk}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := voters(s.Propose(row.proposer, row.executor.ID(), "process.exec", row.change))
			for _, m := range everybody {
				_, votes := got[m.ID()]
				if want := slices.ContainsFunc(row.want, func(w identity.Signer) bool { return w.ID() == m.ID() }); votes != want {
					t.Errorf("%s votes: %t", m.ID(), votes)
				}
			}
		})
	}
	p := s.exec()
	gains(s.b.ID(), s.c.ID())(&p)
	wantCode(t, s.hand(s.worker, p), fault.NoQuorum) // only d and its agent are left: one operator
}

// Nobody shrinks an electorate by a quarantine that too few have signed: for a day the weight stays, and only that.
func TestSilencedVoters(t *testing.T) {
	const day = 24 * 60 * minute
	voter := func(s standardRealm, id identity.ID) (consensus.Voter, bool) {
		return s.Propose(s.worker, s.worker.ID(), "process.exec").Voter(id)
	}
	for _, row := range []struct {
		name string
		do   func(s standardRealm, clerk identity.ID)
		want bool // silenced; or not in the electorate
	}{
		{"by one, just now", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
		}, true},
		{"by one, nearly a day ago", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
			s.Tick(day - 1)
		}, true},
		{"by one, a day ago", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
			s.Tick(day)
		}, false},
		{"by one, twice within the day", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
			s.Tick(day - 1)
			s.Must(s.b, registry.TypeStatus, quarantine(clerk))
			s.Tick(1)
		}, false},
		{"by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk), s.b)
		}, false},
		{"by one, and later by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
			s.Must(s.a, registry.TypeStatus, quarantine(clerk), s.b)
		}, false},
		{"by as many as loosen, and later by one", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk), s.b)
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
		}, false},
		{"released and quarantined again by one", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(clerk), s.b)
			s.Must(s.a, registry.TypeStatus, release(clerk), s.b)
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
		}, true},
		{"revoked by one", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, revoke(clerk))
		}, true},
		{"revoked by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, revoke(clerk), s.b)
		}, false},
		{"revoked by one, a day ago", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, revoke(clerk))
			s.Tick(day)
		}, false},
		{"lowered by one", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice))
		}, true},
		{"lowered by one, and again, a day after the first", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice))
			s.Tick(day - 1)
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Observer))
			s.Tick(1)
		}, false},
		{"lowered by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice), s.b)
		}, false},
		{"lowered by one, and confirmed by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice))
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice), s.b)
		}, false},
		{"its person quarantined by one", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(member(t, s.World, clerk).Operator))
		}, true},
		{"its person quarantined by as many as loosen", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeStatus, quarantine(member(t, s.World, clerk).Operator), s.b)
		}, false},
		{"by one, at a level that does not vote", func(s standardRealm, clerk identity.ID) {
			s.Must(s.a, registry.TypeLevel, setLevel(clerk, identity.Apprentice))
			s.Must(s.a, registry.TypeStatus, quarantine(clerk))
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, _, clerk := fourth(t)
			if v, votes := voter(s, clerk.ID()); !votes || v.Silenced {
				t.Fatalf("before: %+v, %t", v, votes)
			}
			row.do(s, clerk.ID())
			v, votes := voter(s, clerk.ID())
			if votes != row.want || v.Silenced != row.want || (votes && v.Weight != 1) {
				t.Errorf("got %+v, %t", v, votes)
			}
			s.Ledger = restored(t, s.World, s.Ledger)
			if again, _ := voter(s, clerk.ID()); again != v {
				t.Errorf("restored: %+v, before %+v", again, v)
			}
		})
	}
	s, d, clerk := fourth(t)
	s.Must(s.a, registry.TypeStatus, quarantine(clerk.ID()))
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Must(s.a, registry.TypeStatus, release(clerk.ID()), s.b)
	wantCode(t, s.Cast(clerk, o, consensus.Approve), fault.Denied) // it was silenced at the opening, and that is frozen
	s.Must(s.a, registry.TypeStatus, quarantine(d.ID()))
	if v, votes := voter(s, d.ID()); votes {
		t.Errorf("a person that is quarantined: %+v", v)
	}
}

// What an operator says of its agent's make is frozen with the electorate, and so is what its votes have been worth.
func TestFamiliesAreFrozen(t *testing.T) {
	s := standard(t)
	family := func() string {
		v, _ := s.Propose(s.worker, s.worker.ID(), "process.exec").Voter(s.reviewer.ID())
		if v.Calibration != 700 {
			t.Errorf("nobody has proved to be worth %d", v.Calibration)
		}
		return v.Family
	}
	if got := family(); got != "" {
		t.Errorf("got %q", got)
	}
	wantCode(t, s.Family(s.b, s.reviewer.ID(), "maker.model"), "")
	if got := family(); got != "maker.model" {
		t.Errorf("got %q", got)
	}
	wantCode(t, s.Family(s.b, s.reviewer.ID(), ""), "")
	if got := family(); got != "maker.model" {
		t.Errorf("not naming it changed it to %q", got)
	}
	longest := strings.Repeat("x", 64)
	wantCode(t, s.Family(s.b, s.reviewer.ID(), longest), "")
	wantCode(t, s.Family(s.b, s.reviewer.ID(), longest+"x"), fault.TooLarge)
	for _, name := range []string{"Maker", "maker model", "maker.*", "."} {
		wantCode(t, s.Family(s.b, s.reviewer.ID(), name), fault.Malformed)
	}
	wantCode(t, s.Family(s.a, s.reviewer.ID(), "other"), fault.Denied)
	if got := family(); got != longest {
		t.Errorf("a refused grant changed it to %q", got)
	}
	m, err := s.Ledger.Member(s.reviewer.ID())
	if wantErr(t, err, ""); m.Family != longest || !slices.Equal(m.Serves, []string{"review.*"}) {
		t.Errorf("got %+v", m)
	}
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	for _, id := range []identity.ID{s.b.ID(), s.c.ID()} {
		if v, ok := o.Voter(id); !ok || v.Family != "" || v.Calibration != 1000 {
			t.Errorf("a person: %+v", v)
		}
	}
}

func urgently(p *consensus.Proposal) { p.Emergency = true }

// In an emergency people decide, by the policy's emergency rule, and the class stays what it is.
func TestEmergencyOpenings(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "service.stop", urgently)
	if o.Rule != s.Policy.Emergency.Rule() || !o.Emergency || o.Class != consensus.R3 || o.Alone {
		t.Errorf("got %+v", o)
	}
	if got := voters(o); len(got) != 2 || got[s.b.ID()] != 1 || got[s.c.ID()] != 1 {
		t.Errorf("got %v", got)
	}
	wantCode(t, s.Cast(s.reviewer, o, consensus.Approve), fault.Denied)
	wantCode(t, s.Cast(s.b, o, consensus.Approve), "")
	if verdict := result[consensus.Verdict](t, s.Cast(s.c, o, consensus.Approve)); verdict.State != consensus.Approved {
		t.Errorf("got %+v", verdict)
	}
	p := s.Proposal(s.worker.ID(), s.worker.ID(), "process.exec")
	urgently(&p)
	wantCode(t, s.hand(s.worker, p), fault.Denied) // not one of those that the policy lists
	if o := s.Propose(s.worker, s.worker.ID(), "service.stop"); o.Emergency || o.Rule != s.Policy.Rule(consensus.R3) {
		t.Errorf("nobody said that it is urgent: %+v", o)
	}
	s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
	p = s.Proposal(s.worker.ID(), s.worker.ID(), "service.stop")
	urgently(&p)
	wantCode(t, s.hand(s.worker, p), fault.NoQuorum)
	alone := solo(t)
	p = alone.Proposal(alone.workerID, alone.workerID, "service.stop")
	wantCode(t, alone.Hand(alone.worker, p), "")
	urgently(&p)
	p.Nonce[0]++
	wantCode(t, alone.Hand(alone.worker, p), fault.Denied) // this policy knows none
}

func lasting(uses uint64, life int64) func(*consensus.Proposal) {
	return func(p *consensus.Proposal) { p.Permit = &consensus.Permit{Uses: uses, Until: p.Issued + life} }
}

// No level decides alone on more than one action, and what is permitted lasts as long as the permit.
func TestPermitsAreNotDecidedAlone(t *testing.T) {
	s := standard(t)
	if o := s.Propose(s.worker, s.worker.ID(), "db.read"); !o.Alone {
		t.Fatalf("got %+v", o)
	}
	o := s.Propose(s.worker, s.worker.ID(), "db.read", lasting(3, 60*minute))
	if o.Alone || o.Class != consensus.R0 || len(o.Voters) != 4 {
		t.Errorf("got %+v", o)
	}
	verdict := result[consensus.Verdict](t, s.Cast(s.b, o, consensus.Approve))
	if want := (consensus.Verdict{Proposal: o.Proposal, State: consensus.Approved, At: s.Now, From: s.Now,
		Until: s.Now + 60*minute}); verdict != want {
		t.Errorf("got %+v, want %+v", verdict, want)
	}
	p := s.Proposal(s.worker.ID(), s.worker.ID(), "db.read")
	p.Issued -= minute
	lasting(3, minute)(&p)
	wantCode(t, s.hand(s.worker, p), fault.Expired)
	p.Permit.Until++
	wantCode(t, s.hand(s.worker, p), "")
}

func TestNotBeforeMovesTheWindow(t *testing.T) {
	s := standard(t)
	later := func(p *consensus.Proposal) { p.NotBefore = s.Now + 60*minute }
	alone := s.Propose(s.worker, s.worker.ID(), "db.read", later)
	asked := s.Propose(s.worker, s.worker.ID(), "process.exec", later)
	s.Cast(s.b, asked, consensus.Approve)
	s.Cast(s.c, asked, consensus.Approve)
	for _, o := range []consensus.Opening{alone, asked} {
		d, err := s.Ledger.Decision(o.Proposal)
		wantErr(t, err, "")
		want := consensus.Verdict{Proposal: o.Proposal, State: consensus.Approved, At: s.Now, From: s.Now + 60*minute,
			Until: s.Now + 60*minute + o.Rule.Window}
		if d.Verdict != want {
			t.Errorf("got %+v, want %+v", d.Verdict, want)
		}
	}
}

// The most that one operator may have open is counted by operator, and what has ended is not.
func TestOpenAreCountedAgainAfterARestore(t *testing.T) {
	s := standard(t)
	var last consensus.Opening
	for range 64 {
		last = s.Propose(s.worker, s.worker.ID(), "process.exec")
	}
	s.Ledger = restored(t, s.World, s.Ledger)
	wantCode(t, s.hand(s.worker, s.exec()), fault.Rate)
	wantCode(t, s.Cast(s.b, last, consensus.Reject), "")
	wantCode(t, s.hand(s.worker, s.exec()), "")
	wantCode(t, s.hand(s.worker, s.exec()), fault.Rate)
}

// A policy that says nothing of emergencies, and whose sums are none, opens what it always did.
func TestOpeningsWithoutSums(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Strict), 3, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	p := w.Proposal(worker.ID(), worker.ID(), "file.write")
	p.Action.Amount = 1 << 60
	o := result[consensus.Opening](t, w.Hand(worker, p))
	if o.Sum != 0 || o.Class != consensus.R1 || status(t, w, worker.ID()) != trust.Active {
		t.Errorf("got %+v", o)
	}
	wantCode(t, w.Hand(worker, w.Proposal(worker.ID(), worker.ID(), "process.exec")), fault.NoQuorum)
}
