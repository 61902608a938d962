package lab_test

import (
	"bytes"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// store makes a directory with a few files, and returns what is in it.
func store(t *testing.T) (dir string, content map[string][]byte) {
	t.Helper()
	dir, content = t.TempDir(), map[string][]byte{"a.log": bytes.Repeat([]byte("a"), 500), "raft/b.log": bytes.Repeat([]byte("b"), 500), "node.key": []byte("key"), "empty.log": nil}
	for name, c := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, content
}

// changed returns the file that differs, and its content now.
func changed(t *testing.T, dir string, before map[string][]byte) (name string, now []byte) {
	t.Helper()
	for n, c := range before {
		got, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, c) {
			if name != "" {
				t.Errorf("%s changed, and %s too", name, n)
			}
			name, now = n, got
		}
	}
	return name, now
}

func TestFlipChangesBits(t *testing.T) {
	dir, before := store(t)
	what, err := lab.Flip("*.log", 1, 4)(dir)
	if err != nil {
		t.Fatal(err)
	}
	name, now := changed(t, dir, before)
	if !strings.HasSuffix(name, ".log") || !strings.Contains(what, filepath.Base(name)) || len(now) != 500 {
		t.Fatalf("%s: changed %q, %d bytes", what, name, len(now))
	}
	n := 0
	for i := range now {
		n += bits.OnesCount8(now[i] ^ before[name][i])
	}
	if n != 1 {
		t.Errorf("%d bits changed", n)
	}
	if _, err := lab.Flip("*.log", 1, 4)(dir); err != nil {
		t.Fatal(err)
	}
	if name, _ := changed(t, dir, before); name != "" {
		t.Errorf("the same seed flips other bits: %s is still different", name)
	}
}

func TestTearCutsATail(t *testing.T) {
	dir, before := store(t)
	for seed := range uint64(20) {
		if _, err := lab.Tear("a.log", 40, seed)(dir); err != nil {
			t.Fatal(err)
		}
		name, now := changed(t, dir, before)
		if off := 500 - len(now); name != "a.log" || off < 1 || off > 40 || !bytes.HasPrefix(before[name], now) {
			t.Fatalf("seed %d: %s is %d bytes", seed, name, len(now))
		}
		if err := os.WriteFile(filepath.Join(dir, name), before[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageNeedsAFile(t *testing.T) {
	dir, before := store(t)
	for name, damage := range map[string]func(string) (string, error){
		"no such file":   lab.Flip("*.db", 1, 0),
		"an empty file":  lab.Tear("empty.log", 1, 0),
		"a bad pattern":  lab.Flip("[", 1, 0),
		"no such folder": func(string) (string, error) { return lab.Tear("*", 1, 0)(filepath.Join(dir, "none")) },
	} {
		if what, err := damage(dir); err == nil {
			t.Errorf("%s: %s", name, what)
		}
	}
	if name, _ := changed(t, dir, before); name != "" {
		t.Errorf("%s changed", name)
	}
}

func TestEraseLeavesNothing(t *testing.T) {
	dir, _ := store(t)
	if what, err := lab.Erase(dir); err != nil || what != "removed 4 files" {
		t.Fatalf("%s: %v", what, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error(err)
	}
	if what, err := lab.Erase(dir); err == nil {
		t.Errorf("nothing was there: %s", what)
	}
}
