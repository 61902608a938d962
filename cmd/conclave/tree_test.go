package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func tree() *cobra.Command { return program1(strings.NewReader(""), io.Discard, io.Discard).root() }

// walk calls fn for every command below c.
func walk(c *cobra.Command, fn func(*cobra.Command)) {
	for _, child := range c.Commands() {
		fn(child)
		walk(child, fn)
	}
}

func TestTreeIsComplete(t *testing.T) {
	have := map[string]bool{}
	walk(tree(), func(c *cobra.Command) { have[strings.TrimPrefix(c.CommandPath(), "conclave ")] = true })
	for _, want := range strings.Fields(`demo dev call pub sub discover guard simulate version completion help exit-codes
		server/init server/run server/status server/token server/join cluster/members cluster/leader cluster/transfer
		cluster/remove cluster/sign cluster/apply cluster/recover cluster/remind agent/token agent/enroll agent/ls agent/show agent/quarantine agent/release
		agent/revoke agent/grant operator/new operator/sign operator/ls operator/add trust/show trust/set context/ls
		context/use context/show context/add context/forget decision/ls decision/show decision/propose decision/approve decision/reject
		decision/wait decision/verify decision/abstain decision/recuse decision/cancel decision/settle decision/export inbox
		policy/show policy/plan policy/apply policy/init policy/lint policy/test policy/history`) {
		if !have[strings.ReplaceAll(want, "/", " ")] {
			t.Errorf("no command %s", want)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root := tree()
	walk(root, func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", path, c.Short)
		}
		if !c.Runnable() {
			return // a help topic
		}
		if c.Example == "" {
			t.Errorf("%s: no example", path)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(line, "conclave ") {
				t.Errorf("%s: example %q", path, line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no text", path, f.Name)
			}
			if c.LocalNonPersistentFlags().Lookup(f.Name) != nil && root.PersistentFlags().Lookup(f.Name) != nil {
				t.Errorf("%s --%s: hides the flag of every command", path, f.Name)
			}
		})
	})
}

