package ledger_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// past is a realm that can be taken back to what it was when it was backed up.
type past struct {
	standardRealm
	backup *ledger.Ledger
}

func backedUp(t testing.TB) *past {
	t.Helper()
	s := standard(t)
	s.Tick(minute)
	return &past{standardRealm: s, backup: restored(t, s.World, s.Ledger)}
}

// back restores the backup, an hour later.
func (p *past) back(t testing.TB) {
	t.Helper()
	p.Ledger = restored(t, p.World, p.backup)
	p.Tick(60 * minute)
}

// said signs a command as its author would have made it so many milliseconds after the realm's time.
func (p *past) said(author identity.Signer, after int64, typ registry.Type, body any, further ...identity.Signer) []byte {
	c := p.Command(author.ID(), typ, body)
	c.Issued, c.Expires = c.Issued+after, c.Expires+after
	return p.Sign(c, append(further, author)...)
}

// accepted applies a command that must be accepted, and returns it.
func (p *past) accepted(t testing.TB, raw []byte) []byte {
	t.Helper()
	wantCode(t, p.Apply(raw), "")
	return raw
}

func (p *past) remind(by identity.Signer, raw []byte) registry.Answer {
	return p.Do(by, registry.TypeRemind, registry.Remind{Command: raw})
}

// reminded has a reminder handed in that must be accepted, and says whether it was news.
func (p *past) reminded(t testing.TB, by identity.Signer, raw []byte) bool {
	t.Helper()
	return result[registry.Reminded](t, p.remind(by, raw)).News
}

func member(t testing.TB, w *ledgertest.World, id identity.ID) ledger.Member {
	t.Helper()
	m, err := w.Ledger.Member(id)
	wantErr(t, err, "")
	return m
}

// What a restored realm has forgotten takes effect again, whoever remembers it: a status, a level, an epoch.
func TestRemindersBringBackWhatWasLost(t *testing.T) {
	for name, by := range map[string]func(*past) identity.Signer{
		"an agent":       func(p *past) identity.Signer { return p.reviewer },
		"an operator":    func(p *past) identity.Signer { return p.c },
		"a node":         func(p *past) identity.Signer { return p.Nodes[0] },
		"the one itself": func(p *past) identity.Signer { return p.worker },
	} {
		t.Run(name, func(t *testing.T) {
			p := backedUp(t)
			id := p.worker.ID()
			lost := [][]byte{
				p.accepted(t, p.said(p.worker, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: id, Epoch: 7})),
				p.accepted(t, p.said(p.a, 0, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 1, Reason: "two faults"})),
				p.accepted(t, p.said(p.b, 0, registry.TypeStatus, quarantine(id))),
			}
			before := p.Ledger.Tightenings()
			p.back(t)
			if m := member(t, p.World, id); m.Status != trust.Active || m.Level != 3 || m.Epoch != 0 {
				t.Fatalf("the backup has %+v", m)
			}
			size := p.Ledger.Size()
			for _, raw := range lost {
				if !p.reminded(t, by(p), raw) {
					t.Errorf("%x is no news", raw)
				}
			}
			m := member(t, p.World, id)
			if m.Status != trust.Quarantined || m.Level != 1 || m.Epoch != 7 || m.Reason != "test" || m.Changed != size+3 {
				t.Errorf("got %+v", m)
			}
			if after := p.Ledger.Tightenings(); after.Digest != before.Digest || len(after.All) != 3 {
				t.Errorf("in force are %d, before %d", len(after.All), len(before.All))
			}
			if p.Ledger.Size() != size+3 {
				t.Errorf("%d leaves for 3 reminders", p.Ledger.Size()-size)
			}
			if by(p).ID() == id {
				return // it is silent now
			}
			for _, raw := range lost {
				if p.reminded(t, by(p), raw) {
					t.Error("the same reminder is news twice")
				}
			}
		})
	}
}

// A reminder says who is concerned as they are then, whether it was news or not, and leaves a leaf of its own.
func TestReminderIsAnswered(t *testing.T) {
	p := backedUp(t)
	raw := p.accepted(t, p.said(p.a, 0, registry.TypeStatus, revoke(p.worker.ID())))
	p.back(t)
	answer := p.remind(p.reviewer, raw)
	got := result[registry.Reminded](t, answer)
	if want := (registry.Change{Principal: p.worker.ID(), Status: trust.Revoked, Level: 3, Key: p.worker.Public()}); !got.News || got.Change != want {
		t.Errorf("got %+v", got)
	}
	if answer.Index != p.Ledger.Size() {
		t.Errorf("leaf %d of %d", answer.Index, p.Ledger.Size())
	}
	if again := result[registry.Reminded](t, p.remind(p.reviewer, raw)); again.News || again.Change != got.Change {
		t.Errorf("then %+v", again)
	}
}

