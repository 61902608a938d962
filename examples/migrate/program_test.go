package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
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

// wants fails the test unless each text was printed.
func (s *screen) wants(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.String(), text) {
			t.Errorf("not printed: %q, but:\n%s", text, s)
		}
	}
}

// change makes a program that runs the SQL on a database with three orders, with a key.
func change(t *testing.T, r *realm, text string) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{
		database: filepath.Join(dir, "app.db"), sqlFile: filepath.Join(dir, "change.sql"),
		certificate: filepath.Join(dir, "change.sql.cert"), reviewers: []string{"dev"}, key: "change-1",
		timeout: 20 * time.Second, out: &screen{}, connect: r.connect,
	}
	execute(t, p.database, `CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL);
		INSERT INTO orders VALUES (1, 'book'), (2, 'pen'), (3, 'cup')`)
	write(t, p.sqlFile, text)
	return p
}

// again returns the program as it is started a second time.
func (p *program) again() *program {
	return &program{
		database: p.database, sqlFile: p.sqlFile, certificate: p.certificate, reviewers: p.reviewers, key: p.key,
		timeout: p.timeout, out: &screen{}, connect: p.connect,
	}
}

func (p *program) screen() *screen { return p.out.(*screen) }

// write, execute and digest report with Error, not Fatal: voters call them too, in goroutines of their own.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", migration.Source(path, "rwc"))
	if err != nil {
		t.Error(err)
		return
	}
	_, err = db.Exec(text)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Error(err)
	}
}

func digest(t *testing.T, path string) string {
	t.Helper()
	d, err := migration.Digest(path)
	if err != nil {
		t.Error(err)
	}
	return d
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decide has a person vote on migrations as soon as so many ballots are in.
func decide(t *testing.T, person *sdk.Agent, after int, vote ballot.Vote) {
	t.Helper()
	decideOnce(t, person, after, vote, func() bool { return true })
}

// decideHeard votes once the program has printed what both reviewers said, or that they said nothing.
func decideHeard(t *testing.T, p *program, person *sdk.Agent, vote ballot.Vote) {
	t.Helper()
	decideOnce(t, person, 0, vote, func() bool { return strings.Count(p.screen().String(), "\nreviewer ") >= len(roles) })
}

func decideOnce(t *testing.T, person *sdk.Agent, after int, vote ballot.Vote, ready func() bool) {
	t.Helper()
	err := person.OnBallot(func(_ context.Context, v ballot.View) (ballot.Vote, error) {
		if !ready() {
			return ballot.Vote{}, sdk.Errorf(code.Pending, "the reviewers have not been heard") // asked again soon
		}
		voted := 0 // what they voted is secret until the end
		for _, e := range v.Voters {
			if e.Voted || e.Committed {
				voted++
			}
		}
		if voted < after {
			return ballot.Vote{}, sdk.Errorf(code.Pending, "%d have voted", voted) // asked again at the next
		}
		return vote, nil
	}, migration.Kind)
	if err != nil {
		t.Fatal(err)
	}
}

func wantExit(t *testing.T, p *program, err error, want int) {
	t.Helper()
	if got := exitCode(err); got != want {
		t.Fatalf("exit code %d, want %d: %v\n%s", got, want, err, p.screen())
	}
}

func TestAdditiveMigrationByAReviewerAndAPerson(t *testing.T) {
	r := found(t, policy.Standard, 3)
	p := change(t, r, testdata(t, "accepted.sql"))
	decide(t, r.people[1], 2, ballot.Approve("seen"))
	wantExit(t, p, p.run(t.Context()), 0)
	p.screen().wants(t, "2 approvals, 1 by a person, of 2 operators", "; 4 may vote",
		"approves (its ballot counts): none of 2 statements destroys anything",
		"approves (its ballot counts): backup of 3 rows in 1 tables is sound; tried there, it changes 3 rows and loses none",
		r.people[1].ID().String()+" approve: seen", "applied    3 rows changed")
	raw, err := os.ReadFile(p.certificate)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := verify.Parse(raw, verify.TrustRoot{Realm: r.node.Realm()})
	if err != nil || cert.Action().Digest() != p.action().Digest() {
		t.Errorf("the certificate that was written: %v", err)
	}
	after := digest(t, p.database)
	second := p.again()
	err = second.run(t.Context())
	if wantExit(t, second, err, 4); sdk.CodeOf(err) != code.Spent || digest(t, p.database) != after {
		t.Errorf("the second time: %v", err)
	}
}

func TestDropIsRejected(t *testing.T) {
	r := found(t, policy.Standard, 3)
	p := change(t, r, testdata(t, "rejected.sql"))
	before := digest(t, p.database)
	err := p.run(t.Context())
	wantExit(t, p, err, 7)
	p.screen().wants(t,
		`rejects (its ballot counts): statement 1 drops something for ever: "DROP TABLE orders;"`,
		`rejects (its ballot counts): table "orders" with 3 rows would be gone`,
		"state      rejected")
	if digest(t, p.database) != before {
		t.Error("the database has changed")
	}
	if _, err := os.Stat(p.certificate); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("certificate: %v", err)
	}
	second := p.again()
	wantExit(t, second, second.run(t.Context()), 7)
}

