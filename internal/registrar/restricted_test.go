package registrar

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// under runs a test in a realm of three nodes with this lease.
func under(t *testing.T, l policy.Lease, fn func(t *testing.T, w *trio)) {
	t.Helper()
	rules := ledgertest.Preset(t, policy.Solo)
	rules.Lease = l
	inTrioUnder(t, rules, func(*trio) {}, fn)
}

// wantServed wants the enforcer to have been told last to serve so.
func (s *seat) wantServed(when, want string) {
	s.t.Helper()
	if got := s.lastWord(); got != want {
		s.t.Errorf("%s: %s is served, want %s; told %v", when, got, want, s.told())
	}
}

func TestTheEndOfALeaseIsThePolicys(t *testing.T) {
	for _, c := range []struct {
		lease policy.Lease
		end   string
	}{{policy.Lease{}, "nobody"}, {policy.Lease{Restrict: true}, "restricted"}} {
		under(t, c.lease, func(_ *testing.T, w *trio) {
			s := w.at[1]
			for range 2 {
				s.wantServed("with a lease", "everybody")
				s.cutOff(true)
				time.Sleep(DefaultLease / 2)
				s.wantServed("before it ends", "everybody")
				time.Sleep(DefaultLease)
				s.wantServed("after its end", c.end)
				time.Sleep(3 * DefaultLease)
				s.wantServed("long after its end", c.end)
				s.cutOff(false)
				time.Sleep(DefaultLease)
			}
			s.wantServed("at the end", "everybody")
			w.at[0].wantServed("not cut off", "everybody")
			if told := w.at[0].told(); slices.Contains(told, "restricted") {
				w.t.Errorf("a node that was not cut off: %v", told)
			}
		})
	}
}

func TestTheLengthOfALeaseIsThePolicys(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 20 * time.Second} {
		under(t, policy.Lease{Length: length.Milliseconds()}, func(t *testing.T, w *trio) {
			s := w.at[1]
			s.serves(length + DefaultLease)
			before := time.UnixMilli(must(s.ledger.Told(s.ID())))
			if late := time.Since(before); late > DefaultLease/renewals {
				t.Errorf("a node whose lease is %v told the time %v ago", length, late)
			}
			s.cutOff(true)
			time.Sleep(length - DefaultLease/renewals - time.Millisecond)
			s.wantServed("just before the end", "everybody")
			time.Sleep(DefaultLease/renewals + 2*time.Millisecond)
			s.wantServed("after the end", "nobody")
		})
	}
}

func must(told int64, ok bool) int64 {
	if !ok {
		panic("nothing was told")
	}
	return told
}

// TestWhoIsNeverRestricted: only a node that counts, and had a lease until now, lets anybody go on without one.
func TestWhoIsNeverRestricted(t *testing.T) {
	restrict := policy.Lease{Restrict: true}
	t.Run("a node that never had a lease", func(t *testing.T) {
		rules := ledgertest.Preset(t, policy.Solo)
		rules.Lease = restrict
		inTrioUnder(t, rules, func(w *trio) { w.at[2].cutOff(true) }, func(_ *testing.T, w *trio) {
			w.at[2].wantServed("at its start", "nobody")
			w.at[1].wantServed("beside it", "everybody")
		})
	})
	t.Run("a node that was removed", func(t *testing.T) {
		under(t, restrict, func(_ *testing.T, w *trio) {
			first, second, third := w.at[0], w.at[1], w.at[2]
			third.cutOff(true)
			time.Sleep(2 * DefaultLease)
			third.wantServed("while it does not know", "restricted")
			w.rule(first, first.ID(), second.ID())
			third.cutOff(false)
			third.wantServed("when it knows", "nobody")
			w.rule(first, first.ID())
			time.Sleep(2 * DefaultLease)
			second.wantServed("removed while it had a lease", "nobody")
		})
	})
	t.Run("a node that has failed", func(t *testing.T) {
		under(t, restrict, func(_ *testing.T, w *trio) {
			s := w.at[0]
			s.cutOff(true)
			time.Sleep(2 * DefaultLease)
			s.wantServed("before", "restricted")
			s.Fail(errors.New("test"))
			time.Sleep(DefaultLease)
			s.wantServed("after", "nobody")
		})
	})
	t.Run("a door that was shut", func(t *testing.T) {
		under(t, restrict, func(_ *testing.T, w *trio) {
			s := w.at[0]
			s.cutOff(true)
			time.Sleep(2 * DefaultLease)
			k := timekeeper{s.Registrar}
			if k.without(open) != restricted || k.without(restricted) != restricted || k.without(shut) != shut {
				t.Errorf("%d, %d, %d", k.without(open), k.without(restricted), k.without(shut))
			}
		})
	})
}

