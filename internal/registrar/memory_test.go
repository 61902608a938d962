package registrar

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// failures has each Save fail from now on, with nil none.
func (d *disk) failures(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = err
}

// kept returns the commands in a file of tightenings.
func kept(t *testing.T, d *disk) [][]byte {
	t.Helper()
	if d.head == nil {
		return nil
	}
	k, err := registry.ParseKept(d.head)
	if err != nil {
		t.Fatal(err)
	}
	return k.Commands
}

func (w *world) status(id identity.ID) trust.Status {
	w.t.Helper()
	m, err := w.r.ledger.Member(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return m.Status
}

// tightened hands in what quarantines and returns the command.
func (w *world) quarantined(s identity.Signer) []byte {
	w.t.Helper()
	w.must(w.Roots[0], registry.TypeStatus, registry.SetStatus{Principal: s.ID(), Status: trust.Quarantined})
	all := w.r.ledger.Tightenings().All
	return all[len(all)-1].Command
}

// restore closes the node and takes log and head back to what the backup had, an hour later.
func (w *world) restore(entries [][]byte, head []byte) {
	w.t.Helper()
	if err := w.r.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.disk.entries, w.disk.head = slices.Clone(entries), head
	time.Sleep(time.Hour)
	if err := w.open(); err != nil {
		w.t.Fatal(err)
	}
}

// A node whose log was restored, and its file of tightenings not, reminds itself of them when it starts.
func TestNodeRemindsItself(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, bob := w.agent("alice"), w.agent("bob")
		w.serve()
		entries, head := slices.Clone(w.disk.entries), w.disk.head
		w.quarantined(alice)
		w.must(bob, registry.TypeEpoch, registry.RaiseEpoch{Principal: bob.ID(), Epoch: 7})
		synctest.Wait()
		if n := len(kept(t, &w.kept)); n != 2 {
			t.Fatalf("the file holds %d", n)
		}
		w.restore(entries, head)
		if w.status(alice.ID()) != trust.Active {
			t.Fatal("the backup knows of it")
		}
		size := w.r.Size()
		w.serve()
		synctest.Wait()
		m, err := w.r.ledger.Member(bob.ID())
		if err != nil || m.Epoch != 7 || w.status(alice.ID()) != trust.Quarantined {
			t.Errorf("got %+v, %v; alice is %s", m, err, w.status(alice.ID()))
		}
		if w.r.Size() != size+2 || len(kept(t, &w.kept)) != 2 {
			t.Errorf("%d commands for 2 reminders; the file holds %d", w.r.Size()-size, len(kept(t, &w.kept)))
		}
	})
}

// The file follows the ledger, is written only when the set has changed, and a start without news writes no command.
func TestFileOfTighteningsFollows(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		w.serve()
		synctest.Wait()
		first := w.quarantined(alice)
		synctest.Wait()
		if got := kept(t, &w.kept); len(got) != 1 || !bytes.Equal(got[0], first) {
			t.Fatalf("got %x", got)
		}
		saved := w.kept.saved
		w.agent("bob")
		synctest.Wait()
		if w.kept.saved != saved {
			t.Error("written though nothing was tightened")
		}
		w.restore(w.disk.entries, w.disk.head)
		size := w.r.Size()
		w.serve()
		synctest.Wait()
		if w.r.Size() != size || w.kept.saved != saved {
			t.Errorf("%d commands, %d times written", w.r.Size()-size, w.kept.saved-saved)
		}
		w.must(w.Roots[0], registry.TypeStatus, registry.SetStatus{Principal: alice.ID(), Status: trust.Active})
		synctest.Wait()
		if got := kept(t, &w.kept); len(got) != 0 {
			t.Errorf("after the release %x", got)
		}
	})
}

// What stands in the file without a right to it changes nothing and keeps nobody from starting.
func TestFileOfTighteningsProvesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, bob := w.agent("alice"), w.agent("bob")
		forged := w.Sign(w.Command(bob.ID(), registry.TypeStatus,
			registry.SetStatus{Principal: alice.ID(), Status: trust.Revoked}), bob)
		honest := w.Sign(w.Command(w.Roots[0].ID(), registry.TypeStatus,
			registry.SetStatus{Principal: bob.ID(), Status: trust.Quarantined}), w.Roots[0])
		file, err := registry.Kept{Commands: [][]byte{forged, honest}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.kept.head = file
		w.serve()
		synctest.Wait()
		if w.status(alice.ID()) != trust.Active || w.status(bob.ID()) != trust.Quarantined {
			t.Errorf("alice is %s, bob is %s", w.status(alice.ID()), w.status(bob.ID()))
		}
		w.kept.head = []byte("junk")
		w.restore(w.disk.entries, w.disk.head)
		w.serve()
		synctest.Wait()
		if got := kept(t, &w.kept); len(got) != 1 || !bytes.Equal(got[0], honest) {
			t.Errorf("junk became %x", got)
		}
	})
}

// A file that cannot be written now is written later.
func TestFileOfTighteningsIsTriedAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		w.serve()
		synctest.Wait()
		w.kept.failures(errDisk)
		w.quarantined(alice)
		synctest.Wait()
		if len(kept(t, &w.kept)) != 0 {
			t.Fatal("the full disk took it")
		}
		w.kept.failures(nil)
		time.Sleep(2 * remindPause)
		synctest.Wait()
		if len(kept(t, &w.kept)) != 1 {
			t.Error("not written")
		}
	})
}

