package migration_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/examples/migrate/statements"
)

const schema = `CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL);
INSERT INTO orders VALUES (1, 'book'), (2, 'pen'), (3, 'cup');`

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", migration.Source(path, "rwc"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
}

// database makes one with three orders in it, closed.
func database(t *testing.T, before string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "an app?.db")
	db := open(t, path)
	execute(t, db, before+schema)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func count(t *testing.T, path, query string) (n int) {
	t.Helper()
	db := open(t, path)
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "change.sql")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
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

func bytesOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var journals = []struct{ name, before string }{
	{"rollback journal", ""},
	{"write-ahead log", "PRAGMA journal_mode = WAL;"},
	{"small pages, spilled", "PRAGMA page_size = 512;"},
}

func TestApply(t *testing.T) {
	for _, j := range journals {
		t.Run(j.name, func(t *testing.T) {
			path := database(t, j.before)
			r := read(t, path, "testdata/accepted.sql")
			result, err := r.Apply(t.Context())
			if err != nil || result.Rows != 5 {
				t.Fatalf("%+v, %v", result, err)
			}
			if now, err := migration.Digest(path); err != nil || now != result.SHA256 || now == r.DatabaseSHA256 {
				t.Errorf("digest %s, %v; result %s", now, err, result.SHA256)
			}
			if n := count(t, path, "SELECT count(*) FROM notes"); n != 3 {
				t.Errorf("%d notes", n)
			}
			if _, err := r.Apply(t.Context()); !errors.Is(err, migration.ErrChanged) {
				t.Errorf("the second time: %v", err)
			}
			if n := count(t, path, "SELECT count(*) FROM notes"); n != 3 {
				t.Errorf("%d notes after the second time", n)
			}
		})
	}
}

func TestApplyWhollyOrNotAtAll(t *testing.T) {
	big := "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 6000) SELECT i, hex(randomblob(200)) FROM n;"
	tests := []struct{ name, sql string }{
		{"file", bytesOf(t, "testdata/rejected.sql")},
		{"syntax", "DELETE FROM orders WHERE id = 1; CREATE TABLE"},
		{"constraint", "DELETE FROM orders WHERE id = 1; INSERT INTO orders VALUES (2, 'pen')"},
		{"constraint that rolls back by itself", "DELETE FROM orders WHERE id = 1; INSERT OR ROLLBACK INTO orders VALUES (2, 'pen')"},
		{"deferred constraint", "PRAGMA defer_foreign_keys = 1; DELETE FROM orders; INSERT INTO orders VALUES (2, NULL)"},
		{"more than the cache holds", big + "DROP TABLE orders; SELECT * FROM nowhere"},
		{"a parameter", "DROP TABLE orders; INSERT INTO x VALUES (?)"},
	}
	for _, j := range journals {
		path := database(t, j.before)
		before := bytesOf(t, path)
		for _, tt := range tests {
			r := read(t, path, file(t, tt.sql))
			result, err := r.Apply(t.Context())
			if err == nil || errors.Is(err, migration.ErrDamaged) || result != (migration.Result{}) {
				t.Errorf("%s, %s: %+v, %v", j.name, tt.name, result, err)
			}
			if bytesOf(t, path) != before {
				t.Fatalf("%s, %s: the database has changed", j.name, tt.name)
			}
		}
		r := read(t, path, "testdata/accepted.sql")
		if _, err := r.Apply(t.Context()); err != nil {
			t.Errorf("%s: the honest one after them: %v", j.name, err)
		}
	}
}

func TestApplyWhenCancelled(t *testing.T) {
	path := database(t, "")
	before := bytesOf(t, path)
	r := read(t, path, "testdata/accepted.sql")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Apply(ctx); !errors.Is(err, context.Canceled) || bytesOf(t, path) != before {
		t.Errorf("%v", err)
	}
}

func TestApplyOnlyOnWhatWasRead(t *testing.T) {
	path := database(t, "")
	r := read(t, path, "testdata/accepted.sql")
	db := open(t, path)
	execute(t, db, "INSERT INTO orders VALUES (9, 'late')")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := bytesOf(t, path)
	if _, err := r.Apply(t.Context()); !errors.Is(err, migration.ErrChanged) || bytesOf(t, path) != before {
		t.Errorf("%v", err)
	}
	if _, err := read(t, path, "testdata/accepted.sql").Apply(t.Context()); err != nil {
		t.Errorf("read anew: %v", err)
	}
}

