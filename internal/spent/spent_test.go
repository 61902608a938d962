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
	decision := wire.Hash([]byte("decision"))
	s := open(t, dir)
	id := s.ID()
	if err := s.Start(decision); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("start before claim: %v", err)
	}
	for range 2 {
		if err := s.Claim(decision); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(decision, true, ""); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("finish before start: %v", err)
	}
	if err := s.Start(decision); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if s.ID() != id {
		t.Fatal("the store changed its name")
	}
	if err := s.Start(decision); !errors.Is(err, spent.ErrStarted) {
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
	if err := s.Claim(decision); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(decision); !errors.Is(err, spent.ErrStarted) {
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

func TestDamagedRecordIsNoPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	decision := wire.Hash([]byte("decision"))
	s := open(t, dir)
	if err := s.Claim(decision); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, decision.String()+".spent")
	for _, content := range []string{"", "\xa0", "\xa1\x01\x07"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(decision); err == nil {
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
	lost, begun := wire.Hash([]byte("lost")), wire.Hash([]byte("begun"))
	if err := s.Forfeit(lost); !errors.Is(err, spent.ErrOrder) {
		t.Fatalf("forfeit before claim: %v", err)
	}
	for _, step := range []error{s.Claim(lost), s.Forfeit(lost), s.Claim(lost), s.Claim(begun), s.Start(begun)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := s.Start(lost); !errors.Is(err, spent.ErrStarted) {
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
