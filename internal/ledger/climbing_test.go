package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
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

// level returns an agent's level.
func level(t testing.TB, w *ledgertest.World, id identity.ID) identity.Level {
	t.Helper()
	m, err := w.Ledger.Member(id)
	wantErr(t, err, "")
	return m.Level
}

// child enrols an agent on behalf of another.
func (s standardRealm) child(operator identity.Signer, parent identity.ID, level identity.Level) identity.Signer {
	token := s.Token(operator.ID(), "child-"+strings.ToLower(parent.String()[:8]), level)
	token.Parent = &parent
	agent, answer := s.Enrol(operator, token)
	if answer.Code != "" {
		panic(answer.Message) // the caller's mistake
	}
	return agent
}

// works has an agent of a work for so many days, by the word of two other people.
func (s standardRealm) works(t testing.TB, agent identity.ID, days int, ok bool) {
	t.Helper()
	for range days {
		for _, attester := range []identity.Signer{s.b, s.c, s.b, s.c} {
			wantCode(t, s.Tell(s.Outcome(agent, s.a.ID(), attester.ID(), "file.write", ok), s.a, attester), "")
		}
		s.Tick(day)
	}
}

// A newcomer climbs by work that others attest, time, and people's signatures, one level at a time; and falls at once.
func TestClimbAndFall(t *testing.T) {
	s := standard(t)
	agent := s.Agent(s.a, "newcomer", identity.Observer)
	id := agent.ID()
	wantCode(t, s.SignOff(id, identity.Apprentice, s.b, s.c), fault.Denied)
	s.works(t, id, 10, true)
	wantCode(t, s.SignOff(id, identity.Journeyer, s.b, s.c), fault.Denied)
	change := result[registry.Change](t, s.SignOff(id, identity.Apprentice, s.b, s.c))
	if change.Level != identity.Apprentice || change.Principal != id {
		t.Errorf("%+v", change)
	}
	wantCode(t, s.SignOff(id, identity.Journeyer, s.b, s.c), fault.Denied)
	s.works(t, id, 21, true)
	change = result[registry.Change](t, s.SignOff(id, identity.Journeyer, s.b, s.c))
	standing := scored(t, s.World, id)
	if change.Level != identity.Journeyer || standing.Account.Climb.Why != trust.Earned || standing.Until <= s.Now || standing.Score < 700 {
		t.Errorf("%+v: %+v", change, standing.Account.Climb)
	}
	o := s.Propose(s.reviewer, s.reviewer.ID(), "process.exec")
	if _, votes := o.Voter(id); !votes {
		t.Error("the new level has no vote")
	}

	var last trust.Effect
	for range 8 {
		e := s.Outcome(id, s.a.ID(), s.b.ID(), "file.write", false)
		last = result[trust.Effect](t, s.Tell(e, s.a, s.b))
		last = result[trust.Effect](t, s.Tell(s.Outcome(id, s.a.ID(), s.c.ID(), "file.write", false), s.a, s.c))
		if last.Level < identity.Journeyer {
			break
		}
		s.Tick(hour)
	}
	standing = scored(t, s.World, id)
	if last.Level != identity.Apprentice || standing.Level != identity.Apprentice || standing.Blocked <= s.Now {
		t.Errorf("after failures: %+v, %s", last, standing.Level)
	}
	if turns := standing.Account.Turns; turns[len(turns)-1].Why != trust.Fell || standing.Reason != trust.Fell.String() {
		t.Errorf("turns %+v, reason %q", turns, standing.Reason)
	}
	wantCode(t, s.SignOff(id, identity.Journeyer, s.b, s.c), fault.Denied)
	agree(t, s.World, 11)
}

// ripened is a realm with an L1 agent of a that has earned L2.
func ripened(t testing.TB) (standardRealm, identity.Signer) {
	t.Helper()
	s := standard(t)
	agent := s.Agent(s.a, "newcomer", identity.Observer)
	s.works(t, agent.ID(), 8, true)
	return s, agent
}

