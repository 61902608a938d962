package backup_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/backup"
	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
)

const schema = `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL);
INSERT INTO orders (item) VALUES ('book'), ('pen'), ('cup');
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO customers VALUES (1, 'ana'), (2, 'ben');
CREATE TABLE "odd ""name" (a);`

func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", migration.Source(path, "rwc"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func database(t *testing.T, before string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	execute(t, path, before+schema)
	return path
}

func read(t *testing.T, database, sqlFile string) migration.Request {
	t.Helper()
	r, err := migration.Read(database, sqlFile)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "change.sql")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unchanged fails the test if the review has changed the database, or left a backup behind.
func unchanged(t *testing.T, r migration.Request) {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "conclave-backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestAcceptedFile(t *testing.T) {
	for _, journal := range []string{"", "PRAGMA journal_mode = WAL;"} {
		t.Setenv("TMPDIR", t.TempDir())
		r := read(t, database(t, journal), "testdata/accepted.sql")
		report, err := backup.Review(t.Context(), r)
		if err != nil || len(report.Objections) != 0 || report.Tables != 3 || report.Rows != 5 || report.Changed != 3 {
			t.Errorf("%q: %+v, %v", journal, report, err)
		}
		unchanged(t, r)
		if _, err := r.Apply(t.Context()); err != nil {
			t.Errorf("%q: apply after the review: %v", journal, err)
		}
	}
}

func TestRejectedFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := read(t, database(t, ""), "testdata/rejected.sql")
	report, err := backup.Review(t.Context(), r)
	want := []string{
		`table "odd \"name" with 0 rows would be gone`,
		`table "orders" would have 2 rows instead of 3`,
	}
	if err != nil || !slices.Equal(report.Objections, want) {
		t.Errorf("%q, %v", report.Objections, err)
	}
	unchanged(t, r)
}

func TestObjections(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := database(t, "")
	tests := []struct {
		sql  string
		want string // part of the one objection; "" for none
	}{
		{"INSERT INTO orders (item) VALUES ('lamp')", ""},
		{"INSERT INTO orders (item) VALUES (NULL)", "it fails on the backup"},
		{"DROP TABLE customers", `table "customers" with 2 rows would be gone`},
		{"DROP TABLE customers; CREATE TABLE customers (id)", `table "customers" would have 0 rows instead of 2`},
		{"ALTER TABLE customers RENAME TO people", `table "customers" with 2 rows would be gone`},
		{"UPDATE orders SET item = 'none'", ""}, // this reviewer counts rows; the other one objects
		{"SELECT * FROM nowhere", "it fails on the backup"},
		{"INSERT OR ROLLBACK INTO orders VALUES (1, 'twice')", "it fails on the backup"},
	}
	for _, tt := range tests {
		r := read(t, path, file(t, tt.sql))
		report, err := backup.Review(t.Context(), r)
		got := strings.Join(report.Objections, "\n")
		if err != nil || (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q, %v, want %q", tt.sql, got, err, tt.want)
		}
		unchanged(t, r)
	}
}

// A migrator that lies about what is contained does not get the reviewer to touch other files.
func TestNothingOutsideIsTouched(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	victim := database(t, "")
	other := read(t, victim, "testdata/accepted.sql")
	r := read(t, database(t, ""), "testdata/accepted.sql")
	target := filepath.Join(t.TempDir(), "written.db")
	for _, s := range []string{
		"ATTACH '" + victim + "' AS v; DROP TABLE v.orders", "VACUUM INTO '" + target + "'", "COMMIT", "PRAGMA writable_schema = 1",
	} {
		r.Statements = strings.SplitAfter(s, ";")
		report, err := backup.Review(t.Context(), r)
		if err != nil || len(report.Objections) != 1 || !strings.Contains(report.Objections[0], "was not tried") {
			t.Errorf("%s: %+v, %v", s, report, err)
		}
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written: %v", err)
	}
	unchanged(t, other)
	unchanged(t, r)
}

func TestOnlyTheDatabaseThatIsNamed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := database(t, "")
	r := read(t, path, "testdata/accepted.sql")
	execute(t, path, "INSERT INTO customers VALUES (3, 'late')")
	if report, err := backup.Review(t.Context(), r); !errors.Is(err, migration.ErrChanged) {
		t.Errorf("%+v, %v", report, err)
	}
	unchanged(t, read(t, path, "testdata/accepted.sql"))
}

func TestDatabaseThatIsNone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := file(t, strings.Repeat("not a database ", 100))
	r := read(t, path, "testdata/accepted.sql")
	if report, err := backup.Review(t.Context(), r); err == nil {
		t.Errorf("%+v", report)
	}
	unchanged(t, r)
}

func TestEndsWithItsContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := read(t, database(t, ""), file(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := backup.Review(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	unchanged(t, r)
}
