package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/contexts"
)

// shell runs commands in a home of their own, each as a program of its own.
type shell struct {
	testing.TB
	home string
}

func newShell(t testing.TB) shell {
	t.Helper()
	home := t.TempDir()
	for name, dir := range map[string]string{
		"HOME": "", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data", "TMPDIR": "tmp",
	} {
		path := filepath.Join(home, dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		setenv(t, name, path)
	}
	setenv(t, contexts.EnvVar, "")
	return shell{t, home}
}

func setenv(t testing.TB, name, value string) {
	t.Helper()
	t.(interface{ Setenv(name, value string) }).Setenv(name, value)
}

// ended is how a command ended.
type ended struct {
	status         int
	stdout, stderr string
}

func (s shell) run(args ...string) ended { return s.feed("", args...) }

func (s shell) feed(stdin string, args ...string) ended {
	s.Helper()
	var out, errs bytes.Buffer
	status := program1(strings.NewReader(stdin), &out, &errs).run(context.Background(), args)
	return ended{status, out.String(), errs.String()}
}

// program1 returns a program without a terminal.
func program1(stdin io.Reader, stdout, stderr io.Writer) *program {
	return newProgram(stdin, stdout, stderr, os.Getenv, func(any) bool { return false })
}

// ok runs a command that must succeed and returns its stdout.
func (s shell) ok(args ...string) string {
	s.Helper()
	e := s.run(args...)
	if e.status != 0 {
		s.Fatalf("%q exited with %d\n%s%s", args, e.status, e.stdout, e.stderr)
	}
	return e.stdout
}

// document runs a command that must succeed with --json and decodes the one document that it prints.
func document[T any](s shell, args ...string) T {
	s.Helper()
	return decode[T](s, s.ok(append([]string{"--json"}, args...)...))
}

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one document: %q", text)
	}
	return v
}

// refused runs a command with --json that must fail with the exit status and code.
func (s shell) refused(status int, code string, args ...string) refusal {
	s.Helper()
	e := s.run(append([]string{"--json"}, args...)...)
	lines := strings.Split(strings.TrimSpace(e.stderr), "\n")
	r := decode[map[string]refusal](s, lines[len(lines)-1])["error"]
	if e.status != status || string(r.Code) != code {
		s.Fatalf("%q: exit %d, code %q, not %d and %q\n%s", args, e.status, r.Code, status, code, e.stderr)
	}
	if r.Message == "" || r.Hint == "" {
		s.Errorf("%q: an error without message or hint: %+v", args, r)
	}
	return r
}

// background is a command that runs until it is stopped.
type background struct {
	stdout, stderr chan string // lines
	stop           func() int  // interrupts it and returns its exit status
	wait           func() int  // waits for its own end
}

// start starts a command. The test's end stops it.
func (s shell) start(args ...string) *background {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{stdout: make(chan string, 1024), stderr: make(chan string, 1024)}
	var running sync.WaitGroup
	out, outEnd := lineReader(&running, b.stdout)
	errs, errsEnd := lineReader(&running, b.stderr)
	var status int
	running.Go(func() {
		defer outEnd()
		defer errsEnd()
		status = program1(strings.NewReader(""), out, errs).run(ctx, args)
	})
	b.wait = func() int {
		running.Wait()
		return status
	}
	b.stop = func() int {
		cancel()
		return b.wait()
	}
	s.Cleanup(func() { b.stop() })
	return b
}

// lineReader returns where to write what shall come out line by line, and what ends it.
func lineReader(running *sync.WaitGroup, lines chan<- string) (io.Writer, func()) {
	r, w := io.Pipe()
	running.Go(func() {
		defer close(lines)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			lines <- scanner.Text()
		}
	})
	return w, func() { _ = w.Close() } // never fails
}

// until returns the first line that holds the text.
func until(t testing.TB, lines <-chan string, text string) string {
	t.Helper()
	var before []string
	for line := range lines {
		if strings.Contains(line, text) {
			return line
		}
		before = append(before, line)
	}
	t.Fatalf("it ended before it said %q: %q", text, before)
	return ""
}

// path returns a path in the test's home.
func (s shell) path(elements ...string) string {
	return filepath.Join(append([]string{s.home}, elements...)...)
}

// write writes a file in the test's home.
func (s shell) write(name, content string) string {
	s.Helper()
	path := s.path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}