func TestWhoSignsOff(t *testing.T) {
	type row struct {
		name string
		do   func(s standardRealm, agent identity.Signer) registry.Answer
		want fault.Code
	}
	by := func(level identity.Level, pick func(s standardRealm) []identity.Signer) func(standardRealm, identity.Signer) registry.Answer {
		return func(s standardRealm, agent identity.Signer) registry.Answer {
			return s.SignOff(agent.ID(), level, pick(s)...)
		}
	}
	two := func(s standardRealm) []identity.Signer { return []identity.Signer{s.a, s.b} }
	for _, r := range []row{
		{"its own operator and another", by(identity.Apprentice, two), ""},
		{"one", by(identity.Apprentice, func(s standardRealm) []identity.Signer { return []identity.Signer{s.b} }), fault.NoQuorum},
		{"one, twice", by(identity.Apprentice, func(s standardRealm) []identity.Signer {
			return []identity.Signer{s.b, s.reviewer}
		}), fault.NoQuorum},
		{"itself, with people", func(s standardRealm, agent identity.Signer) registry.Answer {
			return s.SignOff(agent.ID(), identity.Apprentice, agent, s.a, s.b)
		}, fault.Denied},
		{"two levels at once", by(identity.Journeyer, two), fault.Denied},
		{"one level down", by(identity.Quarantined, two), fault.Denied},
		{"a level that there is not", by(identity.Steward+1, two), fault.Malformed},
		{"the lease of a level without one", by(identity.Observer, two), fault.Denied},
		{"of a person", func(s standardRealm, _ identity.Signer) registry.Answer {
			return s.SignOff(s.c.ID(), identity.Apprentice, s.a, s.b)
		}, fault.Denied},
		{"of nobody", func(s standardRealm, _ identity.Signer) registry.Answer {
			return s.SignOff(s.Signer(identity.Agent).ID(), identity.Apprentice, s.a, s.b)
		}, fault.Unknown},
		{"of a quarantined agent", func(s standardRealm, agent identity.Signer) registry.Answer {
			s.Must(s.b, registry.TypeStatus, quarantine(agent.ID()))
			return s.SignOff(agent.ID(), identity.Apprentice, s.a, s.b)
		}, fault.Quarantined},
		{"as it was seen", func(s standardRealm, agent identity.Signer) registry.Answer {
			m, _ := s.Ledger.Member(agent.ID())
			return s.promotion(agent.ID(), identity.Apprentice, m.Changed)
		}, ""},
		{"as it was before", func(s standardRealm, agent identity.Signer) registry.Answer {
			m, _ := s.Ledger.Member(agent.ID())
			return s.promotion(agent.ID(), identity.Apprentice, m.Changed-1)
		}, fault.Conflict},
		{"under suspicion", func(s standardRealm, agent identity.Signer) registry.Answer {
			alarm := s.Evidence(trust.Alarm, agent.ID(), s.b.ID())
			alarm.Value = 900
			wantCode(t, s.Tell(alarm, s.b), "")
			return s.SignOff(agent.ID(), identity.Apprentice, s.a, s.b)
		}, fault.Denied},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, agent := ripened(t)
			wantCode(t, r.do(s, agent), r.want)
			if up := level(t, s.World, agent.ID()) == identity.Apprentice; up != (r.want == "") {
				t.Errorf("up: %v", up)
			}
		})
	}
}

func (s standardRealm) promotion(agent identity.ID, to identity.Level, expect uint64) registry.Answer {
	c := s.Command(s.a.ID(), registry.TypePromote, registry.SetLevel{Principal: agent, Level: to})
	c.Expect = expect
	return s.Apply(s.Sign(c, s.a, s.b))
}

// Where the ladder wants strangers, the agent's own operator does not count.
func TestForeignSignOff(t *testing.T) {
	c := newCourt(t)
	id := c.worker.ID()
	c.works(t, id, 40, true)
	for _, row := range []struct {
		name    string
		signers []identity.Signer
		want    fault.Code
	}{
		{"its own and one other", []identity.Signer{c.a, c.b}, fault.NoQuorum},
		{"two others", []identity.Signer{c.b, c.c}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantCode(t, c.SignOff(id, identity.Journeyer, row.signers...), "") // one other is enough for L3's lease
			before := c.Ledger
			c.Ledger = restored(t, c.World, before)
			c.Must(c.b, registry.TypeLevel, setLevel(id, identity.Principal), c.c)
			wantCode(t, c.SignOff(id, identity.Principal, row.signers...), row.want)
			c.Ledger = before
		})
	}
}

