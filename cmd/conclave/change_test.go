package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

var (
	alice = identity.NewSigner(identity.NewID(identity.Operator, wire.NewKey([32]byte{1}).Public()), wire.NewKey([32]byte{1}))
	agent = identity.NewID(identity.Agent, wire.NewKey([32]byte{2}).Public())
)

// TestExplain shows what an operator reads before signing: all that the command says, and no more than text.
func TestExplain(t *testing.T) {
	for _, row := range []struct {
		name string
		typ  registry.Type
		body any
		want string
	}{
		{"release", registry.TypeStatus, registry.SetStatus{Principal: agent, Status: trust.Active},
			"make " + agent.String() + " active"},
		{"revoke", registry.TypeStatus, registry.SetStatus{Principal: agent, Status: trust.Revoked, Reason: "a\nb\u202e"},
			"make " + agent.String() + ` revoked, because "a\nb\u202e"`},
		{"level", registry.TypeLevel, registry.SetLevel{Principal: agent, Level: 4, Reason: "good"},
			"put " + agent.String() + ` at level L4, because "good"`},
		{"operator", registry.TypeOperator, registry.AddOperator{Operator: alice.ID(), Name: "\x1b[2J"},
			"make " + alice.ID().String() + `, called "\x1b[2J", an operator`},
		{"grant", registry.TypeGrant, registry.Grant{Principal: agent, Serves: []string{"a.*", "b"}},
			"let " + agent.String() + " serve: a.* b"},
		{"grant with a family", registry.TypeGrant, registry.Grant{Principal: agent, Serves: []string{}, Family: "a\x1bb"},
			"let " + agent.String() + ` serve: -; its model family: a\x1bb`},
	} {
		c, err := registry.New(alice.ID(), row.typ, row.body, [16]byte{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := explain(c); err != nil || got != row.want {
			t.Errorf("%s: got %q, want %q: %v", row.name, got, row.want, err)
		}
	}
	other, err := registry.New(alice.ID(), registry.TypeTick, registry.Tick{Time: 1}, [16]byte{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := explain(other); codeOf(err) != "wrong_kind" {
		t.Errorf("a tick: %v", err)
	}
	wrong, err := registry.New(alice.ID(), registry.TypeLevel, registry.Tick{Time: 1}, [16]byte{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := explain(wrong); codeOf(err) != "malformed" {
		t.Errorf("another body: %v", err)
	}
}

func TestWriteDown(t *testing.T) {
	c, err := registry.New(alice.ID(), registry.TypeLevel, registry.SetLevel{Principal: agent, Level: 4}, [16]byte{1}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := alice.Cosign(wire.Realm{1}, c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "raise.cmd")
	for need, want := range map[uint64]string{0: "another operator's", 1: "--submit", 3: "2 more needed"} {
		var out strings.Builder
		if err := program1(nil, &out, io.Discard).writeDown(path, raw, need); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%d needed: %q %v", need, out.String(), err)
		}
	}
	back, parsed, err := readCommand(path)
	if err != nil || string(back) != string(raw) || parsed.Claim.Author != alice.ID() {
		t.Errorf("read back %+v: %v", parsed.Claim, err)
	}
	if err := os.WriteFile(path, raw[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readCommand(path); codeOf(err) != "malformed" {
		t.Errorf("cut off: %v", err)
	}
}

func TestTarget(t *testing.T) {
	for in, want := range map[string]sdk.Target{
		"text.echo":                    sdk.Any("text.echo"),
		"echo/text.echo":               sdk.To("echo", "text.echo"),
		agent.String() + "/text.echo":  sdk.To(agent.String(), "text.echo"),
		"echo-2/text.echo.with_more-1": sdk.To("echo-2", "text.echo.with_more-1"),
	} {
		if got, err := target(in); err != nil || got != want {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "/", "a/", "/a", "A/b", "a/b/c", "a b", "a/*", "*"} {
		if got, err := target(in); codeOf(err) != "usage" {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	got, err := patterns([]string{"b.*", "a", "b.*"})
	if err != nil || strings.Join(got, " ") != "a b.*" {
		t.Errorf("%v %v", got, err)
	}
	if got, err := patterns(nil); err != nil || got == nil {
		t.Errorf("none: %v %v", got, err)
	}
	if _, err := patterns([]string{"a*"}); codeOf(err) != "usage" {
		t.Errorf("bad: %v", err)
	}
}

func TestProposedAction(t *testing.T) {
	f := proposeFlags{target: "prod", class: "r2", params: []string{"b=2", "a=1", "a=x=y", "c="}}
	action, class, err := f.action("db.migrate")
	want := sdk.NewAction("db.migrate", "prod", map[string][]string{"a": {"1", "x=y"}, "b": {"2"}, "c": {""}})
	if err != nil || action.Digest() != want.Digest() || class.String() != "R2" {
		t.Errorf("%+v %s %v", action, class, err)
	}
	for name, bad := range map[string]proposeFlags{
		"no value": {params: []string{"a"}}, "no name": {params: []string{"=1"}}, "class": {class: "R4"},
		"target": {target: "a\nb"}, "certificate without waiting": {out: "x"},
	} {
		if _, _, err := bad.action("db.migrate"); codeOf(err) != "usage" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := (proposeFlags{}).action("DB"); codeOf(err) != "usage" {
		t.Errorf("kind: %v", err)
	}
}

func TestDataHome(t *testing.T) {
	for _, row := range []struct {
		xdg, home, want string
	}{
		{"/x", "/h", "/x/conclave"}, {"", "/h", "/h/.local/share/conclave"}, {"relative", "/h", "/h/.local/share/conclave"},
		{"", "", ""},
	} {
		env := map[string]string{"XDG_DATA_HOME": row.xdg, "HOME": row.home}
		got, err := dataHome(func(k string) string { return env[k] })
		if got != row.want || (row.want == "" && codeOf(err) != "usage") {
			t.Errorf("%+v: %q %v", row, got, err)
		}
	}
}

func TestContextCompletion(t *testing.T) {
	s := newShell(t)
	s.ok("server", "init")
	if out := s.ok("__complete", "context", "use", ""); !strings.HasPrefix(out, "operator\n") {
		t.Errorf("completion: %q", out)
	}
}
