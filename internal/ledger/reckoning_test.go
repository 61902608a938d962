package ledger_test

import (
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const day = 24 * hour

// scored returns an agent's standing.
func scored(t testing.TB, w *ledgertest.World, id identity.ID) ledger.Standing {
	t.Helper()
	s, err := w.Ledger.Standing(id)
	wantErr(t, err, "")
	return s
}

// served replaces what an agent may serve, abilities to judge others among it.
func served(w *ledgertest.World, operator identity.Signer, agent identity.ID, names ...string) registry.Answer {
	return w.Do(operator, registry.TypeGrant, registry.Grant{Principal: agent, Serves: names})
}

// evidenceStep is evidence as it is changed before somebody signs it.
type evidenceStep struct {
	name string
	tell func(s standardRealm) registry.Answer
	want fault.Code
}

func runEvidence(t *testing.T, steps []evidenceStep) {
	t.Helper()
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			s := standard(t)
			before := scored(t, s.World, s.worker.ID())
			answer := step.tell(s)
			wantCode(t, answer, step.want)
			after := scored(t, s.World, s.worker.ID())
			if told := len(after.Account.Traces) > len(before.Account.Traces); told != (step.want == "") {
				t.Errorf("counted: %v", told)
			}
		})
	}
}

// honest is an outcome of the worker, asked for by its own operator's person and attested by another person.
func (s standardRealm) honest(change ...func(*trust.Evidence)) trust.Evidence {
	e := s.Outcome(s.worker.ID(), s.reviewer.ID(), s.c.ID(), "file.write", true)
	for _, c := range change {
		c(&e)
	}
	return e
}

func TestWhoTellsOfOutcomes(t *testing.T) {
	runEvidence(t, []evidenceStep{
		{"another's agent, attested by a third one's person", func(s standardRealm) registry.Answer {
			return s.Tell(s.honest(), s.reviewer, s.c)
		}, ""},
		{"its own operator, attested by another person", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.a.ID(), s.b.ID(), "file.write", false), s.a, s.b)
		}, ""},
		{"attested by an agent", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.b.ID(), s.auditor.ID(), "file.write", true), s.b, s.auditor)
		}, ""},
		{"handed in by somebody else", func(s standardRealm) registry.Answer {
			return s.HandIn(s.auditor, s.Sign(s.honest(), s.reviewer, s.c))
		}, ""},
		{"handed in by its subject", func(s standardRealm) registry.Answer {
			return s.HandIn(s.worker, s.Sign(s.honest(), s.reviewer, s.c))
		}, ""},
		{"not signed by the attester", func(s standardRealm) registry.Answer {
			return s.Tell(s.honest(), s.reviewer)
		}, fault.NoQuorum},
		{"not signed by the author", func(s standardRealm) registry.Answer {
			return s.HandIn(s.reviewer, s.Sign(s.honest(), s.c))
		}, fault.NoQuorum},
		{"signed by a third as well", func(s standardRealm) registry.Answer {
			return s.Tell(s.honest(), s.reviewer, s.c, s.b)
		}, fault.Denied},
		{"signed by others only", func(s standardRealm) registry.Answer {
			return s.Tell(s.honest(), s.auditor, s.b)
		}, fault.NoQuorum},
		{"attested by its operator's person", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.reviewer.ID(), s.a.ID(), "file.write", true), s.reviewer, s.a)
		}, fault.Denied},
		{"attested by the author's operator", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.reviewer.ID(), s.b.ID(), "file.write", true), s.reviewer, s.b)
		}, fault.Denied},
		{"attested by itself", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.reviewer.ID(), s.worker.ID(), "file.write", true), s.reviewer, s.worker)
		}, fault.Denied},
		{"told by itself", func(s standardRealm) registry.Answer {
			return s.Tell(s.Outcome(s.worker.ID(), s.worker.ID(), s.c.ID(), "file.write", true), s.worker, s.c)
		}, fault.Denied},
		{"of nobody", func(s standardRealm) registry.Answer {
			stranger := s.Signer(identity.Agent).ID()
			return s.Tell(s.Outcome(stranger, s.reviewer.ID(), s.c.ID(), "file.write", true), s.reviewer, s.c)
		}, fault.Unknown},
		{"attested by nobody", func(s standardRealm) registry.Answer {
			stranger := s.Signer(identity.Agent)
			return s.Tell(s.Outcome(s.worker.ID(), s.reviewer.ID(), stranger.ID(), "file.write", true), s.reviewer, stranger)
		}, fault.Unknown},
		{"by nobody", func(s standardRealm) registry.Answer {
			stranger := s.Signer(identity.Agent)
			return s.HandIn(s.b, s.Sign(s.Outcome(s.worker.ID(), stranger.ID(), s.c.ID(), "file.write", true), stranger, s.c))
		}, fault.Unknown},
		{"of a quarantined agent", func(s standardRealm) registry.Answer {
			s.Must(s.b, registry.TypeStatus, quarantine(s.worker.ID()))
			return s.Tell(s.honest(), s.reviewer, s.c)
		}, fault.Quarantined},
		{"attested by a quarantined person", func(s standardRealm) registry.Answer {
			s.Must(s.b, registry.TypeStatus, quarantine(s.c.ID()))
			return s.Tell(s.honest(), s.reviewer, s.c)
		}, fault.Quarantined},
		{"by an agent of a quarantined person", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
			return s.HandIn(s.a, s.Sign(s.honest(), s.reviewer, s.c))
		}, fault.Quarantined},
		{"attested by an agent without a level", func(s standardRealm) registry.Answer {
			s.Must(s.c, registry.TypeLevel, setLevel(s.auditor.ID(), identity.Quarantined))
			return s.Tell(s.Outcome(s.worker.ID(), s.b.ID(), s.auditor.ID(), "file.write", true), s.b, s.auditor)
		}, fault.Quarantined},
		{"by a key that was replaced", func(s standardRealm) registry.Answer {
			raw := s.Sign(s.honest(), s.reviewer, s.c)
			s.reviewer = s.Rotate(s.reviewer)
			return s.HandIn(s.reviewer, raw)
		}, fault.NoQuorum},
	})
}