// An appointment runs as a lease too: without a signature it ends, and takes a level, at a tick that leaves a leaf to show.
func TestLeases(t *testing.T) {
	s := standard(t)
	renewed, lapsed := s.worker.ID(), s.reviewer.ID()
	s.Tick(80 * day)
	earlier := scored(t, s.World, renewed).Until
	for _, id := range []identity.ID{renewed} {
		s.works(t, id, 5, true)
		s.works(t, id, 4, true)
	}
	wantCode(t, s.SignOff(renewed, identity.Journeyer, s.b), fault.NoQuorum)
	wantCode(t, s.SignOff(renewed, identity.Journeyer, s.b, s.c), "")
	if until := scored(t, s.World, renewed).Until; until <= earlier {
		t.Errorf("lease until %d, before until %d", until, earlier)
	}
	size := s.Ledger.Size()
	s.Tick(2 * day)
	if level(t, s.World, renewed) != identity.Journeyer || level(t, s.World, lapsed) != identity.Apprentice {
		t.Errorf("%s and %s", level(t, s.World, renewed), level(t, s.World, lapsed))
	}
	standing := scored(t, s.World, lapsed)
	turn := standing.Account.Turns[len(standing.Account.Turns)-1]
	if turn.Why != trust.Lapsed || turn.At != s.Now || turn.Index <= size || turn.Index > s.Ledger.Size() {
		t.Errorf("%+v, sizes %d and %d", turn, size, s.Ledger.Size())
	}
	m, err := s.Ledger.Member(lapsed)
	wantErr(t, err, "")
	proveFall(t, s.World, m, turn.Index)
	s.Tick(2 * minute)
	if s.Ledger.Size() != size+2 { // the reviewer's and the auditor's
		t.Errorf("%d leaves", s.Ledger.Size()-size)
	}
	agree(t, s.World, 13)
}

// proveFall finds the leaf of a member's fall at a tick in the tree.
func proveFall(t testing.TB, w *ledgertest.World, m ledger.Member, index uint64) {
	t.Helper()
	entry := w.Entries[len(w.Entries)-1]
	var e ledger.Entry
	wantErr(t, wire.Decode(entry, &e), "")
	tick, err := wire.ParseCosigned[registry.Command](e.Ticks[len(e.Ticks)-1], wire.MaxStatement)
	wantErr(t, err, "")
	change := registry.Change{Principal: m.ID, Status: m.Status, Level: m.Level, Epoch: m.Epoch, Key: m.Key}
	leaf := audit.Leaf{Index: index, Command: tick.ID(w.Realm), Result: wire.Hash(mustEncode(t, change))}
	signed, size := w.Head()
	head, err := audit.VerifyHead(signed, w.Ledger.Authority())
	wantErr(t, err, "")
	inclusion, err := w.Ledger.Inclusion(leaf, size)
	wantErr(t, err, "")
	if err := inclusion.Shows(head, change); err != nil {
		t.Errorf("the fall's leaf: %v", err)
	}
}

// Violations take levels at once, and votes with them; what one operator has told leaves the agent in electorates, silenced.
func TestViolationsTakeLevels(t *testing.T) {
	for _, row := range []struct {
		severity uint64
		want     identity.Level
		status   trust.Status
	}{
		{1, identity.Journeyer, trust.Active},
		{2, identity.Apprentice, trust.Active},
		{3, identity.Observer, trust.Active},
		{4, identity.Quarantined, trust.Quarantined},
	} {
		t.Run(trust.Violation.String()+string(rune('0'+row.severity)), func(t *testing.T) {
			s := standard(t)
			s.child(s.c, s.auditor.ID(), identity.Observer)
			o := s.execution()
			sealed := s.sealed(s.auditor, o, consensus.Approve)
			wantCode(t, s.Commit(s.auditor, o, sealed), "")
			e := s.Evidence(trust.Violation, s.auditor.ID(), s.b.ID())
			e.Severity = row.severity
			effect := result[trust.Effect](t, s.HandIn(s.b, s.Sign(e, s.b), s.a))
			m, err := s.Ledger.Member(s.auditor.ID())
			wantErr(t, err, "")
			if m.Level != row.want || m.Status != row.status || effect.Level != row.want {
				t.Errorf("%s %s, %+v", m.Status, m.Level, effect)
			}
			d, err := s.Ledger.Decision(o.Proposal)
			wantErr(t, err, "")
			if lost := len(d.Void) > 0; lost != (row.want < identity.Journeyer) {
				t.Errorf("lost its vote: %v", lost)
			}
			agree(t, s.World, 3)
		})
	}
}