// What was lawfully undone does not come back, however the clocks of the two operators differ.
func TestReleasedDoesNotComeBack(t *testing.T) {
	for _, row := range []struct {
		name                string
		quarantine, release int64 // clocks, ms from log time
	}{
		{"clocks agree", 0, 0},
		{"who quarantines is ahead", identity.Skew, 0},
		{"who releases is behind", 0, -5 * minute},
		{"both", identity.Skew, -9 * minute},
		{"who quarantines is behind", -9 * minute, identity.Skew},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := backedUp(t)
			id := p.worker.ID()
			p.Tick(10 * minute)
			old := p.accepted(t, p.said(p.a, row.quarantine, registry.TypeStatus, quarantine(id)))
			lower := p.accepted(t, p.said(p.a, row.quarantine, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 1}))
			p.Tick(1)
			p.accepted(t, p.said(p.b, row.release, registry.TypeStatus, release(id), p.c))
			p.accepted(t, p.said(p.b, row.release, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 3}, p.c))
			for _, later := range []int64{0, 5 * minute, 10 * minute, 24 * 60 * minute} { // the answers are forgotten meanwhile
				p.Tick(later)
				p.Ledger = restored(t, p.World, p.Ledger)
				if p.reminded(t, p.reviewer, old) || p.reminded(t, p.reviewer, lower) {
					t.Fatalf("%d ms later a released quarantine is news", later)
				}
			}
			if m := member(t, p.World, id); m.Status != trust.Active || m.Level != 3 {
				t.Errorf("got %+v", m)
			}
			fresh := p.said(p.a, 0, registry.TypeStatus, quarantine(id)) // never handed in itself, and later than all
			p.Tick(24 * 60 * minute)
			if !p.reminded(t, p.reviewer, fresh) || status(t, p.World, id) != trust.Quarantined {
				t.Error("a later one is no news")
			}
		})
	}
}

// What only tightened since does not lift what a reminder shows, however the clocks differ.
func TestTighterRemindersFollowMilderOnes(t *testing.T) {
	p := backedUp(t)
	id := p.worker.ID()
	p.accepted(t, p.said(p.a, identity.Skew, registry.TypeStatus, quarantine(id)))
	revocation := p.accepted(t, p.said(p.b, -minute, registry.TypeStatus, revoke(id)))
	lowest := p.accepted(t, p.said(p.b, 0, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 1}))
	p.back(t)
	p.accepted(t, p.said(p.a, 0, registry.TypeStatus, quarantine(id)))
	p.accepted(t, p.said(p.a, 0, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 2}))
	if !p.reminded(t, p.reviewer, lowest) || !p.reminded(t, p.reviewer, revocation) {
		t.Error("no news")
	}
	if m := member(t, p.World, id); m.Status != trust.Revoked || m.Level != 1 {
		t.Errorf("got %+v", m)
	}
}

// A reminder never loosens, and milder ones are no news.
func TestMilderRemindersAreNoNews(t *testing.T) {
	p := backedUp(t)
	id := p.worker.ID()
	mild := [][]byte{
		p.accepted(t, p.said(p.a, 0, registry.TypeStatus, quarantine(id))),
		p.accepted(t, p.said(p.a, 0, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 2})),
		p.accepted(t, p.said(p.a, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: id, Epoch: 5})),
		p.accepted(t, p.said(p.a, 0, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 4}, p.b, p.c)),
	}
	p.back(t)
	p.accepted(t, p.said(p.b, -minute, registry.TypeStatus, revoke(id)))
	p.accepted(t, p.said(p.b, -minute, registry.TypeLevel, registry.SetLevel{Principal: id, Level: 1}))
	p.accepted(t, p.said(p.a, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: id, Epoch: 6}))
	was := member(t, p.World, id)
	for i, raw := range mild {
		if p.reminded(t, p.reviewer, raw) {
			t.Errorf("%d is news", i)
		}
	}
	if got := member(t, p.World, id); got.Changed != was.Changed || got.Level != 1 || got.Epoch != 6 {
		t.Errorf("got %+v", got)
	}
}