// Two reviewers who reject are no veto, but nobody is as sure as the rule asks for where both are sure of their no.
func TestPeopleDoNotOverruleSureReviewers(t *testing.T) {
	r := found(t, policy.Standard, 3)
	p := change(t, r, testdata(t, "rejected.sql"))
	before := digest(t, p.database)
	decide(t, r.people[1], 2, ballot.Approve("they are archived")) // after both reviewers
	decide(t, r.people[2], 2, ballot.Approve("I have seen the archive"))
	wantExit(t, p, p.run(t.Context()), 7)
	p.screen().wants(t, "rejects (its ballot counts)", "state      rejected")
	if digest(t, p.database) != before {
		t.Error("the database has changed")
	}
}

func TestSoloDropWaitsForThePerson(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "rejected.sql"))
	before := digest(t, p.database)
	p.timeout = 200 * time.Millisecond
	wantExit(t, p, p.run(t.Context()), 8)
	p.screen().wants(t, "needs 1 approval, 1 by a person", "conclave decision approve ",
		"rejects (advice only: it is not in the electorate): statement 1 drops something for ever",
		"rejects (advice only: it is not in the electorate): table \"orders\" with 3 rows would be gone",
		"nothing was run")
	if digest(t, p.database) != before {
		t.Fatal("the database has changed before anybody approved")
	}
	decideHeard(t, p, r.people[0], ballot.Approve("they are archived"))
	second := p.again()
	second.timeout = 20 * time.Second
	wantExit(t, second, second.run(t.Context()), 0)
	second.screen().wants(t, "they are archived", "applied")
	after := digest(t, p.database)
	if after == before {
		t.Fatal("the orders are still there")
	}
	third := p.again()
	err := third.run(t.Context())
	if wantExit(t, third, err, 4); sdk.CodeOf(err) != code.Spent || digest(t, p.database) != after {
		t.Errorf("the third time: %v", err)
	}
}

// approveMeanwhile leaves the program pending, lets the person approve, and calls then.
func approveMeanwhile(t *testing.T, r *realm, p *program) {
	t.Helper()
	p.timeout = 50 * time.Millisecond
	wantExit(t, p, p.run(t.Context()), 8)
	waiting, err := r.people[0].Ballots().Waiting(t.Context())
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d waiting, %v", len(waiting), err)
	}
	if _, err := r.people[0].Ballots().Vote(t.Context(), waiting[0], ballot.Approve("seen")); err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseThatChangedAfterTheVote(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	approveMeanwhile(t, r, p)
	execute(t, p.database, "INSERT INTO orders VALUES (9, 'late')")
	before := digest(t, p.database)
	second := p.again()
	err := second.run(t.Context())
	if wantExit(t, second, err, 1); !errors.Is(err, migration.ErrChanged) || digest(t, p.database) != before {
		t.Errorf("%v", err)
	}
}

