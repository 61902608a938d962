package ledger_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// walk gives a realm random commands, most of them sensible.
type walk struct {
	standardRealm
	random *rand.Rand
	agents []identity.Signer
	people []identity.Signer
	open   []consensus.Opening
	hidden []ledgertest.Sealed
	past   [][]byte
}

func pick[T any](w *walk, list []T) T { return list[w.random.IntN(len(list))] }

func (w *walk) step(n int) {
	agent, person := w.random.IntN(len(w.agents)), w.random.IntN(len(w.people))
	a, p := w.agents[agent], w.people[person]
	switch w.random.IntN(17) {
	case 0:
		w.Tick(w.random.Int64N(10 * minute))
	case 1:
		token, once := w.Invite(p, w.Token(p.ID(), fmt.Sprintf("agent-%d", n), identity.Level(w.random.IntN(3))))
		fresh := w.Signer(identity.Agent)
		if w.Do(fresh, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(fresh, token, once)}).Code == "" {
			w.agents = append(w.agents, fresh)
		}
	case 2:
		o := w.Signer(identity.Operator)
		body := registry.AddOperator{Operator: o.ID(), Name: fmt.Sprintf("operator-%d", n)}
		if w.Do(p, registry.TypeOperator, body, pick(w, w.people)).Code == "" {
			w.people = append(w.people, o)
		}
	case 3:
		status := trust.Status(w.random.IntN(4))
		w.Do(p, registry.TypeStatus, registry.SetStatus{Principal: a.ID(), Status: status}, pick(w, w.people))
	case 4:
		w.Do(p, registry.TypeLevel, setLevel(a.ID(), identity.Level(w.random.IntN(7))), pick(w, w.people))
	case 5:
		key := w.Key()
		if w.Do(a, registry.TypeSucceed, registry.Succeed{Succession: w.Succession(a, key)}).Code == "" {
			w.agents[agent] = identity.NewSigner(a.ID(), key)
		}
	case 6, 7:
		proposal := w.Proposal(a.ID(), a.ID(), pick(w, []string{"db.read", "process.exec", "db.migrate", "weapon.fire", "service.stop"}))
		proposal.Emergency = w.random.IntN(4) == 0
		if w.random.IntN(4) == 0 {
			gains(pick(w, w.people).ID())(&proposal)
		}
		answer := w.Do(a, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(proposal, a.Key())})
		if o, err := registry.Result[consensus.Opening](answer); err == nil {
			w.open = append(w.open, o)
		}
	case 8, 9, 10, 11:
		if len(w.open) > 0 {
			w.decide(a, p)
		}
	case 12:
		w.Apply(pick(w, w.past)) // again
	case 13:
		w.Do(a, registry.TypeCard, w.card(a, w.random.Uint64N(5)+1, "review.code"))
	case 14, 15:
		w.tell()
	case 16:
		w.reseat()
	}
}

// tell has some nodes tell some times, late and early, twice, and beside a command.
func (w *walk) tell() {
	var e ledger.Entry
	for range w.random.IntN(4) {
		e.Ticks = append(e.Ticks, w.Told(pick(w, w.World.Nodes), w.Now+w.random.Int64N(20_000)-10_000))
	}
	e.Ticks = append(e.Ticks, []byte("no tick"))
	if w.random.IntN(2) == 0 {
		e.Command = pick(w, w.past)
	}
	w.Entry(e)
}

// reseat changes the roster: one joins, all that join count, or one leaves.
func (w *walk) reseat() {
	w.Tick(1)
	switch {
	case len(w.Joining) > 0 && w.random.IntN(2) == 0:
		w.Promote()
	case len(w.World.Nodes)+len(w.Joining) < 5:
		w.Admit()
	case len(w.World.Nodes) > 1:
		w.Remove(pick(w, w.World.Nodes))
	}
}

func (w *walk) decide(a, p identity.Signer) {
	o := w.open[max(0, len(w.open)-1-w.random.IntN(3))]
	switch w.random.IntN(8) {
	case 0:
		w.Cast(a, o, consensus.Vote(w.random.IntN(4)+1))
	case 4, 5:
		hidden := w.numbered(a, o, consensus.Vote(w.random.IntN(3)+1), w.random.Uint64N(3)+1)
		if w.Commit(a, o, hidden).Code == "" {
			w.hidden = append(w.hidden, hidden)
		}
	case 6:
		if len(w.hidden) > 0 {
			w.Reveal(pick(w, w.hidden))
		}
	case 7:
		if w.random.IntN(4) == 0 {
			first, second := w.evidence(a, o)
			w.Equivocate(p, o, first, second)
		}
	case 1, 2:
		w.Cast(p, o, consensus.Approve)
	case 3:
		for _, executor := range w.agents {
			if w.Do(executor, registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store}).Code == "" {
				w.Do(executor, registry.TypeReport, registry.Report{Proposal: o.Proposal, OK: w.random.IntN(2) == 0})
			}
		}
	}
}