// Every refusal, each beside the reminder that is accepted.
func TestRefusedReminders(t *testing.T) {
	at := func(after int64) func(*past) []byte {
		return func(p *past) []byte { return p.said(p.a, after, registry.TypeStatus, quarantine(p.worker.ID())) }
	}
	for _, row := range []struct {
		name string
		raw  func(p *past) []byte
		want fault.Code
	}{
		{"honest", at(0), ""},
		{"if it was unchanged then", func(p *past) []byte {
			c := p.Command(p.a.ID(), registry.TypeStatus, quarantine(p.worker.ID()))
			c.Expect = 1
			return p.Sign(c, p.a)
		}, ""},
		{"of the latest time", func(p *past) []byte { p.Tick(60 * minute); return at(identity.Skew)(p) }, ""},
		{"from the future", func(p *past) []byte { p.Tick(60 * minute); return at(identity.Skew + 1)(p) }, fault.NotYet},
		{"nothing", func(*past) []byte { return nil }, fault.Malformed},
		{"junk", func(*past) []byte { return []byte("junk") }, fault.Malformed},
		{"too long", func(*past) []byte { return make([]byte, registry.MaxReminded+1) }, fault.TooLarge},
		{"by nobody", func(p *past) []byte {
			return p.Sign(p.Command(p.a.ID(), registry.TypeStatus, quarantine(p.worker.ID())))
		}, fault.NoQuorum},
		{"by another", func(p *past) []byte {
			return p.Sign(p.Command(p.a.ID(), registry.TypeStatus, quarantine(p.worker.ID())), p.b)
		}, fault.NoQuorum},
		{"changed afterwards", func(p *past) []byte { raw := at(0)(p); raw[len(raw)-1] ^= 1; return raw }, fault.BadSignature},
		{"by an agent", func(p *past) []byte {
			return p.said(p.reviewer, 0, registry.TypeStatus, quarantine(p.worker.ID()))
		}, fault.Denied},
		{"by a node", func(p *past) []byte {
			return p.said(p.Nodes[0], 0, registry.TypeStatus, quarantine(p.worker.ID()))
		}, fault.Denied},
		{"by a stranger", func(p *past) []byte {
			return p.said(p.Signer(identity.Operator), 0, registry.TypeStatus, quarantine(p.worker.ID()))
		}, fault.Unknown},
		{"by an operator who is quarantined", func(p *past) []byte {
			raw := at(0)(p)
			p.Must(p.b, registry.TypeStatus, quarantine(p.a.ID()))
			return raw
		}, fault.Quarantined},
		{"by a key that was replaced", func(p *past) []byte { raw := at(0)(p); p.Rotate(p.a); return raw }, fault.NoQuorum},
		{"of nobody", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeStatus, quarantine(p.Signer(identity.Agent).ID()))
		}, fault.Unknown},
		{"epoch, by the principal", func(p *past) []byte {
			return p.said(p.worker, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.worker.ID(), Epoch: 2})
		}, ""},
		{"epoch, by its operator", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.worker.ID(), Epoch: 2})
		}, ""},
		{"epoch, by another operator", func(p *past) []byte {
			return p.said(p.b, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.worker.ID(), Epoch: 2})
		}, fault.Denied},
		{"epoch, too high", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.worker.ID(), Epoch: 1<<53 + 1})
		}, fault.Malformed},
		{"level of an operator", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeLevel, registry.SetLevel{Principal: p.b.ID(), Level: 0})
		}, ""}, // no level is lower than none: no news
		{"release", func(p *past) []byte { return p.said(p.a, 0, registry.TypeStatus, release(p.worker.ID()), p.b) }, fault.WrongKind},
		{"no status", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeStatus, registry.SetStatus{Principal: p.worker.ID()})
		}, fault.WrongKind},
		{"grant", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeGrant, registry.Grant{Principal: p.worker.ID()})
		}, fault.WrongKind},
		{"a reminder", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeRemind, registry.Remind{Command: at(0)(p)})
		}, fault.WrongKind},
		{"another type's body", func(p *past) []byte {
			return p.said(p.a, 0, registry.TypeStatus, registry.Enrol{Enrolment: []byte{1}})
		}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := backedUp(t)
			raw := row.raw(p)
			changed := member(t, p.World, p.worker.ID()).Changed
			outer := p.Sign(p.Command(p.reviewer.ID(), registry.TypeRemind, registry.Remind{Command: raw}), p.reviewer)
			admissible := p.Ledger.Admissible(outer)
			wantCode(t, p.Apply(outer), row.want)
			if row.want != "" && member(t, p.World, p.worker.ID()).Changed != changed {
				t.Error("it took effect")
			}
			if asked := fault.CodeOf(admissible); asked != row.want && asked != "" && row.want != "" {
				t.Errorf("asked before, the ledger says %q", asked)
			}
		})
	}
}

