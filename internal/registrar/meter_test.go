package registrar

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// tape is a meter that keeps what it is told.
type tape struct {
	mu   sync.Mutex
	told map[string]int
}

func (m *tape) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string]int{}
	}
	m.told[what]++
}

func (m *tape) count(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told[what]
}

func (m *tape) Asked(op string, code fault.Code, took time.Duration) {
	if took < 0 {
		m.note("time ran back")
	}
	m.note("asked " + op + " " + string(code))
}

func (m *tape) Commanded(code fault.Code, applied bool) {
	if applied {
		m.note("applied " + string(code))
		return
	}
	m.note("refused " + string(code))
}

func TestTheMeterIsTold(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		m := &tape{}
		w.r.config.Meter = m
		alice := w.agent("alice")
		w.serve()
		c := w.admitted(alice)
		if n := m.count("applied "); n != 1 {
			t.Errorf("one command applied, told of %d", n)
		}
		var realm control.Realm
		if err := c.Ask(t.Context(), control.OpRealm, control.Nothing{}, &realm); err != nil {
			t.Fatal(err)
		}
		var who control.Principal
		wantCode(t, c.Ask(t.Context(), control.OpWho, control.Who{Name: "nobody"}, &who), fault.Unknown)
		for _, told := range []string{"asked realm ", "asked who unknown"} {
			if m.count(told) != 1 {
				t.Errorf("%q: %d times, of %v", told, m.count(told), m.told)
			}
		}
		if _, err := w.submit(alice, registry.TypeStatus, registry.SetStatus{
			Principal: w.Roots[0].ID(), Status: trust.Quarantined,
		}); err == nil {
			t.Fatal("an agent quarantined an operator")
		}
		if _, err := w.r.Submit(t.Context(), []byte("junk")); err == nil {
			t.Fatal("junk was taken")
		}
		if m.count("refused malformed") != 1 || m.count("applied ") != 1 {
			t.Errorf("told %v", m.told)
		}
	})
}

func TestStatsFollowTheRegister(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		kind := ledger.Kind{Role: identity.Agent, Status: trust.Active}
		before := w.r.Stats()
		if before.Principals[kind] != 0 || before.Presences != 0 || before.HeadsSigned != 0 || len(before.Decisions) != 0 {
			t.Fatalf("an empty register: %+v", before)
		}
		alice := w.agent("alice")
		w.serve()
		p := w.process(alice)
		if _, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()); err != nil {
			t.Fatal(err)
		}
		if err := w.r.presences.announce(w.Realm, alice.ID(), presence(t, p, 1, w.now()), w.r.ID(), w.now()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.r.SignedHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := w.r.Stats()
		if after.Principals[kind] != 1 || after.Presences != 1 || after.HeadsSigned != 1 || after.Commands <= before.Commands {
			t.Errorf("with alice: %+v", after)
		}
		if _, err := w.r.SignedHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.r.Stats().HeadsSigned; n != 1 {
			t.Errorf("the same head counts as %d", n)
		}
		w.must(w.Roots[0], registry.TypeStatus, registry.SetStatus{
			Principal: alice.ID(), Status: trust.Quarantined, Reason: "test",
		})
		now := w.r.Stats()
		if now.Principals[kind] != 0 || now.Presences != 0 ||
			now.Principals[ledger.Kind{Role: identity.Agent, Status: trust.Quarantined}] != 1 {
			t.Errorf("alice quarantined: %+v", now)
		}
		if now.Decisions[consensus.Open] != 0 {
			t.Errorf("decisions %v", now.Decisions)
		}
	})
}

func TestAPresenceThatEndedIsNotHeld(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		p := w.process(alice)
		if _, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()); err != nil {
			t.Fatal(err)
		}
		if err := w.r.presences.announce(w.Realm, alice.ID(), presence(t, p, 1, w.now()), w.r.ID(), w.now()); err != nil {
			t.Fatal(err)
		}
		if n := w.r.Stats().Presences; n != 1 {
			t.Fatalf("%d held", n)
		}
		time.Sleep(time.Hour) // of the bubble's clock
		if n := w.r.Stats().Presences; n != 0 {
			t.Errorf("%d held an hour later", n)
		}
	})
}

func TestReady(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		if err := w.r.Ready(); err != nil {
			t.Fatal(err)
		}
		w.offset = time.Hour
		if err := w.r.Ready(); !errors.Is(err, ErrClock) {
			t.Errorf("a stepped clock: %v", err)
		}
	})
	in(t, func(t *testing.T, w *world) {
		if err := w.r.Ready(); err != nil {
			t.Fatal(err)
		}
		w.r.Fail(errDisk)
		if err := w.r.Ready(); !errors.Is(err, errDisk) {
			t.Errorf("a failed registrar: %v", err)
		}
	})
}
