package migration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// ErrDamaged is returned when a migration that failed has left other bytes behind than it found.
var ErrDamaged = errors.New("migration: failed, and the database is not as it was")

// Result is what a migration did.
type Result struct {
	Rows   int64  // inserted, updated and deleted, by triggers too
	SHA256 string // of the database file after it; empty if another program keeps a log beside it
}

// Check returns ErrChanged if the database is not as it was read.
func (r Request) Check() error {
	now, err := Digest(r.Database)
	if err != nil {
		return err
	}
	if now != r.DatabaseSHA256 {
		return fmt.Errorf("%w: %s is %.12s…, not %.12s…", ErrChanged, r.Database, now, r.DatabaseSHA256)
	}
	return nil
}

// Apply runs the statements in one transaction, if the database is as it was read: looked at once before it is opened
// and again under SQLite's exclusive lock. On an error the file is byte for byte as it was; where it is not, the error
// is ErrDamaged. Errors: ErrChanged, ErrInUse, SQLite's.
func (r Request) Apply(ctx context.Context) (Result, error) {
	if err := r.Check(); err != nil {
		return Result{}, err
	}
	// Closing any descriptor of a file drops all locks that this process has on it. So this one stays open until SQLite
	// has closed its own.
	file, err := os.Open(r.Database)
	if err != nil {
		return Result{}, fmt.Errorf("migration: %w", err)
	}
	defer file.Close()
	var result Result
	result.Rows, err = r.run(ctx, func() error {
		under, err := digest(file)
		if err == nil && under != r.DatabaseSHA256 {
			err = ErrChanged
		}
		return err
	})
	after, digestErr := digest(file)
	switch {
	case err == nil:
		result.SHA256 = after
		return result, nil
	case errors.Is(err, ErrChanged):
		return Result{}, err
	case digestErr == nil && after != r.DatabaseSHA256:
		return Result{}, errors.Join(ErrDamaged, err)
	}
	return Result{}, errors.Join(err, digestErr)
}

// run opens the database, takes the exclusive lock, calls check, and runs the statements.
func (r Request) run(ctx context.Context, check func() error) (rows int64, err error) {
	db, err := sql.Open("sqlite", Source(r.Database, "rw"))
	if err != nil {
		return 0, fmt.Errorf("migration: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("migration: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return 0, fmt.Errorf("migration: lock: %w", err)
	}
	if err = check(); err == nil {
		rows, err = Run(ctx, conn, r.Statements)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		// Where SQLite has rolled back by itself this fails; Apply compares the file in any case.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return 0, err
	}
	return rows, nil
}

// Run runs the statements one after the other on a connection, and returns how many rows they changed. It neither
// begins nor ends a transaction.
func Run(ctx context.Context, conn *sql.Conn, list []string) (int64, error) {
	before, err := changes(ctx, conn)
	if err != nil {
		return 0, err
	}
	for i, s := range list {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return 0, fmt.Errorf("migration: statement %d: %w", i+1, err)
		}
	}
	after, err := changes(ctx, conn)
	return after - before, err
}

func changes(ctx context.Context, conn *sql.Conn) (n int64, err error) {
	if err := conn.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n); err != nil {
		return 0, fmt.Errorf("migration: count changes: %w", err)
	}
	return n, nil
}