// The last operators who could release anybody are protected from reminders as from the commands themselves.
func TestRemindersSpareTheLastOperators(t *testing.T) {
	p := backedUp(t)
	first := p.said(p.a, 0, registry.TypeStatus, quarantine(p.b.ID()))
	second := p.said(p.a, 0, registry.TypeStatus, quarantine(p.c.ID()))
	if !p.reminded(t, p.worker, first) {
		t.Error("one of three is no news")
	}
	wantCode(t, p.remind(p.worker, second), fault.Denied)
}

// Who may not take part reminds nobody, and an outer command is checked as any other.
func TestWhoMayRemind(t *testing.T) {
	p := backedUp(t)
	raw := p.said(p.a, 0, registry.TypeStatus, quarantine(p.worker.ID()))
	p.Must(p.a, registry.TypeStatus, quarantine(p.auditor.ID()))
	wantCode(t, p.remind(p.auditor, raw), fault.Quarantined)
	wantCode(t, p.remind(p.Signer(identity.Agent), raw), fault.Unknown)
	wantCode(t, p.remind(p.Signer(identity.Node), raw), fault.Unknown)
	c := p.Command(p.reviewer.ID(), registry.TypeRemind, registry.Remind{Command: raw})
	c.Expect = 1
	wantCode(t, p.Apply(p.Sign(c, p.reviewer)), fault.Malformed)
	wantCode(t, p.Do(p.reviewer, registry.TypeRemind, registry.Tick{Time: 1}), fault.Malformed)
	if status(t, p.World, p.worker.ID()) != trust.Active {
		t.Error("one of them took effect")
	}
	if !p.reminded(t, p.reviewer, raw) {
		t.Error("no news")
	}
}

// A command that this ledger has answered is no news, also where the answer was a refusal.
func TestAnsweredCommandsAreNoNews(t *testing.T) {
	p := backedUp(t)
	c := p.Command(p.a.ID(), registry.TypeStatus, quarantine(p.worker.ID()))
	c.Expect = 1
	raw := p.Sign(c, p.a)
	wantCode(t, p.Apply(raw), fault.Conflict)
	if p.reminded(t, p.reviewer, raw) {
		t.Error("a refused command is news")
	}
}

// A reminder and the command itself have one effect together: after a release, the command does not work again.
func TestRemindedCommandIsAnswered(t *testing.T) {
	p := backedUp(t)
	id := p.worker.ID()
	raw := p.said(p.a, 0, registry.TypeStatus, quarantine(id))
	if !p.reminded(t, p.reviewer, raw) {
		t.Fatal("no news")
	}
	p.Must(p.a, registry.TypeStatus, release(id), p.b)
	answer := p.Apply(raw)
	if got := result[registry.Change](t, answer); got.Status != trust.Quarantined || status(t, p.World, id) != trust.Active {
		t.Errorf("got %+v", got)
	}
	p.Ledger = restored(t, p.World, p.Ledger)
	p.Tick(registry.MaxCommandLife)
	wantCode(t, p.Apply(raw), fault.Expired)
}

// A node does not put into the log what is no news: everybody who holds it hands it in.
func TestAdmissibleReminders(t *testing.T) {
	p := backedUp(t)
	raw := p.accepted(t, p.said(p.a, 0, registry.TypeStatus, quarantine(p.worker.ID())))
	outer := func() []byte {
		return p.Sign(p.Command(p.reviewer.ID(), registry.TypeRemind, registry.Remind{Command: raw}), p.reviewer)
	}
	wantErr(t, p.Ledger.Admissible(outer()), fault.Superseded)
	p.back(t)
	news := outer()
	wantErr(t, p.Ledger.Admissible(news), "")
	wantCode(t, p.Apply(news), "")
	wantErr(t, p.Ledger.Admissible(news), "") // gets its old answer
	wantErr(t, p.Ledger.Admissible(outer()), fault.Superseded)
}

