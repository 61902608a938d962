package ledger_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func idsOf(signers []identity.Signer) []identity.ID {
	ids := make([]identity.ID, len(signers))
	for i, s := range signers {
		ids[i] = s.ID()
	}
	return ids
}

// A realm of one node becomes one of three and loses one again.
func TestRosterGrowsAndShrinks(t *testing.T) {
	s := standard(t)
	want := func(number uint64) {
		t.Helper()
		a := s.Ledger.Authority()
		if a.Number != number || !slices.Equal(a.Nodes, idsOf(s.Nodes)) || len(a.Joining) != len(s.Joining) {
			t.Fatalf("got roster %d of %v and %v", a.Number, a.Nodes, a.Joining)
		}
		chain, err := identity.VerifyChain(s.Realm, s.Genesis, s.Ledger.Rosters(), number)
		if err != nil || chain.Latest() != a.Latest() || len(s.Ledger.Rosters()) != int(number) {
			t.Fatalf("the chain of %d says otherwise: %v", len(s.Ledger.Rosters()), err)
		}
	}
	want(0)
	node, roster := s.Newcomer()
	answer := s.PutRoster(roster, s.Nodes[0])
	seated := result[registry.Seated](t, answer)
	if seated.Number != 1 || seated.ID != s.Ledger.Authority().Latest() || !slices.Equal(seated.Nodes, idsOf(s.Nodes)) ||
		!slices.Equal(seated.Joining, []identity.ID{node.ID()}) {
		t.Errorf("got %+v", seated)
	}
	s.Joining = append(s.Joining, node)
	want(1)
	s.Admit()
	want(2)
	s.Tick(1)
	s.Promote()
	want(3)
	s.Tick(1)
	s.Remove(s.Nodes[1])
	want(4)
	s.Tick(1)
	wantCode(t, s.Do(s.a, registry.TypeStatus, quarantine(s.worker.ID())), "")
}

func TestRosterRefused(t *testing.T) {
	all := func(s standardRealm) []identity.Signer { return append(slices.Clone(s.Nodes), s.Roots...) }
	put := func(change func(s standardRealm, r *identity.Roster)) func(standardRealm) registry.Answer {
		return func(s standardRealm) registry.Answer {
			_, r := s.Newcomer()
			change(s, &r)
			return s.PutRoster(r, all(s)...)
		}
	}
	late := func(s standardRealm, r *identity.Roster) {
		token, once := s.JoinToken()
		r.Admission = s.Admission(s.Signer(identity.Node), token, once)
		claimed, err := wire.ParseCosigned[identity.Admission](r.Admission, wire.MaxStatement)
		wantErr(t, err, "")
		r.Joining = []identity.ID{claimed.Claim.Node}
	}
	for _, row := range []step{
		{"honest", put(func(standardRealm, *identity.Roster) {}), ""},
		{"at the last moment of the token", put(func(s standardRealm, r *identity.Roster) {
			late(s, r)
			s.Tick(60*minute - 1)
		}), ""},
		{"token over by log time, whatever the roster says", put(func(s standardRealm, r *identity.Roster) {
			late(s, r)
			s.Tick(60 * minute)
		}), fault.Expired},
		{"token over by the roster's time", put(func(s standardRealm, r *identity.Roster) { r.Issued += 60 * minute }), fault.Expired},
		{"a little early", put(func(s standardRealm, r *identity.Roster) { r.Issued += identity.Skew }), ""},
		{"from the future", put(func(s standardRealm, r *identity.Roster) { r.Issued += identity.Skew + 1 }), fault.NotYet},
		{"another number", put(func(s standardRealm, r *identity.Roster) { r.Number++ }), fault.Malformed},
		{"another predecessor", put(func(s standardRealm, r *identity.Roster) { r.Previous = wire.Digest{1} }), fault.Malformed},
		{"without the admission", func(s standardRealm) registry.Answer {
			_, r := s.Newcomer()
			r.Admission = nil
			return s.PutRoster(r, s.Nodes...)
		}, fault.NoQuorum},
		{"without the nodes", func(s standardRealm) registry.Answer {
			_, r := s.Newcomer()
			return s.PutRoster(r, s.Roots...)
		}, fault.NoQuorum},
		{"roots and nodes change the nodes", func(s standardRealm) registry.Answer {
			r := s.Roster()
			r.Nodes = []identity.ID{s.Signer(identity.Node).ID()}
			return s.PutRoster(r, all(s)...)
		}, ""},
		{"roots and nodes change the roots", func(s standardRealm) registry.Answer {
			r := s.Roster()
			r.Roots = r.Roots[:2]
			return s.PutRoster(r, all(s)...)
		}, fault.Version},
		{"roots and nodes change the threshold", func(s standardRealm) registry.Answer {
			r := s.Roster()
			r.Threshold = 3
			return s.PutRoster(r, all(s)...)
		}, fault.Version},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.Nodes[0], registry.TypeRoster, registry.Enrol{})
		}, fault.Malformed},
		{"nothing in the body", func(s standardRealm) registry.Answer {
			return s.Do(s.Nodes[0], registry.TypeRoster, registry.PutRoster{})
		}, fault.Malformed},
		{"by an operator", func(s standardRealm) registry.Answer {
			_, r := s.Newcomer()
			return s.Do(s.a, registry.TypeRoster, registry.PutRoster{Roster: s.Sign(r, all(s)...)})
		}, fault.Denied},
		{"by a stranger", func(s standardRealm) registry.Answer {
			node, r := s.Newcomer()
			return s.Do(node, registry.TypeRoster, registry.PutRoster{Roster: s.Sign(r, all(s)...)})
		}, fault.Unknown},
		{"expecting", func(s standardRealm) registry.Answer {
			_, r := s.Newcomer()
			c := s.Command(s.Nodes[0].ID(), registry.TypeRoster, registry.PutRoster{Roster: s.Sign(r, all(s)...)})
			c.Expect = 1
			return s.Apply(s.Sign(c, s.Nodes[0]))
		}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := standard(t)
			answer := row.run(s)
			wantCode(t, answer, row.want)
			accepted := uint64(0)
			if row.want == "" {
				accepted = 1
			}
			if got := s.Ledger.Authority().Number; got != accepted || len(s.Ledger.Rosters()) != int(accepted) {
				t.Errorf("roster %d", got)
			}
			if answer.Index != s.Ledger.Size() {
				t.Errorf("left no leaf: %+v at size %d", answer, s.Ledger.Size())
			}
		})
	}
}