func TestFallsByFewLeaveElectoratesAsLarge(t *testing.T) {
	for _, row := range []struct {
		name     string
		further  int
		counted  bool
		elapsing int64
	}{
		{"one operator", 0, true, 0}, {"two", 1, false, 0}, {"one, a day ago", 0, false, day},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCourt(t)
			e := c.Evidence(trust.Violation, c.auditor.ID(), c.b.ID())
			e.Severity = 3
			wantCode(t, c.HandIn(c.b, c.Sign(e, c.b), []identity.Signer{c.a}[:row.further]...), "")
			c.Tick(row.elapsing)
			v, in := c.execution().Voter(c.auditor.ID())
			if in != row.counted || v.Silenced != row.counted {
				t.Errorf("in %v, silenced %v", in, v.Silenced)
			}
		})
	}
}

// Who is under suspicion is counted and does not vote; its rate follows in steps, and comes back with time.
func TestSuspicion(t *testing.T) {
	s := standard(t)
	wantCode(t, served(s.World, s.b, s.reviewer.ID(), trust.Detects), "")
	alarm := func(value int64) {
		e := s.Evidence(trust.Alarm, s.auditor.ID(), s.reviewer.ID())
		e.Value = value
		wantCode(t, s.Tell(e, s.reviewer), "")
	}
	throttle := func() uint64 {
		m, err := s.Ledger.Member(s.auditor.ID())
		wantErr(t, err, "")
		return m.Throttle
	}
	alarm(250)
	if v, in := s.execution().Voter(s.auditor.ID()); !in || v.Silenced || throttle() != 200 {
		t.Errorf("a little suspicion: in %v, silenced %v, throttle %d", in, v.Silenced, throttle())
	}
	alarm(1000)
	o := s.execution()
	if v, in := o.Voter(s.auditor.ID()); !in || !v.Silenced || throttle() != 600 {
		t.Errorf("much suspicion: in %v, silenced %v, throttle %d", in, v.Silenced, throttle())
	}
	wantCode(t, s.Cast(s.auditor, o, consensus.Approve), fault.Denied)
	if again := restored(t, s.World, s.Ledger); again != nil {
		m, err := again.Member(s.auditor.ID())
		wantErr(t, err, "")
		if m.Throttle != 600 {
			t.Errorf("restored: %d", m.Throttle)
		}
	}
	s.Tick(2 * day)
	if v, in := s.execution().Voter(s.auditor.ID()); !in || v.Silenced || throttle() != 0 {
		t.Errorf("later: in %v, silenced %v, throttle %d", in, v.Silenced, throttle())
	}
	if level(t, s.World, s.auditor.ID()) != identity.Journeyer {
		t.Error("suspicion alone took a level")
	}
}

// What an agent's throttle or level becomes is told to whoever keeps connections in step.
func TestFallsAndThrottlesAreTold(t *testing.T) {
	s := standard(t)
	var told []identity.ID
	l, err := ledger.New(s.Realm, s.Genesis, s.Policy, func(c ledger.Change) { told = append(told, c.Members...) })
	wantErr(t, err, "")
	snapshot, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	wantErr(t, l.Restore(snapshot), "")
	s.Ledger = l
	expect := func(what string, want bool) {
		t.Helper()
		got := false
		for _, id := range told {
			got = got || id == s.auditor.ID()
		}
		if told = nil; got != want {
			t.Errorf("%s: told %v", what, got)
		}
	}
	alarm := s.Evidence(trust.Alarm, s.auditor.ID(), s.b.ID())
	alarm.Value = 500
	wantCode(t, s.Tell(alarm, s.b), "")
	expect("alarm", true)
	again := s.Evidence(trust.Alarm, s.auditor.ID(), s.b.ID())
	again.Value = 400
	wantCode(t, s.Tell(again, s.b), "")
	expect("a lesser alarm", false)
	s.Tick(6 * hour)
	expect("half of it gone", true)
	s.Tick(91 * day)
	expect("lease over", true)
	wantCode(t, s.Tell(s.Outcome(s.auditor.ID(), s.a.ID(), s.b.ID(), "file.read", true), s.a, s.b), "")
	expect("an outcome that changes no level", false)
}