func TestWhenEvidenceCounts(t *testing.T) {
	told := func(change ...func(*trust.Evidence)) func(s standardRealm) registry.Answer {
		return func(s standardRealm) registry.Answer { return s.Tell(s.honest(change...), s.reviewer, s.c) }
	}
	issued := func(offset, life int64) func(*trust.Evidence) {
		return func(e *trust.Evidence) { e.Issued += offset; e.Expires = e.Issued + life }
	}
	runEvidence(t, []evidenceStep{
		{"now", told(), ""},
		{"within the skew", told(issued(identity.Skew, hour)), ""},
		{"from the future", told(issued(identity.Skew+1, hour)), fault.NotYet},
		{"expired", told(issued(-2*hour, hour)), fault.Expired},
		{"garbage", func(s standardRealm) registry.Answer { return s.HandIn(s.b, []byte{1, 2, 3}) }, fault.Malformed},
		{"another statement", func(s standardRealm) registry.Answer {
			return s.HandIn(s.b, s.Sign(s.Command(s.b.ID(), registry.TypeTick, registry.Tick{Time: 1}), s.b))
		}, fault.WrongKind},
		{"no body", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeEvidence, registry.Tick{Time: 1})
		}, fault.Malformed},
		{"compared with an older state", func(s standardRealm) registry.Answer {
			c := s.Command(s.b.ID(), registry.TypeEvidence, registry.Evidence{Statement: s.Sign(s.honest(), s.reviewer, s.c)})
			c.Expect = 1
			return s.Apply(s.Sign(c, s.b))
		}, fault.Malformed},
		{"by a node", func(s standardRealm) registry.Answer {
			return s.HandIn(s.Nodes[0], s.Sign(s.honest(), s.reviewer, s.c))
		}, fault.Denied},
	})
}

// A statement counts once, and so does a request, whoever hands it in, in whatever form, and in whatever order.
func TestEvidenceCountsOnce(t *testing.T) {
	s := standard(t)
	e := s.honest()
	raw := s.Sign(e, s.reviewer, s.c)
	wantCode(t, s.HandIn(s.reviewer, raw), "")
	once := scored(t, s.World, s.worker.ID())
	again := e
	again.Nonce[15]++
	fails := e
	fails.Nonce[14]++
	fails.OK, fails.Result = false, wire.Digest{}
	for _, row := range []struct {
		name string
		raw  []byte
		by   identity.Signer
	}{
		{"by the same", raw, s.reviewer}, {"by another", raw, s.auditor},
		{"the same request with a new nonce", s.Sign(again, s.reviewer, s.c), s.reviewer},
		{"the same request with another end", s.Sign(fails, s.reviewer, s.c), s.reviewer},
	} {
		t.Run(row.name, func(t *testing.T) { wantCode(t, s.HandIn(row.by, row.raw), fault.Spent) })
	}
	s.Tick(2 * minute)
	s.Ledger = restored(t, s.World, s.Ledger)
	wantCode(t, s.HandIn(s.reviewer, raw), fault.Spent)
	if now := scored(t, s.World, s.worker.ID()); len(now.Account.Traces) != len(once.Account.Traces) {
		t.Errorf("%d traces", len(now.Account.Traces))
	}
	other := s.Outcome(s.worker.ID(), s.auditor.ID(), s.b.ID(), "file.write", true)
	other.Request = e.Request
	wantCode(t, s.Tell(other, s.auditor, s.b), "") // what another author has asked for is another request
	s.Tick(day)
	wantCode(t, s.HandIn(s.reviewer, raw), fault.Expired)
	agree(t, s.World, 3)
}

