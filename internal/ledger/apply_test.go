package ledger_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
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

func TestNew(t *testing.T) {
	p := standardPolicy(t)
	w := ledgertest.New(t, p, 3, 1)
	begin := func(realm wire.Realm, change func(*identity.Genesis), p policy.Policy) error {
		g := identity.Genesis{
			Version: 1, Created: ledgertest.Start, Threshold: 2, Nodes: []identity.ID{w.Nodes[0].ID()}, Policy: p.Digest(),
			Nonce: [16]byte{2},
		}
		for _, r := range w.Roots {
			g.Roots = append(g.Roots, r.ID())
		}
		change(&g)
		raw, err := wire.Cosign(wire.Realm{}, g, ledgertest.Keys(w.Roots...)...)
		wantErr(t, err, "")
		if realm == (wire.Realm{}) {
			realm, err = identity.RealmOf(raw)
			wantErr(t, err, "")
		}
		_, err = ledger.New(realm, raw, p, nil)
		return err
	}
	same := func(*identity.Genesis) {}
	one := func(g *identity.Genesis) { g.Roots, g.Threshold = g.Roots[:1], 1 }
	wantErr(t, begin(wire.Realm{}, same, p), "")
	wantErr(t, begin(w.Realm, same, p), fault.WrongRealm)
	wantErr(t, begin(wire.Realm{}, func(g *identity.Genesis) { g.Policy = wire.Digest{1} }, p), fault.Malformed)
	wantErr(t, begin(wire.Realm{}, one, p), fault.InvalidInput)
	s := ledgertest.Preset(t, policy.Solo)
	wantErr(t, begin(wire.Realm{}, func(g *identity.Genesis) { one(g); g.Solo = true }, s), "")
	wantErr(t, begin(wire.Realm{}, one, s), fault.Malformed) // one person would govern, and the genesis does not say so
}

func TestTick(t *testing.T) {
	tick := func(s standardRealm, by identity.Signer, time int64) registry.Answer {
		return s.Do(by, registry.TypeTick, registry.Tick{Time: time})
	}
	runSteps(t, []step{
		{"later", func(s standardRealm) registry.Answer { return tick(s, s.Nodes[0], s.Now+1) }, ""},
		{"the same time", func(s standardRealm) registry.Answer { return tick(s, s.Nodes[0], s.Now) }, fault.Superseded},
		{"backwards", func(s standardRealm) registry.Answer { return tick(s, s.Nodes[0], s.Now-1) }, fault.Superseded},
		{"last time there is", func(s standardRealm) registry.Answer {
			return tick(s, s.Nodes[0], 253_402_300_799_999)
		}, ""},
		{"after it", func(s standardRealm) registry.Answer { return tick(s, s.Nodes[0], 253_402_300_800_000) }, fault.Malformed},
		{"the end of time", func(s standardRealm) registry.Answer { return tick(s, s.Nodes[0], math.MaxInt64) }, fault.Malformed},
		{"by an unknown node", func(s standardRealm) registry.Answer {
			return tick(s, s.Signer(identity.Node), s.Now+1)
		}, fault.Unknown},
		{"by an operator", func(s standardRealm) registry.Answer { return tick(s, s.a, s.Now+1) }, fault.Denied},
		{"in a node's name", func(s standardRealm) registry.Answer {
			return tick(s, identity.NewSigner(s.Nodes[0].ID(), s.a.Key()), s.Now+1)
		}, fault.NoQuorum},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.Nodes[0], registry.TypeTick, registry.Enrol{})
		}, fault.Malformed},
	})
	s := standard(t)
	before := s.Ledger.Now()
	s.Tick(5 * minute)
	if got := s.Ledger.Now(); got != before+5*minute {
		t.Errorf("got %d", got)
	}
	wantCode(t, tick(s, s.Nodes[0], before+minute), fault.Superseded)
	if got := s.Ledger.Now(); got != before+5*minute {
		t.Errorf("a refused tick set the time to %d", got)
	}
}

