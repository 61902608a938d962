//go:build linux || darwin

package guardexec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kinds are the two ways to keep copies; every test of behaviour runs with both.
var kinds = map[string]func(int64) (store, error){"default": openStore, "private": openPrivateStore}

func eachKind(t *testing.T, test func(t *testing.T, open func(int64) (store, error))) {
	t.Helper()
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func prepared(t *testing.T, open func(int64) (store, error), r Request) *Prepared {
	t.Helper()
	p, err := prepare(r, open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func run(t *testing.T, p *Prepared, stdin string) (stdout string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code, err := p.Run(t.Context(), strings.NewReader(stdin), &out, &errOut)
	if err != nil {
		t.Fatalf("Run: %v; stderr %q", err, errOut.String())
	}
	return out.String(), code
}

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOrdinaryPrograms(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		dir := t.TempDir()
		tests := []struct {
			name  string
			argv  []string
			stdin string
			out   string
			code  int
		}{
			{"true", []string{"true"}, "", "", 0},
			{"false", []string{"false"}, "", "", 1},
			{"absolute path", []string{"/bin/echo", "a", "b c"}, "", "a b c\n", 0},
			{"stdin", []string{"cat"}, "hello", "hello", 0},
			{"exit code kept", []string{"sh", "-c", "exit 42"}, "", "", 42},
			{"ended by a signal", []string{"sh", "-c", "kill -9 $$"}, "", "", 128 + 9},
			{"argv[0] kept", []string{"sh", "-c", "cat /proc/self/cmdline >/dev/null 2>&1; echo $0"}, "", "sh\n", 0},
			{"directory", []string{"sh", "-c", "pwd -P"}, "", realPath(t, dir) + "\n", 0},
			{"touch", []string{"touch", "made"}, "", "", 0},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				out, code := run(t, prepared(t, open, Request{Argv: tt.argv, Dir: dir}), tt.stdin)
				if out != tt.out || code != tt.code {
					t.Errorf("got %q, code %d, want %q, code %d", out, code, tt.out, tt.code)
				}
			})
		}
		if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
			t.Error(err)
		}
	})
}

func realPath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What is on disk when the command runs does not matter: the copies run.
func TestChangesAfterPrepareDoNotRun(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		dir := t.TempDir()
		script := write(t, filepath.Join(dir, "act"), "#!/bin/sh\necho approved $(cat \"$1\")\n", 0o755)
		input := write(t, filepath.Join(dir, "input"), "text", 0o600)
		r := Request{Argv: []string{"./act", "{bind:1}"}, Dir: dir, Bind: []string{"input"}, Env: []string{"PATH"}}
		p := prepared(t, open, r)
		before := p.Description()

		write(t, script, "#!/bin/sh\necho hijacked\n", 0o755)
		write(t, input, "other", 0o600)
		if out, _ := run(t, p, ""); out != "approved text\n" {
			t.Errorf("ran %q", out)
		}
		if err := errors.Join(os.Remove(script), os.Remove(input)); err != nil {
			t.Fatal(err)
		}
		if out, _ := run(t, p, ""); out != "approved text\n" {
			t.Errorf("ran %q after the files were removed", out)
		}
		if want := sha256.Sum256([]byte("text")); before.Bound[0].Digest != want || before.Bound[0].Size != 4 {
			t.Errorf("described %x, %d bytes", before.Bound[0].Digest, before.Bound[0].Size)
		}
	})
}

// The digest is of what runs: a compiled program that prints its own hash agrees.
func TestDigestIsOfWhatRuns(t *testing.T) {
	sum, err := exec.LookPath("sha256sum")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no sha256sum on PATH: the gate needs coreutils")
		}
		t.Skip("no sha256sum on PATH; install coreutils to run this test")
	}
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		p := prepared(t, open, Request{Argv: []string{"sha256sum", "/proc/self/exe"}})
		content, err := os.ReadFile(sum)
		if err != nil {
			t.Fatal(err)
		}
		d := p.Description()
		if d.Executable.Digest != sha256.Sum256(content) || d.Executable.Size != int64(len(content)) {
			t.Error("digest differs from the file's")
		}
		out, _ := run(t, p, "")
		want := hexOf(d.Executable.Digest)
		if got, _, _ := strings.Cut(out, " "); got != want {
			t.Errorf("the program that ran is %s, described %s", got, want)
		}
	})
}

