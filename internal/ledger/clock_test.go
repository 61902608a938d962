package ledger_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// several is a standard realm with so many nodes, all of which have told the same time.
func several(t testing.TB, nodes int) standardRealm {
	t.Helper()
	w := ledgertest.New(t, standardPolicy(t), 3, nodes)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return s
}

func snapshotOf(t testing.TB, l *ledger.Ledger) []byte {
	t.Helper()
	snapshot, err := l.Snapshot()
	wantErr(t, err, "")
	return snapshot
}

func TestTimeNeedsAMajority(t *testing.T) {
	for _, row := range []struct {
		name string
		told []int64 // after Now, by node; 0: tells nothing
		want int64   // after Now
	}{
		{"one of one", []int64{5}, 5},
		{"one of two", []int64{5, 0}, 0},
		{"both of two", []int64{5, 7}, 5},
		{"one of three", []int64{9, 0, 0}, 0},
		{"two of three", []int64{9, 4, 0}, 4},
		{"two of three, the other order", []int64{0, 4, 9}, 4},
		{"three of three", []int64{9, 4, 6}, 6},
		{"all the same", []int64{3, 3, 3}, 3},
		{"two of four", []int64{9, 9, 0, 0}, 0},
		{"two of five", []int64{9, 9, 0, 0, 0}, 0},
		{"three of five", []int64{9, 2, 5, 0, 0}, 2},
		{"five of five", []int64{1, 2, 3, 4, 5}, 3},
		{"one far ahead", []int64{1_000_000_000, 2, 3}, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := several(t, len(row.told))
			start := s.Now
			var e ledger.Entry
			for i, told := range row.told {
				if told > 0 {
					e.Ticks = append(e.Ticks, s.Told(s.Nodes[i], start+told))
				}
			}
			wantCode(t, s.Entry(e), "")
			if got := s.Ledger.Now() - start; got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
			for i, told := range row.told {
				if got, ok := s.Ledger.Told(s.Nodes[i].ID()); !ok || got != start+told {
					t.Errorf("node %d told %d, %t", i, got-start, ok)
				}
			}
		})
	}
}

// Whatever some nodes say, log time stays between what the others, a majority, have told.
func TestLiarsDoNotMoveTime(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	for _, nodes := range []int{3, 4, 5} {
		w := ledgertest.New(t, standardPolicy(t), 3, nodes)
		liars := (nodes - 1) / 2
		honest := w.Nodes[liars:]
		told := map[identity.ID]int64{}
		for _, n := range w.Nodes {
			told[n.ID()] = w.Now
		}
		for range 400 {
			before := w.Ledger.Now()
			node, time := honest[random.IntN(len(honest))], int64(0)
			if random.IntN(2) == 0 {
				node = w.Nodes[random.IntN(liars)]
				time = w.Now + random.Int64N(1<<uint(random.IntN(40))) - random.Int64N(1<<uint(random.IntN(40)))
			} else {
				time = told[node.ID()] + random.Int64N(1000)
			}
			w.Entry(ledger.Entry{Ticks: [][]byte{w.Told(node, time)}})
			told[node.ID()] = max(told[node.ID()], time)
			now, least, most := w.Ledger.Now(), int64(math.MaxInt64), int64(0)
			for _, n := range honest {
				least, most = min(least, told[n.ID()]), max(most, told[n.ID()])
			}
			if now < before || now < least || now > most {
				t.Fatalf("%d nodes: time %d after %d, the honest told %d to %d", nodes, now, before, least, most)
			}
			if want := max(before, reachedBy(told, nodes/2+1)); now != want {
				t.Fatalf("%d nodes: time %d, want %d", nodes, now, want)
			}
		}
	}
}

// reachedBy counts, for each time told, how many have reached it.
func reachedBy(told map[identity.ID]int64, most int) (greatest int64) {
	for _, time := range told {
		n := 0
		for _, other := range told {
			if other >= time {
				n++
			}
		}
		if n >= most {
			greatest = max(greatest, time)
		}
	}
	return greatest
}

