package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// commands returns the words of every command that runs something of ours.
func commands(root *cobra.Command) [][]string {
	var all [][]string
	walk(root, func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		if c.Runnable() && !slices.Contains([]string{"completion", "help"}, path[0]) {
			all = append(all, path)
		}
	})
	return all
}

// own returns how a command's own failure exits.
func own(command []string, status int) int {
	if command[0] == "guard" {
		return exitGuard
	}
	return status
}

func TestEveryCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	s := newShell(t)
	all := commands(tree())
	if len(all) < 40 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, command := range all {
		s.ok(append(slices.Clone(command), "--help")...)
		for _, bad := range [][]string{{"--no-such-flag"}, {"--timeout", "soon"}, {"--json=perhaps"}, {"--context"}} {
			r := s.refused(own(command, exitUsage), "usage", append(slices.Clone(command), bad...)...)
			if want := "conclave " + strings.Join(command, " ") + " --help"; r.Hint != want {
				t.Errorf("%q %q: hint %q", command, bad, r.Hint)
			}
		}
	}
}

// TestWrongNumberOfArguments gives each command none and nine, and expects to be shown the form where that is wrong.
func TestWrongNumberOfArguments(t *testing.T) {
	s := newShell(t)
	nine := strings.Fields("a b c d e f g h i")
	root := tree()
	refused := 0
	for _, command := range commands(root) {
		c, _, err := root.Find(command)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{nil, nine} {
			if c.HasSubCommands() || c.ValidateArgs(args) == nil {
				continue
			}
			refused++
			r := s.refused(own(command, exitUsage), "usage", append(slices.Clone(command), args...)...)
			if !strings.Contains(r.Message, "the form is: conclave "+strings.Join(command, " ")) {
				t.Errorf("%q with %d arguments: %q", command, len(args), r.Message)
			}
		}
	}
	if refused < 30 {
		t.Errorf("only %d refusals", refused)
	}
}