func TestNothingHappensBeforeTheFirstTick(t *testing.T) {
	w := ledgertest.New(t, standardPolicy(t), 3, 1)
	fresh, err := ledger.New(w.Realm, w.Genesis, w.Policy, nil)
	wantErr(t, err, "")
	w.Ledger = fresh
	wantCode(t, w.Do(w.Roots[0], registry.TypeStatus, quarantine(w.Roots[1].ID())), fault.NotYet)
	w.Tick(1)
	wantCode(t, w.Do(w.Roots[0], registry.TypeStatus, quarantine(w.Roots[1].ID())), "")
}

func TestCommandTimes(t *testing.T) {
	s := standard(t)
	do := func(issued, life int64) registry.Answer {
		c := s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID()))
		c.Issued, c.Expires = issued, issued+life
		raw := s.Sign(c, s.a)
		admissible, answer := s.Ledger.Admissible(raw), s.Apply(raw)
		if answer.Code != fault.NotYet { // log time may lag; the log decides
			wantErr(t, admissible, answer.Code)
		}
		return answer
	}
	wantCode(t, do(s.Now, registry.MaxCommandLife), "")
	wantCode(t, do(s.Now-1000, 1001), "")
	wantCode(t, do(s.Now-1000, 1000), fault.Expired)
	wantCode(t, do(s.Now+identity.Skew, minute), "")
	wantCode(t, do(s.Now+identity.Skew+1, minute), fault.NotYet)
}

func TestEntryWithTickAndCommand(t *testing.T) {
	s := standard(t)
	tick := func(time int64) []byte {
		return s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: time}), s.Nodes[0])
	}
	command := func() []byte {
		return s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID())), s.a)
	}
	size := s.Ledger.Size()
	answer := s.Entry(ledger.Entry{Ticks: [][]byte{tick(s.Now + 10)}, Command: command()})
	wantCode(t, answer, "")
	if answer.Time != s.Now+10 || answer.Index != size+1 || s.Ledger.Size() != size+1 {
		t.Errorf("got %+v at size %d", answer, size)
	}
	odd := s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeTick, registry.Enrol{}), s.Nodes[0])
	for name, quiet := range map[string][]byte{"stale": tick(s.Now + 5), "junk": {1}, "another body": odd, "none": {}} {
		size, before := s.Ledger.Size(), s.Ledger.Now()
		wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{quiet}, Command: command()}), "")
		if s.Ledger.Now() != before || s.Ledger.Size() != size+1 {
			t.Errorf("%s: time %d, size %d: it left a leaf, or moved time", name, s.Ledger.Now(), s.Ledger.Size())
		}
	}
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{tick(s.Now + 5)}}), fault.Superseded)
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{odd}}), fault.Malformed)
}

func TestDedupe(t *testing.T) {
	s := standard(t)
	c := s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID()))
	raw := s.Sign(c, s.a)
	first := s.Apply(raw)
	wantCode(t, first, "")
	size := s.Ledger.Size()
	s.Must(s.a, registry.TypeStatus, release(s.worker.ID()), s.b)
	again := s.Apply(raw)
	if again.Index != first.Index || again.Code != "" || !bytes.Equal(again.Result, first.Result) || again.Time != first.Time {
		t.Errorf("got %+v, want %+v", again, first)
	}
	if s.Ledger.Size() != size+1 || status(t, s.World, s.worker.ID()) != trust.Active {
		t.Error("a command had a second effect")
	}
	wantErr(t, s.Ledger.Admissible(raw), "")
	further := s.Apply(s.Sign(c, s.a, s.b)) // other signatures, the same command
	if further.Index != first.Index || s.Ledger.Size() != size+1 {
		t.Errorf("got %+v", further)
	}

	other := c
	other.Body = wire.Raw(mustEncode(t, quarantine(s.reviewer.ID())))
	wantCode(t, s.Apply(s.Sign(other, s.a)), fault.Spent)
	if status(t, s.World, s.reviewer.ID()) != trust.Active {
		t.Error("a nonce served twice")
	}
	stranger := other
	stranger.Author = s.b.ID()
	wantCode(t, s.Apply(s.Sign(stranger, s.b)), "") // nonces are the author's own

	s.Tick(registry.MaxCommandLife)
	wantCode(t, s.Apply(raw), fault.Expired) // the answer is forgotten with the command's end, never before
}

func mustEncode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := wire.Encode(v)
	wantErr(t, err, "")
	return b
}

