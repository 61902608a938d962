package guardexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemfdIsSealed(t *testing.T) {
	source := write(t, filepath.Join(t.TempDir(), strings.Repeat("n", 250)), "content", 0o644)
	s, err := openStore(100)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.add(source)
	if err != nil {
		t.Fatal(err)
	}
	if !s.sealed() || !a.inherit {
		t.Error("not a sealed, inherited copy")
	}
	seals, err := unix.FcntlInt(a.content.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&allSeals != allSeals {
		t.Errorf("seals %x, %v", seals, err)
	}
	if flags, err := unix.FcntlInt(a.content.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %x, %v: other children would inherit the copy", flags, err)
	}
	if _, err := a.content.Write([]byte("x")); err == nil {
		t.Error("the descriptor can write")
	}
	// Root may open it for writing in spite of the mode; the seals hold then.
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", a.content.Fd()), os.O_RDWR, 0)
	if err == nil {
		if _, err := again.Write([]byte("x")); !errors.Is(err, syscall.EPERM) {
			t.Errorf("write: %v, want EPERM", err)
		}
		if err := again.Truncate(0); !errors.Is(err, syscall.EPERM) {
			t.Errorf("truncate: %v, want EPERM", err)
		}
		_ = again.Close()
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// A child gets the copies of its own command and no other's.
func TestOnlyItsOwnCopiesAreInherited(t *testing.T) {
	other := prepared(t, openStore, Request{Argv: []string{"cat", "{bind:1}"}, Bind: []string{"/etc/hosts"}})
	p := prepared(t, openStore, Request{Argv: []string{"ls", "-l", "/proc/self/fd"}})
	out, _ := run(t, p, "")
	if !strings.Contains(out, "memfd:ls") || strings.Contains(out, "memfd:cat") || strings.Contains(out, "memfd:hosts") {
		t.Errorf("descriptors of the child:\n%s", out)
	}
	if !other.Description().Sealed || !p.Description().Sealed {
		t.Error("not sealed")
	}
}

// The command gets no descriptor that nobody described, though this process may have inherited some.
func TestOpenFilesStayOurs(t *testing.T) {
	secret := write(t, filepath.Join(t.TempDir(), "secret"), "secret", 0o600)
	f, err := os.Open(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const inherited = 77 // as a shell's "77<secret" would leave it
	if err := unix.Dup3(int(f.Fd()), inherited, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	list := func() string {
		out, code := run(t, prepared(t, openStore, Request{
			Argv: []string{"/bin/sh", "-c", "ls -l /proc/self/fd; cat {bind:1}"}, Env: []string{"PATH"}, Bind: []string{secret},
		}), "")
		if code != 0 {
			t.Fatalf("code %d: %s", code, out)
		}
		return out
	}
	if out := list(); strings.Contains(out, secret) || !strings.HasSuffix(out, "secret") {
		t.Errorf("the command holds more than it was given:\n%s", out)
	}
}
