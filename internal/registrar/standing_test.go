package registrar

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// tell has a person say something of an agent.
func (w *world) tell(e trust.Evidence) trust.Effect {
	w.t.Helper()
	root := w.Roots[0]
	e.Version, e.Author, e.Issued, e.Expires = 1, root.ID(), w.now(), w.now()+time.Hour.Milliseconds()
	w.nonces++
	e.Nonce = [16]byte{1, byte(w.nonces), byte(w.nonces >> 8)}
	raw, err := root.Cosign(w.Realm, e)
	if err != nil {
		w.t.Fatal(err)
	}
	effect, err := registry.Result[trust.Effect](w.must(root, registry.TypeEvidence, registry.Evidence{Statement: raw}))
	if err != nil {
		w.t.Fatal(err)
	}
	return effect
}

func TestAnybodyAsksWhereAnAgentStands(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		alice, bob := w.agent("alice"), w.agent("bob")
		w.tell(trust.Evidence{Act: trust.Endorsement, Subject: bob.ID(), Amount: trust.Unit})
		client := w.admitted(alice)
		ask := func(who control.Who) (out control.Account, err error) {
			return out, client.Ask(t.Context(), control.OpStanding, who, &out)
		}
		byID, err := ask(control.Who{ID: bob.ID()})
		if err != nil {
			t.Fatal(err)
		}
		if byID.Name != "bob" || byID.Operator != w.Roots[0].ID() || byID.Level != identity.Journeyer || byID.Status != trust.Active ||
			byID.Account.Endorsed != trust.Unit || len(byID.Account.Traces) != 1 || len(byID.Next) == 0 || byID.Index == 0 {
			t.Errorf("%+v", byID)
		}
		byName, err := ask(control.Who{Name: "bob"})
		if err != nil || byName.ID != bob.ID() {
			t.Errorf("%+v %v", byName, err)
		}
		_, err = ask(control.Who{Name: "nobody"})
		wantCode(t, err, fault.Unknown)
		_, err = ask(control.Who{ID: w.Signer(identity.Agent).ID()})
		wantCode(t, err, fault.Unknown)
		_, err = ask(control.Who{ID: w.Roots[0].ID()}) // people have no standing
		wantCode(t, err, fault.Denied)
		wantCode(t, client.Ask(t.Context(), control.OpStanding, control.Submit{}, nil), fault.Malformed)
	})
}

func TestAgentsAreRankedInPages(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		const agents = maxRanked + 50
		for i := range agents {
			w.agent(fmt.Sprintf("agent-%03d", i))
		}
		best := w.agent("zora")
		w.setLevel(best, identity.Principal)
		client := w.admitted(best)
		page := func(after uint64) (out control.Ranking) {
			t.Helper()
			if err := client.Ask(t.Context(), control.OpRanking, control.Page{After: after}, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		first := page(0)
		if first.All != agents+1 || len(first.Ranks) != maxRanked || first.Ranks[0].ID != best.ID() || first.Ranks[1].Name != "agent-000" {
			t.Fatalf("%d of %d", len(first.Ranks), first.All)
		}
		second := page(maxRanked)
		names := map[string]bool{}
		for _, r := range slices.Concat(first.Ranks, second.Ranks) {
			names[r.Name] = true
		}
		if len(names) != agents+1 {
			t.Errorf("%d names", len(names))
		}
		for _, after := range []uint64{agents + 1, 1 << 63, ^uint64(0)} {
			if got := page(after); len(got.Ranks) != 0 || got.All != agents+1 {
				t.Errorf("after %d: %d", after, len(got.Ranks))
			}
		}
	})
}

// noted is an enforcer that notes what it is told.
type noted struct {
	nobody
	mu        sync.Mutex
	refreshed map[identity.ID]int
	revoked   map[identity.ID]int
}

func (n *noted) Refresh(id identity.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refreshed[id]++
}

func (n *noted) Revoke(id identity.ID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revoked[id]++
	return 0
}

func (n *noted) counts(id identity.ID) (refreshed, revoked int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refreshed[id], n.revoked[id]
}

