package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// screen is what the program prints. It is safe for concurrent use.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
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

// stage is a realm with its person, who votes as told, and the program that holds a command in a directory of its own.
func stage(t *testing.T, vote ballot.Vote, argv ...string) (*sdktest.Realm, *program) {
	t.Helper()
	r := sdktest.New(t)
	t.Chdir(t.TempDir())
	shown := &screen{}
	person := r.Operator(t, 0) // at the terminal, who votes once everything is on the screen
	err := person.OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) {
		if !strings.Contains(shown.String(), "the coder approves its own command") {
			return ballot.Vote{}, sdk.Errorf(code.Pending, "not shown yet") // asked again soon
		}
		return vote, nil
	}, kind)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{
		argv: argv, certificate: "approval.cert", reason: "try", out: shown, errs: io.Discard,
		opts: []sdk.Option{sdk.Over(r.Transport())},
		connect: func(ctx context.Context, _ string) (*sdk.Agent, error) {
			return sdk.Connect(ctx, sdk.WithProfile(r.OperatorProfile(0)), sdk.Over(r.Transport()))
		},
	}
	return r, p
}

// The whole story: a real command that writes a file runs once, after two agents and a person, and each attack is refused.
func TestTheWholeStory(t *testing.T) {
	r, p := stage(t, ballot.Approve("seen"), "touch", "built.txt")
	if err := p.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, p.out)
	}
	if _, err := os.Stat("built.txt"); err != nil {
		t.Error("the command did not run")
	}
	raw, err := os.ReadFile("approval.cert")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := verify.Parse(raw, verify.TrustRoot{Realm: r.ID()})
	if err != nil || c.Ballots() != 3 || c.Action().Digest() != p.command.action().Digest() {
		t.Errorf("the certificate that was written: %v", err)
	}
	for _, text := range []string{
		"the coder approves its own command: REFUSED denied",
		"one bit of the certificate changed: REFUSED ",
		"one ballot in it twice, another left out: REFUSED ",
		"another command under this certificate: REFUSED misaddressed",
		"a reviewer's ballot, replayed by the coder: REFUSED denied",
		"the same, replayed by who signed it: REFUSED spent",
		"the same certificate a second time: REFUSED spent",
		`executed    ["touch" "built.txt"], once`,
	} {
		if strings.Count(p.out.(*screen).String(), text) != 1 {
			t.Errorf("not printed once: %q, but:\n%s", text, p.out)
		}
	}
	if v, err := r.Operator(t, 0).Ballots().View(t.Context(), p.decision.ID().String()); err != nil || v.State != "executed" {
		t.Errorf("the registry has it as %s, %v", v.State, err)
	}
	if s, err := r.Operator(t, 0).Admin().Status(t.Context()); err != nil || s.Policy != r.Policy().Digest() || s.Policies != 2 {
		t.Errorf("the policy is not as it was: %+v, %v", s, err)
	}
}

// A command that either reviewer or the person rejects is not run, whoever else approves.
func TestRejected(t *testing.T) {
	approve, reject := ballot.Approve("seen"), ballot.Reject("not now")
	for name, tt := range map[string]struct {
		vote ballot.Vote
		argv []string
		says string
	}{
		"by the person":         {reject, []string{"touch", "built.txt"}, "not now"},
		"by the scope reviewer": {approve, []string{"touch", "../built.txt"}, "outside the directory"},
		"by the harm reviewer":  {approve, []string{"sh", "-c", "touch built.txt"}, "stands in a text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := stage(t, tt.vote, tt.argv...)
			if err := p.run(t.Context()); exitCode(err) != 7 || !errors.Is(err, sdk.ErrRejected) {
				t.Errorf("got %v\n%s", err, p.out)
			}
			for _, path := range []string{"built.txt", "../built.txt", p.certificate} {
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%s was written", path)
				}
			}
		})
	}
}

func TestReviewers(t *testing.T) {
	dir := filepath.Join(string(filepath.Separator), "src", "app")
	for _, tt := range []struct {
		argv           string
		outside, harms bool
	}{
		{"go test ./...", false, false},
		{"git commit -m done", false, false},
		{"touch a/b/../c", false, false},
		{"cp a.txt " + dir + "/b.txt", false, false},
		{"cp a.txt " + dir + "-other/b.txt", true, false},
		{"make DESTDIR=/usr install", true, false},
		{"cat ~/.ssh/id_ed25519", true, false},
		{"cat ../secrets", true, false},
		{"touch ..name", false, false},
		{"rm -rf build", false, true},
		{"rm -rf /", true, true},
		{"git push --force", false, true},
		{"sudo make", false, true},
		{"/usr/bin/sudo make", false, true},
		{"python3 -c x", false, true},
		{"python3 x.py", false, false},
		{"curl example.org", false, true},
	} {
		argv := strings.Fields(tt.argv)
		if got := outside(argv, dir); (got != "") != tt.outside {
			t.Errorf("%s: the scope reviewer says %q", tt.argv, got)
		}
		if got := harmful(argv, dir); (got != "") != tt.harms {
			t.Errorf("%s: the harm reviewer says %q", tt.argv, got)
		}
	}
}

// What is decided is what runs: an executable that was exchanged meanwhile does not.
func TestExchangedExecutable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool")
	for name, text := range map[string]string{"as decided": "#!/bin/sh\n", "exchanged": "#!/bin/sh\nexit 3\n"} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := prepare([]string{path})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		err = c.run(t.Context(), io.Discard, io.Discard)
		if want := name == "exchanged"; errors.Is(err, errChanged) != want || !want && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := prepare([]string{"no-such-program-anywhere"}); err == nil {
		t.Error("a program that does not exist was prepared")
	}
}

func TestParse(t *testing.T) {
	for args, want := range map[string]error{
		"-- touch x":                            nil,
		"touch x":                               nil,
		"--context mine --reason why -- go vet": nil,
		"":                                      errUsage,
		"--context mine":                        errUsage,
		"--force -- touch x":                    errUsage,
		"--help":                                flag.ErrHelp,
	} {
		var p program
		if err := p.parse(strings.Fields(args), io.Discard); !errors.Is(err, want) || want == nil && (err != nil || len(p.argv) != 2) {
			t.Errorf("%q: %v, %q", args, err, p.argv)
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {flag.ErrHelp, 0}, {errUsage, 2}, {errNotRefused, 1}, {sdk.ErrRejected, 7}, {sdk.ErrPending, 8},
		{sdk.ErrSpent, 4}, {sdk.ErrClosed, 3}, {sdk.ErrNoBus, 5},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// An attack that is not refused as it should be fails the run: nothing is only said.
func TestAttacksAreChecked(t *testing.T) {
	p := &program{out: &screen{}}
	if err := p.refused("one", sdk.ErrSpent, "spent"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{nil, sdk.ErrSpent, errors.New("x")} {
		if err := p.refused("another", err, "denied"); !errors.Is(err, errNotRefused) {
			t.Errorf("got %v", err)
		}
	}
}