// oldNodes is a realm whose nodes say that they speak no reminders.
func oldNodes(t testing.TB) *past {
	t.Helper()
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
	fresh, err := ledger.New(w.Realm, w.Genesis, w.Policy, nil)
	wantErr(t, err, "")
	w.Ledger, w.Entries = fresh, nil
	w.Apply(w.Sign(w.Command(w.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: w.Now, Feature: 1}), w.Nodes[0]))
	p := &past{standardRealm: standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}}
	p.worker, p.reviewer = w.Agent(p.a, "worker", identity.Journeyer), w.Agent(p.b, "reviewer", identity.Journeyer)
	return p
}

// Before all nodes speak reminders nothing is noted, and afterwards nothing that was issued before is news: it may have
// been released without anybody noting it.
func TestRemindersAfterAnUpgrade(t *testing.T) {
	p := oldNodes(t)
	id := p.worker.ID()
	old := p.accepted(t, p.said(p.a, identity.Skew, registry.TypeStatus, quarantine(id)))
	p.accepted(t, p.said(p.a, 0, registry.TypeStatus, release(id), p.b))
	wantCode(t, p.remind(p.reviewer, old), fault.Version)
	if m := member(t, p.World, id); m.Tightened.StatusIssued != 0 || len(p.Ledger.Tightenings().All) != 0 {
		t.Errorf("noted: %+v", m.Tightened)
	}
	p.Ledger = restored(t, p.World, p.Ledger)
	p.Tick(1)
	if p.Ledger.Feature() != registry.Feature {
		t.Errorf("at level %d", p.Ledger.Feature())
	}
	p.Ledger = restored(t, p.World, p.Ledger)
	p.Tick(24 * 60 * minute)
	if p.reminded(t, p.reviewer, old) {
		t.Error("what was released before the upgrade is news")
	}
	lost := p.said(p.a, 0, registry.TypeStatus, quarantine(id))
	if !p.reminded(t, p.reviewer, lost) {
		t.Error("what came after the upgrade is none")
	}
}

// Snapshots of other formats are refused.
func TestOtherSnapshotFormatsAreRefused(t *testing.T) {
	p := oldNodes(t)
	for _, row := range []struct {
		snapshot []byte
		change   func(*header)
		want     fault.Code
	}{
		{snapshotOf(t, p.Ledger), func(*header) {}, ""},
		{snapshotOf(t, p.Ledger), func(h *header) { h.Format = 3 }, fault.Malformed},
		{snapshotOf(t, p.Ledger), func(h *header) { h.Format = 5 }, fault.Malformed},
	} {
		fresh, err := ledger.New(p.Realm, p.Genesis, p.Policy, nil)
		wantErr(t, err, "")
		wantErr(t, fresh.Restore(resealed(row.snapshot, func(r [][]byte) [][]byte {
			r[0] = rewritten(t, r[0], row.change)
			return r
		})), row.want)
	}
}

// The set in force names one command for each that holds, and says so anew only when it has changed.
func TestTighteningsInForce(t *testing.T) {
	p := backedUp(t)
	none := p.Ledger.Tightenings()
	if len(none.All) != 0 || none.Digest.IsZero() {
		t.Fatalf("got %+v", none)
	}
	id := p.worker.ID()
	p.Must(p.a, registry.TypeStatus, quarantine(id))
	revocation := p.accepted(t, p.said(p.b, 1, registry.TypeStatus, revoke(id)))
	p.Must(p.a, registry.TypeLevel, registry.SetLevel{Principal: p.reviewer.ID(), Level: 2})
	lower := p.accepted(t, p.said(p.c, 2, registry.TypeLevel, registry.SetLevel{Principal: p.reviewer.ID(), Level: 1}))
	p.Must(p.c, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.auditor.ID(), Epoch: 2})
	ended := p.accepted(t, p.said(p.auditor, 3, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.auditor.ID(), Epoch: 3}))
	got := p.Ledger.Tightenings()
	for i, want := range [][]byte{revocation, lower, ended} {
		if len(got.All) != 3 || !bytes.Equal(got.All[i].Command, want) {
			t.Fatalf("%d: got %+v", i, got.All)
		}
		c, _, err := registry.ParseTightening(want)
		if wantErr(t, err, ""); got.All[i].ID != c.ID(p.Realm) || got.All[i].Issued != c.Claim.Issued {
			t.Errorf("%d: got %+v", i, got.All[i])
		}
	}
	if again := restored(t, p.World, p.Ledger).Tightenings(); again.Digest != got.Digest || got.Digest == none.Digest {
		t.Errorf("digest %s, restored %s, of none %s", got.Digest, again.Digest, none.Digest)
	}
	p.Must(p.a, registry.TypeLevel, registry.SetLevel{Principal: p.reviewer.ID(), Level: 3}, p.b, p.c)
	if rest := p.Ledger.Tightenings(); len(rest.All) != 2 || rest.Digest == got.Digest {
		t.Errorf("a level that was raised is still in force: %+v", rest)
	}
	p.Must(p.a, registry.TypeStatus, quarantine(p.auditor.ID()))
	p.Must(p.a, registry.TypeStatus, release(p.auditor.ID()), p.b)
	if rest := p.Ledger.Tightenings(); len(rest.All) != 2 {
		t.Errorf("a release left %+v", rest)
	}
}