// One node of three that kept its file reminds all, once; one without a lease reminds nobody.
func TestOneNodeRemindsTheOthers(t *testing.T) {
	remembers := func(w *trio, i int) {
		root := w.Roots[0]
		raw := w.Sign(w.Command(root.ID(), registry.TypeEpoch, registry.RaiseEpoch{Principal: root.ID(), Epoch: 9}), root)
		file, err := registry.Kept{Commands: [][]byte{raw}}.Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		w.at[i].kept.head = file
	}
	epochs := func(t *testing.T, w *trio) (all []uint64) {
		for _, s := range w.at {
			m, err := s.ledger.Member(w.Roots[0].ID())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m.Epoch)
		}
		return all
	}
	inPreparedTrio(t, func(w *trio) { remembers(w, 1) }, func(t *testing.T, w *trio) {
		time.Sleep(2 * DefaultLease)
		synctest.Wait()
		if got := epochs(t, w); !slices.Equal(got, []uint64{9, 9, 9}) || w.at[0].Size() != 1 {
			t.Errorf("epochs %d, %d commands", got, w.at[0].Size())
		}
	})
	inPreparedTrio(t, func(w *trio) { remembers(w, 1); w.at[1].cutOff(true) }, func(t *testing.T, w *trio) {
		time.Sleep(2 * DefaultLease)
		synctest.Wait()
		if got := epochs(t, w); !slices.Equal(got, []uint64{0, 0, 0}) || w.at[0].Size() != 0 {
			t.Errorf("epochs %d, %d commands", got, w.at[0].Size())
		}
		w.at[1].cutOff(false)
		time.Sleep(2 * DefaultLease)
		synctest.Wait()
		if got := epochs(t, w); !slices.Equal(got, []uint64{9, 9, 9}) {
			t.Errorf("back again: epochs %d", got)
		}
	})
}

// What is told of the tightenings in force: nothing to who knows the set, else what the asker lacks, and what it holds
// that is not in force.
func TestTighteningsAreTold(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, bob := w.agent("alice"), w.agent("bob")
		w.serve()
		c := w.admitted(bob)
		ask := func(q control.Tightenings) (out control.InForce) {
			t.Helper()
			if err := c.Ask(t.Context(), control.OpTightenings, q, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if none := ask(control.Tightenings{}); none.Digest.IsZero() || len(none.Commands)+len(none.Lacks) != 0 {
			t.Errorf("got %+v", none)
		}
		raw := w.quarantined(alice)
		claimed, _, err := registry.ParseTightening(raw)
		if err != nil {
			t.Fatal(err)
		}
		id, other := claimed.ID(w.Realm), wire.Digest{5}
		all := ask(control.Tightenings{})
		if len(all.Commands) != 1 || !bytes.Equal(all.Commands[0], raw) || len(all.Lacks) != 0 {
			t.Errorf("got %+v", all)
		}
		if rest := ask(control.Tightenings{Have: []wire.Digest{id, other}}); len(rest.Commands) != 0 || !slices.Equal(rest.Lacks, []wire.Digest{other}) {
			t.Errorf("got %+v", rest)
		}
		if same := ask(control.Tightenings{Digest: all.Digest, Have: []wire.Digest{other}}); same.Digest != all.Digest || len(same.Commands)+len(same.Lacks) != 0 {
			t.Errorf("got %+v", same)
		}
		wantCode(t, c.Ask(t.Context(), control.OpTightenings, control.Tightenings{Have: make([]wire.Digest, control.MaxTightenings)}, nil), "")
		wantCode(t, c.Ask(t.Context(), control.OpTightenings, control.Tightenings{Have: make([]wire.Digest, control.MaxTightenings+1)}, nil), fault.TooLarge)
		wantCode(t, c.Ask(t.Context(), control.OpTightenings, control.Who{Name: "x"}, nil), fault.Malformed)
		wantCode(t, c.Ask(t.Context(), control.OpSubmit, control.Submit{Command: w.Sign(
			w.Command(bob.ID(), registry.TypeRemind, registry.Remind{Command: raw}), bob)}, nil), fault.Superseded)
	})
}

// An answer holds the newest, in the order of their issue, and fits one message.
func TestManyTightenings(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		w.serve()
		var last []byte
		for i := range control.MaxTightenings + 6 {
			time.Sleep(time.Millisecond)
			last = w.quarantined(w.agent("a" + string(rune('a'+i/26)) + string(rune('a'+i%26))))
		}
		var out control.InForce
		if err := w.admitted(alice).Ask(t.Context(), control.OpTightenings, control.Tightenings{}, &out); err != nil {
			t.Fatal(err)
		}
		if n := len(out.Commands); n != control.MaxTightenings || !bytes.Equal(out.Commands[n-1], last) {
			t.Errorf("%d commands", n)
		}
	})
}

// An enrolment key learns nothing of who is quarantined.
func TestStrangersAreNotToldTightenings(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		once := w.Key()
		c := w.client(control.Party{Realm: w.Realm, Node: w.r.ID(), OneTime: once.Public()}, bus.NodePermissions(w.Realm))
		wantCode(t, c.Ask(t.Context(), control.OpRealm, control.Nothing{}, nil), "")
		wantCode(t, c.Ask(t.Context(), control.OpTightenings, control.Tightenings{}, nil), fault.Denied)
	})
}
