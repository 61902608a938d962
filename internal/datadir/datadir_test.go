package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childEnv names a directory that a re-executed test binary opens and holds until its standard input ends.
const childEnv = "DATADIR_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	os.Exit(m.Run())
}

func child(path string) int {
	dir, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("open")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = dir.Close()
	return 0
}

func open(t *testing.T, path string) *Dir {
	t.Helper()
	dir, err := Open(path)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return dir
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// write makes a file of exactly this mode, whatever the umask is.
func write(t *testing.T, path string, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parent", "data")
	dir := open(t, path)
	if dir.Path() != path {
		t.Errorf("Path: %s", dir.Path())
	}
	for name, want := range map[string]fs.FileMode{
		"..": 0o700, ".": 0o700, lockName: 0o600, versionName: 0o600,
	} {
		if got := mode(t, filepath.Join(path, name)); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
	version, err := os.ReadFile(filepath.Join(path, versionName))
	if err != nil || string(version) != "1\n" {
		t.Errorf("VERSION: %q, %v", version, err)
	}
}

func TestCloseTwiceAndOpenAgain(t *testing.T) {
	path := t.TempDir() + "/data"
	for range 2 {
		dir := open(t, path)
		for range 2 {
			if err := dir.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
	}
}

func TestOpenModes(t *testing.T) {
	tests := []struct {
		name string
		dir  fs.FileMode
		file fs.FileMode
		want error
	}{
		{"private", 0o700, 0o600, nil},
		{"file only readable", 0o700, 0o400, nil},
		{"file executable", 0o700, 0o700, nil},
		{"directory for the group", 0o750, 0o600, ErrLooseMode},
		{"directory for all", 0o755, 0o600, ErrLooseMode},
		{"directory for others to pass", 0o701, 0o600, ErrLooseMode},
		{"file for the group", 0o700, 0o640, ErrLooseMode},
		{"file for others", 0o700, 0o604, ErrLooseMode},
		{"file writable", 0o700, 0o602, ErrLooseMode},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(path, "key"), "secret", test.file)
			if err := os.Chmod(path, test.dir); err != nil {
				t.Fatal(err)
			}
			dir, err := Open(path)
			if !errors.Is(err, test.want) {
				t.Errorf("Open: %v, want %v", err, test.want)
			}
			if err == nil {
				_ = dir.Close()
			}
		})
	}
}

func TestOpenMindsOnlyOwnRegularFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	open(t, path)
	if err := errors.Join(
		os.Mkdir(filepath.Join(path, "sub"), 0o755),
		os.Symlink("/etc/passwd", filepath.Join(path, "link")),
	); err != nil {
		t.Fatal(err)
	}
	if err := checkFiles(path); err != nil {
		t.Errorf("with a subdirectory and a link: %v", err)
	}
	write(t, filepath.Join(path, "file"), "", 0o644)
	if err := checkFiles(path); !errors.Is(err, ErrLooseMode) {
		t.Errorf("with a loose file: %v", err)
	}
}

func TestOpenRefusesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	write(t, path, "", 0o600)
	if _, err := Open(path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Open of a file: %v", err)
	}
}

func TestOpenInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	dir := open(t, path)
	_, err := Open(path)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Open: %v", err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestOpenInUseByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("open"))
	if _, err := out.Read(said); err != nil || string(said) != "open" {
		t.Fatalf("the child said %q, %v", said, err)
	}
	if _, err := Open(path); !errors.Is(err, ErrInUse) {
		t.Errorf("Open while the child lives: %v", err)
	}
	if err := errors.Join(cmd.Process.Kill(), in.Close()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	open(t, path)
}

func TestOpenVersion(t *testing.T) {
	tests := []struct {
		content string
		want    error
	}{
		{"1\n", nil},
		{"2\n", ErrNewerVersion},
		{"999999999\n", ErrNewerVersion},
		{"", ErrBadVersion},
		{"1", ErrBadVersion},
		{"01\n", ErrBadVersion},
		{"+1\n", ErrBadVersion},
		{"0\n", ErrBadVersion},
		{"-1\n", ErrBadVersion},
		{"1\n\n", ErrBadVersion},
		{"1 \n", ErrBadVersion},
		{"one\n", ErrBadVersion},
		{"1\nand more than fits", ErrBadVersion},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, versionName), test.content, 0o600)
		dir, err := Open(path)
		if !errors.Is(err, test.want) {
			t.Errorf("VERSION %q: %v, want %v", test.content, err, test.want)
		}
		if err == nil {
			_ = dir.Close()
			continue
		}
		// A refusal must not leave the lock behind.
		write(t, filepath.Join(path, versionName), "1\n", 0o600)
		open(t, path)
	}
}

func TestNewerVersionSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), versionName)
	write(t, path, "7\n", 0o600)
	err := checkVersion(path)
	for _, part := range []string{"format 7", "up to 1", "install", path} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}

func TestSub(t *testing.T) {
	dir := open(t, filepath.Join(t.TempDir(), "data"))
	for range 2 {
		path, err := dir.Sub("raft")
		if err != nil || path != filepath.Join(dir.Path(), "raft") || mode(t, path) != 0o700 {
			t.Fatalf("Sub: %s, %v", path, err)
		}
	}
	for _, name := range []string{"", "..", "../x", "/x"} {
		if _, err := dir.Sub(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Sub(%q): %v", name, err)
		}
	}
	if err := os.Chmod(filepath.Join(dir.Path(), "raft"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Sub("raft"); !errors.Is(err, ErrLooseMode) {
		t.Errorf("Sub of a loose directory: %v", err)
	}
}

func TestProbe(t *testing.T) {
	dir := open(t, filepath.Join(t.TempDir(), "data"))
	for _, need := range []uint64{0, 1} {
		if err := dir.Probe(need); err != nil {
			t.Errorf("Probe(%d): %v", need, err)
		}
	}
	if err := dir.Probe(math.MaxUint64); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Probe of all the space there is: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir.Path(), ".probe*"))
	if err != nil || len(left) != 0 {
		t.Errorf("Probe left %v, %v", left, err)
	}
	if err := os.RemoveAll(dir.Path()); err != nil {
		t.Fatal(err)
	}
	if err := dir.Probe(0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Probe of a lost directory: %v", err)
	}
}