// A node takes evidence to its log once, and none that the ledger could only refuse.
func TestAdmissibleEvidence(t *testing.T) {
	s := standard(t)
	hand := func(e trust.Evidence, signers ...identity.Signer) []byte {
		return s.Sign(s.Command(s.b.ID(), registry.TypeEvidence, registry.Evidence{Statement: s.Sign(e, signers...)}), s.b)
	}
	raw := hand(s.honest(), s.reviewer, s.c)
	wantErr(t, s.Ledger.Admissible(raw), "")
	wantErr(t, s.Ledger.Admissible(hand(s.honest(func(e *trust.Evidence) {
		e.Issued, e.Expires = e.Issued+hour, e.Expires+hour
	}), s.reviewer, s.c)), "") // log time may lag
	wantErr(t, s.Ledger.Admissible(hand(s.honest(), s.reviewer)), fault.NoQuorum)
	e := s.honest()
	wantCode(t, s.Tell(e, s.reviewer, s.c), "")
	wantErr(t, s.Ledger.Admissible(hand(e, s.reviewer, s.c)), fault.Spent)
	w := ledgertest.NewAt(t, standardPolicy(t), 3, 1, registry.TrustFeature-1)
	s.World, s.b = w, w.Roots[1]
	wantErr(t, w.Ledger.Admissible(hand(e, s.b)), fault.Version)
}

// A request whose statement lived for a minute only is remembered as long as any.
func TestShortLivedEvidenceCountsOnce(t *testing.T) {
	s := standard(t)
	short := func(e *trust.Evidence) { e.Expires = e.Issued + minute }
	e := s.honest(short)
	wantCode(t, s.Tell(e, s.reviewer, s.c), "")
	s.Tick(12 * hour)
	again := s.honest(short)
	again.Request = e.Request
	wantCode(t, s.Tell(again, s.reviewer, s.c), fault.Spent)
	s.Tick(13 * hour)
	again = s.honest(short)
	again.Request = e.Request
	wantCode(t, s.Tell(again, s.reviewer, s.c), "")
}

// What an outcome counts for comes from the policy: nobody buys trust in what is risky by the name of an action.
func TestClassOfAnOutcome(t *testing.T) {
	for _, row := range []struct {
		action string
		class  uint8
	}{
		{"file.read", 0}, {"file.write", 1}, {"process.exec", 2}, {"payments.send", 3}, {"unheard.of", 0},
		{"weapon.fire", 0}, // denied
	} {
		t.Run(row.action, func(t *testing.T) {
			s := standard(t)
			effect := result[trust.Effect](t, s.Tell(s.honest(func(e *trust.Evidence) { e.Action = row.action }), s.reviewer, s.c))
			if effect.Class != row.class || effect.Weight <= 0 || effect.After[row.class] <= effect.Before[row.class] {
				t.Errorf("%+v", effect)
			}
			if effect.Subject != s.worker.ID() || effect.Act != trust.Outcome || effect.Level != identity.Journeyer {
				t.Errorf("%+v", effect)
			}
		})
	}
}

