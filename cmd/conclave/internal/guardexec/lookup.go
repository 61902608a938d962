package guardexec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// maxBangLine is how much of a script's first line is read, as in the kernel (BINPRM_BUF_SIZE).
const maxBangLine = 256

// lookUp returns the absolute path of a command: from $PATH if it has no slash, from dir if it is relative.
func lookUp(name, dir string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || strings.Contains(name, "/") {
		name = within(dir, name)
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return filepath.Abs(path)
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: command %q", ErrNotFound, name)
	}
	return "", fmt.Errorf("%w: command %q: %w", ErrNotRunnable, name, err)
}

// A bang is the parsed first line of a script.
type bang struct {
	interpreter string // path or, after env, a name to look up
	argument    string // the rest of the line, one argument as on Linux; may be empty
}

// argv returns the interpreter's own arguments: its name and, if there is one, its option.
func (b bang) argv() []string {
	if b.argument == "" {
		return []string{b.interpreter}
	}
	return []string{b.interpreter, b.argument}
}

// firstLine returns the first line of a script without its line end, or "" for a file that is not a script.
func firstLine(a artifact) (string, error) {
	head := make([]byte, maxBangLine)
	n, err := a.content.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("guard: read the copy of %s: %w", a.Path, err)
	}
	head = head[:n]
	if !bytes.HasPrefix(head, []byte("#!")) {
		return "", nil
	}
	line, _, found := bytes.Cut(head, []byte("\n"))
	if !found && n == maxBangLine {
		return "", fmt.Errorf("%w: first line of %s is longer than %d bytes", ErrNotRunnable, a.Path, maxBangLine)
	}
	return string(line), nil
}

// parseBang takes apart "#!INTERPRETER [ARGUMENT]". It resolves "#!/usr/bin/env NAME" to NAME, and refuses other
// uses of env, which would choose the interpreter in a way that we could not bind.
func parseBang(line string) (bang, error) {
	rest := strings.Trim(strings.TrimPrefix(line, "#!"), " \t\r")
	path, argument, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
	b := bang{interpreter: path, argument: strings.Trim(argument, " ")}
	if b.interpreter == "" || strings.ContainsRune(line, 0) {
		return bang{}, fmt.Errorf("%w: no interpreter in %q", ErrNotRunnable, line)
	}
	if filepath.Base(b.interpreter) != "env" {
		if !filepath.IsAbs(b.interpreter) {
			return bang{}, fmt.Errorf("%w: interpreter in %q is not an absolute path", ErrNotRunnable, line)
		}
		return b, nil
	}
	if !plainName.MatchString(b.argument) {
		return bang{}, fmt.Errorf("%w: cannot bind the interpreter of %q; name it by path", ErrNotRunnable, line)
	}
	return bang{interpreter: b.argument}, nil
}

// plainName matches what env runs as a command, as against an option or an assignment.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_./+][A-Za-z0-9_./+-]*$`)

var bindPattern = regexp.MustCompile(`\{bind:([^{}]*)\}`)

// substitute replaces each {bind:N} in arg by path(N), N from 1 in decimal without leading zeros. It returns
// ErrRequest if N has another form or path knows no such file.
func substitute(arg string, path func(n int) (string, bool)) (string, error) {
	var bad string
	out := bindPattern.ReplaceAllStringFunc(arg, func(match string) string {
		digits := strings.TrimSuffix(strings.TrimPrefix(match, "{bind:"), "}")
		n, err := strconv.Atoi(digits)
		if err == nil && n >= 1 && strconv.Itoa(n) == digits {
			if replacement, ok := path(n); ok {
				return replacement
			}
		}
		bad = match
		return match
	})
	if bad != "" {
		return "", fmt.Errorf("%w: %s names no bound file (the first is {bind:1})", ErrRequest, bad)
	}
	return out, nil
}
