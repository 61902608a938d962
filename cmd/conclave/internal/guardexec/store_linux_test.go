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