func TestWhoRatesAccusesAndEndorses(t *testing.T) {
	of := func(act trust.Act, by func(s standardRealm) identity.Signer, change func(*trust.Evidence)) func(s standardRealm) registry.Answer {
		return func(s standardRealm) registry.Answer {
			e := s.Evidence(act, s.worker.ID(), by(s).ID())
			change(&e)
			return s.Tell(e, by(s))
		}
	}
	a := func(s standardRealm) identity.Signer { return s.a }
	b := func(s standardRealm) identity.Signer { return s.b }
	reviewer := func(s standardRealm) identity.Signer { return s.reviewer }
	detector := func(s standardRealm) identity.Signer {
		served(s.World, s.b, s.reviewer.ID(), trust.Detects)
		return s.reviewer
	}
	own := func(s standardRealm) identity.Signer {
		agent := s.Agent(s.a, fmt.Sprint("own-", len(s.Entries)), identity.Journeyer)
		served(s.World, s.a, agent.ID(), trust.Detects)
		return agent
	}
	everything := func(s standardRealm) identity.Signer {
		served(s.World, s.b, s.reviewer.ID(), "*", "conclave.*")
		return s.reviewer
	}
	value := func(v int64) func(*trust.Evidence) { return func(e *trust.Evidence) { e.Value = v } }
	severity := func(v uint64) func(*trust.Evidence) { return func(e *trust.Evidence) { e.Severity = v } }
	amount := func(v trust.Micro) func(*trust.Evidence) { return func(e *trust.Evidence) { e.Amount = v } }
	same := func(pick func(s standardRealm) identity.Signer) func(s standardRealm) identity.Signer {
		var found *identity.Signer
		return func(s standardRealm) identity.Signer {
			if found == nil {
				signer := pick(s)
				found = &signer
			}
			return *found
		}
	}
	runEvidence(t, []evidenceStep{
		{"rating by another's agent", of(trust.Rating, reviewer, value(-500)), ""},
		{"rating by another person", of(trust.Rating, b, value(1000)), ""},
		{"rating by its operator", of(trust.Rating, a, value(1000)), fault.Denied},
		{"rating by its operator's agent", of(trust.Rating, same(own), value(1000)), fault.Denied},
		{"rating out of range", func(s standardRealm) registry.Answer {
			e := s.Evidence(trust.Rating, s.worker.ID(), s.b.ID())
			e.Value = 1001
			if _, err := wire.Cosign(s.Realm, e, s.b.Key()); fault.CodeOf(err) != fault.Malformed {
				t.Error("signed")
			}
			return s.HandIn(s.b, nil)
		}, fault.Malformed},
		{"violation by another person", of(trust.Violation, b, severity(1)), ""},
		{"violation by its operator", of(trust.Violation, a, severity(1)), fault.Denied},
		{"violation by an agent", of(trust.Violation, reviewer, severity(1)), fault.Denied},
		{"alarm by a detector", of(trust.Alarm, same(detector), value(500)), ""},
		{"alarm by a person", of(trust.Alarm, b, value(500)), ""},
		{"alarm by an agent that detects nothing", of(trust.Alarm, reviewer, value(500)), fault.Denied},
		{"alarm by an agent that may serve whatever there is", of(trust.Alarm, same(everything), value(500)), fault.Denied},
		{"alarm by its operator's detector", of(trust.Alarm, same(own), value(500)), fault.Denied},
		{"endorsement by another person", of(trust.Endorsement, b, amount(trust.Unit)), ""},
		{"endorsement by its operator", of(trust.Endorsement, a, amount(trust.Unit)), fault.Denied},
		{"endorsement by an agent", of(trust.Endorsement, reviewer, amount(trust.Unit)), fault.Denied},
	})
}

// A pardon, and a violation that silences an agent, need as many operators as whatever loosens.
func TestGraveEvidenceNeedsSignatures(t *testing.T) {
	severe := func(signers ...int) func(c court) registry.Answer {
		return func(c court) registry.Answer {
			e := c.Evidence(trust.Violation, c.worker.ID(), c.b.ID())
			e.Severity = 4
			return c.grave(e, c.b, signers...)
		}
	}
	pardon := func(signers ...int) func(c court) registry.Answer {
		return func(c court) registry.Answer {
			e := c.Evidence(trust.Violation, c.worker.ID(), c.b.ID())
			e.Severity = 1
			wantCode(t, c.Tell(e, c.b), "")
			p := c.Evidence(trust.Pardon, c.worker.ID(), c.b.ID())
			p.Amount = trust.Unit
			return c.grave(p, c.b, signers...)
		}
	}
	runCourt(t, []courtStep{
		{"severity 4 by two", severe(1, 2), ""},
		{"severity 4 by its own operator and another", severe(0, 1), ""},
		{"severity 4 by one", severe(1), fault.NoQuorum},
		{"pardon by two others", pardon(1, 2), ""},
		{"pardon by its own operator and two others", pardon(0, 1, 2), ""},
		{"pardon by its own operator and one other", pardon(0, 1), fault.NoQuorum},
		{"pardon by one", pardon(1), fault.NoQuorum},
		{"severity 4, handed in by an agent", func(c court) registry.Answer {
			e := c.Evidence(trust.Violation, c.worker.ID(), c.b.ID())
			e.Severity = 4
			return c.HandIn(c.reviewer, c.Sign(e, c.b))
		}, fault.NoQuorum},
	})
}