// The same commands lead to the same state, wherever a replica was stopped and restored.
func TestReplicasAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := standard(t)
	w := &walk{standardRealm: s, random: rand.New(rand.NewPCG(seed, 1)), agents: []identity.Signer{s.worker, s.reviewer, s.auditor},
		people: []identity.Signer{s.a, s.b, s.c}}
	for _, raw := range s.Entries {
		var e ledger.Entry
		wantErr(t, wire.Decode(raw, &e), "")
		w.past = append(w.past, e.Command)
	}
	for n := range 250 {
		w.step(n)
	}
	accepted := 0
	kinds := map[registry.Type]int{}
	replica, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
	wantErr(t, err, "")
	for i, entry := range w.Entries {
		answer, err := ledger.ParseAnswer(replica.Apply(uint64(i), entry))
		wantErr(t, err, "")
		if answer.Code == "" {
			accepted++
			kinds[typeOf(entry)]++
		}
		if w.random.IntN(5) == 0 {
			replica = restored(t, s.World, replica)
		}
	}
	if got, want := replica.Head(), s.Ledger.Head(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got, err := replica.Snapshot()
	wantErr(t, err, "")
	want, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	if !bytes.Equal(got, want) {
		t.Error("snapshots differ")
	}
	t.Logf("accepted: %v", kinds)
	if accepted < len(w.Entries)/10 {
		t.Errorf("only %d of %d commands accepted: the walk tests little", accepted, len(w.Entries))
	}
}

// typeOf returns the type of an entry's command, if it has one.
func typeOf(entry []byte) registry.Type {
	var e ledger.Entry
	if wire.Decode(entry, &e) != nil {
		return ""
	}
	c, err := wire.ParseCosigned[registry.Command](e.Command, wire.MaxStatement)
	if err != nil {
		return ""
	}
	return c.Claim.Type
}

// restored returns a new ledger with the state of another.
func restored(t testing.TB, w *ledgertest.World, l *ledger.Ledger) *ledger.Ledger {
	t.Helper()
	snapshot, err := l.Snapshot()
	wantErr(t, err, "")
	fresh, err := ledger.New(w.Realm, w.Genesis, w.Policy, nil)
	wantErr(t, err, "")
	wantErr(t, fresh.Restore(snapshot), "")
	again, err := fresh.Snapshot()
	wantErr(t, err, "")
	if !bytes.Equal(again, snapshot) {
		t.Fatal("a restored ledger has another snapshot")
	}
	return fresh
}

// full is a realm with something of every kind in its state.
func full(t testing.TB) standardRealm {
	t.Helper()
	s := standard(t)
	s.Must(s.worker, registry.TypeCard, s.card(s.worker, 1, "review.code"))
	s.a = s.Rotate(s.a)
	s.Operator("new", s.a, s.b)
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Cast(s.b, o, consensus.Approve)
	wantCode(t, s.Commit(s.reviewer, o, s.sealed(s.reviewer, o, consensus.Approve)), "")
	first, second := s.evidence(s.auditor, o)
	wantCode(t, s.Equivocate(s.worker, o, first, second), "")
	wantCode(t, s.Consume(s.worker, s.Propose(s.worker, s.worker.ID(), "db.read")), "")
	return s
}

// Equal states have equal snapshots, whatever order a map gives.
func TestSnapshotsAreEqual(t *testing.T) {
	s := full(t)
	for _, author := range []identity.Signer{s.a, s.b, s.c, s.worker, s.reviewer} {
		c := s.Command(author.ID(), registry.TypeEpoch, registry.RaiseEpoch{Principal: author.ID(), Epoch: 9})
		c.Nonce = [16]byte{1}
		wantCode(t, s.Apply(s.Sign(c, author)), "")
	}
	want, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	for range 10 {
		got, err := s.Ledger.Snapshot()
		wantErr(t, err, "")
		if !bytes.Equal(got, want) {
			t.Fatal("two snapshots of one state differ")
		}
	}
}

