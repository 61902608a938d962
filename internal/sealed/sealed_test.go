package sealed_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/sealed"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	one = wire.Hash([]byte("one"))
	two = wire.Hash([]byte("two"))
)

func open(t *testing.T, dir string) *sealed.Store {
	t.Helper()
	s, err := sealed.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // closed by the test already, or here
	return s
}

func ballot(sequence uint64) sealed.Ballot {
	return sealed.Ballot{Sequence: sequence, Ballot: []byte("ballot"), Salt: []byte{byte(sequence)}, Commitment: []byte("hidden")}
}

func sequences(list []sealed.Ballot) []uint64 {
	var all []uint64
	for _, b := range list {
		all = append(all, b.Sequence)
	}
	return all
}

func TestBallotsOutliveTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "ballots")
	s := open(t, dir)
	for n := range uint64(2) {
		if err := s.Keep(one, ballot(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep(two, ballot(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	got := s.Of(one)
	if !slices.Equal(sequences(got), []uint64{1, 2}) || string(got[1].Ballot) != "ballot" || got[1].Salt[0] != 2 ||
		string(got[0].Commitment) != "hidden" {
		t.Fatalf("kept %+v", got)
	}
	if n := s.Next(one, 0); n < 3 {
		t.Errorf("next sequence after a restart is %d", n)
	}
	if ids := s.Decisions(); len(ids) != 2 || !slices.Contains(ids, two) {
		t.Errorf("decisions %v", ids)
	}
	for range 2 {
		if err := s.Drop(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir); len(s.Of(one)) != 0 || len(s.Of(two)) != 1 {
		t.Errorf("dropped: %v, left: %v", s.Of(one), s.Of(two))
	}
}

func TestSequencesRise(t *testing.T) {
	for name, s := range map[string]*sealed.Store{"disk": open(t, t.TempDir()+"/b"), "memory": sealed.InMemory()} {
		if err := s.Keep(one, ballot(5)); err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{4, 5} {
			if err := s.Keep(one, ballot(n)); !errors.Is(err, sealed.ErrSequence) {
				t.Errorf("%s: sequence %d after 5: %v", name, n, err)
			}
		}
		if n := s.Next(one, 1000); n <= 5 {
			t.Errorf("%s: next sequence after 5 is %d", name, n)
		}
		for n := uint64(6); n < 5+sealed.MostOfOne; n++ {
			if err := s.Keep(one, ballot(n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Keep(one, ballot(100)); !errors.Is(err, sealed.ErrMany) {
			t.Errorf("%s: one too many: %v", name, err)
		}
		if got := len(s.Of(one)); got != sealed.MostOfOne {
			t.Errorf("%s: %d ballots", name, got)
		}
	}
}

// Two stores of one agent never give one sequence, and the later one's is the greater.
func TestSequencesAreNobodyElses(t *testing.T) {
	const now, year = 1_800_000_000_000, 365 * 24 * 3600 * 1000
	a, b := open(t, t.TempDir()+"/b"), sealed.InMemory()
	if x, y := a.Next(one, now), b.Next(one, now+1000); x >= y {
		t.Errorf("a second later: %d, then %d", x, y)
	}
	if x, y := b.Next(one, now), a.Next(one, now+1000); x >= y {
		t.Errorf("a second later: %d, then %d", x, y)
	}
	if n := a.Next(one, now+100*year); n >= 1<<53 {
		t.Errorf("%d is more than JavaScript counts to", n)
	}
	seen := map[uint64]bool{}
	for range 50 {
		seen[a.Next(one, now)], seen[sealed.InMemory().Next(one, now)] = true, true
	}
	if len(seen) < 90 {
		t.Errorf("%d sequences of 100 stores", len(seen))
	}
	if err := a.Keep(one, ballot(1<<60)); err != nil {
		t.Fatal(err)
	}
	if n := a.Next(one, now); n != 1<<60+1 {
		t.Errorf("a clock that was put back gives %d after %d", n, 1<<60)
	}
}

func TestStoreIsHeldByOne(t *testing.T) {
	dir := t.TempDir() + "/b"
	s := open(t, dir)
	if _, err := sealed.Open(dir); !errors.Is(err, datadir.ErrInUse) {
		t.Fatalf("second holder: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// What was signed before must be known: a store that has lost a file's content signs nothing.
func TestADamagedFileIsRefused(t *testing.T) {
	dir := t.TempDir() + "/b"
	s := open(t, dir)
	if err := s.Keep(one, ballot(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, one.String()+".sealed")
	for _, content := range []string{"", "\xa0", "\xa1\x00\x01\x01", "\xa2\x00\x02\x01\x80"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := sealed.Open(dir); err == nil {
			t.Errorf("opened with a file %q", content)
			_ = s.Close()
		}
	}
	for name, content := range map[string]string{"notes.txt": "mine", "zz.sealed": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// TestTake has a store in memory go on in a directory once whoever held it has gone, with the ballots of both.
func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ballots")
	first, second := open(t, dir), sealed.InMemory()
	for _, k := range []struct {
		in       *sealed.Store
		decision wire.Digest
		sequence uint64
	}{{first, one, 2}, {first, one, 5}, {second, one, 3}, {second, two, 7}} {
		if err := k.in.Keep(k.decision, ballot(k.sequence)); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Take(dir); !errors.Is(err, datadir.ErrInUse) {
		t.Fatalf("while it is held: %v", err)
	}
	if got := sequences(second.Of(one)); !slices.Equal(got, []uint64{3}) {
		t.Errorf("after that: %v", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Take(dir); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := second.Take(other); !errors.Is(err, sealed.ErrKept) {
		t.Errorf("twice: %v", err)
	}
	if err := second.Keep(two, ballot(8)); err != nil {
		t.Error(err)
	}
	if err := second.Keep(one, ballot(4)); !errors.Is(err, sealed.ErrSequence) {
		t.Errorf("below what the other has signed: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, other).Close(); err != nil {
		t.Errorf("what was refused is held: %v", err)
	}
	third := open(t, dir)
	if a, b := sequences(third.Of(one)), sequences(third.Of(two)); !slices.Equal(a, []uint64{2, 3, 5}) || !slices.Equal(b, []uint64{7, 8}) {
		t.Errorf("on disk: %v, %v", a, b)
	}
}

// TestTakeKeepsTheNewest bounds what two processes have signed on one decision, and leaves a store in memory where the
// directory cannot be read.
func TestTakeKeepsTheNewest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ballots")
	first, second := open(t, dir), sealed.InMemory()
	for n := range uint64(sealed.MostOfOne) {
		if err := errors.Join(first.Keep(one, ballot(2*n+1)), second.Keep(one, ballot(2*n+2))); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, two.String()+".sealed")
	if err := os.WriteFile(damaged, []byte("noise"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Take(dir); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a damaged one: %v", err)
	}
	if got := second.Of(one); len(got) != sealed.MostOfOne || got[0].Sequence != 2 {
		t.Errorf("after that: %v", sequences(got))
	}
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
	if err := second.Take(dir); err != nil {
		t.Fatal(err)
	}
	if got := sequences(second.Of(one)); !slices.Equal(got, []uint64{9, 10, 11, 12, 13, 14, 15, 16}) {
		t.Errorf("of both: %v", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