// TestExamplesParse runs no command: it checks that each example names a command with flags it has and arguments it
// takes.
func TestExamplesParse(t *testing.T) {
	walk(tree(), func(c *cobra.Command) {
		if strings.HasPrefix(c.CommandPath(), "conclave completion") {
			return
		}
		for line := range strings.Lines(c.Example) {
			words := fields(line)
			words = words[slices.Index(words, "conclave")+1:]
			if i := slices.IndexFunc(words, func(w string) bool { return w == "|" || w == "<" || w == ">" }); i >= 0 {
				words = words[:i]
			}
			target, rest, err := tree().Find(words)
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := target.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := target.ValidateArgs(target.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if err := target.ValidateRequiredFlags(); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}

// fields splits a line as a shell does, as far as our examples need it.
func fields(line string) []string {
	var words []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case r == '\'':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if any {
				words = append(words, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	return append(words, word.String())
}

func TestArgumentsAreChecked(t *testing.T) {
	s := newShell(t)
	for _, row := range []struct {
		args string
		hint string
	}{
		{"nonsense", "conclave --help"},
		{"agent lss", "conclave agent ls"},
		{"agent token", "conclave agent token --help"},
		{"agent token --name x --unknown", "conclave agent token --help"},
		{"agent show", "conclave agent show --help"},
		{"context use a b", "conclave context use --help"},
		{"call", "conclave call --help"},
		{"sub", "conclave sub --help"},
		{"trust set a L2", "conclave trust set --help"},
		{"decision verify x", "conclave decision verify --help"},
		{"decision verify x --realm nothex", ""},
		{"server init --preset strict", ""},
		{"server init --preset solo --policy x", "conclave server init --help"},
		{"context add x --realm 00 --address a:1 --pin N --key k", ""},
		{"call not/a/capability", ""},
		{"call Bad", ""},
		{"pub Bad", ""},
		{"sub a*", ""},
		{"agent enroll nonsense", ""},
		{"operator sign", ""},
		{"server join x --data y --cluster z", "copy the one line that `conclave server token` printed; an agent's token goes to: conclave agent enroll"},
		{"server join x --data y", "conclave server join --help"},
		{"server run --data y --cluster nowhere", ""},
		{"server token --expires 1h --cosign x", "conclave server token --help"},
		{"cluster recover --data y", "conclave cluster recover --help"},
		{"operator sign x --data y", ""},
		{"operator sign --data y", ""},
		{"-o yaml version", ""},
	} {
		r := s.refused(exitUsage, "usage", strings.Fields(row.args)...)
		if row.hint != "" && r.Hint != row.hint {
			t.Errorf("%s: hint %q, want %q", row.args, r.Hint, row.hint)
		}
	}
	s.refused(exitGuard, "usage", "guard")
	s.refused(exitGuard, "usage", "guard", "--nonsense", "--", "true")
	s.refused(exitGuard, "not_found", "guard", "--", "no-such-command-here")
	s.refused(exitGuard, "usage", "guard", "--", "/bin/echo", "{bind:1}")
}

func TestErrorsBeforeTheFlagsAreRead(t *testing.T) {
	s := newShell(t)
	if e := s.run("agent", "ls", "--bad", "--json"); e.status != exitUsage || !strings.HasPrefix(e.stderr, `{"error":{"code":"usage"`) {
		t.Errorf("exit %d, %q", e.status, e.stderr)
	}
	// What stands behind -- belongs to the guarded command.
	if e := s.run("guard", "--bad", "--", "x", "--json"); e.status != exitGuard || !strings.HasPrefix(e.stderr, "conclave: ") {
		t.Errorf("exit %d, %q", e.status, e.stderr)
	}
}

func TestWithoutARealm(t *testing.T) {
	s := newShell(t)
	for _, args := range []string{
		"agent ls", "agent show x", "agent token --name x", "operator ls", "trust show x", "discover", "call a.b",
		"pub a.b", "sub a.b", "decision ls", "decision cancel 00000000", "decision settle 00000000 --right", "inbox",
		"decision export 00000000 x", "policy show", "policy plan x", "policy apply x", "agent grant x --family y", "decision show 00000000", "decision propose a.b", "server status",
		"agent quarantine x --reason y", "server token", "cluster members", "cluster leader", "cluster transfer", "cluster remove NABC",
	} {
		if r := s.refused(exitNotFound, "not_found", strings.Fields(args)...); !strings.Contains(r.Hint, "conclave dev") {
			t.Errorf("%s: hint %q", args, r.Hint)
		}
	}
	s.refused(exitNotFound, "not_found", "server", "run", "--data", s.path("empty"))
	s.refused(exitNotFound, "not_found", "agent", "ls", "--context", "nowhere")
	s.refused(exitNotFound, "not_found", "decision", "verify", s.path("none"), "--realm", strings.Repeat("0", 64))
	s.refused(exitGuard, "not_found", "guard", "--", "/bin/echo")
}

func TestHelp(t *testing.T) {
	s := newShell(t)
	if out := s.ok(); !strings.Contains(out, "decision") {
		t.Errorf("conclave alone: %q", out)
	}
	topic := s.ok("help", "exit-codes")
	for _, line := range []string{"  0    ", "  1    ", "  6    ", "  9    ", "  125  "} {
		if !strings.Contains(topic, "\n"+line) {
			t.Errorf("no line %q in %q", line, topic)
		}
	}
	if out := s.ok("agent", "token", "--help"); !strings.Contains(out, "Examples:") {
		t.Errorf("help: %q", out)
	}
	if out := s.ok("completion", "bash"); !strings.Contains(out, "conclave") {
		t.Error("no completion")
	}
	if v := document[map[string]string](s, "version"); v["version"] == "" || v["go"] == "" {
		t.Errorf("version: %v", v)
	}
	if out := s.ok("version"); !strings.HasPrefix(out, "conclave ") {
		t.Errorf("version: %q", out)
	}
}

func TestMainIsShort(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 40 {
		t.Errorf("main.go has %d lines", n)
	}
}