// What is over is forgotten: tokens and answers do not pile up.
func TestSweep(t *testing.T) {
	s := full(t)
	count := func(kind byte) (n int) {
		snapshot, err := s.Ledger.Snapshot()
		wantErr(t, err, "")
		resealed(snapshot, func(records [][]byte) [][]byte {
			for _, r := range records {
				if r[0] == kind {
					n++
				}
			}
			return records
		})
		return n
	}
	if tokens, answers := count('t'), count('a'); tokens != 3 || answers < 10 {
		t.Errorf("%d tokens, %d answers", tokens, answers)
	}
	s.Tick(60 * minute)
	if tokens, answers := count('t'), count('a'); tokens != 0 || answers != 0 {
		t.Errorf("%d tokens, %d answers", tokens, answers)
	}
}

func TestRestoredLedgerGoesOn(t *testing.T) {
	s := full(t)
	o := s.Propose(s.worker, s.worker.ID(), "process.exec")
	s.Ledger = restored(t, s.World, s.Ledger)
	s.Cast(s.b, o, consensus.Approve)
	s.Cast(s.c, o, consensus.Approve)
	if d, err := s.Ledger.Decision(o.Proposal); err != nil || d.Verdict.State != consensus.Approved {
		t.Errorf("got %+v, %v", d.Verdict, err)
	}
	s.Tick(24 * 60 * minute)
	if got := s.Ledger.NextDeadline(); got != 0 {
		t.Errorf("a decision is open until %d", got)
	}
}

func TestSpoiltSnapshotsAreRefused(t *testing.T) {
	s := full(t)
	snapshot, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	target, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
	wantErr(t, err, "")
	target.Apply(1, s.Entries[0])
	head := target.Head()
	refused := func(what string, spoilt []byte, want fault.Code) {
		t.Helper()
		wantErr(t, target.Restore(spoilt), want)
		if target.Head() != head || len(target.Members()) != 3 {
			t.Fatalf("%s: the state changed", what)
		}
	}
	for cut := 0; cut < len(snapshot); cut += 1 + cut%97 {
		refused(fmt.Sprint("cut at ", cut), snapshot[:cut], fault.Malformed)
	}
	for i := 0; i < len(snapshot); i += 1 + i%61 {
		spoilt := slices.Clone(snapshot)
		spoilt[i] ^= 0x10
		refused(fmt.Sprint("flipped at ", i), spoilt, fault.Malformed)
	}
	refused("longer", append(slices.Clone(snapshot), 0), fault.Malformed)
	stranger := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	other, err := stranger.Ledger.Snapshot()
	wantErr(t, err, "")
	refused("another realm's", other, fault.Malformed)
	wantErr(t, target.Restore(snapshot), "")
}

// resealed returns the snapshot with its records changed and a checksum that fits.
func resealed(snapshot []byte, change func(records [][]byte) [][]byte) []byte {
	body := snapshot[:len(snapshot)-32]
	var records [][]byte
	for len(body) > 0 {
		n := 5 + int(body[1])<<24 + int(body[2])<<16 + int(body[3])<<8 + int(body[4])
		records = append(records, slices.Clone(body[:n]))
		body = body[n:]
	}
	joined := bytes.Join(change(records), nil)
	sum := wire.Hash(joined)
	return append(joined, sum[:]...)
}