// TestRestrictedNodeSignsNoTicket hands on what a majority signed before, as long as that holds, and nothing else.
func TestRestrictedNodeSignsNoTicket(t *testing.T) {
	for _, l := range []policy.Lease{{}, {Restrict: true}} {
		under(t, l, func(t *testing.T, w *trio) {
			s := w.at[0]
			alice, bob := s.agent("alice").ID(), s.agent("bob").ID()
			first, err := s.ticket(alice)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.at[1].ticket(bob); err != nil { // the honest twin
				t.Fatal(err)
			}
			s.cutOff(true)
			time.Sleep(2 * DefaultLease)
			again, err := s.ticket(alice)
			if l.Restrict && (err != nil || again.Issued != first.Issued) || !l.Restrict && !errors.Is(err, ErrLease) {
				t.Errorf("%+v: got %+v, %v", l, again, err)
			}
			if _, err := s.ticket(bob); !errors.Is(err, ErrLease) {
				t.Errorf("%+v: of whom nobody asked before: %v", l, err)
			}
			for _, at := range []struct {
				now int64
				ok  bool
			}{{first.Issued - 1, false}, {first.Issued, true}, {first.Expires - 1, true}, {first.Expires, false}} {
				_, err := s.tickets.of(t.Context(), alice, at.now)
				if at.ok && l.Restrict && err != nil || !(at.ok && l.Restrict) && !errors.Is(err, ErrLease) {
					t.Errorf("%+v: %d ms after its issue: %v", l, at.now-first.Issued, err)
				}
			}
		})
	}
}

// TestRestrictedNodeKeepsAQuarantine: the ticket from before it is not handed on.
func TestRestrictedNodeKeepsAQuarantine(t *testing.T) {
	under(t, policy.Lease{Restrict: true}, func(t *testing.T, w *trio) {
		s := w.at[0]
		alice := s.agent("alice").ID()
		if _, err := s.ticket(alice); err != nil {
			t.Fatal(err)
		}
		s.quarantine(alice)
		s.cutOff(true)
		time.Sleep(2 * DefaultLease)
		s.wantServed("cut off", "restricted")
		if ticket, err := s.ticket(alice); !errors.Is(err, ErrLease) {
			t.Errorf("got %+v, %v", ticket, err)
		}
	})
}

// TestRestrictedNodeDecidesNothing: every request is on one of the two lists.
func TestRestrictedNodeDecidesNothing(t *testing.T) {
	decides := []control.Op{
		control.OpRealm, control.OpSubmit, control.OpDecision, control.OpDecisions, control.OpCertificate, control.OpRoster,
		control.OpTransfer, control.OpTightenings, control.OpUse, control.OpDryRun, control.OpPlan,
	}
	under(t, policy.Lease{Restrict: true}, func(t *testing.T, w *trio) {
		s := w.at[0]
		table := desk{s.Registrar}.handlers()
		from := control.Caller{Principal: s.Roots[0].ID()}
		nothing, err := wire.Encode(control.Nothing{})
		if err != nil {
			t.Fatal(err)
		}
		for op, answer := range table {
			if _, err := answer(t.Context(), from, nothing); errors.Is(err, ErrRestricted) { // the honest twin
				t.Errorf("%s with a lease: %v", op, err)
			}
		}
		s.cutOff(true)
		time.Sleep(2 * DefaultLease)
		for op, answer := range table {
			_, err := answer(t.Context(), from, nothing)
			if got, want := errors.Is(err, ErrRestricted), slices.Contains(decides, op); got != want {
				t.Errorf("%s without a lease: %v, want it refused: %t", op, err, want)
			}
			if undecided[op] == slices.Contains(decides, op) {
				t.Errorf("%s is on both lists or on none", op)
			}
		}
		if code := fault.CodeOf(ErrRestricted); code != fault.Unreachable || fault.HintOf(ErrRestricted) == "" {
			t.Errorf("code %q", code)
		}
	})
}

