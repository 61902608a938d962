package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
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
