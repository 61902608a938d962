package registrar

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// open proposes an action by hand and returns its opening.
func (w *world) proposed(by identity.Signer, p consensus.Proposal) consensus.Opening {
	w.t.Helper()
	o, err := registry.Result[consensus.Opening](w.must(by, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, by.Key())}))
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func TestADryRunIsOfTheAskersOwnProposal(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		alice, mallory := w.agent("alice"), w.agent("mallory")
		w.now()
		p := w.Proposal(alice.ID(), alice.ID(), "process.exec")
		size := w.r.Size()
		var out control.Outlook
		if err := w.admitted(alice).Ask(t.Context(), control.OpDryRun, control.DryRun{Proposal: p}, &out); err != nil {
			t.Fatal(err)
		}
		if out.Opening.Class != consensus.R2 || len(out.Opening.Voters) != 1 || !out.Opening.Proposal.IsZero() {
			t.Errorf("%+v", out.Opening)
		}
		wantCode(t, w.admitted(mallory).Ask(t.Context(), control.OpDryRun, control.DryRun{Proposal: p}, &out), fault.Denied)
		p.Action.Kind = ""
		wantCode(t, w.admitted(alice).Ask(t.Context(), control.OpDryRun, control.DryRun{Proposal: p}, &out), fault.Malformed)
		if w.r.Size() != size {
			t.Errorf("%d commands were applied", w.r.Size()-size)
		}
	})
}

func TestAUseIsProvedByItsCommand(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		alice, client := w.agent("alice"), (*control.Client)(nil)
		client = w.admitted(alice)
		w.now()
		p := w.Proposal(alice.ID(), alice.ID(), "process.exec")
		p.Permit = &consensus.Permit{Uses: 40, Until: w.now() + 1_000_000}
		o := w.proposed(alice, p)
		w.must(w.Roots[0], registry.TypeVote, registry.Cast{Ballot: w.SignAlone(w.Ballot(w.Roots[0].ID(), o, consensus.Approve), w.Roots[0].Key())})
		body := registry.Consume{Proposal: o.Proposal, Store: p.Store, Action: &p.Action}
		var commands []wire.Digest
		for range control.MaxUsesShown + 2 {
			commands = append(commands, w.must(alice, registry.TypeConsume, body).Command)
		}
		for n, command := range commands {
			var out control.Used
			if err := client.Ask(t.Context(), control.OpUse, control.UseID{Decision: o.Proposal, Command: command}, &out); err != nil {
				t.Fatal(err)
			}
			if out.Consumption.Use != uint64(n+1) || out.Receipt.Inclusion.Leaf.Command != command {
				t.Errorf("use %d: %+v", n+1, out)
			}
			if _, err := out.Receipt.Verify(w.r.Authority(), out.Consumption); err != nil {
				t.Error(err)
			}
		}
		var used control.Used
		wantCode(t, client.Ask(t.Context(), control.OpUse, control.UseID{Decision: o.Proposal, Command: o.Proposal}, &used), fault.Unknown)
		wantCode(t, client.Ask(t.Context(), control.OpUse, control.UseID{Command: commands[0]}, &used), fault.Unknown)
		var v control.DecisionView
		if err := client.Ask(t.Context(), control.OpDecision, control.DecisionID{Prefix: o.Proposal[:]}, &v); err != nil {
			t.Fatal(err)
		}
		if v.Used != uint64(len(commands)) || len(v.Uses) != control.MaxUsesShown || v.Uses[len(v.Uses)-1].Consumption.Use != v.Used {
			t.Errorf("%d uses, %d of them shown", v.Used, len(v.Uses))
		}
		var c control.Certificate
		if err := client.Ask(t.Context(), control.OpCertificate, control.DecisionID{Prefix: o.Proposal[:]}, &c); err != nil {
			t.Fatal(err)
		}
		if c.Receipt != nil || c.Consumed.Use != 0 {
			t.Errorf("a permit's certificate tells of a use: %+v", c.Consumed)
		}
	})
}