// grave hands in evidence signed by one person, with the signatures of the people so numbered under the command.
func (c court) grave(e trust.Evidence, author identity.Signer, people ...int) registry.Answer {
	all := []identity.Signer{c.a, c.b, c.c}
	var further []identity.Signer
	for _, i := range people[1:] {
		further = append(further, all[i])
	}
	return c.HandIn(all[people[0]], c.Sign(e, author), further...)
}

// In a solo realm the one person attests for its own agents, and what it says counts.
func TestSoloPersonAttests(t *testing.T) {
	s := solo(t)
	e := s.Outcome(s.workerID, s.otherID, s.rootID, "file.write", true)
	effect := result[trust.Effect](t, s.Tell(e, s.other, s.root))
	if effect.Weight != trust.Unit {
		t.Errorf("%+v", effect)
	}
	wantCode(t, s.Tell(s.Outcome(s.workerID, s.rootID, s.otherID, "file.write", true), s.root, s.other), fault.Denied)
	v := s.Evidence(trust.Violation, s.workerID, s.rootID)
	v.Severity = 4
	wantCode(t, s.Tell(v, s.root), "")
	if status(t, s.World, s.workerID) != trust.Quarantined {
		t.Error("not quarantined")
	}
	p := s.Evidence(trust.Pardon, s.otherID, s.rootID)
	p.Amount = trust.MaxPardon
	wantCode(t, s.Tell(p, s.root), "")
}

// Newcomers' word for each other weighs nothing, however many they are; an attester that its operator has named weighs.
func TestNewcomersWeighNothing(t *testing.T) {
	s := standard(t)
	for i := range 20 {
		sybil := s.Agent(s.b, fmt.Sprint("sybil-", i), identity.Observer)
		rating := s.Evidence(trust.Rating, s.worker.ID(), sybil.ID())
		rating.Value = 1000
		effect := result[trust.Effect](t, s.Tell(rating, sybil))
		if effect.Weight != 0 {
			t.Fatalf("rating: %+v", effect)
		}
		effect = result[trust.Effect](t, s.Tell(s.Outcome(s.worker.ID(), s.c.ID(), sybil.ID(), "file.write", true), s.c, sybil))
		if effect.Weight != 0 || effect.Cap != trust.ByNothing {
			t.Fatalf("outcome: %+v", effect)
		}
	}
	if score := scored(t, s.World, s.worker.ID()).Score; score != 0 {
		t.Errorf("score %d", score)
	}
	wantCode(t, served(s.World, s.b, s.reviewer.ID(), trust.Attests), "")
	effect := result[trust.Effect](t, s.Tell(
		s.Outcome(s.worker.ID(), s.c.ID(), s.reviewer.ID(), "file.write", true), s.c, s.reviewer))
	if effect.Weight <= 0 {
		t.Errorf("an attester that its operator named: %+v", effect)
	}
}

// Amounts at the ends of their range leave scores in theirs, and the state can be kept.
func TestSaturatingEvidence(t *testing.T) {
	s := standard(t)
	for range 40 {
		v := s.Evidence(trust.Violation, s.worker.ID(), s.b.ID())
		v.Severity = 3
		wantCode(t, s.Tell(v, s.b), "")
		e := s.Evidence(trust.Endorsement, s.worker.ID(), s.b.ID())
		e.Amount = 1<<63 - 1
		wantCode(t, s.Tell(e, s.b), "")
		a := s.Evidence(trust.Alarm, s.worker.ID(), s.b.ID())
		a.Value = 1000
		wantCode(t, s.Tell(a, s.b), "")
	}
	for _, score := range scored(t, s.World, s.worker.ID()).Scores {
		if score.Value > 1000 || score.Integrity > 1000 || score.Belief+score.Disbelief+score.Uncertainty != 1000 {
			t.Errorf("%+v", score)
		}
	}
	s.Tick(3650 * day)
	agree(t, s.World, 7)
}

