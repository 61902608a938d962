package statements_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/statements"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func split(t *testing.T, sql string) []string {
	t.Helper()
	list, err := statements.Split(sql)
	if err != nil {
		t.Fatalf("%q: %v", sql, err)
	}
	return list
}

func TestAcceptedFile(t *testing.T) {
	list := split(t, read(t, "accepted.sql"))
	if len(list) != 7 {
		t.Errorf("%d statements: %q", len(list), list)
	}
	if objections := statements.Review(list); len(objections) != 0 {
		t.Errorf("objections: %v", objections)
	}
}

func TestRejectedFile(t *testing.T) {
	list := split(t, read(t, "rejected.sql"))
	objections := statements.Review(list)
	if len(list) != 4 || len(objections) != 1 || objections[0].Number != 3 {
		t.Fatalf("%d statements, objections: %v", len(list), objections)
	}
	want := `statement 3 drops something for ever: "DROP/* it is copied */TABLE orders;"`
	if got := objections[0].String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Each statement alone: the first of a pair is harmless, the second is its destroying twin.
func TestReview(t *testing.T) {
	tests := []struct {
		sql  string
		want string // part of the objection; "" for none
	}{
		{"DELETE FROM t WHERE id = 1", ""},
		{"DELETE FROM t", "deletes every row"},
		{"delete from t where done", ""},
		{"delete from t -- where done", "deletes every row"},
		{"DELETE FROM t WHERE \"id\" = 1", ""},
		{"DELETE FROM t WHERE 1 = 1", "deletes every row"},
		{"DELETE FROM t WHERE 'id' = 'id'", "deletes every row"},
		{"DELETE FROM t WHERE true RETURNING id", "deletes every row"},
		{"DELETE FROM t WHERE NOT 0 ORDER BY id LIMIT 5", "deletes every row"},
		{"DELETE FROM t WHERE id IN (SELECT id FROM u)", ""},
		{"WITH u AS (SELECT 1 WHERE 1) DELETE FROM t", "deletes every row"},
		{"WITH u AS (SELECT 1) DELETE FROM t WHERE id IN u", ""},
		{"UPDATE t SET a = 1 WHERE id = 2", ""},
		{"UPDATE t SET a = 1", "overwrites every row"},
		{"UPDATE t SET a = (SELECT b FROM u WHERE id = 1)", "overwrites every row"},
		{"UPDATE OR REPLACE t SET a = 1 WHERE id = 2", "deletes the rows that it replaces"},
		{"INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1", ""},
		{"INSERT INTO t VALUES (1)", ""},
		{"INSERT OR REPLACE INTO t VALUES (1)", "deletes the rows that it replaces"},
		{"REPLACE INTO t VALUES (1)", "deletes the rows that it replaces"},
		{"WITH u AS (SELECT 1) INSERT INTO t SELECT * FROM u", ""},
		{"WITH u AS (SELECT 1)", "does not know"},
		{"ALTER TABLE t ADD COLUMN \"drop\" TEXT", ""},
		{"ALTER TABLE t DROP COLUMN a", "drops a part"},
		{"ALTER TABLE t DROP a", "drops a part"},
		{"ALTER TABLE t RENAME TO u", ""},
		{"CREATE UNIQUE INDEX i ON t (a)", ""},
		{"DROP INDEX i", "drops something"},
		{"CREATE TABLE t (id INTEGER REFERENCES u ON DELETE CASCADE ON UPDATE SET NULL)", ""},
		{"DROP TABLE t", "drops something"},
		{"dRoP\n\tTaBlE t", "drops something"},
		{"CREATE VIEW v AS SELECT 'DROP TABLE t'", ""},
		{"CREATE VIRTUAL TABLE v USING fts5(a)", ""},
		{"CREATE SEQUENCE s", "does not know"},
		{"CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u WHERE id = NEW.id; END", ""},
		{"CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u; END", "makes a trigger that deletes every row"},
		{"CREATE TEMP TRIGGER r AFTER DELETE ON t BEGIN SELECT 1; UPDATE u SET a = 1; END", "makes a trigger that overwrites"},
		{"CREATE TRIGGER begin AFTER INSERT ON t BEGIN DELETE FROM t; END", "makes a trigger that is of a kind"},
		{"CREATE TRIGGER r AFTER INSERT ON t", "without a body"},
		{"PRAGMA user_version = 3", ""},
		{"PRAGMA main.user_version = 3", ""},
		{"PRAGMA writable_schema = 1", "changes how SQLite treats"},
		{"PRAGMA \"writable_schema\" = 1", "changes how SQLite treats"},
		{"PRAGMA main.writable_schema(1)", "changes how SQLite treats"},
		{"PRAGMA journal_mode = OFF", "changes how SQLite treats"},
		{"ATTACH 'other.db' AS other", "reaches for another"},
		{"DETACH other", "reaches for another"},
		{"VACUUM INTO 'copy.db'", "rewrites or copies"},
		{"COMMIT", "would end or nest"},
		{"END", "would end or nest"},
		{"SELECT 1", ""},
		{"VALUES (1)", ""},
		{"ANALYZE", ""},
		{"TRUNCATE TABLE t", "does not know"},
		{"EXPLAIN DELETE FROM t", "does not know"},
		{"(DROP TABLE t)", "does not know"},
		{"\"DROP\" TABLE t", "does not know"},
		{"-- nothing", "is empty"},
		{"SELECT 'open", "cannot be read"},
	}
	for _, tt := range tests {
		for _, sql := range []string{tt.sql, "/* ; */ " + tt.sql + " ;"} {
			if strings.HasSuffix(tt.want, "read") || strings.Contains(tt.sql, "--") {
				sql = tt.sql
			}
			got := ""
			if objections := statements.Review([]string{sql}); len(objections) == 1 {
				got = objections[0].Why
			}
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%s: got %q, want %q", sql, got, tt.want)
			}
		}
	}
}