// refreshed is an enforcer with one connection of everybody.
type refreshed struct {
	nobody
	mu  sync.Mutex
	ids []identity.ID
}

func (r *refreshed) Live(identity.ID) int { return 1 }

func (r *refreshed) Refresh(id identity.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
}

func (r *refreshed) take() []identity.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.ids
	r.ids = nil
	return ids
}

func TestEverybodyFollowsANewPolicy(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the network is in memory
		live := &refreshed{}
		if err := w.r.Serve(conn, live); err != nil {
			t.Fatal(err)
		}
		alice := w.agent("alice")
		client, root := w.admitted(alice), w.admitted(w.Roots[0])
		w.now()
		open := w.proposed(alice, w.Proposal(alice.ID(), alice.ID(), "process.exec"))
		next := w.Policy
		next.Levels = slices.Clone(next.Levels)
		next.Levels[identity.Journeyer].Rights.Call = []string{"text.*"}
		var planned control.Planned
		ask := control.Plan{Policy: next.Encode(), Most: 10}
		wantCode(t, client.Ask(t.Context(), control.OpPlan, ask, &planned), fault.Denied)
		if err := root.Ask(t.Context(), control.OpPlan, ask, &planned); err != nil || len(planned.Decisions) != 1 {
			t.Errorf("%+v %v", planned, err)
		}
		wantCode(t, root.Ask(t.Context(), control.OpPlan, control.Plan{Policy: []byte{1}, Most: 1}, &planned), fault.Malformed)
		live.take()
		w.must(w.Roots[0], registry.TypePolicy, registry.PutPolicy{Policy: next.Encode()})
		if ids := live.take(); !slices.Contains(ids, alice.ID()) || !slices.Contains(ids, w.Roots[0].ID()) {
			t.Errorf("refreshed %v", ids)
		}
		var realm control.Realm
		if err := client.Ask(t.Context(), control.OpRealm, control.Nothing{}, &realm); err != nil {
			t.Fatal(err)
		}
		if wire.Hash(realm.Policy) != w.Policy.Digest() || len(realm.Policies) != 1 {
			t.Errorf("the genesis's policy %t, and %d that replaced it", wire.Hash(realm.Policy) == w.Policy.Digest(), len(realm.Policies))
		}
		var v control.DecisionView
		if err := client.Ask(t.Context(), control.OpDecision, control.DecisionID{Prefix: open.Proposal[:]}, &v); err != nil {
			t.Fatal(err)
		}
		if v.Verdict.State != consensus.Superseded {
			t.Errorf("an open decision is %s", v.Verdict.State)
		}
	})
}

// A hint says what is asked of whom, each name once, and owns up to what it has no room for.
func TestHintsSayWhatIsAsked(t *testing.T) {
	q := newHintQueue()
	id := func(n int) wire.Digest { return wire.Digest{byte(n), byte(n >> 8), 1} }
	q.add(control.Hint{})
	select {
	case <-q.ready:
		t.Error("a hint at nothing")
	default:
	}
	for range 2 {
		q.add(control.Hint{Decisions: []wire.Digest{id(1)}, Opened: []wire.Digest{id(1)}, Revealing: []wire.Digest{id(2)}})
	}
	h := q.take()
	if len(h.Decisions) != 1 || len(h.Opened) != 1 || h.Revealing[0] != id(2) || h.More {
		t.Errorf("%+v", h)
	}
	for n := range maxHint + 1 {
		q.add(control.Hint{Decisions: []wire.Digest{id(n)}})
	}
	if h = q.take(); len(h.Decisions) != maxHint || !h.More {
		t.Errorf("%d names, more %t", len(h.Decisions), h.More)
	}
	if h = q.take(); len(h.Decisions) != 0 || h.More {
		t.Errorf("taken twice: %+v", h)
	}
}
