//go:build linux || darwin

package guardexec

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var whereAmI = []string{"/bin/sh", "-c", "/bin/pwd -P"}

// What voters read as the directory has no links in it, however it was named.
func TestDirectoryIsTheRealOne(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	real, alias := filepath.Join(base, "real"), filepath.Join(base, "harmless")
	if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink(real, alias)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(alias) // sets $PWD to the alias
	for _, dir := range []string{real, alias, "", "."} {
		p := prepared(t, openStore, Request{Argv: whereAmI, Dir: dir})
		if got := p.Description().Dir; got != real {
			t.Errorf("%q is described as %s", dir, got)
		}
		if out, code := run(t, p, ""); strings.TrimSpace(out) != real || code != 0 {
			t.Errorf("%q: ran in %q, code %d", dir, out, code)
		}
	}
}

// A directory that is swapped after it was described is not the one that the command runs in.
func TestSwappedDirectory(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, other := filepath.Join(base, "dir"), filepath.Join(base, "other")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(other, 0o700)); err != nil {
		t.Fatal(err)
	}
	p := prepared(t, openStore, Request{Argv: whereAmI, Dir: dir})
	if out, _ := run(t, p, ""); strings.TrimSpace(out) != dir {
		t.Fatalf("ran in %q", out)
	}
	if err := errors.Join(os.Rename(dir, dir+".old"), os.Symlink(other, dir)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, err := p.Run(t.Context(), nil, &out, &out)
	switch runtime.GOOS {
	case "linux":
		if got := strings.TrimSpace(out.String()); err != nil || got != dir+".old" {
			t.Errorf("ran in %q, code %d, %v", got, code, err)
		}
	default:
		if !errors.Is(err, ErrNotRunnable) || code != -1 || out.Len() != 0 {
			t.Errorf("ran in %q, code %d, %v", out.String(), code, err)
		}
	}
}