// What evidence takes away, a level or part of the rate, is with the enforcer when the command is answered, and Admit says the
// same.
func TestEvidenceReachesTheEnforcer(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
		e := &noted{refreshed: map[identity.ID]int{}, revoked: map[identity.ID]int{}}
		if err := w.r.Serve(conn, e); err != nil {
			t.Fatal(err)
		}
		bob, other := w.agent("bob"), w.agent("other")
		process := w.process(bob)
		admission := func() Admission {
			t.Helper()
			a, err := w.r.Admit(process.Credential().Raw(), process.Connect().Public(), w.now())
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		rate := w.Policy.Rights(identity.Journeyer).Rate
		if got := admission().Rate; got != rate+bus.ControlRate {
			t.Fatalf("rate %d", got)
		}
		told := func(what string, e *noted, evidence trust.Evidence) {
			t.Helper()
			before, _ := e.counts(bob.ID())
			evidence.Subject = bob.ID()
			w.tell(evidence)
			if after, _ := e.counts(bob.ID()); after == before {
				t.Errorf("%s: the enforcer was not told", what)
			}
		}
		told("alarm", e, trust.Evidence{Act: trust.Alarm, Value: 600})
		m, err := w.r.ledger.Member(bob.ID())
		if err != nil || m.Throttle == 0 || m.Throttle >= 1000 {
			t.Fatalf("throttle %d: %v", m.Throttle, err)
		}
		want := rate*(1000-m.Throttle)/1000 + bus.ControlRate
		if got := admission().Rate; got != want || want >= rate {
			t.Errorf("rate %d, want %d", got, want)
		}
		before := admission()
		told("violation", e, trust.Evidence{Act: trust.Violation, Severity: 3})
		after := admission()
		if after.Rate >= before.Rate || before.Permissions.Within(after.Permissions) || !after.Permissions.Within(before.Permissions) {
			t.Errorf("after the violation: %+v", after)
		}
		w.tell(trust.Evidence{Act: trust.Violation, Subject: bob.ID(), Severity: 4})
		if _, revoked := e.counts(bob.ID()); revoked != 1 {
			t.Errorf("revoked %d times", revoked)
		}
		if refreshed, revoked := e.counts(other.ID()); revoked != 0 || refreshed > 1 {
			t.Errorf("another agent: refreshed %d, revoked %d", refreshed, revoked)
		}
	})
}

func TestThrottled(t *testing.T) {
	for _, c := range []struct{ rate, throttle, want uint64 }{
		{600_000, 0, 600_000}, {600_000, 100, 540_000}, {600_000, 999, 600}, {600_000, 1000, 0}, {600_000, 1001, 0},
		{60, 500, 30}, {60, 900, 6}, {0, 100, 0}, {60_000_000, 300, 42_000_000},
	} {
		if got := throttled(c.rate, c.throttle); got != c.want {
			t.Errorf("%d at %d: %d, want %d", c.rate, c.throttle, got, c.want)
		}
	}
}

// written returns how many entries the log holds.
func (d *disk) written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries)
}

// Time goes on at a node that is alone and at rest while an agent has a level to lose, and only then.
func TestALoneNodeTellsTheTimeAtRest(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		rest := func() (entries int, passed time.Duration) {
			before, size := w.r.ledger.Now(), w.disk.written()
			time.Sleep(5 * time.Hour) // of the bubble's clock
			synctest.Wait()
			return w.disk.written() - size, time.Duration(w.r.ledger.Now()-before) * time.Millisecond
		}
		if entries, _ := rest(); entries != 0 {
			t.Errorf("without an agent: %d entries", entries)
		}
		alice := w.agent("alice")
		if entries, passed := rest(); entries == 0 || entries > 31 || passed < 5*time.Hour-15*time.Minute {
			t.Errorf("with an agent: %d entries, %s", entries, passed)
		}
		w.setLevel(alice, identity.Observer)
		if entries, _ := rest(); entries != 0 {
			t.Errorf("with nothing to lose: %d entries", entries)
		}
	})
}
