// Package guardexec fixes what a guarded command is before people decide on it, and then runs exactly that.
//
// [Prepare] resolves the executable, copies it and every bound file once into memory that nobody can change any more
// (a sealed memfd), and hashes the copies. [Prepared.Description] is what a proposal names: argument vector,
// directory, environment, and the digests of the copies. [Prepared.Run] executes the copies. A file that changes on
// disk between the two changes nothing.
//
//	p, err := guardexec.Prepare(guardexec.Request{
//		Argv: []string{"psql", "-f", "{bind:1}"},
//		Env:  []string{"PATH", "PGHOST"},
//		Bind: []string{"migrate.sql"},
//	})
//	// propose p.Description(), wait for the certificate
//	code, err := p.Run(ctx, os.Stdin, os.Stdout, os.Stderr)
//	p.Close()
//
// A script binds its interpreter too: the first line "#!INTERPRETER [ARGUMENT]" is followed by us, not by the kernel,
// and "#!/usr/bin/env NAME" binds NAME as found in $PATH.
//
// Not bound: the dynamic loader and shared libraries, files that a program opens by itself, and what PATH means to
// the child. Set-user-ID bits have no effect. The program sees a path of ours, not the original one, as
// /proc/self/exe, and a script as $0.
//
// On Linux the copies are sealed memfds. Elsewhere they are files in a private temporary directory, which the same
// user could change; [Description.Sealed] tells which.
package guardexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// DefaultMaxBytes is the size limit of one copied file unless a Request sets another: 512 MiB.
const DefaultMaxBytes = 512 << 20

var (
	// ErrRequest is returned when a request has no command, a NUL byte, a bad environment name, or a {bind:N} that
	// names no bound file.
	ErrRequest = fault.New(fault.Usage, "guard: bad command")
	// ErrNotFound is returned when the executable, its interpreter or a bound file does not exist.
	ErrNotFound = fault.New(fault.NotFound, "guard: no such file")
	// ErrNotRunnable is returned when the command is not an executable regular file, or its interpreter cannot be bound.
	ErrNotRunnable = fault.New(fault.InvalidInput, "guard: cannot run")
	// ErrTooLarge is returned when a file is longer than the limit for copies.
	ErrTooLarge = fault.New(fault.TooLarge, "guard: file too large to copy")
	// ErrClosed is returned by Run after Close.
	ErrClosed = fault.New(fault.Internal, "guard: prepared command was closed")
)

// A Request says which command to guard.
type Request struct {
	// Argv is the command and its arguments. Argv[0] without a slash is looked up in $PATH; a relative path is
	// taken from Dir. {bind:N} in any later element stands for the path of the copy of the N-th bound file.
	Argv []string
	// Dir is the directory to run in. Empty means the current one. Links are followed once, before it is described.
	Dir string
	// Env names the variables that the command gets from this process's environment; it gets no others. Names that
	// are not set are left out; naming one twice changes nothing.
	Env []string
	// Bind lists files to copy, from 1: {bind:1} is the first. Relative paths are taken from Dir. A bound file that
	// no argument mentions is hashed and described, and the command cannot reach the copy.
	Bind []string
	// MaxBytes limits the size of each copied file. 0 means DefaultMaxBytes.
	MaxBytes int64
}

// A Prepared is a command whose parts can no longer change. Its methods may be called from several goroutines,
// except that Close must not be called before every Run has returned.
type Prepared struct {
	description Description
	copies      store
	dir         *os.File   // the directory itself, whatever its path leads to later
	executable  artifact   // what the kernel executes: the command, or its interpreter
	script      *artifact  // the command itself, if it is a script
	argv        []string   // as given
	prefix      []string   // for a script: argv[0] and option of the interpreter
	bound       []artifact // in the order of Request.Bind
	closed      bool
}

// Prepare copies and hashes everything that the command consists of. On success the caller owns the result and must
// Close it. Errors: ErrRequest, ErrNotFound, ErrNotRunnable, ErrTooLarge, or those of the file system.
func Prepare(r Request) (*Prepared, error) {
	return prepare(r, openStore)
}