func TestAnswersAreKeptUntilTheCommandEnds(t *testing.T) {
	s := standard(t)
	raw := s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID())), s.a)
	first := s.Apply(raw)
	for range 5 {
		s.Tick(minute + minute/2) // each sweeps
	}
	if again := s.Apply(raw); again.Index != first.Index {
		t.Errorf("got %+v, want %+v", again, first)
	}
}

// What its author did is answered again even if the command itself barred its way back.
func TestDedupeOfLastingCommands(t *testing.T) {
	s := standard(t)
	agent := s.Signer(identity.Agent)
	token, once := s.Invite(s.a, s.Token(s.a.ID(), "new", identity.Observer))
	enrol := s.Sign(s.Command(agent.ID(), registry.TypeEnrol,
		registry.Enrol{Enrolment: s.Enrolment(agent, token, once)}), agent)
	succeed := s.Sign(s.Command(s.worker.ID(), registry.TypeSucceed,
		registry.Succeed{Succession: s.Succession(s.worker, s.Key())}), s.worker)
	for name, raw := range map[string][]byte{"enrol": enrol, "succeed": succeed} {
		first, size := s.Apply(raw), s.Ledger.Size()
		wantCode(t, first, "")
		wantErr(t, s.Ledger.Admissible(raw), "")
		if again := s.Apply(raw); again.Code != "" || again.Index != first.Index || s.Ledger.Size() != size {
			t.Errorf("%s: got %+v, want %+v", name, again, first)
		}
	}
}

// A command that somebody hands in before all have signed is refused, and not spoilt.
func TestRefusalHoldsForItsSignatures(t *testing.T) {
	s := standard(t)
	fresh := s.Signer(identity.Operator)
	c := s.Command(s.a.ID(), registry.TypeOperator, registry.AddOperator{Operator: fresh.ID(), Name: "new"})
	few := s.Sign(c, s.a)
	refused := s.Apply(few)
	wantCode(t, refused, fault.NoQuorum)
	size := s.Ledger.Size()
	if again := s.Apply(few); again.Index != refused.Index || s.Ledger.Size() != size {
		t.Errorf("got %+v, want %+v", again, refused)
	}
	wantCode(t, s.Apply(s.Sign(c, s.a, s.b)), "")
	wantCode(t, s.Apply(few), "") // accepted is accepted
	forged := slices.Clone(few)
	forged[len(forged)-1] ^= 1
	wantCode(t, s.Apply(forged), "")
}

func TestUnknownTypeAndBadSignatures(t *testing.T) {
	runSteps(t, []step{
		{"known type", func(s standardRealm) registry.Answer { return s.Do(s.a, registry.TypeStatus, quarantine(s.b.ID())) }, ""},
		{"unknown type", func(s standardRealm) registry.Answer { return s.Do(s.a, "dance", quarantine(s.b.ID())) }, fault.Version},
		{"no type", func(s standardRealm) registry.Answer { return s.Do(s.a, "", quarantine(s.b.ID())) }, fault.Version},
		{"long type of many letters", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.Type(strings.Repeat("é", 4000)), quarantine(s.b.ID()))
		}, fault.Version},
		{"a node's command", func(s standardRealm) registry.Answer {
			return s.Do(s.Nodes[0], registry.TypeStatus, quarantine(s.b.ID()))
		}, fault.Denied},
		{"unknown author", func(s standardRealm) registry.Answer {
			return s.Do(s.Signer(identity.Operator), registry.TypeStatus, quarantine(s.b.ID()))
		}, fault.Unknown},
		{"signed by another", func(s standardRealm) registry.Answer {
			return s.Apply(s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.b.ID())), s.c))
		}, fault.NoQuorum},
		{"unsigned", func(s standardRealm) registry.Answer {
			return s.Apply(s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.b.ID()))))
		}, fault.NoQuorum},
		{"of another realm", func(s standardRealm) registry.Answer {
			c := s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.b.ID()))
			raw, err := wire.Cosign(wire.Realm{9}, c, s.a.Key())
			wantErr(t, err, "")
			return s.Apply(raw)
		}, fault.BadSignature},
		{"a further signature that is forged", func(s standardRealm) registry.Answer {
			c := s.Command(s.a.ID(), registry.TypeOperator, registry.AddOperator{Operator: s.Signer(identity.Operator).ID(), Name: "new"})
			raw := s.Sign(c, s.a, s.b)
			raw[len(raw)-1] ^= 1
			return s.Apply(raw)
		}, fault.BadSignature},
	})
}