func TestObjectionsAreShort(t *testing.T) {
	long := "DROP TABLE t /*\n" + strings.Repeat("é", 500) + "*/"
	o := statements.Review([]string{long})
	if len(o) != 1 || len([]rune(o[0].Text)) != 81 || strings.Contains(o[0].Text, "\n") {
		t.Errorf("%v", o)
	}
}

func TestContained(t *testing.T) {
	tests := []struct {
		sql  string
		want bool
	}{
		{"CREATE TABLE t (a)", true},
		{"DROP TABLE t", true}, // destroys, but only here
		{" /**/ delete from t;", true},
		{"PRAGMA user_version = 1", true},
		{"PRAGMA temp_store_directory = '/'", false},
		{"ATTACH 'x' AS x", false},
		{"DETACH x", false},
		{"VACUUM", false},
		{"VACUUM INTO 'x'", false},
		{"BEGIN", false},
		{"COMMIT", false},
		{"END", false},
		{"ROLLBACK", false},
		{"SAVEPOINT s", false},
		{"RELEASE s", false},
		{"EXPLAIN SELECT 1", false},
		{"", false},
		{"'", false},
	}
	for _, tt := range tests {
		if got := statements.Contained(tt.sql); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.sql, got, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		name string
		sql  string
		want []string
	}{
		{"one", "SELECT 1;", []string{"SELECT 1;"}},
		{"no semicolon", "SELECT 1", []string{"SELECT 1"}},
		{"two", "SELECT 1; SELECT 2 ;\n", []string{"SELECT 1;", " SELECT 2 ;\n"}},
		{"in a string", "SELECT ';''; '; SELECT 2", []string{"SELECT ';''; ';", " SELECT 2"}},
		{"in names", "SELECT \";\", `;`, [;];SELECT 2", []string{"SELECT \";\", `;`, [;];", "SELECT 2"}},
		{"in comments", "SELECT 1 -- ;\n/* ; */;SELECT 2--;", []string{"SELECT 1 -- ;\n/* ; */;", "SELECT 2--;"}},
		{"empty statements", ";; SELECT 1;;", []string{";; SELECT 1;;"}},
		{"trigger", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END; SELECT 2;",
			[]string{"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END;", " SELECT 2;"}},
		{"temporary trigger", "CREATE TEMPORARY /**/ TRIGGER r BEGIN SELECT 1; END /**/ ;SELECT 2",
			[]string{"CREATE TEMPORARY /**/ TRIGGER r BEGIN SELECT 1; END /**/ ;", "SELECT 2"}},
		{"end of no trigger", "CREATE TABLE trigger_of (a); END; SELECT 1", []string{"CREATE TABLE trigger_of (a);", " END;", " SELECT 1"}},
	}
	for _, tt := range tests {
		got := split(t, tt.sql)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	tests := []struct {
		sql  string
		want error
	}{
		{"", statements.ErrEmpty},
		{" -- nothing\n ; ;", statements.ErrEmpty},
		{"SELECT '", statements.ErrUnterminated},
		{"SELECT '''", statements.ErrUnterminated},
		{"SELECT \"a", statements.ErrUnterminated},
		{"SELECT `a", statements.ErrUnterminated},
		{"SELECT [a", statements.ErrUnterminated},
		{"SELECT 1 /* *", statements.ErrUnterminated},
		{"SELECT /*/", statements.ErrUnterminated},
		{"\ufeffDROP TABLE t", statements.ErrText},
		{"SELECT 1;\x00 DROP TABLE t", statements.ErrText},
		{"SELECT '\xff'", statements.ErrText},
	}
	for _, tt := range tests {
		if list, err := statements.Split(tt.sql); err != tt.want {
			t.Errorf("%q: got %q, %v, want %v", tt.sql, list, err, tt.want)
		}
	}
}

// complete asks SQLite itself whether a text ends where a statement may.
func complete(t testing.TB, sql string) bool {
	tls := libc.NewTLS()
	defer tls.Close()
	text, err := libc.CString(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer libc.Xfree(tls, text)
	return sqlite3.Xsqlite3_complete(tls, text) == 1
}

// holdsOne reports whether a text holds a statement, not only blanks and semicolons.
func holdsOne(sql string) bool {
	list, err := statements.Split(sql)
	return err == nil && len(list) > 0
}

// FuzzSplit compares every cut with sqlite3_complete: a statement ends at the first semicolon at which SQLite calls the
// text so far complete.
func FuzzSplit(f *testing.F) {
	for _, name := range []string{"accepted.sql", "rejected.sql"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("EXPLAIN CREATE TRIGGER r BEGIN; END; END;SELECT 1;")
	f.Add("create temp trigger; end x; end;;[;];`;`\";\"';'--;\n;/*;*/1")
	f.Fuzz(func(t *testing.T, sql string) {
		list, err := statements.Split(sql)
		if err != nil {
			return
		}
		if strings.Join(list, "") != sql {
			t.Fatalf("%q is not joined again from %q", sql, list)
		}
		for i, s := range list {
			for at := range len(s) {
				if s[at] != ';' || !complete(t, s[:at+1]) || !holdsOne(s[:at+1]) {
					continue
				}
				if holdsOne(s[at+1:]) {
					t.Fatalf("statement %d of %q is complete after %q", i+1, sql, s[:at+1])
				}
			}
			if i < len(list)-1 && !complete(t, s) {
				t.Fatalf("statement %d of %q is not complete: %q", i+1, sql, s)
			}
		}
		_ = statements.Review(list) // must not panic
	})
}