func prepare(r Request, open func(maxBytes int64) (store, error)) (*Prepared, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	dir, err := realDir(r.Dir)
	if err != nil {
		return nil, err
	}
	if r.MaxBytes == 0 {
		r.MaxBytes = DefaultMaxBytes
	}
	copies, err := open(r.MaxBytes)
	if err != nil {
		return nil, err
	}
	p := &Prepared{copies: copies, argv: slices.Clone(r.Argv)}
	if p.dir, err = holdDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: directory %s: %w", ErrNotFound, dir, err), copies.close())
	}
	p.description = Description{Argv: slices.Clone(r.Argv), Dir: dir, Env: environment(r.Env), Sealed: copies.sealed()}
	if err := p.fill(r.Bind); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// realDir returns the absolute path of a directory without links: what voters read is where the command runs, whatever
// $PWD says.
func realDir(name string) (string, error) {
	dir, err := filepath.Abs(name)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("%w: directory %q: %w", ErrNotFound, name, err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w: directory %s", ErrNotFound, dir)
	}
	return dir, nil
}

// fill copies the executable, its interpreter and the bound files.
func (p *Prepared) fill(bind []string) error {
	if err := p.copyExecutable(); err != nil {
		return err
	}
	for _, name := range bind {
		a, err := p.copies.add(within(p.description.Dir, name))
		if err != nil {
			return fmt.Errorf("bound file: %w", err)
		}
		p.bound = append(p.bound, a)
		p.description.Bound = append(p.description.Bound, a.File)
	}
	return nil
}

func (p *Prepared) copyExecutable() error {
	path, err := lookUp(p.argv[0], p.description.Dir)
	if err != nil {
		return err
	}
	if p.executable, err = p.copies.add(path); err != nil {
		return err
	}
	p.description.Executable = p.executable.File
	line, err := firstLine(p.executable)
	if err != nil || line == "" {
		return err
	}
	bang, err := parseBang(line)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return p.copyInterpreter(bang)
}

// copyInterpreter makes the file copied last the script and its interpreter the executable.
func (p *Prepared) copyInterpreter(b bang) error {
	path, err := lookUp(b.interpreter, p.description.Dir)
	if err != nil {
		return fmt.Errorf("interpreter: %w", err)
	}
	interpreter, err := p.copies.add(path)
	if err != nil {
		return fmt.Errorf("interpreter: %w", err)
	}
	if line, err := firstLine(interpreter); err != nil || line != "" {
		return errors.Join(err, fmt.Errorf("%w: interpreter %s is itself a script", ErrNotRunnable, path))
	}
	script := p.executable
	p.script, p.executable = &script, interpreter
	p.prefix = b.argv()
	p.description.Interpreter = &interpreter.File
	return nil
}

// Description returns what the command is. The caller may keep and change the result.
func (p *Prepared) Description() Description { return p.description.clone() }

// Close frees the copies. Calling it again does nothing.
func (p *Prepared) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.copies.close(), p.dir.Close())
}

func (r Request) validate() error {
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return fmt.Errorf("%w: no command", ErrRequest)
	}
	for _, s := range slices.Concat(r.Argv, r.Bind, r.Env, []string{r.Dir}) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%w: NUL byte in %q", ErrRequest, s)
		}
	}
	for _, name := range r.Env {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("%w: environment name %q", ErrRequest, name)
		}
	}
	for _, arg := range r.Argv {
		if _, err := substitute(arg, func(n int) (string, bool) { return "", n <= len(r.Bind) }); err != nil {
			return err
		}
	}
	if r.MaxBytes < 0 {
		return fmt.Errorf("%w: negative size limit", ErrRequest)
	}
	return nil
}

// environment returns NAME=VALUE of the named variables that are set, sorted by name, each once.
func environment(names []string) []string {
	env := []string{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// within returns name as seen from dir.
func within(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}