// A promotion is shown in certificates as what gave the level, if as many as loosen have signed it.
func TestCertificatesShowPromotions(t *testing.T) {
	s, agent := ripened(t)
	wantCode(t, s.SignOff(agent.ID(), identity.Apprentice, s.b, s.c), "")
	s.works(t, agent.ID(), 21, true)
	raw := s.Sign(s.Command(s.b.ID(), registry.TypePromote, registry.SetLevel{Principal: agent.ID(), Level: identity.Journeyer}), s.b, s.c)
	wantCode(t, s.Apply(raw), "")
	o := s.Propose(agent, agent.ID(), "file.write")
	shown := false
	for _, l := range s.Certificate(o.Proposal).Levels {
		shown = shown || string(l) == string(raw)
	}
	if !o.Alone || !shown {
		t.Errorf("alone %v, shown %v", o.Alone, shown)
	}
}

// A lowering that somebody has lost and is reminded of does not undo a promotion that came after it.
func TestRemindersDoNotUndoPromotions(t *testing.T) {
	s, agent := ripened(t)
	wantCode(t, s.SignOff(agent.ID(), identity.Apprentice, s.b, s.c), "")
	lowering := s.Sign(s.Command(s.b.ID(), registry.TypeLevel, setLevel(agent.ID(), identity.Observer)), s.b)
	lost := s.Sign(s.Command(s.c.ID(), registry.TypeLevel, setLevel(agent.ID(), identity.Observer)), s.c)
	wantCode(t, s.Apply(lowering), "")
	s.Tick(30 * day)
	s.works(t, agent.ID(), 8, true)
	if n := len(s.Ledger.Tightenings().All); n != 1 {
		t.Fatalf("%d tightenings", n)
	}
	wantCode(t, s.SignOff(agent.ID(), identity.Apprentice, s.b, s.c), "")
	if n := len(s.Ledger.Tightenings().All); n != 0 {
		t.Errorf("%d tightenings after the promotion", n)
	}
	for _, raw := range [][]byte{lowering, lost} {
		reminded := result[registry.Reminded](t, s.Do(s.a, registry.TypeRemind, registry.Remind{Command: raw}))
		if reminded.News || level(t, s.World, agent.ID()) != identity.Apprentice {
			t.Errorf("%+v", reminded)
		}
	}
	late := s.Sign(s.Command(s.c.ID(), registry.TypeLevel, setLevel(agent.ID(), identity.Observer)), s.c)
	s.Tick(minute)
	wantCode(t, s.Do(s.a, registry.TypeRemind, registry.Remind{Command: late}), "")
	agree(t, s.World, 17)
}

// A fall that the ledger brought about is no operator's command: nobody is reminded of it, and it hides none.
func TestFallsAreNoTightenings(t *testing.T) {
	s := standard(t)
	e := s.Evidence(trust.Violation, s.worker.ID(), s.b.ID())
	e.Severity = 2
	wantCode(t, s.Tell(e, s.b), "")
	if n := len(s.Ledger.Tightenings().All); n != 0 {
		t.Errorf("%d", n)
	}
	s.Must(s.b, registry.TypeLevel, setLevel(s.worker.ID(), identity.Observer))
	if n := len(s.Ledger.Tightenings().All); n != 1 {
		t.Errorf("%d", n)
	}
}

// Another policy reckons otherwise from then on.
func TestPolicyReckons(t *testing.T) {
	s := standard(t)
	alarm := func(agent identity.Signer) uint64 {
		e := s.Evidence(trust.Alarm, agent.ID(), s.reviewer.ID())
		e.Value = 1000
		wantCode(t, s.Tell(e, s.reviewer), "")
		return scored(t, s.World, agent.ID()).Suspicion
	}
	wantCode(t, served(s.World, s.b, s.reviewer.ID(), trust.Detects), "")
	if got := alarm(s.worker); got != 600 {
		t.Errorf("suspicion %d", got)
	}
	p := reckoning(s.Policy)
	wantCode(t, s.PutPolicy(p, s.a, s.b), "")
	if got := alarm(s.auditor); got != 500 {
		t.Errorf("suspicion %d by the new policy", got)
	}
	agree(t, s.World, 2)
	if p.Preset == policy.Solo {
		t.Error("not what is tested")
	}
}
