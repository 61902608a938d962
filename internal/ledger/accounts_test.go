package ledger_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// older is a realm below feature level 4 with something of most kinds in its state.
func older(t testing.TB) standardRealm {
	t.Helper()
	w := ledgertest.NewAt(t, standardPolicy(t), 3, 1, registry.TrustFeature-1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	o := s.Propose(s.worker, s.a.ID(), "file.write")
	wantCode(t, s.Cast(s.reviewer, o, consensus.Approve), fault.Spent)
	s.Must(s.b, registry.TypeLevel, setLevel(s.auditor.ID(), identity.Observer))
	s.Must(s.b, registry.TypeStatus, quarantine(s.auditor.ID()))
	s.reviewer = s.Rotate(s.reviewer)
	s.Tick(2 * minute)
	return s
}

// Below feature level 4 a snapshot is, byte for byte, what builds before it have written: this is the hash that one of them
// printed for the same commands. Nodes of both builds can hand each other snapshots.
func TestOlderRealmsHaveTheirSnapshots(t *testing.T) {
	s := older(t)
	snapshot, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	const want = "53f779285cd25e3f874dc0dd3ef3dc22c214b31b931c5986d1c2a5f46a41ac35"
	if sum := wire.Hash(snapshot); len(snapshot) != 9836 || hex.EncodeToString(sum[:]) != want {
		t.Errorf("%d bytes, %x", len(snapshot), sum)
	}
	agree(t, s.World, 2)
}

// A realm crosses to feature level 4 once, opens an account for each agent then, and goes on from a snapshot of either side.
func TestCrossing(t *testing.T) {
	s := older(t)
	before, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	from := len(s.Entries)
	s.Feature = registry.TrustFeature
	s.Tick(minute)
	wantCode(t, s.Tell(s.honest(), s.reviewer, s.c), "")
	s.Tick(day)
	replica, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
	wantErr(t, err, "")
	wantErr(t, replica.Restore(before), "")
	for i, entry := range s.Entries[from:] {
		replica.Apply(uint64(i), entry)
		replica = restored(t, s.World, replica)
	}
	got, err := replica.Snapshot()
	wantErr(t, err, "")
	want, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	if !bytes.Equal(got, want) {
		t.Error("a replica that crossed from a snapshot came to another state")
	}
	ranks, err := s.Ledger.Ranking()
	wantErr(t, err, "")
	if len(ranks) != 3 {
		t.Errorf("%d accounts", len(ranks))
	}
	agree(t, s.World, 2)
}

// reckoned is a realm with evidence of every kind, a child, and a fall.
func reckoned(t testing.TB) standardRealm {
	t.Helper()
	s := standard(t)
	s.child(s.a, s.worker.ID(), identity.Observer)
	s.works(t, s.worker.ID(), 3, true)
	for _, e := range s.opinions() {
		wantCode(t, s.HandIn(s.b, s.Sign(e, s.b), s.a, s.c), "")
	}
	wantCode(t, s.made(s.c, s.auditor.ID(), "model 1"), "")
	return s
}

// opinions returns evidence by the person b, one of each act that needs no attester.
func (s standardRealm) opinions() []trust.Evidence {
	var all []trust.Evidence
	for _, act := range []trust.Act{trust.Rating, trust.Violation, trust.Alarm, trust.Endorsement, trust.Pardon} {
		e := s.Evidence(act, s.worker.ID(), s.b.ID())
		switch act {
		case trust.Rating, trust.Alarm:
			e.Value = 400
		case trust.Violation:
			e.Severity = 2
		default:
			e.Amount = trust.Unit
		}
		all = append(all, e)
	}
	return all
}

func TestSnapshotsKeepTheBook(t *testing.T) {
	s := reckoned(t)
	want := scored(t, s.World, s.worker.ID())
	s.Ledger = restored(t, s.World, s.Ledger)
	got := scored(t, s.World, s.worker.ID())
	if got.Scores != want.Scores || got.Throttle != want.Throttle || len(got.Children) != 1 || len(got.Account.Traces) != len(want.Account.Traces) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, every := range []int{1, 5, 1000} {
		agree(t, s.World, every)
	}
}

// A snapshot whose accounts do not fit its members is refused.
func TestSnapshotsWithOtherAccounts(t *testing.T) {
	s := reckoned(t)
	snapshot, err := s.Ledger.Snapshot()
	wantErr(t, err, "")
	all := recordsOf(t, snapshot)
	kindOf := func(kind byte) int {
		return slices.IndexFunc(all, func(r []byte) bool { return r[0] == kind })
	}
	for _, row := range []struct {
		name   string
		change func(list [][]byte) [][]byte
		want   fault.Code
	}{
		{"as it was", func(list [][]byte) [][]byte { return list }, ""},
		{"an account less", func(list [][]byte) [][]byte { return slices.Delete(list, kindOf('b'), kindOf('b')+1) }, fault.Malformed},
		{"an account twice", func(list [][]byte) [][]byte {
			return slices.Insert(list, kindOf('b'), list[kindOf('b')])
		}, fault.Malformed},
		{"evidence twice", func(list [][]byte) [][]byte {
			return slices.Insert(list, kindOf('e'), list[kindOf('e')])
		}, fault.Malformed},
		{"an account cut off", func(list [][]byte) [][]byte {
			r := slices.Clone(list[kindOf('b')])
			r[4]--
			list[kindOf('b')] = r[:len(r)-1]
			return list
		}, fault.Malformed},
		{"format 4", func(list [][]byte) [][]byte {
			i := bytes.IndexByte(list[0], 5)
			for list[0][i-1] != 1 { // label 1
				i += 1 + bytes.IndexByte(list[0][i+1:], 5)
			}
			r := slices.Clone(list[0])
			r[i] = 4
			list[0] = r
			return list
		}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			changed := bytes.Join(row.change(slices.Clone(all)), nil)
			sum := wire.Hash(changed)
			l, err := ledger.New(s.Realm, s.Genesis, s.Policy, nil)
			wantErr(t, err, "")
			wantErr(t, l.Restore(append(changed, sum[:]...)), row.want)
		})
	}
}

// recordsOf splits a snapshot.
func recordsOf(t testing.TB, snapshot []byte) (list [][]byte) {
	t.Helper()
	for rest := snapshot[:len(snapshot)-len(wire.Digest{})]; len(rest) > 0; {
		n := 5 + int(rest[1])<<24 + int(rest[2])<<16 + int(rest[3])<<8 + int(rest[4])
		list, rest = append(list, rest[:n]), rest[n:]
	}
	return list
}