func TestTicksLeaveNoLeaf(t *testing.T) {
	s := several(t, 3)
	head, size := s.Ledger.Head(), s.Ledger.Size()
	foreign := ledgertest.New(t, standardPolicy(t), 2, 3)
	early := s.Told(s.Nodes[1], s.Now+1)
	spoilt := bytes.Clone(early)
	spoilt[len(spoilt)-1] ^= 1
	expecting := s.Command(s.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: s.Now + 1})
	expecting.Expect = 1
	for _, row := range []tickRow{
		{"honest", early, ""},
		{"the same again", early, fault.Superseded},
		{"later", s.Told(s.Nodes[1], s.Now+2), ""},
		{"stale", s.Told(s.Nodes[1], s.Now+1), fault.Superseded},
		{"junk", []byte("junk"), fault.Malformed},
		{"empty", []byte{}, fault.Malformed},
		{"spoilt", spoilt, fault.Superseded}, // nobody looks at its signature
		{"spoilt, and later", forged(s, s.Nodes[1].ID()), fault.NoQuorum},
		{"of another realm", foreign.Told(identity.NewSigner(s.Nodes[0].ID(), s.Nodes[0].Key()), s.Now+9), fault.BadSignature},
		{"by a stranger", s.Told(s.Signer(identity.Node), s.Now+9), fault.Unknown},
		{"by an operator", s.Told(s.a, s.Now+9), fault.Denied},
		{"by an agent", s.Told(s.worker, s.Now+9), fault.Denied},
		{"another body", s.Sign(s.Command(s.Nodes[0].ID(), registry.TypeTick, registry.Enrol{}), s.Nodes[0]), fault.Malformed},
		{"expecting", s.Sign(expecting, s.Nodes[0]), fault.Malformed},
		{"time 0", s.Told(s.Nodes[0], 0), fault.Superseded},
		{"after the year 9999", s.Told(s.Nodes[0], 253_402_300_800_000), fault.Malformed},
		{"another type", s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID())), s.a), fault.Malformed},
	} {
		before := snapshotOf(t, s.Ledger)
		answer := s.Entry(ledger.Entry{Ticks: [][]byte{row.tick}})
		if answer.Code != row.want || answer.Index != size || s.Ledger.Size() != size || s.Ledger.Head() != head {
			t.Errorf("%s: got %+v at size %d, want %q at %d", row.name, answer, s.Ledger.Size(), row.want, size)
		}
		if same := bytes.Equal(before, snapshotOf(t, s.Ledger)); same != (row.want != "") {
			t.Errorf("%s: state unchanged: %t", row.name, same)
		}
		if row.isTick() {
			alone := s.Apply(row.tick) // where a command stands, a tick is a tick too
			if s.Ledger.Size() != size || s.Ledger.Head() != head {
				t.Errorf("%s: as a command it left a leaf: %+v", row.name, alone)
			}
		}
	}
}

// tickRow is one thing that stands among an entry's ticks, and what becomes of it.
type tickRow struct {
	name string
	tick []byte
	want fault.Code
}

func (r tickRow) isTick() bool {
	c, err := wire.ParseCosigned[registry.Command](r.tick, wire.MaxStatement)
	return err == nil && c.Claim.Type == registry.TypeTick
}

// forged returns a tick in the node's name that the node has not signed.
func forged(s standardRealm, node identity.ID) []byte {
	return s.Told(identity.NewSigner(node, s.a.Key()), s.Now+9)
}

// A command among the ticks has no effect: it would escape what commands must pass.
func TestCommandAmongTicks(t *testing.T) {
	s := several(t, 3)
	raw := s.Sign(s.Command(s.a.ID(), registry.TypeStatus, quarantine(s.worker.ID())), s.a)
	before := snapshotOf(t, s.Ledger)
	wantCode(t, s.Entry(ledger.Entry{Ticks: [][]byte{raw}}), fault.Malformed)
	if !bytes.Equal(before, snapshotOf(t, s.Ledger)) || status(t, s.World, s.worker.ID()).Check() != nil {
		t.Error("it changed the state")
	}
	wantCode(t, s.Apply(raw), "")
}

func TestManyTicks(t *testing.T) {
	s := several(t, 3)
	size := s.Ledger.Size()
	many := make([][]byte, wire.MaxCosigners)
	for i := range many {
		many[i] = s.Told(s.Nodes[i%3], s.Now+int64(i)+1)
	}
	answer := s.Entry(ledger.Entry{Ticks: many})
	wantCode(t, answer, "")
	if got := s.Ledger.Now(); got != s.Now+wire.MaxCosigners-1 || s.Ledger.Size() != size || answer.Time != got {
		t.Errorf("time %d, size %d, %+v", got-s.Now, s.Ledger.Size(), answer)
	}
	if told := result[registry.Tick](t, answer); told.Time != s.Now+wire.MaxCosigners || told.Feature != registry.Feature {
		t.Errorf("got %+v", told)
	}
	before := s.Ledger.Now()
	wantCode(t, s.Entry(ledger.Entry{Ticks: append(many, s.Told(s.Nodes[0], before+9))}), fault.TooLarge)
	if s.Ledger.Now() != before || s.Ledger.Size() != size+1 {
		t.Error("an entry with too many ticks was heard")
	}
}

