package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// approved starts a guarded command, approves it, and returns how it ended, its stdout in one text.
func (s shell) approved(args ...string) (status int, stdout string) {
	s.Helper()
	b := s.start(append([]string{"--context", "worker", "guard"}, args...)...)
	line := until(s, b.stderr, "decide: conclave decision approve ")
	s.ok("--context", "operator", "decision", "approve", line[strings.LastIndex(line, " ")+1:])
	status = b.wait()
	var out strings.Builder
	for line := range b.stdout {
		out.WriteString(line + "\n")
	}
	return status, out.String()
}

func TestGuardKeepsTheCommandsExitCode(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	for script, want := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 4": 4, "exit 125": 125, "exit 255": 255, "kill -9 $$": 128 + 9,
	} {
		status, out := s.approved("--", "/bin/sh", "-c", "echo ran; "+script)
		if status != want || out != "ran\n" {
			t.Errorf("%s: exit %d, said %q", script, status, out)
		}
	}
}

func TestGuardHandsOverNoMoreThanWasDecided(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	setenv(t, "SHOWN", "yes")
	setenv(t, "HIDDEN", "secret")
	first, second := s.write("first", "1\n"), s.write("second", "2\n")
	status, out := s.approved("--env", "SHOWN", "--bind", first, "--bind", second, "--",
		"/bin/sh", "-c", `echo "$SHOWN,$HIDDEN,$HOME,$1"; read a < "$2"; read b < "$3"; echo "$b$a"`, "sh", "--json", "{bind:1}", "{bind:2}")
	if status != 0 || out != "yes,,,--json\n21\n" {
		t.Errorf("exit %d, said %q", status, out)
	}
}

// TestGuardHandsOverNoStdin feeds the guard what nobody has voted on: the command must not get it.
func TestGuardHandsOverNoStdin(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("not voted on\n"); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Close()
	before := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = before }()
	if status, out := s.approved("--", "/bin/sh", "-c", "cat; echo end"); status != 0 || out != "end\n" {
		t.Errorf("exit %d, said %q", status, out)
	}
}

func TestGuardThatFailsRunsNothing(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	proof := s.path("proof")
	touch := []string{"--", "/bin/sh", "-c", "echo ran > " + proof}
	guard := func(flags ...string) []string {
		return append(append([]string{"--context", "worker", "guard"}, flags...), touch...)
	}
	s.refused(exitGuard, "usage", guard("--class", "R4")...)
	s.refused(exitGuard, "usage", guard("--env", "A=B")...)
	s.refused(exitGuard, "not_found", guard("--bind", s.path("none"))...)
	s.refused(exitGuard, "pending", guard("--timeout", "1ms", "--key", "k")...)
	s.refused(exitGuard, "denied", append([]string{"--context", "worker", "guard", "--as", "other"}, touch...)...)
	rejected := s.start(guard("--key", "k")...)
	line := until(t, rejected.stderr, "decide: conclave decision approve ")
	s.ok("--context", "operator", "decision", "reject", line[strings.LastIndex(line, " ")+1:])
	if status := rejected.wait(); status != exitGuard {
		t.Errorf("rejected: exit %d", status)
	}
	s.refused(exitGuard, "rejected", guard("--key", "k")...)
	if _, err := os.Stat(proof); err == nil {
		t.Error("it ran")
	}
	if status, _ := s.approved(touch...); status != 0 {
		t.Errorf("the honest twin: exit %d", status)
	}
	if _, err := os.Stat(proof); err != nil {
		t.Error(err)
	}
}

// TestGuardShowsWhatIsSigned proposes arguments that would move a cursor, and reads what a voter reads.
func TestGuardShowsWhatIsSigned(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	hostile := []string{"\x1b[2J", "a\nb", "pay \u202e001", "\xc3\xa9", `back\slash`}
	args := append([]string{"--context", "worker", "guard", "--dry-run", "--", "/bin/echo"}, hostile...)
	out := s.ok(args...)
	for _, arg := range hostile {
		if !strings.Contains(out, fmt.Sprintf("%q", arg)) {
			t.Errorf("%q is not in %q", arg, out)
		}
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("a control character came through: %q", out)
	}
	doc := document[struct{ Action actionDoc }](s, args...)
	if got := doc.Action.Params["argv"]; strings.Join(got[1:], "|") != strings.Join(hostile, "|") {
		t.Errorf("to scripts: %q", got)
	}
}

// TestGuardUnderAnOpenPermit leaves the arguments open as far as patterns go, and runs what they allow and no other.
func TestGuardUnderAnOpenPermit(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker")
	echo := []string{"--", "/bin/echo", "web-1"}
	b := s.start(append(as("worker", "guard", "--uses", "3", "--open", "argv=/bin/echo", "--open", "argv=web-*"), echo...)...)
	line := until(t, b.stderr, "decide: conclave decision approve ")
	id := line[strings.LastIndex(line, " ")+1:]
	dry := as("worker", "guard", "--dry-run", "--uses", "3", "--open", "argv=/bin/echo", "--open", "argv=web-*")
	s.wants("dry run", s.ok(append(dry, echo...)...), "3 times until", "any of /bin/echo web-*", "may vote: O", "a person")
	s.wants("what is decided", s.ok(as("operator", "decision", "show", id)...), "argv", "any of /bin/echo web-*", "executable")
	s.ok(as("operator", "decision", "approve", id)...)
	if out := until(t, b.stdout, "web"); out != "web-1" || b.wait() != 0 {
		t.Errorf("the first run: %q", out)
	}
	r := s.refused(exitGuard, "misaddressed", as("worker", "guard", "--permit", id, "--", "/bin/echo", "db-1")...)
	s.wants("another argument", r.Hint, "conclave decision show "+id)
	s.refused(exitGuard, "misaddressed", as("worker", "guard", "--permit", id, "--", "/bin/cat", "web-1")...)
	e := s.run(as("worker", "guard", "--permit", id, "--key", "once", "--", "/bin/echo", "web-2")...)
	if e.status != 0 || e.stdout != "web-2\n" || !strings.Contains(e.stderr, "1 of 3 uses taken") {
		t.Errorf("what the permit allows: %+v", e)
	}
	s.refused(exitGuard, "spent", as("worker", "guard", "--permit", id, "--key", "once", "--", "/bin/echo", "web-2")...)
	s.ok(as("operator", "decision", "cancel", id, "--reason", "enough")...)
	s.refused(exitGuard, "rejected", append(as("worker", "guard", "--permit", id), echo...)...)
	s.wants("its uses", s.ok(as("operator", "decision", "show", id)...), "cancelled", "2 used", "use 2: ", "executed, fingerprint ")
}