func TestAdmissible(t *testing.T) {
	s := standard(t)
	stranger, observer := s.Signer(identity.Agent), s.Agent(s.b, "observer", identity.Observer)
	noise := strings.Repeat("x", 50<<10)
	lure, once := s.Invite(s.Signer(identity.Operator), s.Token(s.a.ID(), "new", 1))
	for name, row := range map[string]struct {
		raw  []byte
		want fault.Code
	}{
		"a member's": {s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.b.ID())), s.a), ""},
		"a tick":     {s.Told(s.Nodes[0], s.Now+1), ""},
		"no news":    {s.Told(s.Nodes[0], s.Now), fault.Superseded},
		"nothing":    {nil, fault.Malformed},
		"a proposal": {s.Sign(s.Command(s.worker.ID(), registry.TypePropose, registry.Propose{}), s.worker), ""},
		"a proposal by a level that makes none": {s.Sign(s.Command(observer.ID(), registry.TypePropose,
			registry.Propose{}), observer), fault.Denied},
		"an unknown type":      {s.Sign(s.Command(s.worker.ID(), "noise", noise), s.worker), fault.Version},
		"a node's, not a tick": {s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeCard, noise), s.Nodes[0]), fault.Denied},
		"a stranger's": {s.Sign(s.Command(stranger.ID(), registry.TypeEpoch,
			registry.RaiseEpoch{Principal: stranger.ID()}), stranger), fault.Unknown},
		"a stranger's enrolment by a forged token": {s.Sign(s.Command(stranger.ID(), registry.TypeEnrol,
			registry.Enrol{Enrolment: s.Enrolment(stranger, lure, once)}), stranger), fault.BadSignature},
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, s.Ledger.Admissible(row.raw), row.want) })
	}
}

// Apply keeps nothing of the entry, as the log's contract asks.
func TestApplyKeepsNothingOfTheEntry(t *testing.T) {
	s := standard(t)
	fresh := s.Signer(identity.Operator)
	entry := mustEncode(t, ledger.Entry{Command: s.Sign(s.Command(s.a.ID(), registry.TypeOperator,
		registry.AddOperator{Operator: fresh.ID(), Name: "new"}), s.a, s.b)})
	s.Ledger.Apply(1, entry)
	before, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	clear(entry)
	after, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	if !bytes.Equal(before, after) {
		t.Error("the state changed with the caller's bytes")
	}
}

func TestChangedIsTold(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	var members []identity.ID
	var decisions []wire.Digest
	var roster, all bool
	calls := 0
	l, err := ledger.New(w.Realm, w.Genesis, w.Policy, func(c ledger.Change) {
		members, decisions, roster, all, calls = c.Members, c.Decisions, c.Roster, c.All, calls+1
	})
	wantErr(t, err, "")
	w.Ledger = l
	w.Tick(1)
	if calls != 1 || members != nil || decisions != nil {
		t.Errorf("a tick told %v, %v", members, decisions)
	}
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	if !slices.Equal(members, []identity.ID{worker.ID()}) || decisions != nil {
		t.Errorf("an enrolment told %v, %v", members, decisions)
	}
	o := w.Propose(worker, worker.ID(), "process.exec")
	if !slices.Equal(decisions, []wire.Digest{o.Proposal}) || members != nil {
		t.Errorf("a proposal told %v, %v", members, decisions)
	}
	w.Cast(w.Roots[0], o, consensus.Approve)
	if !slices.Equal(decisions, []wire.Digest{o.Proposal}) {
		t.Errorf("a ballot told %v", decisions)
	}
	w.Must(worker, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store})
	if !slices.Equal(decisions, []wire.Digest{o.Proposal}) {
		t.Errorf("a consumption told %v", decisions)
	}
	w.Must(worker, registry.TypeReport, registry.Report{Proposal: o.Proposal, OK: true})
	if !slices.Equal(decisions, []wire.Digest{o.Proposal}) || !slices.Equal(members, []identity.ID{worker.ID()}) {
		t.Errorf("a report told %v, %v", members, decisions)
	}
	late := w.Propose(worker, worker.ID(), "process.exec")
	w.Tick(24 * 60 * minute)
	if !slices.Equal(decisions, []wire.Digest{late.Proposal}) {
		t.Errorf("a deadline told %v", decisions)
	}
	if roster || all {
		t.Error("commands about principals and decisions told of a roster, or of everything")
	}
	w.Admit()
	if !roster || all || members != nil || decisions != nil {
		t.Errorf("a roster told %t, %t, %v, %v", roster, all, members, decisions)
	}
	snapshot, err := l.Snapshot()
	wantErr(t, err, "")
	calls = 0
	wantErr(t, l.Restore(snapshot), "")
	if calls != 1 || !all || roster || members != nil || decisions != nil {
		t.Errorf("a restore told %t, %t, %v, %v", all, roster, members, decisions)
	}
	wantErr(t, l.Restore(nil), fault.Malformed)
	if calls != 1 {
		t.Error("a failed restore told of a change")
	}
}

