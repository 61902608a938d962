package registrar

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestAHeadIsKeptBeforeItIsShown(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.agent("alice")
		raw, size, err := w.r.heads.current(t.Context(), w.r.Size())
		if err != nil || size != w.r.ledger.Size() || string(w.disk.head) != string(raw) {
			t.Fatalf("size %d %v", size, err)
		}
		if v, err := audit.VerifyHead(raw, w.r.ledger.Authority()); err != nil || v.Statement().Size != size {
			t.Fatal(err)
		}
		saved := w.disk.saved
		if again, _, err := w.r.heads.current(t.Context(), w.r.Size()); err != nil || string(again) != string(raw) || w.disk.saved != saved {
			t.Errorf("two heads of one size: %v", err)
		}
		w.agent("bob")
		w.disk.full = errDisk
		if raw, _, err := w.r.heads.current(t.Context(), w.r.Size()); !errors.Is(err, errDisk) || raw != nil {
			t.Errorf("shown and not kept: %v", err)
		}
		select {
		case <-w.r.Done():
		default:
			t.Error("a registrar that could not keep its head goes on")
		}
		if !errors.Is(w.r.Err(), errDisk) {
			t.Errorf("it stopped for %v", w.r.Err())
		}
		w.disk.full = nil
		if _, err := w.submit(w.Roots[0], registry.TypeStatus, registry.SetStatus{}); !errors.Is(err, errDisk) {
			t.Errorf("it takes commands again: %v", err)
		}
	})
}

func TestOpenRefusesWhatDoesNotContinueTheLastHead(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.agent("alice")
		w.agent("bob")
		if _, _, err := w.r.heads.current(t.Context(), w.r.Size()); err != nil {
			t.Fatal(err)
		}
		reopen := func() error {
			if err := w.r.Close(); err != nil {
				t.Fatal(err)
			}
			return w.open()
		}
		if err := reopen(); err != nil {
			t.Fatal(err)
		}
		root := w.r.ledger.Head().Root
		entries, running := w.disk.entries, w.r
		for name, damaged := range map[string][][]byte{
			"rewound": entries[:len(entries)-1],
			"emptied": nil,
			"another": append(append([][]byte(nil), entries[:len(entries)-1]...), []byte("noise")),
		} {
			w.disk.entries = damaged
			if err := w.open(); !errors.Is(err, ErrForked) || fault.CodeOf(err) != fault.Superseded {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.disk.entries = entries
		head := w.disk.head
		w.disk.head = append([]byte(nil), head...)
		w.disk.head[len(head)-1] ^= 1
		if err := w.open(); fault.CodeOf(err) != fault.BadSignature {
			t.Errorf("a forged head: %v", err)
		}
		w.disk.head = head
		w.r = running
		if err := reopen(); err != nil || w.r.ledger.Head().Root != root {
			t.Errorf("the true one: %v", err)
		}
	})
}

func TestAOneTimeKeyOnlyEnrols(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		w.serve()
		w.now()
		token, once := w.Invite(w.Roots[0], w.Token(w.Roots[0].ID(), "new", identity.Journeyer))
		a, err := w.r.AdmitInvited(token, once.Public(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		client := w.client(control.Party{Realm: w.Realm, Node: w.r.ID(), OneTime: once.Public()}, a.Permissions)
		ask := func(op control.Op, in any) error { return client.Ask(t.Context(), op, in, nil) }
		if err := ask(control.OpRealm, control.Nothing{}); err != nil {
			t.Fatal(err)
		}
		for _, op := range []control.Op{
			control.OpWho, control.OpSender, control.OpAnnounce, control.OpFind, control.OpMembers, control.OpDecision,
			control.OpDecisions, control.OpCertificate, control.OpStatus, "none",
		} {
			if err := ask(op, control.Nothing{}); fault.CodeOf(err) != fault.Denied {
				t.Errorf("%s: %v", op, err)
			}
		}
		status := w.Command(w.Roots[0].ID(), registry.TypeStatus, registry.SetStatus{Principal: alice.ID(), Status: trust.Quarantined})
		err = ask(control.OpSubmit, control.Submit{Command: w.Sign(status, w.Roots[0])})
		if !errors.Is(err, errOnlyEnrol) && fault.CodeOf(err) != fault.Denied {
			t.Errorf("another command: %v", err)
		}
		if err := ask(control.OpSubmit, control.Submit{Command: []byte("noise")}); fault.CodeOf(err) != fault.Malformed {
			t.Errorf("no command: %v", err)
		}
		agent := w.Signer(identity.Agent)
		enrol := w.Command(agent.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(agent, token, once)})
		if err := ask(control.OpSubmit, control.Submit{Command: w.Sign(enrol, agent)}); err != nil {
			t.Error(err)
		}
		if m, err := w.r.ledger.Member(agent.ID()); err != nil || m.Name != "new" {
			t.Errorf("%+v %v", m, err)
		}
	})
}

