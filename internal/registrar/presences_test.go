package registrar

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// presence signs one of a process.
func presence(t *testing.T, p *identity.Process, sequence uint64, now int64, serves ...string) []byte {
	t.Helper()
	raw, err := p.Sign(discovery.Presence{
		Version: 1, Principal: p.Principal(), Credential: p.Credential().ID(), Sealing: p.SealingKey(), Serves: serves,
		Sequence: sequence, Issued: now, Expires: now + discovery.MaxPresenceLife,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPresencesComeInOrderAndFromTheirProcess(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, bob := w.agent("alice"), w.agent("bob")
		p, never := w.process(alice), w.process(alice)
		if _, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()); err != nil {
			t.Fatal(err)
		}
		long, err := p.Sign(discovery.Presence{
			Version: 1, Principal: alice.ID(), Credential: p.Credential().ID(), Sealing: never.SealingKey(), Sequence: 9,
			Issued: w.now(), Expires: w.now() + 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		third := presence(t, p, 3, w.now(), "text.upper")
		for _, c := range []struct {
			name string
			from identity.ID
			raw  []byte
			want fault.Code
		}{
			{"the first", alice.ID(), presence(t, p, 1, w.now(), "text.upper"), ""},
			{"the third", alice.ID(), third, ""},
			{"the third, delivered twice", alice.ID(), third, ""},
			{"another third", alice.ID(), presence(t, p, 3, w.now(), "text.lower"), fault.Superseded},
			{"the second", alice.ID(), presence(t, p, 2, w.now(), "text.lower"), fault.Superseded},
			{"handed in by another", bob.ID(), presence(t, p, 4, w.now()), fault.Unknown},
			{"of a process that never connected", alice.ID(), presence(t, never, 1, w.now()), fault.Unknown},
			{"over", alice.ID(), presence(t, p, 4, w.now()-time.Hour.Milliseconds()), fault.Expired},
			{"to come", alice.ID(), presence(t, p, 4, w.now()+time.Hour.Milliseconds()), fault.NotYet},
			{"with another's sealing key", alice.ID(), long, fault.Malformed},
			{"nothing", alice.ID(), nil, fault.Malformed},
		} {
			if err := w.r.presences.announce(w.Realm, c.from, c.raw, w.r.ID(), w.now()); fault.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, fault.CodeOf(err), c.want)
			}
		}
		q, err := w.r.presences.process(alice.ID(), p.Credential().ID())
		if err != nil || q.presence.Statement().Sequence != 3 || q.presence.Statement().Serves[0] != "text.upper" {
			t.Errorf("%+v %v", q.presence.Statement(), err)
		}
	})
}

func TestPresencesAreSearched(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, bob := w.agent("alice"), w.agent("bob")
		serves := [][]string{{"text.lower", "text.upper"}, {"text.upper"}}
		for i, s := range []identity.Signer{alice, bob} {
			p := w.process(s)
			if _, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()); err != nil {
				t.Fatal(err)
			}
			if err := w.r.presences.announce(w.Realm, s.ID(), presence(t, p, 1, w.now(), serves[i]...), w.r.ID(), w.now()); err != nil {
				t.Fatal(err)
			}
		}
		found := func(f control.Find) int { return len(w.r.presences.search(f, w.now())) }
		for _, c := range []struct {
			name string
			find control.Find
			want int
		}{
			{"everybody", control.Find{}, 2},
			{"both", control.Find{Capability: "text.upper"}, 2},
			{"one", control.Find{Capability: "text.lower"}, 1},
			{"none", control.Find{Capability: "text"}, 0},
			{"by id", control.Find{ID: bob.ID()}, 1},
			{"by id and capability", control.Find{ID: bob.ID(), Capability: "text.lower"}, 0},
			{"a topic", control.Find{Topic: "*"}, 0},
		} {
			if got := found(c.find); got != c.want {
				t.Errorf("%s: %d, want %d", c.name, got, c.want)
			}
		}
		w.r.presences.forget(bob.ID())
		if got := found(control.Find{}); got != 1 {
			t.Errorf("%d after one was forgotten", got)
		}
		time.Sleep(time.Minute) // of the bubble's clock
		if got := found(control.Find{}); got != 0 {
			t.Errorf("%d after their time", got)
		}
	})
}

func TestAPrincipalHasEightProcesses(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		admit := func(p *identity.Process) error {
			_, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now())
			return err
		}
		announce := func(p *identity.Process, sequence uint64) {
			t.Helper()
			if err := w.r.presences.announce(w.Realm, alice.ID(), presence(t, p, sequence, w.now()), w.r.ID(), w.now()); err != nil {
				t.Fatal(err)
			}
		}
		var processes []*identity.Process
		for range maxProcesses {
			p := w.process(alice)
			if err := admit(p); err != nil {
				t.Fatal(err)
			}
			announce(p, 1)
			processes = append(processes, p)
		}
		ninth := w.process(alice)
		wantCode(t, admit(ninth), fault.WindowFull)
		if err := admit(processes[0]); err != nil {
			t.Errorf("one of the eight again: %v", err)
		}
		if err := admit(w.process(w.agent("bob"))); err != nil {
			t.Errorf("another principal's: %v", err)
		}
		time.Sleep(time.Minute) // of the bubble's clock
		for _, p := range processes[1:] {
			announce(p, 2)
		}
		if err := admit(ninth); err != nil {
			t.Errorf("in place of one that fell silent: %v", err)
		}
		if _, err := w.r.presences.process(alice.ID(), processes[0].Credential().ID()); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("the silent one: %v", err)
		}
		time.Sleep(2 * time.Hour) // all credentials end
		for range maxProcesses {
			if err := admit(w.process(alice)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTicketsAreKeptForHalfTheirLife(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		of := func() wire.Digest {
			t.Helper()
			raw, err := w.r.tickets.of(t.Context(), alice.ID(), w.now())
			if err != nil {
				t.Fatal(err)
			}
			return wire.Hash(raw)
		}
		first := of()
		time.Sleep(4 * time.Minute) // of the bubble's clock
		if of() != first {
			t.Error("signed anew within half its life")
		}
		time.Sleep(2 * time.Minute)
		second := of()
		if second == first {
			t.Error("kept beyond half its life")
		}
		w.r.tickets.forget([]identity.ID{alice.ID()})
		time.Sleep(time.Millisecond)
		if of() == second {
			t.Error("kept after a change")
		}
		if _, err := w.r.tickets.of(t.Context(), w.Signer(identity.Agent).ID(), w.now()); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("a stranger's: %v", err)
		}
	})
}