// A join token admits one node, however often somebody tries, and also after a restart.
func TestJoinTokenServesOnce(t *testing.T) {
	s := standard(t)
	token, once := s.JoinToken()
	try := func() registry.Answer {
		node, r := s.Signer(identity.Node), s.Roster()
		r.Admission = s.Admission(node, token, once)
		r.Joining = append(r.Joining, node.ID())
		slices.SortFunc(r.Joining, identity.ID.Compare)
		return s.PutRoster(r, s.Nodes...)
	}
	wantCode(t, try(), "")
	wantCode(t, try(), fault.Spent)
	s.Ledger = restored(t, s.World, s.Ledger)
	wantCode(t, try(), fault.Spent)
	s.Tick(61 * minute) // the sweep forgets used tokens of agents
	wantCode(t, try(), fault.Expired)
}

// The command, handed in again, gets its answer; the roster, in another command, does not follow any more.
func TestRosterTwice(t *testing.T) {
	s := standard(t)
	_, r := s.Newcomer()
	signed := s.Sign(r, s.Nodes...)
	raw := s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeRoster, registry.PutRoster{Roster: signed}), s.Nodes[0])
	wantErr(t, s.Ledger.Admissible(raw), "")
	first := s.Apply(raw)
	wantCode(t, first, "")
	wantErr(t, s.Ledger.Admissible(raw), "")
	if again := s.Apply(raw); again.Index != first.Index || !bytes.Equal(again.Result, first.Result) {
		t.Errorf("got %+v, want %+v", again, first)
	}
	other := s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeRoster, registry.PutRoster{Roster: signed}), s.Nodes[0])
	wantErr(t, s.Ledger.Admissible(other), fault.Malformed)
	wantCode(t, s.Apply(other), fault.Malformed)
}

func TestRosterAdmissible(t *testing.T) {
	s := standard(t)
	command := func(by identity.Signer, r identity.Roster, signers ...identity.Signer) []byte {
		return s.Sign(s.Command(by.ID(), registry.TypeRoster, registry.PutRoster{Roster: s.Sign(r, signers...)}), by)
	}
	_, r := s.Newcomer()
	wantErr(t, s.Ledger.Admissible(command(s.Nodes[0], r, s.Nodes...)), "")
	wantErr(t, s.Ledger.Admissible(command(s.Nodes[0], r, s.a)), fault.NoQuorum)
	wantErr(t, s.Ledger.Admissible(command(s.a, r, s.Nodes...)), fault.Denied)
	wantErr(t, s.Ledger.Admissible(command(s.Signer(identity.Node), r, s.Nodes...)), fault.Unknown)
	r.Issued += identity.Skew + 1 // log time may lag
	wantErr(t, s.Ledger.Admissible(command(s.Nodes[0], r, s.Nodes...)), "")
}

