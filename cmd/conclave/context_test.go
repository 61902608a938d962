package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/contexts"
)

func TestContextAdd(t *testing.T) {
	s := newShell(t)
	m := document[made](s, "server", "init", "--data", s.path("realm"))
	alice := s.people("alice")["alice"]
	good := map[string]string{"--realm": m.Realm, "--address": "127.0.0.1:1", "--pin": m.Pins[0], "--key": s.path("alice.key")}
	add := func(name string, change map[string]string) []string {
		args := []string{"context", "add", name}
		for _, flag := range []string{"--realm", "--address", "--pin", "--key"} {
			value, changed := change[flag]
			if !changed {
				value = good[flag]
			}
			if value != "" {
				args = append(args, flag, value)
			}
		}
		return args
	}

	line := document[contextLine](s, add("prod", nil)...)
	if line.Name != "prod" || !line.Selected || line.Principal != alice || line.Realm != m.Realm || line.Key != s.path("alice.key") {
		t.Errorf("added %+v", line)
	}
	loose := s.write("loose.key", "")
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		change map[string]string
		status int
		code   string
	}{
		"no realm":             {map[string]string{"--realm": ""}, exitUsage, "usage"},
		"no address":           {map[string]string{"--address": ""}, exitUsage, "usage"},
		"no pin":               {map[string]string{"--pin": ""}, exitUsage, "usage"},
		"no key":               {map[string]string{"--key": ""}, exitUsage, "usage"},
		"realm cut off":        {map[string]string{"--realm": m.Realm[:63]}, exitUsage, "usage"},
		"realm in capitals":    {map[string]string{"--realm": strings.Repeat("AB", 32)}, exitUsage, "usage"},
		"an operator's pin":    {map[string]string{"--pin": alice}, exitUsage, "usage"},
		"a pin with a typo":    {map[string]string{"--pin": mistyped(m.Pins[0])}, exitUsage, "usage"},
		"address without port": {map[string]string{"--address": "localhost"}, exitUsage, "invalid_input"},
		"no such key file":     {map[string]string{"--key": s.path("none")}, exitNotFound, "not_found"},
		"not a key file":       {map[string]string{"--key": s.write("text", "hello\n")}, exitUsage, "invalid_input"},
		"a key others read":    {map[string]string{"--key": loose}, exitLocal, "loose_mode"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			s.TB = t
			s.refused(row.status, row.code, add("other", row.change)...)
		})
	}
	s.refused(exitLocal, "conflict", add("prod", nil)...)
	s.refused(exitUsage, "usage", add("Bad", nil)...)
	s.refused(exitUsage, "usage", add("../up", nil)...)
	if names := contextNames(s); !slices.Equal(names, []string{"operator", "prod*"}) {
		t.Errorf("after what was refused: %q", names)
	}
}

// contextNames lists the contexts, the selected one with a star.
func contextNames(s shell) []string {
	s.Helper()
	var names []string
	for _, c := range document[struct{ Contexts []contextLine }](s, "context", "ls").Contexts {
		if c.Selected {
			c.Name += "*"
		}
		names = append(names, c.Name)
	}
	return names
}

// TestWhichContext holds the order: --context, $CONCLAVE_CONTEXT, the selected one.
func TestWhichContext(t *testing.T) {
	s := newShell(t)
	s.refused(exitUsage, "usage", "context", "show")
	if names := contextNames(s); len(names) != 0 {
		t.Errorf("contexts %q", names)
	}
	for _, name := range []string{"one", "two", "three"} {
		s.ok("server", "init", "--data", s.path(name), "--context-name", name, "--operator-key", s.path(name+".key"))
	}
	for _, row := range []struct {
		flag, env, want string
	}{
		{"", "", "three"}, {"", "two", "two"}, {"one", "two", "one"}, {"one", "", "one"},
	} {
		setenv(t, contexts.EnvVar, row.env)
		args := []string{"context", "show"}
		if row.flag != "" {
			args = append(args, "--context", row.flag)
		}
		if c := document[contextLine](s, args...); c.Name != row.want || c.Selected != (row.want == "three") {
			t.Errorf("%+v: %+v", row, c)
		}
		if c := document[contextLine](s, append(args, "two")...); c.Name != "two" {
			t.Errorf("%+v: named in the command, but shown %s", row, c.Name)
		}
	}
	setenv(t, contexts.EnvVar, "nowhere")
	s.refused(exitNotFound, "not_found", "context", "show")
	s.refused(exitNotFound, "not_found", "agent", "ls")
	setenv(t, contexts.EnvVar, "")
	s.refused(exitNotFound, "not_found", "context", "show", "nowhere")
	s.refused(exitNotFound, "not_found", "context", "use", "nowhere")
	s.ok("context", "use", "one")
	if names := contextNames(s); !slices.Equal(names, []string{"one*", "three", "two"}) {
		t.Errorf("contexts %q", names)
	}
	for _, word := range []string{"NAME", "one", "selected", "127.0.0.1:7415"} {
		if out := s.ok("context", "ls"); !strings.Contains(out, word) {
			t.Errorf("no %q in %q", word, out)
		}
	}
}

// mistyped changes the last letter.
func mistyped(key string) string {
	last := "A"
	if strings.HasSuffix(key, last) {
		last = "B"
	}
	return key[:len(key)-1] + last
}
