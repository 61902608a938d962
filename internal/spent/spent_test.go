package spent_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func open(t *testing.T, dir string) *spent.Store {
	t.Helper()
	s, err := spent.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // closed by the test already, or here
	return s
}

func TestOneDecisionIsStartedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	decision := spent.Use{Decision: wire.Hash([]byte("decision"))}
	s := open(t, dir)
	id := s.ID()
	if err := s.Start(decision, 0); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("start before claim: %v", err)
	}
	for range 2 {
		if err := s.Claim(decision, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(decision, true, ""); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("finish before start: %v", err)
	}
	if err := s.Start(decision, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if s.ID() != id {
		t.Fatal("the store changed its name")
	}
	if err := s.Start(decision, 0); !errors.Is(err, spent.ErrStarted) {
		t.Fatalf("second start after a restart: %v", err)
	}
	left, err := s.Unsettled()
	if err != nil || len(left) != 1 || left[decision].State != spent.Started {
		t.Fatalf("unsettled: %v %v", left, err)
	}
	if err := s.Finish(decision, true, "exit 0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reported(decision); err != nil {
		t.Fatal(err)
	}
	if left, err = s.Unsettled(); err != nil || len(left) != 0 {
		t.Fatalf("unsettled after the report: %v %v", left, err)
	}
	if err := s.Claim(decision, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(decision, 0); !errors.Is(err, spent.ErrStarted) {
		t.Fatalf("start of a finished decision: %v", err)
	}
}

func TestStoreIsHeldByOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir)
	if _, err := spent.Open(dir); !errors.Is(err, datadir.ErrInUse) {
		t.Fatalf("second holder: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// What was allowed to a store, no copy of it may do: not beside it, not instead of it.
func TestACopyHasANameOfItsOwn(t *testing.T) {
	home := t.TempDir()
	dir, copied, moved := filepath.Join(home, "store"), filepath.Join(home, "copy"), filepath.Join(home, "moved")
	s := open(t, dir)
	id, begun := s.ID(), spent.Use{Decision: wire.Hash([]byte("begun"))}
	if born, err := datadir.BirthOf(filepath.Join(dir, "store.id")); err != nil {
		t.Fatal(err)
	} else if born == (datadir.Birth{}) {
		if os.Getenv("CI") != "" {
			t.Fatal("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
		}
		t.Skip("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
	}
	for _, step := range []error{
		s.Claim(begun, nil), s.Start(begun, 0), s.Close(), copyStore(dir, copied), os.Rename(dir, moved),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	other := open(t, copied)
	if other.ID() == id {
		t.Error("a copy has the name of the store")
	}
	if err := other.Start(begun, 0); !errors.Is(err, spent.ErrStarted) {
		t.Errorf("a copy has forgotten what was begun: %v", err)
	}
	own := other.ID()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, copied).ID(); again != own {
		t.Error("a copy changed its name again")
	}
	if open(t, moved).ID() != id {
		t.Error("the store has lost its name by being moved")
	}
}

func copyStore(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*"))
	err = errors.Join(err, os.Mkdir(to, 0o700))
	for _, f := range files {
		raw, failure := os.ReadFile(f)
		err = errors.Join(err, failure, os.WriteFile(filepath.Join(to, filepath.Base(f)), raw, 0o600))
	}
	return err
}

// A store from before births were noted keeps its name, and its copies get names of their own from then on.
func TestAStoreFromBeforeBirthsKeepsItsName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir)
	id := s.ID()
	for range 2 {
		if err := errors.Join(s.Close(), os.Remove(filepath.Join(dir, "store.birth"))); err != nil {
			t.Fatal(err)
		}
		if s = open(t, dir); s.ID() != id {
			t.Fatal("the store changed its name")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "store.birth"), []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir); s.ID() == id {
		t.Error("the birth of another file is taken for its own")
	}
}

func TestDamagedRecordIsNoPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	decision := spent.Use{Decision: wire.Hash([]byte("decision"))}
	s := open(t, dir)
	if err := s.Claim(decision, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, decision.Decision.String()+".spent")
	for _, content := range []string{"", "\xa0", "\xa1\x01\x07", "\xa2\x00\x02\x01\x01"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(decision, 0); err == nil {
			t.Fatalf("started on a record %q", content)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "store.id"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := spent.Open(dir); err == nil {
		t.Fatal("a store without a name was opened")
	}
}

func TestForfeitedDecisionsAreNeverBegun(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"))
	lost, begun := spent.Use{Decision: wire.Hash([]byte("lost"))}, spent.Use{Decision: wire.Hash([]byte("begun"))}
	if err := s.Forfeit(lost); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("forfeit before claim: %v", err)
	}
	for _, step := range []error{s.Claim(lost, nil), s.Forfeit(lost), s.Claim(lost, nil), s.Claim(begun, nil), s.Start(begun, 0)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := s.Start(lost, 0); !errors.Is(err, spent.ErrStarted) {
		t.Errorf("start after forfeit: %v", err)
	}
	if err := s.Forfeit(begun); !errors.Is(err, spent.ErrOrder) {
		t.Errorf("forfeit after start: %v", err)
	}
	left, err := s.Unsettled()
	if _, ours := left[lost]; err != nil || ours || len(left) != 1 {
		t.Errorf("unsettled: %v %v", left, err)
	}
}

// Each use of a permit goes its own way; the decision itself is none of them.
func TestUsesOfAPermitAreApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	permit := wire.Hash([]byte("permit"))
	first, second := spent.Use{Decision: permit, Nonce: [16]byte{1}}, spent.Use{Decision: permit, Nonce: [16]byte{2}}
	s := open(t, dir)
	for _, step := range []error{
		s.Claim(first, []byte("command")), s.Claim(second, []byte("old")), s.Claim(second, []byte("new")), s.Start(first, 7),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if r, err := s.Record(second); err != nil || r.State != spent.Claimed || string(r.Command) != "new" {
		t.Errorf("claimed twice: %+v %v", r, err)
	}
	if err := s.Claim(first, []byte("again")); err != nil {
		t.Error(err)
	}
	if r, err := s.Record(first); err != nil || r.State != spent.Started || r.Number != 7 {
		t.Errorf("begun and claimed: %+v %v", r, err)
	}
	if err := s.Start(first, 8); !errors.Is(err, spent.ErrStarted) {
		t.Errorf("second start: %v", err)
	}
	if err := s.Start(second, 7); !errors.Is(err, spent.ErrNumber) {
		t.Errorf("a number given twice: %v", err)
	}
	if r, err := s.Record(second); err != nil || r.State != spent.Claimed {
		t.Errorf("refused, and yet %+v %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, permit.String()+".8.use"), second.Nonce[:], 0o600); err != nil {
		t.Fatal(err) // as a crash leaves it that comes before the record is written
	}
	if err := s.Start(second, 8); err != nil {
		t.Errorf("a number of its own: %v", err)
	}
	if err := errors.Join(s.Finish(second, true, ""), s.Reported(second)); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Record(spent.Use{Decision: permit}); err != nil || r.State != 0 {
		t.Errorf("the permit itself: %+v %v", r, err)
	}
	for range 2 {
		left, err := s.Unsettled()
		if err != nil || len(left) != 1 || left[first].Number != 7 {
			t.Fatalf("unsettled: %v %v", left, err)
		}
		if r, err := s.Record(first); r.State == spent.Started && err == nil {
			err = s.Finish(first, false, "exit 1")
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Reported(first); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Unsettled(); err != nil || len(left) != 0 {
		t.Errorf("unsettled after the report: %v %v", left, err)
	}
}

// What was spent before there were permits stays spent.
func TestRecordsFromBeforeThereWerePermits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir)
	old := spent.Use{Decision: wire.Hash([]byte("old"))}
	path := filepath.Join(dir, old.Decision.String()+".spent")
	if err := os.WriteFile(path, []byte("\xa2\x01\x03\x02\xf5"), 0o600); err != nil { // finished, well
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, old.Decision.String()+"-12.spent"), nil, 0o600); err != nil { // no use's name
		t.Fatal(err)
	}
	if r, err := s.Record(old); err != nil || r.State != spent.Finished || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
	if err := s.Start(old, 0); !errors.Is(err, spent.ErrStarted) {
		t.Errorf("started again: %v", err)
	}
	if left, err := s.Unsettled(); err != nil || len(left) != 1 {
		t.Errorf("unsettled: %v %v", left, err)
	}
}
