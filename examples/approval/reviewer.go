package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/examples/staff"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// reviewer looks at command lines. It says what is wrong with one, or "" if it finds nothing.
type reviewer struct {
	role    staff.Role
	praise  string
	problem func(argv []string, dir string) string
}

var reviewers = []reviewer{
	{staff.Role{Name: "scope-reviewer", Family: "scope"}, "stays inside the directory", outside},
	{staff.Role{Name: "harm-reviewer", Family: "harm"}, "nothing in it destroys or hides anything", harmful},
}

// serve has an agent vote as the reviewer, until it is closed. What counts is the action that is signed, never the proposer's words.
func (r reviewer) serve(a *sdk.Agent) error {
	return a.OnBallot(func(_ context.Context, v ballot.View) (ballot.Vote, error) {
		argv, dir := v.Action.Values("argv"), v.Action.Values("directory")
		if len(argv) == 0 || len(dir) != 1 {
			return ballot.Reject("no command line that I can read"), nil
		}
		if found := r.problem(argv, dir[0]); found != "" {
			return ballot.Reject(found), nil
		}
		return ballot.Approve(r.praise), nil
	}, kind)
}

// outside finds the first argument that names a place outside the directory.
func outside(argv []string, dir string) string {
	for _, arg := range argv[1:] {
		_, value, _ := strings.Cut(arg, "=")
		for _, path := range []string{arg, value} {
			if path == "" || strings.HasPrefix(path, "-") {
				continue
			}
			if strings.HasPrefix(path, "~") {
				return fmt.Sprintf("%q is outside the directory", path)
			}
			full := path
			if !filepath.IsAbs(path) {
				full = filepath.Join(dir, path)
			}
			if rel, err := filepath.Rel(dir, full); err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
				return fmt.Sprintf("%q is outside the directory", path)
			}
		}
	}
	return ""
}

// harmful finds the first thing in a command line that destroys much, hides what is run, or runs it with other rights.
func harmful(argv []string, _ string) string {
	program, rest := filepath.Base(argv[0]), argv[1:]
	has := func(flags ...string) bool {
		return slices.ContainsFunc(rest, func(arg string) bool { return slices.Contains(flags, arg) })
	}
	switch program {
	case "sudo", "su", "doas":
		return program + " runs it with other rights"
	case "sh", "bash", "zsh", "eval", "python", "python3", "node", "perl":
		if has("-c", "-e", "--eval") {
			return "what " + program + " would run stands in a text"
		}
	case "rm", "shred", "dd", "mkfs", "truncate":
		return program + " destroys what it is given"
	case "git":
		if has("--force", "-f", "--hard", "--no-verify") {
			return "git would throw work away, or skip its checks"
		}
	case "curl", "wget", "nc", "ssh", "scp":
		return program + " talks to other machines"
	}
	return ""
}
