package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// kind is that of all actions here.
const kind = "process.exec"

// handedOver are the environment variables that a command gets. Their values are decided with it.
var handedOver = []string{"HOME", "PATH"}

// command is one command line, exactly as it is decided and run.
type command struct {
	argv   []string
	dir    string
	env    []string // name=value
	path   string   // of the executable
	digest string   // of its bytes
}

var errChanged = errors.New("approval: the executable is not the one that was decided on")

// prepare finds the executable and fixes everything that the command depends on.
func prepare(argv []string) (command, error) {
	path, err := exec.LookPath(argv[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return command{}, fmt.Errorf("approval: %w", err)
	}
	c := command{argv: argv, path: path}
	if c.dir, err = os.Getwd(); err != nil {
		return command{}, fmt.Errorf("approval: %w", err)
	}
	for _, name := range handedOver {
		c.env = append(c.env, name+"="+os.Getenv(name))
	}
	c.digest, err = fingerprint(path)
	return c, err
}

// fingerprint hashes a file.
func fingerprint(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("approval: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("approval: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// action is the command as voters sign it.
func (c command) action() sdk.Action {
	return sdk.NewAction(kind, c.path, map[string][]string{
		"argv": c.argv, "directory": {c.dir}, "environment": c.env, "executable": {c.path, c.digest},
	})
}

// run runs it, if the executable is still the same. Between this look and the start another program of the same user could still
// exchange it; `conclave guard` runs a sealed copy instead.
func (c command) run(ctx context.Context, out, errs io.Writer) error {
	now, err := fingerprint(c.path)
	if err != nil {
		return err
	}
	if now != c.digest {
		return errChanged
	}
	cmd := exec.CommandContext(ctx, c.path)
	cmd.Args, cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.argv, c.dir, c.env, out, errs
	return cmd.Run()
}
