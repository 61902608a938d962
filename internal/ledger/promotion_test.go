package ledger_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Nobody raises its own agents: above what one operator gives, their operator's signature does not count.
func TestNobodyPromotesItsOwn(t *testing.T) {
	raise := func(l identity.Level, signers func(c court) []identity.Signer) func(c court) registry.Answer {
		return func(c court) registry.Answer {
			by := signers(c)
			return c.Do(by[0], registry.TypeLevel, setLevel(c.worker.ID(), l), by[1:]...)
		}
	}
	ab := func(c court) []identity.Signer { return []identity.Signer{c.a, c.b} }
	bc := func(c court) []identity.Signer { return []identity.Signer{c.b, c.c} }
	abc := func(c court) []identity.Signer { return []identity.Signer{c.a, c.b, c.c} }
	runCourt(t, []courtStep{
		{"by two others", raise(identity.Principal, bc), ""},
		{"by its own and two others", raise(identity.Principal, abc), ""},
		{"by its own and one other", raise(identity.Principal, ab), fault.NoQuorum},
		{"by one other", raise(identity.Principal, func(c court) []identity.Signer { return []identity.Signer{c.b} }), fault.NoQuorum},
		{"by its own", raise(identity.Principal, func(c court) []identity.Signer { return []identity.Signer{c.a} }), fault.NoQuorum},
		{"by itself, with all", raise(identity.Principal, func(c court) []identity.Signer {
			return []identity.Signer{c.worker, c.b, c.c, c.d()}
		}), fault.Denied},
		{"by its own and another, to what one operator may give", func(c court) registry.Answer {
			c.Must(c.a, registry.TypeLevel, setLevel(c.worker.ID(), identity.Quarantined))
			return raise(identity.Observer, ab)(c)
		}, ""},
		{"lowered by its own", raise(identity.Observer, func(c court) []identity.Signer { return []identity.Signer{c.a} }), ""},
		{"by its own and the only other there is", func(c court) registry.Answer {
			c.Must(c.a, registry.TypeStatus, quarantine(c.c.ID()))
			c.Must(c.a, registry.TypeStatus, quarantine(c.d().ID()))
			return raise(identity.Principal, ab)(c)
		}, ""},
		{"of an agent whose operator is quarantined, by two others", func(c court) registry.Answer {
			c.Must(c.b, registry.TypeStatus, quarantine(c.a.ID()))
			return raise(identity.Principal, bc)(c)
		}, ""},
	})
}

// In a solo realm one person governs, also its own agents.
func TestSoloPersonPromotes(t *testing.T) {
	s := solo(t)
	wantCode(t, s.Do(s.root, registry.TypeLevel, setLevel(s.workerID, identity.Steward)), "")
	wantCode(t, s.Do(s.worker, registry.TypeLevel, setLevel(s.workerID, identity.Steward)), fault.Denied)
}

// An operator cannot release itself, nor sign for it.
func TestNobodyReleasesItself(t *testing.T) {
	c := newCourt(t)
	c.Must(c.b, registry.TypeStatus, quarantine(c.a.ID()))
	wantCode(t, c.Do(c.a, registry.TypeStatus, release(c.a.ID()), c.b), fault.Quarantined)
	wantCode(t, c.Do(c.b, registry.TypeStatus, release(c.a.ID()), c.a), fault.NoQuorum)
	wantCode(t, c.Do(c.b, registry.TypeStatus, release(c.a.ID()), c.c), "")
	if status(t, c.World, c.a.ID()) != trust.Active {
		t.Error("not released")
	}
}

// A certificate shows the raise that was in force when its decision was opened, whatever became of the agent since.
func TestCertificatesShowTheRaiseOfTheirTime(t *testing.T) {
	c := newCourt(t)
	level := func(l identity.Level, by ...identity.Signer) []byte {
		raw := c.Sign(c.Command(by[0].ID(), registry.TypeLevel, setLevel(c.reviewer.ID(), l)), by...)
		wantCode(t, c.Apply(raw), "")
		return raw
	}
	high := level(identity.Steward, c.a, c.c)
	first := c.decided()
	level(identity.Observer, c.a)
	second := c.decided()
	again := level(identity.Journeyer, c.c, c.d())
	third := c.decided()
	c.Ledger = restored(t, c.World, c.Ledger)
	for _, row := range []struct {
		name string
		o    consensus.Opening
		want []byte // nil: the reviewer has no vote, so nothing is shown of it
		not  []byte
	}{
		{"raised high", first, high, again},
		{"lowered", second, nil, again},
		{"raised again, to less", third, again, high},
	} {
		levels := c.Certificate(row.o.Proposal).Levels
		shown := func(raw []byte) bool {
			return slices.ContainsFunc(levels, func(l []byte) bool { return bytes.Equal(l, raw) })
		}
		if row.want != nil && !shown(row.want) || shown(row.not) {
			t.Errorf("%s: %d levels, among them the one of its time: %v", row.name, len(levels), shown(row.want))
		}
	}
	agree(t, c.World, 4)
}