func TestGarbageOnlyGrowsTheTree(t *testing.T) {
	s := standard(t)
	honest := s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID())), s.a)
	for _, entry := range [][]byte{
		nil, {}, {0xff}, {0xa0}, []byte("garbage"), mustEncode(t, ledger.Entry{}), mustEncode(t, ledger.Entry{Command: []byte{1}}),
		mustEncode(t, ledger.Entry{Command: honest[:len(honest)-1]}), honest,
		append([]byte{0xb8, 0x01}, mustEncode(t, ledger.Entry{Command: honest})[1:]...), // a longer form of the same
		bytes.Repeat([]byte{0x9f}, 1000),
	} {
		size, members := s.Ledger.Size(), s.Ledger.Members()
		answer, err := ledger.ParseAnswer(s.Ledger.Apply(0, entry))
		wantErr(t, err, "")
		wantCode(t, answer, fault.Malformed)
		if s.Ledger.Size() != size+1 || answer.Index != size+1 || len(s.Ledger.Members()) != len(members) {
			t.Errorf("%x: got %+v", entry, answer)
		}
	}
}

// commandsToCome are signed commands of the types that decisions take, none of them applied, and two that are accepted only
// after another.
func commandsToCome(t testing.TB, s standardRealm, o consensus.Opening) [][]byte {
	t.Helper()
	sign := func(by identity.Signer, typ registry.Type, body any, further ...identity.Signer) []byte {
		return s.Sign(s.Command(by.ID(), typ, body), append(further, by)...)
	}
	sealed := s.sealed(s.auditor, o, consensus.Approve)
	commitment := s.SignAlone(s.Commitment(s.auditor.ID(), o, sealed), s.auditor.Key())
	first, second := s.evidence(s.auditor, o)
	p := s.Policy
	p.Plain = []string{"weather.*"}
	proposal := s.Proposal(s.worker.ID(), s.worker.ID(), "service.stop")
	urgently(&proposal)
	standing := s.exec()
	lasting(3, 60*minute)(&standing)
	gains(s.reviewer.ID())(&standing)
	violation := s.Evidence(trust.Violation, s.worker.ID(), s.b.ID())
	violation.Severity = 4
	alarm := s.Evidence(trust.Alarm, s.auditor.ID(), s.b.ID())
	alarm.Value = 900
	made := wire.Hash([]byte("model"))
	return [][]byte{
		sign(s.b, registry.TypeEvidence, registry.Evidence{Statement: s.Sign(s.honest(), s.reviewer, s.c)}),
		sign(s.b, registry.TypeEvidence, registry.Evidence{Statement: s.Sign(violation, s.b)}, s.c),
		sign(s.b, registry.TypeEvidence, registry.Evidence{Statement: s.Sign(alarm, s.b)}),
		sign(s.b, registry.TypePromote, registry.SetLevel{Principal: s.auditor.ID(), Level: identity.Principal}, s.c),
		sign(s.a, registry.TypeGrant, registry.Grant{Principal: s.worker.ID(), Make: &made}),
		sign(s.worker, registry.TypePropose, registry.Propose{Proposal: s.SignAlone(proposal, s.worker.Key())}),
		sign(s.worker, registry.TypePropose, registry.Propose{Proposal: s.SignAlone(standing, s.worker.Key())}),
		sign(s.auditor, registry.TypeCommit, registry.Commit{Commitment: commitment}),
		sign(s.auditor, registry.TypeVote, registry.Cast{Ballot: sealed.Ballot, Salt: sealed.Salt}),
		sign(s.c, registry.TypeVote, registry.Cast{Ballot: s.SignAlone(s.Ballot(s.c.ID(), o, consensus.Approve), s.c.Key())}),
		sign(s.b, registry.TypeEquivocate, registry.Equivocate{Proposal: o.Proposal, First: first, Second: second}),
		sign(s.worker, registry.TypeCancel, registry.Cancel{Proposal: o.Proposal, Reason: "not needed"}),
		sign(s.a, registry.TypeSettle, registry.Settle{Proposal: o.Proposal, Right: true}),
		sign(s.a, registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}, s.b),
		sign(s.a, registry.TypeStatus, quarantine(s.b.ID())),
		sign(s.worker, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store}),
		sign(s.worker, registry.TypeReport, registry.Report{Proposal: o.Proposal, OK: true}),
	}
}