// Not even with a fitting checksum does a snapshot pass that no ledger wrote.
func TestForgedSnapshotsAreRefused(t *testing.T) {
	s := full(t)
	snapshot, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	wantErr(t, s.Ledger.Restore(resealed(snapshot, func(r [][]byte) [][]byte { return r })), "")
	first := func(records [][]byte, kind byte) int {
		return slices.IndexFunc(records, func(r []byte) bool { return r[0] == kind })
	}
	for name, change := range map[string]func([][]byte) [][]byte{
		"no header":      func(r [][]byte) [][]byte { return r[1:] },
		"two headers":    func(r [][]byte) [][]byte { return append(r[:1:1], r...) },
		"no leaves":      func(r [][]byte) [][]byte { return r[:len(r)-1] },
		"doubled member": func(r [][]byte) [][]byte { return slices.Insert(r, 1, r[1]) },
		"unsorted":       func(r [][]byte) [][]byte { r[1], r[2] = r[2], r[1]; return r },
		"unknown record": func(r [][]byte) [][]byte { return append(r, []byte{'x', 0, 0, 0, 0}) },
		"short record":   func(r [][]byte) [][]byte { return append(r, []byte{'m', 0, 0}) },
		"record past the end": func(r [][]byte) [][]byte {
			return append(r, []byte{'m', 0, 0, 0, 9, 0})
		},
		"open decision missing": func(r [][]byte) [][]byte { i := first(r, 'd'); return slices.Delete(r, i, i+2) },
		"another number of open decisions": func(r [][]byte) [][]byte {
			r[0] = rewritten(t, r[0], func(h *header) { h.Open++ })
			return r
		},
		"use missing from behind its decision": func(r [][]byte) [][]byte {
			i := first(r, 'u')
			return append(append(r[:i:i], r[i+1:]...), r[i])
		},
		"use of no decision": func(r [][]byte) [][]byte {
			i := first(r, 'u')
			r[i] = rewritten(t, r[i], func(u *ledger.Use) { u.Consumption.Proposal = wire.Digest{1} })
			return r
		},
		"spoilt use": func(r [][]byte) [][]byte { r[first(r, 'u')][5] ^= 1; return r },
		"half a leaf": func(r [][]byte) [][]byte {
			last := r[len(r)-1]
			last = last[:len(last)-16]
			last[4] -= 16
			return append(r[:len(r)-1], last)
		},
		"changed leaf":    func(r [][]byte) [][]byte { r[len(r)-1][5] ^= 1; return r },
		"spoilt member":   func(r [][]byte) [][]byte { r[first(r, 'm')][5] ^= 1; return r },
		"spoilt token":    func(r [][]byte) [][]byte { r[first(r, 't')][5] ^= 1; return r },
		"spoilt decision": func(r [][]byte) [][]byte { r[first(r, 'd')][5] ^= 1; return r },
		"spoilt answer":   func(r [][]byte) [][]byte { r[first(r, 'a')][5] ^= 1; return r },
		"spoilt header":   func(r [][]byte) [][]byte { r[0][5] ^= 1; return r },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, s.Ledger.Restore(resealed(snapshot, change)), fault.Malformed) })
	}
	t.Run("another format", func(t *testing.T) {
		wantErr(t, s.Ledger.Restore(resealed(snapshot, func(r [][]byte) [][]byte { r[0][7] = 1; return r })), fault.Malformed)
	})
}

// FuzzRestore holds: no snapshot panics, and what is taken is written again as it was read.
func FuzzRestore(f *testing.F) {
	s := full(f)
	snapshot, err := s.Ledger.Snapshot()
	wantErr(f, err, "")
	f.Add(snapshot[:len(snapshot)-32])
	f.Add([]byte("h"))
	f.Fuzz(func(t *testing.T, records []byte) {
		l, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
		wantErr(t, err, "")
		sum := wire.Hash(records)
		sealed := append(slices.Clone(records), sum[:]...)
		if l.Restore(sealed) != nil {
			return
		}
		if again, err := l.Snapshot(); err != nil || !bytes.Equal(again, sealed) {
			t.Fatalf("read %x, written %x (%v)", sealed, again, err)
		}
	})
}

// header and clock are what the snapshot's records of these kinds hold.
type header struct {
	Format  uint64      `cbor:"1,keyasint"`
	Realm   wire.Realm  `cbor:"2,keyasint"`
	Now     int64       `cbor:"3,keyasint"`
	Chain   wire.Digest `cbor:"4,keyasint"`
	SweepAt int64       `cbor:"5,keyasint"`
	Head    int64       `cbor:"7,keyasint"`
	Feature uint64      `cbor:"8,keyasint"`
	Open    uint64      `cbor:"9,keyasint"`
	Since   int64       `cbor:"10,keyasint,omitempty"`
}

type clock struct {
	Node    identity.ID `cbor:"1,keyasint"`
	Time    int64       `cbor:"2,keyasint"`
	Feature uint64      `cbor:"3,keyasint,omitempty"`
}

// rewritten returns the record with its content changed.
func rewritten[T any](t testing.TB, record []byte, change func(*T)) []byte {
	t.Helper()
	var v T
	wantErr(t, wire.Decode(record[5:], &v), "")
	change(&v)
	return sealedRecord(record[0], mustEncode(t, v))
}

