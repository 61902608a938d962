package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

func TestParse(t *testing.T) {
	tests := []struct {
		args      string
		want      error
		reviewers []string
	}{
		{"--db a.db --sql c.sql", nil, []string{"dev"}},
		{"--db a.db --sql c.sql --context mine", nil, []string{"mine"}},
		{"--db a.db --sql c.sql --reviewer-context ana", nil, []string{"ana"}},
		{"--db a.db --sql c.sql --reviewer-context ana,ben", nil, []string{"ana", "ben"}},
		{"--db a.db --sql c.sql --reviewer-context none", nil, nil},
		{"--review backup --context ben", nil, []string{"ben"}},
		{"--db a.db --sql c.sql --reviewer-context ana,ben,you", errUsage, nil},
		{"--db a.db --sql c.sql --reviewer-context ana,", errUsage, nil},
		{"--db a.db", errUsage, nil},
		{"--sql c.sql", errUsage, nil},
		{"--db a.db --sql c.sql now", errUsage, nil},
		{"--db a.db --sql c.sql --force", errUsage, nil},
		{"--help", flag.ErrHelp, nil},
	}
	for _, tt := range tests {
		var p program
		err := p.parse(strings.Fields(tt.args), io.Discard)
		if !errors.Is(err, tt.want) || (tt.want == nil && (err != nil || !slices.Equal(p.reviewers, tt.reviewers))) {
			t.Errorf("%s: %v, reviewers %q", tt.args, err, p.reviewers)
		}
	}
	var p program
	if err := p.parse([]string{"--db", "a.db", "--sql", "c.sql"}, io.Discard); err != nil || p.certificate != "c.sql.cert" {
		t.Errorf("certificate %q, %v", p.certificate, err)
	}
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{flag.ErrHelp, 0},
		{fmt.Errorf("%w: x", errUsage), 2},
		{migration.ErrChanged, 1},
		{fmt.Errorf("x: %w", sdk.ErrSpent), 4},
		{sdk.ErrUncertain, 3},
		{sdk.ErrClosed, 3},
		{sdk.Errorf(code.Denied, "x"), 4},
		{sdk.ErrNoBus, 5},
		{sdk.ErrNoResponder, 6},
		{errors.Join(sdk.ErrRejected, errors.New("x")), 7},
		{errors.Join(sdk.ErrPending, errors.New("x")), 8},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestWithoutABus(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	p := &program{out: &screen{}, connect: connect, context: "dev"}
	dir := t.TempDir()
	p.database, p.sqlFile = filepath.Join(dir, "app.db"), filepath.Join(dir, "change.sql")
	execute(t, p.database, "CREATE TABLE orders (id)")
	write(t, p.sqlFile, testdata(t, "accepted.sql"))
	err := p.run(t.Context())
	wantExit(t, p, err, 5)
	if !strings.Contains(err.Error(), "start one: conclave dev") {
		t.Error(err)
	}
}

// Each reviewer alone, on one file that it accepts and one that it rejects.
func TestReviewersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	execute(t, path, "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT); INSERT INTO orders VALUES (1, 'book')")
	for _, as := range roles {
		for file, approve := range map[string]bool{"accepted.sql": true, "rejected.sql": false} {
			r, err := migration.Read(path, filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			o, err := as.review(t.Context(), r)
			if err != nil || o.Approve != approve || o.Reason == "" {
				t.Errorf("%s on %s: %+v, %v", as.name, file, o, err)
			}
		}
	}
}

func TestReasonsFitABallot(t *testing.T) {
	o := objecting([]string{strings.Repeat("é", 600), "x"})
	if len(o.Reason) > 1024 || !strings.HasSuffix(o.Reason, "…") || o.Approve {
		t.Errorf("%d bytes: %+v", len(o.Reason), o)
	}
}

func TestOthersWordsCannotSteerTheTerminal(t *testing.T) {
	p := &program{out: &screen{}}
	p.say("ballot", "%s", "é no\x1b[2K\rapplied\nstate \u202e")
	if got, want := p.screen().String(), "ballot     é no\ufffd[2K\ufffdapplied\ufffdstate \ufffd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
