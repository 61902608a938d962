package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestBirthIsNotCopied(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WritePrivate(path, []byte("content")); err != nil {
		t.Fatal(err)
	}
	first, err := BirthOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if first == (Birth{}) {
		if os.Getenv("CI") != "" {
			t.Fatal("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
		}
		t.Skip("the file system of TMPDIR does not tell when a file was made; name one that does, as ext4 or xfs")
	}
	moved := filepath.Join(dir, "moved")
	for _, change := range []error{os.Chmod(path, 0o400), os.Rename(path, moved), copyTo(moved, filepath.Join(dir, "copy"))} {
		if change != nil {
			t.Fatal(change)
		}
	}
	if same, err := BirthOf(moved); err != nil || same != first {
		t.Errorf("of the same file by another name %x, was %x: %v", same, first, err)
	}
	if other, err := BirthOf(filepath.Join(dir, "copy")); err != nil || other == first {
		t.Errorf("a copy has the file's own %x: %v", other, err)
	}
	if _, err := BirthOf(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
}

func copyTo(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}