// Those that join count for nothing: they tell no time and hand in no roster. Those that have left, neither.
func TestOnlySeatedNodesCount(t *testing.T) {
	s := several(t, 3)
	joining := s.Admit()
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(joining, s.Now+1)}}), fault.Unknown)
	wantCode(t, s.Do(joining, registry.TypeRoster, registry.PutRoster{Roster: s.Sign(s.Promotion(), s.Nodes...)}), fault.Unknown)
	wantCode(t, s.PutRoster(s.Promotion(), s.Nodes[0], joining), fault.NoQuorum)
	if _, ok := s.Ledger.Told(joining.ID()); ok {
		t.Error("a node that joins has told the time")
	}
	s.Promote()
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(joining, s.Now+1)}}), "")
	gone := s.Nodes[0]
	if gone.ID() == joining.ID() {
		gone = s.Nodes[1]
	}
	s.Remove(gone)
	if _, ok := s.Ledger.Told(gone.ID()); ok {
		t.Error("the clock of a node that left is kept")
	}
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(gone, s.Now+1)}}), fault.Unknown)
}

// A roster by itself moves no time; the next tick counts by the new one.
func TestTimeAfterAChangeOfNodes(t *testing.T) {
	s := several(t, 3)
	start := s.Now
	s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], start+50)}})
	s.Remove(s.Nodes[2])
	s.Remove(s.Nodes[1])
	if got := s.Ledger.Now(); got != start {
		t.Fatalf("a roster moved time by %d", got-start)
	}
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], start+51)}}), "")
	if got := s.Ledger.Now(); got != start+51 {
		t.Fatalf("got %d", got-start)
	}
	s.Now = s.Ledger.Now()
	s.Grow(2) // three nodes, of which one has told
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], s.Now+10), s.Told(s.Nodes[1], s.Now-40)}}), "")
	if got := s.Ledger.Now(); got != s.Now {
		t.Errorf("a newcomer's slow clock moved time by %d", got-s.Now)
	}
}

func TestHeadAt(t *testing.T) {
	s := standard(t)
	empty, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
	wantErr(t, err, "")
	if h := empty.Head(); h.Size != 0 || h.Time != 0 || h.Check() == nil {
		t.Errorf("a head of nothing: %+v", h)
	}
	if h, ok := empty.HeadAt(0); ok {
		t.Errorf("a head of nothing: %+v", h)
	}
	heads := map[uint64]audit.Head{}
	note := func() {
		h := s.Ledger.Head()
		if before, ok := heads[h.Size]; ok && before != h {
			t.Errorf("size %d has two heads: %+v and %+v", h.Size, before, h)
		}
		heads[h.Size] = h
	}
	note()
	for range 3 {
		s.Tick(10)
		note()
		s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
		note()
		s.Admit()
		if note(); s.Ledger.Head().Roster != s.Ledger.Authority().Number {
			t.Error("the head of a roster's own leaf is not of that roster")
		}
		s.Tick(10)
		note()
	}
	for size, want := range heads {
		if got, ok := s.Ledger.HeadAt(size); !ok || got != want {
			t.Errorf("at %d: got %+v, %t, want %+v", size, got, ok, want)
		}
	}
	if _, ok := s.Ledger.HeadAt(s.Ledger.Size() + 1); ok {
		t.Error("a head of the future")
	}
	again := restored(t, s.World, s.Ledger)
	if got, ok := again.HeadAt(s.Ledger.Size()); !ok || got != s.Ledger.Head() || again.Head() != got {
		t.Errorf("after a restore: %+v, %t", got, ok)
	}
	if _, ok := again.HeadAt(s.Ledger.Size() - 1); ok {
		t.Error("a restore knows the heads before the newest")
	}
}

func TestHeadAtForgets(t *testing.T) {
	w := ledgertest.New(t, standardPolicy(t), 2, 1)
	w.Leaf()
	first, ok := w.Ledger.HeadAt(1)
	if !ok || first.Size != 1 {
		t.Fatalf("got %+v, %t", first, ok)
	}
	for range 4095 {
		w.Leaf()
	}
	if got, ok := w.Ledger.HeadAt(1); !ok || got != first {
		t.Errorf("got %+v, %t", got, ok)
	}
	w.Leaf()
	if _, ok := w.Ledger.HeadAt(1); ok {
		t.Error("remembers more than it says")
	}
	if got, ok := w.Ledger.HeadAt(2); !ok || got.Size != 2 {
		t.Errorf("got %+v, %t", got, ok)
	}
}