// However a realm's past is mixed, a reminder never loosens, and what was loosened lawfully after it stays so.
func TestRandomReminders(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 4))
	p := backedUp(t)
	id, news := p.worker.ID(), 0
	var seen [][]byte
	for range 400 {
		if random.IntN(3) == 0 {
			p.Tick(random.Int64N(2 * minute))
		}
		after, level := random.Int64N(minute)-minute/2, identity.Level(1+random.IntN(3))
		body, typ, further := any(registry.SetLevel{Principal: id, Level: level}), registry.TypeLevel, []identity.Signer{p.b}
		if random.IntN(2) == 0 {
			typ, body = registry.TypeStatus, registry.SetStatus{Principal: id, Status: trust.Status(1 + random.IntN(2))}
		}
		raw := p.said(p.a, after, typ, body, further...)
		was := member(t, p.World, id)
		if random.IntN(2) == 0 && p.Apply(raw).Code == "" {
			seen = append(seen, raw)
			continue
		}
		if len(seen) > 0 && random.IntN(3) > 0 {
			raw = seen[random.IntN(len(seen))]
		}
		answer := p.remind(p.reviewer, raw)
		now := member(t, p.World, id)
		if now.Status < was.Status || now.Level > was.Level {
			t.Fatalf("%+v became %+v", was, now)
		}
		known := slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, raw) })
		if r, err := registry.Result[registry.Reminded](answer); err == nil && r.News {
			if news++; known {
				t.Fatal("what this ledger applied before is news")
			}
			seen = append(seen, raw)
		}
	}
	replica, err := ledger.New(p.Realm, p.Genesis, p.Policy, nil)
	wantErr(t, err, "")
	for i, entry := range p.Entries {
		replica.Apply(uint64(i+1), entry)
		if random.IntN(50) == 0 {
			replica = restored(t, p.World, replica)
		}
	}
	if !bytes.Equal(snapshotOf(t, replica), snapshotOf(t, p.Ledger)) {
		t.Error("a replica has another state")
	}
	if news < 1 || len(seen) < 20 { // by some seeds there are few
		t.Errorf("%d news, %d commands: the walk tests little", news, len(seen))
	}
}

// FuzzReminder holds: no bytes in a reminder change anything unless an operator, or the principal, signed them.
func FuzzReminder(f *testing.F) {
	p := backedUp(f)
	f.Add(p.said(p.a, 0, registry.TypeStatus, quarantine(p.worker.ID())))
	f.Add(p.said(p.worker, 0, registry.TypeEpoch, registry.RaiseEpoch{Principal: p.worker.ID(), Epoch: 2}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		outer, err := registry.New(p.reviewer.ID(), registry.TypeRemind, registry.Remind{Command: raw}, [16]byte{0xee}, p.Now)
		wantErr(t, err, "")
		signed, err := wire.Cosign(p.Realm, outer, p.reviewer.Key())
		wantErr(t, err, "")
		answer, err := ledger.ParseAnswer(restored(t, p.World, p.backup).Apply(1, mustEncode(t, ledger.Entry{Command: signed})))
		if wantErr(t, err, ""); answer.Code != "" || !result[registry.Reminded](t, answer).News {
			return
		}
		c, _, err := registry.ParseTightening(raw)
		wantErr(t, err, "")
		if _, err := c.Verify(p.Realm, 1, []wire.PublicKey{p.a.Public(), p.b.Public(), p.c.Public(), p.worker.Public()}); err != nil {
			t.Fatalf("%x was accepted: %v", raw, err)
		}
	})
}