func hexOf(digest [32]byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range digest {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func TestDescription(t *testing.T) {
	t.Setenv("GUARD_B", "2 x")
	t.Setenv("GUARD_A", "1")
	t.Setenv("GUARD_EMPTY", "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "act"), "#!/bin/sh -eu\n", 0o755)
	write(t, filepath.Join(dir, "in"), "x", 0o600)
	r := Request{
		Argv: []string{"./act", "--file={bind:1}"}, Dir: dir, Bind: []string{"in"},
		Env: []string{"GUARD_B", "GUARD_A", "GUARD_EMPTY", "GUARD_UNSET", "GUARD_A"},
	}
	p := prepared(t, openStore, r)
	d := p.Description()
	if d.Interpreter == nil || d.Interpreter.Path != "/bin/sh" || d.Interpreter.Size == 0 {
		t.Fatalf("interpreter %+v", d.Interpreter)
	}
	shell := *d.Interpreter
	want := Description{
		Argv: []string{"./act", "--file={bind:1}"}, Dir: dir,
		Env:         []string{"GUARD_A=1", "GUARD_B=2 x", "GUARD_EMPTY="},
		Executable:  File{filepath.Join(dir, "act"), sha256.Sum256([]byte("#!/bin/sh -eu\n")), 14},
		Interpreter: &shell,
		Bound:       []File{{filepath.Join(dir, "in"), sha256.Sum256([]byte("x")), 1}},
		Sealed:      d.Sealed,
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	again := prepared(t, openStore, r).Description()
	if !reflect.DeepEqual(d, again) {
		t.Error("the same command is described differently the second time")
	}
	d.Argv[0], d.Env[0], d.Bound[0].Path, d.Interpreter.Path = "x", "x", "x", "x"
	if !reflect.DeepEqual(p.Description(), want) {
		t.Error("a caller changed the description through its copy")
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	t.Setenv("GUARD_SECRET", "leaked")
	t.Setenv("GUARD_OPEN", "seen")
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		tests := []struct {
			names []string
			want  []string
		}{
			{nil, nil},
			{[]string{"GUARD_OPEN"}, []string{"GUARD_OPEN=seen"}},
			{[]string{"GUARD_SECRET", "GUARD_OPEN"}, []string{"GUARD_OPEN=seen", "GUARD_SECRET=leaked"}},
		}
		for _, tt := range tests {
			out, _ := run(t, prepared(t, open, Request{Argv: []string{"env"}, Env: tt.names}), "")
			got := strings.Fields(out)
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("names %q: environment %q, want %q", tt.names, got, tt.want)
			}
		}
		// Fixed at Prepare, like all else.
		p := prepared(t, open, Request{Argv: []string{"env"}, Env: []string{"GUARD_OPEN"}})
		t.Setenv("GUARD_OPEN", "changed")
		if out, _ := run(t, p, ""); out != "GUARD_OPEN=seen\n" {
			t.Errorf("environment %q", out)
		}
		t.Setenv("GUARD_OPEN", "seen")
	})
}

func TestScripts(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		dir := t.TempDir()
		tests := []struct {
			name, content, out string
			code               int
		}{
			{"arguments", "#!/bin/sh\necho \"$#\" \"$1\" \"$2\"", "2 one two words\n", 0},
			{"option", "#!/bin/sh -e\nfalse\necho not reached", "", 1},
			{"spaces and tabs", "#! \t/bin/sh \t-e  \nexit 7", "", 7},
			{"env", "#!/usr/bin/env sh\necho $1", "one\n", 0},
			{"no line end", "#!/bin/true", "", 0},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				write(t, filepath.Join(dir, "script"), tt.content, 0o755)
				p := prepared(t, open, Request{Argv: []string{"./script", "one", "two words"}, Dir: dir, Env: []string{"PATH"}})
				out, code := run(t, p, "")
				if out != tt.out || code != tt.code {
					t.Errorf("got %q, code %d, want %q, code %d", out, code, tt.out, tt.code)
				}
			})
		}
	})
}

// The interpreter is bound too: replacing it on disk changes nothing.
func TestInterpreterIsACopy(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		dir := t.TempDir()
		echo, err := os.ReadFile("/bin/echo")
		if err != nil {
			t.Fatal(err)
		}
		interpreter := write(t, filepath.Join(dir, "interp"), string(echo), 0o755)
		write(t, filepath.Join(dir, "script"), "#!"+interpreter+" flag\n", 0o755)
		p := prepared(t, open, Request{Argv: []string{"./script", "x"}, Dir: dir})
		write(t, interpreter, "#!/bin/sh\necho hijacked\n", 0o755)
		out, _ := run(t, p, "")
		fields := strings.Fields(out)
		if len(fields) != 3 || fields[0] != "flag" || fields[2] != "x" {
			t.Errorf("ran %q", out)
		}
		if p.Description().Interpreter.Digest != sha256.Sum256(echo) {
			t.Error("digest of the interpreter differs")
		}
	})
}

