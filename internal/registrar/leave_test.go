package registrar

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// TestAProcessThatLeftMakesRoom fills a principal's places, lets one process leave, and wants exactly that one to give
// way, and nobody to be offered it any more.
func TestAProcessThatLeftMakesRoom(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		admit := func(p *identity.Process) error {
			_, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now())
			return err
		}
		var processes []*identity.Process
		for range maxProcesses { // the first is silent, as a pure caller is; all are connected
			p := w.process(alice)
			if err := admit(p); err != nil {
				t.Fatal(err)
			}
			if len(processes) > 0 {
				raw := presence(t, p, 1, w.now(), "text.upper")
				if err := w.r.presences.announce(w.Realm, alice.ID(), raw, w.r.ID(), w.now()); err != nil {
					t.Fatal(err)
				}
			}
			processes = append(processes, p)
		}
		offered := func() int {
			return len(w.r.presences.search(control.Find{Capability: "text.upper"}, w.now()))
		}
		if n := offered(); n != maxProcesses-1 {
			t.Fatalf("%d offered before", n)
		}
		left := processes[3].Credential().ID()
		w.r.Left(alice.ID(), left)
		if n := offered(); n != maxProcesses-2 {
			t.Errorf("%d offered after one left", n)
		}
		if err := admit(w.process(alice)); err != nil {
			t.Fatalf("in place of one that left: %v", err)
		}
		if _, err := w.r.presences.process(alice.ID(), left); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("the one that left: %v", err)
		}
		if _, err := w.r.presences.process(alice.ID(), processes[0].Credential().ID()); err != nil {
			t.Errorf("the silent one gave way instead: %v", err)
		}

		w.r.Left(alice.ID(), processes[4].Credential().ID())
		if err := admit(processes[4]); err != nil { // it comes back
			t.Fatal(err)
		}
		raw := presence(t, processes[4], 2, w.now(), "text.upper")
		if err := w.r.presences.announce(w.Realm, alice.ID(), raw, w.r.ID(), w.now()); err != nil {
			t.Fatal(err)
		}
		if n := offered(); n != maxProcesses-2 {
			t.Errorf("%d offered after one came back", n)
		}
	})
}