func TestApplyRunsWhatWasRead(t *testing.T) {
	path := database(t, "")
	sqlFile := file(t, "INSERT INTO orders VALUES (4, 'lamp')")
	r := read(t, path, sqlFile)
	if err := os.WriteFile(sqlFile, []byte("DROP TABLE orders"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, "SELECT count(*) FROM orders"); n != 4 {
		t.Errorf("%d orders", n)
	}
}

func TestOpenElsewhere(t *testing.T) {
	path := database(t, "PRAGMA journal_mode = WAL;")
	r := read(t, path, "testdata/accepted.sql")
	db := open(t, path)
	execute(t, db, "INSERT INTO orders VALUES (9, 'only in the log')")
	if _, err := r.Apply(t.Context()); !errors.Is(err, migration.ErrInUse) {
		t.Errorf("apply: %v", err)
	}
	if _, err := migration.Read(path, "testdata/accepted.sql"); !errors.Is(err, migration.ErrInUse) {
		t.Errorf("read: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, path, "testdata/accepted.sql").Apply(t.Context()); err != nil {
		t.Errorf("closed: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	path := database(t, "")
	tests := []struct {
		name, database, sql string
		want                error
	}{
		{"no database", filepath.Join(t.TempDir(), "none.db"), "SELECT 1", os.ErrNotExist},
		{"nothing to do", path, "-- later", statements.ErrEmpty},
		{"its own transaction", path, "DELETE FROM orders; COMMIT; SELECT nothing", migration.ErrNotContained},
		{"another file", path, "ATTACH 'other.db' AS other", migration.ErrNotContained},
		{"a copy", path, "VACUUM INTO 'copy.db'", migration.ErrNotContained},
		{"the schema as a table", path, "PRAGMA writable_schema = 1", migration.ErrNotContained},
		{"too long", path, strings.Repeat("SELECT 1;\n", migration.MaxSQL/10+1), migration.ErrTooLong},
	}
	for _, tt := range tests {
		if _, err := migration.Read(tt.database, file(t, tt.sql)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := migration.Read(path, filepath.Join(t.TempDir(), "none.sql")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no SQL file: %v", err)
	}
}

func TestLinksNameOneDatabase(t *testing.T) {
	path := database(t, "")
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if r := read(t, link, "testdata/accepted.sql"); filepath.Base(r.Database) != "an app?.db" {
		t.Errorf("database %s", r.Database)
	}
}

func TestParse(t *testing.T) {
	honest := read(t, database(t, ""), "testdata/accepted.sql")
	honest.Key = "change-7"
	p := honest.Params()
	values := func(name string) []string { return p[name] }
	got, err := migration.Parse(migration.Kind, honest.Database, values)
	if err != nil || got.Key != honest.Key || got.DatabaseSHA256 != honest.DatabaseSHA256 || len(got.Statements) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	tests := []struct {
		name         string
		kind, target string
		forge        func(p map[string][]string)
	}{
		{"other kind", "db.read", honest.Database, func(map[string][]string) {}},
		{"relative path", migration.Kind, "app.db", func(map[string][]string) {}},
		{"no statements", migration.Kind, honest.Database, func(p map[string][]string) { delete(p, "statements") }},
		{"one statement more", migration.Kind, honest.Database, func(p map[string][]string) {
			p["statements"] = append(p["statements"], "DROP TABLE orders")
		}},
		{"two statements in one", migration.Kind, honest.Database, func(p map[string][]string) {
			p["statements"] = []string{strings.Join(p["statements"], "")}
		}},
		{"other file", migration.Kind, honest.Database, func(p map[string][]string) { p["sql_sha256"] = []string{honest.DatabaseSHA256} }},
	}
	for _, tt := range tests {
		p = honest.Params()
		p["statements"] = append([]string(nil), p["statements"]...)
		tt.forge(p)
		if _, err := migration.Parse(tt.kind, tt.target, values); !errors.Is(err, migration.ErrAction) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