func TestHelpFitsTheScreen(t *testing.T) {
	s := newShell(t)
	walk(tree(), func(c *cobra.Command) {
		if strings.HasPrefix(c.CommandPath(), "conclave completion") {
			return // cobra's own words
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		for line := range strings.Lines(s.ok(args...)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 110 {
				t.Errorf("%q: %d columns: %s", args, n, line)
			}
		}
	})
}

// TestTypedBadly is what a command can refuse before it needs a realm.
func TestTypedBadly(t *testing.T) {
	s := newShell(t)
	script := s.write("script.sh", "exit 0\n")
	key := s.path("alice.key")
	s.ok("operator", "new", "--out", key)
	realm := strings.Repeat("0", 64)
	for _, row := range []struct {
		name, args string
		status     int
		code       string
		says       string
	}{
		{"call: JSON cut off", "call text.echo {", exitUsage, "usage", "not one JSON value"},
		{"call: two values", "call text.echo 1,2", exitUsage, "usage", "not one JSON value"},
		{"call: target", "call Text/echo", exitUsage, "usage", ""},
		{"call: --as", "call text.echo 1 --as Bad_Name", exitUsage, "usage", `"Bad_Name"`},
		{"pub: JSON", "pub a.b nope", exitUsage, "usage", "not one JSON value"},
		{"pub: --wait", "pub a.b 1 --wait long", exitUsage, "usage", "--wait"},
		{"pub: --as", "pub a.b 1 --as -", exitUsage, "usage", "a name is"},
		{"sub: pattern", "sub a.*.b", exitUsage, "usage", ""},
		{"sub: --count", "sub a.* --count many", exitUsage, "usage", "--count"},
		{"sub: --as", "sub a.* --as A", exitUsage, "usage", "a name is"},
		{"token: no --name", "agent token", exitUsage, "usage", `"name"`},
		{"token: --expires", "agent token --name x --expires forever", exitUsage, "usage", "--expires"},
		{"enroll: not a token", "agent enroll nonsense", exitUsage, "usage", ""},
		{"quarantine: no reason", "agent quarantine x", exitUsage, "usage", `"reason"`},
		{"revoke: no reason", "agent revoke x", exitUsage, "usage", `"reason"`},
		{"trust set: no reason", "trust set x L2", exitUsage, "usage", `"reason"`},
		{"propose: unknown flag", "decision propose a.b --execute", exitUsage, "usage", "--execute"},
		{"verify: no realm", "decision verify x", exitUsage, "usage", `"realm"`},
		{"verify: realm too short", "decision verify x --realm 00", exitUsage, "usage", "64 lower-case hexadecimal digits"},
		{"verify: negative roster", "decision verify x --realm " + realm + " --roster -1", exitUsage, "usage", "--roster"},
		{"verify: no file", "decision verify " + s.path("none") + " --realm " + realm, exitNotFound, "not_found", s.path("none")},
		{"init: preset", "server init --preset lax", exitUsage, "usage", "lax"},
		{"init: root is no operator", "server init --root N", exitUsage, "usage", ""},
		{"init: no policy file", "server init --policy " + s.path("none"), exitNotFound, "not_found", ""},
		{"run: nothing there", "server run --data " + s.path("none"), exitNotFound, "not_found", s.path("none")},
		{"dev: --listen", "dev --listen nowhere", exitUsage, "invalid_input", ""},
		{"sign: neither", "operator sign", exitUsage, "usage", "either"},
		{"sign: both", "operator sign x --data y", exitUsage, "usage", "either"},
		{"sign: no key", "operator sign --data y", exitUsage, "usage", "--key"},
		{"sign: no key file", "operator sign --data y --key " + s.path("none"), exitNotFound, "not_found", ""},
		{"sign: no realm", "operator sign --data " + s.path("none") + " --key " + key, exitNotFound, "not_found", ""},
		{"sign: no command", "operator sign " + s.path("none"), exitNotFound, "not_found", ""},
		{"sign: not a command", "operator sign " + script, exitVerification, "malformed", ""},
		{"operator new: taken", "operator new --out " + key, exitLocal, "conflict", key},
		{"guard: nothing to run", "guard", exitGuard, "usage", "guard [flags] -- COMMAND"},
		{"guard: nothing behind --", "guard --key x --", exitGuard, "usage", "guard [flags] -- COMMAND"},
		{"guard: no such command", "guard -- no-such-command", exitGuard, "not_found", "no-such-command"},
		{"guard: no such path", "guard -- /no/such/path", exitGuard, "not_found", "/no/such/path"},
		{"guard: --bind", "guard --bind " + s.path("none") + " -- /bin/echo", exitGuard, "not_found", s.path("none")},
		{"guard: {bind:2} of one", "guard --bind " + script + " -- /bin/sh {bind:2}", exitGuard, "usage", "{bind:2}"},
		{"guard: {bind:0}", "guard --bind " + script + " -- /bin/sh {bind:0}", exitGuard, "usage", "{bind:0}"},
		{"guard: --class", "guard --class R9 -- /bin/echo", exitGuard, "usage", `"R9"`},
		{"guard: --as", "guard --as A -- /bin/echo", exitGuard, "usage", "a name is"},
		{"guard: --env", "guard --env A=B -- /bin/echo", exitGuard, "usage", ""},
		{"output form", "version -o yaml", exitUsage, "usage", `"yaml"`},
		{"unknown context", "agent ls --context nowhere", exitNotFound, "not_found", `"nowhere"`},
		{"a context's name", "agent ls --context ../x", exitNotFound, "not_found", `"../x"`},
		{"context use: name", "context use ../x", exitUsage, "usage", `"../x"`},
		{"verify: a directory", "decision verify " + s.home + " --realm " + realm, exitUsage, "invalid_input", s.home},
		{"guard: unknown context", "guard --context nowhere -- /bin/echo", exitGuard, "not_found", `"nowhere"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := s
			s.TB = t
			r := s.refused(row.status, row.code, strings.Fields(row.args)...)
			if !strings.Contains(r.Message, row.says) {
				t.Errorf("it says %q, not %q", r.Message, row.says)
			}
			if row.code == "usage" && strings.Contains(r.Message, "canonical") {
				t.Errorf("it speaks of an encoding to somebody who typed: %q", r.Message)
			}
		})
	}
}

// TestRefusedByOrForTheRealm is what a command refuses with a realm at hand. Each row has an honest twin.
func TestRefusedByOrForTheRealm(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.enrol("worker", "text.*")
	for _, args := range []string{
		"agent token --name fresh --level L2 --serves text.* --expires 1h", "agent show worker", "agent grant worker text.*",
		"trust show worker", "trust set worker L2 --reason x", "decision ls --waiting", "discover --min-level L1",
		"decision propose db.migrate --class R3 --param a=1", "server status", "operator ls",
	} {
		s.ok(append([]string{"--context", "operator"}, strings.Fields(args)...)...)
	}
	nobody := "UAETZKJPEQY6OMV5J5FX5APJIQDU4ZPJVPTPB2OPHK2SST24VSSD7GZ5"
	for _, row := range []struct {
		args   string
		status int
		code   string
		says   string
	}{
		{"agent token --name Bad", exitUsage, "usage", `"Bad"`},
		{"agent token --name " + strings.Repeat("a", 64), exitUsage, "usage", "1 to 63"},
		{"agent token --name x --level L6", exitUsage, "usage", "L0 to L5"},
		{"agent token --name x --level high", exitUsage, "usage", "L0 to L5"},
		{"agent token --name x --serves a*", exitUsage, "usage", ""},
		{"agent token --name x --expires 0s", exitUsage, "usage", "--expires"},
		{"agent token --name x --expires -1h", exitUsage, "usage", "--expires"},
		{"agent token --name x --expires 169h", exitUsage, "usage", "--expires"},
		{"agent show Worker", exitUsage, "usage", `"Worker"`},
		{"agent show stranger", exitNotFound, "unknown", "stranger"},
		{"agent show " + nobody, exitNotFound, "unknown", ""},
		{"agent grant worker a*", exitUsage, "usage", ""},
		{"agent grant stranger a", exitNotFound, "unknown", "stranger"},
		{"agent release stranger", exitNotFound, "unknown", "stranger"},
		{"agent quarantine stranger --reason x", exitNotFound, "unknown", "stranger"},
		{"trust show stranger", exitNotFound, "unknown", "stranger"},
		{"trust set worker L9 --reason x", exitUsage, "usage", "L0 to L5"},
		{"trust set worker 3.5 --reason x", exitUsage, "usage", "L0 to L5"},
		{"trust set stranger L2 --reason x", exitNotFound, "unknown", "stranger"},
		{"discover Text", exitUsage, "usage", ""},
		{"discover --min-level LX", exitUsage, "usage", "L0 to L5"},
		{"discover text.other", exitNobody, "no_responder", ""},
		{"decision show 1234567", exitUsage, "usage", "first 8"},
		{"decision show " + strings.Repeat("0", 65), exitUsage, "usage", "first 8"},
		{"decision show 0000000G", exitUsage, "usage", "first 8"},
		{"decision show ABCDEF00", exitUsage, "usage", "first 8"},
		{"decision show 00000000", exitNotFound, "unknown", "00000000"},
		{"decision approve 00000000", exitNotFound, "unknown", ""},
		{"decision reject short", exitUsage, "usage", "first 8"},
		{"decision wait short", exitUsage, "usage", "first 8"},
		{"decision propose DB", exitUsage, "usage", ""},
		{"decision propose a.b --class R4", exitUsage, "usage", `"R4"`},
		{"decision propose a.b --param novalue", exitUsage, "usage", "name=value"},
		{"decision propose a.b --out x", exitUsage, "usage", "--wait"},
		{"operator add Bad " + nobody, exitUsage, "usage", `"Bad"`},
		{"operator add bob " + nobody, exitUsage, "usage", nobody},
		{"pub a.b 1", exitUsage, "usage", "operators send no messages"},
		{"sub a.b", exitUsage, "usage", "operators send no messages"},
		{"call a.b 1", exitUsage, "usage", "operators send no messages"},
		{"call --as desk stranger/text.echo 1", exitNotFound, "unknown", ""},
	} {
		r := s.refused(row.status, row.code, append([]string{"--context", "operator"}, strings.Fields(row.args)...)...)
		if !strings.Contains(r.Message, row.says) || strings.Contains(r.Message, "canonical") {
			t.Errorf("%s: it says %q, not %q", row.args, r.Message, row.says)
		}
	}
}

// TestErrorsForScripts holds the form that scripts read: one line, four fields, stdout empty.
func TestErrorsForScripts(t *testing.T) {
	s := newShell(t)
	for _, args := range []string{
		"agent ls", "nonsense", "agent token", "context use x", "decision verify x --realm y", "server run --data /none",
		"guard -- /none", "call a.b {",
	} {
		for _, form := range []string{"--json", "-ojson", "-o=json", "--output=json"} {
			e := s.run(append([]string{form}, strings.Fields(args)...)...)
			var doc map[string]map[string]any
			if err := json.Unmarshal([]byte(e.stderr), &doc); err != nil {
				t.Errorf("%s %s: %v: %q", form, args, err, e.stderr)
				continue
			}
			var keys []string
			for key := range doc["error"] {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			if !slices.Equal(keys, []string{"code", "hint", "message", "retryable"}) || len(doc) != 1 {
				t.Errorf("%s %s: fields %q", form, args, keys)
			}
			if e.status == 0 || e.stdout != "" || strings.Count(e.stderr, "\n") != 1 {
				t.Errorf("%s %s: %+v", form, args, e)
			}
		}
		if e := s.run(strings.Fields(args)...); !strings.HasPrefix(e.stderr, "conclave: ") || strings.Count(e.stderr, "\n") != 2 {
			t.Errorf("%s, for people: %q", args, e.stderr)
		}
	}
}