// TestRestrictionIsTold: agents hear of it again and again, and of its end.
func TestRestrictionIsTold(t *testing.T) {
	under(t, policy.Lease{Restrict: true}, func(t *testing.T, w *trio) {
		s := w.at[0]
		conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
		defer func() { _ = conn.Close(context.Background()) }() // the network is in memory
		heard := make(chan control.Hint, 1<<10)
		_, err := conn.Subscribe(bus.In(w.Realm).Hint(s.ID()), func(_ string, data []byte) {
			var h control.Hint
			if err := wire.Decode(data, &h); err != nil {
				t.Error(err)
			}
			heard <- h
		})
		if err != nil {
			t.Fatal(err)
		}
		count := func() (restricted, free int) {
			synctest.Wait()
			for len(heard) > 0 {
				if h := <-heard; h.Restricted {
					restricted++
				} else {
					free++
				}
			}
			return restricted, free
		}
		time.Sleep(2 * DefaultLease)
		if restricted, _ := count(); restricted > 0 {
			t.Error("told of a restriction that there was not")
		}
		s.cutOff(true)
		time.Sleep(3 * DefaultLease)
		if restricted, _ := count(); restricted < renewals {
			t.Errorf("told of it %d times", restricted)
		}
		s.cutOff(false)
		time.Sleep(DefaultLease)
		count()
		s.agent("alice") // something to tell
		if restricted, free := count(); restricted > 0 || free == 0 {
			t.Errorf("after its end: told %d times that it lasts, %d that it does not", restricted, free)
		}
		if err := s.mayServe(); err != nil {
			t.Error(err)
		}
	})
}

func TestAdmissionSaysWhatIsLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		lease policy.Lease
		kinds bool // the preset's, of which some are R0
		who   func(s *seat) identity.Signer
		left  int // subjects
	}{
		{"an agent, stop", policy.Lease{}, true, func(s *seat) identity.Signer { return s.agent("alice") }, 0},
		{"an agent", policy.Lease{Restrict: true}, true, func(s *seat) identity.Signer { return s.agent("alice") }, 5}, // control, requests, replies, two topics
		{"an agent where nothing is R0", policy.Lease{Restrict: true}, false, func(s *seat) identity.Signer { return s.agent("alice") }, 1},
		{"an operator", policy.Lease{Restrict: true}, true, func(s *seat) identity.Signer { return s.Roots[0] }, 1},
		{"an operator, stop", policy.Lease{}, true, func(s *seat) identity.Signer { return s.Roots[0] }, 0},
	} {
		rules := ledgertest.Preset(t, policy.Solo)
		if rules.Lease = c.lease; !c.kinds {
			rules.Kinds = nil
		}
		inTrioUnder(t, rules, func(*trio) {}, func(t *testing.T, w *trio) {
			s := w.at[0]
			now := time.Now().UnixMilli()
			p, err := identity.NewProcess(w.Realm, c.who(s), 1, now, time.Hour.Milliseconds())
			if err != nil {
				t.Fatal(err)
			}
			a, err := s.Admit(p.Credential().Raw(), p.Connect().Public(), now)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Restricted) != c.left || !(bus.Permissions{Publish: a.Restricted}).Within(a.Permissions) {
				t.Errorf("%s: %q of %q", c.name, a.Restricted, a.Permissions.Publish)
			}
			s.cutOff(true)
			time.Sleep(2 * DefaultLease)
			if _, err := s.Admit(p.Credential().Raw(), p.Connect().Public(), now); !errors.Is(err, ErrLease) {
				t.Errorf("%s: admitted without a lease: %v", c.name, err)
			}
		})
	}
}
