// Package backup tries a migration where it can do no harm. It is the second of the two reviewers of the example
// migrate: it backs the database up into a private directory, checks the backup, runs the statements on it, and looks
// what became of the rows:
//
//	report, err := backup.Review(ctx, request)
//	report.Objections // none: approve
//
// It counts rows; a row that is overwritten is not noticed. It uses the database/sql driver "sqlite", which the program
// has to link.
package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/examples/migrate/statements"
)

// Report is what a review found.
type Report struct {
	Tables     int      // in the backup
	Rows       int64    // in all of them
	Changed    int64    // rows that the statements inserted, updated or deleted in the backup
	Objections []string // none: approve
}

// Review backs up the database that the request names and tries the statements on the backup, which is removed again.
// The database is only read. An error means that nothing could be found out: the database is not the one that the
// request names, migration.ErrChanged, or is in use, migration.ErrInUse, or ctx has ended.
func Review(ctx context.Context, r migration.Request) (report Report, err error) {
	dir, err := os.MkdirTemp("", "conclave-backup-") // of mode 0700
	if err != nil {
		return Report{}, fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "backup.db")
	original, err := copyTo(ctx, r, path)
	if err != nil {
		return Report{}, err
	}
	copied, err := on(ctx, path, "rw")
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, copied.close()) }()
	before, err := copied.tables(ctx)
	if err != nil {
		return Report{}, err
	}
	report.Tables = len(before)
	for _, n := range before {
		report.Rows += n
	}
	if report.object(copied.integrity(ctx)); !maps.Equal(original, before) {
		report.object(errors.New("the backup has not the rows of the database"))
	}
	if len(report.Objections) > 0 {
		return report, ctx.Err() // on such a backup nothing can be tried
	}
	report.object(report.try(ctx, copied, r.Statements))
	if len(report.Objections) > 0 {
		return report, ctx.Err()
	}
	return report, report.compare(ctx, copied, before)
}

// copyTo backs the database up to path and returns how many rows its tables have. The database is looked at before and
// after, so that the backup is of the state that the request names.
func copyTo(ctx context.Context, r migration.Request, path string) (rows map[string]int64, err error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	source, err := on(ctx, r.Database, "ro")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if rows, err = source.tables(ctx); err != nil {
		return nil, err
	}
	if _, err := source.conn.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return rows, r.Check()
}

func (r *Report) object(err error) {
	if err != nil {
		r.Objections = append(r.Objections, err.Error())
	}
}

// try runs the statements on the backup in one transaction. One that could reach out of the backup is not tried.
func (r *Report) try(ctx context.Context, copied *database, list []string) error {
	for i, s := range list {
		if !statements.Contained(s) {
			return fmt.Errorf("statement %d reaches outside the database and was not tried", i+1)
		}
	}
	if _, err := copied.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	var err error
	if r.Changed, err = migration.Run(ctx, copied.conn, list); err == nil {
		_, err = copied.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		return fmt.Errorf("it fails on the backup: %w", err)
	}
	return nil
}

// compare objects to every table that is gone or has lost rows, and to a backup that is broken now.
func (r *Report) compare(ctx context.Context, copied *database, before map[string]int64) error {
	after, err := copied.tables(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		n, stands := after[name]
		switch {
		case !stands:
			r.object(fmt.Errorf("table %q with %d rows would be gone", name, before[name]))
		case n < before[name]:
			r.object(fmt.Errorf("table %q would have %d rows instead of %d", name, n, before[name]))
		}
	}
	r.object(copied.integrity(ctx))
	return ctx.Err()
}

// database is one connection to a database file.
type database struct {
	pool *sql.DB
	conn *sql.Conn
}

func on(ctx context.Context, path, mode string) (*database, error) {
	pool, err := sql.Open("sqlite", migration.Source(path, mode))
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backup: %w", err), pool.Close())
	}
	return &database{pool, conn}, nil
}

func (d *database) close() error { return errors.Join(d.conn.Close(), d.pool.Close()) }

// texts returns the first column of a query's rows.
func (d *database) texts(ctx context.Context, query string) (list []string, err error) {
	rows, err := d.conn.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("backup: %w", err)
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// tables returns the number of rows of each table.
func (d *database) tables(ctx context.Context) (map[string]int64, error) {
	names, err := d.texts(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64, len(names))
	for _, name := range names {
		var n int64
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if err := d.conn.QueryRowContext(ctx, "SELECT count(*) FROM main."+quoted).Scan(&n); err != nil {
			return nil, fmt.Errorf("backup: count %s: %w", quoted, err)
		}
		counts[name] = n
	}
	return counts, nil
}

// integrity has SQLite check the whole file.
func (d *database) integrity(ctx context.Context) error {
	found, err := d.texts(ctx, "PRAGMA integrity_check(3)")
	if err != nil {
		return err
	}
	if !slices.Equal(found, []string{"ok"}) {
		return fmt.Errorf("integrity: %s", strings.Join(found, "; "))
	}
	return nil
}