// A settled vote is evidence on whoever voted, and only once.
func TestSettledVotesAreEvidence(t *testing.T) {
	s := standard(t)
	o := s.Propose(s.worker, s.worker.ID(), "file.write", func(p *consensus.Proposal) { p.Class = consensus.R2 })
	wantCode(t, s.Cast(s.reviewer, o, consensus.Approve), "")
	wantCode(t, s.Cast(s.auditor, o, consensus.Approve), "")
	s.Consume(s.worker, o)
	wantCode(t, s.Settle(s.a, o, true), "")
	for _, voter := range []identity.ID{s.reviewer.ID(), s.auditor.ID()} {
		standing := scored(t, s.World, voter)
		if n := len(standing.Account.Traces); n != 1 || standing.Account.Traces[0].Act != trust.Settled || standing.Account.Climb.Votes != 1 {
			t.Errorf("%d traces, %+v", n, standing.Account.Climb)
		}
	}
	wantCode(t, s.Settle(s.a, o, true), fault.Spent)
	if standing := scored(t, s.World, s.worker.ID()); len(standing.Account.Traces) != 0 {
		t.Errorf("the proposer: %+v", standing.Account.Traces)
	}
}

// Whoever contradicts itself has broken the gravest rule.
func TestEquivocationIsAViolation(t *testing.T) {
	s := standard(t)
	o := s.execution()
	first, second := s.evidence(s.auditor, o)
	child := s.child(s.c, s.auditor.ID(), identity.Observer)
	change := result[registry.Change](t, s.Equivocate(s.b, o, first, second))
	standing := scored(t, s.World, s.auditor.ID())
	if change.Level != identity.Quarantined || change.Status != trust.Quarantined || standing.Account.Climb.Severity[3] == 0 {
		t.Errorf("%+v %+v", change, standing.Account.Climb)
	}
	if m, _ := s.Ledger.Member(child.ID()); m.Level != identity.Quarantined {
		t.Errorf("its child is %s", m.Level)
	}
	wantCode(t, s.Equivocate(s.b, o, first, second), fault.Spent)
	agree(t, s.World, 2)
}

// A realm that some node keeps below feature level 4 refuses all of it as nodes of older builds do.
func TestNothingIsReckonedBelowItsFeatureLevel(t *testing.T) {
	w := ledgertest.NewAt(t, standardPolicy(t), 3, 1, registry.TrustFeature-1)
	a, b, c := w.Roots[0], w.Roots[1], w.Roots[2]
	worker := w.Agent(a, "worker", identity.Journeyer)
	e := w.Outcome(worker.ID(), b.ID(), c.ID(), "file.write", true)
	wantCode(t, w.Tell(e, b, c), fault.Version)
	wantCode(t, w.SignOff(worker.ID(), identity.Principal, a, b), fault.Version)
	token := w.Token(a.ID(), "child", identity.Observer)
	parent := worker.ID()
	token.Parent = &parent
	_, answer := w.Enrol(a, token)
	wantCode(t, answer, fault.Malformed)
	made := wire.Hash([]byte("model"))
	wantCode(t, w.Do(a, registry.TypeGrant, registry.Grant{Principal: worker.ID(), Make: &made}), fault.Malformed)
	p := reckoning(w.Policy)
	wantCode(t, w.PutPolicy(p, a, b), fault.Malformed)
	_, err := w.Ledger.Standing(worker.ID())
	wantErr(t, err, fault.Version)
	_, err = w.Ledger.Ranking()
	wantErr(t, err, fault.Version)
	if next := w.Ledger.NextReview(); next != 0 {
		t.Errorf("review at %d", next)
	}

	w.Feature = registry.TrustFeature
	w.Tick(minute)
	standing := scored(t, w, worker.ID())
	if standing.Level != identity.Journeyer || standing.Account.Climb.Since != w.Now {
		t.Errorf("at the crossing: %+v", standing.Account.Climb)
	}
	e = w.Outcome(worker.ID(), b.ID(), c.ID(), "file.write", true)
	wantCode(t, w.Tell(e, b, c), "")
	token.Issued, token.Expires = w.Now, w.Now+hour
	_, answer = w.Enrol(a, token)
	wantCode(t, answer, "")
	wantCode(t, w.Do(a, registry.TypeGrant, registry.Grant{Principal: worker.ID(), Make: &made}), "")
	wantCode(t, w.PutPolicy(p, a, b), "")
	agree(t, w, 2)
}

// reckoning returns the policy with other parameters than those that hold where it says nothing.
func reckoning(p policy.Policy) policy.Policy {
	params := p.Params()
	params.Alarm = 500
	p.Reckoning = &params
	return p
}