func sealedRecord(kind byte, body []byte) []byte {
	n := len(body)
	return append([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// Who the nodes are, and what time they told, must fit together in a snapshot.
func TestForgedRostersAndClocksAreRefused(t *testing.T) {
	s := several(t, 3)
	s.Admit()
	s.Admit()
	s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[1], s.Now+5), s.Told(s.Nodes[2], s.Now+5)}})
	snapshot, stranger := snapshotOf(t, s.Ledger), s.Signer(identity.Node)
	_, wrong := s.Newcomer()
	first := func(records [][]byte, kind byte) int {
		return slices.IndexFunc(records, func(r []byte) bool { return r[0] == kind })
	}
	head := func(change func(*header)) func([][]byte) [][]byte {
		return func(r [][]byte) [][]byte { r[0] = rewritten(t, r[0], change); return r }
	}
	told := func(change func(*clock)) func([][]byte) [][]byte {
		return func(r [][]byte) [][]byte { i := first(r, 'c'); r[i] = rewritten(t, r[i], change); return r }
	}
	for _, row := range []struct {
		name   string
		change func(r [][]byte) [][]byte
		ok     bool
	}{
		{"honest", func(r [][]byte) [][]byte { return r }, true},
		{"rewritten as it was", head(func(*header) {}), true},
		{"another time at the newest leaf", head(func(h *header) { h.Head-- }), true}, // only the log knows better
		{"no later time at the newest leaf than log time", head(func(h *header) { h.Head = h.Now + 1 }), false},
		{"without the last roster", func(r [][]byte) [][]byte { i := first(r, 'r'); return slices.Delete(r, i+1, i+2) }, true},
		{"without the first roster", func(r [][]byte) [][]byte { i := first(r, 'r'); return slices.Delete(r, i, i+1) }, false},
		{"rosters in the wrong order", func(r [][]byte) [][]byte { i := first(r, 'r'); r[i], r[i+1] = r[i+1], r[i]; return r }, false},
		{"a roster twice", func(r [][]byte) [][]byte { i := first(r, 'r'); return slices.Insert(r, i, r[i]) }, false},
		{"a roster that nobody signed", func(r [][]byte) [][]byte {
			return slices.Insert(r, first(r, 'c'), sealedRecord('r', s.Sign(wrong, stranger)))
		}, false},
		{"a stranger's clock", told(func(c *clock) { c.Node = stranger.ID() }), false},
		{"the clock of one that joins", told(func(c *clock) { c.Node = s.Joining[0].ID() }), false},
		{"a clock before the beginning", told(func(c *clock) { c.Time = 0 }), false},
		{"a clock after the year 9999", told(func(c *clock) { c.Time = 253_402_300_800_000 }), false},
		{"a clock twice", func(r [][]byte) [][]byte { i := first(r, 'c'); return slices.Insert(r, i, r[i]) }, false},
		{"clocks in the wrong order", func(r [][]byte) [][]byte { i := first(r, 'c'); r[i], r[i+1] = r[i+1], r[i]; return r }, false},
		{"spoilt clock", func(r [][]byte) [][]byte { r[first(r, 'c')][5] ^= 1; return r }, false},
		{"spoilt roster", func(r [][]byte) [][]byte { r[first(r, 'r')][9] ^= 1; return r }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			want := fault.Malformed
			if row.ok {
				want = ""
			}
			l, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
			wantErr(t, err, "")
			wantErr(t, l.Restore(resealed(snapshot, row.change)), want)
		})
	}
	empty, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
	wantErr(t, err, "")
	nothing := snapshotOf(t, empty)
	wantErr(t, empty.Restore(nothing), "")
	forged := head(func(h *header) { h.Now, h.Head = 2, 1 })
	wantErr(t, empty.Restore(resealed(nothing, forged)), fault.Malformed) // a time at a leaf that is not there
}

// What a restored ledger says of nodes, times and rosters is what the one before said, and it goes on alike.
func TestRestoredNodes(t *testing.T) {
	s := several(t, 3)
	s.Grow(2)
	s.Entry(ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[1], s.Now+50), s.Told(s.Nodes[4], s.Now+70)}})
	again := restored(t, s.World, s.Ledger)
	for _, n := range s.Nodes {
		got, ok := again.Told(n.ID())
		if want, known := s.Ledger.Told(n.ID()); got != want || ok != known {
			t.Errorf("got %d, %t, want %d, %t", got, ok, want, known)
		}
	}
	a, b := again.Authority(), s.Ledger.Authority()
	if a.Number != b.Number || a.Latest() != b.Latest() || !slices.Equal(a.Nodes, b.Nodes) || a.Majority() != 3 {
		t.Errorf("got %+v, want %+v", a, b)
	}
	if len(again.Rosters()) != 3 || again.Feature() != registry.Feature || again.Now() != s.Ledger.Now() || again.Head() != s.Ledger.Head() {
		t.Errorf("%d rosters, feature %d, time %d, %+v", len(again.Rosters()), again.Feature(), again.Now(), again.Head())
	}
	entry := mustEncode(t, ledger.Entry{Ticks: [][]byte{s.Told(s.Nodes[0], s.Now+60)}})
	s.Ledger.Apply(1, entry)
	again.Apply(1, entry)
	if again.Now() != s.Now+50 || !bytes.Equal(snapshotOf(t, again), snapshotOf(t, s.Ledger)) {
		t.Errorf("time %d", again.Now()-s.Now)
	}
}