func TestUnknownRequestsAreDenied(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		client := w.admitted(w.Roots[0])
		w.serve()
		if err := client.Ask(t.Context(), control.OpStatus, control.Nothing{}, nil); err != nil {
			t.Fatal(err)
		}
		wantCode(t, client.Ask(t.Context(), "delete", control.Nothing{}, nil), fault.Denied)
		for _, op := range []control.Op{control.OpSubmit, control.OpWho, control.OpFind, control.OpAnnounce, control.OpDecision} {
			if err := client.Ask(t.Context(), op, []string{"noise"}, nil); fault.CodeOf(err) != fault.Malformed {
				t.Errorf("%s: %v", op, err)
			}
		}
	})
}

func TestTooManyRequestsAreRefusedAtOnce(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.now()
		command := w.Sign(w.Command(w.Roots[0].ID(), registry.TypeOperator, registry.AddOperator{
			Operator: w.Signer(identity.Operator).ID(), Name: "second",
		}), w.Roots[0])
		client := w.admitted(w.Roots[0])
		w.serve()
		w.disk.hold = make(chan struct{})
		const more = 10
		results := make(chan error, control.MaxOfOne+more)
		for range cap(results) {
			go func() { results <- client.Ask(t.Context(), control.OpSubmit, control.Submit{Command: command}, nil) }()
		}
		synctest.Wait()
		if got := len(results); got != more {
			t.Fatalf("%d were answered while the log stood still", got)
		}
		for range more {
			wantCode(t, <-results, fault.Rate)
		}
		close(w.disk.hold)
		for range control.MaxOfOne {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if got := len(w.r.ledger.Members()); got != 2 {
			t.Errorf("%d members: one command took effect more than once, or never", got)
		}
	})
}

func TestARegistrarThatCannotRecordStops(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		before := len(w.trail.entries)
		w.must(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: alice.ID(), Level: identity.Observer})
		if got := w.trail.entries[before:]; len(got) != 1 || got[0].Subject != w.Roots[0].ID().String() || got[0].Code != "" {
			t.Errorf("trail %+v", got)
		}
		w.trail.failure = errDisk
		w.must(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: alice.ID(), Level: identity.Journeyer})
		select {
		case <-w.r.Done():
		default:
			t.Fatal("goes on without a trail")
		}
		if !errors.Is(w.r.Err(), errDisk) {
			t.Errorf("stopped by %v", w.r.Err())
		}
		_, err := w.submit(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: alice.ID(), Level: identity.Observer})
		if !errors.Is(err, errDisk) {
			t.Errorf("a command after that: %v", err)
		}
	})
}

// revoked notes whom an enforcer was told to silence.
type revoked struct {
	nobody
	ids chan identity.ID
}

func (e revoked) Revoke(id identity.ID) int {
	e.ids <- id
	return 1
}

func TestQuarantineIsEnforcedBeforeItIsAnswered(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		p := w.process(alice)
		if _, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()); err != nil {
			t.Fatal(err)
		}
		conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
		defer conn.Close(context.Background())
		e := revoked{ids: make(chan identity.ID, 1)}
		if err := w.r.Serve(conn, e); err != nil {
			t.Fatal(err)
		}
		hints := make(chan control.Hint, 1)
		_, err := conn.Subscribe(bus.In(w.Realm).Hint(w.r.ID()), func(_ string, data []byte) {
			var h control.Hint
			if err := wire.Decode(data, &h); err != nil {
				t.Error(err)
			}
			hints <- h
		})
		if err != nil {
			t.Fatal(err)
		}
		w.must(w.Roots[0], registry.TypeStatus, registry.SetStatus{Principal: alice.ID(), Status: trust.Quarantined})
		if len(e.ids) != 1 || <-e.ids != alice.ID() {
			t.Error("answered before it was enforced")
		}
		if _, err := w.r.presences.process(alice.ID(), p.Credential().ID()); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("its process is still shown: %v", err)
		}
		if h := <-hints; len(h.Members) != 1 || h.Members[0] != alice.ID() || h.Size != w.r.ledger.Size() {
			t.Errorf("hint %+v", h)
		}
	})
}

func TestTimeIsToldWhenADeadlinePasses(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		w.serve()
		w.now()
		raw := w.SignAlone(w.Proposal(alice.ID(), alice.ID(), "payments.send"), alice.Key())
		w.must(alice, registry.TypePropose, registry.Propose{Proposal: raw})
		open := func() bool { return w.r.ledger.NextDeadline() > 0 }
		if !open() {
			t.Fatal("not opened")
		}
		time.Sleep(3 * time.Hour) // of the bubble's clock
		synctest.Wait()
		if !open() {
			t.Fatal("ended before its deadline")
		}
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if open() {
			t.Error("silence did not end it")
		}
	})
}
