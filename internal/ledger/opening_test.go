package ledger_test

import (
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
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
	got, want := voters(o), map[identity.ID]uint64{
		s.b.ID(): 1, s.c.ID(): 1, s.reviewer.ID(): 1, steward.ID(): 3, silent.ID(): 1,
	}
	if len(got) != len(want) {
		t.Errorf("got %d voters, want %d", len(got), len(want))
	}
	for id, weight := range want {
		if got[id] != weight {
			t.Errorf("%s has weight %d, want %d", id, got[id], weight)
		}
	}
	for _, v := range o.Voters {
		if v.Silenced != (v.ID == silent.ID()) {
			t.Errorf("%s is silenced: %t", v.ID, v.Silenced)
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

func TestDenyIsOfThePolicy(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "weapon.fire") // unknown here, so R3, and denied where the policy says so
	if o.Class != consensus.R3 || status(t, w, worker.ID()) != trust.Active {
		t.Errorf("got %+v", o)
	}
}
