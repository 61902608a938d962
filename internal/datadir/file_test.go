package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWritePrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, content := range []string{"first", "", "second, longer"} {
		if err := WritePrivate(path, []byte(content)); err != nil {
			t.Fatalf("WritePrivate: %v", err)
		}
		got, err := ReadPrivate(path, 100)
		if err != nil || string(got) != content {
			t.Errorf("read back %q, %v; want %q", got, err, content)
		}
		if m := mode(t, path); m != 0o600 {
			t.Errorf("mode %04o", m)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestWritePrivateTightensMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "old", 0o644)
	if err := WritePrivate(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != 0o600 {
		t.Errorf("mode %04o", m)
	}
}

// TestWritePrivateFailing shows that a failed write leaves the old content and no other file.
func TestWritePrivateFailing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil { // a directory: rename fails
		t.Fatal(err)
	}
	if err := WritePrivate(path, []byte("new")); err == nil {
		t.Error("WritePrivate replaced a directory")
	}
	if err := WritePrivate(filepath.Join(dir, "nowhere", "key"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WritePrivate into no directory: %v", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestWritePrivateInWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WritePrivate("key", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadPrivate("key", 1); err != nil || string(got) != "x" {
		t.Errorf("read back %q, %v", got, err)
	}
}

func TestReadPrivate(t *testing.T) {
	tests := []struct {
		name  string
		mode  fs.FileMode
		limit int64
		want  error
	}{
		{"private", 0o600, 7, nil},
		{"only readable", 0o400, 7, nil},
		{"one byte too long", 0o600, 6, ErrTooLarge},
		{"executable", 0o700, 7, ErrLooseMode},
		{"for the group", 0o640, 7, ErrLooseMode},
		{"group may write", 0o620, 7, ErrLooseMode},
		{"for others", 0o604, 7, ErrLooseMode},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, "content", test.mode)
		got, err := ReadPrivate(path, test.limit)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if (err == nil) != (string(got) == "content") {
			t.Errorf("%s: returned %q with %v", test.name, got, err)
		}
	}
}

func TestReadPrivateFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "target"), "x", 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPrivate(link, 10); err != nil {
		t.Errorf("link to a private file: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "target"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPrivate(link, 10); !errors.Is(err, ErrLooseMode) {
		t.Errorf("link to a loose file: %v", err)
	}
}

func TestReadPrivateRefusesOtherKinds(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadPrivate(dir, 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("directory: %v", err)
	}
	if _, err := ReadPrivate(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := ReadPrivate("/dev/null", 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("device: %v", err)
	}
}