// A tick leaves a leaf when it ends decisions; which of several it is, the deadline says.
func TestTickThatEndsADecision(t *testing.T) {
	s := several(t, 3)
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	size := s.Ledger.Size()
	ending := s.Told(s.Nodes[1], o.Deadline)
	answer := s.Entry(ledger.Entry{Ticks: [][]byte{
		s.Told(s.Nodes[0], o.Deadline+5), ending, s.Told(s.Nodes[2], o.Deadline+5),
	}})
	wantCode(t, answer, "")
	if s.Ledger.Size() != size+1 || answer.Index != size+1 || s.Ledger.Now() != o.Deadline+5 {
		t.Errorf("size %d after %d, %+v", s.Ledger.Size(), size, answer)
	}
	d, err := s.Ledger.Decision(o.Proposal)
	wantErr(t, err, "")
	c, err := wire.ParseCosigned[registry.Command](ending, wire.MaxStatement)
	wantErr(t, err, "")
	if d.Verdict.State != consensus.Expired || d.Decided.Index != size+1 || d.Decided.Command != c.ID(s.Realm) {
		t.Errorf("got %+v", d.Decided)
	}
	if d.Verdict.At != o.Deadline { // the second tick made a majority for exactly that
		t.Errorf("ended at %d, deadline %d", d.Verdict.At, o.Deadline)
	}
	if _, err := s.Ledger.Inclusion(d.Decided, s.Ledger.Size()); err != nil {
		t.Error(err)
	}
	if h := s.Ledger.Head(); h.Time != o.Deadline || h.Size != size+1 {
		t.Errorf("got %+v", h)
	}
	if again := s.Apply(ending); again.Code != fault.Superseded || s.Ledger.Size() != size+1 {
		t.Errorf("its answer was remembered: %+v", again)
	}
}

func TestFeatureLevel(t *testing.T) {
	w := ledgertest.New(t, standardPolicy(t), 3, 3)
	fresh, err := ledger.New(w.Realm, w.Genesis, w.Policy, nil)
	wantErr(t, err, "")
	w.Ledger = fresh
	tell := func(node int, level uint64) {
		t.Helper()
		w.Now++
		tick := w.Sign(w.Command(w.Nodes[node].ID(), registry.TypeTick, registry.Tick{Time: w.Now, Feature: level}), w.Nodes[node])
		wantCode(t, w.Apply(tick), "")
	}
	want := func(level uint64) {
		t.Helper()
		if got := fresh.Feature(); got != level {
			t.Fatalf("got %d, want %d", got, level)
		}
	}
	want(0)
	tell(0, 2)
	tell(1, 1)
	want(0) // the third has told nothing
	_, roster := w.Newcomer()
	refused := w.PutRoster(roster, w.Nodes...)
	wantCode(t, refused, fault.Version)
	if !bytes.Contains([]byte(refused.Message), []byte(w.Nodes[2].ID().String())) {
		t.Errorf("does not name node %s: %s", w.Nodes[2].ID(), refused.Message)
	}
	tell(2, 0)
	want(0)
	refused = w.PutRoster(roster, w.Nodes...)
	wantCode(t, refused, fault.Version)
	if !bytes.Contains([]byte(refused.Message), []byte(w.Nodes[2].ID().String())) {
		t.Errorf("does not name node %s: %s", w.Nodes[2].ID(), refused.Message)
	}
	wantCode(t, w.Do(w.Roots[0], registry.TypeStatus, quarantine(w.Roots[1].ID())), "") // all else is of level 0
	wantCode(t, w.Do(w.Roots[0], "dance", quarantine(w.Roots[1].ID())), fault.Version)
	tell(2, 1)
	want(1)
	wantCode(t, w.PutRoster(roster, w.Nodes...), "")
	tell(2, 0) // went back to an older build
	tell(1, 2)
	want(1)
	tell(2, 3)
	want(2)
	fresh = restored(t, w, fresh)
	want(2)
}

// What one old node held up goes on when the roots remove it.
func TestFeatureLevelAfterRemoval(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 3)
	w.Now++
	for _, node := range w.Nodes[:2] {
		w.Apply(w.Sign(w.Command(node.ID(), registry.TypeTick, registry.Tick{Time: w.Now, Feature: 7}), node))
	}
	if got := w.Ledger.Feature(); got != registry.Feature {
		t.Fatalf("got %d", got)
	}
	w.Remove(w.Nodes[2])
	if got := w.Ledger.Feature(); got != 7 {
		t.Errorf("got %d", got)
	}
}
