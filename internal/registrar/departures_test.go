package registrar

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A node takes back its own word about a process, and nobody else's.
func TestANodeTakesBackItsOwnWordOnly(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		here, liar, reader := w.at[0], w.at[1], w.at[2]
		alice := here.agent("alice")
		now := time.Now().UnixMilli()
		p, err := identity.NewProcess(w.Realm, alice, 1, now, time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		id := p.Credential().ID()
		if _, err := here.Admit(p.Credential().Raw(), p.Connect().Public(), now); err != nil {
			t.Fatal(err)
		}
		if err := here.presences.announce(w.Realm, alice.ID(), presence(t, p, 1, now, "text.upper"), here.ID(), now); err != nil {
			t.Fatal(err)
		}
		here.Entered(alice.ID(), id)
		synctest.Wait()
		there := func(s *seat) bool {
			return len(s.presences.search(control.Find{Capability: "text.upper"}, time.Now().UnixMilli())) == 1
		}
		if !there(here) || !there(reader) {
			t.Fatal("the honest word was not taken")
		}
		known, err := reader.presences.process(alice.ID(), id)
		if err != nil {
			t.Fatal(err)
		}
		(whereabouts{liar.Registrar}).tell(wordOf(known)) // it claims the process for itself, and then says that it left
		synctest.Wait()
		liar.Left(alice.ID(), id)
		synctest.Wait()
		if !there(here) || !there(reader) {
			t.Error("a node that claimed a process of another sent it away")
		}
		type farewell struct { // as words once said it
			Principal identity.ID `cbor:"3,keyasint"`
			Process   wire.Digest `cbor:"4,keyasint"`
			Gone      bool        `cbor:"5,keyasint,omitempty"`
		}
		gone, err := wire.Encode(farewell{Principal: alice.ID(), Process: id, Gone: true})
		if err != nil {
			t.Fatal(err)
		}
		// On the bus a node may name any other as the one that speaks.
		if err := liar.conn.Publish(t.Context(), bus.In(w.Realm).Word(here.ID()), gone); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !there(here) || !there(reader) {
			t.Error("a node sent a process away in another's name")
		}
		here.Left(alice.ID(), id)
		synctest.Wait()
		if there(here) || there(reader) {
			t.Error("its own node's word was not taken")
		}
	})
}

func TestDeparturesAreBounded(t *testing.T) {
	q := newDepartures()
	for i := range maxDepartures + 1 {
		q.add(control.Process{Credential: wire.Digest{byte(i), byte(i >> 8)}})
	}
	if n := len(q.take()); n != maxDepartures {
		t.Errorf("%d wait", n)
	}
	if n := len(q.take()); n != 0 {
		t.Errorf("%d wait after they were taken", n)
	}
}

func TestGoneIsParsed(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		honest, err := wire.Encode(departed{Processes: []control.Process{{Principal: w.Signer(identity.Agent).ID()}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.at[0].AnswerPeer(t.Context(), opGone, w.at[1].ID(), honest); err != nil {
			t.Fatal(err)
		}
		_, err = w.at[0].AnswerPeer(t.Context(), opGone, w.at[1].ID(), []byte("junk"))
		if fault.CodeOf(err) != fault.Malformed {
			t.Errorf("junk: %v", err)
		}
	})
}