func TestBoundFiles(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), "A", 0o644)
		write(t, filepath.Join(dir, "b"), "B", 0o644)
		write(t, filepath.Join(dir, "tool"), "#!/bin/sh\necho ran\n", 0o755)
		bind := []string{"a", filepath.Join(dir, "b"), "tool"}
		tests := []struct {
			name string
			argv []string
			out  string
		}{
			{"first and second", []string{"cat", "{bind:1}", "{bind:2}"}, "AB"},
			{"one twice", []string{"cat", "{bind:2}", "{bind:2}"}, "BB"},
			{"inside an argument", []string{"sh", "-c", "cat {bind:2} {bind:1}"}, "BA"},
			{"none", []string{"echo", "{bind}", "bind:1"}, "{bind} bind:1\n"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := prepared(t, open, Request{Argv: tt.argv, Dir: dir, Bind: bind, Env: []string{"PATH"}})
				if out, code := run(t, p, ""); out != tt.out || code != 0 {
					t.Errorf("got %q, code %d, want %q", out, code, tt.out)
				}
			})
		}
	})
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plain"), "no program", 0o644)
	write(t, filepath.Join(dir, "nested"), "#!"+filepath.Join(dir, "script")+"\n", 0o755)
	write(t, filepath.Join(dir, "script"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "lost"), "#!/nowhere/interpreter\n", 0o755)
	write(t, filepath.Join(dir, "envs"), "#!/usr/bin/env -S sh -e\n", 0o755)
	write(t, filepath.Join(dir, "assign"), "#!/usr/bin/env A=1 sh\n", 0o755)
	write(t, filepath.Join(dir, "relative"), "#!sh\n", 0o755)
	write(t, filepath.Join(dir, "bare"), "#! \n", 0o755)
	write(t, filepath.Join(dir, "long"), "#!/bin/sh "+strings.Repeat("x", 300)+"\n", 0o755)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	cat := []string{"cat", "{bind:1}"}
	tests := []struct {
		name string
		r    Request
		want error
	}{
		{"honest", Request{Argv: cat, Bind: []string{"plain"}}, nil},
		{"honest, at the limit", Request{Argv: []string{"./script"}, Bind: []string{"plain"}, MaxBytes: 64 << 20}, nil},
		{"no command", Request{}, ErrRequest},
		{"empty command", Request{Argv: []string{""}}, ErrRequest},
		{"NUL byte", Request{Argv: []string{"echo", "a\x00b"}}, ErrRequest},
		{"empty environment name", Request{Argv: cat, Bind: []string{"plain"}, Env: []string{""}}, ErrRequest},
		{"assignment as environment name", Request{Argv: []string{"true"}, Env: []string{"A=1"}}, ErrRequest},
		{"no bound file", Request{Argv: cat}, ErrRequest},
		{"bound file 0", Request{Argv: []string{"cat", "{bind:0}"}, Bind: []string{"plain"}}, ErrRequest},
		{"bound file 2 of 1", Request{Argv: []string{"cat", "{bind:2}"}, Bind: []string{"plain"}}, ErrRequest},
		{"bound file 01", Request{Argv: []string{"cat", "{bind:01}"}, Bind: []string{"plain"}}, ErrRequest},
		{"bound file +1", Request{Argv: []string{"cat", "{bind:+1}"}, Bind: []string{"plain"}}, ErrRequest},
		{"bound file in the command itself", Request{Argv: []string{"{bind:1}"}, Bind: []string{"plain"}}, ErrNotFound},
		{"negative limit", Request{Argv: []string{"true"}, MaxBytes: -1}, ErrRequest},
		{"unknown command", Request{Argv: []string{"no-such-command-here"}}, ErrNotFound},
		{"unknown path", Request{Argv: []string{"./nothing"}}, ErrNotFound},
		{"unknown bound file", Request{Argv: cat, Bind: []string{"nothing"}}, ErrNotFound},
		{"unknown directory", Request{Argv: []string{"true"}, Dir: filepath.Join(dir, "nothing")}, ErrNotFound},
		{"file as directory", Request{Argv: []string{"true"}, Dir: filepath.Join(dir, "plain")}, ErrNotFound},
		{"not executable", Request{Argv: []string{"./plain"}}, ErrNotRunnable},
		{"directory as command", Request{Argv: []string{dir}}, ErrNotRunnable},
		{"directory as bound file", Request{Argv: cat, Bind: []string{dir}}, ErrNotRunnable},
		{"pipe as bound file", Request{Argv: cat, Bind: []string{"pipe"}}, ErrNotRunnable},
		{"interpreter is a script", Request{Argv: []string{"./nested"}}, ErrNotRunnable},
		{"interpreter missing", Request{Argv: []string{"./lost"}}, ErrNotFound},
		{"env with an option", Request{Argv: []string{"./envs"}}, ErrNotRunnable},
		{"env with an assignment", Request{Argv: []string{"./assign"}}, ErrNotRunnable},
		{"relative interpreter", Request{Argv: []string{"./relative"}}, ErrNotRunnable},
		{"no interpreter", Request{Argv: []string{"./bare"}}, ErrNotRunnable},
		{"first line too long", Request{Argv: []string{"./long"}}, ErrNotRunnable},
		{"executable too large", Request{Argv: []string{"cat"}, MaxBytes: 100}, ErrTooLarge},
		{"interpreter too large", Request{Argv: []string{"./script"}, MaxBytes: 100}, ErrTooLarge},
		{"bound file too large", Request{Argv: []string{"./script"}, Bind: []string{"plain"}, MaxBytes: 9}, ErrTooLarge},
	}
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		for _, tt := range tests {
			if tt.r.Dir == "" {
				tt.r.Dir = dir
			}
			p, err := prepare(tt.r, open)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			if err == nil {
				err = p.Close()
			}
			if tt.want == nil && err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	p, err := prepare(Request{Argv: []string{"true"}}, openPrivateStore)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadDir(temp)
	if err != nil || len(made) != 1 {
		t.Fatalf("%v, %v", made, err)
	}
	if info, err := made[0].Info(); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if _, err := prepare(Request{Argv: []string{"no-such-command-here"}}, openPrivateStore); err == nil {
		t.Error("an unknown command was accepted")
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if code, err := p.Run(t.Context(), nil, nil, nil); !errors.Is(err, ErrClosed) || code != -1 {
		t.Errorf("Run after Close: %d, %v", code, err)
	}
}

// lineWriter closes ready when the first output arrives.
type lineWriter struct {
	text  []byte
	ready chan struct{}
}

func (w *lineWriter) Write(b []byte) (int, error) {
	if len(w.text) == 0 {
		close(w.ready)
	}
	w.text = append(w.text, b...)
	return len(b), nil
}

// A shell runs a trap only between commands or in wait; the cat that it waits for ends with its input.
const waitForTerm = `exec 9<&0; trap 'echo got TERM; exit 3' TERM; cat <&9 >/dev/null & echo ready; wait; exit 9`

func TestSignalsArePassedOn(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		p := prepared(t, open, Request{Argv: []string{"sh", "-c", waitForTerm}, Env: []string{"PATH"}})
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(reader.Close(), writer.Close()) }()
		out := &lineWriter{ready: make(chan struct{})}
		sent := make(chan error, 1)
		go func() {
			<-out.ready
			sent <- syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}()
		code, err := p.Run(t.Context(), reader, out, nil)
		if code != 3 || err != nil || string(out.text) != "ready\ngot TERM\n" {
			t.Errorf("code %d, %v, output %q", code, err, out.text)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestContextEndsTheCommand(t *testing.T) {
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		p := prepared(t, open, Request{Argv: []string{"sh", "-c", "echo ready; exec cat"}, Env: []string{"PATH"}})
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(reader.Close(), writer.Close()) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out := &lineWriter{ready: make(chan struct{})}
		go func() {
			<-out.ready
			cancel()
		}()
		code, err := p.Run(ctx, reader, out, nil)
		if code != 128+15 || !errors.Is(err, context.Canceled) {
			t.Errorf("code %d, %v", code, err)
		}
		if code, err := p.Run(ctx, nil, nil, nil); code != -1 || !errors.Is(err, context.Canceled) {
			t.Errorf("started after the end of its context: code %d, %v", code, err)
		}
	})
}

// A file that is neither a program nor a script is executable by its mode only; the kernel refuses it.
func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "noise"), "neither ELF nor #!", 0o755)
	eachKind(t, func(t *testing.T, open func(int64) (store, error)) {
		p := prepared(t, open, Request{Argv: []string{"./noise"}, Dir: dir})
		if code, err := p.Run(t.Context(), nil, nil, nil); code != -1 || err == nil {
			t.Errorf("code %d, %v", code, err)
		}
	})
}