// The database changes while this very process waits: the check before the certificate is used refuses.
func TestDatabaseThatChangesDuringTheVote(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	before := make(chan string, 1)
	err := r.people[0].OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) {
		execute(t, p.database, "INSERT INTO orders VALUES (9, 'late')")
		before <- digest(t, p.database)
		return ballot.Approve("seen"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = p.run(t.Context())
	if wantExit(t, p, err, 1); !errors.Is(err, migration.ErrChanged) || digest(t, p.database) != <-before {
		t.Errorf("%v", err)
	}
	p.screen().wants(t, "state      approved") // the certificate was not used up
}

func TestSQLFileThatChangedAfterTheVote(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	approveMeanwhile(t, r, p)
	before := digest(t, p.database)
	write(t, p.sqlFile, "DROP TABLE orders")
	forged := p.again()
	err := forged.run(t.Context())
	if wantExit(t, forged, err, 1); sdk.CodeOf(err) != code.Conflict || digest(t, p.database) != before {
		t.Errorf("other SQL under the same key: %v", err)
	}
	write(t, p.sqlFile, testdata(t, "accepted.sql"))
	honest := p.again()
	wantExit(t, honest, honest.run(t.Context()), 0)
}

// The SQL file changes while this very process waits: what was read, and voted on, is what runs.
func TestSQLFileThatChangesDuringTheVote(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	err := r.people[0].OnBallot(func(context.Context, ballot.View) (ballot.Vote, error) {
		write(t, p.sqlFile, "DROP TABLE orders")
		return ballot.Approve("seen"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, p.run(t.Context()), 0)
	p.screen().wants(t, "applied    3 rows changed")
	execute(t, p.database, "INSERT INTO orders VALUES (9, 'still there')")
}

func TestReviewersElsewhere(t *testing.T) {
	r := found(t, policy.Standard, 3)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, name := range []string{"statements", "backup"} {
		ready := make(chan struct{})
		reviewer := &program{reviewing: name, out: doorbell{ready}, connect: r.connect}
		running.Go(func() {
			if err := reviewer.run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		<-ready
	}
	p := change(t, r, testdata(t, "accepted.sql"))
	p.reviewers = nil
	decide(t, r.people[1], 2, ballot.Approve("seen"))
	wantExit(t, p, p.run(t.Context()), 0)
	p.screen().wants(t, "statements-reviewer of "+r.people[1].ID().String()+" approves (its ballot counts)",
		"backup-reviewer of "+r.people[2].ID().String()+" approves (its ballot counts)")
}

// doorbell closes a channel at the first write.
type doorbell struct{ ready chan struct{} }

func (s doorbell) Write(b []byte) (int, error) {
	close(s.ready)
	return len(b), nil
}

func TestNoReviewers(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	p.reviewers = nil
	decideHeard(t, p, r.people[0], ballot.Approve("seen"))
	wantExit(t, p, p.run(t.Context()), 0)
	p.screen().wants(t, "statements-reviewer of", "no opinion", "applied")
}

func TestReviewersNeedKeysOfTheirOwn(t *testing.T) {
	r := found(t, policy.Solo, 1)
	p := change(t, r, testdata(t, "accepted.sql"))
	p.connect = func(ctx context.Context, in, _ string) (*sdk.Agent, error) { return r.connect(ctx, in, "migrator") }
	wantExit(t, p, p.run(t.Context()), 2)
	unknown := &program{reviewing: "everything", out: &screen{}, connect: r.connect}
	wantExit(t, unknown, unknown.run(t.Context()), 2)
}
