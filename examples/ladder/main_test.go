package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// screen is what the program prints. It is safe for concurrent use.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func staged(r *sdktest.Realm, shown io.Writer) *program {
	return &program{
		out: shown, pause: func() {}, opts: []sdk.Option{sdk.Over(r.Transport())},
		connect: func(ctx context.Context, _ string) (*sdk.Agent, error) {
			return sdk.Connect(ctx, sdk.WithProfile(r.OperatorProfile(0)), sdk.Over(r.Transport()))
		},
	}
}

// The whole story: both climb by work that was checked, and the one that is wrong on purpose falls, and is refused.
func TestClimbAndFall(t *testing.T) {
	shown := &screen{}
	if err := staged(sdktest.New(t), shown).run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	for _, want := range []string{
		`call +steady\S* file.sort: REFUSED`, `right +steady\S* sorted`, `sign-off +sloppy\S* to L2`, `level +steady\S*: L1 → L2`,
		`WRONG +sloppy\S* sorted`, `fallen +sloppy\S* is L1: sudden failures`, `call +sloppy\S* file.sort: REFUSED`,
	} {
		if !regexp.MustCompile(want).MatchString(shown.String()) {
			t.Errorf("nowhere %q:\n%s", want, shown)
		}
	}
}

// An auditor does the work again: a botched job is not right, and neither is an answer to another one.
func TestRight(t *testing.T) {
	j := job{Number: 2, Text: "b\na\n"}
	if !right(j, work(j)) {
		t.Error("good work is not right")
	}
	other := j
	other.Text = "b\na\nc\n"
	for name, d := range map[string]done{"botched": botch(j), "another's": work(other), "nothing": {}} {
		if right(j, d) {
			t.Errorf("%s work is right", name)
		}
	}
	odd := j
	odd.Number = 3
	if !right(odd, botch(odd)) {
		t.Error("the sloppy one is wrong every time")
	}
}

func TestCommandLine(t *testing.T) {
	p := &program{out: io.Discard}
	if err := p.parse([]string{"-context", "x", "-step", "a", "b"}, strings.NewReader("\n"), io.Discard); err != nil || len(p.files) != 2 || p.context != "x" {
		t.Errorf("%+v, %v", p, err)
	}
	p.pause()
	if err := p.parse([]string{"-nope"}, nil, io.Discard); exitCode(err) != 2 {
		t.Errorf("an unknown flag: %v", err)
	}
	if err := p.parse([]string{"-h"}, nil, io.Discard); !errors.Is(err, flag.ErrHelp) || exitCode(err) != 0 {
		t.Errorf("help: %v", err)
	}
	for c, want := range map[code.Code]int{code.Unreachable: 3, code.Denied: 4, code.NotFound: 5, code.Rate: 1} {
		if got := exitCode(sdk.Errorf(c, "x")); got != want {
			t.Errorf("%s exits with %d", c, got)
		}
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("z\ny\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if jobs, err := read([]string{file}); err != nil || len(jobs) != 1 || jobs[0].File != "f" {
		t.Errorf("%+v, %v", jobs, err)
	}
	if _, err := read([]string{file + "x"}); exitCode(err) != 1 {
		t.Errorf("a missing file: %v", err)
	}
}

// An auditor signs nothing that it has not seen: no answer, another capability, another one's job or answer.
func TestAttackTheAuditor(t *testing.T) {
	steady, sloppy, customer, other := id(t), id(t), id(t), id(t)
	a := newAuditor()
	good, next := job{Number: 1, For: "steady", Text: "b\na\n"}, job{Number: 3, For: "steady", Text: "c\nb\n"}
	heard := errors.Join(hear(a, a.jobs, customer, good), hear(a, a.jobs, customer, next), hear(a, a.jobs, other, next),
		hear(a, a.dones, steady, work(good)), hear(a, a.dones, steady, work(next)))
	if heard != nil {
		t.Fatal(heard)
	}
	digest := func(content any) sdk.Digest {
		d, err := digestOf(content)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	text := func(content any) []byte {
		b, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	told := standing.Claim{
		Subject:  standing.Party{ID: steady, Name: "steady"},
		Evidence: trust.Evidence{Author: customer, Subject: steady, Request: digest(good), Result: digest(work(good))},
	}
	called := standing.Claim{Called: true, Capability: "file.sort", Request: text(good), Answered: true, Answer: text(work(good))}
	for name, c := range map[string]standing.Claim{"by topic": told, "by call": called} {
		if ok, err := a.attest(t.Context(), c); err != nil || !ok {
			t.Fatalf("honest, %s: %t %v", name, ok, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		of     standing.Claim
		change func(c *standing.Claim)
	}{
		"no answer":          {called, func(c *standing.Claim) { c.Answered, c.Answer = false, nil }},
		"a refusal":          {called, func(c *standing.Claim) { c.Failure, c.Answer = errNotRefused, nil }},
		"another capability": {called, func(c *standing.Claim) { c.Capability = "file.hash" }},
		"the other's answer": {told, func(c *standing.Claim) { c.Subject.Name, c.Subject.ID, c.Evidence.Subject = "sloppy", sloppy, sloppy }},
		"another job":        {told, func(c *standing.Claim) { c.Evidence.Request = digest(next) }},
		"another's job":      {told, func(c *standing.Claim) { c.Evidence.Author = other }},
		"nothing answered":   {told, func(c *standing.Claim) { c.Evidence.Result = sdk.Digest{} }},
	} {
		claim := c.of
		c.change(&claim)
		if ok, err := a.attest(ended, claim); err == nil || ok {
			t.Errorf("%s: a verdict, %t", name, ok)
		}
	}
}

func id(t *testing.T) sdk.ID {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}