// FuzzApply holds: no entry panics, every answer reads back, and the state still snapshots and restores.
func FuzzApply(f *testing.F) {
	s := standard(f)
	o := s.execution()
	s.Cast(s.b, o, consensus.Approve)
	wantCode(f, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Reject)), "")
	for _, e := range s.Entries {
		f.Add(e)
	}
	f.Add(mustEncode(f, ledger.Entry{}))
	f.Add(mustEncode(f, ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], s.Now+1), {1}, s.Told(s.Nodes[0], s.Now+24*60*minute)}}))
	for _, command := range commandsToCome(f, s, o) {
		f.Add(mustEncode(f, ledger.Entry{Command: command}))
		f.Add(mustEncode(f, ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], s.Now+minute)}, Command: command}))
	}
	_, roster := s.Newcomer()
	f.Add(mustEncode(f, ledger.Entry{Command: s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeRoster,
		registry.PutRoster{Roster: s.Sign(roster, s.Nodes...)}), s.Nodes[0])}))
	snapshot, err := s.Ledger.Snapshot()
	wantErr(f, err, "")
	f.Fuzz(func(t *testing.T, entry []byte) {
		l, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
		wantErr(t, err, "")
		wantErr(t, l.Restore(snapshot), "")
		// At a tick each open decision and each agent that falls may leave a leaf.
		before, open := l.Size(), uint64(l.Census().Decisions[consensus.Open]+len(l.Members()))
		answer, err := ledger.ParseAnswer(l.Apply(1, entry))
		wantErr(t, err, "")
		if size := l.Size(); size < before || size > before+1+open || (size == before && answer.Index > before) {
			t.Fatalf("size %d after %d with %+v", size, before, answer)
		}
		after, err := l.Snapshot()
		wantErr(t, err, "")
		wantErr(t, l.Restore(after), "")
	})
}

// What the fuzzer begins with is what a ledger takes: each command is accepted, alone or after those that it needs.
func TestCommandsToCome(t *testing.T) {
	s := standard(t)
	o := s.execution()
	commands := commandsToCome(t, s, o)
	types := map[registry.Type]fault.Code{
		registry.TypeSettle: fault.Pending, registry.TypeConsume: fault.Pending, registry.TypeReport: fault.Denied,
		registry.TypePromote: fault.Denied,
	}
	snapshot := snapshotOf(t, s.Ledger)
	for i, raw := range commands {
		c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
		wantErr(t, err, "")
		wantErr(t, s.Ledger.Restore(snapshot), "")
		if c.Claim.Type == registry.TypeVote && c.Claim.Author == s.auditor.ID() {
			wantCode(t, s.Apply(commands[i-1]), "")
			s.Tick(minute)
		}
		wantErr(t, s.Ledger.Admissible(raw), "")
		if answer := s.Apply(raw); answer.Code != types[c.Claim.Type] {
			t.Errorf("%s: got %q (%s)", c.Claim.Type, answer.Code, answer.Message)
		}
	}
}
